"""What blocks changing a host or moving VMs from or to it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime

from lrvmotion.checks.catalogue import Code
from lrvmotion.findings import Finding
from lrvmotion.model.host_option import Bounds, Desired
from lrvmotion.model.inventory import Host, SiteName, Vmknic
from lrvmotion.model.setting import SettingKey
from lrvmotion.model.target_id import TargetId

PORTGROUP = re.compile(r"lrvmotion-([a-z0-9]+)-\d+")


def ready(site: SiteName, host: Host) -> Iterator[Finding]:
    """A host is changed and used only while it is connected and not in maintenance, and has a vMotion vmknic."""
    subject = TargetId.host(site, host.name)
    if host.connection_state != "connected":
        silent = host.connection_state == "notResponding"
        summary = "does not respond to vCenter" if silent else f"is {host.connection_state}"
        yield Code.HOST_NOT_CONNECTED.error(subject, summary, "bring it back, or choose other VMs")
    elif host.in_maintenance:
        yield Code.HOST_MAINTENANCE.error(subject, "is in maintenance mode", "take it out of maintenance mode")
    elif not host.vmotion_vmknics:
        yield Code.HOST_NO_VMOTION.error(subject, *no_vmotion(host))


def no_vmotion(host: Host) -> tuple[str, str]:
    """Return why *host*, which has no vmknic to move VMs over, has none, and what helps."""
    if host.leaseless_vmotion:
        devices = ", ".join(host.leaseless_vmotion)
        hint = "look why the DHCP server gives it no address, or give it a fixed one"
        return f"its vMotion vmknic {devices} has no address: no DHCP server gave it one", hint
    if host.ipv6_vmotion:
        devices = ", ".join(host.ipv6_vmotion)
        return f"its vMotion vmknic {devices} has no IPv4 address, only IPv6", "give it an IPv4 address too"
    return "has no vmknic that carries vMotion", "enable the vMotion service on a vmkernel adapter of this host"


def dhcp(site: SiteName, host: Host) -> Iterator[Finding]:
    """An address that may change is the name of what a run sets: a gateway, a vmknic, whom a relay serves."""
    for nic in host.vmotion_vmknics:
        if nic.dhcp:
            summary = (
                f"{nic.device} has its address {nic.address} by DHCP: settings and the journal name it by this one"
            )
            hint = "give it a fixed address, or reserve this one at the DHCP server"
            yield Code.VMKNIC_DHCP.warning(TargetId.host(site, host.name), summary, hint)


def foreign_runs(site: SiteName, host: Host, runs: Collection[str]) -> Iterator[Finding]:
    """A port group that carries the id of a run which is not in our journal belongs to another operator."""
    for group in host.portgroups:
        matched = PORTGROUP.fullmatch(group.name)
        if matched and matched[1] not in runs:
            summary = f"port group {group.name} belongs to run {matched[1]}, which is not in this journal"
            hint = "run 'lrvmotion restore-defaults' where that run was started, or remove what it left by hand"
            yield Code.HOST_LOCKED.error(TargetId.host(site, host.name), summary, hint)


def foreign_routes(
    site: SiteName, host: Host, relays: Collection[str], held: Collection[tuple[TargetId, SettingKey]]
) -> Iterator[Finding]:
    """A route of one address to one of the addresses *relays* that our journal does not hold is another run's.

    A run in proxy mode leaves nothing else on a host that says whose it is: an option carries no id.
    """
    for key, gateway in sorted(host.routes.items()):
        stack, network = key.split("/", 1)
        single = ipaddress.ip_network(network, strict=False).num_addresses == 1
        ours = (TargetId.host(site, host.name), SettingKey.of("route", key)) in held
        if single and gateway in relays and not ours:
            summary = f"the route to {network} over the relay host {gateway} ({stack}) belongs to another run's journal"
            hint = "run 'lrvmotion restore-defaults' where that run was started, or remove what it left by hand"
            yield Code.HOST_LOCKED.error(TargetId.host(site, host.name), summary, hint)


def congestion(site: SiteName, host: Host) -> Iterator[Finding]:
    """Say which congestion control the vMotion vmknics' stack uses: it is what loses the speed."""
    stacks = {nic.netstack for nic in host.vmotion_vmknics}
    for stack in sorted(stacks & host.congestion_control.keys()):
        algorithm = host.congestion_control[stack]
        if algorithm not in {"newreno", "cubic"}:
            summary = f"{stack} uses {algorithm}, which this program does not know"
            yield Code.HOST_CONGESTION.warning(TargetId.host(site, host.name), summary)


def options(site: SiteName, host: Host, wanted: Iterable[Desired], bounds: Mapping[str, Bounds]) -> Iterator[Finding]:
    """What a mode wants and this build does not take is known before anything is planned."""
    subject = TargetId.host(site, host.name)
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
            code = Code.OPTION_MISSING if limits is None else Code.OPTION_BOUNDS
            yield code.warning(subject, summary)


def vmknic_without_portgroup(target: TargetId, nic: Vmknic, mode: str) -> Finding:
    """The host *target* needs more vMotion vmknics in *mode*, and there is no port group to make them on."""
    seen = f"port group {nic.portgroup!r}, which the account may not see"
    where = seen if nic.portgroup else "an opaque network (NSX)"
    summary = f"{nic.device} ({nic.address}) is on {where}: {mode} mode can add no vMotion vmknic beside it"
    hint = "use --mode proxy, which adds none; or give the host a vMotion vmknic on a port group that the account sees"
    return Code.VMKNIC_PORT_GROUP.error(target, summary, hint)


def option_missing(target: TargetId, key: str) -> Finding:
    """The host *target* has no option *key*: it is left out of the plan."""
    return Code.OPTION_MISSING.warning(target, f"this build has no {key}")


def option_clamped(target: TargetId, wanted: Desired, bounds: Bounds, value: int) -> Finding:
    """The host *target* does not take the *wanted* value within its *bounds*: *value* is set."""
    summary = f"{wanted.key} {wanted.value} is outside {bounds.minimum}..{bounds.maximum} here: {value} is set"
    return Code.OPTION_BOUNDS.warning(target, summary)


def changed_by_others(
    target: TargetId, key: SettingKey, *, run: str, now: str, ours: str, prior: str, needed: bool
) -> Finding:
    """The setting *key* is *now*, and neither what *run* set (*ours*) nor what was there before it (*prior*).

    It stays; where it is *needed*, the way through a relay, that is an error. Values are in words.
    """
    summary = f"{SettingKey(key).words} is {now}, run {run} set {ours}: somebody else changed it"
    hint = f"'lrvmotion restore-defaults' leaves it too (exit status 7); --force makes it {prior} again"
    if needed:
        return Code.SETTING_THEIRS.error(target, f"{summary}; vMotion would not go through the relay", hint)
    return Code.SETTING_THEIRS.warning(target, f"{summary}; it stays", hint)


def reboot(
    site: SiteName, host: Host, changed: Iterable[tuple[str, str]], former: Iterable[tuple[str, str]] = ()
) -> Iterator[Finding]:
    """A setting that needs a reboot is not active before: as vCenter says, or our journal against the boot time.

    *changed* are (setting, when: ISO 8601) of what we changed on this host and have not restored, *former* of what we
    restored after the host was started with our value.
    """
    subject = TargetId.host(site, host.name)
    hint = "reboot the host when its VMs have left it; it works as before until then"
    boot = datetime.fromisoformat(host.boot_time) if host.boot_time else None
    for key, at in changed:
        if boot is None or boot < datetime.fromisoformat(at):
            summary = f"{key} was set at {at[:19].replace('T', ' ')} UTC and waits for a reboot"
            yield Code.HOST_REBOOT.warning(subject, summary, hint)
            return
    for key, at in former:
        summary = f"{key} was restored at {at[:19].replace('T', ' ')} UTC, and our value is in force until a reboot"
        hint = "'lrvmotion restore-defaults --reboot-hosts' reboots it; any other reboot does as well"
        yield Code.HOST_REBOOT.warning(subject, summary, hint)
        return
    if host.reboot_required:
        summary = "vCenter says that it needs a reboot: some of its settings are not active"
        yield Code.HOST_REBOOT.warning(subject, summary, hint)


def vmknics(site: SiteName, host: Host) -> Iterator[Finding]:
    """A vMotion vmknic with another service is not ours to change."""
    subject = TargetId.host(site, host.name)
    for nic in host.vmotion_vmknics:
        if others := sorted(nic.services - {"vmotion"}):
            summary = f"{nic.device} carries vMotion and also {', '.join(others)}: its gateway is never changed"
            hint = "give vMotion a vmknic of its own"
            yield Code.VMKNIC_SHARED.warning(subject, summary, hint)


def stacks(site: SiteName, host: Host) -> Iterator[Finding]:
    """A vmknic on the vMotion stack switches vMotion off on the default stack (vsphere.md 2.2)."""
    if idle := [nic.device for nic in host.vmknics if nic.carries_vmotion and nic not in host.vmotion_vmknics]:
        summary = f"it has a vmknic on the vMotion stack, which switches off vMotion on {', '.join(idle)}"
        hint = "keep all vMotion vmknics of a host on one stack"
        yield Code.VMKNIC_STACKS.warning(TargetId.host(site, host.name), summary, hint)


def shared_subnet(target: TargetId, host: Host, model: Vmknic, ours: Collection[str]) -> Iterator[Finding]:
    """New vmknics like *model* would lie in a subnet that another service of its TCP/IP stack uses.

    *ours* are addresses that a run gave: a vmknic that it did not finish has no service yet.
    ESXi supports that for vMotion's own vmknics alone: what is not bound to a vmknic leaves by either (KB 2010877).
    """
    network = ipaddress.ip_interface(f"{model.address}/{model.prefix_length}").network
    for nic in host.vmknics:
        services = sorted(nic.services - {"vmotion"})
        if nic.netstack != model.netstack or not nic.address or nic.address in ours:
            continue
        beside = ipaddress.ip_address(nic.address) in network
        if beside and (services or nic not in host.vmotion_vmknics):
            carries = f"carries {', '.join(services)}" if services else "is, for storage perhaps"
            summary = f"new vMotion vmknics would be in {network}, where {nic.device} {carries}"
            hint = "give vMotion a subnet of its own, or use --mode proxy"
            yield Code.VMKNIC_SUBNET.error(target, summary, hint)
            return
