"""Metrics of a run as a Prometheus text file, for node_exporter's textfile collector: an observer."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from pathlib import Path

from lrvmotion import files
from lrvmotion.events import (
    CapChanged,
    Changed,
    Event,
    Message,
    Move,
    Observer,
    RelaySample,
    RunEnded,
    RunStarted,
    WindowChanged,
)
from lrvmotion.model.migration_state import MigrationState

EVERY_S = 5.0
SLOPE_S = 60.0  # where no relay counts, the rate is what arrived in that long: vCenter tells whole percents
STATES = tuple(MigrationState)


class Metrics:
    """Writes the file every five seconds while a run goes on, whole or not at all, and once at its end. Never raises.

    From a thread of its own: no event waits for the disk, and the file's time goes on while nothing happens. *wall*
    gives seconds since 1970, *say* is told once where the file cannot be written.
    """

    def __init__(self, path: Path, wall: Callable[[], float], say: Observer) -> None:
        self._path, self._wall, self._say = path, wall, say
        self._run, self._mode = "", ""
        self._moves: dict[str, Move] = {}
        self._relays: dict[str, RelaySample] = {}
        self._caps: dict[str, int | None] = {}
        self._open: bool | None = None
        self._outstanding = 0
        self._arrived: deque[tuple[float, float]] = deque()  # seconds, bytes
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._trouble: str | None = None
        self._told = False

    def __call__(self, event: Event) -> None:
        """Take one event."""
        with self._lock:
            self._take(event)
        if isinstance(event, RunStarted) and self._thread is None:
            self._over.clear()
            self._thread = threading.Thread(target=self._go_on, name="metrics", daemon=True)
            self._thread.start()
        elif isinstance(event, RunEnded) and self._thread is not None:
            self._over.set()
            self._thread.join()
            self._thread = None
        if self._trouble is not None and not self._told:
            self._told = True
            self._say(Message(text=f"{self._path}: the metrics cannot be written: {self._trouble}"))

    def _take(self, event: Event) -> None:
        match event:
            case RunStarted(run=run, mode=mode):
                self._run, self._mode = run, mode
            case Move(vm=vm):
                self._moves[vm] = event
            case RelaySample(relay=relay, cap_bps=bps):
                self._relays[relay] = event
                self._caps[relay] = bps
            case CapChanged(relay=relay, bps=bps):
                self._caps[relay] = bps
            case WindowChanged(is_open=is_open):
                self._open = is_open
            case Changed(how=how):
                self._outstanding += 1 if how == "applied" else -1
            case RunEnded(outstanding=outstanding):
                self._outstanding = outstanding
            case _:
                pass

    def _go_on(self) -> None:
        self._write()
        while not self._over.wait(EVERY_S):
            self._write()
        self._write()

    def _write(self) -> None:
        with self._lock:
            text = self.text()
        try:
            files.replace(self._path, text, mode=0o644)
        except OSError as error:
            self._trouble = error.strerror or str(error)

    def _rate(self, moved: float) -> float:
        """Return bit/s over the circuit: what the relays send, else what arrived lately; never negative."""
        now = time.monotonic()
        self._arrived.append((now, moved))
        while now - self._arrived[0][0] > SLOPE_S:
            self._arrived.popleft()
        if self._relays:
            return sum(sample.bps for sample in self._relays.values())
        since, before = self._arrived[0]
        return max(moved - before, 0.0) * 8 / (now - since) if now > since else 0.0

    def text(self) -> str:
        """Return the file's content.

        Source: the text-based format 0.0.4, prometheus.io/docs/instrumenting/exposition_formats.
        """
        states = Counter(move.state for move in self._moves.values())
        moved = sum(move.bytes_total * move.percent // 100 for move in self._moves.values())
        lines = [
            *_family("run_info", "gauge", "The run and its mode.", [({"run": self._run, "mode": self._mode}, 1)]),
            *_family("run_active", "gauge", "1 until the run has ended.", [({}, int(not self._over.is_set()))]),
            *_family("vms", "gauge", "VMs of the run by state.", [({"state": name}, states[name]) for name in STATES]),
            *_family("moved_bytes", "gauge", "Bytes that have arrived, by vCenter's percents.", [({}, moved)]),
            *_family("rate_bits_per_second", "gauge", "What goes over the circuit.", [({}, self._rate(moved))]),
            *_family("outstanding_settings", "gauge", "Settings that remain changed.", [({}, self._outstanding)]),
            *_family("last_update_timestamp_seconds", "gauge", "When this was written.", [({}, self._wall())]),
        ]
        near = [({"relay": name}, sample) for name, sample in self._relays.items()]
        lines += _family("relay_streams", "gauge", "Streams through a relay.", [(at, s.streams) for at, s in near])
        lines += _family("relay_bits_per_second", "gauge", "What a relay sends.", [(at, s.bps) for at, s in near])
        lines += _family("relay_bytes_total", "counter", "What a relay has sent.", [(at, s.bytes) for at, s in near])
        rtts = [(at, s.rtt_ms / 1000) for at, s in near if s.rtt_ms is not None]
        lines += _family("relay_rtt_seconds", "gauge", "Round trip of a relay's streams.", rtts)
        again = [(at, s.retransmits) for at, s in near if s.retransmits is not None]
        lines += _family("relay_retransmit_ratio", "gauge", "Share of segments that a relay retransmitted.", again)
        caps = [({"relay": name}, bps) for name, bps in self._caps.items() if bps is not None]
        lines += _family("relay_cap_bits_per_second", "gauge", "A relay's cap; none: no cap.", caps)
        if self._open is not None:
            lines += _family("window_open", "gauge", "Whether the maintenance window is open.", [({}, int(self._open))])
        return "\n".join(lines) + "\n"


def _family(name: str, kind: str, about: str, values: Sequence[tuple[dict[str, str], float]]) -> list[str]:
    """Return one metric with its help, its type and its *values* (labels, value); nothing without values."""
    if not values:
        return []
    full = f"lrvmotion_{name}"
    rows = [f"{full}{_labels(labels)} {value!r}" for labels, value in values]
    return [f"# HELP {full} {about}", f"# TYPE {full} {kind}", *rows]


def _labels(labels: dict[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
