"""Single VMs are looked up by what they can be named by, in a number of calls that no estate's size changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from lrvmotion.errors import UsageError
from lrvmotion.lab.spec import LabSpec, VmSpec
from lrvmotion.model.inventory import MoRef
from lrvmotion.model.vm import vm_address
from lrvmotion.plan import vm_selection
from lrvmotion.vsphere.inventory import vm_lookup
from lrvmotion.vsphere.inventory.collect import collect_vms
from lrvmotion.vsphere.inventory.vm_lookup import VmLookup
from wire.no_net_lab import no_net_lab
from wire.untidy_site import untidy

READS = {"RetrievePropertiesEx", "FindByUuid", "CreateContainerView"}


def spec(base: LabSpec) -> LabSpec:
    """Two datacenters with "web" in Prod/Web of each, one more in its root, and a VM that no other is called as."""
    placed = (
        ("web", "ax1", "Prod/Web"), ("web", "ay1", "Prod/Web"), ("web", "ax1", ""), ("db", "ay1", "Prod"),
    )  # fmt: skip
    vms = tuple(VmSpec(name=name, host=host, folder=folder) for name, host, folder in placed)
    return replace(base, source=replace(untidy(base.source, "a"), vms=vms))


@pytest.fixture(scope="module")
def lab():
    with no_net_lab(spec) as up:
        yield up


@contextmanager
def counted(lab) -> Iterator[dict[str, int]]:
    lab.control("source", "calls_reset")
    made: dict[str, int] = {}
    yield made
    made.update({name: count for name, count in lab.control("source", "calls")["calls"].items() if name in READS})


def by_ref(lab) -> dict[MoRef, dict]:
    return {MoRef("VirtualMachine", vm["moid"]): vm for vm in lab.control("source", "state")["vms"].values()}


def test_vms_of_two_datacenters_with_equal_folders_are_told_apart(lab):
    """By the datacenter's path or its name; the labels of all of them mean one each."""
    here = lab.inventory("source")
    lookup = VmLookup(lab.source, here)
    with pytest.raises(UsageError) as caught:
        vm_selection.resolve(here, ["Prod/Web/web"], lookup)
    assert "'DC2:Prod/Web/web', 'DC:Prod/Web/web'" in caught.value.message
    with pytest.raises(UsageError, match="3 VMs are called 'web'"):
        vm_selection.resolve(here, ["web"], lookup)
    (east,) = vm_selection.resolve(here, ["EU/DC2:Prod/Web/web"], lookup)
    assert vm_selection.resolve(here, ["DC2:Prod/Web/web"], lookup) == [east]
    assert by_ref(lab)[east]["host"] == "ay1"
    refs = [ref for name, ref in here.vm_names if name == "web"]
    called = [vm.name for vm in vm_address.called(collect_vms(lab.source, here, refs)).vms]
    assert sorted(called) == ["DC2:Prod/Web/web", "DC:Prod/Web/web", "DC:web"]
    assert sorted(vm_selection.resolve(here, called, lookup)) == sorted(refs)


def test_a_plain_name_costs_no_call_and_a_path_one(lab):
    """However many VMs and folders there are."""
    here = lab.inventory("source")
    with counted(lab) as calls:
        vm_selection.resolve(here, ["db"], VmLookup(lab.source, here))
    assert calls == {}
    with counted(lab) as calls:
        vm_selection.resolve(here, ["Prod/db", "DC:web"], VmLookup(lab.source, here))
    assert calls == {"RetrievePropertiesEx": 1}


def test_a_uuid_costs_a_search_and_many_one_look_at_all(lab, monkeypatch):
    """Whichever is less."""
    here = lab.inventory("source")
    known = {vm["instance_uuid"]: ref for ref, vm in by_ref(lab).items()}
    with counted(lab) as calls:
        assert VmLookup(lab.source, here).by_instance_uuid(known) == known
    assert calls == {"FindByUuid": 4}
    monkeypatch.setattr(vm_lookup, "SINGLE", 2)
    with counted(lab) as calls:
        assert VmLookup(lab.source, here).by_instance_uuid([*known, "nobody"]) == known
    assert calls == {"CreateContainerView": 1, "RetrievePropertiesEx": 1}
