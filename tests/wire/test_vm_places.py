"""Where VMs go that are in no folder of their own, and whose networks the account may not see."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lrvmotion.checks import metadata
from lrvmotion.lab.spec import MIB, VmSpec
from lrvmotion.vsphere.inventory.collect import collect_vms
from lrvmotion.vsphere.vm.relocate import RelocateMover, find
from wire.no_net_lab import no_net_lab
from wire.test_carried_over import arrive, planned


def machines(spec):
    vms = [
        VmSpec(name=f"vm{n}", host="esx-a1", memory_bytes=16 * MIB, disk_bytes=16 * MIB, folder="Prod/Web")
        for n in range(1, 3)
    ]
    there = VmSpec(name="there", host="esx-b1", memory_bytes=16 * MIB, disk_bytes=16 * MIB, folder="Prod/Web")
    return replace(spec, source=replace(spec.source, vms=tuple(vms)), target=replace(spec.target, vms=(there,)))


@pytest.fixture(scope="module")
def lab():
    with no_net_lab(machines) as running:
        yield running


def test_e10_a_vm_in_a_vapp_goes_to_the_folder_of_the_vapp(lab):
    """Not to the root folder; that the vApp and its start order stay behind is a warning."""
    lab.control("source", "vm_vapp", vm="vm1", vapp="Shop")
    source = lab.inventory("source")
    (vm,) = collect_vms(lab.source, source, [dict(source.vm_names)["vm1"]]).vms
    assert (vm.vapp, vm.folder) == ("Shop", "Prod/Web")
    migration = planned(lab, "vm1")
    assert migration.placement.folder.path == "Prod/Web"
    (found,) = metadata.in_vapp(vm, migration.placement)
    assert (found.code, found.severity) == ("vm-vapp", "warning")
    assert "vApp Shop" in found.summary
    assert "start order" in found.summary
    assert "Prod/Web" in found.summary


def test_e10_a_vm_in_a_vapp_moves(lab):
    """It is in the folder at the target, and out of the vApp at the source."""
    lab.control("source", "vm_vapp", vm="vm2", vapp="Bank")
    migration = planned(lab, "vm2")
    with RelocateMover(lab.source, lab.target) as mover:
        arrive(mover, migration)
        assert not [item for item in mover.verify(migration) if item.severity == "error"]
    assert find(lab.target, migration.instance_uuid).parent.name == "Web"
