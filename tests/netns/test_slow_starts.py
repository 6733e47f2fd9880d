"""Proxy mode: moves that begin late or carry cold data are waited for; a host past its relay is found, and it alone."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from lab_client import Lab
from lrvmotion.lab import witness
from lrvmotion.lab.netns import host_namespace

pytestmark = pytest.mark.netns
LATE_S = 6.0  # how late moves begin
IN_PATH_S = 1.0  # how long hot bytes may flow before hosts are looked at
VMS = ("vm1", "vm2", "vm3", "vm4")  # by turns on esx-a1 and esx-a2


@pytest.fixture
def lab(tmp_path):
    with Lab(tmp_path, name=f"slow{os.getpid()}") as up:
        up.config.write_text(f"limits.in_path_s = {IN_PATH_S}\n{up.config.read_text()}")
        before = up.state()
        yield up
        assert up.json("restore-defaults")["left"] == []
        assert witness.differences(before, up.state()) == []


def migrate(lab):
    return lab.spawn("migrate", "--mode", "proxy", "--yes", "--output", "ndjson", *VMS)


def finish(child, events=()):
    out, err = child.communicate(timeout=240)
    assert "Traceback" not in err
    events = [*events, *map(json.loads, out.splitlines())]
    return {event["vm"]: (event["state"], event["reason"]) for event in events if event["type"] == "move"}


def test_moves_that_begin_late_or_carry_cold_data_are_waited_for(lab):
    """One powered off, one with snapshots, one long in vCenter's queue, one long prepared: all of them move."""
    lab.control("source", "vm_power", vm="vm1", on=False)
    lab.control("source", "vm_snapshot", vm="vm2")
    lab.control("source", "relocate_pace", vm="vm3", queued_s=LATE_S)
    lab.control("source", "relocate_pace", vm="vm4", prepare_s=LATE_S)
    child = migrate(lab)
    with child.stdout, child.stderr:
        last = finish(child)
    assert last == dict.fromkeys(VMS, ("success", None))
    assert child.returncode == 0
    assert lab.vms()["target"] == sorted(VMS)


def past_the_relay(lab, host):
    """Take the routes to the target's vMotion out of the host's kernel: its vCenter still shows them."""
    inside = ["ip", "-n", host_namespace(lab.spec, "source", host)]
    listed = subprocess.run([*inside, "route", "show", "table", "all"], capture_output=True, text=True, check=True)
    ways = [line for line in listed.stdout.splitlines() if line.startswith("10.99.0.") and "10.88.0.1 " in line + " "]
    assert ways
    for line in ways:
        subprocess.run([*inside, "route", "del", *line.split()], check=True)


def test_a_host_that_goes_past_its_relay_is_found_and_only_its_vms_are_held(lab):
    """Its connections are there and the relay has them not: its next VM is held, those of the other host move."""
    lab.control("source", "relocate_pace", vm="vm1", prepare_s=4.0)
    child = migrate(lab)
    events = []
    with child.stdout, child.stderr:
        for line in child.stdout:
            events.append(json.loads(line))
            if (events[-1]["type"], events[-1].get("vm"), events[-1].get("state")) == ("move", "vm1", "running"):
                break
        past_the_relay(lab, "esx-a1")
        last = finish(child, events)
    assert child.returncode == 6
    assert [last[vm][0] for vm in VMS] == ["success", "success", "held", "success"]
    assert last["vm3"][1].startswith(
        "not in the path: esx-a1 has vMotion connections that relay relay-a does not carry"
    )
