"""One direction of the wire: frames in, frames out later, fewer, or never."""

from __future__ import annotations

import math
import random
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from lrvmotion.lab.spec import WanSpec
from lrvmotion.lab.wire import loss
from lrvmotion.lab.wire.connections import SYN, Connections, tcp
from lrvmotion.lab.wire.histogram import Histogram
from lrvmotion.lab.wire.segments import VNET, cut, runs, shape

OVERHEAD = 24  # preamble 8, FCS 4, inter-frame gap 12
_ARP = b"\x08\x06"


@dataclass(slots=True)
class Counters:
    """What has happened since the last reset; bytes are those of Ethernet frames, each segment with its headers."""

    packets_in: int = 0
    packets_out: int = 0
    segments: int = 0
    lost: int = 0
    qdrop: int = 0
    splits: int = 0
    write_errors: int = 0
    bytes_offered: int = 0
    bytes_delivered: int = 0
    vmotion_frames: int = 0
    vmotion_bytes: int = 0
    vmotion_first_s: float | None = None
    vmotion_last_s: float | None = None


class Direction:
    """The queue and its virtual clock; `offer` takes what was read, `due` gives back what is to be written."""

    def __init__(self, spec: WanSpec, seed: int, connections: Connections) -> None:
        self.counters = Counters()
        self.lateness = Histogram()
        self._connections = connections
        self._queue: deque[tuple[float, bytes, int, int, bool]] = deque()
        self._fin = 0.0
        self._load = 0.0
        self._load_at = 0.0
        self.configure(spec, seed)

    def configure(self, spec: WanSpec, seed: int) -> None:
        """Take another rate, delay, buffer or loss from the next frame on. Raises ValueError."""
        chosen = loss.make(spec, random.Random(seed))  # noqa: S311 - repeatable, not secret
        self._loss = chosen
        self._delay = spec.delay_ms / 1000.0
        self._syn_delay = None if spec.syn_delay_ms is None else spec.syn_delay_ms / 1000.0
        self._byte_s = 8.0 / spec.rate_bps if spec.rate_bps else 0.0
        self._buffer_s = spec.buffer_bytes * self._byte_s

    def reset(self) -> None:
        """Count from zero."""
        self.counters = Counters()
        self.lateness = Histogram()

    @property
    def next_release(self) -> float | None:
        """When the next frame leaves (monotonic seconds), None with an empty queue."""
        return self._queue[0][0] if self._queue else None

    def offer(self, frame: bytes, now: float) -> None:
        """Take a frame that was read at *now*."""
        counters = self.counters
        count, headers, size = shape(frame)
        frame_bytes = len(frame) - VNET + (count - 1) * headers
        counters.packets_in += 1
        counters.segments += count
        counters.bytes_offered += frame_bytes
        fin = max(now, self._fin)
        byte_s = self._byte_s
        load = 0.0
        accepted = count
        segment_s = 0.0
        if byte_s:
            wire_s = (frame_bytes + count * OVERHEAD) * byte_s
            self._load *= math.exp((self._load_at - now) / loss.LOAD_WINDOW_S)
            self._load += wire_s / loss.LOAD_WINDOW_S
            self._load_at = now
            load = self._load
            room = self._buffer_s - (fin - now)
            segment_s = (headers + size + OVERHEAD) * byte_s
            if room < 0.0:
                accepted = 0
            elif count > 1:
                accepted = min(count, int(room / segment_s) + 1)
            if accepted < count:
                counters.qdrop += count - accepted
                if not accepted:
                    return
                wire_s = accepted * segment_s
            self._fin = fin + wire_s
        lost = () if frame[VNET + 12 : VNET + 14] == _ARP else self._loss.lost(accepted, load)
        t = tcp(frame)
        if not lost and accepted == count:
            if t and frame[t + 13] & 7:
                self._connections.see(frame, t)
                if self._syn_delay is not None and frame[t + 13] & SYN:
                    self._overtake((now + self._syn_delay, frame, count, frame_bytes, True))
                    return
            release = (self._fin if byte_s else now) + self._delay
            self._queue.append((release, frame, count, frame_bytes, t > 0))
            return
        counters.lost += len(lost)
        if count > 1:
            self._split(frame, (count, headers, size), [*lost, *range(accepted, count)], (fin, segment_s), t)

    def due(self, now: float) -> bytes | None:
        """Return the next frame that is due at *now*, None when none is; it counts as delivered."""
        queue = self._queue
        if not queue or queue[0][0] > now:
            return None
        release, frame, _, frame_bytes, vmotion = queue.popleft()
        counters = self.counters
        counters.packets_out += 1
        counters.bytes_delivered += frame_bytes
        self.lateness.add(now - release)
        if vmotion:
            counters.vmotion_frames += 1
            counters.vmotion_bytes += frame_bytes
            if counters.vmotion_first_s is None:
                counters.vmotion_first_s = now
            counters.vmotion_last_s = now
        return frame

    def report(self) -> dict[str, Any]:
        """Return the counters, the loss ratio of accepted segments, and the lateness."""
        counters = self.counters
        accepted = counters.segments - counters.qdrop
        return {
            **{name: getattr(counters, name) for name in Counters.__slots__},
            "loss_ratio": counters.lost / accepted if accepted else 0.0,
            "queued_packets": len(self._queue),
            "load": self._load * math.exp((self._load_at - time.monotonic()) / loss.LOAD_WINDOW_S),
            "lateness": self.lateness.report(),
        }

    def _overtake(self, entry: tuple[float, bytes, int, int, bool]) -> None:
        """Queue what leaves before others that were here first."""
        place = next((index for index, other in enumerate(self._queue) if other[0] > entry[0]), len(self._queue))
        self._queue.insert(place, entry)

    def _split(
        self, frame: bytes, form: tuple[int, int, int], gone: list[int], clock: tuple[float, float], t: int
    ) -> None:
        count, headers, size = form
        fin, segment_s = clock
        self.counters.splits += 1
        for start, end in runs(count, gone):
            part = cut(frame, headers, size, start, end, count)
            leaves = self._fin if end == count and segment_s else fin + end * segment_s
            if t and part[t + 13] & 7:
                self._connections.see(part, t)
            frame_bytes = len(part) - VNET + (end - start - 1) * headers
            self._queue.append((leaves + self._delay, part, end - start, frame_bytes, t > 0))
