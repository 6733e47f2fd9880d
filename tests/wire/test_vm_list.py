"""`lrvmotion vms`: what the source has, what a plan would say of each VM, what has moved; its CSV is read by --csv."""

from __future__ import annotations

import csv
import io
import os

import pytest

from lab_client import Lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab"), "--no-net", "--vms", "8", name=f"l{os.getpid()}") as up:
        up.control("source", "vm_set", vm="vm1", traits={"plugged": ["floppy"]})
        up.control("source", "vm_set", vm="vm2", traits={"managed_by": "com.vmware.vim.eam/cluster-agent"})
        up.control("source", "vm_set", vm="vm3", name="web", folder="Prod")
        up.control("source", "vm_set", vm="vm4", name="web", folder="Test")
        moved = up.run("migrate", "--mode", "stock", "--yes", "vm5")
        assert moved.returncode == 0, moved.stderr
        yield up


def rows(lab, *arguments: str) -> dict[str, dict]:
    return {vm["vm"]: vm for vm in lab.json("vms", *arguments)["vms"]}


def test_each_vm_is_listed_with_what_a_plan_would_say_of_it(lab):
    """By an address that means it alone."""
    found = rows(lab)
    assert {name: vm["can_move"] for name, vm in found.items() if not vm["at_target"]} == {
        "vm1": False, "vm2": False, "Prod/web": True, "Test/web": True, "vm6": True, "vm7": True, "vm8": True,
    }  # fmt: skip
    assert found["vm1"]["reason"].startswith("has a floppy drive connected")
    assert "vCLS" in found["vm2"]["reason"]
    web = found["Prod/web"]
    assert (web["name"], web["path"], web["power"]) == ("web", "DC:Prod/web", "poweredOn")
    assert web["storage_bytes"] > 0
    assert web["host"] in {"esx-a1", "esx-a2"}


def test_what_a_run_has_moved_is_listed_with_the_run(lab):
    """From the target, by its instance UUID; an expression is asked of what it is there."""
    run = next(vm for vm in rows(lab).values() if vm["at_target"])
    assert (run["name"], run["can_move"], run["reason"]) == ("vm5", False, f"at the target already (run {run['run']})")
    assert [vm["name"] for vm in rows(lab, "--select", "name=vm5").values()] == ["vm5"]
    assert [vm["name"] for vm in rows(lab, "--select", "name=vm6").values()] == ["vm6"]


def test_many_are_judged_one_by_one(lab):
    """What one VM would take at the target is not taken from the next."""
    free = 2 * max(vm["storage_bytes"] for vm in rows(lab).values())
    lab.control("target", "datastore_set", datastore="datastore1", free_bytes=free)
    try:
        assert all(vm["can_move"] for name, vm in rows(lab).items() if name in {"vm6", "vm7", "vm8"})
    finally:
        lab.control("target", "datastore_set", datastore="datastore1")


def test_its_csv_is_a_file_for_csv(lab):
    """Those that can move, each by what means it alone; the rest is counted."""
    done = lab.run("vms", "--output", "csv")
    assert done.returncode == 0, done.stderr
    assert "3 VMs left out" in done.stderr
    read = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["vm"] for row in read] == ["vm6", "vm7", "vm8", "Prod/web", "Test/web"]
    assert read[0]["note"].startswith("DC:vm6, ")
    chosen = "".join(line for line in done.stdout.splitlines(keepends=True) if "Test/web" not in line)
    (lab.folder / "vms.csv").write_text(chosen)
    made = lab.json("plan", "--mode", "stock", "--csv", "vms.csv")
    assert {move["vm"] for move in made["migrations"]} == {"vm6", "vm7", "vm8", "web"}


def test_each_pattern_means_a_vm(lab):
    """One that means none is refused, whatever the others mean."""
    done = lab.run("plan", "--mode", "stock", "vm*", "wbe*")
    assert done.returncode == 2
    assert "no VM matches 'wbe*'" in done.stderr


def test_as_text_it_counts_and_a_wrong_expression_is_one_sentence(lab):
    """Nothing is written anywhere."""
    before = [lab.control(site, "calls")["writes"] for site in ("source", "target")]
    done = lab.run("vms", "--select", "name=vm*")
    assert done.returncode == 0, done.stderr
    assert "3 of 6 VMs can move" in done.stdout
    assert "1 at the target already" in done.stdout
    wrong = lab.run("vms", "--select", "nam=x")
    assert wrong.returncode == 2
    assert "there is no field 'nam'" in wrong.stderr
    assert [lab.control(site, "calls")["writes"] for site in ("source", "target")] == before
