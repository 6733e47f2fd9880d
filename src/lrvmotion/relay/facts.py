"""What a relay host is and has: collected by one remote call, read without guessing."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lrvmotion.errors import RefusedError, printable
from lrvmotion.model.relay.relay_host import Address, BoxFacts, Place, version_numbers
from lrvmotion.ports.shell import Shell

MIN_PYTHON = (3, 9)
_VERSION = re.compile(r"[0-9]{1,9}\.[0-9]{1,9}\.[0-9]{1,9}")
_PORT = re.compile(r":([0-9A-Fa-f]{4})$")

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
        if len(words) == 3 and _VERSION.fullmatch(words[1]) and version_numbers(words[1]) >= MIN_PYTHON
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
