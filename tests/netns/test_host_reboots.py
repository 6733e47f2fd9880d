"""A rolling reboot with a network: vmknics are gone while a host boots, and the relay is in the path again after it."""

from __future__ import annotations

import json
import time

import pytest

from lab_client import Lab
from lrvmotion.lab import witness

pytestmark = pytest.mark.netns

KEY = "Net.TcpipRxDispatchQueues"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab")) as up:
        for site in ("source", "target"):
            up.control(site, "cluster_drs", level="fullyAutomated")
        yield up


def test_vmknics_are_gone_while_a_host_boots_and_back_when_it_is_up(lab):
    """What ESXi keeps over a reboot is there again: vmknics, routes and gateways, as the kernel shows them."""
    from pyVim.connect import Disconnect
    from pyVim.task import WaitForTask
    from pyVmomi import vim

    before = lab.state()
    si = lab.somebody("target")
    try:
        view = si.content.viewManager.CreateContainerView(si.content.rootFolder, [vim.HostSystem], True)
        host = next(item for item in view.view if item.name == "esx-b1")
        WaitForTask(host.EnterMaintenanceMode_Task(0), si)
        WaitForTask(host.RebootHost_Task(False), si)
        _until(lambda: host.runtime.connectionState == "notResponding")
        _until(lambda: not _devices(lab, "target", "esx-b1"))
        _until(lambda: host.runtime.connectionState == "connected")
        assert _devices(lab, "target", "esx-b1")
        WaitForTask(host.ExitMaintenanceMode_Task(0), si)
    finally:
        Disconnect(si)
    assert witness.differences(before, lab.state()) == []


def test_proxy_mode_after_a_reboot_is_proven_and_restored(lab):
    """Both source hosts are rebooted before the proof; the VMs move through the relay; all is as before in the end."""
    before = lab.state()
    done = lab.run(
        "migrate", "--mode", "proxy", "--reboot-hosts", "--restore", "--yes", "--output", "ndjson", "vm1", "vm2"
    )
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    verified = [n for n, e in enumerate(events) if e["type"] == "rebooting" and e["phase"] == "verified"]
    proven = [n for n, e in enumerate(events) if e["type"] == "proven" and e["ok"]]
    assert len(verified) == 4  # each of the two before the moves, and again after the restore
    assert verified[1] < proven[0] < verified[2]
    assert {"vm1", "vm2"} <= set(lab.vms()["target"])
    assert witness.differences(before, lab.state()) == []
    options = lab.control("source", "state")["hosts"]
    assert {(h["options"][KEY]["value"], h["options"][KEY]["effective"]) for h in options.values()} == {(2, 2)}


def _devices(lab, site: str, host: str) -> list:
    from lrvmotion.lab.rpc import call

    return call(lab.directory / site / f"{host}.sock", "state")["vmknics"]


def _until(true, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)
