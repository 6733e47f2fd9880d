"""What stands against changing a host or moving VMs from or to it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable, Iterator

from lrvmotion.findings import Finding, Severity
from lrvmotion.inventory import Host

PORTGROUP = re.compile(r"lrvmotion-([a-z0-9]+)-\d+")
FORBIDDEN = frozenset({"management", "vsan", "vsanWitness", "vSphereReplication", "vSphereReplicationNFC"})


def ready(site: str, host: Host) -> Iterator[Finding]:
    """A host is changed and used only while it is connected and not in maintenance, and has a vMotion vmknic."""
    subject = f"{site}/{host.name}"
    if host.connection_state != "connected":
        yield _error("host-not-connected", subject, f"is {host.connection_state}", "bring it back, or choose other VMs")
    elif host.in_maintenance:
        yield _error("host-maintenance", subject, "is in maintenance mode", "take it out of maintenance mode")
    elif not host.vmotion_vmknics:
        hint = "enable the vMotion service on a vmkernel adapter of this host"
        yield _error("host-no-vmotion", subject, "has no vmknic that carries vMotion", hint)


def foreign_runs(site: str, host: Host, runs: Collection[str]) -> Iterator[Finding]:
    """A port group that carries the id of a run which is not in our journal belongs to another operator."""
    for group in host.portgroups:
        matched = PORTGROUP.fullmatch(group.name)
        if matched and matched[1] not in runs:
            summary = f"port group {group.name} belongs to run {matched[1]}, which is not in this journal"
            hint = "run 'lrvmotion restore-defaults' where that run was started, or remove what it left by hand"
            yield _error("host-locked", f"{site}/{host.name}", summary, hint)


def off_subnet(source: Host, targets: Iterable[Host]) -> Iterator[Finding]:
    """In one subnet no gateway is consulted, so that no relay can be put into the path (vSphere networking; 2.5)."""
    for nic in source.vmotion_vmknics:
        subnet = ipaddress.ip_interface(f"{nic.address}/{nic.prefix_length}").network
        for host in targets:
            for other in host.vmotion_vmknics:
                if ipaddress.ip_address(other.address) in subnet:
                    summary = f"{nic.device} ({nic.address}) and {other.address} of target/{host.name} share {subnet}"
                    hint = "proxy mode needs routed vMotion networks; use --mode native"
                    yield _error("same-subnet", f"source/{source.name}", summary, hint)


def relay_beside(source: Host, relay: str, address: str) -> Iterator[Finding]:
    """The relay must be in the subnet of the source's vMotion vmknics: a gateway is always a neighbour."""
    nics = source.vmotion_vmknics
    inside = [
        nic
        for nic in nics
        if ipaddress.ip_address(address) in ipaddress.ip_interface(f"{nic.address}/{nic.prefix_length}").network
    ]
    if nics and not inside:
        nic = nics[0]
        summary = f"relay {relay} ({address}) is not in the subnet of {nic.device} ({nic.address}/{nic.prefix_length})"
        yield _error("relay-subnet", f"source/{source.name}", summary, "give the relay's address on the vMotion LAN")


def congestion(site: str, host: Host) -> Iterator[Finding]:
    """Say which congestion control the vMotion vmknics' stack uses: it is what loses the speed."""
    stacks = {nic.netstack for nic in host.vmotion_vmknics}
    for stack in sorted(stacks & host.congestion_control.keys()):
        algorithm = host.congestion_control[stack]
        if algorithm not in {"newreno", "cubic"}:
            summary = f"{stack} uses {algorithm}, which this program does not know"
            yield Finding(
                severity=Severity.WARNING, code="host-congestion", subject=f"{site}/{host.name}", summary=summary
            )


def _error(code: str, subject: str, summary: str, hint: str | None = None) -> Finding:
    return Finding(severity=Severity.ERROR, code=code, subject=subject, summary=summary, hint=hint)
