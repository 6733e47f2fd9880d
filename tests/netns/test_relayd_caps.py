"""Caps of any size and in any order: what is sent stays under them, and none is felt once it no longer holds."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from lrvmotion.relay.redirect import render as rules
from netns.relayd_world import MIB, World, eventually, requires_netns, world

pytestmark = requires_netns
LEAST = 1_000_000


@pytest.fixture
def inline(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, "inline") as made:
        made.inside("box", "nft", "-f", "-", text=rules.nft_install(made.redirect()))
        yield made


@contextmanager
def flowing(place: World, streams: int) -> Iterator[list[int]]:
    """So many streams through the relay that never pause; yields the bytes that each target end has read so far."""
    stop = threading.Event()
    received = [0] * streams
    threads: list[threading.Thread] = []

    def write(client: socket.socket) -> None:
        while not stop.is_set():
            try:
                client.send(bytes(65536))
            except TimeoutError:
                continue
            except OSError:
                return

    def read(index: int, server: socket.socket) -> None:
        try:
            while more := server.recv(MIB):
                received[index] += len(more)
        except OSError:
            return  # the end of the test

    with ExitStack() as stack:
        target = stack.enter_context(place.listen())
        for index in range(streams):
            client = stack.enter_context(place.connect())
            server = stack.enter_context(target.accept()[0])
            client.settimeout(0.2)
            server.settimeout(None)
            threads.append(threading.Thread(target=write, args=(client,)))
            threads.append(threading.Thread(target=read, args=(index, server)))
            stack.callback(server.shutdown, socket.SHUT_RDWR)
        for thread in threads:
            thread.start()
        try:
            yield received
        finally:
            stop.set()
            for thread in threads[::2]:
                thread.join()
            stack.close()
            for thread in threads[1::2]:
                thread.join()


def everyone_moves(received: list[int]) -> None:
    """Return once every stream has carried something more. A pace of the past would hold some for half a minute."""
    before, began = list(received), time.monotonic()
    eventually(lambda: all(now > then for now, then in zip(received, before, strict=True)), seconds=8)
    print(f"every stream moved within {time.monotonic() - began:.2f} s")  # noqa: T201 - pytest -s shows it


@pytest.mark.parametrize("last", [None, LEAST, 2_000_000_000], ids=["off", "1 Mbit/s", "2 Gbit/s"])
def test_no_stream_is_held_by_a_cap_of_the_past(inline: World, last: int | None) -> None:
    """48 streams, 200 random caps from 1 Mbit/s on, a few milliseconds each: all go on under the last one."""
    chosen = random.Random(5)
    caps = [LEAST, 3_000_000, 20_000_000, 50_000_000, 400_000_000, 2_000_000_000, None]
    with inline.relaying(), flowing(inline, 48) as received:
        eventually(lambda: all(count > MIB // 4 for count in received), seconds=60)
        for _ in range(200):
            assert "error" not in inline.ask(op="limit", bps=chosen.choice(caps))
            time.sleep(chosen.choice([0, 0.001, 0.01, 0.05]))
        inline.ask(op="limit", bps=LEAST)
        time.sleep(5)
        inline.ask(op="limit", bps=last)
        everyone_moves(received)


@pytest.mark.parametrize(("streams", "cap"), [(8, 2_000_000), (48, 6_000_000)])
def test_a_low_cap_holds_for_many_streams(inline: World, streams: int, cap: int) -> None:
    """Less than the kernel can pace each of them at: together they stay under it, use it, and all of them move."""
    with inline.relaying(limit_bps=cap), flowing(inline, streams) as received:
        eventually(lambda: all(received), seconds=60)
        time.sleep(3)
        before, then = list(received), time.monotonic()
        time.sleep(8)
        rate = (sum(received) - sum(before)) * 8 / (time.monotonic() - then)
        everyone_moves(received)
        status = inline.ask()
    assert 0.5 * cap < rate < 1.1 * cap
    assert status["limit_bps"] == cap
    assert "cap" in status["verdicts"]


def test_a_low_cap_ends_at_once_when_it_is_taken_away(inline: World) -> None:
    """After ten seconds at the least cap: hundreds of megabytes within a moment."""
    with inline.relaying(limit_bps=LEAST), flowing(inline, 8) as received:
        eventually(lambda: all(received), seconds=60)
        inline.ask(op="limit", bps=None)
        eventually(lambda: sum(received) > 200 * MIB, seconds=30)
        everyone_moves(received)
