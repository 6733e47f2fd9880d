"""What a relay host is and has: collected by one remote call, read without guessing; findings about it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from lrvmotion.errors import RefusedError, printable
from lrvmotion.findings import Finding, Severity
from lrvmotion.ports.shell import Shell
from lrvmotion.relay import names
from lrvmotion.relay.spec import FAR_BUFFER_BYTES, STREAM_BUFFER_BYTES, RelaySpec

MIN_PYTHON = (3, 9)
_VERSION = re.compile(r"[0-9]{1,9}\.[0-9]{1,9}\.[0-9]{1,9}")
_PORT = re.compile(r":([0-9A-Fa-f]{4})$")
LOW_MEMORY_KIB = 256 * 1024
PROGRAMS = "/usr/local/lib"
NEEDED_KIB, NEEDED_FILES = 1024, 32  # the relay is below 200 KiB; a file is written beside the one that it replaces

# Prints key=value, keys repeated where there are several. Only what every Linux has: sh, cat, and tools it asks for.
SCRIPT = r"""
say() { printf '%s=%s\n' "$1" "$2"; }
net=/proc/sys/net
say kernel "$(uname -r)"
say available "$(cat $net/ipv4/tcp_available_congestion_control 2>/dev/null)"
say allowed "$(cat $net/ipv4/tcp_allowed_congestion_control 2>/dev/null)"
modprobe -n tcp_bbr >/dev/null 2>&1 && say bbr_module yes
for tool in nft iptables ip6tables; do
  path=$(command -v $tool) && say tool "$tool $path $($path --version 2>/dev/null | head -n 1)"
done
[ -d /run/systemd/system ] && say systemd "$(systemctl --version 2>/dev/null | head -n 1)"
for name in python3 python3.14 python3.13 python3.12 python3.11 python3.10 python3.9; do
  path=$(command -v $name) || continue
  version=$($path -c 'import sys, os
try:
    import argparse, contextlib, hashlib, ipaddress, json, resource, select, socket, struct, subprocess, threading
except ImportError as error:
    print("%d.%d.%d" % sys.version_info[:3], "lacks:" + str(error.name))
    sys.exit()
try:
    import ctypes
    splice = hasattr(os, "splice") or hasattr(ctypes.CDLL(None), "splice")
except Exception:
    splice = hasattr(os, "splice")
print("%d.%d.%d" % sys.version_info[:3], "splice" if splice else "none")' 2>/dev/null) && say python "$path $version"
done
say cores "$(getconf _NPROCESSORS_ONLN 2>/dev/null)"
for file in /sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor; do
  [ -r "$file" ] && say governor "$file $(cat "$file")"
done
for file in /sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_available_governors; do
  [ -r "$file" ] && say governors "$(cat "$file")" && break
done
ip -o addr show 2>/dev/null | while IFS= read -r line; do say address "$line"; done
for folder in /sys/class/net/*; do
  [ -d "$folder" ] && say link "${folder##*/} $(cat "$folder/mtu" 2>/dev/null) $(cat "$folder/speed" 2>/dev/null)"
done
cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | while read -r _ local _ state _; do
  [ "$state" = 0A ] && say listen "$local"
done
for file in $net/ipv4/ip_forward $net/ipv4/tcp_rmem $net/ipv4/tcp_wmem $net/ipv4/tcp_mtu_probing \
  $net/ipv4/tcp_slow_start_after_idle $net/ipv4/tcp_no_metrics_save $net/ipv4/conf/*/send_redirects \
  $net/ipv4/conf/all/accept_redirects $net/ipv4/conf/default/accept_redirects $net/ipv6/conf/all/forwarding \
  $net/ipv6/conf/*/accept_ra $net/netfilter/nf_conntrack_tcp_be_liberal; do
  [ -r "$file" ] || continue
  how=ro
  [ -w "$file" ] && how=rw
  say sysctl "$file $how $(cat "$file")"
done
if command -v nft >/dev/null; then
  if tables=$(nft list tables 2>&1); then
    printf '%s\n' "$tables" | while IFS= read -r line; do say table "$line"; done
  else
    say nft_error "$(printf '%s\n' "$tables" | head -n 1)"
  fi
else
  { iptables-save; ip6tables-save; } 2>/dev/null | while IFS= read -r line; do
    case $line in :LRVM_*) say chain "$line" ;; esac
  done
fi
rules=$(nft list ruleset 2>/dev/null | grep -E '^[[:space:]]*(table|chain|type) |zone set ')
case $rules in *'zone set '*) printf '%s\n' "$rules" | while IFS= read -r line; do say zone "$line"; done ;; esac
{ iptables-save; ip6tables-save; } 2>/dev/null | grep -e ' --zone' | while IFS= read -r line; do say zone "$line"; done
{ nft list ruleset; iptables-save; iptables-legacy-save; } 2>/dev/null |
  grep -e 'comment "*lrvmotion-' | sort -u | while read -r line; do say mark "rule $line"; done
for path in /etc/systemd/system/lrvmotion-* /usr/local/lib/lrvmotion-* /etc/sysctl.d/*lrvmotion-* /run/lrvmotion-*; do
  [ -e "$path" ] && say mark "$path"
done
for place in /usr/local/lib /etc/sysctl.d /etc/systemd/system /run; do
  at=$place
  while [ ! -d "$at" ]; do at=${at%/*}; at=${at:-/}; done
  how=ro
  [ -w "$at" ] && how=rw
  space=$(df -Pk "$at" 2>/dev/null | tail -n 1 | { read -r _ _ _ free _ point; echo "$free $point"; })
  files=$(df -Pi "$at" 2>/dev/null | tail -n 1 | { read -r _ all _ free _; [ "${all:-0}" != 0 ] && echo "$free"; })
  options=$(while read -r _ point _ now _; do
    [ "$point" = "${space#* }" ] && echo "$now"
  done < /proc/self/mounts | tail -n 1)
  say place "$place $how ${space%% *} ${files:--} ${options:--} ${space#* }"
done
while read -r key value _; do
  case $key in MemTotal:) say memory_total "$value" ;; MemAvailable:) say memory_free "$value" ;; esac
done < /proc/meminfo
say end yes
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An address of the box: *interface*, plain *address*, prefix *length*."""

    interface: str
    address: str
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A folder that the relay's files go to: KiB and files that fit (None: not known), mount point and its options."""

    path: str
    writable: bool
    free_kib: int | None
    free_files: int | None
    options: frozenset[str]
    mount: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxFacts:
    """A box as it was seen. Paths are "" where a tool is missing; sysctls map a key to (value, writable).

    *governors* maps each CPU to its governor, empty where the box has none. *listening* are TCP ports that
    something listens on, at any address. *marks* is everything that carries lrvmotion's name. Memory in KiB.
    *links* maps an interface to (MTU, speed in Mbit/s or None). *zones*: rules that put what comes in into a conntrack
    zone, each with its table and chain. *lacking* is a module that its Python has not, *filter_error* what nft said
    that cannot be used.
    """

    kernel: str = ""
    available: frozenset[str] = frozenset()
    allowed: frozenset[str] = frozenset()
    bbr_module: bool = False
    tools: tuple[tuple[str, str, str], ...] = ()
    systemd: bool = False
    python: str = ""
    python_version: tuple[int, int, int] = (0, 0, 0)
    pythons: tuple[str, ...] = ()
    splice: bool = False
    cores: int = 0
    governors: tuple[tuple[str, str], ...] = ()
    available_governors: frozenset[str] = frozenset()
    addresses: tuple[Address, ...] = ()
    links: tuple[tuple[str, int, int | None], ...] = ()
    listening: frozenset[int] = frozenset()
    sysctls: tuple[tuple[str, str, bool], ...] = ()
    marks: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    memory_total_kib: int = 0
    memory_free_kib: int = 0
    places: tuple[Place, ...] = ()
    lacking: str = ""
    filter_error: str = ""

    @property
    def bbr(self) -> bool:
        """Whether the relay can use BBR: it is in the kernel, or the kernel loads it when first asked for."""
        return "bbr" in self.available or self.bbr_module

    @property
    def nft(self) -> str:
        """Where nft is, "" where it is not."""
        return self._tool("nft")

    @property
    def iptables(self) -> str:
        """Where iptables is, "" where it is not."""
        return self._tool("iptables")

    @property
    def legacy_iptables(self) -> bool:
        """Whether its iptables is the older one, which speaks to the kernel by a raw socket and locks a file of root's.

        Since 1.8 each says of itself which it is: "(legacy)" or "(nf_tables)".
        """
        return any(name == "iptables" and "nf_tables" not in version for name, _, version in self.tools)

    @property
    def owner_tables(self) -> bool:
        """Whether a packet filter table can belong to a process (`flags owner`: kernel 5.12, nft 1.0)."""
        version = next((version for name, _, version in self.tools if name == "nft"), "")
        return _numbers(self.kernel) >= (5, 12) and _numbers(version) >= (1, 0)

    @property
    def runs(self) -> frozenset[str]:
        """The runs that have left something on this box."""
        return frozenset(names.runs_in(self.marks))

    def sysctl(self, key: str) -> str | None:
        """Return the value of the kernel setting *key*, None where the box has none."""
        return next((value for name, value, _ in self.sysctls if name == key), None)

    def interface_of(self, address: str) -> str | None:
        """Return the interface that carries *address*, None where none does."""
        return next((entry.interface for entry in self.addresses if entry.address == address), None)

    def _tool(self, wanted: str) -> str:
        return next((path for name, path, _ in self.tools if name == wanted), "")


def facts(shell: Shell) -> BoxFacts:
    """Ask the box, in one call, what it is and has; RefusedError where its shell did not get to the end."""
    done = shell.run(["sh", "-s"], stdin=SCRIPT.encode())
    if "\nend=yes" not in done.stdout:
        said = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.status}"]
        message = f"{shell.name}: cannot be identified: {said[0]}"
        raise RefusedError(message, hint="lrvmotion needs a Linux host with a POSIX shell")
    return parse(printable(done.stdout))


def parse(printed: str) -> BoxFacts:
    """Read what SCRIPT printed; what is missing or odd stays at its default."""
    found: dict[str, list[str]] = {}
    for line in printed.splitlines():
        key, equals, value = line.partition("=")
        if equals:
            found.setdefault(key, []).append(value.strip())

    def one(key: str) -> str:
        return found.get(key, [""])[0]

    pythons = [tuple(line.split()) for line in found.get("python", [])]
    fit = [
        words
        for words in pythons
        if len(words) == 3 and _VERSION.fullmatch(words[1]) and _numbers(words[1]) >= MIN_PYTHON
    ]
    python, version, splice = fit[0] if fit else ("", "0.0.0", "none")
    major, minor, patch = (int(part) for part in version.split("."))
    return BoxFacts(
        kernel=one("kernel"),
        available=frozenset(one("available").split()),
        allowed=frozenset(one("allowed").split()),
        bbr_module=one("bbr_module") == "yes",
        tools=tuple(_tools(found.get("tool", []))),
        systemd="systemd" in found,
        python=python,
        python_version=(major, minor, patch),
        pythons=tuple(" ".join(words[:2]) for words in pythons),
        splice=splice == "splice",
        cores=_integer(one("cores")),
        governors=tuple(sorted(_governors(found.get("governor", [])))),
        available_governors=frozenset(one("governors").split()),
        addresses=tuple(_addresses(found.get("address", []))),
        links=tuple(_links(found.get("link", []))),
        listening=frozenset(int(port[1], 16) for line in found.get("listen", []) if (port := _PORT.search(line))),
        sysctls=tuple(_sysctls(found.get("sysctl", []))),
        marks=(
            *(f"table {words}" for words in _ours(found.get("table", []))),
            *(f"chain {name[0]}" for line in found.get("chain", []) if (name := line[1:].split())),
            *found.get("mark", []),
        ),
        zones=tuple(_zones(found.get("zone", []))),
        memory_total_kib=_integer(one("memory_total")),
        memory_free_kib=_integer(one("memory_free")),
        places=tuple(_places(found.get("place", []))),
        lacking=splice.partition("lacks:")[2],
        filter_error=one("nft_error"),
    )


def findings(seen: BoxFacts, spec: RelaySpec, runs: Collection[str] = ()) -> list[Finding]:
    """Return what blocks, or should be known of, a relay as in *spec*; *runs* are those of this journal."""
    subject = f"box/{spec.name}"
    where = "[relay.target]" if spec.far else "[[relay.source]]"
    ours = {*runs, spec.run}

    def found(severity: Severity, code: str, summary: str, hint: str | None = None) -> Finding:
        return Finding(severity=severity, code=code, subject=subject, summary=summary, hint=hint)

    said = []
    for run, marks in sorted(names.runs_in(seen.marks).items()):
        if run not in ours:
            hint = "its operator restores it with lrvmotion restore-defaults; use another relay host until then"
            said.append(found(Severity.ERROR, "box-locked", f"locked by run {run} ({', '.join(marks)})", hint))
    if not seen.python:
        there = f"; it has {', '.join(seen.pythons)}" if seen.pythons else ""
        said.append(
            found(Severity.ERROR, "box-python", f"no Python 3.9 or newer{there}", "install python3 on the relay host")
        )
    elif seen.lacking:
        hint = "install all of Python's standard library (Debian: python3, not python3-minimal)"
        said.append(found(Severity.ERROR, "box-python", f"{seen.python} has no module {seen.lacking}", hint))
    elif not seen.splice:
        hint = "install its ctypes, or Python 3.10"
        said.append(found(Severity.ERROR, "box-splice", f"{seen.python} knows no splice(2)", hint))
    if not seen.nft and not seen.iptables:
        said.append(
            found(Severity.ERROR, "box-firewall", "neither nft nor iptables", "install nftables on the relay host")
        )
    if seen.filter_error:
        hint = "a kernel with nf_tables; in a container, CAP_NET_ADMIN"
        said.append(found(Severity.ERROR, "box-firewall", f"nft cannot be used: {seen.filter_error}", hint))
    said += _placed(seen, subject)
    if seen.interface_of(spec.address) is None:
        have = ", ".join(entry.address for entry in seen.addresses if entry.interface != "lo") or "none"
        summary = f"{spec.address} is not an address of this host; it has {have}"
        said.append(found(Severity.ERROR, "box-address", summary, f"correct address in {where}"))
    if spec.listen_port in seen.listening and not ours & seen.runs:
        summary = f"TCP port {spec.listen_port} is taken"
        said.append(found(Severity.ERROR, "box-port", summary, f"set another listen_port in {where}"))
    for rule in () if spec.far else _zoned(seen, spec):
        summary = f"a rule puts vMotion's connections into a conntrack zone, where their target is not found: {rule}"
        hint = f"exempt TCP port {spec.service_port} to the targets from that rule, or take another relay host"
        said.append(found(Severity.ERROR, "box-conntrack-zone", summary, hint))
    if not seen.bbr:
        summary = f"kernel {seen.kernel} has no BBR: the relay uses cubic, which loss slows to a few Mbit/s a stream"
        said.append(found(Severity.WARNING, "box-bbr", summary, "modprobe tcp_bbr, or a newer kernel"))
    if not seen.systemd:
        summary = "no systemd: the relay is supervised, but does not come back after a reboot"
        if not spec.far and not (seen.nft and seen.owner_tables):
            summary += "; while it is dead new connections are refused, for this kernel cannot tie a table to a process"
        said.append(found(Severity.WARNING, "box-systemd", summary))
    fixed = [key for key, _, writable in seen.sysctls if not writable]
    if fixed:
        summary = f"kernel settings that cannot be written here: {', '.join(fixed)}"
        said.append(found(Severity.WARNING, "box-sysctl", summary))
    if 0 < seen.memory_free_kib < LOW_MEMORY_KIB:
        most = FAR_BUFFER_BYTES if spec.far else STREAM_BUFFER_BYTES
        summary = f"{seen.memory_free_kib // 1024} MiB of memory free; a stream may hold up to {most // 1024**2} MiB"
        said.append(found(Severity.WARNING, "box-memory", summary))
    return said


def _zoned(seen: BoxFacts, spec: RelaySpec) -> Iterator[str]:
    """Yield the rules that hide from the relay where a connection that comes in by its LAN was addressed to.

    SO_ORIGINAL_DST looks in conntrack's default zone only (getorigdst in the kernel's nf_conntrack_proto.c).
    """
    lan = seen.interface_of(spec.address)
    for rule in seen.zones:
        named = re.search(r"(?:iifname|iif|-i) (?:\{([^}]*)\}|(\S+))", rule)
        there = [word.strip('", +*') for word in (named[1] or named[2]).split(",")] if named else []
        begins = named is not None and any(end in named[0] for end in "*+")
        if named is None or lan in there or (begins and lan is not None and lan.startswith(tuple(there))):
            yield rule


def _zones(lines: list[str]) -> Iterator[str]:
    """Read the rules of nft with the lines of their tables and chains, and those of iptables-save."""
    table = chain = hook = ""
    for line in lines:
        words = line.split()
        if line.startswith("-A "):
            if words[1] != "OUTPUT" and not line.endswith("--zone 0"):
                yield f"iptables -t raw {line}"
        elif words[:1] == ["table"]:
            table = " ".join(words[1:3])
        elif words[:1] == ["chain"]:
            chain, hook = " ".join(words[1:2]), ""
        elif words[:1] == ["type"]:
            hook = " ".join(words[3:4])
        elif "zone set" in line and hook in {"", "prerouting"} and not line.endswith(" 0"):
            yield f"table {table}, chain {chain}: {line.strip()}"


def _placed(seen: BoxFacts, subject: str) -> Iterator[Finding]:
    """Say which folders the relay's files cannot be put into, or not be run from."""

    def found(code: str, summary: str, hint: str) -> Finding:
        return Finding(severity=Severity.ERROR, code=code, subject=subject, summary=summary, hint=hint)

    for place in seen.places:
        if place.path == "/etc/systemd/system" and not seen.systemd:
            continue
        if "ro" in place.options:
            summary = f"{place.path} cannot be written: {place.mount} is mounted read-only"
            yield found("box-read-only", summary, f"on the relay host: mount -o remount,rw {place.mount}")
        elif not place.writable:
            yield found("box-read-only", f"{place.path} cannot be written by root", f"look at lsattr -d {place.path}")
        elif place.free_kib is not None and place.free_kib < NEEDED_KIB:
            summary = f"{place.free_kib} KiB are free on {place.mount}, for {place.path}: {NEEDED_KIB} KiB are needed"
            yield found("box-full", summary, f"make room on {place.mount}")
        elif place.free_files is not None and place.free_files < NEEDED_FILES:
            summary = f"{place.free_files} more files fit on {place.mount}, for {place.path}: {NEEDED_FILES} are needed"
            yield found("box-full", summary, f"remove files from {place.mount} (df -i)")
        if place.path == PROGRAMS and "noexec" in place.options:
            summary = f"programs in {place.path} cannot be run: {place.mount} is mounted noexec"
            yield found("box-noexec", summary, f"on the relay host: mount -o remount,exec {place.mount}")


def _places(lines: list[str]) -> Iterator[Place]:
    for line in lines:
        words = line.split(None, 5)
        if len(words) == 6:
            path, how, space, files, options, mount = words
            yield Place(
                path=path, writable=how == "rw", free_kib=int(space) if space.isdigit() else None,
                free_files=int(files) if files.isdigit() else None, options=frozenset(options.split(",")), mount=mount,
            )  # fmt: skip


def _tools(lines: list[str]) -> Iterator[tuple[str, str, str]]:
    for line in lines:
        name, path, version = (*line.split(None, 2), "", "", "")[:3]
        if path.startswith("/"):
            yield name, path, version


def _governors(lines: list[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        cpu = re.match(r"/sys/devices/system/cpu/(cpu\d+)/cpufreq/scaling_governor (\S+)$", line)
        if cpu:
            yield cpu[1], cpu[2]


def _addresses(lines: list[str]) -> Iterator[Address]:
    for line in lines:
        words = re.match(
            r"\d+:\s+([^\s@]{1,32})\S{0,32}\s+inet6?\s+([0-9a-fA-F.:]+)(?:\s+peer\s+\S+?)?(?:/([0-9]{1,3}))?\s",
            line + " ",
        )
        if words and "scope link" not in line:
            yield Address(
                interface=words[1], address=words[2], length=int(words[3] or (128 if ":" in words[2] else 32))
            )


def _links(lines: list[str]) -> Iterator[tuple[str, int, int | None]]:
    for line in lines:
        name, mtu, speed = (*line.split(), "", "", "")[:3]
        # -1 and 0xffffffff: unknown, as virtual NICs say.
        known = 0 < _integer(speed) < 2**31
        yield name, _integer(mtu), _integer(speed) if known else None


def _sysctls(lines: list[str]) -> Iterator[tuple[str, str, bool]]:
    for line in lines:
        path, how, value = (*line.split(None, 2), "", "", "")[:3]
        # As sysctl(8) writes them: a dot inside a name (a VLAN interface) becomes a slash.
        key = ".".join(part.replace(".", "/") for part in path.removeprefix("/proc/sys/").split("/"))
        yield key, " ".join(value.split()), how == "rw"


def _ours(lines: list[str]) -> Iterator[str]:
    for line in lines:
        words = line.split()
        if len(words) == 3 and words[2].startswith("lrvmotion_"):
            yield f"{words[1]} {words[2]}"


def _integer(text: str) -> int:
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else 0


def _numbers(text: str) -> tuple[int, ...]:
    found = re.search(r"([0-9]{1,9})\.([0-9]{1,9})", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)
