"""What a VM's disks are made of is judged by their chains, whatever its snapshots say."""

from __future__ import annotations

import json
import os

import pytest

from lab_client import Lab
from wire.plan_findings import VM, findings

GIB = 1 << 30


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab"), "--no-net", name=f"d{os.getpid()}") as up:
        yield up


@pytest.fixture
def reset(lab):
    yield
    lab.control("source", "vm_set", vm=VM)
    lab.control("source", "vm_snapshots_remove", vm=VM)
    lab.control("target", "datastore_set", datastore="datastore1")


def planned(lab) -> dict:
    """Return the migration of the plan."""
    done = lab.run("plan", "--mode", "stock", VM, "--output", "json")
    return json.loads(done.stdout.splitlines()[-1])["migrations"][0]


@pytest.mark.parametrize("unlisted", [False, True])
def test_e7_the_whole_chain_of_a_linked_clone_counts(lab, reset, unlisted):
    """In what is cold; a link whose size is not told counts as the disk's capacity."""
    before = planned(lab)
    clone = {"below": [["parent/parent.vmdk", 96 << 20]], "below_unlisted": unlisted}
    lab.control("source", "vm_set", vm=VM, traits=clone)
    found = findings(lab)
    assert set(found) == {"vm-linked-clone"}, found
    assert "becomes a full copy" in found["vm-linked-clone"]["summary"]
    after = planned(lab)
    below = before["hot_bytes"] - (128 << 20) if unlisted else 96 << 20
    assert (after["cold_bytes"] - before["cold_bytes"], after["hot_bytes"]) == (below, before["hot_bytes"])


def test_e7_a_linked_clone_needs_space_for_its_parent(lab, reset):
    """2 GiB are free, its parent has 100."""
    lab.control("target", "datastore_set", datastore="datastore1", free_bytes=2 * GIB)
    lab.control("source", "vm_set", vm=VM, traits={"below": [["parent/parent.vmdk", 100 * GIB]], "capacity": 100 * GIB})
    found = findings(lab)
    assert {"vm-linked-clone", "datastore-space"} <= found.keys()
    assert "100." in found["datastore-space"]["summary"]


def test_e19_a_chain_without_a_snapshot_is_named(lab, reset):
    """A backup left it: no snapshot, and two files in the VM's own folder."""
    lab.control("source", "vm_set", vm=VM, traits={"below": [[f"{VM}/{VM}-base.vmdk", 1 << 20]]})
    assert set(findings(lab)) == {"vm-delta-disks"}
    assert planned(lab)["cold_bytes"] == 1 << 20


def test_e19_needed_consolidation_is_named(lab, reset):
    """As vCenter says, where no chain is seen."""
    lab.control("source", "vm_set", vm=VM, traits={"consolidate": True})
    assert set(findings(lab)) == {"vm-consolidation"}


def test_e19_an_independent_disk_has_no_part_in_a_snapshot(lab, reset):
    """Its bytes are hot, and no snapshot is warned of."""
    before = planned(lab)
    lab.control("source", "vm_set", vm=VM, traits={"disk_mode": "independent_persistent"})
    lab.control("source", "vm_snapshot", vm=VM)
    assert set(findings(lab)) == {"vm-disk-independent"}
    assert [planned(lab)[key] for key in ("hot_bytes", "cold_bytes")] == [before["hot_bytes"], 0]


def test_e18_a_first_class_disk_is_an_error_unless_it_is_allowed(lab, reset):
    """The disk is named with its id; the configuration turns the error into a warning."""
    lab.control("source", "vm_set", vm=VM, traits={"first_class": "a1b2-fcd"})
    found = findings(lab)
    assert set(found) == {"vm-first-class-disk"}, found
    assert found["vm-first-class-disk"]["severity"] == "error"
    assert "Hard disk 1 is a first-class disk (a1b2-fcd)" in found["vm-first-class-disk"]["summary"]
    before = lab.config.read_text()
    lab.config.write_text(before + "\n[limits]\nfirst_class_disks = true\n")
    try:
        assert findings(lab)["vm-first-class-disk"]["severity"] == "warning"
    finally:
        lab.config.write_text(before)
