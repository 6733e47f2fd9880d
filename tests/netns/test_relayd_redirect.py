"""The real redirect in front of the real relay: what is caught, what is not, and what survives its coming and going."""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import shutil
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lrvmotion.relay.redirect import render as rules
from netns.iptables_kinds import KINDS, Kind, use
from netns.relayd_world import LISTEN, MIB, Family, World, eventually, read_all, read_some, requires_netns, run, world

pytestmark = requires_netns
RESET = struct.pack("ii", 1, 0)


@pytest.fixture(params=["inline", "one-armed"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, request.param) as made:
        yield made


@pytest.fixture
def inline(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, "inline") as made:
        yield made


def relay_address(place: World, family: Family) -> str:
    return place.addresses["box" if place.layout == "one-armed" else "wan"][family]


@pytest.mark.parametrize("family", ["ip", "ip6"])
def test_a_redirected_stream_arrives_whole_from_the_relay(place: World, family: Family) -> None:
    """One-armed and inline, IPv4 and IPv6: the target sees the relay, which knows the true target; bytes are whole."""
    caught = place.redirect(family)
    data = random.Random(3).randbytes(8 * MIB)
    with place.listen(family=family) as target, place.relaying():
        place.inside("box", "nft", "-f", "-", text=rules.nft_install(caught))
        place.inside("source", "ping", "-c2", "-i0.2", place.addresses["target"][family])
        with place.connect(family) as client:
            server, peer = target.accept()
            with server:
                writer = threading.Thread(target=lambda: (client.sendall(data), client.shutdown(socket.SHUT_WR)))
                writer.start()
                assert hashlib.sha256(read_all(server)).digest() == hashlib.sha256(data).digest()
                writer.join()
                status = place.ask()
                server.sendall(b"done")
                server.close()
                assert read_all(client) == b"done"
        counted = rules.parse_counters(place.inside("box", *rules.nft_list(caught)))
    assert peer[0] == relay_address(place, family)
    assert status["streams"][0]["target"] == f"{place.addresses['target'][family]}:8000"
    assert status["congestion_control"] == "bbr"
    assert counted == rules.Counters(hits=1, echo=2, fenced=0)


def test_neither_inserting_nor_withdrawing_disturbs_live_connections(inline: World) -> None:
    """A forwarded connection survives the redirect's coming, a relayed one its going; new ones take the other way."""
    caught = inline.redirect()
    with inline.listen() as target, inline.relaying(), inline.connect() as old:
        old_server, peer = target.accept()
        assert peer[0] == inline.addresses["source"]["ip"]
        old.sendall(b"a")
        inline.inside("box", "nft", "-f", "-", text=rules.nft_install(caught))
        old.sendall(b"b")
        assert read_some(old_server, 2) == b"ab"
        with inline.connect() as relayed:
            relayed_server, peer = target.accept()
            assert peer[0] == relay_address(inline, "ip")
            relayed.sendall(b"c")
            inline.inside("box", "nft", "-f", "-", text=rules.nft_withdraw(caught))
            relayed.sendall(b"d")
            old.sendall(b"e")
            assert read_some(relayed_server, 2) == b"cd"
            assert read_some(old_server, 1) == b"e"
            with inline.connect():
                plain, peer = target.accept()
                plain.close()
                assert peer[0] == inline.addresses["source"]["ip"]
            inline.inside("box", "nft", "-f", "-", text=rules.nft_restore(caught))
            with inline.connect():
                again, peer = target.accept()
                again.close()
                assert peer[0] == relay_address(inline, "ip")
            relayed_server.close()
        old_server.close()
        inline.inside("box", "nft", "-f", "-", text=rules.nft_remove(caught))
        inline.inside("box", "nft", "-f", "-", text=rules.nft_remove(caught))  # gone already: no error
        listed = inline.inside("box", "nft", "-j", "list", "tables")
        assert rules.tables(listed) == ()


def test_a_killed_relay_takes_its_owned_table_with_it(inline: World) -> None:
    """`--hold-redirect`: after kill -9 there is no table, and new connections are forwarded plainly."""
    caught = inline.redirect()
    script = inline.folder / "owned.nft"
    script.write_text(rules.nft_owned(caught))
    with (
        inline.listen() as target,
        inline.relaying(words=("--hold-redirect", str(script)), redirects=[caught.guard]) as process,
    ):
        listed = inline.inside("box", "nft", "-j", "list", "tables")
        assert rules.tables(listed) == (("ip", "lrvmotion_test"),)
        with inline.connect():
            server, peer = target.accept()
            server.close()
            assert peer[0] == relay_address(inline, "ip")
        process.kill()
        process.wait()
        eventually(lambda: rules.tables(inline.inside("box", "nft", "-j", "list", "tables")) == ())
        with inline.connect():
            server, peer = target.accept()
            server.close()
            assert peer[0] == inline.addresses["source"]["ip"]


def test_holding_a_table_leaves_no_history(inline: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """nft's interactive mode writes down what it is told: not on somebody's box."""
    home = inline.folder / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    script = inline.folder / "owned.nft"
    script.write_text(rules.nft_owned(inline.redirect()))
    with inline.relaying(words=("--hold-redirect", str(script)), redirects=[inline.redirect().guard]) as process:
        process.terminate()
        process.wait()
    assert list(home.iterdir()) == []


def test_the_owner_of_the_table_is_started_again(inline: World) -> None:
    """The child nft dies: within seconds the redirect is there again."""
    caught = inline.redirect()
    script = inline.folder / "owned.nft"
    script.write_text(rules.nft_owned(caught))
    with inline.relaying(words=("--hold-redirect", str(script)), redirects=[caught.guard]) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[0]), 9)
        eventually(
            lambda: (
                Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split() != children
                and rules.tables(inline.inside("box", "nft", "-j", "list", "tables"))
            )
        )


def test_the_owner_of_the_table_is_started_again_once_that_is_possible(inline: World) -> None:
    """It dies while nothing can be started: the guard goes on trying, and the redirect is there again afterwards."""
    caught = inline.redirect()
    script = inline.folder / "owned.nft"
    script.write_text(rules.nft_owned(caught))
    with inline.relaying(words=("--hold-redirect", str(script)), redirects=[caught.guard]) as process:
        eventually(lambda: inline.ask()["redirect"]["state"] == "installed")
        soft, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (3, hard))
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[0]), 9)
        time.sleep(4)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (soft, hard))
        eventually(lambda: rules.tables(inline.inside("box", "nft", "-j", "list", "tables")), seconds=30)
        eventually(lambda: inline.ask()["redirect"]["state"] == "installed", seconds=30)


@pytest.mark.parametrize("held", [False, True], ids=["loaded", "owned"])
def test_a_firewall_in_the_way_withdraws_the_redirect(inline: World, held: bool) -> None:
    """Hits without accepts for 3 s: the redirect goes, the firewall is named, new connections are forwarded."""
    caught = inline.redirect()
    inline.inside(
        "box", "nft", "-f", "-",
        text=f"table inet wall {{ chain in {{ type filter hook input priority 10; tcp dport {LISTEN} drop; }}; }}\n",
    )  # fmt: skip
    words: tuple[str, ...] = ()
    if held:
        script = inline.folder / "owned.nft"
        script.write_text(rules.nft_owned(caught))
        words = ("--hold-redirect", str(script))
    else:
        inline.inside("box", "nft", "-f", "-", text=rules.nft_install(caught))
    with inline.listen() as target, inline.relaying(words=words, redirects=[caught.guard]):
        eventually(lambda: inline.ask()["redirect"]["hits"] == 0)
        with inline.socket("source") as blocked:
            blocked.setblocking(False)
            blocked.connect_ex((inline.addresses["target"]["ip"], 8000))
            eventually(lambda: inline.ask()["redirect"]["state"] == "withdrawn")
        told = inline.ask()["redirect"]
        with inline.connect():
            server, peer = target.accept()
            server.close()
    assert "firewall" in told["reason"]
    assert "9000" in told["reason"]
    assert peer[0] == inline.addresses["source"]["ip"]


def test_nobody_reaches_the_listening_port_but_by_the_redirect(inline: World) -> None:
    """A listed source that connects to the port itself, and anybody else, is dropped and counted."""
    caught = inline.redirect()
    with inline.relaying():
        inline.inside("box", "nft", "-f", "-", text=rules.nft_install(caught))
        for role in ("source", "target"):
            with inline.socket(role) as scan:
                scan.settimeout(0.5)
                with pytest.raises(TimeoutError):
                    scan.connect((inline.addresses["box"]["ip"], LISTEN))
        assert inline.ask()["accepted"] == 0
        assert rules.parse_counters(inline.inside("box", *rules.nft_list(caught))).fenced >= 2


def test_without_the_fence_the_relay_itself_refuses_a_scan(inline: World) -> None:
    """No rules at all: a connection to the port is reset, whoever makes it."""
    inline.inside("target", "ip", "route", "replace", "10.88.0.0/24", "via", inline.addresses["wan"]["ip"])
    with inline.relaying():
        for role in ("source", "target"):
            with pytest.raises(ConnectionResetError):
                inline.touch(role=role, to="box", port=LISTEN)
        assert inline.ask()["refused"] == {"not redirected": 1, "source": 1}


def test_an_unreachable_target_resets_the_source(inline: World) -> None:
    """The target refuses, then is gone: the source sees resets at once."""
    with inline.relaying(connect_timeout_s=1):
        inline.inside("box", "nft", "-f", "-", text=rules.nft_install(inline.redirect()))
        with pytest.raises(ConnectionResetError):
            inline.touch()
        inline.inside("target", "ip", "link", "set", "wan0", "down")
        began = time.monotonic()
        with pytest.raises(ConnectionResetError):
            inline.touch()
        assert time.monotonic() - began < 5
        refused = inline.ask()["refused"]
    assert refused["upstream refused"] == 1
    assert refused.get("upstream timed out", 0) + refused.get("upstream unreachable", 0) == 1


@pytest.mark.parametrize("first", ["source", "target"])
def test_a_reset_through_the_redirect_stays_a_reset(inline: World, first: str) -> None:
    """An aborted migration never looks like a complete stream."""
    with inline.listen() as target, inline.relaying():
        inline.inside("box", "nft", "-f", "-", text=rules.nft_install(inline.redirect()))
        with inline.connect() as client:
            server, _ = target.accept()
            with server:
                one, other = (client, server) if first == "source" else (server, client)
                one.sendall(b"x")
                assert read_some(other, 1) == b"x"
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                one.close()
                with pytest.raises(ConnectionResetError):
                    other.recv(1)


@pytest.mark.parametrize("family", ["ip", "ip6"])
def test_a_far_relay_carries_the_last_leg(inline: World, family: Family) -> None:
    """Near relay to far relay with the true target in a PROXY header; the far fence answers the near relay only."""
    inline.addresses["far"] = {"ip": "10.99.0.5", "ip6": "fd99::5"}
    inline.names["far"] = inline.names["target"]
    for address, length in (("10.99.0.5", 24), ("fd99::5", 64)):
        run("ip", "-n", inline.names["far"], "address", "add", f"{address}/{length}", "dev", "wan0", "nodad")
    near = inline.addresses["wan"][family]
    inline.inside("far", "nft", "-f", "-", text=rules.nft_fence("lrvmotion_far", LISTEN, (near,), family=family))
    forward = {"address": inline.addresses["far"][family], "port": LISTEN}
    with (
        inline.listen(family=family) as target,
        inline.relaying("far", accept_proxy_from=[near]),
        inline.relaying("box", forward=forward),
    ):
        inline.inside("box", "nft", "-f", "-", text=rules.nft_install(inline.redirect(family)))
        with inline.connect(family) as client:
            server, peer = target.accept()
            with server:
                client.sendall(b"far away" * 100_000)
                client.shutdown(socket.SHUT_WR)
                assert read_all(server) == b"far away" * 100_000
                status = inline.ask("far")
        assert peer[0] != near
        [stream] = status["streams"]
        assert stream["target"].startswith(inline.addresses["target"][family])
        assert stream["source"].startswith(inline.addresses["source"][family])
        with inline.socket("source", family) as scan:
            scan.settimeout(0.5)
            with pytest.raises(TimeoutError):
                scan.connect((inline.addresses["far"][family], LISTEN))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", ["ip", "ip6"])
def test_iptables_does_the_same_where_there_is_no_nft(
    inline: World, family: Family, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redirect, fence, counters, withdrawal and removal by iptables: new connections only, nothing left behind."""
    use(kind, inline.folder, monkeypatch)
    program = "iptables" if family == "ip" else "ip6tables"
    caught = inline.redirect(family)

    def call(words: list[str], *, check: bool = True) -> str:
        return inline.inside("box", *words, check=check)

    before = call(rules.iptables_save(caught))
    with inline.listen(family=family) as target, inline.relaying():
        for _ in range(2):  # twice: nothing doubles
            inline.inside("box", f"{program}-restore", "--noflush", text=rules.iptables_install(caught))
            for probe, add in rules.iptables_jumps(caught):
                if run("ip", "netns", "exec", inline.names["box"], *probe, check=False).returncode:
                    call(add)
        inline.inside("source", "ping", "-c2", "-i0.2", inline.addresses["target"][family])
        with inline.connect(family) as client:
            server, peer = target.accept()
            assert peer[0] == inline.addresses["wan"][family]
            guard = caught.iptables_guard
            assert guard["name"] == "LRVM_test"
            call(rules.iptables_withdraw(caught))
            client.sendall(b"still")
            assert read_some(server, 5) == b"still"
            server.close()
        with inline.connect(family):
            server, peer = target.accept()
            server.close()
            assert peer[0] == inline.addresses["source"][family]
        with inline.socket("source", family) as scan:
            scan.settimeout(0.5)
            with pytest.raises(TimeoutError):
                scan.connect((inline.addresses["box"][family], LISTEN))
        counted = rules.parse_iptables_counters(caught, call(rules.iptables_save(caught)))
        assert counted.echo == 2
        assert counted.fenced >= 1
        for words in rules.iptables_remove(caught):
            call(words)
    after = call(rules.iptables_save(caught))
    assert "LRVM" not in before + after


@pytest.fixture
def public() -> Iterator[World]:
    """An inline world whose folder everybody may use."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        with world(Path(folder), "inline") as made:
            yield made


def test_five_hundred_connections_as_an_unprivileged_user(public: World) -> None:
    """Small pipes and small stacks: 500 at once arrive whole, in at most 40 MiB of resident memory."""
    if shutil.which("setpriv") is None or not Path("/usr/bin/python3").exists():
        pytest.skip("no setpriv or no /usr/bin/python3 here")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2100:
        pytest.skip(f"RLIMIT_NOFILE allows {hard} files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2100), hard))
    streams, size = 500, 100_000
    random_ = random.Random(5)
    blocks = [random_.randbytes(size) for _ in range(streams)]
    try:
        with public.listen() as target, public.relaying(user="nobody") as process:
            public.inside("box", "nft", "-f", "-", text=rules.nft_install(public.redirect()))
            clients = [public.connect() for _ in range(streams)]
            servers = [target.accept()[0] for _ in range(streams)]
            try:
                eventually(lambda: public.ask()["live"] == streams)
                for client, block in zip(clients, blocks, strict=True):
                    client.sendall(block)
                    client.shutdown(socket.SHUT_WR)
                digests = []
                for server in servers:
                    server.settimeout(10)
                    digests.append(hashlib.sha256(read_all(server)).hexdigest())
                memory = Path(f"/proc/{process.pid}/status").read_text()
                for server in servers:
                    server.sendall(b"k")
            finally:
                for connection in clients + servers:
                    connection.close()
            eventually(lambda: public.ask()["live"] == 0)
            status = public.ask()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert sorted(digests) == sorted(hashlib.sha256(block).hexdigest() for block in blocks)
    assert status["peak"] == streams
    assert status["bytes_to_target"] == streams * size
    peak_kib = int(memory.split("VmHWM:")[1].split()[0])
    assert peak_kib <= 40 * 1024, json.dumps({"VmHWM KiB": peak_kib})
