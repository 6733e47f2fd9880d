"""In which ways a place of a vCenter may be said: name, datacenter:path, switch/portgroup, cluster/pool, moref:id."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from lrvmotion.model.inventory import (
    MOREF,
    Datastore,
    Folder,
    Host,
    Inventory,
    MoRef,
    Network,
    Pool,
    StoragePod,
    did_you_mean,
)

Place = Datastore | StoragePod | Network | Pool | Folder | Host
P = TypeVar("P", bound=Place)

ROOT_POOL = "Resources"  # what vSphere calls the root pool of every cluster


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster of hosts, or a host that is in none: what a ComputeResource is."""

    ref: MoRef
    name: str
    datacenter: str


def spellings(place: Place | Cluster) -> tuple[str, ...]:
    """Return every way to say *place*, the plainest first; the last one, "moref:datastore-12", means no other.

    The others may mean several places: names and paths are unique in a datacenter at most, and NSX port groups of one
    name are in one folder.
    """
    return tuple(dict.fromkeys((*_spelled(place), f"{MOREF}{place.ref.value}")))


def _spelled(place: Place | Cluster) -> Iterator[str]:
    match place:
        case Host():
            yield place.name
        case Cluster():
            yield place.name
            yield from _in(place.datacenter, place.name)
        case Folder():
            yield place.path
            yield from _in(place.datacenter, place.path)
        case Pool():
            below = place.path.removeprefix(f"{place.cluster}/{ROOT_POOL}")
            short = place.cluster + below if below != place.path else place.path
            yield from (place.path, short)
            yield from _in(place.datacenter, place.path, short)
            if below:
                yield below.rpartition("/")[2]
        case Network():
            yield place.name
            if place.switch:
                yield f"{place.switch}/{place.name}"
            yield from _in(place.datacenter, place.path or place.name, place.name)
            if place.switch:
                yield from _in(place.datacenter, f"{place.switch}/{place.name}")
        case Datastore() | StoragePod():
            yield place.name
            yield from _in(place.datacenter, place.path or place.name, place.name)


def _in(datacenter: str, *paths: str) -> Iterator[str]:
    """Give *paths* in *datacenter*, which is said by its name or by its path."""
    if datacenter:
        for said in dict.fromkeys((datacenter.rpartition("/")[2], datacenter)):
            yield from (f"{said}:{path}" for path in paths)


class Names(Generic[P]):
    """The places of one kind in a vCenter, by every way to say them."""

    def __init__(self, places: Iterable[P]) -> None:
        self._said: dict[str, list[P]] = {}
        self._refs: dict[str, P] = {}
        for place in places:
            self._refs[f"{MOREF}{place.ref.value}"] = place
            for said in spellings(place):
                self._said.setdefault(said, []).append(place)

    def find(self, said: str) -> list[P]:
        """Return what *said* means, wherever it is; an id means its object, whatever else has that name."""
        if said in self._refs:
            return [self._refs[said]]
        return self._said.get(said, [])

    def __contains__(self, said: str) -> bool:
        return said in self._said

    def __iter__(self) -> Iterator[str]:
        """Give every way to say each of them, ids left out: for near misses."""
        return (said for said in self._said if said not in self._refs)

    def plain(self) -> list[str]:
        """Return the plainest way to say each of them: for lists of what there is."""
        return [spellings(place)[0] for place in self._refs.values()]

    def typed(self, place: P) -> str:
        """Return the plainest way to say *place* that means no other one."""
        ways = spellings(place)
        return next((way for way in ways[:-1] if [one.ref for one in self.find(way)] == [place.ref]), ways[-1])


class SiteNames:
    """Every kind of place of one vCenter by name; *stores* are datastores and datastore clusters."""

    def __init__(self, inventory: Inventory) -> None:
        self.hosts = Names(inventory.hosts)
        self.stores: Names[Datastore | StoragePod] = Names((*inventory.datastores, *inventory.pods))
        self.networks = Names(inventory.networks)
        self.folders = Names(inventory.folders)
        self.pools = Names(inventory.pools)

    def of(self, noun: str) -> Names[Any]:
        """Return the places that users call a *noun*: host, resource pool, VM folder, datastore, network."""
        kinds: dict[str, Names[Any]] = {
            "host": self.hosts, "resource pool": self.pools, "VM folder": self.folders, "datastore": self.stores,
            "network": self.networks,
        }  # fmt: skip
        return kinds[noun]


def near_misses(said: str, names: Names[Any]) -> str:
    """Return a hint with the names nearest to *said*; to one that is a path, nearest of all ways to say them."""
    plain = names.plain()
    if ":" in said or "/" in said:
        near = difflib.get_close_matches(said, list(names), n=3, cutoff=0.5)
        return did_you_mean(said, near or plain)
    return did_you_mean(said, plain)


def cluster(host: Host) -> Cluster:
    """Return the cluster of *host*."""
    return Cluster(ref=host.compute or MoRef("ComputeResource", ""), name=host.cluster, datacenter=host.datacenter)
