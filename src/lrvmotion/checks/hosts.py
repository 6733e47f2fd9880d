"""What blocks changing a host or moving VMs from or to it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime

from lrvmotion.findings import Finding, Severity
from lrvmotion.model.host_option import Bounds, Desired
from lrvmotion.model.inventory import VMOTION_STACK, Host

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


def foreign_routes(
    site: str, host: Host, relays: Collection[str], held: Collection[tuple[str, str]]
) -> Iterator[Finding]:
    """A route of one address to one of the addresses *relays* that our journal does not hold is another run's.

    A run in proxy mode leaves nothing else on a host that says whose it is: an option carries no id.
    """
    for key, gateway in sorted(host.routes.items()):
        stack, network = key.split("/", 1)
        single = ipaddress.ip_network(network, strict=False).num_addresses == 1
        if single and gateway in relays and (f"{site}/{host.name}", f"route/{key}") not in held:
            summary = f"the route to {network} over the relay host {gateway} ({stack}) belongs to another run's journal"
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


def options(site: str, host: Host, wanted: Iterable[Desired], bounds: Mapping[str, Bounds]) -> Iterator[Finding]:
    """What a mode wants and this build does not take is known before anything is planned."""
    subject = f"{site}/{host.name}"
    told: set[str] = set()
    for item in wanted:
        limits = bounds.get(item.key)
        if limits is None:
            summary = f"this build has no {item.key}"
        elif not limits.minimum <= item.value <= limits.maximum:
            summary = f"{item.key} takes {limits.minimum}..{limits.maximum} on this build; {item.value} is wanted"
        else:
            continue
        if summary not in told:
            told.add(summary)
            code = "option-missing" if limits is None else "option-bounds"
            yield Finding(severity=Severity.WARNING, code=code, subject=subject, summary=summary)


def reboot(
    site: str, host: Host, changed: Iterable[tuple[str, str]], former: Iterable[tuple[str, str]] = ()
) -> Iterator[Finding]:
    """A setting that needs a reboot is not active before: as vCenter says, or our journal against the boot time.

    *changed* are (setting, when: ISO 8601) of what we changed on this host and have not restored, *former* of what we
    restored after the host was started with our value.
    """
    hint = "reboot the host when its VMs have left it; it works as before until then"
    boot = datetime.fromisoformat(host.boot_time) if host.boot_time else None
    for key, at in changed:
        if boot is None or boot < datetime.fromisoformat(at):
            summary = f"{key} was set at {at[:19].replace('T', ' ')} UTC and waits for a reboot"
            yield Finding(
                severity=Severity.WARNING, code="host-reboot", subject=f"{site}/{host.name}", summary=summary, hint=hint
            )
            return
    for key, at in former:
        summary = f"{key} was restored at {at[:19].replace('T', ' ')} UTC, and our value is in force until a reboot"
        hint = "'lrvmotion restore-defaults --reboot-hosts' reboots it; any other reboot does as well"
        yield Finding(
            severity=Severity.WARNING, code="host-reboot", subject=f"{site}/{host.name}", summary=summary, hint=hint
        )
        return
    if host.reboot_required:
        summary = "vCenter says that it needs a reboot: some of its settings are not active"
        yield Finding(
            severity=Severity.WARNING, code="host-reboot", subject=f"{site}/{host.name}", summary=summary, hint=hint
        )


def vmknics(site: str, host: Host) -> Iterator[Finding]:
    """A vMotion vmknic with another service is not ours to change; two stacks exclude each other (vsphere.md 2.2)."""
    subject = f"{site}/{host.name}"
    for nic in host.vmotion_vmknics:
        if others := sorted(nic.services - {"vmotion"}):
            summary = f"{nic.device} carries vMotion and also {', '.join(others)}: its gateway is never changed"
            hint = "give vMotion a vmknic of its own"
            yield Finding(severity=Severity.WARNING, code="vmknic-shared", subject=subject, summary=summary, hint=hint)
    if len({nic.netstack for nic in host.vmotion_vmknics}) > 1:
        idle = ", ".join(nic.device for nic in host.vmotion_vmknics if nic.netstack != VMOTION_STACK)
        summary = f"it has a vmknic on the vMotion stack, which switches off vMotion on {idle}"
        yield Finding(
            severity=Severity.WARNING, code="vmknic-stacks", subject=subject, summary=summary,
            hint="keep all vMotion vmknics of a host on one stack",
        )  # fmt: skip
