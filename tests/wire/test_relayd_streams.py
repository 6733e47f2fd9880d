"""The relay over loopback, as a far relay: bytes whole, half-closes kept, resets stay resets, nothing unlisted."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lrvmotion.relay import relayd

RELAYD = Path(relayd.__file__)
MIB = 1024 * 1024
RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A relay in a process of its own, in front of a target on loopback."""

    process: subprocess.Popen[str]
    port: int
    target: socket.socket
    control: Path

    def ask(self, **request: Any) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(str(self.control))
            client.sendall(json.dumps(request).encode() + b"\n")
            with client.makefile() as lines:
                return dict(json.loads(lines.readline()))

    def connect(self, *, source: str = "127.0.0.1", target: tuple[str, int] | None = None) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        client.sendall(relayd.proxy_header((source, 5000), target or self.target.getsockname()))
        return client

    def pair(self) -> tuple[socket.socket, socket.socket]:
        """Return both ends of one relayed stream."""
        client = self.connect()
        server, _ = self.target.accept()
        server.settimeout(10)
        return client, server


def eventually(is_true: Callable[[], object], *, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end, "did not come true"
        time.sleep(0.02)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def running(
    folder: Path,
    *words: str,
    python: str = sys.executable,
    target_buffer: int = 0,
    environment: dict[str, str] | None = None,
    log: int | None = None,
    session: bool = False,
    **changes: Any,
) -> Iterator[Running]:
    """Run relayd until the block ends; *log*: a descriptor for what it says, which is then not waited for.

    *session*: in one of its own.
    """
    with ExitStack() as stack:
        target = stack.enter_context(socket.socket())
        if target_buffer:
            target.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, target_buffer)
        target.bind(("127.0.0.1", 0))
        target.listen(600)
        target.settimeout(10)
        port = free_port()
        config = folder / f"relay-{port}.json"
        control = Path(changes.get("control", folder / f"relay-{port}.sock"))
        document = {
            "schema": 1,
            "listen": [["127.0.0.1", port]],
            "port": target.getsockname()[1],
            "sources": ["127.0.0.1"],
            "targets": ["127.0.0.0/30"],
            "control": str(control),
            "wan_congestion_control": "reno",
            "accept_proxy_from": ["127.0.0.1"],
            "drain_s": 0,
            **changes,
        }
        config.write_text(json.dumps(document))
        process = stack.enter_context(
            subprocess.Popen(
                [python, str(RELAYD), "--config", str(config), *words],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE if log is None else log,
                text=True,
                start_new_session=session,
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **(environment or {})},
            )
        )
        stack.callback(process.kill)
        if process.stderr is not None:
            for line in process.stderr:
                if "listening" in line:
                    break
            threading.Thread(target=process.stderr.read, daemon=True).start()
        eventually(control.exists)
        yield Running(process=process, port=port, target=target, control=control)
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("relay")) as found:
        yield found


def touch(port: int) -> None:
    """Connect and read: a reset may come at either."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.recv(1)


def read_all(connection: socket.socket) -> bytes:
    data = bytearray()
    while more := connection.recv(MIB):
        data += more
    return bytes(data)


def fill(connection: socket.socket) -> int:
    """Send until nothing more is taken for a second; return the bytes that were."""
    connection.settimeout(1.0)
    taken = 0
    while True:
        try:
            taken += connection.send(bytes(65536))
        except TimeoutError:
            return taken


def read_some(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        assert more, "ended early"
        data += more
    return data


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(min_size=1, max_size=70_000), max_size=8), st.lists(st.binary(min_size=1, max_size=3000)))
def test_any_split_of_bytes_arrives_whole_in_both_directions(
    relay: Running, forth: list[bytes], back: list[bytes]
) -> None:
    """However the two sides cut what they write, the other side reads the same bytes, then the end."""
    client, server = relay.pair()
    with client, server:

        def answer() -> None:
            for part in back:
                server.sendall(part)
            server.shutdown(socket.SHUT_WR)

        writer = threading.Thread(target=answer)
        writer.start()
        for part in forth:
            client.sendall(part)
        client.shutdown(socket.SHUT_WR)
        assert read_all(server) == b"".join(forth)
        assert read_all(client) == b"".join(back)
        writer.join()


def test_what_follows_a_fast_transfer_waits_for_nothing_more(relay: Running) -> None:
    """After data fast enough that the pump waits for a portion, single bytes still cross and are answered."""
    client, server = relay.pair()
    with client, server:
        client.settimeout(10)
        done = threading.Event()

        def write() -> None:
            while not done.is_set():
                client.sendall(bytes(MIB))

        def read() -> None:
            while not server.recv(MIB).endswith(b"!"):
                pass

        writer = threading.Thread(target=write)
        reader = threading.Thread(target=read)
        writer.start()
        reader.start()
        try:
            fast = relayd.GATHER_LEAST / relayd.GATHER_S * 8
            eventually(lambda: any(stream["rate_bps"] > 2 * fast for stream in relay.ask(op="status")["streams"]))
        finally:
            done.set()
            writer.join()
            client.sendall(b"!")
            reader.join()
        for number in range(20):
            client.sendall(bytes([number]))
            assert server.recv(1) == bytes([number])
            server.sendall(bytes([number]))
            assert client.recv(1) == bytes([number])


@pytest.mark.parametrize("words", [(), ("--ctypes",)], ids=["os.splice", "ctypes"])
def test_a_long_stream_keeps_its_hash(tmp_path: Path, words: tuple[str, ...]) -> None:
    """48 MiB in pieces of random size have the same SHA-256 on the other side, by either way to splice."""
    rng = random.Random(7)
    block = rng.randbytes(MIB)
    with running(tmp_path, *words) as relay:
        client, server = relay.pair()
        with client, server:
            sent = hashlib.sha256()

            def write() -> None:
                for _ in range(96):
                    part = block[: rng.randrange(1, MIB)]
                    sent.update(part)
                    client.sendall(part)
                client.shutdown(socket.SHUT_WR)

            writer = threading.Thread(target=write)
            writer.start()
            got = hashlib.sha256()
            while more := server.recv(MIB):
                got.update(more)
            writer.join()
            assert got.digest() == sent.digest()
            server.sendall(got.digest())
            server.close()
            assert read_all(client) == sent.digest()


@pytest.mark.skipif(shutil.which("python3.9") is None, reason="no python3.9 here")
def test_the_oldest_python_carries_bytes(tmp_path: Path) -> None:
    """Python 3.9, which has no os.splice, relays as well."""
    version = subprocess.run(["python3.9", "-V"], capture_output=True, text=True, check=False)
    environment = os.environ.get("PYENV_VERSION")
    python = "python3.9"
    if version.returncode:  # a version manager's shim that wants to be told
        root = Path.home() / ".pyenv/versions"
        found = sorted(root.glob("3.9.*/bin/python3.9")) or sorted(Path("/opt").glob("*/versions/3.9.*/bin/python3.9"))
        if not found:
            pytest.skip(f"python3.9 does not run ({version.stderr.strip()}, PYENV_VERSION={environment})")
        python = str(found[-1])
    with running(tmp_path, python=python) as relay:
        client, server = relay.pair()
        with client, server:
            client.sendall(b"forth" * 100_000)
            client.shutdown(socket.SHUT_WR)
            assert read_all(server) == b"forth" * 100_000
            server.sendall(b"back")
            server.close()
            assert read_all(client) == b"back"
        assert relay.ask(op="status")["accepted"] == 1


@pytest.mark.parametrize("first", ["source", "target"])
def test_a_half_close_leaves_the_other_direction_open(relay: Running, first: str) -> None:
    """Whoever ends first, the other side goes on for 2,000,000 bytes and more than a socket time-out."""
    client, server = relay.pair()
    with client, server:
        one, other = (client, server) if first == "source" else (server, client)
        one.sendall(b"last words")
        one.shutdown(socket.SHUT_WR)
        assert read_all(other) == b"last words"
        time.sleep(0.5)
        sender = threading.Thread(target=lambda: (other.sendall(b"x" * 2_000_000), other.shutdown(socket.SHUT_WR)))
        sender.start()
        assert len(read_all(one)) == 2_000_000
        sender.join()


@pytest.mark.parametrize("first", ["source", "target"])
@pytest.mark.parametrize("state", ["idle", "half-closed by the other", "stalled"])
def test_a_reset_from_either_side_arrives_as_a_reset(relay: Running, first: str, state: str) -> None:
    """An aborted stream never looks complete: no end of file, but a reset, whatever the stream was doing."""
    client, server = relay.pair()
    with client, server:
        one, other = (client, server) if first == "source" else (server, client)
        one.sendall(b"begin")
        assert read_some(other, 5) == b"begin"
        if state == "half-closed by the other":
            other.shutdown(socket.SHUT_WR)
            assert read_all(one) == b""
        if state == "stalled":
            fill(one)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        one.close()
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            read_all(other)


def test_a_refused_target_resets_the_source_at_once(relay: Running) -> None:
    """Nobody listens at the target: the source sees a reset, not a silent connection."""
    before = relay.ask(op="status")["refused"].get("upstream refused", 0)
    port = relay.target.getsockname()[1]
    with relay.connect(target=("127.0.0.3", port)) as client, pytest.raises(ConnectionResetError):
        client.recv(1)
    assert relay.ask(op="status")["refused"]["upstream refused"] == before + 1


def test_an_unreachable_target_resets_the_source_at_once(tmp_path: Path) -> None:
    """No route to the target: the source sees a reset within the connect time-out."""
    began = time.monotonic()
    with (
        running(tmp_path, targets=["255.255.255.255/32"], connect_timeout_s=2) as relay,
        relay.connect(target=("255.255.255.255", relay.target.getsockname()[1])) as client,
        pytest.raises(ConnectionResetError),
    ):
        client.recv(1)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("reason", "source", "target"),
    [
        ("target", "127.0.0.1", ("127.0.0.9", None)),
        ("target", "127.0.0.1", ("127.0.0.1", 22)),
        ("source", "192.0.2.1", ("127.0.0.1", None)),
    ],
    ids=["target not listed", "port not listed", "source not listed"],
)
def test_what_is_not_listed_is_refused(
    relay: Running, reason: str, source: str, target: tuple[str, int | None]
) -> None:
    """Even from the near relay: an unlisted target, port or source gets a reset and is counted."""
    before = relay.ask(op="status")["refused"].get(reason, 0)
    goal = (target[0], target[1] or relay.target.getsockname()[1])
    with relay.connect(source=source, target=goal) as client, pytest.raises(ConnectionResetError):
        client.recv(1)
    assert relay.ask(op="status")["refused"][reason] == before + 1


@pytest.mark.parametrize(
    "garbage", [b"GET / HTTP/1.1\r\n\r\n", b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n", b"\r\n\r\n\0"]
)
def test_a_near_relay_without_its_header_is_refused(relay: Running, garbage: bytes) -> None:
    """What does not begin with a whole PROXY v2 header is reset."""
    with socket.create_connection(("127.0.0.1", relay.port), timeout=10) as client:
        client.sendall(garbage)
        with suppress(OSError):  # the reset may be here before
            client.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionResetError):
            client.recv(1)


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        ("not redirected", {"accept_proxy_from": []}),
        ("source", {"accept_proxy_from": [], "sources": ["192.0.2.0/24"]}),
    ],
)
def test_what_was_not_redirected_is_refused(tmp_path: Path, reason: str, changes: dict[str, Any]) -> None:
    """A connection to the relay's own port is reset: it is never an open proxy."""
    with running(tmp_path, **changes) as relay:
        with pytest.raises(ConnectionResetError):
            touch(relay.port)
        assert relay.ask(op="status")["refused"] == {reason: 1}


def test_a_stalled_reader_holds_no_more_than_the_bound(tmp_path: Path) -> None:
    """What the relay takes for a target that reads nothing stays within stream_buffer_bytes; others go on."""
    bound = 4 * MIB
    small = 64 * 1024
    with running(tmp_path, stream_buffer_bytes=bound, target_buffer=small) as relay:
        client, server = relay.pair()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, small)
        with client, server:
            taken = fill(client)
            assert MIB < taken <= bound + 4 * small  # the ends' own buffers, doubled by the kernel
            other, far = relay.pair()
            with other, far:
                other.sendall(bytes(3 * small))
                assert read_some(far, 3 * small) == bytes(3 * small)


def test_a_thousand_short_connections_all_arrive(relay: Running) -> None:
    """1,000 connections, eight at a time, each answered with its own bytes; afterwards nothing is open."""
    relay_before = relay.ask(op="status")

    def serve() -> None:
        for _ in range(1000):
            server, _ = relay.target.accept()
            with server:
                server.settimeout(10)
                server.sendall(read_all(server)[::-1])

    def talk(first: int) -> None:
        for number in range(first, 1000, 8):
            with relay.connect() as client:
                client.sendall(b"message %d" % number)
                client.shutdown(socket.SHUT_WR)
                answers[number] = read_all(client)

    answers: dict[int, bytes] = {}
    threads = [threading.Thread(target=talk, args=(first,)) for first in range(8)]
    threads.append(threading.Thread(target=serve))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: (b"message %d" % number)[::-1] for number in range(1000)}
    eventually(lambda: relay.ask(op="status")["live"] == 0)
    after = relay.ask(op="status")
    assert after["accepted"] - relay_before["accepted"] == 1000
    assert len(after["finished"]) == 200


def test_status_says_what_each_stream_does(relay: Running) -> None:
    """Per stream: ends, bytes each way, rate, RTT, shares and a verdict; in sum: counts and a sentence."""
    eventually(lambda: relay.ask(op="status")["live"] == 0)
    client, server = relay.pair()
    with client, server:
        client.sendall(bytes(500_000))
        read_some(server, 500_000)
        server.sendall(b"ok")
        assert read_some(client, 2) == b"ok"
        eventually(lambda: relay.ask(op="status")["streams"][0]["rtt_us"])
        status = relay.ask(op="status")
    assert status["schema"] == 1
    assert status["sha256"] == hashlib.sha256(RELAYD.read_bytes()).hexdigest()
    assert status["live"] == 1
    assert status["sentence"]
    assert status["limit_bps"] is None
    [stream] = status["streams"]
    host, port = relay.target.getsockname()
    assert stream["target"] == f"{host}:{port}"
    assert stream["source"] == "127.0.0.1:5000"
    assert (stream["bytes_to_target"], stream["bytes_to_source"]) == (500_000, 2)
    assert stream["verdict"] in {"application", "receive window", "send buffer", "congestion", "cap"}
    assert set(stream["shares"]) == {"application", "receive window", "send buffer", "congestion"}
    assert stream["min_rtt_us"] > 0
    assert stream["retransmit_ratio"] >= 0


def test_a_target_that_reads_nothing_is_named_as_the_limit(relay: Running) -> None:
    """Its window is closed: the verdict says receive window, and so does the sentence, with what to do."""
    eventually(lambda: relay.ask(op="status")["live"] == 0)
    client, server = relay.pair()
    with client, server:
        fill(client)
        eventually(lambda: relay.ask(op="status")["verdicts"] == {"receive window": 1})
        assert "receive window" in relay.ask(op="status")["sentence"]
    eventually(lambda: relay.ask(op="status")["live"] == 0)


def test_a_source_that_sends_nothing_is_named_as_the_limit(relay: Running) -> None:
    """Nothing outstanding: the application; when it has ended, its summary says so too."""
    client, server = relay.pair()
    with client, server:
        client.sendall(b"x")
        assert read_some(server, 1) == b"x"
        eventually(lambda: relay.ask(op="status")["verdicts"] == {"application": 1})
    eventually(lambda: relay.ask(op="status")["live"] == 0)
    last = relay.ask(op="status")["finished"][-1]
    assert (last["verdict"], last["ended"], last["bytes_to_target"]) == ("application", "closed", 1)


def test_the_control_socket_is_its_owners(relay: Running) -> None:
    """Nobody but the owner may ask or command."""
    assert relay.control.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("request_", [{"op": "fly"}, {"op": "limit", "bps": "2G"}, {"op": "limit", "bps": -1}, {}])
def test_a_request_that_makes_no_sense_is_answered_with_an_error(relay: Running, request_: dict[str, Any]) -> None:
    """The relay says what was wrong and goes on."""
    assert "error" in relay.ask(**request_)
    assert relay.ask(op="status")["limit_bps"] is None


def test_a_cap_holds_over_all_streams_and_can_be_changed_live(tmp_path: Path) -> None:
    """Two busy streams together stay under the cap, which a request changes while they run."""
    with running(tmp_path, limit_bps=80_000_000) as relay, ExitStack() as stack:
        stop = threading.Event()
        received = [0, 0]

        def write(client: socket.socket) -> None:
            while not stop.is_set():
                try:
                    client.send(bytes(65536))
                except OSError:
                    return

        def read(index: int, server: socket.socket) -> None:
            while more := server.recv(MIB):
                received[index] += len(more)

        threads = []
        pairs = []
        for index in range(2):
            client, server = relay.pair()
            stack.enter_context(client)
            stack.enter_context(server)
            pairs.append(client)
            threads += [
                threading.Thread(target=write, args=(client,)),
                threading.Thread(target=read, args=(index, server)),
            ]
        for thread in threads:
            thread.start()

        def rate() -> float:
            begin, then = sum(received), time.monotonic()
            time.sleep(2)
            return (sum(received) - begin) * 8 / (time.monotonic() - then)

        time.sleep(1)
        low = rate()
        answer = relay.ask(op="limit", bps=320_000_000)
        time.sleep(1)
        high = rate()
        status = relay.ask(op="status")
        stop.set()
        for client in pairs:
            client.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
    assert answer == {"limit_bps": 320_000_000, "live": 2}
    assert 60e6 < low < 84e6
    assert 240e6 < high < 336e6
    assert status["verdicts"] == {"cap": 2}
    assert "320 Mbit/s" in status["sentence"]


def test_draining_ends_with_the_last_stream(tmp_path: Path) -> None:
    """After `drain` nothing new is accepted, what runs goes on, and the last line has the counters."""
    with running(tmp_path) as relay:
        client, server = relay.pair()
        with client, server:
            eventually(lambda: relay.ask(op="status")["live"] == 1)
            assert relay.ask(op="drain") == {"draining": True, "live": 1}

            def refuses() -> bool:
                try:
                    with socket.create_connection(("127.0.0.1", relay.port), timeout=1):
                        return False
                except ConnectionRefusedError:
                    return True

            eventually(refuses)
            client.sendall(b"still here")
            assert read_some(server, 10) == b"still here"
        assert relay.process.wait(10) == 0
        assert relay.process.stdout is not None
        last = json.loads(relay.process.stdout.readlines()[-1])
        assert last["bytes_to_target"] == 10
        assert not relay.control.exists()


def test_a_stop_resets_what_has_not_ended_in_time(tmp_path: Path) -> None:
    """SIGTERM drains for drain_s; then streams end as resets, never as a false end of file."""
    with running(tmp_path, drain_s=0.3) as relay:
        client, server = relay.pair()
        with client, server:
            relay.process.terminate()
            for end in (client, server):
                with pytest.raises(ConnectionResetError):
                    end.recv(1)
        assert relay.process.wait(10) == 0


def test_a_killed_relay_is_started_again_by_its_supervisor(tmp_path: Path) -> None:
    """`--supervise`: after kill -9 the port answers again; the supervisor's own SIGTERM ends both."""
    with running(tmp_path, "--supervise") as relay:
        first = relay.ask(op="status")["pid"]
        assert first != relay.process.pid
        os.kill(first, 9)

        def second() -> int:
            try:
                return int(relay.ask(op="status")["pid"])
            except (OSError, ValueError):
                return 0

        eventually(lambda: second() not in (0, first))
        client, server = relay.pair()
        with client, server:
            client.sendall(b"again")
            assert read_some(server, 5) == b"again"
