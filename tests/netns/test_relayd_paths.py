"""Paths that are another length than their handshake was: what data says decides, on the lab's circuit."""

from __future__ import annotations

import importlib
import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lrvmotion.lab.netns import entered
from netns.lab_network import requires_lab
from netns.relayd_world import MIB, PORT, eventually

pytestmark = requires_lab
BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")


@pytest.fixture
def bench() -> Iterator[Any]:
    """The benchmark's circuit and lanes: source - box - circuit - target."""
    sys.path.insert(0, BENCHMARKS)
    try:
        lanes = importlib.import_module("bench.lanes")
        yield SimpleNamespace(
            circuit=importlib.import_module("bench.circuit").circuit,
            relaying=importlib.import_module("bench.relaying").relaying,
            place={"address": lanes.BOX_LAN, "source": lanes.SOURCE, "target": lanes.TARGET},
        )
    finally:
        sys.path.remove(BENCHMARKS)


def ask(control: str) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(control)
        client.sendall(b'{"op": "status"}\n')
        with client.makefile() as lines:
            return dict(json.loads(lines.readline()))


@contextmanager
def flowing(bench: Any, made: Any, folder: Path) -> Iterator[str]:
    """One stream through relayd in the box that never pauses; yields the control socket."""
    stop = threading.Event()
    names = made.lanes.names

    def write(client: socket.socket) -> None:
        while not stop.is_set():
            try:
                client.send(bytes(65536))
            except TimeoutError:
                continue
            except OSError:
                return

    def read(server: socket.socket) -> None:
        try:
            while server.recv(MIB):
                pass
        except OSError:
            return

    with ExitStack() as stack:
        with entered(names["target"]):
            listener = stack.enter_context(socket.create_server((bench.place["target"], PORT)))
        listener.settimeout(20)
        _, control = stack.enter_context(bench.relaying(made.lanes, folder, **bench.place))
        with entered(names["source"]):
            client = stack.enter_context(socket.socket())
        client.settimeout(10)
        client.connect((bench.place["target"], PORT))
        client.settimeout(0.5)
        server = stack.enter_context(listener.accept()[0])
        threads = [threading.Thread(target=write, args=(client,)), threading.Thread(target=read, args=(server,))]
        for thread in threads:
            thread.start()
        try:
            yield control
        finally:
            stop.set()
            threads[0].join()
            client.shutdown(socket.SHUT_RDWR)
            server.shutdown(socket.SHUT_RDWR)
            threads[1].join()


def stream(control: str) -> dict[str, Any]:
    return dict((ask(control)["streams"] or [{}])[0])


def test_a_path_that_is_longer_than_its_handshake_gets_bbr(bench: Any, tmp_path: Path) -> None:
    """SYNs are answered at once, data takes 55 ms and 0.05 % of it is lost: more than cubic, or BBR blind, carries."""
    with bench.circuit(tmp_path) as made:
        made.set(delay_ms=27.5, syn_delay_ms=0.05, profile="uniform", loss=0.0005, seed=1, rate_bps=200_000_000)
        with flowing(bench, made, tmp_path) as control:
            eventually(lambda: stream(control).get("congestion_control") == "bbr", seconds=40)
            eventually(lambda: stream(control)["rate_bps"] > 100e6, seconds=40)


def test_a_route_that_becomes_longer_gets_bbr(bench: Any, tmp_path: Path) -> None:
    """0.1 ms, then 20 ms, then some of it is lost."""
    with bench.circuit(tmp_path) as made:
        made.set(delay_ms=0.05, syn_delay_ms=None, profile="clean", loss=0.0, seed=1, rate_bps=200_000_000)
        with flowing(bench, made, tmp_path) as control:
            eventually(lambda: stream(control).get("bytes_to_target", 0) > 20 * MIB, seconds=40)
            made.change(delay_ms=10.0)
            eventually(lambda: stream(control)["rtt_us"] > 15_000)
            time.sleep(3)  # what was sent again for the change of route alone is past
            made.change(profile="uniform", loss=0.0005)
            eventually(lambda: stream(control)["congestion_control"] == "bbr", seconds=40)
            eventually(lambda: stream(control)["rate_bps"] > 100e6, seconds=40)


def test_a_path_without_loss_is_filled_though_its_handshake_was_short(bench: Any, tmp_path: Path) -> None:
    """Nothing is lost: BBR, which would begin with the handshake's RTT, is not what it gets."""
    with bench.circuit(tmp_path) as made:
        made.set(delay_ms=27.5, syn_delay_ms=0.05, profile="clean", loss=0.0, seed=1, rate_bps=200_000_000)
        with flowing(bench, made, tmp_path) as control:
            eventually(lambda: stream(control).get("rate_bps", 0) > 150e6, seconds=40)
