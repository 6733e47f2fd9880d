"""Which VMs the user means: by address, pattern or expression, against what the source holds."""

from __future__ import annotations

import ast

import pytest

from collisions import Machines, each_estate, machines
from fakes import inventory
from lrvmotion.config.rvtools import ExportedVm
from lrvmotion.errors import UsageError
from lrvmotion.model.inventory import MoRef
from lrvmotion.model.vm import vm_address
from lrvmotion.model.vm.vm_address import VmIdentity
from lrvmotion.plan import vm_filter, vm_selection
from lrvmotion.plan.vm_filter import Traits
from lrvmotion.plan.vm_selection import Choice, Elsewhere, MovedVm, by_traits

UUIDS = {f"vm-{number}": f"5029a0f4-0000-4000-8000-0000000000{number:02d}" for number in range(10)}


def ref(number: int) -> MoRef:
    return MoRef("VirtualMachine", f"vm-{number}")


def site(name: str, *vms: tuple[str, str]):
    """Return an inventory with VMs (name, folder), vm-0 on, and its lookup, which keeps what it was asked."""
    known = [
        VmIdentity(ref=ref(number), name=own, instance_uuid=UUIDS[f"vm-{number}"], folder=folder, datacenter="DC")
        for number, (own, folder) in enumerate(vms)
    ]
    return inventory(name, (), vm_names=tuple((vm.name, vm.ref) for vm in known)), Told(known)


class Told:
    def __init__(self, known):
        self.known = {vm.ref: vm for vm in known}
        self.asked = []

    def identities(self, refs):
        self.asked.append(list(refs))
        return [self.known[one] for one in refs]

    def by_instance_uuid(self, uuids):
        self.asked.append(sorted(uuids))
        return {vm.instance_uuid: vm.ref for vm in self.known.values() if vm.instance_uuid in uuids}

    def by_bios_uuid(self, uuids):
        """Return what copies share: web1 is one of web1's."""
        self.asked.append(sorted(uuids))
        names = {bios(number): name for number, (name, _) in enumerate(SOURCE) if bios(number) in uuids}
        return {uuid: [ref for ref, vm in self.known.items() if vm.name == name] for uuid, name in names.items()}


def bios(number: int) -> str:
    return f"422e0000-0000-4000-8000-{number:012d}"


SOURCE = (("web1", "Prod/Web"), ("web1", "Test"), ("db1", "Prod"), ("mail ", ""), ("a/b", "Prod"))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"instance_uuid": UUIDS["vm-2"]}, UUIDS["vm-2"]),
        ({"instance_uuid": UUIDS["vm-9"]}, UUIDS["vm-9"]),  # gone: its name is another VM's
        ({"either_uuid": UUIDS["vm-2"]}, UUIDS["vm-2"]),
        ({"either_uuid": bios(2), "name": "renamed"}, "moref:vm-2"),
        ({"bios_uuid": bios(2)}, "moref:vm-2"),
        ({"bios_uuid": bios(9)}, bios(9)),
        ({"bios_uuid": bios(0), "name": "web1", "folder": "Test"}, "moref:vm-1"),
        ({"bios_uuid": bios(0), "name": "web1"}, "web1"),
        ({}, "moref:vm-2"),
        ({"datacenter": "DC", "folder": "/DC/vm/Prod"}, "moref:vm-2"),
        ({"datacenter": "DC2"}, "DC2:db1"),
        ({"datacenter": "DC", "folder": "vm/Test"}, "DC:vm/Test/db1"),
        ({"folder": "Test"}, "Test/db1"),
        ({"name": "nobody"}, "nobody"),
    ],
)
def test_a_row_of_an_export_is_one_vm_or_none(row, said):
    """By its UUID, whatever it is called; a VM of its name is not taken for one that is gone."""
    here, lookup = site("source", *SOURCE)
    vm = ExportedVm(**{"line": 2, "name": "db1", "template": False, "server": "vc", "server_uuid": "", **row})
    assert vm_selection.exported(here, [vm], lookup) == [said]


def test_rows_of_an_export_cost_three_questions():
    """However many there are."""
    here, lookup = site("source", *SOURCE)
    rows = [
        ExportedVm(line=line, name="a", template=False, server="vc", server_uuid="", either_uuid=bios(line))
        for line in range(2, 5_000)
    ]
    vm_selection.exported(here, rows, lookup)
    assert len(lookup.asked) <= 3


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("db1", 2), ("Prod/Web/web1", 0), ("DC:Test/web1", 1), ("moref:vm-1", 1), (UUIDS["vm-0"].upper(), 0),
        ("mail ", 3), ("DC:mail ", 3), (" db1 ", 2), (" moref:vm-1", 1), ("a/b", 4), ("Prod/a/b", 4),
    ],
)  # fmt: skip
def test_a_vm_can_be_named_in_any_way(said, found):
    """By name, path, UUID or reference, whatever blanks a spreadsheet left around it."""
    here, lookup = site("source", *SOURCE)
    assert vm_selection.resolve(here, [said], lookup) == [ref(found)]


def test_nothing_is_asked_for_a_plain_name():
    """However many VMs there are."""
    here, lookup = site("source", *SOURCE)
    vm_selection.resolve(here, ["db1"], lookup)
    assert lookup.asked == []


def test_a_path_costs_a_look_at_the_vms_that_may_be_meant():
    """And all of them are read at once."""
    here, lookup = site("source", *SOURCE)
    vm_selection.resolve(here, ["Prod/Web/web1", "Prod/db1"], lookup)
    assert lookup.asked == [[ref(0), ref(1), ref(2)]]


def test_an_ambiguous_name_is_refused_with_all_that_it_may_mean():
    """In the form that can be typed: each of them means one VM."""
    here, lookup = site("source", *SOURCE)
    with pytest.raises(UsageError) as caught:
        vm_selection.resolve(here, ["web1"], lookup)
    assert caught.value.message == "source: 2 VMs are called 'web1': 'Prod/Web/web1', 'Test/web1'"
    assert "rename" not in caught.value.hint


def test_a_name_that_is_another_vms_path_is_ambiguous():
    """Slashes are allowed in names."""
    here, lookup = site("source", ("Prod/db1", ""), ("db1", "Prod"))
    with pytest.raises(UsageError, match="2 VMs are called 'Prod/db1': 'moref:vm-0', 'moref:vm-1'"):
        vm_selection.resolve(here, ["Prod/db1"], lookup)


def test_one_vm_named_in_two_ways_is_named_twice():
    """Whichever ways."""
    here, lookup = site("source", *SOURCE)
    with pytest.raises(UsageError, match="'moref:vm-2' and 'db1' are one VM"):
        vm_selection.resolve(here, ["db1", "moref:vm-2"], lookup)
    with pytest.raises(UsageError, match="'db1' is named 2 times"):
        vm_selection.resolve(here, ["db1", "db1"], lookup)


def test_every_mistake_of_a_file_is_told_with_its_line():
    """The first twenty; near misses are in quotation marks, for names may end in a blank."""
    here, lookup = site("source", *SOURCE)
    with pytest.raises(UsageError) as caught:
        vm_selection.resolve(here, ["mail"], lookup, lines={"mail": 2}, where="vms.csv")
    assert caught.value.message == "vms.csv: source: line 2: no VM is called 'mail'"
    assert caught.value.hint == "did you mean 'mail '?"
    many = [f"x{number}" for number in range(500)]
    with pytest.raises(UsageError) as caught:
        vm_selection.resolve(here, many, lookup, where="vms.csv")
    assert len(caught.value.message.splitlines()) == 22
    assert caught.value.message.endswith("and 480 more")


def told(address: str, *moved: MovedVm) -> str | None:
    there, lookup = site("target", ("db", ""), ("renamed", ""), ("app", ""))
    return Elsewhere(target=there, lookup=lookup, moved=moved).told(address)


def test_a_vm_that_is_at_the_target_already_is_told_from_one_that_nobody_has():
    """By its name, with the run that moved it where the journal knows one."""
    assert told("db", MovedVm(vm="db", run="abc234")) == "is at the target already (run abc234)"
    assert told("app") == "is at the target already"
    assert told("dbx") is None


def test_where_the_journal_has_its_uuid_a_vm_at_the_target_is_told_by_that():
    """Renamed since, it is found; another VM of its name is not taken for it."""
    moved = MovedVm(vm="web1", run="abc234", instance_uuid=UUIDS["vm-1"])
    assert told("web1", moved) == "is at the target already (run abc234, called 'renamed')"
    assert told(UUIDS["vm-1"], moved) == "is at the target already (run abc234, called 'renamed')"
    gone = MovedVm(vm="db", run="abc234", instance_uuid=UUIDS["vm-9"])
    assert told("db", gone) == "was moved by run abc234, and the target has it no longer"
    assert told(UUIDS["vm-9"], gone) == "was moved by run abc234, and neither vCenter has it now"


def test_what_is_not_at_the_source_is_refused_in_the_words_of_where_it_is():
    """And a VM that both have is the source's."""
    here, lookup = site("source", ("web", ""), ("both", ""))
    there, other = site("target", ("db", ""), ("both", ""))
    elsewhere = Elsewhere(target=there, lookup=other, moved=[MovedVm(vm="both", run="abc234")])
    with pytest.raises(UsageError) as caught:
        vm_selection.resolve(here, ["web", "db", "dbx"], lookup, elsewhere)
    assert caught.value.message == "source: 'db' is at the target already; no VM is called 'dbx'"
    assert vm_selection.resolve(here, ["both"], lookup, elsewhere) == [ref(1)]


def test_a_pattern_means_every_vm_whose_name_or_path_matches():
    """A VM that is called so is meant itself."""
    here, _ = site("source", *SOURCE, ("odd[1]", ""))
    assert vm_selection.patterns(here, ["web*", "db1", "odd[1]", "odd[2]"]) == ["web*", "odd[2]"]
    test = vm_selection.matching(["web*", "Prod/db?"])
    found = [name for name, folder in SOURCE if test(Traits(name=name, folder=folder, datacenter="DC"))]
    assert found == ["web1", "web1", "db1"]


def test_an_expression_may_mean_several_vms_of_one_name():
    """None at all is said."""
    choice = Choice(expression="power=on", test=vm_filter.parse("power=on"))
    found = [(ref(number), Traits(name=name)) for number, name in enumerate("caba")]
    assert [one.value for one in by_traits(choice, found)[0]] == ["vm-1", "vm-3", "vm-2", "vm-0"]
    with pytest.raises(UsageError, match="no VM matches 'power=on'"):
        by_traits(choice, [])


def test_infrastructure_is_left_out_and_counted():
    """vCLS VMs, managed ones, templates, and those that vCenters and relay hosts run in (E17)."""
    found = [
        (ref(0), Traits(name="vCLS-2", managed_by="com.vmware.vim.eam/cluster-agent")),
        (ref(1), Traits(name="vCLS-10", managed_by="VirtualCenter/vcls-entity")),
        (ref(2), Traits(name="edge", managed_by="com.vmware.nsx.management.nsxt/nsx-edge")),
        (ref(3), Traits(name="gold", template=True)),
        (ref(4), Traits(name="vcsa")),
        (ref(5), Traits(name="relay")),
        (ref(6), Traits(name="web")),
    ]
    serving = {ref(4): "target vCenter", ref(5): "relay host r1"}
    choice = Choice(expression="name=*", test=vm_filter.parse("name=*"))
    assert by_traits(choice, found, serving) == (
        [ref(6)],
        {
            "vCLS VM": ["vCLS-2", "vCLS-10"], "managed VM": ["edge"], "template": ["gold"],
            "vCenter appliance": ["vcsa"], "relay host": ["relay"],
        },
    )  # fmt: skip
    with pytest.raises(UsageError, match=r"no VM matches 'name=\*' but what is left out: 1 vCenter appliance"):
        by_traits(choice, found[4:5], serving)


def test_what_is_chosen_comes_as_people_count():
    """vm2 before vm10; names that differ in case only have an order too."""
    names = ["vm100", "vm2", "vm10", "a-10-2", "a-9-30", "VM3"]
    found = [(MoRef("VirtualMachine", name), Traits(name=name)) for name in names]
    choice = Choice(expression="name=*", test=vm_filter.parse("name=*"))
    assert [one.value for one in by_traits(choice, found)[0]] == ["a-9-30", "a-10-2", "vm2", "VM3", "vm10", "vm100"]


def test_what_depends_on_a_vm_names_it_in_any_way_and_means_one_of_the_run():
    """What a plan calls it first; several of one name are refused, one of another run is none."""
    _, lookup = site("source", *SOURCE)
    vms = vm_address.by_form(lookup.known.values())
    called = {"before": ref(2)}
    for said, meant in (("Test/web1", [ref(1)]), ("before", [ref(2)]), (UUIDS["vm-3"].upper(), [ref(3)]), ("x", [])):
        assert vm_selection.within(said, vms, called, "depends_on") == meant
    with pytest.raises(
        UsageError, match="depends_on: 2 VMs of this run are called 'web1': 'Prod/Web/web1', 'Test/web1'"
    ):
        vm_selection.within("web1", vms, called, "depends_on")


def test_a_path_that_is_no_vms_has_near_misses_by_its_last_part():
    """The name may be another one in that folder, or the folder another one."""
    here, lookup = site("source", *SOURCE)
    with pytest.raises(UsageError) as caught:
        vm_selection.resolve(here, ["DC:Prod/Web/mail1"], lookup)
    assert caught.value.hint == "did you mean 'mail '?"


@each_estate
def test_whatever_vms_are_called_each_address_means_what_the_guide_says(draw):
    """One VM is that VM, several are refused with all of them as they can be typed, none is refused."""
    there = machines(draw)
    here = inventory("source", (), vm_names=tuple((vm.name, vm.ref) for vm in there.known))
    for said in there.sayable():
        meant = there.called(said)
        if len(meant) == 1:
            assert vm_selection.resolve(here, [said], there) == [meant[0].ref], said
            continue
        with pytest.raises(UsageError) as caught:
            vm_selection.resolve(here, [said], there)
        if not meant:
            assert f"no VM is called {said!r}" in caught.value.message
            continue
        told, _, listed = caught.value.message.partition(f"{len(meant)} VMs are called {said!r}: ")
        assert told == "source: "
        offered = ast.literal_eval(f"[{listed}]")
        assert vm_selection.resolve(here, offered, there) == [there.called(way)[0].ref for way in offered]
        assert {there.called(way)[0].ref for way in offered} == {vm.ref for vm in meant}


@each_estate
def test_whatever_vms_are_called_a_run_has_one_name_for_each(draw):
    """No two of those chosen have one name, and what a plan calls a VM means no other one of it."""
    there = machines(draw)
    chosen = draw.sample(there.known, draw.randint(1, len(there.known)))
    names = vm_address.labels(chosen)
    assert len(set(names.values())) == len(chosen)
    for vm in chosen:
        assert [one.ref for one in Machines(tuple(chosen)).called(names[vm.ref])] == [vm.ref], names[vm.ref]
    assert all(name == f"moref:{ref.value}" for ref, name in names.items() if name.startswith("moref:"))
    by_form = vm_address.by_form(chosen)
    for said in there.sayable():
        meant = [vm.ref for vm in Machines(tuple(chosen)).called(said)]
        if said != said.strip():  # what a wave or a CSV file says is stripped
            continue
        if len(meant) > 1:
            with pytest.raises(UsageError, match=f"{len(meant)} VMs of this run are called"):
                vm_selection.within(said, by_form, {}, "waves")
        else:
            assert vm_selection.within(said, by_form, {}, "waves") == meant, said
