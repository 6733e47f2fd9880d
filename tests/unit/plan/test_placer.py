"""A VM's host comes first, then its places among those of that host, disk by disk."""

from __future__ import annotations

from dataclasses import replace

import pytest

from collisions import each_estate, world
from fakes import host, inventory, vm
from lrvmotion.checks.hosts import no_vmotion
from lrvmotion.config import schema as configs
from lrvmotion.config.vm_csv import VmOverride
from lrvmotion.model.inventory import Datastore, Disk, Folder, Inventory, MoRef, Network, Nic, Pool, StoragePod
from lrvmotion.plan.placer import Placer
from worlds import CONFIG

GIB = 2**30


def store(number: int, name: str, datacenter: str = "DC", **more) -> Datastore:
    content = {"ref": MoRef("Datastore", f"datastore-{number}"), "capacity_bytes": 2**42, "free_bytes": 2**41}
    return Datastore(name=name, datacenter=datacenter, **{**content, "path": name, **more})


def two_datacenters(**more) -> Inventory:
    """Return a target that has datastore, network, pool and folders of one name in each of its datacenters."""
    sides = (("b1", "DC", 1), ("b2", "EU/DC2", 2))
    clusters = {name: MoRef("ClusterComputeResource", f"domain-c{number}") for name, _, number in sides}
    hosts = tuple(
        host(
            name, f"10.99.0.{number}", datacenter=at, compute=clusters[name],
            pool=MoRef("ResourcePool", f"resgroup-{number}"),
            datastores=frozenset({MoRef("Datastore", f"datastore-{number}")}),
            networks=frozenset({MoRef("Network", f"network-{number}")}),
        )
        for name, at, number in sides
    )  # fmt: skip
    content = {
        "datastores": tuple(store(number, "datastore1", at) for _, at, number in sides),
        "networks": tuple(
            Network(ref=MoRef("Network", f"network-{n}"), name="VM Network", kind="standard", datacenter=at)
            for _, at, n in sides
        ),
        "pools": tuple(
            Pool(
                ref=MoRef("ResourcePool", f"resgroup-{n}"), path="Cluster/Resources", cluster="Cluster",
                owner=clusters[name], datacenter=at,
            )
            for name, at, n in sides
        ),
        "folders": tuple(
            Folder(ref=MoRef("Folder", f"group-v{n}{path}"), path=path, datacenter=at)
            for _, at, n in sides for path in ("", "Prod")
        ),
    }  # fmt: skip
    return inventory("target", hosts, **{**content, **more})


def placed(machine, target, *, override=None, source=None, **sections):
    """Return where *machine* goes, and the findings."""
    config = configs.parse({**CONFIG, **sections})
    here = source or inventory("source", (host("a1", "10.88.0.9"),), (machine,))
    overrides = {} if override is None else {machine.name: VmOverride(vm=machine.name, **override)}
    return Placer(config, here, target, overrides).place(machine)


@pytest.mark.parametrize(("name", "datacenter", "number"), [("b1", "DC", 1), ("b2", "EU/DC2", 2)])
def test_every_place_is_of_the_hosts_datacenter(name, datacenter, number):
    """Host, folder, pool, datastore and network of one datacenter, whichever comes last in the inventory (E1, E2)."""
    place, found = placed(vm("vm1", "a1", folder="Prod"), two_datacenters(), override={"target_host": name})
    assert found == []
    assert (place.folder.path, place.folder.datacenter) == ("Prod", datacenter)
    refs = (place.pool.ref.value, place.datastore.ref.value, place.nics[0].network.ref.value)
    assert refs == (f"resgroup-{number}", f"datastore-{number}", f"network-{number}")


def test_where_nobody_chose_a_datacenter_that_is_said():
    """All names mean places in both: a warning; none where hosts, a mapping or a place of one says which."""
    place, found = placed(vm("vm1", "a1"), two_datacenters())
    other = {"DC": "EU/DC2", "EU/DC2": "DC"}[place.host.datacenter]
    assert [(one.code, one.severity, one.summary) for one in found] == [
        (
            "place-datacenters", "warning",
            f"goes to datacenter {place.host.datacenter}; all its names mean places in {other}, too",
        )
    ]  # fmt: skip
    for more in (
        {"override": {"target_host": "b2"}},
        {"override": {"folder": "DC:Prod"}},
        {"mappings": {"hosts": {"a1": "b1"}}},
        {"mappings": {"networks": {"VM Network": "DC2:VM Network"}}},
    ):
        assert placed(vm("vm1", "a1"), two_datacenters(), **more)[1] == []


def test_a_place_of_one_datacenter_chooses_the_host():
    """Of all hosts the one that has it."""
    place, found = placed(vm("vm1", "a1"), two_datacenters(), override={"folder": "DC2:Prod"})
    assert (found, place.host.name) == ([], "b2")
    mappings = {"datastores": {"datastore1": "moref:datastore-2"}}
    assert placed(vm("vm1", "a1"), two_datacenters(), mappings=mappings)[0].host.name == "b2"


def test_what_a_host_does_not_have_is_said_of_that_host():
    """A folder of another datacenter than the host's."""
    wanted = {"target_host": "b1", "folder": "DC2:Prod"}
    place, found = placed(vm("vm1", "a1"), two_datacenters(), override=wanted)
    assert place is None
    assert [(one.code, one.summary) for one in found] == [
        ("host-missing", "no target host can take it: b1 is in datacenter DC, which has no VM folder 'DC2:Prod'")
    ]


def test_hosts_and_places_can_be_said_by_id():
    """In the CSV file and in the configuration's list of hosts."""
    said = "moref:host-b2"
    assert placed(vm("vm1", "a1"), two_datacenters(), override={"target_host": said})[0].host.name == "b2"
    config = configs.parse({**CONFIG, "target": {**CONFIG["target"], "hosts": [said]}})
    machine = vm("vm1", "a1")
    here = inventory("source", (host("a1", "10.88.0.9"),), (machine,))
    assert Placer(config, here, two_datacenters()).place(machine)[0].host.name == "b2"


def test_a_name_that_stays_ambiguous_is_one_finding_with_its_candidates():
    """As they can be typed, and typed so they are taken (E3)."""
    groups = tuple(
        Network(
            ref=MoRef("DistributedVirtualPortgroup", f"dvportgroup-{n}"), name="app", kind="distributed",
            switch=f"NSX-{n}", switch_uuid=f"u{n}", portgroup_key=f"dvportgroup-{n}", datacenter="DC", path="app",
        )
        for n in (1, 2)
    )  # fmt: skip
    target = inventory(
        "target", (host("b1", "10.99.0.1", networks=frozenset(group.ref for group in groups)),), networks=groups
    )
    machine = vm("vm1", "a1", nics=(Nic(key=4000, label="Network adapter 1", mac="", network="VM Network"),) * 2)
    place, found = placed(machine, target, mappings={"networks": {"VM Network": "app"}})
    assert place is None
    assert [(one.code, one.summary) for one in found] == [
        ("place-ambiguous", "network 'app' means 2 places on b1: NSX-1/app, NSX-2/app")
    ]
    place, found = placed(machine, target, mappings={"networks": {"VM Network": "NSX-2/app"}})
    assert place.nics[0].network == groups[1]


def several_disks(*names: str, sizes: tuple[int, ...] = ()) -> tuple[Disk, ...]:
    return tuple(
        Disk(
            key=2000 + n, label=f"Hard disk {n + 1}", datastore=MoRef("Datastore", f"source-{name}"),
            capacity_bytes=GIB, used_bytes=sizes[n] if sizes else GIB,
        )
        for n, name in enumerate(names)
    )  # fmt: skip


def storage(*stores: Datastore, pods=()) -> Inventory:
    at = host("b1", "10.99.0.1", datastores=frozenset(one.ref for one in stores))
    return inventory("target", (at,), datastores=stores, pods=pods)


def from_stores(machine, *names: str) -> Inventory:
    stores = tuple(
        Datastore(ref=MoRef("Datastore", f"source-{name}"), name=name, capacity_bytes=2**42, free_bytes=2**41)
        for name in names
    )
    at = host("a1", "10.88.0.9", datastores=frozenset(one.ref for one in stores))
    return inventory("source", (at,), (machine,), datastores=stores)


def test_each_disk_goes_where_its_own_datastore_is_mapped_to():
    """And the home where its own is (E4)."""
    machine = vm("vm1", "a1", disks=several_disks("os", "data"), home=MoRef("Datastore", "source-data"))
    target = storage(store(1, "gold"), store(2, "silver"))
    place, found = placed(
        machine, target, source=from_stores(machine, "os", "data"),
        mappings={"datastores": {"os": "gold", "data": "silver"}},
    )  # fmt: skip
    assert found == []
    assert [(disk.label, disk.source, disk.datastore.name) for disk in place.disks] == [
        ("Hard disk 1", "os", "gold"), ("Hard disk 2", "data", "silver"),
    ]  # fmt: skip
    assert place.datastore.name == "silver"


def test_the_csv_column_of_a_disk_wins_over_that_of_the_vm():
    """What is not named goes with the VM's."""
    machine = vm("vm1", "a1", disks=several_disks("os", "data"))
    target = storage(store(1, "gold"), store(2, "silver"))
    wanted = {"datastore": "gold", "disks": (("Hard disk 2", "silver"),)}
    place, _ = placed(machine, target, source=from_stores(machine, "os", "data"), override=wanted)
    assert [place.datastore.name, *(disk.datastore.name for disk in place.disks)] == ["gold", "gold", "silver"]


def test_space_counts_by_datastore():
    """A VM that fits on neither alone fits on both; what another VM before it takes counts on its own datastore."""
    disks = several_disks("os", "data", sizes=(30 * GIB, 60 * GIB))
    machine = vm("vm1", "a1", disks=disks, storage_bytes=91 * GIB, memory_bytes=0)
    target = storage(store(1, "os", free_bytes=40 * GIB), store(2, "data", free_bytes=100 * GIB))
    placer = Placer(configs.parse(CONFIG), from_stores(machine, "os", "data"), target)
    assert placer.place(machine)[1] == []
    (found,) = placer.place(replace(machine, name="vm2"))[1][:1]
    assert found.summary == (
        "needs 31.0 GiB on os, its swap file included; "
        "9.0 GiB are free once 31.0 GiB of VMs before it in this plan are there"
    )


def test_a_datastore_cluster_takes_each_disk_on_its_freest_member():
    """Members that the host does not mount, may not write to, or that are emptied, do not count (E16, E23)."""
    pod = StoragePod(ref=MoRef("StoragePod", "group-p1"), name="tier", datacenter="DC", path="tier")
    members = (
        store(1, "tier-1", pod=pod.ref, free_bytes=50 * GIB), store(2, "tier-2", pod=pod.ref, free_bytes=60 * GIB),
        store(3, "tier-3", pod=pod.ref, maintenance=True), store(4, "tier-4", pod=pod.ref, accessible=False),
        store(5, "tier-5", pod=pod.ref, barred=frozenset({MoRef("HostSystem", "host-b1")})),
    )  # fmt: skip
    disks = several_disks("os", "data", sizes=(30 * GIB, 30 * GIB))
    machine = vm("vm1", "a1", disks=disks, storage_bytes=60 * GIB, memory_bytes=0)
    place, found = placed(
        machine, storage(*members, pods=(pod,)), source=from_stores(machine, "os", "data"),
        override={"datastore": "tier"},
    )  # fmt: skip
    assert found == []
    assert [disk.datastore.name for disk in place.disks] == ["tier-2", "tier-1"]


def test_a_host_that_may_only_read_the_datastore_takes_no_vm_there():
    """The other one does (E23)."""
    shared = store(1, "gold", barred=frozenset({MoRef("HostSystem", "host-b1")}))
    hosts = tuple(
        host(name, f"10.99.0.{n}", datastores=frozenset({shared.ref})) for n, name in enumerate(("b1", "b2"), 1)
    )
    target = inventory("target", hosts, datastores=(shared,))
    machine = vm("vm1", "a1")
    mapped = {"mappings": {"datastores": {"datastore1": "gold"}}}
    assert placed(machine, target, **mapped)[0].host.name == "b2"
    _, found = placed(machine, target, override={"target_host": "b1"}, **mapped)
    assert [one.summary for one in found] == ["no target host can take it: b1 cannot write to datastore gold"]


@pytest.mark.parametrize(
    ("nic", "text"),
    [
        ({"network": "Old"}, "is on 'Old', which the source no longer has: it was removed or renamed"),
        ({"network": None}, "is on a port group that was removed, or that the account may not see"),
        ({"network": None, "backed": False}, "is connected to no network"),
    ],
)
def test_a_card_without_a_network_says_what_is_the_matter_and_a_way_that_works(nic, text):
    """And that way works (E9)."""
    machine = vm("vm1", "a1", nics=(Nic(key=4000, label="Network adapter 1", mac="", **nic),))
    _, found = placed(machine, inventory("target", (host("b1", "10.99.0.1"),)))
    assert [(one.code, one.summary) for one in found] == [("nic-without-network", f"Network adapter 1 {text}")]
    assert '"Network adapter 1=NETWORK"' in found[0].hint
    wanted = {"networks": (("Network adapter 1", "VM Network"),)}
    place, found = placed(machine, inventory("target", (host("b1", "10.99.0.1"),)), override=wanted)
    assert (found, place.nics[0].network.name) == ([], "VM Network")


def test_what_the_source_has_twice_is_mapped_by_the_way_that_says_which():
    """A key that means one place wins over one that means several."""
    networks = tuple(
        Network(ref=MoRef("Network", f"s{n}"), name="VM Network", kind="standard", datacenter=at)
        for n, at in ((1, "DC"), (2, "DC2"))
    )
    card = Nic(key=4000, label="Network adapter 1", mac="", network="VM Network", network_ref=networks[1].ref)
    machine = vm("vm1", "a1", nics=(card,))
    source = replace(inventory("source", (host("a1", "10.88.0.9"),), (machine,)), networks=networks)
    there = tuple(
        Network(ref=MoRef("Network", name), name=name, kind="standard", datacenter="DC") for name in ("LAN", "DMZ")
    )
    target = inventory(
        "target", (host("b1", "10.99.0.1", networks=frozenset(one.ref for one in there)),), networks=there
    )
    mappings = {"networks": {"VM Network": "LAN", "DC2:VM Network": "DMZ"}}
    place, found = placed(machine, target, source=source, mappings=mappings)
    assert found == []
    assert (place.nics[0].network.name, place.nics[0].source) == ("DMZ", "DC2:VM Network")


def test_a_key_that_says_the_datacenters_path_wins_over_one_that_says_its_name():
    """Two datacenters are called DC, one of them in the folder EU: "DC:" says both, "EU/DC:" one."""
    source = replace(
        from_stores(vm("vm1", "a1"), "os"),
        datastores=(
            store(1, "datastore1", "DC", ref=MoRef("Datastore", "s1")),
            store(2, "datastore1", "EU/DC", ref=MoRef("Datastore", "s2")),
        ),
    )
    target = storage(store(1, "gold"), store(2, "silver"))
    mappings = {"datastores": {"DC:datastore1": "gold", "EU/DC:datastore1": "silver"}}
    for ref, wanted in (("s1", "gold"), ("s2", "silver")):
        machine = vm("vm1", "a1", home=MoRef("Datastore", ref))
        place, found = placed(machine, target, source=source, mappings=mappings)
        assert (found, place.datastore.name) == ([], wanted)


def test_a_host_that_stands_in_is_of_the_cluster_and_of_the_configured_hosts():
    """It is taken only where the wanted one cannot take the VM."""
    edge, other = (MoRef("ClusterComputeResource", f"domain-c{n}") for n in (1, 2))
    pools = tuple(
        Pool(ref=MoRef("ResourcePool", f"p{at.value}"), path="", cluster="", owner=at) for at in (edge, other)
    )
    hosts = tuple(
        host(
            name, f"10.99.0.{n}", compute=at, pool=MoRef("ResourcePool", f"p{at.value}"), memory_bytes=GIB, used_bytes=n
        )
        for n, (name, at) in enumerate((("b9", other), ("b1", edge), ("b2", edge), ("b3", edge)))
    )
    wanted = {"target_host": "b3", "cluster": "moref:domain-c1"}
    whole = inventory("target", hosts, pools=pools)
    assert placed(vm("vm1", "a1"), whole, override=wanted)[0].host.name == "b3"
    without = replace(whole, hosts=hosts[:3])
    place, found = placed(vm("vm1", "a1"), without, override=wanted)
    assert (place.host.name, [one.summary for one in found]) == (
        "b1", ["goes back to b1 of the same cluster: b3 is not there"],
    )  # fmt: skip
    config = configs.parse({**CONFIG, "target": {**CONFIG["target"], "hosts": ["b9", "b2"]}})
    machine = vm("vm1", "a1")
    here = inventory("source", (host("a1", "10.88.0.9"),), (machine,))
    placer = Placer(config, here, without, {"vm1": VmOverride(vm="vm1", **wanted)})
    assert placer.place(machine)[0].host.name == "b2"
    _, found = placed(vm("vm1", "a1"), replace(whole, hosts=hosts[:1]), override=wanted)
    assert [one.summary for one in found] == ["no target host can take it: b3 is not there"]


def test_a_pool_of_another_cluster_is_the_fault_of_the_host():
    """A cluster has it whose host lacks something else: each host's reason is told, and the finding is the VM's."""
    target = two_datacenters()
    gold = Pool(
        ref=MoRef("ResourcePool", "resgroup-9"), path="Cluster/Resources/Gold", cluster="Cluster",
        owner=target.hosts[1].compute, datacenter="EU/DC2",
    )  # fmt: skip
    target = replace(target, pools=(*target.pools, gold))
    wanted = {"pool": "Gold", "datastore": "DC:datastore1"}
    place, found = placed(vm("vm1", "a1"), target, override=wanted)
    assert place is None
    why = "b1 is in cluster Cluster, which has no resource pool Gold; b2 does not mount datastore DC:datastore1"
    told = [(one.code, one.subject, one.summary) for one in found]
    assert told == [("host-missing", "vm/vm1", f"no target host can take it: {why}")]


def test_a_pool_that_cannot_be_seen_is_told_of_the_vm():
    """The root pool of the host's cluster: only this VM is refused for it."""
    target = two_datacenters(pools=())
    place, found = placed(vm("vm1", "a1"), target, override={"target_host": "b1"})
    assert (place, [(one.code, one.subject) for one in found]) == (None, [("pool-missing", "vm/vm1")])
    assert found[0].summary == "cluster Cluster, which has target host b1, shows no resource pool"


def test_an_ambiguous_name_is_told_with_its_candidates_where_no_host_fits():
    """Beside another reason of the same host."""
    twins = tuple(Folder(ref=MoRef("Folder", f"group-v{n}"), path="Prod", datacenter="DC") for n in (7, 8))
    target = two_datacenters(folders=twins)
    override = {"folder": "Prod", "networks": (("*", "moref:network-2"),), "target_host": "b1"}
    _, found = placed(vm("vm1", "a1"), target, override=override)
    why = "is not on network moref:network-2 and has several of VM folder 'Prod': moref:group-v7, moref:group-v8"
    assert [one.summary for one in found] == [f"no target host can take it: b1 {why}"]


def test_hosts_whose_datacenter_cannot_be_seen_come_last():
    """Which folder is of theirs is not known: vCenter would refuse another datacenter's."""
    target = two_datacenters()
    unseen = replace(target.hosts[0], datacenter="", memory_bytes=2**40)
    seen = replace(target.hosts[1], memory_bytes=2**40, used_bytes=2**39)
    folders = tuple(folder for folder in target.folders if folder.datacenter == seen.datacenter)
    target = replace(target, hosts=(unseen, seen), folders=folders)
    place, found = placed(vm("vm1", "a1"), target)
    assert (found, place.host.name) == ([], "b2")
    assert placed(vm("vm1", "a1"), target, override={"target_host": "b1"})[0].host.name == "b1"


def test_a_host_that_does_not_respond_is_told_so():
    """Not by the word of the API."""
    target = two_datacenters()
    target = replace(target, hosts=(replace(target.hosts[0], connection_state="notResponding"),))
    _, found = placed(vm("vm1", "a1"), target)
    assert found[0].summary == "no target host can take it: b1 does not respond to vCenter"


def test_why_a_target_host_has_no_vmotion_vmknic_that_can_be_used_is_told():
    """One that has IPv6 alone is there, and its service is enabled (E15)."""
    target = two_datacenters()
    bare = replace(target.hosts[0], vmknics=target.hosts[0].vmknics[:1], ipv6_vmotion=("vmk1",))
    _, found = placed(vm("vm1", "a1"), replace(target, hosts=(bare,)))
    why, _ = no_vmotion(bare)
    assert "IPv6" in why
    assert found[0].summary == f"no target host can take it: b1 cannot receive VMs: {why}"


class Move:
    """A VM of random disks and cards, and what is wanted for it, by mappings or by its line of the CSV file."""

    def __init__(self, draw, source, target):
        self.draw, self.source, self.target = draw, source, target
        here = source.inventory
        self.disks = tuple(
            Disk(key=2000 + n, label=f"Hard disk {n + 1}", capacity_bytes=GIB, used_bytes=GIB, datastore=place.ref)
            for n, place in enumerate(draw.choices(here.datastores, k=draw.randint(1, 3)))
        )
        self.cards = tuple(
            Nic(key=4000 + n, label=f"Network adapter {n + 1}", mac="", network=place.name, network_ref=place.ref)
            for n, place in enumerate(draw.choices(here.networks, k=draw.randint(0, 2)))
        )
        self.vm = vm("vm1", "x", host=here.hosts[0].ref, disks=self.disks, nics=self.cards, storage_bytes=0)
        self.stores, self.networks = self.mapped("datastore"), self.mapped("network")
        disk, card = self.disks[-1].label, [card.label for card in self.cards[:1]]
        self.override = VmOverride(
            vm="vm1", line=2, folder=self.say("VM folder", 0.5), pool=self.say("resource pool", 0.3),
            disks=tuple((disk, said) for said in [self.say("datastore", 0.3)] if said),
            networks=tuple((label, said) for label in card for said in [self.say("network", 0.3)] if said),
        )  # fmt: skip

    def say(self, noun, share=1.0):
        """Say some place that a host of the target has, now and then anything; or nothing at all."""
        if self.draw.random() > share:
            return None
        hosts = self.target.inventory.hosts
        there = [place for place in self.target.places(noun) if any(self.target.has(host, place) for host in hosts)]
        if not there or self.draw.random() < 0.1:
            return self.draw.choice(self.target.sayable(noun))
        return self.draw.choice(self.target.forms(self.draw.choice(there)))

    def mapped(self, noun):
        """Map most places of the source: some by a key that means no other one, some by the name that several have."""
        found = {}
        places = self.source.places(noun)
        for place in places:
            own = self.source.only(noun, place) if self.draw.random() < 0.7 else []
            alike = [one for one in places if one.name == place.name]
            if own:
                found[place.ref] = (self.draw.choice(own), self.say(noun))
            elif self.draw.random() < 0.7 and self.source.called(noun, place.name) == alike:
                said = self.say(noun)
                found = {one.ref: (place.name, said) for one in alike} | found
        return found

    def wanted(self):
        """Return what is said for each part of the VM: (noun, part) to the name; None is left to the host."""
        names = {one.ref: one.name for noun in ("datastore", "network") for one in self.source.places(noun)}
        said = {ref: value for ref, (_, value) in (self.stores | self.networks).items()}
        own = dict(self.override.disks + self.override.networks)
        found = {("VM folder", None): self.override.folder or "", ("resource pool", None): self.override.pool}
        for disk in self.disks:
            found["datastore", disk.key] = own.get(disk.label) or said.get(disk.datastore, names[disk.datastore])
        found["datastore", None] = said.get(self.disks[0].datastore, names[self.disks[0].datastore])
        for card in self.cards:
            found["network", card.key] = own.get(card.label) or said.get(card.network_ref, card.network)
        return found

    def means(self, host):
        """Return the places that each part of the VM may have on *host*."""
        roots = [pool for pool in self.target.inventory.pools if pool.ref == host.pool]
        return {
            (noun, part): roots if said is None else self.target.meant(noun, said, host)
            for (noun, part), said in self.wanted().items()
        }

    def fits(self, host, most):
        """Whether *host* has a place for each part, at *most* so many, and can write to it."""
        return not host.in_maintenance and all(
            0 < len(places) <= most and (noun != "datastore" or all(self.target.usable(host, one) for one in places))
            for (noun, _), places in self.means(host).items()
        )


@each_estate
def test_no_vm_is_placed_wrongly_or_refused_where_a_host_has_all_its_places(draw):
    """Whatever is called alike: each disk, card, folder and pool as the guide says, else each ambiguity is named."""
    move = Move(draw, world(draw, "source", hosts=1), world(draw))
    target, wanted = move.target, move.wanted()
    mappings = {"datastores": dict(move.stores.values()), "networks": dict(move.networks.values())}
    config = configs.parse({**CONFIG, "mappings": mappings})
    placer = Placer(config, move.source.inventory, target.inventory, {"vm1": move.override})
    place, found = placer.place(move.vm)
    hosts = [host for host in target.inventory.hosts if move.fits(host, 1)]
    if place is not None:
        assert place.host in hosts
        got = {
            ("VM folder", None): place.folder, ("resource pool", None): place.pool,
            ("datastore", None): place.datastore,
            **{("datastore", disk.key): disk.datastore for disk in place.disks},
            **{("network", nic.key): nic.network for nic in place.nics},
        }  # fmt: skip
        means = move.means(place.host)
        assert got.keys() == means.keys()
        for (noun, part), (meant,) in means.items():
            one = got[noun, part]
            assert one in target.usable(place.host, meant) if noun == "datastore" else one == meant, (noun, part)
        return
    assert hosts == []
    assert {(one.subject, one.severity) for one in found} == {("vm/vm1", "error")}
    told = [one.summary for one in found if one.code == "place-ambiguous"]
    several = {
        f"{noun} {wanted[noun, part]!r} means {len(places)} places on {host.name}: "
        for host in target.inventory.hosts for (noun, part), places in move.means(host).items() if len(places) > 1
    }  # fmt: skip
    assert all(any(summary.startswith(words) for words in several) for summary in told)
    if any(move.fits(host, 99) for host in target.inventory.hosts):
        assert "host-missing" not in {one.code for one in found}
    for summary in [one.summary for one in found if one.code == "host-missing"]:
        for one in [one for one in target.inventory.hosts if not one.in_maintenance]:
            for (noun, part), places in move.means(one).items():
                assert len(places) < 2 or f"has several of {noun} {wanted[noun, part]!r}: " in summary
