"""Where VMs go that are in no folder of their own, and whose networks the account may not see."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lrvmotion.checks import compatibility, metadata, sites
from lrvmotion.config.schema import Config
from lrvmotion.errors import RefusedError
from lrvmotion.lab.spec import MIB, VmSpec
from lrvmotion.plan.placer import Placer
from lrvmotion.vsphere.inventory.collect import collect_vms
from lrvmotion.vsphere.vm.relocate import RelocateMover, find
from lrvmotion.vsphere.vm.relocate_spec import network_backings
from wire.no_net_lab import no_net_lab
from wire.single_moves import CONFIG, arrive, planned


def machines(spec):
    vms = [
        VmSpec(name=f"vm{n}", host="esx-a1", memory_bytes=16 * MIB, disk_bytes=16 * MIB, folder="Prod/Web")
        for n in range(1, 3)
    ]
    vms.append(VmSpec(name="vm3", host="esx-a4", memory_bytes=16 * MIB, disk_bytes=16 * MIB))
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


@pytest.fixture
def hidden(lab):
    for site in ("source", "target"):
        lab.control(site, "hide", names=["DSwitch"])
    yield
    for site in ("source", "target"):
        lab.control(site, "hide")


def test_e22_the_network_of_a_vm_is_known_without_its_switch(lab, hidden):
    """A port group's key is there once in a vCenter."""
    source = lab.inventory("source")
    (vm,) = collect_vms(lab.source, source, [dict(source.vm_names)["vm3"]]).vms
    assert vm.nics[0].network == "dv-VM Network"


def test_e22_a_switch_that_may_not_be_read_is_a_finding(lab, hidden):
    """Of the site; and an error where a VM goes to it, before a move is even tried."""
    networks = lab.inventory("target").networks
    (found,) = sites.switches("target", networks)
    assert (found.code, found.severity) == ("network-switch-unread", "warning")
    assert "dv-VM Network" in found.summary


def test_e22_a_vm_on_a_switch_that_may_not_be_read_is_an_error_before_its_move(lab, hidden):
    """No host of the target takes it, for this reason; nor is a move tried that was planned before."""
    source, target = lab.inventory("source"), lab.inventory("target")
    source = collect_vms(lab.source, source, [dict(source.vm_names)["vm3"]])
    placement, found = Placer(Config.model_validate(CONFIG), source, target).place(source.vms[0])
    assert placement is None
    assert any(item.severity == "error" and "the account may not read" in item.summary for item in found), found
    lab.control("target", "hide")
    migration = planned(lab, "vm3")
    lab.control("target", "hide", names=["DSwitch"])
    (card,) = migration.placement.nics
    unread = replace(migration.placement, nics=(replace(card, network=replace(card.network, switch_uuid=None)),))
    with pytest.raises(RefusedError, match="distributed switch cannot be read"):
        network_backings(lab.target, replace(migration, placement=unread))


def test_e22_a_switch_that_may_be_read_is_none(lab):
    """Nothing is said."""
    assert list(sites.switches("target", lab.inventory("target").networks)) == []


@pytest.fixture
def older(lab):
    lab.control("target", "switch_version", version="6.6.0")
    yield
    lab.control("target", "switch_version", version="7.0.3")


def on_switches(lab, network: str) -> list:
    """Return what is found of vm3, which is on a distributed switch, when it goes to *network*."""
    source, target = lab.inventory("source"), lab.inventory("target")
    source = collect_vms(lab.source, source, [dict(source.vm_names)["vm3"]])
    config = Config.model_validate({**CONFIG, "mappings": {"networks": {"dv-VM Network": network}}})
    placement, found = Placer(config, source, target).place(source.vms[0])
    assert placement is not None, found
    return list(compatibility.switches(source.vms[0], placement, {one.ref: one for one in source.networks}))


def test_b14_switches_of_one_version_are_no_finding(lab):
    """Nothing is said."""
    assert on_switches(lab, "dv-VM Network") == []


def test_b14_switches_of_two_versions_are_a_warning(lab, older):
    """With both versions: vCenter refuses that by default."""
    (found,) = on_switches(lab, "dv-VM Network")
    assert (found.code, found.severity) == ("vm-switch-version", "warning")
    assert "7.0.3 to one of version 6.6.0" in found.summary


def test_b14_from_a_distributed_to_a_standard_switch_is_an_error(lab):
    """vCenter refuses it."""
    (found,) = on_switches(lab, "VM Network")
    assert (found.code, found.severity) == ("vm-switch-kind", "error")
