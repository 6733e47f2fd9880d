"""The pure parts of relayd.py: configuration, headers, fair shares, verdicts, pipe sizes; and what it may import."""

from __future__ import annotations

import ast
import json
import re
import socket
import struct
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrvmotion.relay import relayd

FILE = Path(relayd.__file__)
GOOD: dict[str, Any] = {
    "schema": 1,
    "listen": [["10.88.0.1", 9000]],
    "port": 8000,
    "sources": ["10.88.0.0/24", "fd88::9"],
    "targets": ["10.99.0.9"],
    "control": "/run/lrvmotion/r1.sock",
}


def test_it_imports_the_standard_library_only() -> None:
    """The file runs alone on a box: no name of ours, no library."""
    names = set()
    for node in ast.walk(ast.parse(FILE.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names.add((node.module or "").partition(".")[0])
    assert names <= sys.stdlib_module_names


def test_its_syntax_is_that_of_python_3_9() -> None:
    """The oldest Python on a box that we promise."""
    ast.parse(FILE.read_text(), feature_version=(3, 9))


def test_a_good_configuration_is_read() -> None:
    """Required keys only: the rest has its defaults."""
    config = relayd.parse_config(json.dumps(GOOD))
    assert config.listen == (("10.88.0.1", 9000),)
    assert config.wan_congestion_control == "bbr"
    assert config.stream_buffer_bytes == 16 * 1024 * 1024
    assert config.forward is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("speed", 1),
        ("schema", 2),
        ("listen", []),
        ("listen", [["10.88.0.1", "9000"]]),
        ("listen", [["nowhere", 9000]]),
        ("listen", [{}]),
        ("port", True),
        ("port", 70000),
        ("sources", []),
        ("sources", ["10.88.0.1/24"]),
        ("targets", [8]),
        ("targets", "10.99.0.9"),
        ("control", "relay.sock"),
        ("control", "/" + "x" * 107),
        ("wan_congestion_control", "bbr; rm"),
        ("limit_bps", 0),
        ("limit_bps", 1.5e9),
        ("stream_buffer_bytes", 1024),
        ("forward", {"address": "10.0.0.1"}),
        ("forward", ["10.0.0.1", 9000]),
        ("accept_proxy_from", None),
        ("connect_timeout_s", -1),
        ("drain_s", "5"),
        ("redirects", [{"kind": "nft", "family": "ip", "name": "a b"}]),
        ("redirects", [{"kind": "pf", "family": "ip", "name": "a"}]),
    ],
)
def test_a_bad_value_is_named(key: str, value: Any) -> None:
    """One line that begins with the key."""
    with pytest.raises(relayd.ConfigError, match=f"^{key}: ") as caught:
        relayd.parse_config(json.dumps({**GOOD, key: value}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", sorted(GOOD))
def test_a_missing_key_is_named(key: str) -> None:
    """Nothing that decides who may use the relay has a default."""
    with pytest.raises(relayd.ConfigError, match=f"^{key}: missing"):
        relayd.parse_config(json.dumps({name: value for name, value in GOOD.items() if name != key}))


@pytest.mark.parametrize("text", ["", "[]", "{", "null"])
def test_what_is_no_object_is_refused(text: str) -> None:
    """No traceback for a file that is cut or of another kind."""
    with pytest.raises(relayd.ConfigError):
        relayd.parse_config(text)


ports = st.integers(1, 65535)
four = st.tuples(st.ip_addresses(v=4).map(str), ports)
six = st.tuples(st.ip_addresses(v=6).map(lambda a: socket.inet_ntop(socket.AF_INET6, a.packed)), ports)


@given(st.one_of(st.tuples(four, four), st.tuples(six, six)), st.binary(max_size=9), st.integers(1, 7))
def test_a_proxy_header_is_read_as_it_was_written(ends: tuple[Any, Any], after: bytes, piece: int) -> None:
    """However it is cut, and not one byte of what follows is taken."""
    left = bytearray(relayd.proxy_header(*ends) + after)

    def receive(count: int) -> bytes:
        part = bytes(left[: min(count, piece)])
        del left[: len(part)]
        return part

    assert relayd.read_proxy_header(receive) == ends
    assert bytes(left) == after


@given(st.binary(max_size=64))
def test_anything_else_is_no_proxy_header(data: bytes) -> None:
    """Garbage and headers that end early raise ValueError, never anything else."""
    left = bytearray(data)

    def receive(count: int) -> bytes:
        part = bytes(left[:count])
        del left[:count]
        return part

    with pytest.raises(ValueError):
        relayd.read_proxy_header(receive)


wants = st.lists(st.one_of(st.none(), st.floats(0, 1e9)), min_size=1, max_size=40)


@given(st.floats(1e4, 1e9), wants)
def test_shares_add_up_to_the_cap_and_nobody_is_starved(limit: float, wanted: list[float | None]) -> None:
    """All of it is given away and not more; who wants all gets at least an even share, and as much as any."""
    shares = relayd.fair_shares(limit, wanted)
    assert limit - len(wanted) - 1 <= sum(shares) <= limit + len(wanted)
    hungry = [share for share, want in zip(shares, wanted, strict=True) if want is None]
    assert all(share >= limit / len(wanted) - 2 for share in hungry)
    assert max(hungry, default=0) - min(hungry, default=0) <= 1


def test_a_quiet_stream_leaves_its_share_to_the_others() -> None:
    """100 divided among one that uses 10 and two that take all they can."""
    assert relayd.fair_shares(100.0, [10.0, None, None]) == [10, 45, 45]


def info(**changes: int) -> dict[str, int]:
    base = {"busy_us": 0, "rwnd_limited_us": 0, "sndbuf_limited_us": 0, "app_limited": 0, "notsent_bytes": 0}
    return {**base, **changes}


@pytest.mark.parametrize(
    ("word", "now", "rate", "pace"),
    [
        ("application", info(busy_us=100_000), 10.0, None),
        ("application", info(busy_us=1_000_000, app_limited=1), 10.0, None),
        ("congestion", info(busy_us=1_000_000, app_limited=1, notsent_bytes=9000), 10.0, None),
        ("congestion", info(busy_us=950_000, rwnd_limited_us=100_000), 10.0, None),
        ("receive window", info(busy_us=1_000_000, rwnd_limited_us=800_000), 10.0, None),
        ("send buffer", info(busy_us=1_000_000, sndbuf_limited_us=700_000), 10.0, None),
        ("cap", info(busy_us=1_000_000), 95.0, 100.0),
        ("congestion", info(busy_us=1_000_000), 50.0, 100.0),
    ],
)
def test_the_verdict_names_what_took_most_of_the_time(
    word: str, now: dict[str, int], rate: float, pace: float | None
) -> None:
    """Over one second of TCP_INFO's own clocks."""
    found, shares = relayd.judge(info(), now, 1.0, rate, pace)
    assert found == word
    assert sum(shares.values()) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(
    ("left", "word"), [({}, "application"), ({"unacked": 1}, "congestion"), ({"notsent_bytes": 1}, "congestion")]
)
def test_a_leg_that_only_finished_earlier_data_waits_for_its_source(left: dict[str, int], word: str) -> None:
    """It was busy for most of the tick, took nothing and is empty now: what limits it is what feeds it."""
    assert relayd.judge(info(), info(busy_us=800_000, **left), 1.0, 0.0, None)[0] == word


@pytest.mark.parametrize("count", [0, 1, 3, 2_000])
def test_an_answer_is_written_in_pieces(count: int) -> None:
    """They are the document on one line, whatever the length of a list that is only an iterator."""
    items = [{"source": f"10.0.0.{number}:8000", "rtt_us": None, "cut": 'a"b'} for number in range(count)]
    pieces = list(relayd.written({"live": count, "streams": iter(items), "redirect": {"state": "loaded"}}))
    line = "".join(pieces)
    assert json.loads(line) == {"live": count, "streams": items, "redirect": {"state": "loaded"}}
    assert line.endswith("}\n")
    assert line.count("\n") == 1
    assert len(pieces) > 1 or count < 2_000
    assert max(map(len, pieces)) < 2 * relayd.PIECE_CHARACTERS


def test_the_verdict_is_said_in_words() -> None:
    """A sentence that says what to do about it."""
    said = relayd.explain({"receive window": 4, "application": 1}, forwards=False, limit_bps=None)
    assert said == "limited by the target host's receive window (4 of 5 streams): use a far relay or more streams"
    assert "tcp_rmem" in relayd.explain({"receive window": 1}, forwards=True, limit_bps=None)
    assert relayd.explain({}, forwards=False, limit_bps=None) == "no stream is open"


@pytest.mark.parametrize("word", ["application", "congestion", "receive window", "send buffer", "cap"])
def test_what_carries_nothing_and_is_not_acknowledged_is_limited_by_neither_circuit_window_nor_source(word):
    """Whatever the kernel waited for; a leg that still carries, or is owed nothing, is judged by that."""
    assert relayd.verdict(word, 0.0, 0.5) == "no acknowledgement"
    assert relayd.verdict(word, 1.0, 0.5) == word
    assert relayd.verdict(word, 0.0, 0.0) == ("no acknowledgement" if word == "congestion" else word)
    assert relayd.verdict(word, 0.0, relayd.SILENT_S) == "no answer"
    said = relayd.explain({"no acknowledgement": 2, word: 1}, forwards=False, limit_bps=10**6)
    assert said == "nothing is carried on 2 of 3 streams: what was sent is not acknowledged"


@given(st.integers(1, 4000), st.sampled_from([4 << 20, 64 << 20, 0]))
def test_pipes_of_all_streams_fit_the_users_share(streams: int, total: int) -> None:
    """Up to where 16 KiB each is the floor, the sum stays within the limit; few streams have the whole MiB."""
    forth, back = relayd.PipeBudget(total=total).sizes(streams)
    assert forth >= 16384
    assert forth & (forth - 1) == 0
    if total and streams <= total // 65536:
        assert streams * (forth + back) <= total
    if total != 4 << 20 and streams <= 32:
        assert forth == 1 << 20


@pytest.mark.parametrize("length", [104, 192, 232, 280])
def test_an_older_kernels_tcp_info_has_fewer_fields(length: int) -> None:
    """A field exists only if the length reaches it."""
    raw = bytearray(280)
    struct.pack_into("=I", raw, 68, 55_000)
    struct.pack_into("=Q", raw, 120, 12345)
    struct.pack_into("=B", raw, 7, 0xF1)
    found = relayd.unpack_tcp_info(bytes(raw[:length]))
    assert found["rtt_us"] == 55_000
    assert found["app_limited"] == 1
    assert ("bytes_acked" in found) == (length >= 128)
    assert ("bytes_retrans" in found) == (length >= 216)


NFT = """\
table ip t {
	flags owner

	counter hits {
		packets 12 bytes 720
	}

	counter arrived {
		packets 11 bytes 660
	}

	chain keepct {
		type filter hook input priority filter; policy accept;
		ct state established counter packets 71 bytes 10884
	}

	chain fence {
		type filter hook input priority filter; policy accept;
		tcp dport 9000 ip saddr != @sources counter name "fenced" drop
	}

	chain arrival {
		type nat hook input priority 100; policy accept;
		tcp dport 9000 counter name "arrived"
	}

	chain stray {
		type filter hook prerouting priority mangle; policy accept;
		ip saddr @sources ct status dnat update @relayed { ip saddr . tcp sport . ip daddr }
	}

	chain catch {
		type nat hook prerouting priority dstnat; policy accept;
		tcp dport 8000 counter name "hits" redirect to :9000
	}
}
"""
SAVED = """\
# Generated by iptables-save v1.8.9
*mangle
:LRVM_x - [0:0]
[9:9] -A PREROUTING -j LRVM_x
COMMIT
*nat
:LRVM_x - [0:0]
:LRVM_x_in - [0:0]
[9:9] -A PREROUTING -j LRVM_x
[9:9] -A INPUT -j LRVM_x_in
[3:180] -A LRVM_x -s 10.88.0.9/32 -d 10.99.0.9/32 -p tcp -m tcp --dport 8000 -j REDIRECT --to-ports 9000
[4:240] -A LRVM_x -s 10.88.0.8/32 -d 10.99.0.9/32 -p tcp -m tcp --dport 8000 -j REDIRECT --to-ports 9000
[6:360] -A LRVM_x_in -p tcp -m tcp --dport 9000 -j RETURN
COMMIT
*filter
:LRVM_x - [0:0]
[9:9] -A INPUT -j LRVM_x
[0:0] -A LRVM_x -p tcp -m tcp --dport 9000 -j DROP
COMMIT
"""
ELEMENTS = "\n\t\telements = { 10.88.0.9 . 40000 . 10.99.0.9 expires 2m59s }"
IN_NFT, IN_IPTABLES = relayd.Redirect("nft", "ip", "t"), relayd.Redirect("iptables", "ip", "LRVM_x")


def test_redirect_is_read_from_both_tools() -> None:
    """What was caught and what arrived; that all rules are there, and that they catch."""
    assert IN_NFT.read(NFT)[:4] == relayd.Seen(12, 11, whole=True, catching=True)[:4]
    assert IN_IPTABLES.read(SAVED)[:4] == relayd.Seen(7, 6, whole=True, catching=True)[:4]


@pytest.mark.parametrize(("redirect", "printed"), [(IN_NFT, NFT), (IN_IPTABLES, SAVED)], ids=["nft", "iptables"])
def test_what_counts_is_no_change_of_the_rules(redirect: relayd.Redirect, printed: str) -> None:
    """Counters and the connections that are known at the moment differ from look to look; a rule more does not."""
    known = "\tset relayed {\n\t\ttype ipv4_addr\n\t\ttimeout 3m%s\n\t}\n\n\tchain keepct {"
    one, other = (printed.replace("\tchain keepct {", known % more) for more in ("", ELEMENTS))
    other = re.sub(r"packets \d+ bytes \d+|\[\d+:\d+\]", lambda found: re.sub(r"\d", "7", found[0]), other)
    assert redirect.read(one)[4:] == redirect.read(other)[4:]
    assert all(redirect.read(one)[4:])
    added = other.replace("\t\tct state", "\t\taccept\n\t\tct state").replace(
        "COMMIT", "[0:0] -A LRVM_x -j RETURN\nCOMMIT"
    )
    assert redirect.read(added).rest != redirect.read(one).rest


@pytest.mark.parametrize(("redirect", "printed"), [(IN_NFT, NFT), (IN_IPTABLES, SAVED)], ids=["nft", "iptables"])
def test_redirect_that_lacks_a_rule_is_not_whole(redirect: relayd.Redirect, printed: str) -> None:
    """Any rule or jump of ours that somebody took away shows; of a withdrawn one the catching rule alone is missing."""
    lines = printed.splitlines(keepends=True)
    rules = [n for n, line in enumerate(lines) if line.startswith(("\t\tct", "\t\ttcp", "\t\tip saddr", "["))]
    assert len(rules) in (5, 8)
    for number in rules:
        seen = redirect.read("".join(lines[:number] + lines[number + 1 :]))
        catching = "redirect to" in lines[number]
        two_of_them = "REDIRECT" in lines[number]
        assert (seen.whole, seen.catching) == (catching or two_of_them, not catching), lines[number]
    assert redirect.read("").whole is False
    gone = "".join(line for line in lines if "redirect to" not in line and "REDIRECT" not in line)
    seen = redirect.read(gone)
    assert (seen.whole, seen.catching) == (True, False)


def suspects(*looks: tuple[float, int, int, int, int], beat_s: float = 0.1) -> list[tuple[float, str, bool]]:
    """Feed (seconds, caught, arrived, accepted, unknown) to a Suspicion; return when it was sure, of what."""
    suspicion = relayd.Suspicion(9000)
    said = [(now, suspicion.look(now, relayd.Progress(*counts, beat_s))) for now, *counts in looks]
    return [(now, cause.reason, cause.by_rules) for now, cause in said if cause is not None]


def ticks(seconds: int, at: dict[int, tuple[int, int, int, int]]) -> list[tuple[float, int, int, int, int]]:
    """Return a look for each second; *at* a second, the counts change to those given."""
    counts, found = (0, 0, 0, 0), []
    for second in range(seconds + 1):
        counts = at.get(second, counts)
        found.append((float(second), *counts))
    return found


@pytest.mark.parametrize(
    "at",
    [
        {5: (1, 1, 0, 0)},  # its answer was lost, its host died, or it was a scan
        {5: (1, 0, 0, 0)},  # dropped here, once
        {5: (9, 9, 0, 0)},  # a scan of nine targets in one go
        {5: (2, 0, 0, 0), 40: (3, 1, 1, 0)},  # dropped while a firewall was loaded, the next arrived
        {5: (1, 1, 0, 0), 15: (2, 2, 1, 0), 25: (3, 3, 1, 0), 35: (4, 4, 1, 0)},  # one in between was accepted
        {5: (3, 3, 3, 1), 6: (6, 6, 6, 3)},  # some had no destination, some had
    ],
)
def test_a_connection_that_comes_to_nothing_is_no_reason(at: dict[int, tuple[int, int, int, int]]) -> None:
    """One SYN that never becomes a connection, however it fails, does not take the redirect away."""
    assert suspects(*ticks(90, at)) == []


def test_a_firewall_that_drops_is_told_by_what_does_not_arrive() -> None:
    """Three SYNs of one connection that are caught and do not reach the port: named within seconds."""
    [(when, reason, by_rules), *_] = suspects(*ticks(30, {5: (1, 0, 0, 0), 6: (2, 0, 0, 0), 8: (3, 0, 0, 0)}))
    assert (when, by_rules) == (8.0, True)
    assert "3 redirected connections did not arrive within 3 s: a firewall on this host drops TCP port 9000" in reason


def test_answers_that_do_not_get_back_are_told_by_what_is_not_completed() -> None:
    """Connections that reach the port over more than ten seconds, none accepted: a reason that names no firewall."""
    [(when, reason, by_rules), *_] = suspects(*ticks(60, {5: (1, 1, 0, 0), 9: (2, 2, 0, 0), 16: (3, 3, 0, 0)}))
    assert (when, by_rules) == (16.0, False)
    assert reason.startswith("3 connections reached TCP port 9000 within 11 s and none was completed")


def test_a_relay_that_hangs_is_named_itself() -> None:
    """Where the accepting thread shows no life, the reason is the relay and no firewall."""
    looks = ticks(60, {5: (1, 1, 0, 0), 9: (2, 2, 0, 0), 16: (3, 3, 0, 0)})
    [(_, reason, _), *_] = suspects(*looks, beat_s=14.0)
    assert reason == "the relay has not accepted a connection for 14 s"


def test_a_conntrack_zone_is_told_by_connections_without_a_destination() -> None:
    """Redirected, accepted, and connection tracking does not know where to: three in a row, and the zone is named."""
    [(when, reason, by_rules), *_] = suspects(*ticks(30, {5: (1, 1, 1, 1), 6: (2, 2, 2, 2), 7: (3, 3, 3, 3)}))
    assert (when, by_rules) == (7.0, True)
    assert "conntrack zone" in reason


def test_rules_that_were_loaded_anew_begin_at_nothing() -> None:
    """Counters that went back are those of new rules: what was seen before does not count with them."""
    looks = ticks(60, {5: (3, 1, 0, 0), 6: (4, 2, 0, 0), 7: (1, 0, 0, 0), 8: (2, 0, 0, 0)})
    assert suspects(*looks) == []


@pytest.mark.parametrize(
    ("rtt_us", "verdict", "stuck"),
    [
        (56_000, "congestion", True),  # held back, and nothing queues
        (63_000, "congestion", False),  # packets queue: the pipe is full
        (56_000, "receive window", False),
        (56_000, "application", False),
        (56_000, "cap", False),
        (0, "congestion", False),  # no sample yet
    ],
)
def test_a_stream_is_stuck_where_it_is_held_back_and_nothing_queues(rtt_us: int, verdict: str, stuck: bool) -> None:
    """Only then may BBR's STARTUP have ended too early; a full pipe shows in the RTT."""
    assert relayd.is_stuck({"rtt_us": rtt_us, "min_rtt_us": 55_000}, verdict) is stuck


def restarts(
    *ticks: tuple[float, float], rtt_us: int = 56_000, verdict: str = "congestion", gain: float = 1.0
) -> list[float]:
    """Return when STARTUP was begun again, given (seconds, rate) ticks."""
    startup, info = relayd.Startup(0.0), {"rtt_us": rtt_us, "min_rtt_us": 55_000}
    return [now for now, rate in ticks if startup.ended_early(info, verdict, gain, rate, now)]


DOUBLING = [(tick / 2, 2.0 ** (tick / 2)) for tick in range(1, 61)]
FLAT = [(now, 1e6) for now, _ in DOUBLING]


def test_startup_begins_anew_while_that_pays_and_only_in_the_first_seconds() -> None:
    """Every two seconds while the rate grows by a quarter each time; once if it does not; never after nine seconds."""
    assert restarts(*DOUBLING) == [1.0, 3.0, 5.0, 7.0, 9.0]
    assert restarts(*FLAT) == [1.0]
    assert restarts(*((10 + now, rate) for now, rate in DOUBLING)) == []


def test_startup_is_left_alone_where_packets_queue_or_something_else_limits() -> None:
    """A full pipe, a window, a STARTUP that has not ended: no restart."""
    assert restarts(*DOUBLING, rtt_us=80_000) == []
    assert restarts(*DOUBLING, verdict="receive window") == []
    assert restarts(*DOUBLING, gain=2.89) == []


def long_at(*ticks: tuple[int, bool]) -> list[int]:
    """Return at which of the (RTT in us, lossy) ticks a leg with a short handshake is taken for a long one."""
    distance = relayd.Distance()
    return [number for number, (rtt, lossy) in enumerate(ticks) if distance.is_long(rtt, lossy=lossy)]


def test_a_leg_is_long_where_the_rtt_stays_through_a_loss() -> None:
    """By what data takes, not the handshake; without loss it does not matter; a mean that still rises is no RTT yet."""
    assert long_at((40_000, False), (55_000, False), (55_500, True), (56_000, False)) == [3]
    assert long_at((55_000, False), (55_500, False), (55_200, True)) == [2]
    assert long_at(*((55_000, False),) * 9) == []
    assert long_at(*((700, True),) * 9) == []


def test_a_queue_on_a_short_leg_does_not_make_it_long() -> None:
    """There the RTT falls with the window after a loss, and grows again with it."""
    assert long_at((5000, False), (5200, True), (3700, False), (3900, False), (4200, False), (4600, True)) == []


@pytest.mark.parametrize(
    ("rtt_us", "min_rtt_us", "held"),
    [
        (50_000, 200, int(0.8 * 100 * 1448 / 0.05)),
        (50_000, 49_000, None),  # BBR has the right RTT
        (50_000, 20_000, None),  # and here one that will do
        (2000, 200, None),  # not worth it
    ],
)
def test_a_leg_is_held_back_where_bbr_would_begin_with_a_wrong_rtt(
    rtt_us: int, min_rtt_us: int, held: int | None
) -> None:
    """At four fifths of what its window carries."""
    found = relayd.held_rate({"rtt_us": rtt_us, "min_rtt_us": min_rtt_us, "cwnd": 100, "snd_mss": 1448})
    assert found == held or (found is not None and held is not None and abs(found - held) <= 1)


@given(st.integers(1, 10**6), st.integers(500, 9000))
def test_what_the_kernel_sends_at_once_is_two_segments_on_a_long_path(min_rtt_us: int, mss: int) -> None:
    """And a super-packet on a short one, never more."""
    least = relayd.burst({"min_rtt_us": min_rtt_us, "snd_mss": mss})
    assert 2 * mss <= least <= max(65536, 2 * mss)
    if min_rtt_us < 512:
        assert least == 65536
    if min_rtt_us > 8000:
        assert least == 2 * mss


def silent_for(*ticks: tuple[float, int, int, int]) -> list[float]:
    """Return for how long a peer was silent at each of the ticks (seconds, unacked, probes, ms since the last ack)."""
    silence = relayd.Silence()
    return [
        silence.seconds({"unacked": unacked, "probes": probes, "last_ack_ms": last}, now)
        for now, unacked, probes, last in ticks
    ]


def test_a_peer_is_silent_only_while_it_owes_an_acknowledgement() -> None:
    """Counted from when something was due, not from its last word; a busy one acknowledges all the time."""
    assert silent_for((0.0, 0, 0, 60_000), (1.0, 3, 0, 61_000), (2.0, 3, 0, 62_000)) == [0, 0, 1.0]
    assert silent_for(*((float(now), 9, 0, 40) for now in range(200))) == [0.0, *([0.04] * 199)]
    assert silent_for((0.0, 3, 0, 0), (9.0, 3, 0, 9000), (10.0, 0, 0, 5)) == [0, 9.0, 0]


def test_a_closed_window_is_no_silence_while_its_probes_are_answered() -> None:
    """One probe may be on its way; two without an answer are silence, for however long the pause between them was."""
    assert silent_for((0.0, 0, 1, 110_000), (0.5, 0, 0, 300)) == [0, 0]
    assert silent_for((0.0, 0, 2, 150_000), (60.0, 0, 3, 210_000)) == [0, 60.0]


def test_a_target_that_answers_nothing_is_said_to_be_down() -> None:
    """That is more than that nothing is acknowledged."""
    said = "the target host answers nothing on 3 of 3 streams: it, or the way there, is down"
    assert relayd.explain({"no answer": 3}, forwards=False, limit_bps=None) == said


@pytest.fixture
def flow():
    """Yield one direction of a stream."""
    made = relayd.Flow(65536)
    yield made
    made.close()


@given(rate=st.floats(0, 1e11))
def test_a_pump_waits_for_what_4_ms_bring_at_most(rate):
    """A pump is woken by a power of two from 64 KiB to a pipe's size, no more than 4 ms bring; else by any byte."""
    flow = relayd.Flow(65536)
    flow.gather(rate)
    flow.close()
    if flow.gathers == 0:
        assert rate * 0.004 < 65537
    else:
        assert flow.gathers.bit_count() == 1
        assert 65536 <= flow.gathers <= min(rate * 0.004, relayd.PIPE_MAX)


def test_a_fast_streams_pump_waits_for_a_portion_and_a_slow_ones_for_any_byte(flow):
    """The socket gets SO_RCVLOWAT and a wait of 8 ms; once the stream is slow, one byte and the wait of before."""
    with socket.socket() as source:
        source.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**20)
        for rate, low_water, wait_us in ((0.0, 1, 200_000), (20e6, 65536, 8000), (1e9, 2**20, 8000), (1e6, 1, 200_000)):
            flow.gather(rate)
            flow.set_wakeup(source, 0.2)
            wait = struct.unpack("ll", source.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16))
            low = source.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT)
            room = source.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
            assert low == min(low_water, room // 4)
            assert wait == (0, wait_us)


def test_a_socket_with_little_room_is_left_as_it_is(flow):
    """A quarter of the receive buffer that is under 64 KiB is not worth waiting for, and would clamp the window."""
    with socket.socket() as source:
        source.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        flow.gather(1e9)
        flow.set_wakeup(source, 0.2)
        assert source.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == 1
        assert flow.gathering == flow.gathers
