"""The load probe's script as a box runs it: fed to Python on standard input, both ends on loopback."""

from __future__ import annotations

import errno
import json
import socket
import subprocess
import sys
import time

import pytest

from lrvmotion.relay import load_test_runner

SCRIPT = load_test_runner.script()
NEAR, FAR = "127.0.0.2", "127.0.0.3"
TOKEN = "0123456789abcdef"


def free_port() -> int:
    with socket.create_server((FAR, 0)) as server:
        return server.getsockname()[1]


def asked(**changes) -> dict:
    return {
        "address": FAR, "peer": NEAR, "port": free_port(), "token": TOKEN, "streams": 3, "algorithm": "cubic",
        "settle_s": 0.2, "window_s": 0.5, **changes,
    }  # fmt: skip


def start(role: str, given: dict) -> subprocess.Popen:
    words = [sys.executable, "-", role, json.dumps(given)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdin.write(SCRIPT)
    process.stdin.close()
    process.stdin = None
    return process


def ended(process: subprocess.Popen) -> dict:
    with process:
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert err == b""
    return json.loads(out)


def connected(port: int, source: str) -> socket.socket:
    """Return a connection to the receiver, which may not listen yet; it may be reset before it is known to stand."""
    end = time.monotonic() + 30
    while True:
        made = socket.socket()
        made.settimeout(30)
        made.bind((source, 0))
        if made.connect_ex((FAR, port)) != errno.ECONNREFUSED:
            return made
        made.close()
        assert time.monotonic() < end
        time.sleep(0.05)


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except OSError as error:
        return error.errno in {errno.ECONNRESET, errno.ENOTCONN}


def test_bytes_are_counted_where_they_arrive():
    """Each stream's bytes at the receiver; RTT, MSS and what was sent again at the sender."""
    given = asked()
    receiver, sender = start("receive", given), start("send", given)
    sent, received = ended(sender), ended(receiver)
    assert len(received["bytes"]) == 3
    assert min(received["bytes"]) > 0
    assert received["seconds"] >= given["window_s"]
    assert sent["mss"] > 1000
    assert 0 < sent["min_rtt_ms"] <= sent["rtt_ms"] < 500
    assert 0 <= sent["retransmit_ratio"] < 0.5


def test_strangers_are_turned_away_and_the_run_goes_on():
    """Another address, another token, and one that says nothing: none of them becomes a stream."""
    given = asked(streams=1)
    receiver = start("receive", given)
    with connected(given["port"], "127.0.0.9") as elsewhere, connected(given["port"], NEAR) as wrong:
        wrong.sendall(b"x" * len(TOKEN))
        with connected(given["port"], NEAR):  # gone without a word
            pass
        assert is_closed(elsewhere)
        assert is_closed(wrong)
        sender = start("send", given)
        ended(sender)
        assert len(ended(receiver)["bytes"]) == 1


def test_an_algorithm_that_the_kernel_has_not_is_not_loaded():
    """It is named, with the command that would load it."""
    said = ended(start("send", asked(algorithm="vegan")))
    assert said == {"error": "the kernel has no vegan ('modprobe tcp_vegan' on the relay host loads it)"}


@pytest.mark.parametrize("role", ["receive", "send"])
def test_an_end_is_gone_once_nobody_reads_what_it_says(role):
    """The SSH channel is closed: no process stays on the box."""
    with start(role, asked()) as process:
        time.sleep(0.5)
        assert process.poll() is None
        process.stdout.close()
        assert process.wait(5) == 1


def test_a_port_that_somebody_has_is_said():
    """Not a traceback: one line of JSON."""
    given = asked()
    with socket.create_server((FAR, given["port"])):
        assert ended(start("receive", given)) == {"error": "Address already in use"}
