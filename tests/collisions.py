"""Small estates in which everything may be called like anything else, and what a name means there, told without ours.

The product lists the ways to say a thing and looks names up; here a name is taken apart and held against each thing, as
docs/guide.md has the ways. Each property is tried on 300 estates, LRVMOTION_ESTATES=10000 on so many.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fakes import host as fake_host
from fakes import inventory
from lrvmotion.model.inventory import Datastore, Folder, Host, Inventory, MoRef, Network, Pool, StoragePod
from lrvmotion.model.vm.vm_address import VmIdentity

ESTATES = int(os.environ.get("LRVMOTION_ESTATES", "300"))
NOUNS = ("network", "datastore", "VM folder", "resource pool")
WORDS = (
    "a", "a", "b", "a/b", "DC:a", "DC:a/b", "x:y/z", "Resources", "Cluster", "moref:datastore-1", "moref:network-1",
    "A", "a ", "DC/a",
)  # fmt: skip
CENTERS = ("DC", "EU/DC", "DC2", "a", "")
CLUSTERS = ("Cluster", "Cluster", "a", "a/b")
UUIDS = tuple(f"5029ABCD-0000-4000-8000-00000000000{number}" for number in range(4))


def each_estate(test: Callable[[random.Random], None]) -> Callable[[], None]:
    """Make *test* of one estate a test of ESTATES of them, the same ones every time."""

    def all_of_them() -> None:
        for seed in range(ESTATES):
            try:
                test(random.Random(seed))
            except BaseException as error:
                error.add_note(f"in estate {seed}")
                raise

    all_of_them.__name__, all_of_them.__doc__ = test.__name__, test.__doc__
    return all_of_them


def _cut(said: str) -> Iterator[tuple[str, str]]:
    """Give (datacenter, rest) for every colon in *said*."""
    return ((said[:at], said[at + 1 :]) for at, sign in enumerate(said) if sign == ":")


def _is_in(place: Any, center: str) -> bool:
    """Whether *place* is in the datacenter *center*, said by its path or its own name."""
    return bool(center) and center in {place.datacenter, place.datacenter.split("/")[-1]}


@dataclass(frozen=True)
class World:
    """One vCenter; *below* has the names of each pool from its cluster's root pool on."""

    inventory: Inventory
    below: Mapping[MoRef, tuple[str, ...]]

    def places(self, noun: str) -> Sequence[Any]:
        there = self.inventory
        kinds: dict[str, Sequence[Any]] = {
            "network": there.networks, "datastore": (*there.datastores, *there.pods), "VM folder": there.folders,
            "resource pool": there.pools,
        }  # fmt: skip
        return kinds[noun]

    def names(self, place: Any) -> tuple[set[str], set[str]]:
        """Return what *place* is called by itself, and what after its datacenter and a colon."""
        if isinstance(place, Folder):
            return {place.path}, {place.path}
        if isinstance(place, Pool):
            below = self.below[place.ref]
            whole = {"/".join([place.cluster, *below]), "/".join([place.cluster, "Resources", *below])}
            return whole | set("/".join(below).split("/")[-1:] if below else ()), whole
        own = {place.name}
        if isinstance(place, Network) and place.switch:
            own.add(f"{place.switch}/{place.name}")
        return own, own | {place.path}

    def called(self, noun: str, said: str) -> list[Any]:
        """Return every place that is called so, on whatever host; an id means its object alone."""
        everything = self.places(noun)
        for place in everything:
            if said == f"moref:{place.ref.value}":
                return [place]
        found = []
        for place in everything:
            alone, inside = self.names(place)
            if said in alone or any(_is_in(place, center) and rest in inside for center, rest in _cut(said)):
                found.append(place)
        return found

    def meant(self, noun: str, said: str, host: Host) -> list[Any]:
        """Return the places that *said* means of those that *host* has and that a VM on it can be given."""
        found = [place for place in self.called(noun, said) if self.has(host, place)]
        ports = {one.name for one in found if isinstance(one, Network) and one.kind == "distributed"}
        return [one for one in found if not (isinstance(one, Network) and one.kind == "opaque" and one.name in ports)]

    def has(self, host: Host, place: Any) -> bool:
        if isinstance(place, Network):
            return place.ref in host.networks and not (place.kind == "distributed" and place.switch_uuid is None)
        if isinstance(place, Pool):
            return place.owner == host.compute
        if isinstance(place, Folder):
            return host.datacenter in {"", place.datacenter}
        return any(store.ref in host.datastores and host.ref not in store.barred for store in self.stores(place))

    def stores(self, place: Any) -> list[Datastore]:
        """Return the datastore, or the members of the datastore cluster."""
        return [store for store in self.inventory.datastores if place.ref in (store.ref, store.pod)]

    def usable(self, host: Host, place: Any) -> list[Datastore]:
        """Return those of stores() that take a disk of a VM on *host*."""
        return [
            store for store in self.stores(place)
            if store.ref in host.datastores and host.ref not in store.barred
            and store.accessible and not store.maintenance
        ]  # fmt: skip

    def forms(self, place: Any) -> list[str]:
        """Return every way to say *place*."""
        alone, inside = self.names(place)
        centers = {center for center in (place.datacenter, place.datacenter.split("/")[-1]) if center}
        return sorted({*alone, *(f"{one}:{name}" for one in centers for name in inside), f"moref:{place.ref.value}"})

    def sayable(self, noun: str) -> list[str]:
        """Return every way to say a place of this kind, and much that means nothing or something by chance."""
        ways = {said for place in self.places(noun) for said in self.forms(place)}
        return sorted({*ways, *WORDS, "nothing", "moref:none-1", "moref:", "DC:", "DC:nothing", "a/nothing", ":", "/"})

    def only(self, noun: str, place: Any) -> list[str]:
        """Return the ways to say *place* that mean no other one in the whole vCenter."""
        return [said for said in self.forms(place) if self.called(noun, said) == [place]]


def _refs(kind: str, name: str, count: int) -> list[MoRef]:
    return [MoRef(kind, f"{name}-{number}") for number in range(1, count + 1)]


def world(draw: random.Random, site: str = "target", *, hosts: int = 4) -> World:
    """Return a vCenter with collisions of names, paths, switches, twins of segments and mounts of single hosts."""

    def few(things: Collection[Any], share: float = 0.6) -> frozenset[Any]:
        return frozenset(thing for thing in things if draw.random() < share)

    def center() -> str:
        return draw.choice(CENTERS)

    def path(name: str) -> str:
        return draw.choice(("", "", "a/", "b/")) + name

    host_refs = _refs("HostSystem", "host", draw.randint(1, hosts))
    words = [draw.choice(WORDS) for _ in range(3)]  # fewer still, so that most are there more than once
    words.append(draw.choice(("moref:datastore-1", "moref:network-1", "moref:group-v-1", *words)))
    pods = [
        StoragePod(ref=ref, name=name, datacenter=center(), path=path(name))
        for ref in _refs("StoragePod", "group-p", draw.randint(0, 2)) for name in [draw.choice(words)]
    ]  # fmt: skip
    stores = []
    for ref in _refs("Datastore", "datastore", draw.randint(1, 6)):
        pod, name = draw.choice([None, *pods]), draw.choice(words)
        stores.append(
            Datastore(
                ref=ref, name=name, capacity_bytes=2**50, free_bytes=2**49, path=path(name),
                datacenter=pod.datacenter if pod else center(), pod=pod.ref if pod else None,
                accessible=draw.random() < 0.9, maintenance=draw.random() < 0.1, barred=few(host_refs, 0.15),
            )
        )  # fmt: skip
    networks = []
    for ref in _refs("Network", "network", draw.randint(1, 6)):
        kind, name = draw.choice(("standard", "distributed", "distributed", "opaque")), draw.choice(words)
        ports = kind == "distributed"
        networks.append(
            Network(
                ref=ref, name=name, kind=kind, path=path(name), datacenter=center(),
                switch=draw.choice(("a", "b", "DC:a")) if ports else "", portgroup_key=ref.value if ports else None,
                switch_uuid=draw.choice(("u", "u", "u", None)) if ports else None,
            )
        )  # fmt: skip
    clusters = [(ref, draw.choice(CLUSTERS), center()) for ref in _refs("ClusterComputeResource", "domain-c", 3)]
    below = {}
    pools = []
    for ref in _refs("ResourcePool", "resgroup", draw.randint(3, 7)):
        first = len(pools) < len(clusters)
        owner, name, at = clusters[len(pools)] if first else draw.choice(clusters)
        below[ref] = () if first else tuple(draw.choice(words) for _ in range(draw.randint(1, 2)))
        whole = "/".join([name, "Resources", *below[ref]])
        pools.append(Pool(ref=ref, path=whole, cluster=name, owner=owner, datacenter=at))
    centers = [one for one in CENTERS if one]
    folders = [
        Folder(ref=ref, path=path(draw.choice(words)) if number >= len(centers) else "", datacenter=centers[number % 4])
        for number, ref in enumerate(_refs("Folder", "group-v", len(centers) + draw.randint(0, 5)))
    ]
    made = []
    for ref in host_refs:
        number = draw.randrange(len(clusters))
        made.append(
            fake_host(
                f"esx{len(made)}", f"10.0.0.{len(made) + 1}", ref=ref, compute=clusters[number][0],
                cluster=clusters[number][1], pool=pools[number].ref, datacenter=draw.choice((*centers, "")),
                networks=few([one.ref for one in networks]), datastores=few([one.ref for one in stores]),
                in_maintenance=draw.random() < 0.1,
            )
        )  # fmt: skip
    there = inventory(
        site, tuple(made), datastores=tuple(stores), pods=tuple(pods), networks=tuple(networks), pools=tuple(pools),
        folders=tuple(folders),
    )  # fmt: skip
    return World(there, below)


@dataclass(frozen=True)
class Machines:
    """The VMs of one vCenter, which has an instance UUID once; it answers as the vCenter does (vm_selection.Lookup)."""

    known: tuple[VmIdentity, ...]

    def identities(self, refs: Collection[MoRef]) -> list[VmIdentity]:
        by_ref = {vm.ref: vm for vm in self.known}
        return [by_ref[ref] for ref in refs]

    def by_instance_uuid(self, uuids: Collection[str]) -> dict[str, MoRef]:
        return {vm.instance_uuid.lower(): vm.ref for vm in self.known if vm.instance_uuid.lower() in uuids}

    def called(self, said: str) -> list[VmIdentity]:
        """Return the VMs that *said* means by name, path and UUID; an id means its VM alone.

        Blanks at the ends of *said* are left out where it means nothing with them.
        """
        for way in (said, said.strip()):
            own = [vm for vm in self.known if way == f"moref:{vm.ref.value}"]
            if found := own or [vm for vm in self.known if self._is_called(vm, way)]:
                return found
        return []

    def _is_called(self, vm: VmIdentity, said: str) -> bool:
        if said == vm.name or said.lower() == vm.instance_uuid.lower() != "":
            return True
        if vm.folder is None:
            return False
        path = f"{vm.folder}/{vm.name}" if vm.folder else vm.name
        return said == path or any(_is_in(vm, center) and rest == path for center, rest in _cut(said))

    def sayable(self) -> list[str]:
        ways = {*WORDS, *UUIDS, "nothing", "moref:vm-99", "DC:nothing", "", " ", "/", ":"}
        for vm in self.known:
            paths = {f"{vm.folder}/{vm.name}" if vm.folder else vm.name} if vm.folder is not None else set()
            centers = {vm.datacenter, vm.datacenter.split("/")[-1]}
            ways |= {vm.name, vm.instance_uuid, vm.instance_uuid.lower(), f"moref:{vm.ref.value}", *paths}
            ways |= {f"{center}:{path}" for center in centers for path in paths}
        return sorted({blank + way + blank for way in ways for blank in ("", " ")})


def machines(draw: random.Random) -> Machines:
    """Return VMs that are called like each other, and like paths, UUIDs and references of each other; some in vApps."""
    names = (
        *(draw.choice(WORDS) for _ in range(3)),
        "a",
        " a",
        "b/a",
        "moref:vm-1",
        UUIDS[0].lower(),
        UUIDS[1],
        "'a '",
    )
    free = list(UUIDS) + [""] * 4
    draw.shuffle(free)
    return Machines(
        tuple(
            VmIdentity(
                ref=ref, name=draw.choice(names), instance_uuid=free.pop(),
                folder=folder, datacenter=draw.choice(CENTERS[:4]) if folder is not None else "",
            )
            for ref in _refs("VirtualMachine", "vm", draw.randint(1, 8))
            for folder in [draw.choice(("", "", "a", "b", "a/b", "DC:a", None))]
        )
    )  # fmt: skip
