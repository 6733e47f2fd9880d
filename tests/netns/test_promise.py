"""The promise: plan, migrate, every VM on the other side, restore, every setting as before, by the lab's witness."""

from __future__ import annotations

import json
import signal
import time

import pytest

from lab_client import Lab
from lrvmotion.lab import witness

pytestmark = pytest.mark.netns


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab")) as up:
        yield up


def same(before, lab):
    return witness.differences(before, lab.state())


def test_plan_shows_all_and_writes_nothing(lab):
    """plan is read-only: the vCenters count no write, and hosts and box are as before."""
    before = lab.state()
    counts = [lab.control(site, "calls")["writes"] for site in ("source", "target")]
    made = lab.json("plan", "--mode", "native", "vm1", "vm2")
    assert made["applyable"]
    assert {move["vm"] for move in made["migrations"]} == {"vm1", "vm2"}
    assert any(change["key"].startswith("vmknic/") for change in made["changes"])
    assert [lab.control(site, "calls")["writes"] for site in ("source", "target")] == counts
    assert same(before, lab) == []


def test_proxy_moves_the_vms_and_restore_puts_everything_back(lab):
    """The three commands of a real user."""
    before = lab.state()
    done = lab.json("migrate", "--mode", "proxy", "--yes", "vm1", "vm2")
    assert {vm: move["state"] for vm, move in done["moves"].items()} == {"vm1": "success", "vm2": "success"}
    assert same(before, lab) != []
    assert done["outstanding"] > 0
    back = lab.json("restore-defaults")
    assert back["left"] == []
    assert back["settings_restored"] == done["settings_changed"]
    assert same(before, lab) == []
    assert {"vm1", "vm2"} <= set(lab.vms()["target"])
    assert not {"vm1", "vm2"} & set(lab.vms()["source"])


def test_kill_minus_9_while_a_vm_moves_then_restore(lab):
    """The vCenter finishes the relocate, restore waits for it; the VM is on exactly one side."""
    before = lab.state()
    child = lab.spawn("migrate", "--mode", "native", "--yes", "--output", "ndjson", "vm3")
    with child.stdout as lines, child.stderr:
        for line in lines:
            event = json.loads(line)
            if event["type"] == "move" and event["state"] == "running" and event["percent"] > 5:
                break
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert same(before, lab) != []
    back = lab.json("restore-defaults")
    assert back["left"] == []
    assert same(before, lab) == []
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        vms = lab.vms()
        if ("vm3" in vms["source"]) != ("vm3" in vms["target"]):
            break
        time.sleep(0.5)
    assert ("vm3" in vms["source"]) != ("vm3" in vms["target"])
