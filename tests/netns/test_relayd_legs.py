"""What congestion control the leg to the target has, and how both legs end when the relay dies."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lrvmotion.relay import relayd
from lrvmotion.relay.redirect import render as rules
from netns.relayd_world import MIB, World, eventually, requires_netns, world

pytestmark = requires_netns


@pytest.fixture
def inline(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, "inline") as made:
        made.inside("box", "nft", "-f", "-", text=rules.nft_install(made.redirect()))
        yield made


@contextmanager
def flowing(place: World) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A stream through the relay that never pauses; yields both ends."""
    stop = threading.Event()

    def write(client: socket.socket) -> None:
        while not stop.is_set():
            client.sendall(bytes(MIB))

    def read(server: socket.socket) -> None:
        while server.recv(MIB):
            pass

    with place.listen() as target, place.connect() as client:
        server, _ = target.accept()
        with server:
            threads = [threading.Thread(target=read, args=(server,)), threading.Thread(target=write, args=(client,))]
            for thread in threads:
                thread.start()
            try:
                yield client, server
            finally:
                stop.set()
                threads[1].join()
                client.shutdown(socket.SHUT_WR)
                threads[0].join()


def congestion_control(place: World) -> str:
    return str(place.ask()["streams"][0]["congestion_control"])


def test_a_short_leg_is_not_paced_until_it_loses_packets(inline: World) -> None:
    """Under a millisecond and clean: cubic. Then one packet in a hundred is lost: BBR, and it stays."""
    with inline.relaying(), flowing(inline):
        eventually(lambda: inline.ask()["streams"][0]["bytes_to_target"] > 500 * MIB)
        assert congestion_control(inline) == "cubic"
        inline.inside(
            "target", "nft", "-f", "-",
            text="table ip bad { chain in { type filter hook input priority 0; numgen random mod 100 == 0 drop; }; }\n",
        )  # fmt: skip
        eventually(lambda: congestion_control(inline) == "bbr")
        inline.inside("target", "nft", "delete", "table", "ip", "bad")
        carried = inline.ask()["streams"][0]["bytes_to_target"]
        eventually(lambda: inline.ask()["streams"][0]["bytes_to_target"] > carried + 100 * MIB)
        assert congestion_control(inline) == "bbr"


@pytest.mark.skipif(shutil.which("tc") is None, reason="missing here: tc")
def test_a_long_leg_has_bbr_from_its_first_byte(inline: World) -> None:
    """The handshake tells: here it waits behind pings on a slow link."""
    slow = ("tbf", "rate", "1mbit", "burst", "1600", "limit", "1mb")
    inline.inside("box", "tc", "qdisc", "add", "dev", "wan0", "root", *slow)
    with inline.relaying(), inline.listen() as target:
        pings = ["ping", "-q", "-c50", "-i0.002", "-W1", "-s1400", inline.addresses["target"]["ip"]]
        queue = subprocess.Popen(["ip", "netns", "exec", inline.names["box"], *pings], stdout=subprocess.DEVNULL)
        try:
            eventually(lambda: "backlog 0b" not in inline.inside("box", "tc", "-s", "qdisc", "show", "dev", "wan0"))
            with inline.connect() as client:
                server, _ = target.accept()
                with server:
                    client.sendall(b"first")
                    assert server.recv(5) == b"first"
                    assert congestion_control(inline) == "bbr"
        finally:
            queue.wait(30)


def test_a_relay_that_is_killed_resets_both_ends(inline: World) -> None:
    """kill -9: neither end sees an end of file, which would make half a migration look like a whole one."""
    with inline.listen() as target, inline.relaying() as process, inline.connect() as client:
        server, _ = target.accept()
        with server:
            client.sendall(b"half")
            assert server.recv(4) == b"half"
            process.kill()
            process.wait()
            for end in (server, client):
                with pytest.raises(ConnectionResetError):
                    end.recv(1)


def test_what_bbr_does_now_is_read_from_the_kernel(inline: World) -> None:
    """BBR says by what it multiplies its estimate, never above 2.89; another congestion control says nothing."""
    with inline.relaying(), inline.listen() as target, inline.connect() as client:
        server, _ = target.accept()
        with server:
            assert relayd.choose(client, "reno") == "reno"
            assert relayd.bbr_gain(client) is None
            assert relayd.choose(client, "bbr") == "bbr"
            client.sendall(bytes(MIB))
            gain = relayd.bbr_gain(client)
            assert gain is not None
            assert 0 <= gain < 3
