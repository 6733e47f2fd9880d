"""Problems with a relay host: what it is and has, whom it sees, its packet filter, its way to the far relay."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from lrvmotion.checks.catalogue import Code
from lrvmotion.findings import Finding, Severity
from lrvmotion.model.relay.relay_host import Block, BoxFacts, FarReach, FirewallView, RelayView, runs_in
from lrvmotion.model.relay.relay_spec import FAR_BUFFER_BYTES, STREAM_BUFFER_BYTES, RelaySpec
from lrvmotion.model.target_id import TargetId

MEASURING = frozenset({Code.RELAY_PYTHON, Code.RELAY_ADDRESS})  # what a far relay host needs that only measures
LOW_MEMORY_KIB = 256 * 1024
PROGRAMS = "/usr/local/lib"
NEEDED_KIB, NEEDED_FILES = 1024, 32  # the relay is below 200 KiB; a file is written beside the one that it replaces
CORES = 2  # the relay has a thread for each direction of a stream, and the kernel's network work beside them
FAST_GOVERNORS = frozenset({"performance", "schedutil"})
SLOW_MBPS = 10_000


def away(name: str, reason: str, hint: str | None) -> Finding:
    """The relay host *name* does not answer, or is not trusted."""
    return Code.RELAY_AWAY.error(TargetId.relay(name), reason, hint)


def no_shell(name: str, reason: str, hint: str | None) -> Finding:
    """The relay host *name* answers, and runs no commands for us."""
    return Code.RELAY_SHELL.error(TargetId.relay(name), reason, hint)


def usable(seen: BoxFacts, spec: RelaySpec, runs: Collection[str] = ()) -> list[Finding]:
    """What blocks, or should be known of, a relay as in *spec*; *runs* are those of this journal."""
    return [
        *_locked(seen, spec, runs),
        *_programs(seen, spec),
        *_places(seen, spec),
        *_addresses(seen, spec, runs),
        *_zones(seen, spec),
        *_kernel(seen, spec),
    ]


def _locked(seen: BoxFacts, spec: RelaySpec, runs: Collection[str]) -> Iterator[Finding]:
    for run, marks in sorted(runs_in(seen.marks).items()):
        if run not in {*runs, spec.run}:
            hint = "its operator restores it with lrvmotion restore-defaults; use another relay host until then"
            yield Code.RELAY_LOCKED.error(TargetId.relay(spec.name), f"locked by run {run} ({', '.join(marks)})", hint)


def _programs(seen: BoxFacts, spec: RelaySpec) -> Iterator[Finding]:
    """Python with splice(2), and a packet filter."""
    subject = TargetId.relay(spec.name)
    if not seen.python:
        there = f"; it has {', '.join(seen.pythons)}" if seen.pythons else ""
        summary = f"no Python 3.9 or newer{there}"
        yield Code.RELAY_PYTHON.error(subject, summary, "install python3 on the relay host")
    elif seen.lacking:
        hint = "install all of Python's standard library (Debian: python3, not python3-minimal)"
        yield Code.RELAY_PYTHON.error(subject, f"{seen.python} has no module {seen.lacking}", hint)
    elif not seen.splice:
        hint = "install its ctypes, or Python 3.10"
        yield Code.RELAY_SPLICE.error(subject, f"{seen.python} knows no splice(2)", hint)
    if not seen.nft and not seen.iptables:
        yield Code.RELAY_FIREWALL.error(subject, "neither nft nor iptables", "install nftables on the relay host")
    if seen.filter_error:
        hint = "a kernel with nf_tables; in a container, CAP_NET_ADMIN"
        yield Code.RELAY_FIREWALL.error(subject, f"nft cannot be used: {seen.filter_error}", hint)


def _places(seen: BoxFacts, spec: RelaySpec) -> Iterator[Finding]:
    """Folders that the relay's files cannot be put into, or not be run from."""
    subject = TargetId.relay(spec.name)
    for place in seen.places:
        if place.path == "/etc/systemd/system" and not seen.systemd:
            continue
        if "ro" in place.options:
            summary = f"{place.path} cannot be written: {place.mount} is mounted read-only"
            yield Code.RELAY_READ_ONLY.error(subject, summary, f"on the relay host: mount -o remount,rw {place.mount}")
        elif not place.writable:
            summary = f"{place.path} cannot be written by root"
            yield Code.RELAY_READ_ONLY.error(subject, summary, f"look at lsattr -d {place.path}")
        elif place.free_kib is not None and place.free_kib < NEEDED_KIB:
            summary = f"{place.free_kib} KiB are free on {place.mount}, for {place.path}: {NEEDED_KIB} KiB are needed"
            yield Code.RELAY_FULL.error(subject, summary, f"make room on {place.mount}")
        elif place.free_files is not None and place.free_files < NEEDED_FILES:
            summary = f"{place.free_files} more files fit on {place.mount}, for {place.path}: {NEEDED_FILES} are needed"
            yield Code.RELAY_FULL.error(subject, summary, f"remove files from {place.mount} (df -i)")
        if place.path == PROGRAMS and "noexec" in place.options:
            summary = f"programs in {place.path} cannot be run: {place.mount} is mounted noexec"
            yield Code.RELAY_NOEXEC.error(subject, summary, f"on the relay host: mount -o remount,exec {place.mount}")


def _addresses(seen: BoxFacts, spec: RelaySpec, runs: Collection[str]) -> Iterator[Finding]:
    subject, where = TargetId.relay(spec.name), _table(spec)
    if seen.interface_of(spec.address) is None:
        have = ", ".join(entry.address for entry in seen.addresses if entry.interface != "lo") or "none"
        summary = f"{spec.address} is not an address of this host; it has {have}"
        yield Code.RELAY_ADDRESS.error(subject, summary, f"correct address in {where}")
    if spec.listen_port in seen.listening and not {*runs, spec.run} & seen.runs:
        summary = f"TCP port {spec.listen_port} is taken"
        yield Code.RELAY_PORT.error(subject, summary, f"set another listen_port in {where}")


def _zones(seen: BoxFacts, spec: RelaySpec) -> Iterator[Finding]:
    """Rules that hide from the relay where a connection that comes in by its LAN was addressed to.

    SO_ORIGINAL_DST looks in conntrack's default zone only (getorigdst in the kernel's nf_conntrack_proto.c).
    """
    lan = seen.interface_of(spec.address)
    for rule in () if spec.far else seen.zones:
        named = re.search(r"(?:iifname|iif|-i) (?:\{([^}]*)\}|(\S+))", rule)
        there = [word.strip('", +*') for word in (named[1] or named[2]).split(",")] if named else []
        begins = named is not None and any(end in named[0] for end in "*+")
        if named is None or lan in there or (begins and lan is not None and lan.startswith(tuple(there))):
            where = "a conntrack zone, where their target is not found"
            summary = f"a rule puts vMotion's connections into {where}: {rule}"
            hint = f"exempt TCP port {spec.service_port} to the targets from that rule, or take another relay host"
            yield Code.RELAY_CONNTRACK_ZONE.error(TargetId.relay(spec.name), summary, hint)


def _kernel(seen: BoxFacts, spec: RelaySpec) -> Iterator[Finding]:
    """What a relay works without, and not as well."""
    subject = TargetId.relay(spec.name)
    if not seen.bbr:
        summary = f"kernel {seen.kernel} has no BBR: the relay uses cubic, which loss slows to a few Mbit/s a stream"
        yield Code.RELAY_BBR.warning(subject, summary, "modprobe tcp_bbr, or a newer kernel")
    if not seen.systemd:
        summary = "no systemd: the relay is supervised, but does not come back after a reboot"
        if not spec.far and not (seen.nft and seen.owner_tables):
            summary += "; while it is dead new connections are refused, for this kernel cannot tie a table to a process"
        yield Code.RELAY_SYSTEMD.warning(subject, summary)
    if fixed := [key for key, _, writable in seen.sysctls if not writable]:
        yield Code.RELAY_SYSCTL.warning(subject, f"kernel settings that cannot be written here: {', '.join(fixed)}")
    if 0 < seen.memory_free_kib < LOW_MEMORY_KIB:
        most = FAR_BUFFER_BYTES if spec.far else STREAM_BUFFER_BYTES
        summary = f"{seen.memory_free_kib // 1024} MiB of memory free; a stream may hold up to {most // 1024**2} MiB"
        yield Code.RELAY_MEMORY.warning(subject, summary)


def neighbours(name: str, view: RelayView, macs: Mapping[str, str], port: int = 8000) -> Iterator[Finding]:
    """What the relay host *name* sees; *macs* are the neighbours' own by address, as their vCenter tells them."""
    subject = TargetId.relay(name)
    if view.reason is not None:
        summary = f"neighbours and port {port} of the targets not measured: {view.reason}"
        yield Code.RELAY_NOT_MEASURED.warning(subject, summary)
    silent = sorted(address for address, mac in view.arp.items() if mac is None)
    if silent:
        summary = f"no ARP answer from the vMotion vmknic {', '.join(silent)}"
        hint = "put the relay host into the VLAN of these vmknics: a relay is their gateway"
        yield Code.RELAY_ARP.error(subject, summary, hint)
    for address, mac in sorted(view.arp.items()):
        own = macs.get(address, "").lower()
        if mac and own and mac != own:
            summary = f"{address} answers with the MAC {mac}, and the vmknic has {own}"
            hint = "find out who else has the address, or answers for it (proxy ARP)"
            yield Code.RELAY_ARP_OTHER.error(subject, summary, hint)
    for outcome in sorted(set(view.ports.values()) - {"open"}):
        where = ", ".join(sorted(address for address, said in view.ports.items() if said == outcome))
        if outcome == "refused":  # ESXi listens on 8000 at every vMotion vmknic (vsphere.md 6), so that nobody's is not
            summary = f"TCP {port} is refused at {where}"
            hint = (
                "enable the vMotion service there, and allow the relay host's address in the firewall ruleset vMotion"
            )
        else:
            summary = f"no way to TCP {port} of {where}: {outcome}"
            hint = f"let TCP {port} through from the relay host to the target's vMotion vmknics"
        yield Code.RELAY_TARGET.error(subject, summary, hint)


def capacity(name: str, seen: BoxFacts, address: str, lan_mtu: int = 1500) -> Iterator[Finding]:
    """What bounds the rate of a relay on this host; *lan_mtu* is the largest of the vmknics beside it."""
    subject = TargetId.relay(name)
    if 0 < seen.cores < CORES:
        summary = "it has one CPU core for the relay's threads and the kernel's network work"
        yield Code.RELAY_CORES.warning(subject, summary, f"give it {CORES} or more")
    slow = sorted({governor for _, governor in seen.governors} - FAST_GOVERNORS)
    if slow:
        summary = f"its CPU governor is {', '.join(slow)}, which keeps the clock low between packets"
        hint = "while a relay runs on it, it is set to performance, and restored afterwards"
        able = "performance" in seen.available_governors
        yield Code.RELAY_GOVERNOR.info(subject, summary, hint if able else None)
    device = seen.interface_of(address)
    mtu, speed = next(((mtu, speed) for link, mtu, speed in seen.links if link == device), (None, None))
    if mtu is not None and 0 < mtu < lan_mtu:
        summary = f"{device} has MTU {mtu}, and the vmknics beside it {lan_mtu}: what it only forwards may be lost"
        yield Code.RELAY_MTU.warning(subject, summary, f"give {device} MTU {lan_mtu}")
    if speed is not None and speed < SLOW_MBPS:
        summary = f"{device} runs at {speed} Mbit/s, and a relay receives and sends everything on it"
        yield Code.RELAY_LINK.info(subject, summary)


def way_to_far(spec: RelaySpec, tried: FarReach | None) -> Iterator[Finding]:
    """Whether a near relay host gets to the far relay that *spec* names; one that is refused got there."""
    if spec.forward is None or tried is None:
        return
    address, port = spec.forward
    if tried.outcome not in {"open", "refused"}:
        summary = f"no way to the far relay at {address} port {port}: {tried.outcome}"
        hint = f"let TCP {port} through from {spec.address} to {address}"
        yield Code.FAR_SILENT.error(TargetId.relay(spec.name), summary, hint)
    elif tried.local != spec.address:
        summary = f"it would reach the far relay at {address} from {tried.local}, not from {spec.address}"
        hint = f"give the relay host a route to {address} through the vMotion LAN"
        yield Code.FAR_SOURCE.error(TargetId.relay(spec.name), summary, hint)


def packet_filter(
    view: FirewallView, spec: RelaySpec, commands: Mapping[Block, str], *, opened: bool
) -> Iterator[Finding]:
    """Which rules stand in vMotion's way; *commands* open each, and with *opened* a run gives them itself."""
    subject = TargetId.relay(spec.name)
    if view.reason is not None:
        summary = f"whether its packet filter lets vMotion through is not known: {view.reason}"
        yield Code.RELAY_FILTER_UNKNOWN.warning(subject, summary)
    for block in view.blocks:
        if opened:
            hint = f"open_firewall: the run does {commands[block]}; restore-defaults takes it back"
        else:
            hint = f"{commands[block]}; or open_firewall = true in {_table(spec)}"
        if block.what == "input":
            code, severity = Code.RELAY_INPUT, Severity.ERROR
            summary = f"it drops connections to the relay's TCP port {spec.listen_port}: {block}"
        elif block.what == "output":
            code, severity = Code.RELAY_OUTPUT, Severity.ERROR
            summary = f"it drops the connections that the relay itself makes: {block}"
        elif block.what == "forward":
            code, severity = Code.RELAY_FORWARD, Severity.ERROR
            summary = f"it drops what is to be forwarded past the relay: {block}"
        else:
            code, severity = Code.RELAY_FORWARD, Severity.WARNING
            summary = f"connections that pass it while its relay is dead would hang: {block}"
        yield code.found(Severity.INFO if opened else severity, subject, summary, hint)


def _table(spec: RelaySpec) -> str:
    """Return the table of the configuration that the relay host is in."""
    return "[relay.target]" if spec.far else "[[relay.source]]"
