"""What the relay says never matters to what it does: a full disk, a reader that left or hangs, a file that grows."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from wire.test_relayd_command_line import call, start
from wire.test_relayd_streams import RELAYD, Running, eventually, free_port, read_some, running, touch

LOGS = ["full disk", "reader left", "reader hangs"]


@contextmanager
def logged(kind: str, folder: Path, *, drain_s: float = 0) -> Iterator[Running]:
    """A relay that only listed sources may use, whose log is of that *kind* from its start."""
    reader = None
    if kind == "full disk":
        writer = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, writer = os.pipe()
        if kind == "reader left":
            os.close(reader)
        else:
            os.set_blocking(writer, False)
            try:
                while True:
                    os.write(writer, b"x" * 4096)
            except BlockingIOError:
                os.set_blocking(writer, True)
    try:
        with running(folder, log=writer, drain_s=drain_s, targets=["127.0.0.1"]) as relay:
            yield relay
    finally:
        os.close(writer)
        if kind == "reader hangs" and reader is not None:
            os.close(reader)


def refuse_one(relay: Running) -> None:
    """Have the relay refuse a connection, which it logs."""
    with relay.connect(target=("127.0.0.9", 9)) as client, pytest.raises(ConnectionResetError):
        client.recv(1)


@pytest.mark.parametrize("kind", LOGS)
def test_a_relay_accepts_whatever_becomes_of_its_log(tmp_path: Path, kind: str) -> None:
    """Connections are refused, and logged, before another one is carried and a cap is taken."""
    with logged(kind, tmp_path) as relay:
        for _ in range(3):
            refuse_one(relay)
        client, server = relay.pair()
        with client, server:
            client.sendall(b"heard")
            assert read_some(server, 5) == b"heard"
        done = call("--limit", str(relay.control), "50000000")
        assert (done.returncode, json.loads(done.stdout)["limit_bps"]) == (0, 50_000_000)


@pytest.mark.parametrize("kind", LOGS)
def test_a_drain_is_a_drain_whatever_becomes_of_the_log(tmp_path: Path, kind: str) -> None:
    """SIGTERM lets a live stream go on to its end, and the relay ends with status 0."""
    with logged(kind, tmp_path, drain_s=60) as relay:
        client, server = relay.pair()
        with client, server:
            relay.process.terminate()
            eventually(lambda: relay.ask(op="status")["draining"])
            client.sendall(b"to the end")
            assert read_some(server, 10) == b"to the end"
        assert relay.process.wait(20) == 0


@pytest.mark.parametrize("kind", ["full disk", "reader left"])
def test_the_last_counters_do_not_spoil_the_exit_status(tmp_path: Path, kind: str) -> None:
    """Status 0 also where standard output cannot be written: a supervisor would start the relay again."""
    config = {
        "schema": 1, "listen": [["127.0.0.1", free_port()]], "port": 9, "sources": ["127.0.0.1"],
        "targets": ["127.0.0.1"], "control": str(tmp_path / "c.sock"), "wan_congestion_control": "reno", "drain_s": 0,
    }  # fmt: skip
    path = tmp_path / "relay.json"
    path.write_text(json.dumps(config))
    if kind == "full disk":
        writer = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, writer = os.pipe()
        os.close(reader)
    try:
        command = [sys.executable, str(RELAYD), "--config", str(path)]
        with subprocess.Popen(command, stdout=writer, stderr=writer) as process:
            eventually((tmp_path / "c.sock").exists)
            eventually(lambda: call("--status", str(tmp_path / "c.sock")).returncode == 0)
            process.terminate()
            assert process.wait(20) == 0
    finally:
        os.close(writer)


def test_a_start_that_fails_keeps_its_status_without_a_log(tmp_path: Path) -> None:
    """Status 2 for a bad configuration, not 1, which would be started again for ever."""
    path = tmp_path / "relay.json"
    path.write_text("{}")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, str(RELAYD), "--config", str(path)], stderr=full, check=False)
    assert done.returncode == 2
    assert start(tmp_path, port=0).returncode == 2


def test_a_log_file_is_bounded_and_keeps_its_last_lines(tmp_path: Path) -> None:
    """A file that grew beyond a mebibyte begins again with the lines before; a line is never lost between."""
    path = tmp_path / "relay.log"
    path.write_bytes(b"an old line\n" * 100_000)
    writer = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        with running(tmp_path, log=writer, accept_proxy_from=[]) as relay:
            with pytest.raises(ConnectionResetError):
                touch(relay.port)
            eventually(lambda: "refused" in path.read_text(errors="replace"))
            eventually(lambda: path.stat().st_size < 100_000)
            assert "listening" in path.read_text()
            assert "old" not in path.read_text()
    finally:
        os.close(writer)


def test_a_pipe_that_is_no_file_is_left_alone(tmp_path: Path) -> None:
    """Only a regular file that is appended to is begun again: another one would keep its offset."""
    path = tmp_path / "relay.log"
    path.write_bytes(b"an old line\n" * 100_000)
    with path.open("r+b") as writer:
        writer.seek(0, os.SEEK_END)
        with running(tmp_path, log=writer.fileno()):
            eventually(lambda: b"listening" in path.read_bytes())
    assert path.stat().st_size > 1_000_000


def test_what_is_logged_is_limited(tmp_path: Path) -> None:
    """A scan of 100 connections within a moment leaves some lines, and one that counts the others."""
    path = tmp_path / "relay.log"
    writer = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        with running(tmp_path, log=writer, accept_proxy_from=[]) as relay:
            clients = [socket.create_connection(("127.0.0.1", relay.port)) for _ in range(200)]
            for client in clients:
                client.close()
            eventually(lambda: relay.ask(op="status")["accepted"] == 200)

            def counted() -> bool:
                with pytest.raises(ConnectionResetError):
                    touch(relay.port)
                return "more lines not logged" in path.read_text()

            eventually(counted)
    finally:
        os.close(writer)
