"""Which relay serves which source host, and what leads the host's vMotion through it."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

from lrvmotion.config import Relay
from lrvmotion.findings import Finding, Severity
from lrvmotion.inventory import Host
from lrvmotion.plan import Value, string

Wanted = tuple[str, Value, str]


def assign(
    relays: Sequence[Relay], hosts: Sequence[Host], unusable: Callable[[Relay], str | None]
) -> tuple[dict[str, list[Host]], list[Finding]]:
    """Return the hosts of every relay by its name, and what was found.

    A host goes to the relay in its own subnet that serves the fewest hosts so far, in the order of the configuration.
    Of several relays those that *unusable* gives a reason against are left out, as long as one remains; a single one
    is kept, so that what stands against it is an error.
    """
    found: list[Finding] = []
    usable = list(relays)
    if len(relays) > 1:
        reasons = {relay.name: reason for relay in relays if (reason := unusable(relay)) is not None}
        if len(reasons) < len(relays):
            usable = [relay for relay in relays if relay.name not in reasons]
            others = ", ".join(relay.name for relay in usable)
            for name, reason in reasons.items():
                summary = f"{reason}; its hosts go through {others}"
                found.append(
                    Finding(severity=Severity.WARNING, code="relay-left-out", subject=f"box/{name}", summary=summary)
                )
    served: dict[str, list[Host]] = {}
    for host in hosts:
        beside = [relay for relay in usable if is_beside(host, relay.address)] or usable
        relay = min(beside, key=lambda relay: len(served.get(relay.name, [])))
        served.setdefault(relay.name, []).append(host)
    return served, found


def is_beside(host: Host, address: str) -> bool:
    """Whether *address* is in the subnet of a vMotion vmknic of *host*: a gateway is always a neighbour."""
    return any(
        ipaddress.ip_address(address) in ipaddress.ip_interface(f"{nic.address}/{nic.prefix_length}").network
        for nic in host.vmotion_vmknics
    )


def wanted(steer: Literal["route", "gateway"], host: Host, relay: Relay, targets: Sequence[str]) -> list[Wanted]:
    """Return what leads *host*'s vMotion to *targets* through *relay*: a route for each, or its vmknics' gateway."""
    if steer == "gateway":
        reason = f"all off-subnet traffic of this vmknic goes through relay {relay.name}"
        return [(f"gateway/{nic.address}", string(relay.address), reason) for nic in host.vmotion_vmknics]
    reason = f"vMotion to this address goes through relay {relay.name}"
    return [
        (f"route/{stack}/{address}/{ipaddress.ip_address(address).max_prefixlen}", string(relay.address), reason)
        for stack in dict.fromkeys(nic.netstack for nic in host.vmotion_vmknics)
        for address in targets
    ]


def shared(host: Host) -> Iterator[Finding]:
    """A vmknic that carries another service keeps its gateway (reference 2.6)."""
    for nic in host.vmotion_vmknics:
        if others := sorted(nic.services - {"vmotion"}):
            summary = f"{nic.device} also carries {', '.join(others)}: its gateway is not ours to change"
            yield Finding(
                severity=Severity.ERROR, code="gateway-shared", subject=f"source/{host.name}", summary=summary,
                hint='use steer = "route"',
            )  # fmt: skip


def addresses(hosts: Iterable[Host]) -> list[str]:
    """Return the vMotion addresses of *hosts*, each once."""
    return list(dict.fromkeys(nic.address for host in hosts for nic in host.vmotion_vmknics))
