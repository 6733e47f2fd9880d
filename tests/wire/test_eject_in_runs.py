"""`--eject` on the command line: plan names what is ejected, migrate does it, report says what it was."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable

import pytest

from lab_client import Lab

ISO = "[iso] debian.iso"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab"), "--no-net", "--vms", "6", name=f"j{os.getpid()}") as up:
        for vm in ("vm1", "vm2", "vm3", "vm4"):
            up.control("source", "vm_device", vm=vm, iso=ISO)
        yield up


def test_plan_hints_at_it_and_with_it_names_what_is_ejected(lab):
    """The plan is refused without it, and vCenter's own word for the same drive is left out with it."""
    refused = lab.run("plan", "--mode", "stock", "vm1")
    assert refused.returncode == 3
    assert "--eject" in refused.stderr
    made = lab.json("plan", "--mode", "stock", "--eject", "vm1")
    assert made["applyable"] is True
    named = [one for one in made["findings"] if one["code"] in {"vm-iso", "vm-relocate-refused"}]
    assert [(one["severity"], ISO in one["summary"]) for one in named] == [("warning", True)]


def test_an_account_that_may_not_eject_is_refused_by_the_plan(lab):
    """Before anything is changed, with the privilege's name."""
    lab.control("source", "privileges_deny", privileges=["VirtualMachine.Interact.SetCDMedia"])
    done = lab.run("migrate", "--mode", "stock", "--yes", "--eject", "vm1")
    lab.control("source", "privileges_deny", privileges=[])
    assert done.returncode == 3
    assert "VirtualMachine.Interact.SetCDMedia" in done.stderr


def test_migrate_ejects_and_the_report_says_what_it_was(lab):
    """Nothing is outstanding in the end: the VM has left with its drive."""
    done = lab.run("migrate", "--mode", "stock", "--yes", "--eject", "vm1")
    assert done.returncode == 0, done.stderr
    report = lab.run("report")
    assert "vm1: CD/DVD drive 1" in report.stdout
    assert ISO in report.stdout
    assert lab.json("status")["outstanding"] == []


def test_a_saved_plan_ejects_what_it_was_made_with(lab):
    """`migrate --plan` needs no --eject, and takes none."""
    made = lab.run("plan", "--mode", "stock", "--eject", "-o", "ejects.json", "vm2")
    assert made.returncode == 0, made.stderr
    both = lab.run("migrate", "--plan", "ejects.json", "--eject", "--yes")
    assert both.returncode == 2
    done = lab.run("migrate", "--plan", "ejects.json", "--yes")
    assert done.returncode == 0, done.stderr


def test_a_refused_move_leaves_the_image_in_the_drive(lab):
    """And nothing for restore-defaults to do."""
    lab.control("source", "vm_set", vm="vm3", traits={"breaks": True})
    done = lab.run("migrate", "--mode", "stock", "--yes", "--eject", "vm3")
    assert done.returncode == 6, done.stderr
    again = lab.run("plan", "--mode", "stock", "vm3")
    assert ISO in again.stderr
    assert lab.json("status")["outstanding"] == []


def journal(lab) -> list[dict]:
    """Return the records of the lab's journal."""
    path = lab.directory / "state" / "journal.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def eventually(is_true: Callable[[], bool]) -> None:
    """Wait until *is_true*, a minute at most."""
    end = time.monotonic() + 60
    while not is_true():
        assert time.monotonic() < end, "did not come true"
        time.sleep(0.1)


def killed(lab, vm: str, is_time: Callable[[], bool]) -> None:
    """Kill a run that moves *vm* with --eject, when *is_time*."""
    process = lab.spawn("migrate", "--mode", "stock", "--yes", "--eject", vm)
    try:
        eventually(is_time)
    finally:
        process.kill()
        process.communicate()


def test_a_kill_before_the_move_begins_leaves_what_restore_defaults_inserts_again(lab):
    """The drive was emptied and recorded; the VM never moved."""
    rule = {"method": "RelocateVM_Task", "delay_s": 60, "fault": "vmodl.fault.SystemError"}
    lab.control("source", "fault_add", rule=rule)
    killed(lab, "vm4", lambda: lab.control("source", "calls")["delayed"].get("RelocateVM_Task", 0) > 0)
    lab.control("source", "fault_clear")
    assert ["vm4: CD/DVD drive 1" in str(one) for one in lab.json("status")["outstanding"]] == [True]
    assert lab.run("restore-defaults").returncode == 0
    assert ISO in lab.run("plan", "--mode", "stock", "vm4").stderr
    assert lab.json("status")["outstanding"] == []


def test_a_kill_while_the_vm_moves_leaves_nothing_to_insert(lab):
    """The VM goes on without us; its drive is as it arrived, and the journal is closed by --resume."""

    def moved() -> int:
        return sum(one["kind"] == "task" for one in journal(lab))

    before = moved()
    killed(lab, "vm4", lambda: moved() > before)
    assert lab.run("migrate", "--resume", "--yes").returncode == 0
    assert lab.json("status")["outstanding"] == []
    assert "vm4" in lab.control("target", "state")["vms"]
