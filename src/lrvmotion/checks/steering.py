"""What blocks steering hosts through relays: no relay, one on the wrong LAN or left out, a far one at the wrong end."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

from lrvmotion.checks.catalogue import Code
from lrvmotion.config.schema import FarRelay, Relay
from lrvmotion.findings import Finding, Severity
from lrvmotion.model.inventory import Host
from lrvmotion.model.target_id import TargetId

_FAR_HINT = "relay.target.address is the relay host's address on the target hosts' vMotion LAN"


def no_relay() -> Finding:
    """Proxy mode without a relay host."""
    hint = "add [[relay.source]] to the configuration, or use --mode native"
    return Code.NO_RELAY.error("relay", "no relay host is configured", hint)


def left_out(relay: str, reason: str, instead: Iterable[str]) -> Finding:
    """The *relay* cannot be used for *reason*; its hosts go through others *instead*."""
    summary = f"{reason}; its hosts go through {', '.join(sorted(instead))}"
    return Code.RELAY_LEFT_OUT.warning(TargetId.relay(relay), summary)


def off_subnet(source: Host, targets: Iterable[Host], *, only: bool = True) -> Iterator[Finding]:
    """In one subnet no gateway is consulted, so that no relay can be put into the path (vSphere networking; 2.5).

    An error where proxy mode is the *only* one that is wanted.
    """
    severity = Severity.ERROR if only else Severity.WARNING
    for nic in source.vmotion_vmknics:
        subnet = ipaddress.ip_interface(f"{nic.address}/{nic.prefix_length}").network
        for host in targets:
            for other in host.vmotion_vmknics:
                if ipaddress.ip_address(other.address) in subnet:
                    summary = f"{nic.device} ({nic.address}) and {other.address} of target/{host.name} share {subnet}"
                    hint = "proxy mode needs routed vMotion networks; use --mode native"
                    yield Code.SAME_SUBNET.found(severity, TargetId.host("source", source.name), summary, hint)


def relay_beside(source: Host, relay: str, address: str) -> Iterator[Finding]:
    """The relay must be in the subnet of the source's vMotion vmknics: a gateway is always a neighbour."""
    if source.vmotion_vmknics and not source.is_beside(address):
        nic = source.vmotion_vmknics[0]
        summary = f"relay {relay} ({address}) is not in the subnet of {nic.device} ({nic.address}/{nic.prefix_length})"
        hint = "give the relay's address on the vMotion LAN"
        yield Code.RELAY_SUBNET.error(TargetId.host("source", source.name), summary, hint)


def gateway_shared(host: Host) -> Iterator[Finding]:
    """A vmknic that carries another service keeps its gateway (vsphere.md 2.6)."""
    for nic in host.vmotion_vmknics:
        if others := sorted(nic.services - {"vmotion"}):
            summary = f"{nic.device} also carries {', '.join(others)}: its gateway is left alone"
            yield Code.GATEWAY_SHARED.error(TargetId.host("source", host.name), summary, 'use steer = "route"')


def gateway_dhcp(host: Host) -> Iterator[Finding]:
    """The address of a DHCP vmknic must not be in what sets its gateway (API reference, HostIpConfig.ipAddress)."""
    for nic in host.vmotion_vmknics:
        if nic.dhcp:
            summary = f"{nic.device} has its address by DHCP, with which its gateway cannot be set"
            hint = 'use steer = "route", or give it a fixed address'
            yield Code.GATEWAY_DHCP.error(TargetId.host("source", host.name), summary, hint)


def far(relay: FarRelay, near: Iterable[Relay], sources: Iterable[Host], targets: Iterable[Host]) -> Iterator[Finding]:
    """The far *relay* of the relays *near* must stand at the target site, and have an address of their family."""
    subject = TargetId.relay(relay.name)
    if here := [host.name for host in sources if host.is_beside(relay.address)]:
        yield Code.FAR_SUBNET.error(subject, f"{relay.address} is on the vMotion LAN of source/{here[0]}", _FAR_HINT)
        return
    for one in near:
        if (":" in one.address) != (":" in relay.address):
            summary = f"{relay.address} and {one.address} of relay/{one.name} are not of one address family"
            yield Code.FAR_FAMILY.error(subject, summary, _FAR_HINT)
    there = list(targets)
    if there and not any(host.is_beside(relay.address) for host in there):
        summary = f"{relay.address} is in no target host's vMotion subnet: the last leg is routed"
        yield Code.FAR_OFF_LAN.warning(subject, summary, _FAR_HINT)
