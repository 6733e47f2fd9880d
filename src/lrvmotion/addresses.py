"""vmknic addresses from the configured pools; skips what is in use."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Iterator

from lrvmotion.errors import RefusedError

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
    if "/" in entry:
        network = ipaddress.ip_network(entry.strip(), strict=False)
        if network.num_addresses > MOST:
            message = f"{entry} holds {network.num_addresses} addresses: name a range of at most {MOST}"
            raise ValueError(message)
        return (str(address) for address in network.hosts())
    low = ipaddress.ip_address(first)
    high = ipaddress.ip_address(last) if dash else low
    if low.version != high.version or int(high) < int(low):
        message = f"{entry} is empty: the first address must not be above the last"
        raise ValueError(message)
    if int(high) - int(low) >= MOST:
        message = f"{entry} holds more than {MOST} addresses"
        raise ValueError(message)
    return (str(type(low)(value)) for value in range(int(low), int(high) + 1))


def take(pool: Iterable[str], count: int, used: Collection[str], subnet: str, where: str) -> list[str]:
    """Return the first *count* addresses of *pool* that are in *subnet* and not in *used*.

    *where* names the host in the message; RefusedError where the pool has too few.
    """
    network = ipaddress.ip_network(subnet, strict=False)
    inside = [address for address in pool if ipaddress.ip_address(address) in network]
    free = [address for address in inside if address not in used]
    if len(free) < count:
        message = f"{where}: {count} new vMotion addresses in {network} are needed, the pool has {len(free)} free"
        taken = f" ({len(inside) - len(free)} of its addresses are in use)" if len(inside) > len(free) else ""
        site = where.partition("/")[0]
        raise RefusedError(message + taken, hint=f"add addresses to {site}.vmotion.addresses in the configuration")
    return free[:count]
