"""The control socket under hostile or slow clients: each is refused or let go of, and the relay lives."""

from __future__ import annotations

import json
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wire.test_relayd_command_line import call
from wire.test_relayd_streams import Running, eventually, read_some, running


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("relay")) as found:
        yield found


def say(relay: Running, line: bytes) -> bytes:
    """Send *line* as it is; return what is answered, b"" for nothing."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(relay.control))
        try:
            client.sendall(line)
            client.shutdown(socket.SHUT_WR)
            with client.makefile("rb") as lines:
                return lines.readline()
        except (BrokenPipeError, ConnectionResetError):
            return b""


HOSTILE = {
    "deep list": b"[" * 4000 + b"\n",
    "deep object": b'{"op":' * 680 + b"\n",
    "deep in the right shape": b'{"op": "limit", "bps": ' + b"[" * 4000 + b"\n",
    "balanced": b'{"op": ' + b"[" * 2000 + b"]" * 2000 + b"}\n",
    "not UTF-8": b'{"op": "\xff\xfe"}\n',
    "surrogate": b'{"op": "\\ud800"}\n',
    "zeros": bytes(4000) + b"\n",
    "a long number": b'{"op": "limit", "bps": ' + b"9" * 4000 + b"}\n",
    "not a number": b'{"op": "limit", "bps": NaN}\n',
    "infinity": b'{"op": "limit", "bps": 1e999}\n',
    "too long": b'{"op": "status", "x": "' + b"x" * 100_000 + b'"}\n',
    "list": b"[]\n",
    "nothing": b"\n",
}


@pytest.mark.parametrize("line", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_line_is_refused_and_streams_go_on(relay: Running, line: bytes) -> None:
    """An error in one line, or none for what cannot be answered; a live stream does not notice."""
    client, server = relay.pair()
    with client, server:
        answer = say(relay, line)
        assert answer == b"" or "error" in json.loads(answer)
        client.sendall(b"alive")
        assert read_some(server, 5) == b"alive"
    assert relay.ask(op="status")["limit_bps"] is None
    assert relay.process.poll() is None


nested = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["op", "bps", "x"]), inner, max_size=3),
    max_leaves=20,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=200), nested.map(lambda value: json.dumps(value).encode())))
def test_whatever_is_said_the_relay_lives(relay: Running, line: bytes) -> None:
    """Any bytes, and any JSON that is no request."""
    answer = say(relay, line + b"\n")
    assert answer == b"" or "error" in json.loads(answer)


def test_slow_clients_do_not_keep_others_waiting(relay: Running) -> None:
    """Ten that drip a byte now and then, and never end their line: a cap is taken meanwhile."""
    with ExitStack() as stack:
        drips = []
        for _ in range(10):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(str(relay.control))
            client.sendall(b"{")
            drips.append(client)
        done = call("--limit", str(relay.control), "80000000")
        assert done.returncode == 0, done.stderr
        assert call("--limit", str(relay.control), "off").returncode == 0


def test_a_request_has_one_deadline(relay: Running) -> None:
    """A client that drips bytes is let go of before it has sent its line, however short its pauses are."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(relay.control))

        def is_gone() -> bool:
            try:
                client.sendall(b" ")
            except (BrokenPipeError, ConnectionResetError):
                return True
            return False

        eventually(is_gone)


def test_a_client_that_reads_nothing_is_let_go_of(relay: Running) -> None:
    """Its answer does not fit into the socket: the next one is answered all the same."""
    with ExitStack() as stack:
        for _ in range(8):
            discard_stdout = stack.enter_context(socket.socket(socket.AF_UNIX))
            discard_stdout.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            discard_stdout.connect(str(relay.control))
            discard_stdout.sendall(b'{"op": "status"}\n')
        assert relay.ask(op="status")["schema"] == 1


def test_a_client_that_leaves_at_once_is_no_matter(relay: Running, tmp_path: Path) -> None:
    """Connected and gone, a hundred times."""
    for _ in range(100):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(relay.control))
    assert relay.ask(op="status")["schema"] == 1


def test_it_answers_and_carries_again_once_it_has_descriptors(tmp_path: Path) -> None:
    """None is left for a while: what comes meanwhile waits, or is reset, and nothing is deaf afterwards."""
    with running(tmp_path) as own, ExitStack() as stack:
        soft, hard = resource.prlimit(own.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(own.process.pid, resource.RLIMIT_NOFILE, (3, hard))
        for _ in range(3):
            asking = stack.enter_context(socket.socket(socket.AF_UNIX))
            asking.connect(str(own.control))
            asking.sendall(b'{"op": "status"}\n')
            stack.enter_context(socket.create_connection(("127.0.0.1", own.port), timeout=10))
        time.sleep(1)
        assert own.process.poll() is None
        resource.prlimit(own.process.pid, resource.RLIMIT_NOFILE, (soft, hard))
        assert own.ask(op="status")["schema"] == 1
        client, server = own.pair()
        with client, server:
            client.sendall(b"again")
            assert read_some(server, 5) == b"again"
