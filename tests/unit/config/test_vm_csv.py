"""--csv says which VMs and where they go; every mistake is named with its line."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import host, inventory, vm
from lrvmotion.config import schema as configs
from lrvmotion.config import vm_csv
from lrvmotion.config.vm_csv import VmOverride
from lrvmotion.errors import UsageError
from lrvmotion.model.inventory import Datastore, Folder, MoRef, Network, Pool
from lrvmotion.plan.placer import Placer
from worlds import CONFIG, source


def parse(text: str | bytes) -> list[VmOverride]:
    return vm_csv.parse(text if isinstance(text, bytes) else text.encode(), "vms.csv")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_spreadsheets_write_is_read(separator, mark, end):
    """Commas, semicolons or tabs; with and without a byte order mark; either line end; empty lines.

    A VM's name stays letter by letter: names that end in a blank exist.
    """
    rows = [["VM", "Target Host", "note"], ["web 1", "esx-b1", "ours"], ["", "", ""], [" web 2 ", "", ""]]
    found = parse(mark + end.join(separator.join(row) for row in rows) + end)
    assert [(wish.vm, wish.target_host, wish.line) for wish in found] == [("web 1", "esx-b1", 2), (" web 2 ", None, 4)]


def test_every_column_is_read():
    """Networks by card, or one for all of them; a lower wave goes first, else the order stays."""
    text = (
        "vm,target_host,pool,folder,datastore,network,networks,wave\n"
        'b,h,C/Resources,Prod/Web,ds,DMZ,"Network adapter 2=LAN; Network adapter 3 = X=Y",2\n'
        "a,,,,,,,2\nc,,,,,,,1\n"
    )
    found = parse(text)
    assert [wish.vm for wish in found] == ["c", "b", "a"]
    b = found[1]
    assert (b.target_host, b.pool, b.folder, b.datastore) == ("h", "C/Resources", "Prod/Web", "ds")
    networks = [b.network(f"Network adapter {number}") for number in (1, 2, 3)]
    assert networks == ["DMZ", "LAN", "X=Y"]
    assert found[0].network("Network adapter 1") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ["the file is empty"]),
        ("vm\n", ["no VM is listed"]),
        ("name\nx\n", ["line 1: the column 'name' is reserved", "line 1: the column 'vm' is missing"]),
        ("vm,datstore\na,b\n", ["line 1: there is no column 'datstore'; did you mean datastore?"]),
        ("vm,vm\na,b\n", ["line 1: the column 'vm' is there 2 times"]),
        ("vm,window\na,b\n", ["the column 'window' is reserved for a later version"]),
        ("vm,pool\na,x\nb,y\na,z\n", ["line 4: 'a' is on line 2 already"]),
        ("vm,pool\n,x\n \t,y\n", ["line 2: the name of the VM is empty", "line 3: the name"]),
        ("vm,wave\na,first\nb,-1\n", ["line 2: the wave 'first' is not a whole number", "line 3: the wave '-1'"]),
        ("vm,networks\na,LAN\n", ["line 2: 'LAN' is not card=network"]),
        ("vm,pool\na,b,c\n", ["line 2: has 3 cells, the header has 2"]),
        ('vm,pool\n"a,b\n', ["not valid CSV"]),
        ('vm,note\na,"two\nlines"\na,x\n', ["line 4: 'a' is on line 2 already"]),
        (b"vm\nM\xfcller\n", ["line 2 is not UTF-8"]),
        ("VM;Energiestatus;Vorlage;Host;Pfad\n", ["line 1: 4 of 5 columns are unknown, the first is column 2, 'Energ"]),
        (f"vm,wave\na,{'9' * 5000}\n", ["line 2: the wave has 5000 digits"]),
        ("vm,wave\na,\u0665\n", ["line 2: the wave '\u0665' is not a whole number"]),
        (f"vm,note\na,{'x' * 200_000}\n", ["not valid CSV"]),
    ],
    ids=range(18),
)
def test_every_mistake_is_named_with_its_line(text, said):
    """All of them at once."""
    with pytest.raises(UsageError) as caught:
        parse(text)
    for part in said:
        assert part in caught.value.message


cells = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Z")), min_size=1, max_size=10)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=6, unique_by=lambda row: row[0].strip()))
def test_what_is_written_as_csv_is_read_as_it_was(rows):
    """Whatever characters are in it."""
    to = io.StringIO()
    csv.writer(to).writerows([("vm", "datastore"), *rows])
    assert [(wish.vm, wish.datastore) for wish in parse(to.getvalue())] == rows


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60) | st.text(st.sampled_from('vm,;\n\r"\tpool\x00='), max_size=40).map(str.encode))
def test_whatever_is_in_the_file_is_a_list_or_a_sentence(content):
    """Never a traceback."""
    try:
        assert parse(content)
    except UsageError as error:
        assert error.message.startswith("vms.csv: ")


def test_a_name_that_the_target_does_not_have_is_said_with_its_line():
    """And the names near to it."""
    target = inventory("target", (host("b1", "10.99.0.9"),))
    with pytest.raises(UsageError) as caught:
        vm_csv.check(parse("vm,target_host,network\na,b2,VM Network\nb,,VM Netwrk\n"), target, "vms.csv")
    assert "line 2: the target has no host 'b2'" in caught.value.message
    assert "line 3: the target has no network 'VM Netwrk'" in caught.value.message
    assert "did you mean VM Network?" in caught.value.hint


def test_disks_are_listed_with_their_datastores():
    """As cards with their networks."""
    (row,) = parse('vm;disks\nweb;"Hard disk 1=fast; Hard disk 2=DC2:slow"\n')
    assert row.disks == (("Hard disk 1", "fast"), ("Hard disk 2", "DC2:slow"))
    for wrong, text in (("Hard disk 1", "is not disk=datastore"), ("a=x;a=y", "'a' is in the column 'disks' twice")):
        with pytest.raises(UsageError, match=text):
            parse(f"vm,disks\nweb,{wrong}\n")


def test_a_disk_or_card_that_the_vm_has_not_is_said_with_its_line():
    """Else it would go elsewhere than the file says, and nobody would know; of the way back nothing is asked."""
    web = vm("web", "a1")
    (disk, *_), (card, *_) = web.disks, web.nics
    cells = f"{disk.label}=fast;Hard disk 9=slow;*=slow", f"{card.label}=LAN;*=DMZ;Network adapter 7=DMZ"
    text = "vm,disks,networks\nweb," + ",".join(cells) + "\n"
    wanted = {wish.vm: wish for wish in parse(text)}
    with pytest.raises(UsageError) as refused:
        vm_csv.check_parts(wanted, [web], "vms.csv")
    assert "line 2: 'web' has no disk 'Hard disk 9'" in refused.value.message
    assert "line 2: 'web' has no network card 'Network adapter 7'" in refused.value.message
    assert "line 2: 'web' has no disk '*'" in refused.value.message
    assert disk.label in (refused.value.hint or "")
    back = {"web": VmOverride(vm="web", disks=(("Hard disk 9", "slow"),))}
    vm_csv.check_parts(back, [web], "the way back")


def test_a_place_may_be_said_in_every_way():
    """By datacenter or id; one that is not there is a mistake."""
    target = inventory("target", (host("b1", "10.99.0.9"),))
    rows = parse("vm,target_host,folder,datastore\na,moref:host-b1,DC:,moref:datastore-1\n")
    vm_csv.check(rows, target, "vms.csv")
    with pytest.raises(UsageError, match="the target has no datastore 'moref:datastore-9'"):
        vm_csv.check(parse("vm,disks\na,x=moref:datastore-9\n"), target, "vms.csv")


def test_a_file_for_another_vcenter_is_not_told_line_by_line_to_its_end():
    """The first twenty mistakes, and how many more."""
    names = "\n".join(f"vm{number},gold" for number in range(500))
    with pytest.raises(UsageError) as caught:
        vm_csv.check(parse(f"vm,datastore\n{names}\n"), inventory("target", ()), "vms.csv")
    assert len(caught.value.message.splitlines()) == 22
    assert caught.value.message.endswith("and 480 more")


def test_what_the_file_says_wins_over_the_mappings():
    """For that VM, and for nothing that it does not say."""
    refs = {name: MoRef(kind, name) for name, kind in (("ds2", "Datastore"), ("n2", "Network"), ("p2", "ResourcePool"))}
    base = inventory("target", ())
    b1 = host("b1", "10.99.0.9")
    b2 = host(
        "b2", "10.99.0.10", datastores=b1.datastores | {refs["ds2"]}, networks=b1.networks | {refs["n2"]},
    )  # fmt: skip
    target = inventory(
        "target", (b1, b2),
        datastores=(*base.datastores, Datastore(ref=refs["ds2"], name="ds2", capacity_bytes=2**42, free_bytes=2**41)),
        networks=(*base.networks, Network(ref=refs["n2"], name="DMZ", kind="standard")),
        pools=(*base.pools, Pool(ref=refs["p2"], path="Cluster/Resources/Gold", cluster="Cluster")),
        folders=(*base.folders, Folder(ref=MoRef("Folder", "f2"), path="Prod", datacenter="DC")),
    )  # fmt: skip
    config = configs.parse({**CONFIG, "mappings": {"datastores": {"datastore1": "datastore1"}, "hosts": {"a1": "b1"}}})
    rows = parse("vm,target_host,pool,folder,datastore,network\nvm1,b2,Cluster/Resources/Gold,Prod,ds2,DMZ\n")
    placer = Placer(config, source(vm("vm1", "a1")), target, {wish.vm: wish for wish in rows})
    place, found = placer.place(vm("vm1", "a1"))
    assert found == []
    got = (place.host.name, place.pool.path, place.folder.path, place.datastore.name, place.nics[0].network.name)
    assert got == ("b2", "Cluster/Resources/Gold", "Prod", "ds2", "DMZ")
    other, _ = placer.place(vm("vm2", "a1"))
    assert (other.host.name, other.datastore.name) == ("b1", "datastore1")
