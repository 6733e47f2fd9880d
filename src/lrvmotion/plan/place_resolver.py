"""What a name means on one target host: among its networks and mounts, in its datacenter and its cluster; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from lrvmotion.model.inventory import Datastore, Folder, Host, Inventory, Network, Pool, StoragePod
from lrvmotion.model.place_names import Names, P, SiteNames

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Why a name does not lead to one place on a host.

    *reason* goes on after the host's name: "does not mount datastore gold". *candidates* are what the name means there
    where that is several, each as it can be typed. *unusable* is a datastore that is there and takes nothing.
    """

    noun: str
    said: str
    reason: str
    candidates: tuple[str, ...] = ()
    unusable: Datastore | None = None


class Resolver:
    """Looks names up for hosts of the *target*; answers are kept, as thousands of VMs ask the same."""

    def __init__(self, target: Inventory) -> None:
        self.names = SiteNames(target)
        self._members: dict[object, list[Datastore]] = {}
        for store in target.datastores:
            if store.pod is not None:
                self._members.setdefault(store.pod, []).append(store)
        self._roots = {pool.ref: pool for pool in target.pools}
        self._kept: dict[tuple[str, str, str], Any] = {}

    def network(self, host: Host, said: str) -> Network | Trouble:
        """Return the network of *host*; of an NSX segment that is there twice the port group."""
        return self._once("network", host, said, self._network)

    def stores(self, host: Host, said: str) -> tuple[Datastore, ...] | Trouble:
        """Return the datastore that *host* mounts, or the members of a datastore cluster that it can write to."""
        return self._once("datastore", host, said, self._stores)

    def folder(self, host: Host, said: str) -> Folder | Trouble:
        """Return the VM folder in the datacenter of *host*."""
        return self._once("VM folder", host, said, self._folder)

    def pool(self, host: Host, said: str | None) -> Pool | Trouble:
        """Return the pool of the cluster of *host*, its root where none is *said*."""
        if said is None:
            root = self._roots.get(host.pool)
            return root or _pool_missing(host, "")
        return self._once("resource pool", host, said, self._pool)

    def _once(self, noun: str, host: Host, said: str, look: Callable[[Host, str], R]) -> R:
        key = (noun, host.ref.value, said)
        if key not in self._kept:
            self._kept[key] = look(host, said)
        kept: R = self._kept[key]
        return kept

    def _network(self, host: Host, said: str) -> Network | Trouble:
        here = [network for network in self.names.networks.find(said) if network.ref in host.networks]
        if not here:
            return Trouble(noun="network", said=said, reason=f"is not on network {said}")
        readable = [network for network in here if network.kind != "distributed" or network.switch_uuid is not None]
        ports = {network.name for network in readable if network.kind == "distributed"}
        found = [network for network in readable if network.kind != "opaque" or network.name not in ports]
        if not found:
            reason = f"is on network {said}, whose distributed switch the account may not read"
            return Trouble(noun="network", said=said, reason=reason)
        return found[0] if len(found) == 1 else _several("network", said, found, self.names.networks)

    def _stores(self, host: Host, said: str) -> tuple[Datastore, ...] | Trouble:
        mounted: dict[Datastore | StoragePod, tuple[Datastore, ...]] = {}
        for place in self.names.stores.find(said):
            members = (place,) if isinstance(place, Datastore) else self._members.get(place.ref, ())
            if here := tuple(store for store in members if store.ref in host.datastores):
                mounted[place] = here
        if not mounted:
            return Trouble(noun="datastore", said=said, reason=f"does not mount datastore {said}")
        writable = {place: tuple(s for s in here if host.ref not in s.barred) for place, here in mounted.items()}
        writable = {place: here for place, here in writable.items() if here}
        if not writable:
            return Trouble(noun="datastore", said=said, reason=f"cannot write to datastore {said}")
        if len(writable) > 1:
            return _several("datastore", said, list(writable), self.names.stores)
        (here,) = writable.values()
        usable = tuple(store for store in here if store.accessible and not store.maintenance)
        if not usable:
            state = "in maintenance mode" if here[0].maintenance else "not accessible"
            reason = f"has datastore {said}, which is {state}"
            return Trouble(noun="datastore", said=said, reason=reason, unusable=here[0])
        return usable

    def _folder(self, host: Host, said: str) -> Folder | Trouble:
        found = [one for one in self.names.folders.find(said) if host.datacenter in {"", one.datacenter}]
        if not found:
            reason = f"is in datacenter {host.datacenter}, which has no VM folder {said!r}"
            return Trouble(noun="VM folder", said=said, reason=reason)
        return found[0] if len(found) == 1 else _several("VM folder", said, found, self.names.folders)

    def _pool(self, host: Host, said: str) -> Pool | Trouble:
        found = [pool for pool in self.names.pools.find(said) if pool.is_of(host)]
        if not found:
            return _pool_missing(host, said)
        return found[0] if len(found) == 1 else _several("resource pool", said, found, self.names.pools)


def _several(noun: str, said: str, found: Sequence[P], names: Names[P]) -> Trouble:
    candidates = tuple(sorted(names.typed(place) for place in found))
    return Trouble(noun=noun, said=said, reason=f"has several of {noun} {said!r}", candidates=candidates)


def _pool_missing(host: Host, said: str) -> Trouble:
    reason = f"is in cluster {host.cluster}, which has no resource pool {said}".rstrip()
    return Trouble(noun="resource pool", said=said, reason=reason)


def troubles(answers: Iterable[object]) -> list[Trouble]:
    """Return those of *answers* that are Trouble, each once."""
    return list(dict.fromkeys(answer for answer in answers if isinstance(answer, Trouble)))
