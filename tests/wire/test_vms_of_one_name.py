"""E14: VMs of one name are named by path, UUID or reference everywhere, move in one run, and are found when renamed."""

from __future__ import annotations

import json
import os

import pytest

from lab_client import Lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab"), "--no-net", "--vms", "12", name=f"n{os.getpid()}") as up:
        for number, folder in enumerate(("Prod/Web", "Test"), 1):
            up.control("target", "vm_set", vm=f"other{number}", folder=folder)  # the target has these folders
        yield up


@pytest.fixture
def pair(lab):
    """Two VMs called "web" in Prod/Web and Test; their instance UUIDs and references."""
    before = lab.control("source", "state")["vms"]
    free = [name for name in before if name.startswith("vm")][:2]
    chosen = [before[name] for name in free]
    for name, folder in zip(free, ("Prod/Web", "Test"), strict=True):
        lab.control("source", "vm_set", vm=name, name="web", folder=folder)
    yield chosen
    for site in ("source", "target"):
        there = {vm["instance_uuid"]: vm for vm in lab.control(site, "state")["vms"].values()}
        for number, vm in enumerate(chosen):
            if vm["instance_uuid"] in there:
                moid, name = there[vm["instance_uuid"]]["moid"], f"used{vm['moid']}{number}"
                lab.control(site, "vm_set", vm=moid, name=name, folder="")


PAIR = ["Prod/Web/web", "Test/web"]


def uuids(lab, site: str) -> set[str]:
    return {vm["instance_uuid"] for vm in lab.control(site, "state")["vms"].values()}


def test_a_name_of_two_vms_is_refused_with_what_can_be_typed(lab, pair):
    """By plan, migrate and check alike; each of the forms means one VM."""
    for command in (["plan"], ["migrate", "--mode", "stock", "--yes"], ["check"]):
        done = lab.run(*command, "web")
        assert done.returncode == 2, done.stderr
        assert "2 VMs are called 'web': 'Prod/Web/web', 'Test/web'" in done.stderr
        assert "rename" not in done.stderr
    for said in ("Prod/Web/web", "DC:Prod/Web/web", pair[0]["instance_uuid"].upper(), f"moref:{pair[0]['moid']}"):
        made = lab.json("plan", "--mode", "stock", said)
        assert [(move["instance_uuid"], move["folder"]) for move in made["migrations"]] == [
            (pair[0]["instance_uuid"], "Prod/Web")
        ]


def test_a_csv_file_names_them_in_any_way(lab, pair):
    """And what depends on what; mistakes with their lines."""
    file = lab.folder / "vms.csv"
    file.write_text(f"vm,depends_on\nProd/Web/web,moref:{pair[1]['moid']}\n{pair[1]['instance_uuid']},\n")
    made = lab.json("plan", "--mode", "stock", "--csv", str(file))
    assert {move["vm"]: move["depends_on"] for move in made["migrations"]} == {PAIR[0]: [PAIR[1]], PAIR[1]: []}
    file.write_text("vm\nweb\nnobody\n")
    done = lab.run("plan", "--mode", "stock", "--csv", str(file))
    assert done.returncode == 2
    assert "line 2: 2 VMs are called 'web'" in done.stderr
    assert "line 3: no VM is called 'nobody'" in done.stderr


def test_an_expression_and_a_pattern_choose_several_of_one_name(lab, pair):
    """Each by what tells it apart."""
    for said in (["--select", "name=web"], ["web*"], ["Prod/Web/w*", "moref:" + pair[1]["moid"]]):
        made = lab.json("plan", "--mode", "stock", *said)
        assert sorted(move["vm"] for move in made["migrations"]) == PAIR


def test_both_move_in_one_run_and_come_back_after_they_were_renamed(lab, pair):
    """Own rows in events, result, report and status; the way back goes by UUID, and the run's names stay."""
    own = {label: vm["instance_uuid"] for label, vm in zip(PAIR, pair, strict=True)}
    done = lab.run("migrate", "--mode", "stock", "--yes", "--output", "ndjson", *PAIR)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    moves = {event["vm"]: event for event in events if event["type"] == "move" and event["state"] == "success"}
    assert {label: move["instance_uuid"] for label, move in moves.items()} == own
    assert {move["source_ref"] for move in moves.values()} == {f"VirtualMachine:{vm['moid']}" for vm in pair}
    assert uuids(lab, "target") >= {*own.values()}
    run = events[-1]["run"]
    told = json.loads(lab.run("report", run, "--format", "json").stdout)
    assert {vm["vm"]: (vm["state"], vm["instance_uuid"]) for vm in told["vms"]} == {
        label: ("success", uuid) for label, uuid in own.items()
    }

    there = {vm["instance_uuid"]: vm["moid"] for vm in lab.control("target", "state")["vms"].values()}
    lab.control("target", "vm_set", vm=there[own[PAIR[0]]], name="web-new", folder="Prod/Web")
    lab.control("target", "vm_set", vm="other3", name="web", folder="Prod/Web")  # another has its old name
    refused = lab.run("plan", "--mode", "stock", PAIR[0])
    assert f"'{PAIR[0]}' is at the target already (run {run}, called 'web-new')" in refused.stderr
    back = lab.json("migrate", "--reverse", run, "--yes")
    assert {vm: move["state"] for vm, move in back["moves"].items()} == dict.fromkeys(PAIR, "success")
    assert uuids(lab, "source") >= {*own.values()}
    lab.control("target", "vm_set", vm="web", name="other3", folder="")


def test_a_saved_plan_finds_a_vm_that_was_renamed(lab):
    """By its reference; the plan's own name for it stays."""
    planned = lab.run("plan", "--mode", "stock", "-o", "plan.json", "vm9")
    assert planned.returncode == 0, planned.stderr
    lab.control("source", "vm_set", vm="vm9", name="renamed")
    done = lab.json("migrate", "--plan", "plan.json", "--yes")
    assert {vm: move["state"] for vm, move in done["moves"].items()} == {"vm9": "success"}
    assert "renamed" in lab.vms()["target"]


def test_a_run_goes_on_with_a_vm_that_was_renamed(lab):
    """One VM fails and is renamed; --resume finds it, and not the VM that has its old name now."""
    uuid = lab.control("source", "state")["vms"]["vm10"]["instance_uuid"]
    lab.control("source", "fault_add", rule={"method": "RelocateVM_Task", "fault": "vim.fault.GenericVmConfigFault"})
    failed = lab.run("migrate", "--mode", "stock", "--yes", "vm10")
    assert failed.returncode == 6, failed.stderr
    lab.control("source", "fault_clear")
    lab.control("source", "vm_set", vm="vm10", name="renamed10")
    lab.control("source", "vm_set", vm="vm11", name="vm10")
    done = lab.json("migrate", "--resume", "--yes")
    assert {vm: move["state"] for vm, move in done["moves"].items()} == {"vm10": "success"}
    assert uuid in uuids(lab, "target")
    assert "vm10" in lab.vms()["source"]
    again = lab.json("plan", "--mode", "stock", "vm10")  # the other one, which nobody moved
    assert [move["instance_uuid"] for move in again["migrations"]] != [uuid]
    told = lab.run("plan", "--mode", "stock", uuid)
    assert f"'{uuid}' is at the target already" in told.stderr
