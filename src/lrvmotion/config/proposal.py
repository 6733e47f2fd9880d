"""What a first configuration proposes: target names for source names, and how many vmknic addresses are needed."""

from __future__ import annotations

import difflib
import ipaddress
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal, TypeVar

from lrvmotion.model.inventory import Datastore, Inventory, Network
from lrvmotion.model.place_names import Names as PlaceNames
from lrvmotion.model.place_names import SiteNames

P = TypeVar("P", Network, Datastore)
Match = Literal["same", "alike", "near", "none"]

CUTOFF = 0.6  # of difflib's ratio: below it two names have little more than letters in common
MOST_COMPARISONS = 1_000_000  # some seconds; thousands of folders on both sides get no near misses rather than minutes
OWN = "lrvmotion-"  # our own port groups


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """The target name proposed for *source*: the same, one alike but for case and punctuation, a near miss, or none.

    *several*: so many things at the target have that name, so that it does not mean one of them; *choices* are ways to
    say each of them.
    """

    source: str
    target: str | None
    match: Match
    several: int = 1
    choices: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether it may be written as it is: the others are a person's to decide."""
        return self.match in {"same", "alike"} and self.several == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The guesses for one kind of thing, and the names that the target *offers*."""

    guesses: tuple[Guess, ...] = ()
    offers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Mappings by name; *pools* are the resource pools of every target cluster that has hosts, the root pool first."""

    networks: Names = Names()
    datastores: Names = Names()
    folders: Names = Names()
    pools: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """How many new vmknic addresses the hosts of a vMotion subnet need, and an *example* of as many.

    The example's addresses are no vmknic's and no gateway's; whether anybody else has them only a person knows.
    """

    subnet: str
    hosts: int
    count: int
    example: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was seen of one vCenter: its inventory, its certificate's SHA-1 thumbprint, the addresses it needs."""

    inventory: Inventory
    sha1: str
    needs: tuple[Need, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Introduction:
    """Everything that a first configuration is written from.

    *given* is what config.parse takes; *boxes* are the fingerprints of the relay hosts' host keys, by name.
    """

    given: Mapping[str, Any]
    source: Seen
    target: Seen
    proposal: Proposal
    boxes: Mapping[str, str]


def propose(source: Inventory, target: Inventory) -> Proposal:
    """Return the mappings that the names suggest, for what VMs can be on."""
    names, pairs = SiteNames(target), _datacenters(source, target)
    return Proposal(
        networks=_places(_networks(source), _networks(target), names.networks, pairs),
        datastores=_places(_datastores(source), _datastores(target), names.stores, pairs),
        folders=_names(_folders(source), _folders(target)),
        pools=_pools(target),
    )


def _datacenters(source: Inventory, target: Inventory) -> dict[str, str]:
    """Return which datacenter of the target is called as one of the source."""
    own, there = ({host.datacenter for host in site.hosts if host.datacenter} for site in (source, target))
    return {one.source: one.target for one in guess(own, there) if one.usable and one.target is not None}


def _places(own: Sequence[P], there: Sequence[P], names: PlaceNames[Any], datacenters: Mapping[str, str]) -> Names:
    """Return the guesses for the places *own* of the source; where a name repeats *there*, by datacenter."""
    found: list[Guess] = []
    for one in guess([place.name for place in own], [place.name for place in there]):
        if one.several == 1:
            found.append(one)
            continue
        named = [place for place in there if place.name == one.target]
        mine = sorted({place.datacenter for place in own if place.name == one.source})
        found += [_of_datacenter(one, datacenter, mine, named, names, datacenters) for datacenter in mine]
    return Names(guesses=tuple(found), offers=tuple(sorted({place.name for place in there})))


def _of_datacenter(
    one: Guess,
    datacenter: str,
    mine: Sequence[str],
    named: Sequence[Network | Datastore],
    names: PlaceNames[Any],
    datacenters: Mapping[str, str],
) -> Guess:
    """Return the guess *one* for what the source has in *datacenter*, one of *mine*."""
    said = f"{_shortest(datacenter, mine)}:{one.source}" if len(mine) > 1 else one.source
    fitting = [place for place in named if place.datacenter and place.datacenter == datacenters.get(datacenter)]
    if len(fitting) == 1 and one.match in {"same", "alike"}:
        return replace(one, source=said, target=names.typed(fitting[0]), several=1)
    return replace(one, source=said, choices=tuple(names.typed(place) for place in fitting or named))


def _shortest(datacenter: str, among: Sequence[str]) -> str:
    """Return the name of *datacenter*, its path where others have that name, too."""
    shorts = [one[one.rfind("/") + 1 :] for one in among]
    short = datacenter[datacenter.rfind("/") + 1 :]
    return short if shorts.count(short) == 1 else datacenter


def _names(names: Iterable[str], candidates: Collection[str]) -> Names:
    return Names(guesses=guess(names, candidates), offers=tuple(sorted(set(candidates))))


def guess(names: Iterable[str], candidates: Iterable[str]) -> tuple[Guess, ...]:
    """Return a Guess for each of *names*, in order of name; a candidate counts as alike only where nothing else is."""
    wanted, there = sorted(set(names)), Counter(candidates)
    plain_source = Counter(_plain(name) for name in wanted)
    plain_target: dict[str, list[str]] = {}
    for name in sorted(there):
        plain_target.setdefault(_plain(name), []).append(name)
    budget = MOST_COMPARISONS
    found = []
    for name in wanted:
        if name in there:
            found.append(Guess(source=name, target=name, match="same", several=there[name]))
            continue
        alike = plain_target.get(_plain(name), [])
        if alike:
            only = len(alike) == 1 and plain_source[_plain(name)] == 1
            found.append(
                Guess(source=name, target=alike[0], match="alike" if only else "near", several=there[alike[0]])
            )
            continue
        budget -= len(there)
        close = _closest(name, plain_target) if budget > 0 else None
        found.append(
            Guess(source=name, target=close, match="near" if close else "none", several=there[close] if close else 1)
        )
    return tuple(found)


def _plain(name: str) -> str:
    """Return *name* without case, blanks and punctuation; the levels of a path stay apart."""
    return "/".join("".join(c for c in part.casefold() if c.isalnum()) or part for part in name.split("/"))


def _closest(name: str, candidates: dict[str, list[str]]) -> str | None:
    plain = _plain(name)
    below = [names[0] for path, names in candidates.items() if path.endswith("/" + plain)]
    if len(below) == 1:
        return below[0]
    close = difflib.get_close_matches(plain, candidates, n=1, cutoff=CUTOFF)
    return candidates[close[0]][0] if close else None


def _networks(inventory: Inventory) -> list[Network]:
    """Return the networks that VMs are on: those of the hosts, without vmkernel, uplink and our own port groups."""
    nics = [nic for host in inventory.hosts for nic in host.vmknics]
    kernel = {nic.portgroup for nic in nics if nic.portgroup_key is None}
    keys = {nic.portgroup_key for nic in nics if nic.portgroup_key is not None}
    seen = {ref for host in inventory.hosts for ref in host.networks}
    return [net for net in inventory.networks if net.ref in seen and _for_vms(net, kernel, keys)]


def _for_vms(network: Network, kernel: Collection[str], keys: Collection[str]) -> bool:
    if network.kind == "standard":
        return network.name not in kernel and not network.name.startswith(OWN)
    # "-DVUplinks-" is in vCenter's own name for the uplinks of a distributed switch.
    return network.portgroup_key not in keys and "-DVUplinks-" not in network.name


def _datastores(inventory: Inventory) -> list[Datastore]:
    seen = {ref for host in inventory.hosts for ref in host.datastores}
    return [store for store in inventory.datastores if store.accessible and store.ref in seen]


def _folders(inventory: Inventory) -> set[str]:
    """Return the paths of VM folders below a datacenter's own; vCLS holds only vSphere's cluster agents."""
    return {folder.path for folder in inventory.folders if folder.path and folder.path.split("/")[0] != "vCLS"}


def _pools(inventory: Inventory) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return each cluster with hosts and its pools' paths: the hosts' own pool is the root."""
    roots = {(host.cluster, host.datacenter): host.pool for host in inventory.hosts}
    found = []
    for cluster, datacenter in sorted(roots):
        own = [pool for pool in inventory.pools if (pool.cluster, pool.datacenter) == (cluster, datacenter)]
        own.sort(key=lambda pool: (pool.ref != roots[cluster, datacenter], pool.path))
        others = [place for name, place in roots if name == cluster]
        said = f"{_shortest(datacenter, others)}:{cluster}" if len(others) > 1 else cluster
        found.append((said, tuple(pool.path for pool in own)))
    return tuple(found)


def needs(inventory: Inventory, vmknics: int, avoid: Iterable[str]) -> tuple[Need, ...]:
    """Return what *inventory*'s hosts need to have *vmknics* vMotion vmknics each, one Need a subnet.

    *avoid* are addresses that are in use or to be used otherwise, beside the inventory's own.
    """
    missing: dict[ipaddress.IPv4Network | ipaddress.IPv6Network, list[int]] = {}
    for host in inventory.hosts:
        present = host.vmotion_vmknics
        if present and len(present) < vmknics:
            subnet = ipaddress.ip_network(f"{present[0].address}/{present[0].prefix_length}", strict=False)
            missing.setdefault(subnet, []).append(vmknics - len(present))
    used = {*in_use(inventory), *avoid}
    return tuple(
        Need(subnet=str(subnet), hosts=len(counts), count=sum(counts), example=_run(subnet, sum(counts), used))
        for subnet, counts in sorted(missing.items(), key=lambda item: (item[0].version, int(item[0].network_address)))
    )


def in_use(inventory: Inventory) -> set[str]:
    """Return the addresses of all vmknics and their gateways."""
    nics = [nic for host in inventory.hosts for nic in host.vmknics]
    return {nic.address for nic in nics} | {nic.gateway for nic in nics if nic.gateway}


def _run(subnet: ipaddress.IPv4Network | ipaddress.IPv6Network, count: int, used: Iterable[str]) -> str | None:
    """Return *count* addresses in a row that are not *used*, from where most of them are free, or None."""
    address = type(subnet.network_address)
    first, last = int(subnet.network_address), int(subnet.broadcast_address)
    inside = (ipaddress.ip_address(one) for one in used)
    taken = sorted({first, last, *(int(one) for one in inside if one in subnet)})
    gaps = [(low + 1, high - low - 1) for low, high in pairwise(taken)]
    start, room = max(gaps, key=lambda gap: gap[1], default=(0, 0))
    if room < count:
        return None
    return f"{address(start)}-{address(start + count - 1)}" if count > 1 else str(address(start))
