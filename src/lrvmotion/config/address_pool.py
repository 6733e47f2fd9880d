"""vmknic addresses from the configured pools; skips what is in use."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import combinations

from lrvmotion.errors import RefusedError
from lrvmotion.model.target_id import TargetId

MOST = 4096


def parse_pool(entries: Iterable[str]) -> tuple[str, ...]:
    """Return every address of "10.88.0.20-10.88.0.59", "10.88.0.20" and "10.88.0.32/28" entries, in order.

    ValueError where an entry is not one of these, is empty, holds more than 4,096 addresses, or repeats an address.
    """
    found: dict[str, None] = {}
    for entry in entries:
        for address in _entry(entry):
            if address in found:
                message = f"{address} is in the pool twice"
                raise ValueError(message)
            found[address] = None
    return tuple(found)


def _entry(entry: str) -> Iterator[str]:
    first, dash, last = (part.strip() for part in entry.partition("-"))
    try:
        network = ipaddress.ip_network(entry.strip(), strict=False) if "/" in entry else None
        low = ipaddress.ip_address(first) if network is None else network.network_address
        high = ipaddress.ip_address(last) if dash and network is None else low
    except ValueError:
        message = f"{entry!r} is not an address, a range or a network"
        raise ValueError(message) from None
    if network is not None:
        if network.num_addresses > MOST:
            message = f"{entry} holds {network.num_addresses} addresses: name a range of at most {MOST}"
            raise ValueError(message)
        return (str(address) for address in network.hosts())
    if low.version != high.version or int(high) < int(low):
        message = f"{entry} is empty: the first address must not be above the last"
        raise ValueError(message)
    if int(high) - int(low) >= MOST:
        message = f"{entry} holds more than {MOST} addresses"
        raise ValueError(message)
    return (str(type(low)(value)) for value in range(int(low), int(high) + 1))


def overlaps(pools: Mapping[str, Collection[str]]) -> list[str]:
    """Return a sentence for every two of *pools* (by the key that configures them) that share addresses."""
    return [
        f"{first} and {second} both have {ranges(shared)}"
        for (first, own), (second, other) in combinations(pools.items(), 2)
        if (shared := set(own) & set(other))
    ]


def ranges(addresses: Iterable[str]) -> str:
    """Return *addresses* as a pool writes them, shortest: "10.88.0.20-10.88.0.29, 10.88.0.40"."""
    found: list[list[ipaddress.IPv4Address | ipaddress.IPv6Address]] = []
    parsed = {ipaddress.ip_address(address) for address in addresses}
    for address in sorted(parsed, key=lambda one: (one.version, int(one))):
        if found and found[-1][1].version == address.version and int(found[-1][1]) + 1 == int(address):
            found[-1][1] = address
        else:
            found.append([address, address])
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in found)


def take(pool: Collection[str], count: int, used: Collection[str], subnet: str, host: TargetId) -> list[str]:
    """Return the first *count* addresses of *pool* that a host in *subnet* can have and that are not in *used*.

    RefusedError, naming the *host*, where the pool has too few.
    """
    network = ipaddress.ip_network(subnet, strict=False)
    ends = {network.network_address, network.broadcast_address} if network.prefixlen < network.max_prefixlen - 1 else ()
    parsed = [(address, ipaddress.ip_address(address)) for address in pool]
    inside = [address for address, one in parsed if one in network and one not in ends]
    free = [address for address in inside if address not in used]
    if len(free) < count:
        message = f"{host}: {count} new vMotion addresses in {network} are needed, the pool has {len(free)} free"
        if len(inside) > len(free):
            message += f" ({len(inside) - len(free)} of its addresses are in use)"
        elif pool and not inside:
            message += f" (its {len(pool)} addresses are in another network: {ranges(pool)})"
        raise RefusedError(message, hint=f"add addresses to {host.site}.vmotion.addresses in the configuration")
    return free[:count]
