"""A host's vmknics and routes as the vCenter wants them, and the kernel objects that make them true: pure.

A netstack is a routing table: `defaultTcpipStack` is main, every other one a table chosen by source address or mark.
Each vmknic has a table of its own besides, chosen by `oif`, so only for sockets bound to the device: there alone a
gateway override stands (vSphere: the override is part of the vmknic, not of the routing table). Unconfirmed: that a
static route wins over the override for bound traffic; here the longest prefix does.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

DEFAULT_STACK = "defaultTcpipStack"
MAIN_TABLE = 254
_STACK_TABLE = 1000
_DEVICE_TABLE = 2000
_LAST = 4294967295  # the metric of the route that says "no way": bound sockets else take every address for on-link


@dataclass(frozen=True, slots=True, kw_only=True)
class Vmknic:
    """A vmkernel NIC; *gateway* is its override."""

    device: str
    mac: str
    address: str
    prefix_length: int
    mtu: int
    netstack: str
    gateway: str | None

    @property
    def network(self) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
        """The subnet that the vmknic is in."""
        return ipaddress.ip_interface(f"{self.address}/{self.prefix_length}").network

    def reaches(self, gateway: str) -> bool:
        """Whether *gateway* is in the vmknic's subnet."""
        return ipaddress.ip_address(gateway) in self.network


@dataclass(slots=True)
class Configuration:
    """Everything the vCenter has asked for; a netstack keeps its number as long as the process lives."""

    vmknics: dict[str, Vmknic] = field(default_factory=dict)
    routes: set[tuple[str, str, str]] = field(default_factory=set)  # netstack, prefix, gateway
    defaults: dict[str, str] = field(default_factory=dict)  # netstack -> gateway
    stacks: list[str] = field(default_factory=list)

    def mark(self, netstack: str) -> int:
        """Return the mark of unbound traffic of *netstack*, 0 for the default one."""
        if netstack == DEFAULT_STACK:
            return 0
        if netstack not in self.stacks:
            self.stacks.append(netstack)
        return _STACK_TABLE + self.stacks.index(netstack)

    def table(self, netstack: str) -> int:
        """Return the number of the routing table that is *netstack*."""
        return self.mark(netstack) or MAIN_TABLE


def links(config: Configuration) -> dict[str, tuple[str, int, str]]:
    """Return device -> (mac, mtu, address/prefix) of every vmknic."""
    return {nic.device: (nic.mac, nic.mtu, f"{nic.address}/{nic.prefix_length}") for nic in config.vmknics.values()}


def rules(config: Configuration) -> list[str]:
    """Return the policy rules as the arguments of `ip rule add`."""
    lines = []
    for nic in config.vmknics.values():
        number = _number(nic.device)
        lines.append(f"pref {1000 + number} oif {nic.device} lookup {_DEVICE_TABLE + number}")
        if nic.netstack != DEFAULT_STACK:
            table = config.table(nic.netstack)
            lines.append(f"pref {2000 + number} from {nic.address} lookup {table}")
    for netstack in sorted({nic.netstack for nic in config.vmknics.values()} - {DEFAULT_STACK}):
        table = config.table(netstack)
        lines.append(f"pref {3000 + table} fwmark {table} lookup {table}")
    return lines


def routes(config: Configuration) -> list[str]:
    """Return the routes as the arguments of `ip route add`; those whose gateway no vmknic reaches are left out."""
    lines: list[str] = []
    nics = sorted(config.vmknics.values(), key=lambda nic: _number(nic.device))
    for nic in nics:
        lines += _device_routes(config, nic)
    for netstack in {nic.netstack: None for nic in nics}:
        members = [nic for nic in nics if nic.netstack == netstack]
        table = config.table(netstack)
        lines += [
            f"{nic.network} dev {nic.device} scope link src {nic.address} metric {_number(nic.device)} table {table}"
            for nic in members
        ]
        for prefix, gateway in _stack_routes(config, netstack):
            nic_or_none = next((nic for nic in members if nic.reaches(gateway)), None)
            if nic_or_none is not None:
                lines.append(f"{prefix} via {gateway} dev {nic_or_none.device} table {table}")
        if netstack != DEFAULT_STACK:
            lines.append(f"unreachable default metric {_LAST} table {table}")
    return lines


def _device_routes(config: Configuration, nic: Vmknic) -> list[str]:
    table = _DEVICE_TABLE + _number(nic.device)
    lines = [f"{nic.network} dev {nic.device} scope link src {nic.address} table {table}"]
    for prefix, gateway in _stack_routes(config, nic.netstack):
        if nic.reaches(gateway) and not (prefix == "default" and nic.gateway):
            lines.append(f"{prefix} via {gateway} dev {nic.device} table {table}")
    if nic.gateway and nic.reaches(nic.gateway):
        lines.append(f"default via {nic.gateway} dev {nic.device} table {table}")
    lines.append(f"unreachable default metric {_LAST} table {table}")
    return lines


def _stack_routes(config: Configuration, netstack: str) -> list[tuple[str, str]]:
    found = [(prefix, gateway) for stack, prefix, gateway in config.routes if stack == netstack]
    default = config.defaults.get(netstack)
    return sorted(found) + ([("default", default)] if default else [])


def _number(device: str) -> int:
    return int(device.removeprefix("vmk"))
