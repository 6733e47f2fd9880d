"""Peers that say nothing: one that has vanished is given up and named, one that is only slow is waited for."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lrvmotion.relay.redirect import render as rules
from netns.relayd_world import MIB, World, eventually, read_all, read_some, requires_netns, world

pytestmark = requires_netns


@pytest.fixture
def inline(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, "inline") as made:
        made.inside("box", "nft", "-f", "-", text=rules.nft_install(made.redirect()))
        yield made


@contextmanager
def pair(place: World) -> Iterator[tuple[socket.socket, socket.socket]]:
    with place.listen() as target, place.connect() as client:
        server, _ = target.accept()
        with server:
            server.settimeout(10)
            yield client, server


def vanish(place: World, role: str) -> None:
    """Have nothing arrive there any more, so that not even an ICMP comes back."""
    device = "lan0" if role == "source" else "wan0"
    chain = f"type filter hook ingress device {device} priority 0; drop;"
    place.inside(role, "nft", "-f", "-", text=f"table netdev gone {{ chain in {{ {chain} }}; }}\n")


@pytest.mark.parametrize("role", ["target", "source"])
def test_a_peer_that_vanished_with_data_in_flight_is_given_up(inline: World, role: str) -> None:
    """Nothing is acknowledged for answer_timeout_s: the other end is reset, and told is who was silent."""
    with inline.relaying(answer_timeout_s=6), pair(inline) as (client, server):
        other, gone = (client, server) if role == "target" else (server, client)
        other.sendall(b"x" * 1000)
        assert read_some(gone, 1000) == b"x" * 1000
        vanish(inline, role)
        other.sendall(b"y" * 100_000)
        eventually(lambda: inline.ask()["live"] == 0, seconds=60)
        other.settimeout(10)
        with pytest.raises(ConnectionResetError):
            other.recv(1)
        assert f"the {role} has not answered for" in inline.ask()["finished"][-1]["ended"]


def test_a_dead_target_is_not_called_the_circuit(inline: World) -> None:
    """The sentence names the target as what does not answer; what a circuit carries is another matter."""
    with inline.relaying(), pair(inline) as (client, server):
        client.sendall(b"x" * 1000)
        assert read_some(server, 1000) == b"x" * 1000
        vanish(inline, "target")
        client.sendall(b"y" * 100_000)
        eventually(lambda: inline.ask()["verdicts"] == {"no answer": 1}, seconds=60)
        sentence = inline.ask()["sentence"]
        assert sentence == "the target host answers nothing on the stream: it, or the way there, is down"


def test_a_closed_window_is_waited_for(inline: World) -> None:
    """The target reads nothing for three times answer_timeout_s, but is alive: then it gets every byte."""
    with inline.relaying(answer_timeout_s=4), pair(inline) as (client, server):
        sent = 0
        client.settimeout(1.0)
        try:
            while True:
                sent += client.send(bytes(65536))
        except TimeoutError:
            pass
        eventually(lambda: inline.ask()["verdicts"] == {"receive window": 1})
        time.sleep(12)
        assert inline.ask()["live"] == 1
        client.shutdown(socket.SHUT_WR)
        assert len(read_all(server)) == sent


def test_a_target_that_vanished_behind_a_closed_window_is_given_up(inline: World) -> None:
    """It read nothing, and then does not even answer the probes of its window."""
    with inline.relaying(answer_timeout_s=4), pair(inline) as (client, _):
        client.settimeout(1.0)
        try:
            while True:
                client.send(bytes(65536))
        except TimeoutError:
            pass
        vanish(inline, "target")
        eventually(lambda: inline.ask()["live"] == 0, seconds=90)
        assert "the target has not answered for" in inline.ask()["finished"][-1]["ended"]


def test_a_half_closed_stream_that_is_silent_stays(inline: World) -> None:
    """The source has said its last and waits; the target thinks for three times answer_timeout_s, and answers."""
    with inline.relaying(answer_timeout_s=3), pair(inline) as (client, server):
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        assert read_all(server) == b"question"
        time.sleep(9)
        server.sendall(b"answer")
        server.close()
        assert read_all(client) == b"answer"


def test_a_stream_goes_on_after_a_short_outage(inline: World) -> None:
    """Nothing crosses for a while shorter than answer_timeout_s: the stream is whole afterwards."""
    data = bytes(range(256)) * 4096
    with inline.relaying(answer_timeout_s=60), pair(inline) as (client, server):
        client.sendall(b"x")
        assert read_some(server, 1) == b"x"
        vanish(inline, "target")
        writer = threading.Thread(target=lambda: (client.sendall(data), client.shutdown(socket.SHUT_WR)))
        writer.start()
        eventually(lambda: inline.ask()["verdicts"] == {"no answer": 1}, seconds=60)
        inline.inside("target", "nft", "delete", "table", "netdev", "gone")
        server.settimeout(60)
        assert read_all(server) == data
        writer.join()
    assert len(data) == MIB
