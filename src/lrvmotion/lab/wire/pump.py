"""Moves frames between the two TAPs, keeping time as exactly as one thread can."""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from typing import Any

from lrvmotion.lab.rpc import Json, RpcError
from lrvmotion.lab.spec import WanSpec
from lrvmotion.lab.wire.connections import Connections
from lrvmotion.lab.wire.direction import Direction
from lrvmotion.lab.wire.tap import READ_MAX

_READ_BATCH = 32
_RELEASE_BATCH = 256
_SLEEP_MAX_S = 0.1
NAMES = ("source_to_target", "target_to_source")


class Pump:
    """The wire's loop; everything else reaches it through `ask`, between two rounds, so that nothing needs a lock."""

    def __init__(self, spec: WanSpec, source: int, target: int, tap_drops: Callable[[], list[int]]) -> None:
        """Carry between the TAP descriptors *source* and *target*; *tap_drops* reads the devices' drop counters."""
        self._spec = spec
        self._connections = Connections()
        self._directions = [Direction(spec, seed, self._connections) for seed in _seeds(spec)]
        self._ways = [(source, target, self._directions[0]), (target, source, self._directions[1])]
        self._tap_drops = tap_drops
        self._drops_at_reset = tap_drops()
        self._since = time.monotonic()
        self._cpu_at_reset = time.process_time()
        self._asked: deque[Callable[[], None]] = deque()
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._stop = False

    def run(self) -> None:
        """Carry frames until `stop`, or until a device is gone (OSError)."""
        clock = time.monotonic
        waiting = [self._ways[0][0], self._ways[1][0], self._wake_read]
        while not self._stop:
            while self._asked:
                self._asked.popleft()()
            moved = False
            for reader, writer, direction in self._ways:
                for _ in range(_RELEASE_BATCH):
                    frame = direction.due(clock())
                    if frame is None:
                        break
                    try:
                        os.write(writer, frame)
                    except OSError:
                        direction.counters.write_errors += 1
                for _ in range(_READ_BATCH):
                    try:
                        frame = os.read(reader, READ_MAX)
                    except BlockingIOError:
                        break
                    direction.offer(frame, clock())
                    moved = True
            if moved:
                continue
            now = clock()
            wait = _SLEEP_MAX_S
            for direction in self._directions:
                release = direction.next_release
                if release is not None and release - now < wait:
                    wait = release - now
            if wait > 0.0 and self._wake_read in select.select(waiting, [], [], wait)[0]:
                os.read(self._wake_read, 4096)

    def stop(self) -> None:
        """Let `run` return."""
        self._stop = True
        self._wake()

    def handle(self, op: str, arguments: dict[str, Json]) -> Json:
        """Answer a request from another thread. Raises RpcError, TypeError, ValueError."""
        if op == "report":
            drops = self._tap_drops()
            return self._ask(lambda: self.report(drops))
        if op == "reset":
            drops = self._tap_drops()
            return self._ask(lambda: self._reset(drops))
        if op == "set":
            return self._ask(lambda: self._set(arguments))
        raise RpcError(kind="invalid", message=f"unknown op {op!r}")

    def report(self, drops: list[int]) -> dict[str, Any]:
        """Return everything that is counted since the last reset.

        `vmotion`: delivered frames of TCP port 8000 towards the target: frames, bytes, first_s and last_s (monotonic);
        connections (distinct SYNs, both ways), connections_open and connections_peak.
        """
        found = {
            name: {**direction.report(), "tap_drops": drop - before}
            for name, direction, drop, before in zip(NAMES, self._directions, drops, self._drops_at_reset, strict=True)
        }
        counters = self._directions[0].counters
        return {
            "wan": asdict(self._spec),
            "seconds": time.monotonic() - self._since,
            "cpu_s": time.process_time() - self._cpu_at_reset,
            "directions": found,
            "vmotion": {
                "frames": counters.vmotion_frames,
                "bytes": counters.vmotion_bytes,
                "first_s": counters.vmotion_first_s,
                "last_s": counters.vmotion_last_s,
                "connections": self._connections.distinct,
                "connections_open": self._connections.open,
                "connections_peak": self._connections.peak,
            },
        }

    def _reset(self, drops: list[int]) -> dict[str, Any]:
        for direction in self._directions:
            direction.reset()
        self._connections.reset()
        self._drops_at_reset = drops
        self._since = time.monotonic()
        self._cpu_at_reset = time.process_time()
        return {}

    def _set(self, arguments: dict[str, Json]) -> dict[str, Any]:
        unknown = set(arguments) - {item.name for item in fields(WanSpec)}
        if unknown:
            raise RpcError(kind="invalid", message=f"unknown: {', '.join(sorted(unknown))}")
        spec = replace(self._spec, **arguments)
        for direction, seed in zip(self._directions, _seeds(spec), strict=True):
            direction.configure(spec, seed)
        self._spec = spec
        return {}

    def _ask(self, question: Callable[[], Json]) -> Json:
        answer: list[Json] = []
        failure: list[Exception] = []
        done = threading.Event()

        def run() -> None:
            try:
                answer.append(question())
            except (ValueError, TypeError, RpcError) as error:
                failure.append(error)
            done.set()

        self._asked.append(run)
        self._wake()
        if not done.wait(5.0):
            raise RpcError(kind="failed", message="the wire does not answer")
        if failure:
            raise failure[0]
        return answer[0]

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"\0")


def _seeds(spec: WanSpec) -> tuple[int, int]:
    """Return a seed for each direction: neither's losses depend on the other's traffic."""
    return 2 * spec.seed, 2 * spec.seed + 1
