"""The management link: one veth pair between the machine and a box, a /30 that nothing else uses."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network

from lrvmotion.lab.box.netns import command, ip, ip_json
from lrvmotion.lab.box.record import BoxError

BOX_DEVICE = "mgmt0"
# 198.18.0.0/15 is for test benches (RFC 2544); the others are private or shared space (RFC 6598, RFC 1918).
_RANGES = ("198.18.0.0/15", "100.64.0.0/10", "172.16.0.0/12", "10.0.0.0/8", "192.168.0.0/16")
_TRIES = 64
_RULE_PREFERENCE = "10"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """The link's ends: *device* and *machine_address* are the machine's, *address* is the box's."""

    device: str
    network: IPv4Network
    machine_address: str
    address: str


def connect(namespace: str, lab_id: str, index: int) -> Link:
    """Make the link between the machine and *namespace*; BoxError if it cannot be made.

    The box gets no default route over it, and hands nothing from its LAN on to it: policy rules refuse that, since
    the box's own firewall belongs to whoever works on the box.
    """
    device = device_name(lab_id, index)
    # Two labs that start at once must not choose the same range.
    lock = os.open("/run/netns", os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        network = _free_network(namespace, f"{lab_id}/{index}")
        first, second = (str(address) for address in network.hosts())
        ip(None, "link", "add", device, "type", "veth", "peer", "name", BOX_DEVICE, "netns", namespace)
        ip(None, "link", "set", device, "addrgenmode", "none")
        ip(None, "address", "add", f"{first}/30", "dev", device)
        ip(None, "link", "set", device, "up")
    finally:
        os.close(lock)
    ip(namespace, "link", "set", BOX_DEVICE, "addrgenmode", "none")
    ip(namespace, "address", "add", f"{second}/30", "dev", BOX_DEVICE)
    ip(namespace, "link", "set", BOX_DEVICE, "up")
    ip(namespace, "link", "set", "lo", "up")
    for entry in ip_json(namespace, "link", "show"):
        if entry["ifname"] not in ("lo", BOX_DEVICE):
            _refuse(namespace, "iif", entry["ifname"], "to", str(network))
    _refuse(namespace, "iif", BOX_DEVICE)
    return Link(device=device, network=network, machine_address=first, address=second)


def disconnect(namespace: str, device: str) -> None:
    """Remove what *connect* made, as far as it is still there: the link *device* and the rules in *namespace*."""
    if any(entry["ifname"] == device for entry in ip_json(None, "link", "show", "type", "veth")):
        ip(None, "link", "delete", device)
    while command(None, "ip", "-n", namespace, "rule", "delete", "preference", _RULE_PREFERENCE).returncode == 0:
        continue


def device_name(lab_id: str, index: int) -> str:
    """Return the machine's end of the link of box *index*: at most 15 characters, one per lab and box."""
    return "lrvbox" + hashlib.sha256(f"{lab_id}/{index}".encode()).hexdigest()[:8]


def _refuse(namespace: str, *selector: str) -> None:
    ip(namespace, "rule", "add", "preference", _RULE_PREFERENCE, *selector, "prohibit")


def _free_network(namespace: str, seed: str) -> IPv4Network:
    taken = [*_used(None), *_used(namespace)]
    start = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big")
    for text in _RANGES:
        space = IPv4Network(text)
        count = 1 << (30 - space.prefixlen)
        for step in range(_TRIES):
            base = int(space.network_address) + ((start + step) % count) * 4
            candidate = IPv4Network((base, 30))
            if not any(candidate.overlaps(network) for network in taken):
                return candidate
    message = f"no free address range for the management link in {', '.join(_RANGES)}"
    raise BoxError(message, "remove routes that cover all of them")


def _used(namespace: str | None) -> Iterator[IPv4Network]:
    """Yield every IPv4 network that *namespace* has an address in or a route to, default routes apart."""
    for entry in ip_json(namespace, "-4", "address", "show"):
        for address in entry["addr_info"]:
            yield _network(f"{address['local']}/{address['prefixlen']}")
    for route in ip_json(namespace, "-4", "route", "show", "table", "all"):
        network = _network(route["dst"]) if route["dst"] != "default" else None
        # Two halves of everything are a VPN's way to write a default route.
        if network is not None and network.prefixlen > 1:
            yield network


def _network(text: str) -> IPv4Network:
    found = ip_network(text, strict=False)
    if not isinstance(found, IPv4Network):
        message = f"{text} is not an IPv4 network"
        raise BoxError(message)
    return found
