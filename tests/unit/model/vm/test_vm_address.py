"""How a VM is named, and what a run calls VMs of one name."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from fakes import inventory, vm
from lrvmotion.model.inventory import MoRef
from lrvmotion.model.vm import vm_address
from lrvmotion.model.vm.vm_address import VmIdentity, labels

UUID = "5029a0f4-0000-4000-8000-00000000000A"


def one(number: int, name: str, folder: str | None = "", datacenter: str = "DC") -> VmIdentity:
    return VmIdentity(
        ref=MoRef("VirtualMachine", f"vm-{number}"), name=name, instance_uuid=f"{UUID[:-2]}{number:02d}", folder=folder,
        datacenter=datacenter if folder is not None else "",
    )  # fmt: skip


def test_a_vm_is_named_in_five_ways():
    """By name, path, path with its datacenter, instance UUID in either case, and reference."""
    web = replace(one(1, "web1", "Prod/Web"), instance_uuid=UUID)
    for said in ("web1", "Prod/Web/web1", "DC:Prod/Web/web1", UUID, UUID.lower(), "moref:vm-1"):
        assert web.is_said(said), said
    for other in ("Web/web1", "Prod/web1", "DC:web1", "vm-1", "web1 ", "/Prod/Web/web1"):
        assert not web.is_said(other), other


def test_a_datacenter_in_a_folder_may_be_named_without_it():
    """Where two folders have one of that name, with it."""
    assert one(1, "web1", "Prod", "EU/DC2").forms[1:4] == ("Prod/web1", "DC2:Prod/web1", "EU/DC2:Prod/web1")
    both = [one(1, "web1", "Prod", "EU/DC2"), one(2, "web1", "Prod", "US/DC2")]
    assert [*labels(both).values()] == ["EU/DC2:Prod/web1", "US/DC2:Prod/web1"]


def test_a_vm_in_a_vapp_has_no_path():
    """It is in no folder: name, UUID and reference are what it has."""
    assert one(1, "web1", None).forms == ("web1", f"{UUID[:-2]}01".lower(), "moref:vm-1")


def test_vms_of_one_name_are_called_by_what_tells_them_apart_and_others_by_their_name():
    """The path; with the datacenter where that is in both; the reference where there is no path."""
    vms = [
        one(1, "web1", "Prod"), one(2, "web1", "Test"), one(3, "db1", "Prod"), one(4, "app", "Prod", "East"),
        one(5, "app", "Prod", "West"), one(6, "app", None), one(7, "mail", ""), one(8, "mail", "Old"),
    ]  # fmt: skip
    assert [labels(vms)[vm.ref] for vm in vms] == [
        "Prod/web1", "Test/web1", "db1", "East:Prod/app", "West:Prod/app", "moref:vm-6", "DC:mail", "Old/mail",
    ]  # fmt: skip


names = st.text(st.sampled_from("ab/: "), min_size=1, max_size=4)


@given(st.lists(st.tuples(names, st.none() | names, st.sampled_from("ab")), max_size=6))
def test_whatever_vms_are_called_a_label_names_one_of_them_and_can_be_typed(given_vms):
    """Slashes, colons and blanks in names and folders included."""
    vms = [one(number, *said) for number, said in enumerate(given_vms)]
    made = labels(vms)
    assert len(set(made.values())) == len(vms)
    for vm_ in vms:
        assert [other.ref for other in vms if other.is_said(made[vm_.ref])] == [vm_.ref]


def test_a_run_calls_its_vms_by_labels_and_keeps_what_a_plan_called_them():
    """The own name stays beside it; a name that ends in a blank is in quotation marks."""
    one_, two = replace(vm("a", "a1"), name="web1", folder="Prod", datacenter="DC"), replace(vm("b", "a1"), name="web1")
    three, four = replace(vm("c", "a1"), name="mail "), replace(vm("d", "a1"), name="now")
    made = vm_address.called(inventory("source", (), (one_, two, three, four)), {four.ref: "before"})
    assert [machine.name for machine in made.vms] == ["Prod/web1", "moref:vm-b", "'mail '", "before"]
    assert [machine.own_name for machine in made.vms] == ["web1", "web1", "mail ", "now"]
