"""Ends that are not the usual ones: urgent data, headers that never come, a target that does not answer the dial."""

from __future__ import annotations

import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lrvmotion.relay import relayd
from wire.test_relayd_streams import RESET, Running, eventually, read_all, read_some, running


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("relay")) as found:
        yield found


@pytest.mark.parametrize("side", ["source", "target"])
@pytest.mark.parametrize("after", ["more", "end", "nothing"])
def test_urgent_data_is_a_reset_and_never_an_end(relay: Running, side: str, after: str) -> None:
    """splice(2) stops at an urgent byte as at an end of file: both ends see a reset, which the relay names."""
    before = relay.ask(op="status")["reset"]
    client, server = relay.pair()
    with client, server:
        one, other = (client, server) if side == "source" else (server, client)
        one.sendall(b"x" * 1000)
        assert read_some(other, 1000) == b"x" * 1000
        one.send(b"!", socket.MSG_OOB)
        try:
            if after == "more":
                one.sendall(b"y" * 10_000)
            elif after == "end":
                one.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the reset was here first
        with pytest.raises(ConnectionResetError):
            read_all(other)
        with pytest.raises(ConnectionResetError):
            read_all(one)
    eventually(lambda: relay.ask(op="status")["live"] == 0)
    status = relay.ask(op="status")
    assert status["reset"] == before + 1
    assert "urgent data" in status["finished"][-1]["ended"]
    assert side in status["finished"][-1]["ended"]


def test_several_urgent_bytes_are_a_reset_too(relay: Running) -> None:
    """A second one moves the first into the stream; the last one is found."""
    client, server = relay.pair()
    with client, server:

        def is_refused() -> bool:
            try:
                client.send(b"a" * 100)
                client.send(b"!", socket.MSG_OOB)
            except (ConnectionResetError, BrokenPipeError):
                return True
            return False

        eventually(is_refused)
        with pytest.raises(ConnectionResetError):
            read_all(server)


def begin_header(relay: Running) -> socket.socket:
    """Begin a PROXY header that is to go on for 2,048 bytes."""
    client = socket.create_connection(("127.0.0.1", relay.port), timeout=10)
    client.sendall(relayd.PROXY_SIGNATURE + struct.pack(">BBH", 0x21, 0x11, 2048))
    return client


def is_reset(client: socket.socket) -> bool:
    """Send one byte more, unless the connection was reset."""
    try:
        client.send(b"\0")
    except (ConnectionResetError, BrokenPipeError):
        return True
    time.sleep(0.1)
    return False


def test_a_proxy_header_has_one_deadline(tmp_path: Path) -> None:
    """A header that drips is refused after connect_timeout_s, however short its pauses are."""
    with running(tmp_path, connect_timeout_s=1) as relay, begin_header(relay) as client:
        eventually(lambda: is_reset(client), seconds=60)
        assert relay.ask(op="status")["refused"] == {"proxy header": 1}


def test_a_stop_ends_a_header_that_is_not_whole(tmp_path: Path) -> None:
    """SIGTERM ends a relay after drain_s though a near relay's header would have a day to come."""
    with running(tmp_path, connect_timeout_s=86400, drain_s=0.5) as relay, begin_header(relay) as client:
        eventually(lambda: relay.ask(op="status")["accepted"] == 1)
        relay.process.terminate()
        eventually(lambda: is_reset(client), seconds=60)
        assert relay.process.wait(20) == 0


@pytest.fixture
def full() -> Iterator[socket.socket]:
    """A listener on loopback whose backlog is full: a SYN to it is not answered."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.2", 0))
        listener.listen(0)
        waiting = []
        for _ in range(3):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
            waiting.append(client)
        eventually(lambda: "SYN-SENT" in subprocess.run(
            ["ss", "-Htan", "dst", "127.0.0.2"], capture_output=True, text=True, check=True).stdout)  # fmt: skip
        yield listener
        for client in waiting:
            client.close()


def test_a_stop_ends_a_dial_that_is_not_answered(tmp_path: Path, full: socket.socket) -> None:
    """SIGTERM ends a relay after drain_s though the target's SYN-ACK would have a day to come; the source is reset."""
    port = full.getsockname()[1]
    with (
        running(tmp_path, connect_timeout_s=86400, drain_s=0.5, port=port) as relay,
        relay.connect(target=("127.0.0.2", port)) as client,
    ):
        eventually(lambda: relay.ask(op="status")["accepted"] == 1)
        relay.process.terminate()
        assert relay.process.wait(20) == 0
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_a_dial_that_is_not_answered_times_out(tmp_path: Path, full: socket.socket) -> None:
    """After connect_timeout_s the source is reset, and the reason counted."""
    port = full.getsockname()[1]
    with (
        running(tmp_path, connect_timeout_s=0.5, port=port) as relay,
        relay.connect(target=("127.0.0.2", port)) as client,
    ):
        client.settimeout(30)
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        assert relay.ask(op="status")["refused"] == {"upstream timed out": 1}


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_reset_in_a_drain_arrives_as_one_and_ends_it(tmp_path: Path, side: str) -> None:
    """One end aborts while the relay drains: the other sees a reset, and the relay ends with its last stream."""
    with running(tmp_path, drain_s=60) as relay:
        client, server = relay.pair()
        with client, server:
            relay.process.terminate()
            eventually(lambda: relay.ask(op="status")["draining"])
            one, other = (client, server) if side == "source" else (server, client)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            one.close()
            with pytest.raises(ConnectionResetError):
                read_all(other)
            assert relay.process.wait(20) == 0
