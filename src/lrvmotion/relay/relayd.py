#!/usr/bin/env python3
"""Carry redirected TCP connections on to their true destination: the file that is put on a relay host.

One file, the standard library only, Python 3.9 or newer, Linux. Bytes move with splice(2), so that they never enter
user space: one thread a direction, one pipe each. A reset stays a reset, a half-close a half-close.

    relayd.py --config FILE            run (JSON, see `Config`); `--supervise`: start it again when it dies
    relayd.py --config FILE --hold-redirect SCRIPT ...
                                       feed SCRIPT to a child `nft -i`: a table with `flags owner` is gone with us;
                                       the configuration's `redirects` name the tables
    relayd.py --status SOCKET          print what a running relay does, as one JSON line
    relayd.py --limit SOCKET BPS|off   change its cap, bits per second
    relayd.py --drain SOCKET           accept nothing new, end with the last stream
    relayd.py --stop SOCKET            the same, but reset what is left after drain_s

Exit status: 0 drained or stopped · 1 unexpected · 2 configuration or usage · 3 a port or the control socket is taken ·
4 congestion control not available · 5 an address cannot be listened on · 6 redirect not installed · 7 no relay answers
"""

from __future__ import annotations

import _thread
import argparse
import collections
import collections.abc
import contextlib
import errno
import fcntl
import importlib
import ipaddress
import json
import os
import re
import resource
import select
import signal
import socket
import stat
import struct
import sys
import threading
import time
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
    cast,
)

if TYPE_CHECKING:
    import subprocess

VERSION = "1"
SCHEMA = 1

EXIT_OK, EXIT_CONFIG, EXIT_TAKEN, EXIT_CONGESTION, EXIT_LISTEN, EXIT_REDIRECT, EXIT_NO_ANSWER = 0, 2, 3, 4, 5, 6, 7

MIB = 1024 * 1024
SO_MAX_PACING_RATE, SO_RCVBUFFORCE = 47, 33
SO_ORIGINAL_DST, IP6T_SO_ORIGINAL_DST = 80, 80
TCP_INFO, TCP_NOTSENT_LOWAT, TCP_CC_INFO = 11, 25, 26
F_SETPIPE_SZ = 1031  # fcntl names it from 3.10 on
SPLICE_F_MOVE = 1
UNLIMITED = 0xFFFFFFFFFFFFFFFF

PIPE_MAX = MIB
BACKLOG = 1024
STACK_BYTES = 128 * 1024  # measured: a pump thread needs less than 64 KiB
WAKE_S = 0.2  # a blocked thread looks up this often; shutdown(2) would wake it too, but turns a reset into a FIN
TICK_S = 0.5
FINISHED_KEPT = 200
LOG_LINES_A_SECOND, LOG_KEPT, LOG_BYTES = 20, 200, MIB
LAST_WORDS_S = 1.0  # so long the end waits for a log that is not read
REQUEST_BYTES, REQUEST_S, REQUESTS = 4096, 2.0, 16  # of the control socket: length, time for all of it, at once
PIECE_CHARACTERS = 16_384  # of its answer, sent at once
LEAST_LIMIT_BPS = 100_000
SUPER_PACKET = 65536  # bytes that TCP hands down at once at most
BOOKED_S = 0.5  # so long a stream may be silent for a pace of the past
GATHER_S, GATHER_LEAST = 0.004, 65536  # what wakes the pump of a fast stream: seconds' worth, least bytes
PORTION_LEAST_S, PORTION_S, PORTION = 0.01, 0.1, 1448  # what such a stream sends at once: seconds' worth, least bytes
SILENT_S = 5.0  # no acknowledgement for longer than that is no longer loss
SHORT_US = 1000  # a leg with a shorter round trip does without BBR, whose pacing is 40 % of one stream's CPU there
LOSSY, LOSSY_TICKS = 0.001, 3  # a share retransmitted in so many ticks in a row: a short leg gets BBR after all
STARTUP_GAIN = 1.5  # BBR paces at 2.89 times its estimate in STARTUP, at 1.25 at most later
RESTARTS, RESTART_TICKS, RESTART_PAYS = (
    6,
    2,
    1.25,
)  # another BBR STARTUP, while the last one raised the rate by a quarter
RESTART_S, RESTART_RTTS = 2.0, 16  # so long after one it is judged
YOUNG_S = 9.0  # later the pipe may look empty because BBR looks for the least RTT, which it does after 10 s
QUEUED = 1 / 16  # an RTT by so much over the least one: packets queue, so that the pipe is full
FAR_US, FAR_TIMES = 5000, 4  # an RTT with which BBR, given TCP's least one, would go wrong
HELD, HELD_S = 0.8, 12.0  # so much of what the window carries, until BBR believes in the RTT
BLIND_S = 3.0  # connections that are caught and do not arrive for this long: something on this host drops them
UNANSWERED_S = 10.0  # ... that arrive and are not accepted: one TCP gives up later, and a host may just have died
SEVERAL = 3  # what one connection does is no reason to withdraw the redirect
RESTORE_S, RESTORE_MAX_S = 5.0, 300.0  # at least so long after a withdrawal the redirect may come back
UNPROVEN_PAUSES = 12  # so many times as long where the packet filter is as it was
OWNER_S = 5.0  # so long the tables of a former owner are waited for to go
LOADED_S = 10.0  # who starts the relay has so long to load its redirect
KEEPIDLE_S = 60  # without data for so long, a connection's other end is asked whether it is there

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
Endpoint = Tuple[str, int]
Splice = Callable[[int, int, int], int]


# --- configuration ----------------------------------------------------------------------------------------------


class ConfigError(Exception):
    """The configuration cannot be used; the message is one line that names the key."""


class Seen(NamedTuple):
    """What one look at a redirect's rules found: connections *caught*, and those *arrived* at the relay's port.

    The difference was dropped on this host in between. *whole*: every rule is there; *catching*: so is the one that
    catches, which a withdrawn redirect lacks. *catches* is how that one is printed, *rest* all else but what counts.
    """

    caught: int
    arrived: int
    whole: bool
    catching: bool
    catches: str = ""
    rest: str = ""


class Redirect(NamedTuple):
    """The rules that feed this relay: counted, loaded again where they are gone, withdrawn where they lead nowhere.

    *kind* "nft": *name* is the table, with counters `hits` and `arrived` and a chain `catch`; "iptables": *name* is the
    chain in the nat table. *family* is "ip" or "ip6". *script*: the file that loads them, None: nothing to load.
    """

    kind: str
    family: str
    name: str
    script: Optional[str] = None

    def list_command(self) -> List[str]:
        """Return the command that prints the rules with their counters."""
        if self.kind == "nft":
            return ["nft", "list", "table", self.family, self.name]
        return [self.family + "tables-save", "-c"]

    def load_command(self) -> Optional[List[str]]:
        """Return the command that rebuilds the rules, None where there is no script."""
        if self.script is None:
            return None
        return ["nft", "-f", self.script] if self.kind == "nft" else ["/bin/sh", self.script, "load"]

    def withdraw_command(self) -> List[str]:
        """Return the command after which nothing new is caught; live connections are not touched."""
        if self.kind == "nft":
            return ["nft", "flush", "chain", self.family, self.name, "catch"]
        return [self.family + "tables", "-w", "-t", "nat", "-F", self.name]

    def read(self, printed: str) -> Seen:
        """Return what the list command *printed* says of our rules."""
        return self._read_nft(printed) if self.kind == "nft" else self._read_iptables(printed)

    def _read_nft(self, printed: str) -> Seen:
        counters = {name: int(packets) for name, packets in re.findall(r"counter (\w+) \{\s*packets (\d+)", printed)}
        chains = dict(re.findall(r"chain (\w+) \{\s*type [^\n]*\n([^}]*)\}", printed))
        rules = {name: bool(body.strip()) for name, body in chains.items()}
        catching = rules.pop("catch", False)
        whole = "catch" in chains and {"keepct", "fence", "arrival", "stray"} <= rules.keys() and all(rules.values())
        still = re.sub(r"packets \d+ bytes \d+", "", printed)
        still = re.sub(r"(set relayed \{[^{}]*)elements = \{[^{}]*\}", r"\1", still)
        others, catches = _CATCH.sub("", still), " ".join(_CATCH.findall(still))
        return Seen(
            counters.get("hits", 0), counters.get("arrived", 0), whole, catching, catches, " ".join(others.split())
        )

    def _read_iptables(self, printed: str) -> Seen:
        inside = self.name + "_in"
        rules = re.findall(r"^\[(\d+):\d+\] -A (\S+) (.*)$", printed, re.MULTILINE)
        jumps = [(chain, rule.split()[-1]) for _, chain, rule in rules if rule.split()[-1] in (self.name, inside)]
        caught = [int(packets) for packets, chain, rule in rules if chain == self.name and "-j REDIRECT" in rule]
        arrived = [int(packets) for packets, chain, _ in rules if chain == inside]
        fenced = any(chain == self.name and "-j DROP" in rule for _, chain, rule in rules)
        needed = (("INPUT", self.name), ("PREROUTING", self.name), ("PREROUTING", self.name), ("INPUT", inside))
        whole = all(jumps.count(jump) >= needed.count(jump) for jump in needed) and fenced and bool(arrived)
        ours = sorted(
            "{} {}".format(chain, rule) for _, chain, rule in rules if {chain, rule.split()[-1]} & {self.name, inside}
        )
        catches = [rule for rule in ours if "-j REDIRECT" in rule]
        rest = [rule for rule in ours if rule not in catches]
        return Seen(sum(caught), sum(arrived), whole, bool(caught), "\n".join(catches), "\n".join(rest))


_CATCH = re.compile(r"(?<=chain catch \{)[^}]*")


class Config(NamedTuple):
    """What the relay may do. Every key of the file is a field here; those with a default may be left out.

    *listen*: addresses and ports to accept on. *port*: the service port that is redirected; only it is ever dialled.
    *sources*, *targets*: networks; nothing else is carried. *wan_congestion_control*: of the outgoing leg (of the
    incoming one too, if it comes from a near relay); *congestion_fallback*: what to take where the kernel has not got
    it, null: do not start. *limit_bps*: cap over all streams, bits per second, 100 kbit/s at least.
    *stream_buffer_bytes*: what one stalled stream may hold in this box. *control*: path of the control socket.
    *forward*: the far relay, if there is one.
    *accept_proxy_from*: near relays, whose connections carry a PROXY v2 header. *answer_timeout_s*: how long a peer may
    acknowledge nothing of what it was sent, then its stream is reset. *drain_s*: how long SIGTERM lets streams go on.
    *redirects*: rules to watch (see `Guard`).
    """

    listen: Tuple[Endpoint, ...]
    port: int
    sources: Tuple[Network, ...]
    targets: Tuple[Network, ...]
    control: str
    wan_congestion_control: str = "bbr"
    congestion_fallback: Optional[str] = None
    limit_bps: Optional[int] = None
    stream_buffer_bytes: int = 16 * MIB
    forward: Optional[Endpoint] = None
    accept_proxy_from: Tuple[Network, ...] = ()
    connect_timeout_s: float = 5.0
    answer_timeout_s: float = 120.0
    drain_s: float = 30.0
    redirects: Tuple[Redirect, ...] = ()


def parse_config(text: str) -> Config:
    """Read the configuration *text* (JSON). Raises ConfigError, which names the first key that is wrong."""
    try:
        document = json.loads(text)
    except ValueError as error:
        message = "not JSON: {}".format(error)
        raise ConfigError(message) from None
    if not isinstance(document, dict):
        message = "not a JSON object"
        raise ConfigError(message)
    known = list(Config._fields)
    for key in document:
        if key not in known and key != "schema":
            message = "{}: unknown key; known: {}".format(key, ", ".join(["schema", *known]))
            raise ConfigError(message)
    for key in ("schema", "listen", "port", "sources", "targets", "control"):
        if key not in document:
            message = "{}: missing".format(key)
            raise ConfigError(message)
    values: Dict[str, Any] = {}
    for key, value in document.items():
        try:
            values[key] = _READERS[key](value)
        except (TypeError, ValueError, KeyError) as error:
            message = "{}: {}".format(key, error.args[0] if error.args else "bad value")
            raise ConfigError(message) from None
    del values["schema"]
    return Config(**values)


def _integer(low: int, high: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if type(value) is not int or not low <= value <= high:
            message = "{!r} is not a whole number from {} to {}".format(value, low, high)
            raise ValueError(message)
        return value

    return read


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 86400:
        message = "{!r} is not a number of seconds from 0 to 86400".format(value)
        raise ValueError(message)
    return float(value)


def _word(pattern: str, what: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            message = "{!r} is not {}".format(value, what)
            raise ValueError(message)
        return value

    return read


def _optional(reader: Callable[[object], Any]) -> Callable[[object], Any]:
    return lambda value: None if value is None else reader(value)


def _list(reader: Callable[[object], Any], *, empty: bool) -> Callable[[object], Tuple[Any, ...]]:
    def read(value: object) -> Tuple[Any, ...]:
        if not isinstance(value, list) or not (value or empty):
            message = "{!r} is not a list{}".format(value, "" if empty else " with entries")
            raise ValueError(message)
        return tuple(reader(entry) for entry in value)

    return read


def _network(value: object) -> Network:
    if not isinstance(value, str):
        message = "{!r} is not an address or network".format(value)
        raise TypeError(message)
    return ipaddress.ip_network(value)


def _endpoint(value: object) -> Endpoint:
    if not isinstance(value, list) or len(value) != 2:
        message = "{!r} is not [address, port]".format(value)
        raise ValueError(message)
    return str(ipaddress.ip_address(value[0])), _integer(1, 65535)(value[1])


def _forward(value: object) -> Endpoint:
    if not isinstance(value, dict) or set(value) != {"address", "port"}:
        message = '{!r} is not {{"address", "port"}}'.format(value)
        raise ValueError(message)
    return _endpoint([value["address"], value["port"]])


def _redirect(value: object) -> Redirect:
    if not isinstance(value, dict) or set(value) | {"script"} != {"kind", "family", "name", "script"}:
        message = '{!r} is not {{"kind", "family", "name"}} with or without "script"'.format(value)
        raise ValueError(message)
    return Redirect(
        _word("nft|iptables", "nft or iptables")(value["kind"]),
        _word("ip|ip6", "ip or ip6")(value["family"]),
        _word("[A-Za-z0-9_]{1,64}", "a table's name")(value["name"]),
        _optional(_word("/.{1,500}", "an absolute path"))(value.get("script")),
    )


_ALGORITHM = _word("[a-z0-9_]{1,15}", "a congestion control's name")
_READERS: Dict[str, Callable[[object], Any]] = {
    "schema": _integer(SCHEMA, SCHEMA),
    "listen": _list(_endpoint, empty=False),
    "port": _integer(1, 65535),
    "sources": _list(_network, empty=False),
    "targets": _list(_network, empty=False),
    "control": _word("/.{1,106}", "an absolute path of at most 107 characters"),
    "wan_congestion_control": _ALGORITHM,
    "congestion_fallback": _optional(_ALGORITHM),
    "limit_bps": _optional(_integer(LEAST_LIMIT_BPS, 10**13)),
    "stream_buffer_bytes": _integer(256 * 1024, 1024 * MIB),
    "forward": _optional(_forward),
    "accept_proxy_from": _list(_network, empty=True),
    "connect_timeout_s": _seconds,
    "answer_timeout_s": _seconds,
    "drain_s": _seconds,
    "redirects": _list(_redirect, empty=True),
}


# --- what the kernel is asked -----------------------------------------------------------------------------------


def find_splice(*, use_ctypes: bool = False) -> Splice:
    """Return splice(source, destination, count): os.splice (3.10 on), else libc's. Errors are OSError."""
    if not use_ctypes and hasattr(os, "splice"):
        os_splice = os.splice
        return lambda source, destination, count: os_splice(source, destination, count, flags=SPLICE_F_MOVE)
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    function = libc.splice
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    function.argtypes = [ctypes.c_int, pointer, ctypes.c_int, pointer, size, ctypes.c_uint]
    function.restype = ctypes.c_ssize_t

    def splice(source: int, destination: int, count: int) -> int:
        while True:
            moved = int(function(source, None, destination, None, count, SPLICE_F_MOVE))
            if moved >= 0:
                return moved
            code = ctypes.get_errno()
            if code != errno.EINTR:
                raise OSError(code, os.strerror(code))

    return splice


def original_destination(connection: socket.socket) -> Optional[Endpoint]:
    """Return where *connection* was going before it was redirected to us; None: it was not redirected."""
    try:
        if connection.family == socket.AF_INET6:
            raw = connection.getsockopt(socket.IPPROTO_IPV6, IP6T_SO_ORIGINAL_DST, 28)
            found = socket.inet_ntop(socket.AF_INET6, raw[8:24]), int.from_bytes(raw[2:4], "big")
        else:
            raw = connection.getsockopt(socket.IPPROTO_IP, SO_ORIGINAL_DST, 16)
            found = socket.inet_ntop(socket.AF_INET, raw[4:8]), int.from_bytes(raw[2:4], "big")
    except OSError:
        return None  # no connection tracking, or nothing known of this connection
    # With connection tracking, one that was not redirected names our own address: dialling it would be a loop.
    return None if found == connection.getsockname()[:2] else found


PROXY_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def proxy_header(source: Endpoint, target: Endpoint) -> bytes:
    """Return the PROXY protocol v2 header for a TCP connection from *source* to *target* (one family)."""
    family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
    body = socket.inet_pton(family, source[0]) + socket.inet_pton(family, target[0])
    body += struct.pack(">HH", source[1], target[1])
    kind = 0x21 if family == socket.AF_INET6 else 0x11
    return PROXY_SIGNATURE + struct.pack(">BBH", 0x21, kind, len(body)) + body


def read_proxy_header(receive: Callable[[int], bytes]) -> Tuple[Endpoint, Endpoint]:
    """Read one PROXY v2 header with *receive*(at most n bytes); return source and target. Raises ValueError."""
    head = _exactly(receive, 16)
    version, kind, length = struct.unpack(">BBH", head[12:])
    if head[:12] != PROXY_SIGNATURE or version != 0x21 or kind not in (0x11, 0x21):
        message = "not a PROXY v2 header for TCP"
        raise ValueError(message)
    size = 16 if kind == 0x21 else 4
    if not 2 * size + 4 <= length <= 2048:
        message = "a PROXY v2 header of {} bytes".format(length)
        raise ValueError(message)
    body = _exactly(receive, length)
    family = socket.AF_INET6 if size == 16 else socket.AF_INET
    ports = struct.unpack(">HH", body[2 * size : 2 * size + 4])
    source, target = body[:size], body[size : 2 * size]
    return (socket.inet_ntop(family, source), ports[0]), (socket.inet_ntop(family, target), ports[1])


def _exactly(receive: Callable[[int], bytes], count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = receive(count - len(data))
        if not more:
            message = "the connection ended inside the PROXY header"
            raise ValueError(message)
        data += more
    return data


# Offset and format of the struct tcp_info fields that are used. Older kernels return fewer bytes: a field exists only
# if the length reaches it.
_TCP_INFO = {
    "probes": (3, "B"),
    "app_limited": (7, "B"),
    "snd_mss": (16, "I"),
    "unacked": (24, "I"),
    "last_ack_ms": (56, "I"),
    "rtt_us": (68, "I"),
    "cwnd": (80, "I"),
    "pacing_Bps": (104, "Q"),
    "bytes_acked": (120, "Q"),
    "notsent_bytes": (144, "I"),
    "min_rtt_us": (148, "I"),
    "delivery_Bps": (160, "Q"),
    "busy_us": (168, "Q"),
    "rwnd_limited_us": (176, "Q"),
    "sndbuf_limited_us": (184, "Q"),
    "bytes_sent": (200, "Q"),
    "bytes_retrans": (208, "Q"),
}


def unpack_tcp_info(raw: bytes) -> Dict[str, int]:
    """Return the fields of struct tcp_info that *raw* is long enough to hold."""
    found = {}
    for name, (offset, form) in _TCP_INFO.items():
        if len(raw) >= offset + struct.calcsize(form):
            found[name] = int(struct.unpack_from("=" + form, raw, offset)[0])
    if "app_limited" in found:
        found["app_limited"] &= 1
    return found


def tcp_info(connection: socket.socket) -> Dict[str, int]:
    """Return the TCP_INFO of *connection*, or {} if it is gone."""
    try:
        return unpack_tcp_info(connection.getsockopt(socket.IPPROTO_TCP, TCP_INFO, 512))
    except OSError:
        return {}


def bbr_gain(connection: socket.socket) -> Optional[float]:
    """Return by what factor BBR paces *connection* over its estimate now; None where it does not say."""
    fields = _bbr_info(connection)
    return fields[3] / 256 if fields else None


def bbr_min_rtt_us(connection: socket.socket) -> Optional[int]:
    """Return what BBR takes for the path's RTT, microseconds; None where it does not say."""
    fields = _bbr_info(connection)
    return fields[2] if fields else None


def _bbr_info(connection: socket.socket) -> Optional[Tuple[int, ...]]:
    """Return struct tcp_bbr_info (include/uapi/linux/inet_diag.h): bw_lo, bw_hi, min_rtt, gains of pace and cwnd."""
    try:
        raw = connection.getsockopt(socket.IPPROTO_TCP, TCP_CC_INFO, 64)
    except OSError:
        return None
    return struct.unpack_from("=5I", raw) if len(raw) >= 20 else None


def congestion_problem(algorithm: str) -> Optional[str]:
    """Return why a socket of ours cannot use *algorithm*, None if it can."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, algorithm.encode())
        except OSError as error:
            if error.errno == errno.EPERM:
                return (
                    "{0} is not in net.ipv4.tcp_allowed_congestion_control: add it there, or give the relay "
                    "CAP_NET_ADMIN".format(algorithm)
                )
            return (
                "{0} is not in this kernel: modprobe tcp_{0}, or accept cubic with congestion_fallback "
                "(under loss on a long path: a few Mbit/s a stream)".format(algorithm)
            )
    return None


def _read_number(path: str, default: int) -> int:
    try:
        with open(path, encoding="ascii") as file:  # noqa: PTH123
            return int(file.read().split()[-1])
    except (OSError, ValueError, IndexError):
        return default


def _is_capable(bit: int) -> bool:
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:  # noqa: PTH123
            found = re.search(r"^CapEff:\s*([0-9a-f]+)", file.read(), re.MULTILINE)
    except OSError:
        return False
    return bool(found and int(found.group(1), 16) >> bit & 1)


class Buffers:
    """How much one stream may hold in this box: receive buffer + pipe + unsent bytes stay under *bound*."""

    def __init__(self, bound: int) -> None:
        self.receive = bound // 4  # the kernel doubles what is asked
        self.unsent = min(bound // 8, 4 * MIB)
        self.pipe = min(bound // 8, PIPE_MAX)
        self.bounded = True
        # Autotuning that cannot exceed the bound is better than a fixed size.
        autotunes_to = _read_number("/proc/sys/net/ipv4/tcp_rmem", 6 * MIB)
        self.fixed = autotunes_to > bound // 2
        if self.fixed and not _is_capable(12):  # CAP_NET_ADMIN: SO_RCVBUFFORCE
            ceiling = _read_number("/proc/sys/net/core/rmem_max", 212992)
            if ceiling < min(self.receive, MIB):  # would cost more speed than the bound is worth
                self.fixed = self.bounded = False

    def apply(self, sock: socket.socket) -> None:
        """Bound *sock*, before it listens or connects. Never SO_SNDBUF: it turns autotuning off."""
        if self.fixed:
            try:
                sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, self.receive)
            except OSError:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive)
        sock.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, self.unsent)


class PipeBudget:
    """Sizes for the pipes of all streams within what the kernel lets one unprivileged user hold.

    Beyond fs.pipe-user-pages-soft new pipes have two pages and cannot grow, so the sum is divided in advance.
    """

    def __init__(self, largest: int = PIPE_MAX, *, total: Optional[int] = None) -> None:
        self.largest = largest
        if total is None:
            pages = _read_number("/proc/sys/fs/pipe-user-pages-soft", 16384)
            unbounded = pages == 0 or _is_capable(24) or _is_capable(21)  # CAP_SYS_RESOURCE, CAP_SYS_ADMIN
            total = 0 if unbounded else pages * resource.getpagesize()
        self.total = total

    def sizes(self, streams: int) -> Tuple[int, int]:
        """Return the sizes of the pipe to the target and of the one back, for so many *streams* at once."""
        if not self.total:
            return self.largest, 65536 if streams <= 64 else 16384
        tier = 1 << max(streams - 1, 0).bit_length()  # powers of two: resized at few moments
        share = self.total * 9 // 10 // tier
        back = 65536 if share >= 4 * 65536 else 16384
        forth = 1 << max(share - back, 1).bit_length() - 1
        return max(min(forth, self.largest), 16384), back


# --- one stream -------------------------------------------------------------------------------------------------


class Flow:
    """One direction of a stream: its pipe, and the bytes that have reached the other side's socket.

    Only the thread that pumps may resize the pipe: the kernel holds its lock while splice waits for the socket.
    *rate*, bytes per second, is what the pump itself must not exceed, *most* bytes at once; None: the kernel paces, or
    nobody does. *due*: when it may go on, a monotonic time; *rests*: whether it waits for that. *gathers*: the bytes
    that wake the pump, 0 for any; *gathering*: the same as it was last told.
    """

    __slots__ = (
        "bytes", "due", "gathering", "gathers", "most", "rate", "read_end", "rests", "size", "wanted", "write_end",
    )  # fmt: skip

    def __init__(self, size: int) -> None:
        self.read_end, self.write_end = os.pipe()
        self.bytes = 0
        self.rate: Optional[int] = None
        self.most = PORTION
        self.due, self.rests = 0.0, False
        self.gathers = self.gathering = 0
        self.wanted = size
        self.size = 0
        self.resize()

    def resize(self) -> None:
        """Try to give the (empty) pipe the size that is wanted; while the kernel refuses, the old one stays."""
        with contextlib.suppress(OSError):
            fcntl.fcntl(self.write_end, F_SETPIPE_SZ, self.wanted)
            self.size = self.wanted

    def gather(self, rate: float) -> None:
        """Have the pump of a stream of *rate*, bytes per second, woken by GATHER_S' worth, where that is not little.

        A power of two, so that it changes seldom.
        """
        worth = min(int(rate * GATHER_S), PIPE_MAX)
        self.gathers = 1 << worth.bit_length() - 1 if worth >= GATHER_LEAST else 0

    def set_wakeup(self, source: socket.socket, wake_s: float) -> None:
        """Give *source* SO_RCVLOWAT, and a wait of twice the time that it takes; without it, one of *wake_s* seconds.

        Never over a quarter of the receive buffer: the kernel would clamp the window to it (tcp_set_rcvlowat() in
        net/ipv4/tcp.c).
        """
        self.gathering = self.gathers
        least = min(self.gathering, source.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 4)
        if least < GATHER_LEAST:
            least = 0
        source.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval(2 * GATHER_S if least else wake_s))
        source.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, least or 1)

    def portion(self, waiting: int) -> int:
        """Return how many of the bytes that are *waiting* may be sent at once."""
        return waiting if self.rate is None else min(waiting, self.most)

    def hold(self, rate: Optional[int], seconds: float) -> None:
        """Send at *rate*, bytes per second, from now on, so many *seconds*' worth at once; None: all that there is."""
        self.most = max(int((rate or 0) * seconds), PORTION)
        self.rate = rate

    def close(self) -> None:
        """Close the pipe."""
        os.close(self.read_end)
        os.close(self.write_end)


def timeval(seconds: float) -> bytes:
    """Return *seconds* as the kernel's struct timeval."""
    return struct.pack("ll", int(seconds), int(seconds % 1 * 1e6))


def _linger(connection: socket.socket, *, resets: bool) -> None:
    """Have *connection* end with RST, whoever closes it (the kernel too, when we are killed), or with FIN."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", int(resets), 0))


def reset(connection: socket.socket) -> None:
    """Close *connection* with RST."""
    _linger(connection, resets=True)
    connection.close()


def choose(connection: socket.socket, *algorithms: str) -> str:
    """Give *connection* the first congestion control that the kernel lets it have; return its name, "" for none."""
    for algorithm in algorithms:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, algorithm.encode())
            return algorithm
    return ""


class Silence:
    """How long a peer has owed a connection an acknowledgement.

    TCP_USER_TIMEOUT would also end a peer that is alive and keeps its window closed for as long: here only one that
    answers neither what was sent nor the probes of its window.
    """

    def __init__(self) -> None:
        self._since: Optional[float] = None

    def seconds(self, info: Mapping[str, int], now: float) -> float:
        """Take a tick's TCP_INFO; return for how many seconds nothing has come back though something was due."""
        if not info.get("unacked") and info.get("probes", 0) < 2:
            self._since = None
            return 0.0
        if self._since is None:
            self._since = now
        return min(now - self._since, info.get("last_ack_ms", 0) / 1000)


class Distance:
    """Whether a leg whose handshake was short is long after all, by what data says.

    TCP's own least RTT does not tell: it keeps the handshake's for five minutes, which a firewall in the way may have
    answered, and a route may have changed since. A queue makes the RTT of a short leg long, too; but then it falls with
    the window after a loss, while that of a long leg stays.
    """

    def __init__(self) -> None:
        self._ticks: Tuple[Tuple[int, bool], ...] = ()

    def is_long(self, rtt_us: int, *, lossy: bool) -> bool:
        """Take a tick's smoothed RTT and whether anything was retransmitted; say whether the path is long and lossy.

        Without loss it is False: nothing is gained there by another congestion control.
        """
        self._ticks = (*self._ticks[-2:], (rtt_us, lossy))
        rtts = [rtt for rtt, _ in self._ticks]
        if len(rtts) < 3 or min(rtts) < SHORT_US or not (self._ticks[1][1] or lossy):
            return False
        return max(rtts) < min(rtts) * (1 + QUEUED)


def held_rate(info: Mapping[str, int]) -> Optional[int]:
    """Return at how many bytes per second to hold a leg back that gets BBR now; None: not at all.

    BBR begins with TCP's least RTT, and believes in a longer one after 10 s only. Until then a window of twice that
    much too short RTT would be all that it allows, once its STARTUP has ended. STARTUP does not end while the sender
    has nothing to send now and then (bbr_check_full_bw_reached in the kernel's net/ipv4/tcp_bbr.c), and keeps the
    window there was: a little less than what that carries is sent, and once the RTT is right STARTUP fills the path.
    """
    if not is_blind(info.get("min_rtt_us"), info):
        return None
    return max(int(HELD * info.get("cwnd", 0) * info.get("snd_mss", 0) / info["rtt_us"] * 1e6), PORTION)


def is_blind(least_us: Optional[int], info: Mapping[str, int]) -> bool:
    """Say whether BBR would go wrong with *least_us* as the RTT of a path on which data takes what *info* says."""
    rtt = info.get("rtt_us", 0)
    return least_us is not None and rtt >= FAR_US and rtt >= FAR_TIMES * least_us


class Startup:
    """BBR's STARTUP of one connection, begun again where it ended too early, which leaves a long leg slow for a minute.

    BBR takes a few rounds without growth for a full pipe, and a burst of losses in its first rounds looks the same to
    it (draft-cardwell-iccrg-bbr-congestion-control, 4.3.1.2). A full pipe has a queue, which the RTT shows. A restart
    that does not pay is the last.
    """

    def __init__(self, began: float) -> None:
        self._until = began + YOUNG_S
        self._left = RESTARTS
        self._stuck_ticks = 0
        self._last = (float("-inf"), 0.0)  # when, and the rate then

    def ended_early(
        self, info: Mapping[str, int], verdict: str, gain: Optional[float], rate: float, now: float
    ) -> bool:
        """Take a tick's TCP_INFO, verdict, `bbr_gain` and *rate* (bytes per second); say whether to `restart_bbr`."""
        if not self._left or now > self._until:
            return False
        self._stuck_ticks = self._stuck_ticks + 1 if is_stuck(info, verdict) else 0
        when, before = self._last
        pause = max(RESTART_S, RESTART_RTTS * info.get("min_rtt_us", 0) / 1e6)
        if self._stuck_ticks < RESTART_TICKS or now - when < pause or gain is None or gain >= STARTUP_GAIN:
            return False
        pays = rate >= RESTART_PAYS * before
        self._left, self._stuck_ticks, self._last = self._left - 1 if pays else 0, 0, (now, rate)
        return pays


def restart_bbr(connection: socket.socket) -> str:
    """Have BBR begin with STARTUP; return the congestion control that *connection* has then."""
    choose(connection, "reno")  # BBR set again over BBR changes nothing
    return choose(connection, "bbr") or "reno"


class Stream:
    """A connection from a source and the one that carries it on.

    *congestion*: the congestion control of the outgoing leg at first, and of one that is long or lossy.
    """

    def __init__(
        self,
        client: socket.socket,
        server: socket.socket,
        source: Endpoint,
        target: Endpoint,
        sizes: Tuple[int, int],
        congestion: Tuple[str, str],
        answer_timeout_s: float,
    ) -> None:
        self.client, self.server, self.source, self.target = client, server, source, target
        self.congestion, self._proper_congestion = congestion
        self._lossy_ticks = 0
        self._distance = Distance()
        self._held: Optional[int] = None  # bytes per second, see held_rate
        self._held_until = 0.0
        self._empties = False  # first, so that BBR finds nothing queued
        self.forth = Flow(sizes[0])
        try:
            self.back = Flow(sizes[1])
        except OSError:
            self.forth.close()
            raise
        self.began = time.monotonic()
        self._answer_timeout_s = answer_timeout_s
        self._silences = {"source": Silence(), "target": Silence()}
        self._startup = Startup(self.began)
        self.failure: Optional[str] = None
        self.pace: Optional[int] = None  # bytes per second
        self._kernel_pace: Optional[int] = 0  # whatever it was dialled with
        self.info: Dict[str, int] = {}
        self.verdict = "application"
        self.verdicts: Dict[str, float] = {}  # seconds under each
        self.shares: Dict[str, float] = {}
        self.rate_forth = self.rate_back = 0.0
        self.peak = 0.0
        self.wake_s = WAKE_S
        self._measured = (self.began, 0, 0)
        self._running = 2
        self._lock = threading.Lock()

    def fail(self, why: str) -> None:
        """Give up: both threads end within WAKE_S, and both sides see a reset."""
        if self.failure is None:
            self.failure = why

    def probe(self, *, quickly: bool) -> None:
        """Ask the source at once whether it still knows the connection: its reset ends the stream; or as ever."""
        with self._lock:
            if self._running:
                self.client.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1 if quickly else KEEPIDLE_S)

    def leave(self) -> bool:
        """Count one thread out; the last one closes the sockets and returns True."""
        with self._lock:
            self._running -= 1
            if self._running:
                return False
            self._take_info()
            for connection in (self.client, self.server):
                _linger(connection, resets=self.failure is not None)
                connection.close()
            self.forth.close()
            self.back.close()
        return True

    def is_over(self) -> bool:
        """Whether to give up: failed, or a peer has reset while both threads waited for the other one."""
        if self.failure is None:
            poll = select.poll()
            poll.register(self.client, 0)
            poll.register(self.server, 0)
            for number, event in poll.poll(0):
                if event & select.POLLERR:
                    side = "source" if number == self.client.fileno() else "target"
                    self.fail("the {} reset the connection".format(side))
        return self.failure is not None

    def _take_info(self) -> None:
        self.info = tcp_info(self.server) or self.info

    def resize(self, sizes: Tuple[int, int]) -> None:
        """Have both threads give their pipes new sizes when they next wake."""
        self.forth.wanted, self.back.wanted = sizes

    def set_pace(self, rate: Optional[int]) -> None:
        """Pace what goes to the target at *rate* bytes per second; None: not at all.

        The kernel books the time that a super-packet takes at the pace of that moment, and takes nothing back when the
        pace rises. So it is never given one that would book more than BOOKED_S: the pump keeps to a lower rate itself.
        """
        least = round(burst(self.info) / BOOKED_S)
        kernel = None if rate is None else max(rate, least)
        with self._lock:
            if not self._running:
                return
            if kernel != self._kernel_pace:
                pace(self.server, kernel)
                self._kernel_pace = kernel
            self.pace = rate
            slow = rate if kernel != rate else None
            at_once_s = PORTION_S
            if self._held is not None:
                held = PORTION if self._empties else self._held
                slow = min(held, slow or held)
                # All of it is on the way before the first acknowledgement: what BBR looks at ran dry.
                at_once_s = min(max(self.info.get("rtt_us", 0) / 4e6, PORTION_LEAST_S), PORTION_S)
            self.forth.hold(slow, at_once_s)

    @property
    def is_backlogged(self) -> bool:
        """Whether it would use more than the pace that it has."""
        waits = self.info.get("notsent_bytes", 0) > 0 or self.forth.rests
        return self.pace is None or self.rate_forth >= 0.85 * self.pace or waits

    def measure(self, now: float) -> None:
        """Take TCP_INFO, rates and verdict over the time since the last call."""
        with self._lock:
            if not self._running:
                return
            before = self.info
            self._take_info()
            infos = {"source": tcp_info(self.client), "target": self.info}
        silent = {side: self._silences[side].seconds(info, now) for side, info in infos.items()}
        for side, seconds in silent.items():
            if seconds >= self._answer_timeout_s:
                self.fail("the {} has not answered for {:.0f} s".format(side, seconds))
        then, forth, back = self._measured
        seconds = max(now - then, 1e-6)
        delivered = max(self.info.get("bytes_acked", self.forth.bytes + 1) - 1, 0)
        self.rate_forth = max(delivered - forth, 0) / seconds
        self.rate_back = (self.back.bytes - back) / seconds
        self._measured = (now, delivered, self.back.bytes)
        self.peak = max(self.peak, self.rate_forth)
        self.forth.gather(self.rate_forth)
        if self._held is not None:
            self._keep_back(now)
        else:
            self._reconsider(before, now)
        word, self.shares = judge(before, self.info, seconds, self.rate_forth, self.pace)
        self.verdict = verdict(word, self.rate_forth, silent["target"])
        self.verdicts[self.verdict] = self.verdicts.get(self.verdict, 0.0) + seconds
        self._restart(now)

    def _reconsider(self, before: Mapping[str, int], now: float) -> None:
        """Give a leg that was short its proper congestion control once it loses packets, or shows to be long."""
        if self.congestion == self._proper_congestion:
            return
        sent = self.info.get("bytes_sent", 0) - before.get("bytes_sent", 0)
        again = self.info.get("bytes_retrans", 0) - before.get("bytes_retrans", 0)
        self._lossy_ticks = self._lossy_ticks + 1 if again > LOSSY * max(sent, 1) else 0
        is_long = self._distance.is_long(self.info.get("rtt_us", 0), lossy=again > 0)
        if is_long or self._lossy_ticks >= LOSSY_TICKS or self.info.get("min_rtt_us", 0) >= SHORT_US:
            self._held = held_rate(self.info) if self._proper_congestion == "bbr" else None
            if self._held is None:
                self._change()
            else:
                self._empties, self._held_until = True, now + HELD_S

    def _change(self) -> None:
        with self._lock:
            if self._running:
                self.congestion = choose(self.server, self._proper_congestion) or self.congestion

    def _keep_back(self, now: float) -> None:
        """See a leg that is held back through: what is queued is sent, then it gets BBR, which sees the RTT."""
        if self._empties and not self.info.get("notsent_bytes"):
            self._empties, self._held, self._held_until = False, held_rate(self.info), now + HELD_S
            self._change()
        elif now > self._held_until or (not self._empties and not is_blind(bbr_min_rtt_us(self.server), self.info)):
            self._held = None
            if self._empties:
                self._empties = False
                self._change()

    def _restart(self, now: float) -> None:
        if self.congestion != "bbr" or self._held is not None:
            return
        gain = bbr_gain(self.server)
        if self._startup.ended_early(self.info, self.verdict, gain, self.rate_forth, now):
            with self._lock:
                if self._running:
                    self.congestion = restart_bbr(self.server)

    def describe(self, now: float) -> Dict[str, Any]:
        """Return the stream as it is shown: rates in bits per second, times in microseconds, shares of the time."""
        info = self.info
        sent = info.get("bytes_sent") or 0
        return {
            "source": "{}:{}".format(*self.source),
            "target": "{}:{}".format(*self.target),
            "bytes_to_target": self.forth.bytes,
            "bytes_to_source": self.back.bytes,
            "rate_bps": round(self.rate_forth * 8),
            "rate_back_bps": round(self.rate_back * 8),
            "age_s": round(now - self.began, 3),
            "congestion_control": self.congestion,
            "rtt_us": info.get("rtt_us"),
            "min_rtt_us": info.get("min_rtt_us"),
            "retransmit_ratio": round(info.get("bytes_retrans", 0) / sent, 6) if sent else 0.0,
            "delivery_bps": info.get("delivery_Bps", 0) * 8,
            "pacing_bps": None if info.get("pacing_Bps", UNLIMITED) == UNLIMITED else info["pacing_Bps"] * 8,
            "cap_bps": None if self.pace is None else self.pace * 8,
            "cwnd": info.get("cwnd"),
            "shares": self.shares,
            "verdict": self.verdict,
        }

    def summarise(self, now: float) -> Dict[str, Any]:
        """Return the stream as it is remembered once it has ended: over its whole life."""
        seconds = max(now - self.began, 1e-6)
        word, shares = judge({}, self.info, seconds, self.forth.bytes / seconds, self.pace)
        summary = self.describe(now)
        summary.update(
            rate_bps=round(self.forth.bytes * 8 / seconds),
            rate_back_bps=round(self.back.bytes * 8 / seconds),
            peak_bps=round(self.peak * 8),
            verdict=max(self.verdicts, key=lambda name: self.verdicts[name]) if self.verdicts else word,
            shares=shares,
            ended=self.failure or "closed",
        )
        return summary


def pump(splice: Splice, stream: Stream, source: socket.socket, destination: socket.socket, flow: Flow) -> None:
    """Move bytes from *source* to *destination* until the end of file, which is passed on, or until a failure."""
    read_end, write_end = flow.read_end, flow.write_end
    come, go = source.fileno(), destination.fileno()
    doing = "from"
    try:
        while True:
            if flow.size != flow.wanted:
                flow.resize()
            if flow.gathering != flow.gathers:
                flow.set_wakeup(source, stream.wake_s)
            try:
                waiting = splice(come, write_end, MIB)
            except BlockingIOError:
                if stream.is_over():
                    return
                continue
            if not waiting:
                if has_urgent(source):
                    side = "source" if source is stream.client else "target"
                    stream.fail("urgent data (MSG_OOB) from the {}, which is not carried".format(side))
                else:
                    destination.shutdown(socket.SHUT_WR)
                return
            doing = "to"
            while waiting:
                try:
                    moved = splice(read_end, go, flow.portion(waiting))
                except BlockingIOError:
                    if stream.is_over():
                        return
                    continue
                waiting -= moved
                flow.bytes += moved
                if flow.rate is not None and rest(stream, flow, moved):
                    return
            doing = "from"
            if stream.failure is not None:
                return
    except OSError as error:
        side = "source" if (doing == "from") == (source is stream.client) else "target"
        stream.fail("{} the {}: {}".format(doing, side, error.strerror))


def rest(stream: Stream, flow: Flow, moved: int) -> bool:
    """Wait for as long as *moved* bytes take at the rate of *flow*, less if that rises; return whether to give up.

    What was sent before the rate fell to that counts as one portion: it is not to be waited for at the new rate.
    """
    rate, now = flow.rate, time.monotonic()
    moved = min(moved, flow.most)
    # What was not used up to now is lost, but for a moment: a thread may wake late.
    flow.due = max(flow.due, now - PORTION_S) + (moved / rate if rate else 0.0)
    flow.rests = True
    while flow.due > now and not stream.is_over():
        time.sleep(min(flow.due - now, WAKE_S))
        now = time.monotonic()
        before, rate = rate, flow.rate
        if rate is None:
            flow.due = now
        elif before is not None and rate > before:
            flow.due = now + (flow.due - now) * before / rate
    flow.rests = False
    return stream.failure is not None


def burst(info: Mapping[str, int]) -> int:
    """Return how many bytes TCP sends at once at a low pace: the less, the longer the path.

    As tcp_tso_autosize() in the kernel's net/ipv4/tcp_output.c with net.ipv4.tcp_tso_rtt_log at its default of 9;
    kernels before 5.18 never send more than the two segments.
    """
    near = SUPER_PACKET >> min(info.get("min_rtt_us", 0) >> 9, 16)
    return max(near, 2 * info.get("snd_mss", PORTION))


def has_urgent(connection: socket.socket) -> bool:
    """Whether urgent data is the next to be read, where splice(2) stops as it does at the end of file."""
    poll = select.poll()
    poll.register(connection, select.POLLPRI)
    return any(event & select.POLLPRI for _, event in poll.poll(0))


def pace(sock: socket.socket, rate: Optional[int]) -> None:
    """Have the kernel pace *sock* at *rate* bytes per second; None: not at all."""
    with contextlib.suppress(OSError):  # the peer may have gone; its threads will notice
        sock.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, struct.pack("Q", UNLIMITED if rate is None else rate))


# --- judging ----------------------------------------------------------------------------------------------------


def judge(
    before: Mapping[str, int], now: Mapping[str, int], seconds: float, rate: float, pace: Optional[float]
) -> Tuple[str, Dict[str, float]]:
    """Say what limited a stream between two TCP_INFOs: the verdict, and the shares of the time behind it.

    *rate* and *pace* in bytes per second. Busy time is when data is outstanding; the kernel splits from it what waited
    for the peer's window and for our send buffer. The rest is the congestion control's, unless its last sample says
    that it had nothing to send. What took nothing and ends empty only finished earlier data: it waits for its source.
    """
    microseconds = seconds * 1e6

    def share(key: str) -> float:
        return min(max(now.get(key, 0) - before.get(key, 0), 0) / microseconds, 1.0)

    busy, window, buffer = share("busy_us"), share("rwnd_limited_us"), share("sndbuf_limited_us")
    rest = max(busy - window - buffer, 0.0)
    starved = bool(now.get("app_limited")) and not now.get("notsent_bytes")
    shares = {
        "application": 1.0 - busy + (rest if starved else 0.0),
        "receive window": window,
        "send buffer": buffer,
        "congestion": 0.0 if starved else rest,
    }
    word = max(shares, key=lambda name: shares[name])
    if pace is not None and rate >= 0.85 * pace:
        word = "cap"
    elif not rate and not now.get("unacked") and not now.get("notsent_bytes"):
        word = "application"
    return word, {name: round(value, 3) for name, value in shares.items()}


def verdict(word: str, rate: float, silent_s: float) -> str:
    """Return what limits a leg: *word*, unless it carries nothing and something that is due stays unacknowledged.

    That is neither circuit, window nor source, whatever the kernel waited for: see `Silence`. A circuit that carries
    nothing at all limits nothing either: nothing gets out to it.
    """
    if silent_s >= SILENT_S:
        return "no answer"
    return "no acknowledgement" if not rate and (silent_s or word == "congestion") else word


def is_stuck(info: Mapping[str, int], verdict: str) -> bool:
    """Say whether the congestion control holds a stream back although no packet queues: the RTT is the least one."""
    rtt, least = info.get("rtt_us", 0), info.get("min_rtt_us", 0)
    return verdict == "congestion" and 0 < rtt < least * (1 + QUEUED)


def explain(verdicts: Mapping[str, int], *, forwards: bool, limit_bps: Optional[int]) -> str:
    """Say in a sentence what limits most of the streams, given how many have each verdict."""
    total = sum(verdicts.values())
    if not total:
        return "no stream is open"
    word = max(verdicts, key=lambda name: verdicts[name])
    some = "{} of {} streams".format(verdicts[word], total) if total > 1 else "the stream"
    if word == "no answer":
        who = "far relay" if forwards else "target host"
        return "the {} answers nothing on {}: it, or the way there, is down".format(who, some)
    if word == "no acknowledgement":
        return "nothing is carried on {}: what was sent is not acknowledged".format(some)
    if word == "receive window":
        if forwards:
            return "limited by the far relay's receive window ({}): raise its net.ipv4.tcp_rmem".format(some)
        return "limited by the target host's receive window ({}): use a far relay or more streams".format(some)
    if word == "send buffer":
        return "limited by the relay's own send buffer ({}): raise net.ipv4.tcp_wmem on the relay host".format(some)
    if word == "cap":
        return "limited by the cap of {:.0f} Mbit/s ({})".format((limit_bps or 0) / 1e6, some)
    if word == "congestion":
        return "limited by the circuit ({})".format(some)
    return "limited by the source ({}): it sends less than the circuit carries".format(some)


def fair_shares(limit: float, wants: Sequence[Optional[float]]) -> List[int]:
    """Divide *limit* so that nobody gets more than it wants (None: all it can get) while another goes short.

    The shares add up to the limit: what nobody wants is spread evenly, so that a quiet stream can start at once.
    """
    shares = [0.0] * len(wants)
    left = limit
    order = sorted(range(len(wants)), key=lambda i: float("inf") if wants[i] is None else float(wants[i] or 0))
    for position, index in enumerate(order):
        fair = left / (len(order) - position)
        want = wants[index]
        shares[index] = fair if want is None else min(want, fair)
        left -= shares[index]
    spare = left / len(wants) if wants else 0.0
    return [max(int(share + spare), 1) for share in shares]


# --- the relay --------------------------------------------------------------------------------------------------


class Refusal(Exception):  # noqa: N818 not every one is an error
    """A connection that is not carried: *reason* is the counter, *detail* the rest of the log line."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


NOT_A_SOURCE, NOT_REDIRECTED, NOT_A_TARGET = "source", "not redirected", "target"
BAD_HEADER, TOO_MANY, FAILED = "proxy header", "too many streams", "error"
STOPPED = "the relay was stopped"
REFUSED, UNREACHABLE, TIMED_OUT = "upstream refused", "upstream unreachable", "upstream timed out"


class Log:
    """Lines to standard error, at most LOG_LINES_A_SECOND of them: a scan must not fill a disk.

    A thread of its own writes them, so that a log that is full, or whose reader hangs or has gone, holds nobody up: its
    lines are lost. A file that is appended to is rewritten at LOG_BYTES, with the last LOG_KEPT lines.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._second = 0
        self._written = self._kept = 0
        self._waiting: collections.deque[Tuple[int, str]] = collections.deque()
        self._last: collections.deque[str] = collections.deque(maxlen=LOG_KEPT)
        self._come = threading.Semaphore(0)
        threading.Thread(target=self._write, daemon=True).start()

    def __call__(self, line: str) -> None:
        """Have *line* written, or count it."""
        with self._lock:
            second = int(time.monotonic())
            if second != self._second:
                self._second, self._written = second, 0
            if self._written >= LOG_LINES_A_SECOND or len(self._waiting) >= LOG_KEPT:
                self._kept += 1
                return
            self._written += 1
            if self._kept:
                self._put(2, "relayd: {} more lines not logged\n".format(self._kept))
                self._kept = 0
            self._put(2, "relayd: " + line + "\n")

    def close(self, result: str) -> None:
        """Print the *result* to standard output behind what is still waiting, unless nobody reads that either."""
        with self._lock:
            self._put(1, result + "\n")
        _within_seconds(LAST_WORDS_S, lambda: not self._waiting)

    def _put(self, descriptor: int, text: str) -> None:
        self._waiting.append((descriptor, text))
        self._come.release()

    def _write(self) -> None:
        while True:
            self._come.acquire()
            descriptor, text = self._waiting[0]
            say(descriptor, text)
            if descriptor == 2:
                self._last.append(text)
                self._bound()
            self._waiting.popleft()

    def _bound(self) -> None:
        with contextlib.suppress(OSError):
            found = os.fstat(2)
            appends = fcntl.fcntl(2, fcntl.F_GETFL) & os.O_APPEND
            if stat.S_ISREG(found.st_mode) and appends and found.st_size > LOG_BYTES:
                os.ftruncate(2, 0)
                say(2, "".join(self._last))


def say(descriptor: int, text: str) -> None:
    """Write *text*, or as much of it as can be written."""
    left = text.encode(errors="replace")
    with contextlib.suppress(OSError):
        while left:
            left = left[os.write(descriptor, left) :]


class Wake:
    """Wakes one thread, from any other one and from a signal's handler, which may not take a lock."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._poll = select.poll()
        self._poll.register(self._read, select.POLLIN)

    def set(self) -> None:
        """Wake it, or have its next `wait` return at once."""
        with contextlib.suppress(BlockingIOError):  # full: it will wake
            os.write(self._write, b"\0")

    def wait(self, seconds: float) -> bool:
        """Return whether it was woken within so many *seconds*; once for all calls of `set` before."""
        if not self._poll.poll(seconds * 1000):
            return False
        with contextlib.suppress(BlockingIOError):
            os.read(self._read, 65536)
        return True


def _within(address: str, networks: Iterable[Network]) -> bool:
    parsed: Address = ipaddress.ip_address(address.partition("%")[0])
    return any(parsed in network for network in networks)


class Relay:
    """Accepts, admits, dials and counts."""

    def __init__(self, config: Config, congestion: str, splice: Splice, log: Log) -> None:
        self.config, self.congestion, self.log = config, congestion, log
        self.limit_bps = config.limit_bps
        self.buffers = Buffers(config.stream_buffer_bytes)
        self.budget = PipeBudget(self.buffers.pipe)
        self.began = time.monotonic()
        self.accepted = self.peak = self.reset_streams = 0
        self.refused: collections.Counter[str] = collections.Counter()
        self.carried = [0, 0]  # bytes of streams that have ended
        self.finished: collections.deque[Dict[str, Any]] = collections.deque(maxlen=FINISHED_KEPT)
        self.draining = threading.Event()
        self.changed = Wake()  # streams came or went, or the limit changed
        self.beat = time.monotonic()
        self._splice = splice
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._dividing = threading.Lock()
        self._streams: Dict[int, Stream] = {}
        self._dialling = 0
        self._sizes = self.budget.sizes(1)
        self._most = (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 64) // 6  # two sockets, two pipes
        self._listeners: List[socket.socket] = []

    def listen(self) -> None:
        """Open every listening socket. Raises OSError with the endpoint in `filename`."""
        for address, port in self.config.listen:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            listener = socket.socket(family, socket.SOCK_STREAM)
            self._listeners.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self.buffers.apply(listener)
            _linger(listener, resets=True)  # inherited by what it accepts: a relay that dies is no end of file
            try:
                listener.bind((address, port))
                listener.listen(BACKLOG)
            except OSError as error:
                error.filename = "{} port {}".format(address, port)
                raise
            listener.setblocking(False)

    def accept(self) -> None:
        """Accept until drained; then close the listening sockets."""
        poll = select.poll()
        for listener in self._listeners:
            poll.register(listener, select.POLLIN)
        by_number = {listener.fileno(): listener for listener in self._listeners}
        while not self.draining.is_set():
            self.beat = time.monotonic()
            for number, _ in poll.poll(WAKE_S * 1000):
                try:
                    client, peer = by_number[number].accept()
                except (BlockingIOError, ConnectionError):
                    continue  # it was reset before we came to it
                except OSError as error:  # out of descriptors or memory
                    self.log("cannot accept: {}".format(error.strerror))
                    time.sleep(0.05)
                    continue
                self._greet(client, (peer[0], peer[1]))
        for listener in self._listeners:
            listener.close()

    def _greet(self, client: socket.socket, source: Endpoint) -> None:
        try:
            self.accepted += 1
            client.setblocking(True)
            near = _within(source[0], self.config.accept_proxy_from)
            target = None if near else self._admit(client, source)
            self._reserve()
        except (Refusal, OSError) as error:
            self._refuse(client, source, error)
            return
        try:
            _thread.start_new_thread(self._carry, (client, source, target))
        except RuntimeError as error:
            with self._lock:
                self._dialling -= 1
            self._refuse(client, source, error)

    def _reserve(self) -> None:
        with self._lock:
            if len(self._streams) + self._dialling >= self._most:
                raise Refusal(TOO_MANY, "RLIMIT_NOFILE allows {}".format(self._most))
            self._dialling += 1

    def _admit(self, client: socket.socket, source: Endpoint) -> Endpoint:
        if not _within(source[0], self.config.sources):
            raise Refusal(NOT_A_SOURCE, "not a listed source")
        target = original_destination(client)
        if target is None:
            raise Refusal(NOT_REDIRECTED, "it was addressed to the relay itself")
        self._check_target(target)
        return target

    def _check_target(self, target: Endpoint) -> None:
        if target[1] != self.config.port or not _within(target[0], self.config.targets):
            raise Refusal(NOT_A_TARGET, "{} port {} is not a listed target".format(*target))

    def _refuse(self, client: socket.socket, source: Endpoint, error: Exception) -> None:
        if not isinstance(error, Refusal):
            error = Refusal(FAILED, str(error))
        with self._lock:
            self.refused[error.reason] += 1
        reset(client)
        self.log("refused {} port {}: {}: {}".format(source[0], source[1], error.reason, error.detail))

    def _carry(self, client: socket.socket, peer: Endpoint, target: Optional[Endpoint]) -> None:
        """Run a connection from admission to its end; this thread is also the direction to the target."""
        source = peer
        stream = None
        try:
            if target is None:
                source, target = self._read_header(client)
            server, congestion = self._dial(source, target)
            try:
                stream = self._join(client, server, source, target, congestion)
            except OSError:
                reset(server)
                raise
        except (Refusal, OSError) as error:
            self._refuse(client, peer, error)
            return
        finally:
            if stream is None:
                with self._lock:
                    self._dialling -= 1
        try:
            _thread.start_new_thread(self._run, (stream, stream.server, client, stream.back))
        except RuntimeError:  # no more threads
            stream.fail("the relay host has no more threads")
            if stream.leave():
                self._part(stream)
        self._run(stream, client, stream.server, stream.forth)

    def _read_header(self, client: socket.socket) -> Tuple[Endpoint, Endpoint]:
        deadline = time.monotonic() + self.config.connect_timeout_s

        def receive(count: int) -> bytes:
            self._await(client, select.POLLIN, deadline)
            return client.recv(count)

        try:
            source, target = read_proxy_header(receive)
        except (ValueError, OSError) as error:
            raise Refusal(BAD_HEADER, str(error)) from None
        if not _within(source[0], self.config.sources):
            raise Refusal(NOT_A_SOURCE, "{} is not a listed source".format(source[0]))
        self._check_target(target)
        return source, target

    def _await(self, connection: socket.socket, event: int, deadline: float) -> None:
        """Return once poll(2) sees *event*. Raises TimeoutError at the *deadline*, Refusal if the relay is stopped."""
        poll = select.poll()
        poll.register(connection, event)
        while not self._stopped.is_set():
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(errno.ETIMEDOUT, "timed out")
            if poll.poll(min(left, WAKE_S) * 1000):
                return
        raise Refusal(FAILED, STOPPED)

    def _connect(self, server: socket.socket, goal: Endpoint) -> None:
        deadline = time.monotonic() + self.config.connect_timeout_s
        server.setblocking(False)
        code = server.connect_ex(goal)
        if code == errno.EINPROGRESS:
            self._await(server, select.POLLOUT, deadline)
            code = server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        server.setblocking(True)

    def _dial(self, source: Endpoint, target: Endpoint) -> Tuple[socket.socket, str]:
        """Connect onwards; return the socket and its congestion control."""
        goal = self.config.forward or target
        server = socket.socket(socket.AF_INET6 if ":" in goal[0] else socket.AF_INET, socket.SOCK_STREAM)
        try:
            # Not BBR at once: a socket that had it stays paced, whatever it is given later.
            congestion = choose(server, "cubic", "reno")
            self.buffers.apply(server)
            _linger(server, resets=True)
            if self.limit_bps is not None:
                pace(server, max(self.limit_bps // 8 // (len(self._streams) + 1), round(burst({}) / BOOKED_S)))
            self._connect(server, goal)
            if tcp_info(server).get("rtt_us", SHORT_US) >= SHORT_US or not congestion:
                congestion = choose(server, self.congestion)
            if self.config.forward is not None:
                server.sendall(proxy_header(source, target))
            return server, congestion
        except Refusal:
            server.close()
            raise
        except OSError as error:
            server.close()
            kind = UNREACHABLE
            if isinstance(error, ConnectionRefusedError):
                kind = REFUSED
            elif isinstance(error, TimeoutError):
                kind = TIMED_OUT
            raise Refusal(kind, "{} port {}: {}".format(goal[0], goal[1], error.strerror or error)) from None

    def _join(
        self, client: socket.socket, server: socket.socket, source: Endpoint, target: Endpoint, congestion: str
    ) -> Stream:
        """Make the stream and list it; pipes of the others shrink first where they share a limit."""
        for connection in (client, server):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPIDLE_S)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 6)
        if self.config.accept_proxy_from:  # the incoming leg is the long one: what goes back uses it
            choose(client, self.congestion)
        with self._lock:
            self._resize(len(self._streams) + self._dialling)
            algorithms = (congestion, self.congestion)
            patience = self.config.answer_timeout_s
            stream = Stream(client, server, source, target, self._sizes, algorithms, patience)
            # With hundreds of streams, looking up every 200 ms would itself cost CPU.
            stream.wake_s = WAKE_S * (1 + len(self._streams) // 100)
            self._streams[id(stream)] = stream
            self._dialling -= 1
            self.peak = max(self.peak, len(self._streams))
        for connection in (client, server):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval(stream.wake_s))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval(stream.wake_s))
        self.changed.set()
        return stream

    def _resize(self, streams: int) -> None:
        sizes = self.budget.sizes(streams)
        if sizes != self._sizes:
            self._sizes = sizes
            for stream in self._streams.values():
                stream.resize(sizes)

    def _run(self, stream: Stream, source: socket.socket, destination: socket.socket, flow: Flow) -> None:
        pump(self._splice, stream, source, destination, flow)
        if stream.leave():
            self._part(stream)

    def _part(self, stream: Stream) -> None:
        with self._lock:
            del self._streams[id(stream)]
            self.carried[0] += stream.forth.bytes
            self.carried[1] += stream.back.bytes
            self.reset_streams += stream.failure is not None
            self.finished.append(stream.summarise(time.monotonic()))
            self._resize(max(len(self._streams) + self._dialling, 1))
        self.changed.set()

    def live(self) -> List[Stream]:
        """Return the streams that are open."""
        with self._lock:
            return list(self._streams.values())

    @property
    def is_idle(self) -> bool:
        """Whether nothing is open and nothing is being dialled."""
        with self._lock:
            return not self._streams and not self._dialling

    def measure(self) -> None:
        """Sample every stream, then divide the cap again."""
        now = time.monotonic()
        for stream in self.live():
            stream.measure(now)
        self.divide()

    def divide(self) -> None:
        """Give every stream its share of the cap: a stream that uses little leaves the rest to the others."""
        with self._dividing:
            self._divide(self.live(), self.limit_bps)

    def _divide(self, streams: Sequence[Stream], limit: Optional[int]) -> None:
        if limit is None:
            for stream in streams:
                stream.set_pace(None)
            return
        even = limit / 8 / max(len(streams), 1)
        wants = [None if stream.is_backlogged else max(1.25 * stream.rate_forth, 0.1 * even) for stream in streams]
        for stream, share in zip(streams, fair_shares(limit / 8, wants)):
            stream.set_pace(share)

    def stop(self) -> None:
        """Reset every stream, and every connection that is still to become one."""
        self._stopped.set()
        for stream in self.live():
            stream.fail(STOPPED)

    def describe(self) -> Dict[str, Any]:
        """Return what `status` shows, without the streams that have ended; those that are open in an iterator."""
        now = time.monotonic()
        live = self.live()
        verdicts = collections.Counter(stream.verdict for stream in live)
        rate = round(sum(stream.rate_forth for stream in live) * 8)
        with self._lock:
            refused = dict(self.refused)
        return {
            "schema": SCHEMA,
            "version": VERSION,
            "sha256": own_hash(),
            "pid": os.getpid(),
            "uptime_s": round(now - self.began, 3),
            "listen": [list(endpoint) for endpoint in self.config.listen],
            "congestion_control": self.congestion,
            "limit_bps": self.limit_bps,
            "draining": self.draining.is_set(),
            "buffers_bounded": self.buffers.bounded,
            "accepted": self.accepted,
            "refused": refused,
            "live": len(live),
            "peak": self.peak,
            "reset": self.reset_streams,
            "bytes_to_target": self.carried[0] + sum(stream.forth.bytes for stream in live),
            "bytes_to_source": self.carried[1] + sum(stream.back.bytes for stream in live),
            "rate_bps": rate,
            "rate_back_bps": round(sum(stream.rate_back for stream in live) * 8),
            "verdicts": dict(verdicts),
            "sentence": explain(verdicts, forwards=self.config.forward is not None, limit_bps=self.limit_bps),
            "streams": (stream.describe(now) for stream in live),
        }


def own_hash() -> str:
    """Return the SHA-256 of this file as it was when first asked for."""
    if not _OWN_HASH:
        with open(os.path.abspath(__file__), "rb") as file:  # noqa: PTH100, PTH123
            _OWN_HASH.append(_sha256()(file.read()).hexdigest())
    return _OWN_HASH[0]


_OWN_HASH: List[str] = []


def _sha256() -> Callable[[bytes], Any]:
    """Find the interpreter's own SHA-256: hashlib would load OpenSSL, 3 MiB for one hash."""
    for name in ("_sha2", "_sha256"):
        with contextlib.suppress(ImportError, AttributeError):
            return cast("Callable[[bytes], Any]", importlib.import_module(name).sha256)
    import hashlib

    return hashlib.sha256


# --- the redirect that feeds us ---------------------------------------------------------------------------------


class HeldTable:
    """A child `nft -i` that owns the redirect's tables: nobody else changes them, `nft flush ruleset` included.

    When we die, its input ends, it ends, and the tables are gone. *script*: one line a table, each a transaction.
    """

    def __init__(self, script: str) -> None:
        self._script = script
        self._child = self._start()

    def _start(self) -> subprocess.Popen[str]:
        import subprocess

        # `nft -i` keeps a history in its home: it gets one where nothing can be written.
        child = subprocess.Popen(
            ["nft", "-i"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "HOME": "/dev/null"},
        )
        self._feed(child, self._script)
        return child

    @staticmethod
    def _feed(child: subprocess.Popen[str], text: str) -> None:
        if child.stdin is None:  # never: it is a pipe
            return
        with contextlib.suppress(BrokenPipeError):  # it has died: `renew` starts another
            child.stdin.write(text.rstrip("\n") + "\n")
            child.stdin.flush()

    def command(self, words: Sequence[str]) -> None:
        """Have the owner run an nft command: nobody else may."""
        self._feed(self._child, " ".join(words[1:]))

    def load(self, redirect: Redirect) -> bool:
        """Have the owner rebuild *redirect*, in one transaction; return whether its script is one of ours."""
        table = "table {} {}".format(redirect.family, redirect.name)
        lines = [line for line in self._script.splitlines() if line.startswith("add {} ".format(table))]
        for line in lines:  # made before it is deleted, for where it is not there
            self._feed(self._child, "add {0} {{ flags owner; }}; delete {0}; {1}".format(table, line))
        return bool(lines)

    def renew(self) -> bool:
        """Start the owner again if it has died; return whether it had."""
        if self._child.poll() is None:
            return False
        self._close_input()
        try:
            self._child = self._start()
        except OSError:  # no process or descriptor left for it: next time
            return False
        return True

    def _close_input(self) -> None:
        if self._child.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._child.stdin.close()

    def close(self) -> None:
        """End the owner, and the table with it."""
        import subprocess

        self._close_input()
        try:
            self._child.wait(2)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


class Progress(NamedTuple):
    """How far new connections have come, all counted from the beginning.

    *caught* by the rules, *arrived* at our port (the rest was dropped on this host), *accepted*, and of these
    *unknown*: redirected, but without a true destination. *beat_s*: since the accepting thread last showed life.
    """

    caught: int
    arrived: int
    accepted: int
    unknown: int
    beat_s: float


class Cause(NamedTuple):
    """Why a redirect leads nowhere. *by_rules*: a rule of this host's packet filter is the cause, beyond doubt."""

    reason: str
    by_rules: bool


class Suspicion:
    """Tells why a redirect leads nowhere, once that is certain: one connection that comes to nothing is no reason.

    A SYN whose answer is lost, a scan, a host that dies: each leaves a connection that was caught and never accepted,
    and none of them is a fault of this host.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._last: Optional[Progress] = None
        self._lost: List[float] = []  # when a caught connection did not arrive
        self._open: List[float] = []  # when one arrived that was not accepted
        self._unknown = 0

    def look(self, now: float, seen: Progress) -> Optional[Cause]:
        """Return why the redirect must go, given what was *seen* at *now*; None while nothing is certain."""
        last, self._last = self._last, seen
        if last is None or seen.caught < last.caught or seen.arrived < last.arrived:  # the rules are new
            self._lost, self._open, self._unknown = [], [], 0
            return None
        arrived, accepted = seen.arrived - last.arrived, seen.accepted - last.accepted
        unknown = seen.unknown - last.unknown
        if arrived or accepted:
            self._lost = []
        self._lost += [now] * max(seen.caught - last.caught - arrived, 0)
        self._open = [] if accepted else self._open + [now] * arrived
        # Only what the rules caught reaches our port (the fence drops the rest): it was redirected all the same.
        if accepted:
            self._unknown = self._unknown + unknown if unknown == accepted else 0
        if len(self._lost) >= SEVERAL and now - self._lost[0] >= BLIND_S:
            return Cause(
                "{} redirected connections did not arrive within {:.0f} s: a firewall on this host drops TCP port {}; "
                "allow it from the sources".format(len(self._lost), now - self._lost[0], self._port),
                by_rules=True,
            )
        if self._unknown >= SEVERAL:
            return Cause(
                "connection tracking does not know where {} redirected connections were addressed to: a rule on this "
                "box puts them into a conntrack zone (ct zone set, or CT --zone); exempt TCP to the targets from "
                "it".format(self._unknown),
                by_rules=True,
            )
        if len(self._open) < SEVERAL or self._open[-1] - self._open[0] < UNANSWERED_S:
            return None
        if seen.beat_s > BLIND_S:
            return Cause("the relay has not accepted a connection for {:.0f} s".format(seen.beat_s), by_rules=False)
        return Cause(
            "{} connections reached TCP port {} within {:.0f} s and none was completed: what this host answers does "
            "not reach the sources, or not from the address that they called".format(
                len(self._open), self._port, self._open[-1] - self._open[0]
            ),
            by_rules=False,
        )


def _run(command: Sequence[str]) -> Optional[subprocess.CompletedProcess[str]]:
    """Run *command* for at most 5 s; None where it cannot be run: no program, no process, no answer."""
    import subprocess

    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=5,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def _packet_filter() -> Optional[str]:
    """Return all rules of this host, without counters and elements of sets; None where none can be listed."""
    commands = (["nft", "-s", "-t", "list", "ruleset"], ["iptables-save"], ["ip6tables-save"])
    printed = [done.stdout for done in map(_run, commands) if done is not None and done.returncode == 0]
    # iptables-save dates what it prints, and counts in the lines of chains.
    text = "\n".join(printed)
    return re.sub(r"^#.*$|\[\d+:\d+\]", "", text, flags=re.MULTILINE) if printed else None


class RedirectWatchdog:
    """Keeps the redirect loaded, and withdraws it while what it catches comes to nothing.

    Rules that somebody flushed are loaded again, from their script or by the owner of the table. A redirect that was
    withdrawn comes back once this host's packet filter has changed; where that is not surely the cause, on trial after
    a longer pause. Pauses grow until a connection is accepted.
    """

    def __init__(self, config: Config, relay: Relay, log: Log, held: Optional[HeldTable]) -> None:
        self._redirects, self._relay, self._log, self._held = config.redirects, relay, log, held
        self._lock = threading.RLock()  # of changes to the rules; a signal may come while it is held
        self._ending = False
        self._suspicion = Suspicion(config.listen[0][1])
        self._loaded: Optional[Seen] = None  # the rules as they were first seen whole after they were loaded
        self._cause: Optional[Cause] = None
        self._rules: Optional[str] = None  # the packet filter when the redirect was withdrawn
        self._withdrawn_at = self._looked_at = 0.0
        self._pause = RESTORE_S
        self._accepted = 0
        self._probed: List[Stream] = []
        self.state = "installed" if self._redirects else "not watched"
        self.hits: Optional[int] = None
        self.reason: Optional[str] = None
        self.reloads = 0

    def is_loaded(self) -> bool:
        """Whether all rules are there and catch."""
        seen = self._list()
        return seen is not None and seen.whole and seen.catching

    def _catches_nothing(self) -> bool:
        seen = [self._seen(redirect) for redirect in self._redirects]
        return all(one is not None and not one.catching for one in seen)

    @staticmethod
    def _seen(redirect: Redirect) -> Optional[Seen]:
        """Return what the rules of one redirect show, None where they cannot be listed at present."""
        done = _run(redirect.list_command())
        if done is None or (done.returncode and "No such file" not in done.stderr):
            return None
        return redirect.read("" if done.returncode else done.stdout)

    def _list(self) -> Optional[Seen]:
        """Return what the rules of all redirects show, None where they cannot be listed at present."""
        total = Seen(0, 0, whole=True, catching=True)
        for redirect in self._redirects:
            seen = self._seen(redirect)
            if seen is None:
                return None
            total = Seen(
                total.caught + seen.caught,
                total.arrived + seen.arrived,
                whole=total.whole and seen.whole,
                catching=total.catching and seen.catching,
                catches=total.catches + seen.catches,
                rest=total.rest + seen.rest,
            )
        return total

    def _as_loaded(self, seen: Seen) -> bool:
        """Return whether nobody has changed the rules since they were loaded; a withdrawn one need not catch."""
        withdrawn = self.state == "withdrawn"
        if not seen.whole or not (seen.catching or withdrawn):
            return False
        if self._loaded is None and seen.catching:
            self._loaded = seen
        loaded = self._loaded
        return loaded is None or (seen.rest == loaded.rest and (withdrawn or seen.catches == loaded.catches))

    def look(self, now: float) -> None:
        """Look at the rules and at what has arrived; put right what is wrong with the redirect."""
        if not self._redirects:
            return
        for stream in self._probed:
            stream.probe(quickly=False)
        self._probed = []
        died = self._held is not None and self._held.renew()
        seen = self._list()
        if seen is None:  # no process or no memory left for it, or no right to: nothing is known of the rules
            if self.hits is None:
                self.state = "not watched"
            return
        if died or not self._as_loaded(seen):
            if self._held is None and self.hits is None and now - self._relay.began < LOADED_S:
                self.state = "absent"
                return
            self._load_again("the nft that owned it died" if died else "somebody flushed or changed the packet filter")
            return
        self.hits = seen.caught
        if self.state in ("absent", "not watched"):
            self.state, self.reason = "installed", None
        relay = self._relay
        if relay.accepted > self._accepted:
            self._accepted, self._pause = relay.accepted, RESTORE_S
        if self.state == "withdrawn":
            self._reconsider(now)
            return
        unknown = relay.refused[NOT_REDIRECTED]
        cause = self._suspicion.look(
            now, Progress(seen.caught, seen.arrived, relay.accepted, unknown, now - relay.beat)
        )
        if cause is not None:
            self.withdraw(cause.reason)
            self._cause, self._rules = cause, _packet_filter()
            self._withdrawn_at = self._looked_at = now

    def _load_again(self, why: str) -> None:
        with self._lock:
            if self._ending:
                return
            if not self._load():
                if self.state != "absent":
                    self._log("redirect absent, and it cannot be loaded again: " + why)
                self.state, self.reason = "absent", why
                return
            self.reloads += 1
            self._log("redirect loaded again: " + why)
            if self.state == "withdrawn":
                self._stop_catching()
            else:
                self.state, self.reason = "installed", None
            # What a source sent meanwhile went past us, and its target has reset it: whoever is gone shall be known.
            self._probed = self._relay.live()
        for stream in self._probed:
            stream.probe(quickly=True)

    def _load(self) -> bool:
        """Load the rules again; return whether they are there."""
        self._loaded = None
        for redirect in self._redirects:
            command = redirect.load_command()
            if self._held is not None and redirect.kind == "nft" and self._held.load(redirect):
                continue
            if command is not None:
                done = _run(command)
                if done is None or done.returncode:
                    said = done.stderr.strip() if done is not None else "it cannot be run"
                    self._log("{}: {}".format(" ".join(command), said))
        self._suspicion = Suspicion(self._relay.config.listen[0][1])
        return _within_seconds(2 if self._held is not None else 0, self.is_loaded)  # an owner does not say when it has

    def _reconsider(self, now: float) -> None:
        """Catch again where what stood in the way has changed, or may have."""
        if self._cause is None or now - max(self._looked_at, self._withdrawn_at + self._pause - RESTORE_S) < RESTORE_S:
            return
        self._looked_at = now
        rules = _packet_filter()
        changed = rules is not None and rules != self._rules
        if not changed and (self._cause.by_rules or now - self._withdrawn_at < UNPROVEN_PAUSES * self._pause):
            return
        with self._lock:
            if self._ending or not self._load():
                return
            self.state, self.reason = "installed", None
        self._pause = min(self._pause * 2, RESTORE_MAX_S)
        self._log("redirect restored{}".format(": the packet filter has changed" if changed else ", on trial"))

    def withdraw(self, reason: str) -> None:
        """Take the redirect away: new connections are forwarded plainly, live ones go on."""
        with self._lock:
            if self._redirects and self.state != "withdrawn" and self._stop_catching():
                self.state, self.reason = "withdrawn", reason
                self._log("redirect withdrawn: " + reason)

    def end(self) -> None:
        """Withdraw the redirect for good."""
        self._ending = True
        self.withdraw("the relay is draining")

    def _stop_catching(self) -> bool:
        """Take away the rules that catch; return whether they are gone."""
        for redirect in self._redirects:
            command = redirect.withdraw_command()
            if self._held is not None and redirect.kind == "nft":
                self._held.command(command)
                continue
            done = _run(command)
            if done is None or done.returncode:
                said = done.stderr.strip() if done is not None else "it cannot be run"
                self._log("cannot withdraw the redirect: {}: {}".format(" ".join(command), said))
                return False
        if self._held is not None and not _within_seconds(2, self._catches_nothing):  # an owner does not say when
            self._log("cannot withdraw the redirect: its owner has not done so")
            return False
        return True

    def describe(self) -> Dict[str, Any]:
        """Return the redirect's state for `status`."""
        return {"state": self.state, "hits": self.hits, "reason": self.reason, "reloads": self.reloads}


# --- the service ------------------------------------------------------------------------------------------------


class Control:
    """The control socket: one JSON line in, one out, readable by its owner only."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(0o177)
        try:
            try:
                self.socket.bind(path)
            except OSError as error:
                if error.errno != errno.EADDRINUSE or self._is_answered():
                    self.socket.close()
                    error.filename = path
                    raise
                os.unlink(path)  # noqa: PTH108 left by a relay that was killed
                self.socket.bind(path)
        finally:
            os.umask(mask)
        self.socket.listen(BACKLOG)

    def _is_answered(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(self._path)
            except OSError:
                return False
        return True

    def serve(self, answer: Callable[[object], Dict[str, Any]]) -> None:
        """Answer requests for ever, each in a thread of its own: none waits for a client that is slow."""
        free = threading.BoundedSemaphore(REQUESTS)

        def talk(client: socket.socket) -> None:
            try:
                with client, contextlib.suppress(OSError):  # it went away, or took too long
                    self._talk(client, answer)
            finally:
                free.release()

        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                if self.socket.fileno() < 0:
                    return  # closed
                time.sleep(0.05)  # out of descriptors
                continue
            free.acquire()
            try:
                threading.Thread(target=talk, args=(client,), daemon=True).start()
            except RuntimeError:  # no more threads
                talk(client)

    @staticmethod
    def _talk(client: socket.socket, answer: Callable[[object], Dict[str, Any]]) -> None:
        deadline = time.monotonic() + REQUEST_S
        line = b""
        while b"\n" not in line and len(line) < REQUEST_BYTES:
            client.settimeout(max(deadline - time.monotonic(), 0.001))
            more = client.recv(REQUEST_BYTES - len(line))
            if not more:
                break
            line += more
        if line:
            deadline = time.monotonic() + REQUEST_S  # of all that is sent
            for text in written(reply(answer, line.partition(b"\n")[0])):
                client.settimeout(max(deadline - time.monotonic(), 0.001))
                client.sendall(text.encode())

    def close(self) -> None:
        """Stop answering and remove the socket."""
        self.socket.close()
        with contextlib.suppress(OSError):
            os.unlink(self._path)  # noqa: PTH108


# A request is one object without others in it: what nests deeply would use up the stack of a small thread.
_FLAT = re.compile(rb"\s*\{[^][{}]*\}\s*")


def written(document: Mapping[str, Any]) -> Iterator[str]:
    """Return *document* as a line of JSON, in pieces: an iterator in it is a list that never stands whole in memory."""
    piece = "{"
    for number, (key, value) in enumerate(document.items()):
        piece += (", " if number else "") + json.dumps(key) + ": "
        if not isinstance(value, collections.abc.Iterator):
            piece += json.dumps(value)
            continue
        piece += "["
        for place, item in enumerate(value):
            piece += (", " if place else "") + json.dumps(item)
            if len(piece) >= PIECE_CHARACTERS:
                yield piece
                piece = ""
        piece += "]"
    yield piece + "}\n"


def reply(answer: Callable[[object], Dict[str, Any]], line: bytes) -> Dict[str, Any]:
    """Return what *answer* says to the request in *line*, or what is wrong with that."""
    try:
        request = json.loads(line) if _FLAT.fullmatch(line) else None
    except ValueError:
        request = None
    if request is None:
        return {"error": 'not a flat JSON object such as {"op": "status"}'}
    return answer(request)


def notify(message: str) -> None:
    """Tell systemd, where it started us (sd_notify)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        if address.startswith("@"):
            address = "\0" + address[1:]
        # Nobody may listen now, or it may hang: then there is nobody to tell.
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, contextlib.suppress(OSError):
            manager.setblocking(False)
            manager.sendto(message.encode(), address)


class Service:
    """A relay with its control socket, signals, watch on the redirect and an end."""

    def __init__(self, relay: Relay, control: Control, guard: RedirectWatchdog, log: Log) -> None:
        self.relay, self.control, self.guard, self.log = relay, control, guard, log
        self._deadline: Optional[float] = None
        self._signals: List[int] = []

    def answer(self, request: object) -> Dict[str, Any]:
        """Carry out one request of the control socket."""
        if not isinstance(request, dict):
            return {"error": "not a JSON object"}
        op = request.get("op")
        if op == "status":
            status = self.relay.describe()
            status["redirect"] = self.guard.describe()
            status["finished"] = list(self.relay.finished)
            return status
        if op == "limit":
            try:
                limit = _READERS["limit_bps"](request.get("bps"))
            except (TypeError, ValueError) as error:
                return {"error": "bps: {}".format(error)}
            self.relay.limit_bps = limit
            self.relay.divide()
            self.log("limit: {}".format("off" if limit is None else "{} bit/s".format(limit)))
            return {"limit_bps": limit, "live": len(self.relay.live())}
        if op in ("drain", "stop"):
            self.end(bounded=op == "stop")
            return {"draining": True, "live": len(self.relay.live())}
        return {"error": "op: {!r} is not status, limit, drain or stop".format(op)}

    def end(self, *, bounded: bool) -> None:
        """Accept nothing new; end with the last stream or, if *bounded*, after drain_s."""
        if bounded and self._deadline is None:
            self._deadline = time.monotonic() + self.relay.config.drain_s
        if not self.relay.draining.is_set():
            self.guard.end()
            self.relay.draining.set()
            notify("STOPPING=1")
        self.relay.changed.set()

    def _on_signal(self, number: int, _frame: object) -> None:
        self._signals.append(number)
        self.relay.changed.set()

    def _heed_signals(self) -> None:
        while self._signals:
            number = self._signals.pop(0)
            if self._deadline is not None:  # asked twice
                self._deadline = time.monotonic()
            self.log("{}: draining".format(signal.Signals(number).name))
            self.end(bounded=True)

    def run(self) -> int:
        """Serve until drained; print the last counters; return the exit status."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        acceptor = threading.Thread(target=self.relay.accept, daemon=True)
        acceptor.start()
        threading.Thread(target=self.control.serve, args=(self.answer,), daemon=True).start()
        watcher = threading.Thread(target=self._watch, daemon=True)
        watcher.start()
        notify("READY=1\nSTATUS=relaying")
        watchdog = int(os.environ.get("WATCHDOG_USEC", "0")) / 2e6
        last = watchdog_fed = time.monotonic()
        while not (self.relay.draining.is_set() and not acceptor.is_alive() and self.relay.is_idle):
            self.relay.changed.wait(TICK_S)
            self._heed_signals()
            now = time.monotonic()
            if now - last >= TICK_S:
                last = now
                self.relay.measure()
            else:
                self.relay.divide()
                time.sleep(0.02)  # a burst of new streams is divided once
            if watchdog and now - watchdog_fed >= min(watchdog, 1.0) and now - self.relay.beat < watchdog:
                watchdog_fed = now
                notify("WATCHDOG=1")
            if self._deadline is not None and now >= self._deadline:
                self.relay.stop()
        self.control.close()
        self.log.close("".join(written(self.relay.describe())).rstrip())
        return EXIT_OK

    def _watch(self) -> None:
        while not self.relay.draining.wait(1.0):
            self.guard.look(time.monotonic())


def serve(path: str, scripts: Sequence[str], *, use_ctypes: bool) -> int:
    """Run the relay from the configuration at *path*; return the exit status."""
    log = Log()
    try:
        config = parse_config(_text(path))
    except OSError as error:
        return _complain(EXIT_CONFIG, "{}: {}".format(path, error.strerror))
    except ConfigError as error:
        return _complain(EXIT_CONFIG, "{}: {}".format(path, error))
    congestion = config.wan_congestion_control
    problem = congestion_problem(congestion)
    if problem is not None:
        if config.congestion_fallback is None:
            return _complain(EXIT_CONGESTION, problem)
        worse = congestion_problem(config.congestion_fallback)
        if worse is not None:
            return _complain(EXIT_CONGESTION, worse)
        log("{}; going on with {}".format(problem, config.congestion_fallback))
        congestion = config.congestion_fallback
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    threading.stack_size(STACK_BYTES)
    own_hash()
    relay = Relay(config, congestion, find_splice(use_ctypes=use_ctypes), log)
    if not relay.buffers.bounded:
        log("stream_buffer_bytes cannot be kept: raise net.core.rmem_max, or give the relay CAP_NET_ADMIN")
    try:
        relay.listen()
        control = Control(config.control)
    except OSError as error:
        status = EXIT_TAKEN if error.errno == errno.EADDRINUSE else EXIT_LISTEN
        return _complain(status, "{}: {}".format(error.filename or config.control, error.strerror))
    held = None
    guard = RedirectWatchdog(config, relay, log, None)
    if scripts:
        # The owner of a relay that was killed goes a little later, and its tables with it.
        _within_seconds(OWNER_S, lambda: not guard.is_loaded())
        try:
            held = HeldTable("".join(_text(script) for script in scripts))
        except OSError as error:
            control.close()
            return _complain(EXIT_REDIRECT, "{}: {}".format(error.filename or "nft", error.strerror))
        guard = RedirectWatchdog(config, relay, log, held)
        if not _within_seconds(3, guard.is_loaded):
            held.close()
            control.close()
            return _complain(EXIT_REDIRECT, "{}: nft did not load it".format(", ".join(scripts)))
    log("listening on {}".format(", ".join("{} port {}".format(*endpoint) for endpoint in config.listen)))
    try:
        return Service(relay, control, guard, log).run()
    finally:
        if held is not None:
            held.close()


def _text(path: str) -> str:
    with open(path, encoding="utf-8") as file:  # noqa: PTH123
        return file.read().rstrip("\n") + "\n"


def _within_seconds(seconds: float, is_true: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while not is_true():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def supervise(arguments: List[str]) -> int:
    """Run relayd with *arguments*, again whenever it dies of anything but its own decision; return its status.

    SIGTERM and SIGINT are passed on and end it, whether a relay runs at that moment or not.
    """
    import subprocess

    log, wake, signals = Log(), Wake(), []  # type: Log, Wake, List[int]
    child: Optional[subprocess.Popen[bytes]] = None

    def on_signal(number: int, _frame: object) -> None:
        signals.append(number)
        if child is not None:
            _pass_on(child, number)
        wake.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    status = EXIT_OK
    while not signals:
        try:
            child = subprocess.Popen([sys.executable, os.path.abspath(__file__), *arguments])  # noqa: PTH100
        except OSError as error:  # no process, memory or descriptor left for it
            log("cannot start: {}; trying again".format(error.strerror))
            wake.wait(1.0)
            continue
        if signals:  # it came before there was a child to pass it on to
            _pass_on(child, signals[-1])
        status = child.wait()
        if signals or status in (EXIT_OK, EXIT_CONFIG, EXIT_CONGESTION):
            break
        log("ended with status {}; starting again".format(status))
        wake.wait(1.0)
    return EXIT_OK if status < 0 else status


def _pass_on(child: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has just ended
        child.send_signal(number)


def _complain(status: int, line: str) -> int:
    say(2, "relayd: " + line + "\n")
    return status


def ask(path: str, request: Dict[str, Any]) -> int:
    """Send *request* to the relay at the control socket *path* and print its answer."""
    line, answered = "", {}
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(10)
        try:
            client.connect(path)
            client.sendall(json.dumps(request).encode() + b"\n")
            with client.makefile("r", encoding="utf-8") as lines:
                line = lines.readline()
            answered = json.loads(line)
        except OSError as error:
            return _complain(EXIT_NO_ANSWER, "{}: {}".format(path, error.strerror or error))
        except ValueError:  # it ended before its answer did
            pass
    if not answered:
        return _complain(EXIT_NO_ANSWER, "{}: no answer".format(path))
    print(line, end="", flush=True)
    return EXIT_CONFIG if "error" in answered else EXIT_OK


def main(arguments: Optional[List[str]] = None) -> int:
    """Parse the command line and run; return the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog="relayd.py", description="The relay of lrvmotion.", allow_abbrev=False)
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--config", metavar="FILE")
    mode.add_argument("--status", metavar="SOCKET")
    mode.add_argument("--limit", nargs=2, metavar=("SOCKET", "BPS|off"))
    mode.add_argument("--drain", metavar="SOCKET")
    mode.add_argument("--stop", metavar="SOCKET")
    parser.add_argument(
        "--hold-redirect",
        metavar="SCRIPT",
        action="append",
        default=[],
        help="commands for a child nft, one a line",
    )
    parser.add_argument("--supervise", action="store_true", help="start again when it dies")
    parser.add_argument("--ctypes", action="store_true", help="splice through ctypes even where os.splice is there")
    options = parser.parse_args(given)
    if options.config:
        if options.supervise:
            return supervise([word for word in given if word != "--supervise"])
        return serve(options.config, options.hold_redirect, use_ctypes=options.ctypes)
    if options.limit:
        path, rate = options.limit
        if rate != "off" and not rate.isdigit():
            return _complain(EXIT_CONFIG, "--limit: {!r} is neither bits per second nor off".format(rate))
        return ask(path, {"op": "limit", "bps": None if rate == "off" else int(rate)})
    for op in ("status", "drain", "stop"):
        if getattr(options, op):
            return ask(getattr(options, op), {"op": op})
    return EXIT_CONFIG


if __name__ == "__main__":
    sys.exit(main())
