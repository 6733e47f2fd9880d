"""What does not follow a VM by itself is recorded before its move, given to it after, and looked at, never assumed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lrvmotion.config import Config
from lrvmotion.errors import RefusedError
from lrvmotion.lab.spec import MIB, VmSpec
from lrvmotion.placement import Placer
from lrvmotion.plan import Migration
from lrvmotion.vsphere.collect import collect_vms
from lrvmotion.vsphere.relocate import RelocateMover
from wire.no_net_lab import no_net_lab

CONFIG = {
    "source": {"vcenter": "a", "username": "u", "sha256": "ab" * 32},
    "target": {"vcenter": "b", "username": "u", "sha256": "ab" * 32},
}


def machines(spec):
    vms = [VmSpec(name=f"vm{n}", host="esx-a1", memory_bytes=16 * MIB, disk_bytes=16 * MIB) for n in range(1, 16)]
    return replace(spec, source=replace(spec.source, vms=tuple(vms)))


@pytest.fixture(scope="module")
def lab():
    with no_net_lab(machines) as running:
        yield running


@pytest.fixture
def mover(lab):
    with RelocateMover(lab.source, lab.target) as moving:
        yield moving


def planned(lab, name: str) -> Migration:
    source, target = lab.inventory("source"), lab.inventory("target")
    source = collect_vms(lab.source, source, [dict(source.vm_names)[name]])
    vm = source.vms[0]
    placement, found = Placer(Config.model_validate(CONFIG), source, target).place(vm)
    assert placement is not None, found
    return Migration(
        vm=name, ref=vm.ref, instance_uuid=vm.instance_uuid, source_host=source.host_by_ref(vm.host).name,
        placement=placement, hot_bytes=0, cold_bytes=0, power_state=vm.power_state, snapshots=vm.snapshots,
    )  # fmt: skip


def arrive(mover, migration) -> None:
    mover.start(migration)
    for _ in range(60):
        for update in mover.updates(1.0):
            if update.state in {"success", "error"}:
                assert update.state == "success", update
                return
    raise AssertionError(migration.vm)


def traits(lab, name: str, **given) -> None:
    lab.control("source", "vm_set", vm=name, traits=given)


class Journal(list):
    """What was recorded, and what the lab's target had been asked to change by then."""

    def __call__(self, kind, body):
        assert kind == "carry"
        self.append((body["key"], body["planned"]))


def move(lab, mover, name: str, journal=None) -> dict:
    """Move a VM and return what became of its things: {(kind, name): (carried, reason)}."""
    migration = planned(lab, name)
    baggage = mover.record(migration)
    arrive(mover, migration)
    assert not [f for f in mover.verify(migration) if f.severity == "error"]
    said = mover.carry(migration, baggage, journal if journal is not None else Journal())
    return {(one.kind, one.name): (one.carried, one.reason) for one in said}


def test_what_exists_at_the_target_is_given_and_read_back(lab, mover):
    """A note, attributes and permissions are at the target after the move, each write recorded before it is made."""
    traits(
        lab, "vm1", note="belongs to payroll\nsee wiki", attributes=[["Owner", "sam"], ["Cost", "12"]],
        permissions=["LAB\\ops|ReadOnly"],
    )  # fmt: skip
    lab.control("target", "names_set", attributes=["Owner"])
    journal = Journal()
    said = move(lab, mover, "vm1", journal)
    assert said["note", "note"] == (True, None)
    assert said["attribute", "Owner"] == (True, None)
    assert said["permission", "LAB\\ops"] == (True, None)
    assert said["folder", "vm"] == (True, None)
    assert said["attribute", "Cost"][0] is False
    assert "no attribute Cost at the target" in said["attribute", "Cost"][1]
    assert sorted(journal) == [("attribute/Owner", "sam"), ("permission/LAB\\ops", "ReadOnly, propagated")]


def test_nothing_is_written_that_was_not_recorded(lab, mover):
    """Where the journal cannot be written, nothing is changed at the target, and all of it is listed as not carried."""
    traits(lab, "vm2", attributes=[["Owner", "sam"]], permissions=["LAB\\ops|ReadOnly"])
    lab.control("target", "names_set", attributes=["Owner"])

    def full(kind, body):
        message = "the journal cannot be written"
        raise RefusedError(message)

    said = move(lab, mover, "vm2", full)
    for kind in (("attribute", "Owner"), ("permission", "LAB\\ops")):
        assert said[kind] == (False, "the journal cannot be written")


def test_what_was_written_and_is_not_there_is_not_reported_as_carried(lab, mover):
    """A write that the vCenter refuses is listed as not carried, with its words."""
    traits(lab, "vm3", attributes=[["Owner", "sam"]], permissions=["LAB\\gone", "LAB\\ops|Operators"])
    lab.control("target", "names_set", attributes=["Owner"], strangers=["LAB\\gone"], roles={"Operators": ["VM.Off"]})
    lab.fault("target", method="SetField", fault="vim.fault.NoPermission")
    said = move(lab, mover, "vm3")
    assert said["attribute", "Owner"][0] is False
    assert said["permission", "LAB\\gone"][0] is False
    assert "does not exist" in said["permission", "LAB\\gone"][1]
    assert "other privileges at the target" in said["permission", "LAB\\ops"][1]


def test_rules_are_listed_and_not_carried(lab, mover):
    """DRS rules and settings of single VMs stay behind, and the list says so."""
    rules = [{"name": "apart", "apart": True, "vms": ["vm4", "vm5"]}]
    lab.control("source", "cluster_set", rules=rules, overrides={"vm4": {"ha": "high"}})
    said = move(lab, mover, "vm4")
    lab.control("source", "cluster_set")
    assert said["rule", "apart"][0] is False
    assert said["override", "HA restart priority high"][0] is False


def test_what_could_not_be_read_before_is_said(lab, mover):
    """A kind of thing that was not told before the move is listed as not looked at: neither carried nor absent."""
    lab.fault("source", method="RetrievePropertiesEx", path="configurationEx", fault="vim.fault.NoPermission")
    said = move(lab, mover, "vm6")
    assert said["rule", "DRS rules and settings"][0] is None
