"""Where each VM goes: a host, and then pool, folder, datastores and networks among those of that host."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from lrvmotion.checks import placement
from lrvmotion.checks.hosts import no_vmotion
from lrvmotion.config.schema import Config
from lrvmotion.config.vm_csv import VmOverride
from lrvmotion.findings import Finding
from lrvmotion.model.inventory import Datastore, Folder, Host, Inventory, MoRef, Network, Pool, VirtualMachine
from lrvmotion.model.place_names import SiteNames, cluster, near_misses, spellings
from lrvmotion.model.placement import DiskMapping, NicMapping, Placement
from lrvmotion.plan.place_resolver import Resolver, Trouble, troubles
from lrvmotion.plan.wanted_places import Part, PlaceNaming, WantedPlaces


class Placer:
    """Places one VM after the other, each on the target host whose memory is least in use once it is there.

    What a host holds already counts, so that VMs which move one at a time are spread as well as those of one plan. Of
    the hosts only those count on which every name means one place.
    """

    def __init__(
        self, config: Config, source: Inventory, target: Inventory, overrides: Mapping[str, VmOverride] | None = None
    ) -> None:
        """*overrides* are of single VMs, by name: they win over the mappings."""
        self._overrides = overrides or {}
        self._target = target
        self._naming = PlaceNaming(config, source)
        self._resolver = Resolver(target)
        self._datacenters: dict[str, list[Host]] = {}
        for host in target.hosts:
            self._datacenters.setdefault(host.datacenter, []).append(host)
        self._fitting: dict[tuple[object, ...], list[str]] = {}  # datacenters in which names mean places, by the names
        self._memory: Counter[MoRef] = Counter()  # bytes, and how many VMs, placed by host
        self._placed: Counter[MoRef] = Counter()
        self._taken: Counter[MoRef] = Counter()  # bytes promised, by datastore

    def place(self, vm: VirtualMachine) -> tuple[Placement | None, list[Finding]]:
        """Return where *vm* goes with what is to be said of that, or None with the findings that forbid it."""
        wanted = self._naming.of(vm, self._overrides.get(vm.name) or VmOverride(vm=vm.name))
        found = self._nowhere(vm, wanted)
        if found:
            return None, found
        tried: list[tuple[Host, list[Trouble], list[Finding]]] = []
        hosts, others = self._candidates(wanted)
        for host in [*hosts, *others]:
            placed, wrong, more = self._at(host, vm, wanted)
            if placed is not None:
                self._memory[host.ref] += vm.memory_bytes if vm.power_state == "poweredOn" else 0
                self._placed[host.ref] += 1
                for store, size in self._needed(wanted, placed).items():
                    self._taken[store.ref] += size
                said = list(self._elsewhere(host, vm, wanted))
                if host in others:
                    said.append(placement.host_replaced(vm.name, host, self._reasons(wanted, tried)))
                return placed, said
            tried.append((host, wrong, more))
        return None, _why_not(vm, tried, self._reasons(wanted, tried), self._resolver.names)

    def alone(self, vm: VirtualMachine) -> list[Finding]:
        """Forget what was placed, and return what forbids *vm*, were it the only one that moves."""
        for promised in (self._memory, self._placed, self._taken):
            promised.clear()
        return self.place(vm)[1]

    def _nowhere(self, vm: VirtualMachine, wanted: WantedPlaces) -> list[Finding]:
        """Return what the target has nowhere, and cards that are on no network."""
        found: list[Finding] = []
        names = self._resolver.names
        recorded, called = wanted.recorded, wanted.called
        for part in {part.said: part for part in reversed(wanted.parts)}.values():
            if part.said not in names.stores:
                near = near_misses(part.said, names.stores)
                said = called.get(part.said, part.said)
                found.append(placement.datastore_missing(vm.name, part.source, said, near, recorded=recorded))
        for card in wanted.cards:
            if card.said is None or (card.said not in names.networks and not card.known):
                found.append(placement.card_without_network(vm.name, card.nic))
            elif card.said not in names.networks:
                label, near = card.nic.label, near_misses(card.said, names.networks)
                said = called.get(card.said, card.said)
                found.append(placement.network_missing(vm.name, label, card.source, said, near, recorded=recorded))
        if wanted.folder_asked and wanted.folder not in names.folders:
            said, near = called.get(wanted.folder, wanted.folder), near_misses(wanted.folder, names.folders)
            found.append(placement.folder_missing(vm.name, said, near, recorded=recorded))
        return found

    def _look(
        self, host: Host, wanted: WantedPlaces
    ) -> tuple[list[tuple[Datastore, ...]], list[Network], Folder, Pool] | list[Trouble]:
        """Return what the names mean on *host*: datastores to choose from by part, networks by card; else why not."""
        look = self._resolver
        stores = [look.stores(host, part.said) for part in wanted.parts]
        networks = [look.network(host, card.said or "") for card in wanted.cards]
        folder = self._folder(host, wanted)
        pool = look.pool(host, wanted.pool if wanted.pool is not None else self._naming.pool(host))
        wrong = troubles([*stores, *networks, folder, pool])
        if wrong or isinstance(folder, Trouble) or isinstance(pool, Trouble):
            return wrong
        return (
            [choice for choice in stores if not isinstance(choice, Trouble)],
            [network for network in networks if not isinstance(network, Trouble)],
            folder,
            pool,
        )

    def _candidates(self, wanted: WantedPlaces) -> tuple[list[Host], list[Host]]:
        """Return the hosts that *vm* may go to, and those of its cluster that may stand in for them."""
        if wanted.hosts is None:
            return self._by_load(self._target.hosts), []
        hosts = [host for name in wanted.hosts for host in self._resolver.names.hosts.find(name)]
        if wanted.cluster is None:
            return self._by_load(hosts), []
        usable = self._naming.usable(self._target.hosts)
        others = [host for host in usable if wanted.cluster in spellings(cluster(host))]
        return self._by_load(hosts), self._by_load([host for host in others if host not in hosts])

    def _reasons(
        self, wanted: WantedPlaces, tried: Sequence[tuple[Host, list[Trouble], list[Finding]]]
    ) -> dict[str, str]:
        """Return why no host of those *tried* takes the VM, by host; those that are not there come first."""
        gone = [name for name in wanted.hosts or () if name not in self._resolver.names.hosts]
        reasons = {host.name: _in_words(wrong) if wrong else more[0].summary for host, wrong, more in tried}
        return dict.fromkeys(gone, "is not there") | reasons

    def _by_load(self, hosts: Iterable[Host]) -> list[Host]:
        """Return *hosts*, the one with the least of its memory in use first.

        Those whose datacenter the account may not see come last: nor does it see which folder is of theirs.
        """
        hosts = list(dict.fromkeys(hosts))
        whole = all(host.memory_bytes for host in hosts)  # else hosts are compared by bytes, not by shares

        def load(host: Host) -> tuple[bool, float, int, str]:
            used = host.used_bytes + self._memory[host.ref]
            share = used / host.memory_bytes if whole else used
            return not host.datacenter, share, self._placed[host.ref], host.name

        return sorted(hosts, key=load)

    def _at(
        self, host: Host, vm: VirtualMachine, wanted: WantedPlaces
    ) -> tuple[Placement | None, list[Trouble], list[Finding]]:
        """Return where *vm* goes on *host*, else what is in the way; findings are of what is no fault of the host."""
        if state := _unfit(host):
            return None, [Trouble(noun="host", said=host.name, reason=state)], []
        found = self._look(host, wanted)
        if isinstance(found, list):
            return None, found, []
        stores, networks, folder, pool = found
        spread = self._spread(list(zip(wanted.parts, stores, strict=True)))
        placed = Placement(
            host=host, pool=pool, folder=folder, datastore=spread[0],
            nics=tuple(
                NicMapping(key=card.nic.key, label=card.nic.label, source=card.source, network=network)
                for card, network in zip(wanted.cards, networks, strict=True)
            ),
            disks=tuple(
                DiskMapping(key=part.disk.key, label=part.disk.label, source=part.source, datastore=store)
                for part, store in zip(wanted.parts, spread, strict=True) if part.disk is not None
            ),
        )  # fmt: skip
        full = [
            placement.datastore_space(
                vm.name, store.name, needed=needed, free=store.free_bytes - self._taken[store.ref],
                before=self._taken[store.ref],
            )
            for store, needed in self._needed(wanted, placed).items()
            if store.free_bytes - self._taken[store.ref] < needed
        ]  # fmt: skip
        return (None, [], full) if full else (placed, [], [])

    def _elsewhere(self, host: Host, vm: VirtualMachine, wanted: WantedPlaces) -> Iterator[Finding]:
        """Say where the names mean places in other datacenters too, and nobody has said which it is to be."""
        if wanted.hosts is not None or not host.datacenter or len(self._datacenters) < 2:
            return
        if wanted.names not in self._fitting:
            self._fitting[wanted.names] = sorted(
                datacenter
                for datacenter, hosts in self._datacenters.items()
                if any(not _unfit(one) and not isinstance(self._look(one, wanted), list) for one in hosts)
            )
        others = [name for name in self._fitting[wanted.names] if name not in {"", host.datacenter}]
        if others:
            yield placement.several_datacenters(vm.name, host, others)

    def _folder(self, host: Host, wanted: WantedPlaces) -> Folder | Trouble:
        folder = self._resolver.folder(host, wanted.folder)
        if isinstance(folder, Trouble) and not wanted.folder_asked and not folder.candidates:
            return self._resolver.folder(host, "")  # nobody asked for a folder: the datacenter's own
        return folder

    def _spread(self, parts: Sequence[tuple[Part, tuple[Datastore, ...]]]) -> list[Datastore]:
        """Return the datastore of each part: of a datastore cluster the member that has most left once it is there."""
        promised = Counter(self._taken)
        found = []
        for part, choice in parts:
            store = max(choice, key=lambda one: one.free_bytes - promised[one.ref])
            promised[store.ref] += part.size_bytes
            found.append(store)
        return found

    def _needed(self, wanted: WantedPlaces, placed: Placement) -> dict[Datastore, int]:
        """Return the bytes that the VM needs on each datastore; parts are home and disks, in the order of *placed*."""
        needed: dict[Datastore, int] = {}
        at = [placed.datastore, *(disk.datastore for disk in placed.disks)]
        for part, store in zip(wanted.parts, at, strict=True):
            needed[store] = needed.get(store, 0) + part.size_bytes
        return needed


def _why_not(
    vm: VirtualMachine,
    tried: Sequence[tuple[Host, list[Trouble], list[Finding]]],
    reasons: Mapping[str, str],
    names: SiteNames,
) -> list[Finding]:
    """Return why *vm* goes nowhere: what is to be said of the first host that is no worse than that, else of all."""
    for host, wrong, more in tried:
        told = [*more, *(finding for one in wrong if (finding := _told(vm, host, one, names)) is not None)]
        if len(told) == len(wrong) + len(more):
            return told
    return [placement.host_missing(vm.name, reasons)]


def _told(vm: VirtualMachine, host: Host, trouble: Trouble, names: SiteNames) -> Finding | None:
    """Return what to say of *trouble* where another name would end it; None where it is the host that does not fit."""
    if trouble.candidates:
        return placement.ambiguous(vm.name, trouble.noun, trouble.said, host.name, trouble.candidates)
    if trouble.unusable is not None:
        return placement.datastore_unusable(vm.name, trouble.unusable)
    if trouble.noun == "resource pool" and trouble.said not in names.pools:
        return placement.pool_missing(vm.name, host, trouble.said)
    return None


def _in_words(wrong: Sequence[Trouble]) -> str:
    """Return why a host has not all places: the first trouble, and every ambiguous name with its candidates."""
    told = [wrong[0], *(trouble for trouble in wrong[1:] if trouble.candidates)]
    return " and ".join(": ".join(filter(None, (one.reason, ", ".join(one.candidates)))) for one in told)


def _unfit(host: Host) -> str | None:
    if host.connection_state != "connected":
        silent = host.connection_state == "notResponding"
        return "does not respond to vCenter" if silent else f"is {host.connection_state}"
    if host.in_maintenance:
        return "is in maintenance mode"
    if host.vmotion_vmknics:
        return None
    unusable = host.leaseless_vmotion or host.ipv6_vmotion
    return f"cannot receive VMs: {no_vmotion(host)[0]}" if unusable else "has no vMotion vmknic"
