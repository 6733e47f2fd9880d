"""Which relay serves which source host, and what blocks the far one."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence

from lrvmotion.config.schema import FarRelay, Relay
from lrvmotion.findings import Finding, Severity
from lrvmotion.model.inventory import Host


def assign(
    relays: Sequence[Relay], hosts: Sequence[Host], unusable: Callable[[Relay], str | None]
) -> tuple[dict[str, list[Host]], list[Finding]]:
    """Return the hosts of every relay by its name, and what was found.

    A host goes to the relay in its own subnet that serves the fewest hosts so far, in the order of the configuration;
    hosts with the least choice go first, by name, so that the order of the VMs does not matter. A relay that *unusable*
    gives a reason against is left out wherever another one serves its hosts; the last one of a host is kept, so that
    what blocks it is an error.
    """
    beside = {host.name: [relay for relay in relays if is_beside(host, relay.address)] for host in hosts}
    near = [relay for relay in relays if any(relay in found for found in beside.values())]
    reasons = {relay.name: reason for relay in near if len(near) > 1 and (reason := unusable(relay)) is not None}

    def choice(host: Host) -> list[Relay]:
        usable = [relay for relay in beside[host.name] if relay.name not in reasons]
        return usable or beside[host.name] or list(relays)

    served: dict[str, list[Host]] = {}
    instead: dict[str, list[str]] = {name: [] for name in reasons}
    for host in sorted(hosts, key=lambda host: (len(choice(host)), host.name)):
        relay = min(choice(host), key=lambda relay: len(served.get(relay.name, [])))
        served.setdefault(relay.name, []).append(host)
        for other in beside[host.name]:
            if other.name in reasons and relay.name not in (*reasons, *instead[other.name]):
                instead[other.name].append(relay.name)
    found = [
        Finding(
            severity=Severity.WARNING, code="relay-left-out", subject=f"box/{name}",
            summary=f"{reasons[name]}; its hosts go through {', '.join(sorted(others))}",
        )
        for name, others in instead.items() if name not in served
    ]  # fmt: skip
    return served, found


def beyond(far: FarRelay, relays: Iterable[Relay], sources: Iterable[Host], targets: Iterable[Host]) -> list[Finding]:
    """Return what blocks *far* as the far relay of *relays*: it must stand at the target site."""

    def found(severity: Severity, code: str, summary: str) -> Finding:
        return Finding(
            severity=severity, code=code, subject=f"box/{far.name}", summary=summary,
            hint="relay.target.address is the relay host's address on the target hosts' vMotion LAN",
        )  # fmt: skip

    here = [host.name for host in sources if is_beside(host, far.address)]
    if here:
        return [found(Severity.ERROR, "far-subnet", f"{far.address} is on the vMotion LAN of source/{here[0]}")]
    said = []
    for relay in relays:
        if (":" in relay.address) != (":" in far.address):
            summary = f"{far.address} and {relay.address} of box/{relay.name} are not of one address family"
            said.append(found(Severity.ERROR, "far-family", summary))
    there = list(targets)
    if there and not any(is_beside(host, far.address) for host in there):
        summary = f"{far.address} is in no target host's vMotion subnet: the last leg is routed"
        said.append(found(Severity.WARNING, "far-off-lan", summary))
    return said


def is_beside(host: Host, address: str) -> bool:
    """Whether *address* is in the subnet of a vMotion vmknic of *host*: a gateway is always a neighbour."""
    return any(
        ipaddress.ip_address(address) in ipaddress.ip_interface(f"{nic.address}/{nic.prefix_length}").network
        for nic in host.vmotion_vmknics
    )


def addresses(hosts: Iterable[Host]) -> list[str]:
    """Return the vMotion addresses of *hosts*, each once."""
    return list(dict.fromkeys(nic.address for host in hosts for nic in host.vmotion_vmknics))
