"""What is wanted of a VM's places, as names: by its own wishes, else the mappings, else what it has at the source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lrvmotion.config.schema import Config
from lrvmotion.config.vm_csv import VmOverride
from lrvmotion.model.inventory import Datastore, Disk, Host, Inventory, Network, Nic, VirtualMachine
from lrvmotion.model.place_names import Cluster, Names, Place, SiteNames, cluster, spellings


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a VM that has a datastore of its own: a *disk*, or its home (None).

    *size_bytes* is what it needs there, *source* the datastore that it leaves, *said* the one that is wanted.
    """

    disk: Disk | None
    size_bytes: int
    source: str
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A network card; *source* is the network that it leaves, *said* the one that is wanted.

    *known* is whether the source has that network: None as *said* is a card that nobody gave one.
    """

    nic: Nic
    source: str
    said: str | None
    known: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedPlaces:
    """The names wanted for one VM. *hosts* None: every host; *folder_asked*: by somebody, else it is the source's.

    *cluster* is whose other hosts may take it where those of *hosts* cannot. *recorded*: a past run's plan has the
    places; *called* is what it calls those that it has by their reference.
    """

    parts: tuple[Part, ...]
    cards: tuple[Card, ...]
    folder: str
    folder_asked: bool
    hosts: tuple[str, ...] | None
    pool: str | None
    cluster: str | None = None
    recorded: bool = False
    called: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def names(self) -> tuple[object, ...]:
        """All names that lead to a host: VMs of the same ones fit on the same hosts."""
        stores, networks = {part.said for part in self.parts}, {card.said for card in self.cards}
        return self.folder, self.folder_asked, self.pool, frozenset(stores), frozenset(networks)


class PlaceNaming:
    """Names the wanted places of one VM after the other; the configuration's mappings are of places of the *source*."""

    def __init__(self, config: Config, source: Inventory) -> None:
        self._config = config
        self._mappings = config.mappings
        self._names = SiteNames(source)
        self._stores = {store.ref: store for store in source.datastores}
        self._networks = {network.ref: network for network in source.networks}
        self._hosts = {host.ref: host for host in source.hosts}
        self._folders = {(folder.datacenter, folder.path): folder for folder in source.folders}

    def of(self, vm: VirtualMachine, override: VmOverride) -> WantedPlaces:
        """Return what is wanted of *vm*."""
        folder, asked = self._folder(vm, override)
        return WantedPlaces(
            parts=self._parts(vm, override),
            cards=tuple(self._card(vm, nic, override) for nic in vm.nics),
            folder=folder,
            folder_asked=asked,
            hosts=self._wanted_hosts(vm, override),
            pool=override.pool,
            cluster=override.cluster,
            recorded=override.target_host is not None and not override.line,
            called=override.names,
        )

    def usable(self, hosts: Iterable[Host]) -> list[Host]:
        """Return those of the target's *hosts* that the configuration lets VMs go to."""
        chosen = self._config.target.hosts
        return [host for host in hosts if not chosen or any(said in chosen for said in spellings(host))]

    def pool(self, host: Host) -> str | None:
        """Return the pool that VMs on the target *host* are mapped to, None for the root of its cluster."""
        return _mapped(self._mappings.pools, cluster(host))

    def _parts(self, vm: VirtualMachine, override: VmOverride) -> tuple[Part, ...]:
        first = min(vm.disks, key=lambda disk: disk.key, default=None)
        home = self._stores.get(vm.home) if vm.home is not None else None
        if home is None and first is not None and first.datastore is not None:
            home = self._stores.get(first.datastore)
        sizes, rest = _sizes(vm)
        wanted = dict(override.disks)
        parts = [self._part(None, rest + vm.swap_bytes, home, override.datastore)]
        for disk in vm.disks:
            own = self._stores.get(disk.datastore) if disk.datastore is not None else None
            parts.append(self._part(disk, sizes[disk.key], own or home, wanted.get(disk.label) or override.datastore))
        return tuple(parts)

    def _part(self, disk: Disk | None, size: int, store: Datastore | None, said: str | None) -> Part:
        source = self._names.stores.typed(store) if store is not None else ""
        if said is None:
            said = _mapped(self._mappings.datastores, store, self._names.stores) if store is not None else None
        return Part(disk=disk, size_bytes=size, source=source, said=said or (store.name if store is not None else ""))

    def _card(self, vm: VirtualMachine, nic: Nic, override: VmOverride) -> Card:
        network = self._network(vm, nic)
        said = override.network(nic.label)
        if said is None and network is not None:
            said = _mapped(self._mappings.networks, network, self._names.networks)
        if network is None:
            return Card(nic=nic, source=nic.network or "", said=said or nic.network, known=False)
        return Card(nic=nic, source=self._names.networks.typed(network), said=said or network.name, known=True)

    def _network(self, vm: VirtualMachine, nic: Nic) -> Network | None:
        if nic.network_ref is not None:
            return self._networks.get(nic.network_ref)
        named = self._names.networks.find(nic.network) if nic.network is not None else []
        host = self._hosts.get(vm.host) if vm.host is not None else None
        here = [network for network in named if host is not None and network.ref in host.networks]
        return here[0] if len(here) == 1 else None

    def _folder(self, vm: VirtualMachine, override: VmOverride) -> tuple[str, bool]:
        if override.folder is not None:
            return override.folder, True
        folder = self._folders.get((vm.datacenter, vm.folder))
        named = self._names.folders
        said = _mapped(self._mappings.folders, folder, named) if folder else self._mappings.folders.get(vm.folder)
        return (vm.folder, False) if said is None else (said, True)

    def _wanted_hosts(self, vm: VirtualMachine, override: VmOverride) -> tuple[str, ...] | None:
        if override.target_host is not None:
            return (override.target_host,)
        source = self._hosts.get(vm.host) if vm.host is not None else None
        mapped = _mapped(self._mappings.hosts, source, self._names.hosts) if source is not None else None
        if mapped is not None:
            return (mapped,)
        return tuple(self._config.target.hosts) or None


def _mapped(mapping: Mapping[str, str], place: Place | Cluster, names: Names[Any] | None = None) -> str | None:
    """Return what *place* is mapped to: the way to say it that means fewest others counts first.

    By *names* a key that is the id of another place is not of this one, though that be its name.
    """
    ways = [said for said in reversed(spellings(place)) if said in mapping]
    return next((mapping[said] for said in ways if names is None or place in names.find(said)), None)


def _sizes(vm: VirtualMachine) -> tuple[dict[int, int], int]:
    """Return the bytes of each disk's files by its key, and those of all else.

    Disks of which nothing is known share what the others leave, by their capacity.
    """
    known = {disk.key: disk.used_bytes for disk in vm.disks if disk.used_bytes}
    rest = max(0, vm.storage_bytes - sum(known.values()))
    unknown = [disk for disk in vm.disks if disk.key not in known]
    whole = sum(disk.capacity_bytes for disk in unknown)
    shares = {disk.key: rest * disk.capacity_bytes // whole if whole else 0 for disk in unknown}
    return {**known, **shares}, rest - sum(shares.values())
