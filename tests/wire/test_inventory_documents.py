"""`lrvmotion inventory` against a lab: one document of both vCenters, whole, the same each time, without a write."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path

import pytest

from lab_client import Lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab"), "--no-net", "--vms", "3", name=f"i{os.getpid()}") as up:
        yield up


def test_the_document_has_every_vm_host_and_option(lab):
    """All VMs of both vCenters in full, and of each host what a mode may set, within its bounds."""
    done = lab.run("inventory")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert (made["schema"], made["anonymous"]) == (1, False)
    for site, prefix in (("source", "vm"), ("target", "other")):
        there = made[site]["inventory"]
        assert [vm["name"] for vm in there["vms"]] == [f"{prefix}1", f"{prefix}2", f"{prefix}3"]
        assert all(vm["disks"] and vm["nics"] for vm in there["vms"])
        for host in there["hosts"]:
            option = made[site]["options"][host["ref"]]["Migrate.VMotionStreamHelpers"]
            assert (option["value"], option["bounds"]["maximum"]) == (0, 112)
        assert {entity["name"] for entity in made[site]["tree"]} >= {"DC", "Cluster", "Resources", "VM Network"}
    assert "reading source: VMs" in done.stderr


def test_it_is_the_same_each_time_and_writes_nothing(lab):
    """A second reading gives the same text; the vCenters got no call that changes anything."""
    lab.control("source", "calls_reset")
    first, second = (lab.run("inventory").stdout for _ in range(2))
    assert first == second
    assert lab.control("source", "calls")["writes"] == 0


def test_anonymous_has_none_of_the_names(lab):
    """The file is the owner's alone, and says what is in it; names of the lab are not."""
    file = lab.folder / "estate.json"
    done = lab.run("inventory", "--anonymous", "-o", str(file))
    assert done.returncode == 0, done.stderr
    assert "names and addresses are replaced" in done.stdout
    text = file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    assert [name for name in ("esx-a1", "vm1", "other2", "10.88.0.9", "datastore1", 'Cluster"') if name in text] == []


def test_a_file_that_cannot_be_written_is_refused_before_anything_is_asked(lab):
    """One sentence, exit status 2."""
    done = lab.run("inventory", "-o", str(lab.folder))
    assert done.returncode == 2
    assert "an inventory cannot be written there: it is not a file" in done.stderr


def test_support_packs_the_inventory_with_the_words_of_the_rest(lab):
    """On request, always anonymous; a VM is called the same in the plan and in the inventory."""
    moved = lab.run("migrate", "--mode", "stock", "--yes", "vm3")
    assert moved.returncode == 0, moved.stderr
    file = lab.folder / "support.tar.gz"
    done = lab.run("support", "--anonymous", "--inventory", "-o", str(file))
    assert done.returncode == 0, done.stderr
    with tarfile.open(file) as archive:
        packed = {Path(one.name).name: archive.extractfile(one).read().decode() for one in archive.getmembers()}
    told = json.loads(packed["inventory.json"])
    assert told["anonymous"]
    assert "inventory.json" in packed["README.txt"]
    assert [name for name, text in packed.items() if "esx-a1" in text or "10.88.0.9" in text] == []
    (move,) = json.loads(packed["plan.json"])["migrations"]
    assert move["vm"] in [vm["name"] for vm in told["target"]["inventory"]["vms"]]
    assert move["source_host"] in [host["name"] for host in told["source"]["inventory"]["hosts"]]
