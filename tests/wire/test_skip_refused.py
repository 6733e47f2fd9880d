"""One VM's trouble is that VM's: --skip-refused leaves it out, says so, and goes on with the rest."""

from __future__ import annotations

import json
import os
import re

import pytest

from lab_client import Lab

BAD = {"plugged": ["floppy"]}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab"), "--no-net", "--vms", "8", name=f"s{os.getpid()}") as up:
        up.control("source", "vm_set", vm="vm1", traits=BAD)
        yield up


def test_without_it_one_vm_refuses_the_plan_and_the_hint_names_it(lab):
    """Nothing goes on by itself; nothing is saved."""
    done = lab.run("plan", "--mode", "stock", "-o", "refused.json", "vm1", "vm2", "vm3")
    assert done.returncode == 3
    assert "--skip-refused goes on with the other 2 VMs" in done.stderr
    assert not (lab.folder / "refused.json").exists()


def test_several_errors_are_a_list_each_with_its_code_and_what_helps(lab):
    """No line that nobody can read to its end; what holds of several VMs is told once."""
    lab.control("source", "vm_set", vm="vm7", traits={"plugged": ["floppy", "usb"]})
    done = lab.run("migrate", "--mode", "stock", "--yes", "vm1", "vm7", "vm8")
    lab.control("source", "vm_set", vm="vm7")
    assert done.returncode == 3
    told = done.stderr[done.stderr.index("lrvmotion: ") :]
    assert re.match(r"lrvmotion: \d errors refuse the plan\n", told)
    assert re.search(r"^  vm/vm1, vm/vm7: .*  \[vm-floppy\]\n    hint: ", told, re.MULTILINE)
    assert re.search(r"^  vm/vm7: .*  \[vm-usb\]\n", told, re.MULTILINE)
    assert told.endswith("  hint: --skip-refused goes on with the other VM\n")


def test_with_it_the_rest_is_planned_and_the_reasons_are_told(lab):
    """As text and as JSON; the plan is none with errors."""
    made = lab.json("plan", "--mode", "stock", "--skip-refused", "vm1", "vm2")
    assert [move["vm"] for move in made["migrations"]] == ["vm2"]
    ((refused),) = made["refused"]
    assert refused["vm"] == "vm1"
    assert "vm-floppy" in {reason["code"] for reason in refused["reasons"]}
    assert made["applyable"] is True
    shown = lab.run("plan", "--mode", "stock", "--skip-refused", "vm1", "vm2")
    assert shown.returncode == 0
    assert "refused, and left out of this plan (1 VM):" in shown.stdout


def test_a_vm_that_depends_on_a_refused_one_is_refused_with_it(lab):
    """Else it would go before what it waits for."""
    (lab.folder / "after.csv").write_text("vm,depends_on\nvm1,\nvm2,vm1\nvm3,vm2\nvm4,\n")
    made = lab.json("plan", "--mode", "stock", "--skip-refused", "--csv", "after.csv")
    assert [move["vm"] for move in made["migrations"]] == ["vm4"]
    reasons = {one["vm"]: [reason["code"] for reason in one["reasons"]] for one in made["refused"]}
    assert (reasons["vm2"], reasons["vm3"]) == (["vm-depends-refused"], ["vm-depends-refused"])


def test_where_all_are_refused_nothing_goes_on(lab):
    """Exit status 3, as without it."""
    done = lab.run("migrate", "--mode", "stock", "--yes", "--skip-refused", "vm1")
    assert done.returncode == 3
    assert "--skip-refused" not in done.stderr


def test_the_rest_moves_and_the_exit_status_says_that_not_all_did(lab):
    """6: who asked for two VMs has one moved."""
    done = lab.json("migrate", "--mode", "stock", "--yes", "--skip-refused", "vm1", "vm2", status=6)
    assert ({vm: move["state"] for vm, move in done["moves"].items()}, done["refused"]) == ({"vm2": "success"}, ["vm1"])
    assert done["status"] == 6
    assert "vm1" in lab.vms()["source"]
    shown = lab.run("migrate", "--mode", "stock", "--yes", "--skip-refused", "vm1", "vm3")
    assert "1 VM refused and left out: vm1" in shown.stdout


def test_a_saved_plan_holds_what_was_refused(lab):
    """It is done as it stands, with the same exit status; the option belongs to the plan."""
    saved = lab.run("plan", "--mode", "stock", "--skip-refused", "-o", "skip.json", "vm1", "vm4")
    assert saved.returncode == 0, saved.stderr
    both = lab.run("migrate", "--plan", "skip.json", "--skip-refused", "--yes")
    assert both.returncode == 2
    assert "--skip-refused cannot be combined with --plan" in both.stderr
    done = lab.json("migrate", "--plan", "skip.json", "--yes", status=6)
    assert ({*done["moves"]}, done["refused"]) == ({"vm4"}, ["vm1"])


def test_a_resumed_run_goes_on_without_a_vm_that_is_refused_by_now(lab):
    """And has it left: once it is mended, --resume moves it."""
    rule = {"method": "RelocateVM_Task", "fault": "vim.fault.GenericVmConfigFault", "count": 2}
    lab.control("source", "fault_add", rule=rule)
    failed = lab.run("migrate", "--mode", "stock", "--yes", "vm5", "vm6")
    assert failed.returncode == 6, failed.stderr
    lab.control("source", "fault_clear")
    lab.control("source", "vm_set", vm="vm5", traits=BAD)
    done = lab.run("migrate", "--resume", "--yes", "--skip-refused", "--output", "ndjson")
    assert done.returncode == 6, done.stderr
    ended = [event for event in map(json.loads, done.stdout.splitlines()) if event["type"] == "run_ended"][-1]
    assert ended["left"] == ["vm5"]
    assert ended["resume"]
    lab.control("source", "vm_set", vm="vm5")
    last = lab.json("migrate", "--resume", "--yes")
    assert {vm: move["state"] for vm, move in last["moves"].items()} == {"vm5": "success"}
