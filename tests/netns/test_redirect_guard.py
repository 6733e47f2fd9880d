"""A redirect that is flushed, blocked, scanned or hidden: what the relay does about it, and what it says."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lrvmotion.relay.redirect import render as rules
from lrvmotion.relay.redirect.parse import iptables_script
from netns.iptables_kinds import use
from netns.relayd_world import LISTEN, PORT, World, eventually, read_some, requires_netns, world

pytestmark = requires_netns

KINDS = ("owned", "loaded", "iptables-nft", "iptables-legacy")
FLUSH = (
    "for t in filter nat mangle; do printf '*%s\\nCOMMIT\\n' $t; done | iptables-restore",  # all rules of all tables
    "iptables -t nat -D PREROUTING -j LRVM_test",  # one jump, as a tool does that makes its own chain first
    "iptables -F",
)


@pytest.fixture
def inline(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, "inline") as made:
        yield made


@contextlib.contextmanager
def watched(place: World, way: str, patch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    """Run the relay with a redirect that it watches, loaded in one of the WAYS, until the block ends."""
    caught = place.redirect()
    script = place.folder / "redirect.rules"
    if way.startswith("iptables-"):
        use(way.removeprefix("iptables-"), place.folder, patch)  # type: ignore[arg-type]
        script.write_text(iptables_script(caught))
        place.inside("box", "sh", str(script), "load")
        guard, words = caught.iptables_guard, ()
    else:
        owned = way == "owned"
        script.write_text(rules.nft_owned(caught) if owned else rules.nft_install(caught))
        guard, words = caught.guard, ("--hold-redirect", str(script)) if owned else ()
        if not owned:
            place.inside("box", "nft", "-f", str(script))
    with place.relaying(words=words, redirects=[{**guard, "script": str(script)}]) as relay:
        eventually(lambda: redirect(place)["hits"] == 0)
        yield relay


def owner_of(relay: subprocess.Popen[str]) -> int:
    """Return the process that owns the redirect's table: a child of *relay*."""
    found = subprocess.run(["pgrep", "-P", str(relay.pid), "-x", "nft"], capture_output=True, text=True, check=True)
    return int(found.stdout)


def redirect(place: World) -> dict[str, object]:
    return dict(place.ask()["redirect"])


def way_of(place: World, target: socket.socket) -> str:
    """Return whom the target sees of a new connection, not of one that it has not accepted yet."""
    with place.connect() as client:
        own = client.getsockname()
        while True:
            server, peer = target.accept()
            server.close()
            if peer[0] != own[0] or peer[1] == own[1]:
                return str(peer[0])


def looks(place: World, seconds: float) -> None:
    """Wait until the relay has lived and looked at its redirect for so long."""
    began = place.ask()["uptime_s"]
    eventually(lambda: place.ask()["uptime_s"] - began >= seconds, seconds=60)


def flushes(way: str) -> tuple[str, ...]:
    return FLUSH if way.startswith("iptables") else ("nft flush ruleset",)


@pytest.mark.parametrize(
    ("way", "flush"), [(way, flush) for way in KINDS for flush in flushes(way)],
    ids=[f"{way}-{number}" for way in KINDS for number, _ in enumerate(flushes(way))],
)  # fmt: skip
def test_a_flushed_redirect_is_there_again(
    inline: World, way: str, flush: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody empties the packet filter: a quiet stream lives on, the next connection is relayed, and it is told."""
    relay = inline.addresses["wan"]["ip"]
    with inline.listen() as target, watched(inline, way, monkeypatch):
        with inline.connect() as client:
            server, _ = target.accept()
            client.sendall(b"a")
            assert read_some(server, 1) == b"a"
            inline.inside("box", "sh", "-c", flush)
            if way == "owned":
                looks(inline, 3)
            else:
                eventually(lambda: redirect(inline)["reloads"] == 1)
            client.sendall(b"b")
            assert read_some(server, 1) == b"b"
            server.sendall(b"c")
            assert read_some(client, 1) == b"c"
            server.close()
        assert way_of(inline, target) == relay
        told = redirect(inline)
    assert told["state"] == "installed"
    assert told["reloads"] == (0 if way == "owned" else 1)


def test_the_table_of_a_former_owner_is_not_taken_for_its_own(inline: World) -> None:
    """The owner of a relay that was killed ends a little later; the next relay loads its table when that has gone."""
    caught = inline.redirect()
    script = inline.folder / "redirect.rules"
    script.write_text(rules.nft_owned(caught))
    former = subprocess.Popen(
        ["ip", "netns", "exec", inline.names["box"], "nft", "-i"],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert former.stdin is not None
    former.stdin.write(script.read_text().rstrip("\n") + "\n")
    former.stdin.flush()
    eventually(lambda: "lrvmotion_test" in inline.inside("box", "nft", "list", "tables"))

    def end() -> None:
        eventually((inline.folder / "box.sock").exists)
        time.sleep(0.5)  # long enough for a relay that does not look to take the table for its own
        former.communicate()

    ends = threading.Thread(target=end)
    ends.start()
    guard = {**caught.guard, "script": str(script)}
    with inline.listen() as target, inline.relaying(words=("--hold-redirect", str(script)), redirects=[guard]):
        ends.join()
        looks(inline, 3)
        assert (redirect(inline)["state"], redirect(inline)["reloads"]) == ("installed", 0)
        assert way_of(inline, target) == inline.addresses["wan"]["ip"]


EDITS = {
    "loaded": (
        "nft flush set ip lrvmotion_test sources",
        "nft add table ip lrvmotion_test '{ flags dormant; }'",
        "nft insert rule ip lrvmotion_test catch accept",
        "nft flush chain ip lrvmotion_test fence; nft add rule ip lrvmotion_test fence accept",
    ),
    "iptables-nft": ("iptables -t nat -I LRVM_test 1 -j RETURN", "iptables -I LRVM_test 1 -j RETURN"),
}


@pytest.mark.parametrize(
    ("way", "edit"), [(way, edit) for way, edits in EDITS.items() for edit in edits],
    ids=[f"{way}-{number}" for way, edits in EDITS.items() for number, _ in enumerate(edits)],
)  # fmt: skip
def test_an_edited_redirect_is_as_it_was_loaded_again(
    inline: World, way: str, edit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every rule is there, but one more, another set or a flag: new connections would pass the relay or its fence."""
    relay = inline.addresses["wan"]["ip"]
    with inline.listen() as target, watched(inline, way, monkeypatch):
        assert way_of(inline, target) == relay
        looks(inline, 3)
        assert redirect(inline)["reloads"] == 0
        inline.inside("box", "sh", "-c", edit)
        eventually(lambda: redirect(inline)["reloads"] == 1)
        assert way_of(inline, target) == relay
        looks(inline, 3)
        assert redirect(inline)["reloads"] == 1


@pytest.mark.parametrize("way", KINDS)
def test_a_stream_that_sends_while_the_redirect_is_flushed_is_whole_or_reset(
    inline: World, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never an end of file that looks like a whole transfer, never a target that waits for a source that is gone."""
    with inline.listen() as target, watched(inline, way, monkeypatch), inline.connect() as client:
        server, _ = target.accept()
        ended: list[str] = []

        def send() -> None:
            try:
                while not ended:
                    client.sendall(b"x" * 65536)
                client.shutdown(socket.SHUT_WR)
            except OSError:
                ended.append("reset at the source")

        sender = threading.Thread(target=send)
        sender.start()
        with server:
            read_some(server, 10_000_000)
            inline.inside("box", "sh", "-c", flushes(way)[0])
            try:
                read_some(server, 300_000_000)
                ended.append("whole")
                while server.recv(1 << 20):
                    pass
            except ConnectionResetError:
                ended.append("reset at the target")
            sender.join()
        if way == "owned":
            assert ended == ["whole"]
        else:
            assert ended == ["whole"] or {"reset at the source", "reset at the target"} == set(ended)
            eventually(lambda: redirect(inline)["reloads"] == 1)
        eventually(lambda: inline.ask()["live"] == 0)
        assert way_of(inline, target) == inline.addresses["wan"]["ip"]


@pytest.mark.parametrize("way", ["loaded", "iptables-legacy"])
def test_a_source_that_was_reset_past_the_relay_is_noticed(
    inline: World, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One byte goes past the relay and its target resets the source: the leg to the target is reset, not left open."""
    with inline.listen() as target, watched(inline, way, monkeypatch), inline.connect() as client:
        server, _ = target.accept()
        with server:
            client.sendall(b"a")
            assert read_some(server, 1) == b"a"
            inline.inside("box", "sh", "-c", f"{flushes(way)[0]}")
            client.sendall(b"b")
            server.settimeout(30)
            try:
                assert server.recv(1) == b"b"  # the rules were there again before it came
            except ConnectionResetError:
                with pytest.raises(ConnectionResetError):
                    client.recv(1)


def test_a_redirect_that_cannot_be_loaded_again_is_absent(inline: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its script is gone, too: the state says so, and the reason is what happened."""
    with watched(inline, "loaded", monkeypatch):
        (inline.folder / "redirect.rules").unlink()
        inline.inside("box", "nft", "flush", "ruleset")
        eventually(lambda: redirect(inline)["state"] == "absent")
        assert redirect(inline)["reason"] == "somebody flushed or changed the packet filter"


def half_open(place: World) -> None:
    """Send one SYN from the source, which does not know of it: its kernel answers the SYN-ACK with a reset."""
    port = random.randrange(20000, 60000)
    segment(place, port, sequence=1000, flags=2)


def segment(place: World, port: int, *, sequence: int, flags: int, data: bytes = b"") -> None:
    """Send one TCP segment from *port* of the source to the target."""
    ends = [socket.inet_aton(place.addresses[role]["ip"]) for role in ("source", "target")]
    header = struct.pack("!HHIIBBHHH", port, PORT, sequence, 1, 5 << 4, flags, 8192, 0, 0)
    length = len(header) + len(data)
    pseudo = ends[0] + ends[1] + struct.pack("!BBH", 0, socket.IPPROTO_TCP, length) + header + data
    words = struct.unpack(f"!{(len(pseudo) + 1) // 2}H", pseudo + b"\0" * (len(pseudo) % 2))
    total = sum(words)
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~(total + (total >> 16)) & 0xFFFF
    packet = header[:16] + struct.pack("!H", checksum) + header[18:] + data
    made: list[socket.socket] = []

    def make() -> None:
        with Path(f"/run/netns/{place.names['source']}").open() as namespace:
            os.setns(namespace.fileno()) if hasattr(os, "setns") else _setns(namespace.fileno())
        made.append(socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    with made[0] as raw:
        raw.sendto(packet, (place.addresses["target"]["ip"], 0))


def _setns(number: int) -> None:
    import ctypes

    assert ctypes.CDLL(None, use_errno=True).setns(number, 0x40000000) == 0


def discard_stdout(place: World) -> None:
    """Have the source lose every answer to its SYNs."""
    text = (
        "table ip deaf { chain in { type filter hook input priority 0; tcp flags & (syn | ack) == syn | ack drop; }; }"
    )
    place.inside("source", "nft", "-f", "-", text=text + "\n")


@pytest.mark.parametrize(
    ("way", "how"),
    [("owned", "scan"), ("owned", "answer lost"), ("owned", "gave up"), ("iptables-legacy", "gave up")],
)
def test_one_syn_that_becomes_no_connection_is_no_reason_to_withdraw(
    inline: World, way: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A half-open scan, an answer that is lost, a source that gives up: the redirect stays, the next is relayed."""
    with inline.listen() as target, watched(inline, way, monkeypatch):
        if how == "scan":
            half_open(inline)
        else:
            discard_stdout(inline)
            with inline.socket("source") as client:
                client.settimeout(0.5)
                with pytest.raises(TimeoutError):
                    client.connect((inline.addresses["target"]["ip"], PORT))
                if how == "answer lost":
                    eventually(lambda: redirect(inline)["hits"] == 1)
                    looks(inline, 12)
            inline.inside("source", "nft", "delete", "table", "ip", "deaf")
        eventually(lambda: redirect(inline)["hits"] == 1)
        looks(inline, 6)
        assert redirect(inline)["state"] == "installed"
        assert way_of(inline, target) == inline.addresses["wan"]["ip"]


def blocked(place: World) -> socket.socket:
    client = place.socket("source")
    client.setblocking(False)
    client.connect_ex((place.addresses["target"]["ip"], PORT))
    return client


WALL = f"table inet wall {{ chain in {{ type filter hook input priority 10; tcp dport {LISTEN} drop; }}; }}\n"


@pytest.mark.parametrize("way", ["owned", "loaded", "iptables-nft"])
def test_a_redirect_comes_back_once_the_firewall_lets_through(
    inline: World, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Withdrawn with the firewall as its reason, and not before that is gone: then new connections are relayed."""
    with inline.listen() as target, watched(inline, way, monkeypatch):
        inline.inside("box", "nft", "-f", "-", text=WALL)
        with blocked(inline):
            eventually(lambda: redirect(inline)["state"] == "withdrawn", seconds=30)
        assert f"a firewall on this host drops TCP port {LISTEN}" in str(redirect(inline)["reason"])
        assert way_of(inline, target) == inline.addresses["source"]["ip"]
        looks(inline, 12)
        assert redirect(inline)["state"] == "withdrawn"
        inline.inside("box", "nft", "delete", "table", "inet", "wall")
        eventually(lambda: redirect(inline)["state"] == "installed", seconds=40)
        assert way_of(inline, target) == inline.addresses["wan"]["ip"]


@pytest.mark.parametrize("way", ["owned", "iptables-legacy"])
def test_answers_that_are_dropped_are_no_firewall_before_the_port(
    inline: World, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What leaves the box is dropped: withdrawn after several connections, with a reason that is true; and back."""
    text = f"table ip mute {{ chain out {{ type filter hook output priority 10; tcp sport {LISTEN} drop; }}; }}\n"
    with inline.listen() as target, watched(inline, way, monkeypatch):
        inline.inside("box", "nft", "-f", "-", text=text)
        with contextlib.ExitStack() as tries:
            for count in range(1, 4):
                tries.enter_context(blocked(inline))
                eventually(lambda count=count: redirect(inline)["hits"] == count)
                looks(inline, 5.5)
            eventually(lambda: redirect(inline)["state"] == "withdrawn")
        assert f"3 connections reached TCP port {LISTEN}" in str(redirect(inline)["reason"])
        assert way_of(inline, target) == inline.addresses["source"]["ip"]
        inline.inside("box", "nft", "delete", "table", "ip", "mute")
        eventually(lambda: redirect(inline)["state"] == "installed", seconds=40)
        assert way_of(inline, target) == inline.addresses["wan"]["ip"]


def test_a_redirect_that_was_withdrawn_wrongly_comes_back(inline: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that lost every answer for a while, and no rule of the box to blame: tried again by itself."""
    with inline.listen() as target, watched(inline, "owned", monkeypatch):
        discard_stdout(inline)
        with contextlib.ExitStack() as tries:
            for count in range(1, 4):
                tries.enter_context(blocked(inline))
                eventually(lambda count=count: redirect(inline)["hits"] == count)
                looks(inline, 5.5)
            eventually(lambda: redirect(inline)["state"] == "withdrawn")
        inline.inside("source", "nft", "delete", "table", "ip", "deaf")
        eventually(lambda: redirect(inline)["state"] == "installed", seconds=150)
        assert way_of(inline, target) == inline.addresses["wan"]["ip"]


def test_a_conntrack_zone_withdraws_the_redirect(inline: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every connection is refused for want of its destination, they are forwarded; the zone is the reason."""
    text = """table ip zones {
  chain pre { type filter hook prerouting priority -300; iifname "lan0" ct zone set 5; }
  chain out { type filter hook output priority -300; oifname "lan0" ct zone set 5; }
}
"""
    with inline.listen() as target, watched(inline, "owned", monkeypatch):
        inline.inside("box", "nft", "-f", "-", text=text)
        for count in range(1, 4):
            with contextlib.suppress(ConnectionResetError):
                inline.touch()
            eventually(lambda count=count: inline.ask()["refused"].get("not redirected") == count)
        eventually(lambda: redirect(inline)["state"] == "withdrawn")
        assert "conntrack zone" in str(redirect(inline)["reason"])
        assert way_of(inline, target) == inline.addresses["source"]["ip"]
        inline.inside("box", "nft", "delete", "table", "ip", "zones")
        eventually(lambda: redirect(inline)["state"] == "installed", seconds=40)
        assert way_of(inline, target) == inline.addresses["wan"]["ip"]


def passed(place: World) -> int:
    """Return how many packets have reached the target from the source itself, past the relay."""
    listed = place.inside("target", "nft", "list", "counter", "ip", "past", "seen")
    return int(listed.split("packets ")[1].split()[0])


@pytest.mark.parametrize(
    ("way", "layout"),
    [("owned", "one-armed"), *((way, "inline") for way in KINDS)],
)
def test_packets_out_of_the_window_do_not_get_past_the_relay(
    tmp_path: Path, way: str, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crafted segment with a live stream's ports: nothing of it reaches the target, and the stream lives."""
    past = (
        "table ip past { counter seen { }; chain in { type filter hook input priority 0; "
        "ip saddr %s tcp dport %d counter name seen; }; }\n"
    )
    with world(tmp_path, layout) as place, place.listen() as target:  # type: ignore[arg-type]
        place.inside("target", "nft", "-f", "-", text=past % (place.addresses["source"]["ip"], PORT))
        with watched(place, way, monkeypatch), place.connect() as client:
            if way.startswith("iptables-"):  # as the product sets it where there is no nft
                place.inside("box", "sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_be_liberal=1")
            server, _ = target.accept()
            with server:
                client.sendall(b"a")
                assert read_some(server, 1) == b"a"
                for number in range(5):
                    away = number * 0x30000000 + 0x20000000
                    segment(place, client.getsockname()[1], sequence=away, flags=0x18, data=b"far away")
                place.inside("source", "ping", "-c1", "-W5", place.addresses["target"]["ip"])
                assert passed(place) == 0
                client.sendall(b"b")
                assert read_some(server, 1) == b"b"
                server.sendall(b"c")
                assert read_some(client, 1) == b"c"
            if not way.startswith("iptables-"):
                listed = place.inside("box", "nft", "list", "counter", "ip", "lrvmotion_test", rules.STRAY)
                assert int(listed.split("packets ")[1].split()[0]) >= 1


def test_a_drain_is_answered_once_the_owner_has_withdrawn_the_redirect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However late it does: a connection that comes then would find the relay's port closed."""
    with (
        world(tmp_path, "one-armed") as place,
        place.listen() as target,
        watched(place, "owned", monkeypatch) as relay,
    ):
        owner = owner_of(relay)
        os.kill(owner, signal.SIGSTOP)
        going_on = threading.Timer(0.5, os.kill, (owner, signal.SIGCONT))
        going_on.start()
        try:
            place.ask(op="drain")
            with place.connect():
                other, peer = target.accept()
                other.close()
        finally:
            going_on.join()
    assert peer[0] == place.addresses["source"]["ip"]


@pytest.mark.parametrize("way", KINDS)
def test_plain_forwarding_works_one_armed_beside_live_streams(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replies that do not pass the box make every packet but the first invalid: of what is not relayed, all pass."""
    with (
        world(tmp_path, "one-armed") as place,
        place.listen() as target,
        watched(place, way, monkeypatch),
        place.connect() as relayed,
    ):
        server, _ = target.accept()
        with server:
            relayed.sendall(b"a")
            assert read_some(server, 1) == b"a"
            place.ask(op="drain")
            with place.connect() as plain:
                other, peer = target.accept()
                with other:
                    assert peer[0] == place.addresses["source"]["ip"]
                    plain.sendall(b"p" * 100_000)
                    assert read_some(other, 100_000) == b"p" * 100_000
            relayed.sendall(b"b")
            assert read_some(server, 1) == b"b"
