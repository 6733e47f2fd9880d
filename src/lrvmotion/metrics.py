"""Metrics of a run as a Prometheus text file, for node_exporter's textfile collector: an observer."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
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

EVERY_S = 5.0
STATES = ("queued", "running", "waiting", "success", "error", "cancelled", "held")


class Metrics:
    """Writes the file at most every five seconds, whole or not at all, and once at the end. Never raises.

    *wall* gives seconds since 1970, *say* is told once where the file cannot be written.
    """

    def __init__(self, path: Path, wall: Callable[[], float], say: Observer) -> None:
        self._path, self._wall, self._say = path, wall, say
        self._run, self._mode = "", ""
        self._moves: dict[str, Move] = {}
        self._relays: dict[str, RelaySample] = {}
        self._caps: dict[str, int | None] = {}
        self._open: bool | None = None
        self._outstanding = 0
        self._written: float | None = None
        self._failed = False

    def __call__(self, event: Event) -> None:
        """Take one event."""
        match event:
            case RunStarted(run=run, mode=mode):
                self._run, self._mode = run, mode
            case Move(vm=vm):
                self._moves[vm] = event
            case RelaySample(relay=relay):
                self._relays[relay] = event
            case CapChanged(relay=relay, bps=bps):
                self._caps[relay] = bps
            case WindowChanged(is_open=is_open):
                self._open = is_open
            case Changed(how=how):
                self._outstanding += 1 if how == "applied" else -1
            case RunEnded(outstanding=outstanding):
                self._outstanding = outstanding
            case _:
                return
        now = time.monotonic()
        if self._run and (isinstance(event, RunEnded) or self._written is None or now - self._written >= EVERY_S):
            self._written = now
            self._write()

    def text(self) -> str:
        """Return the file's content, in the exposition format 0.0.4."""
        states = Counter(move.state for move in self._moves.values())
        moved = sum(move.bytes_total * move.percent // 100 for move in self._moves.values())
        lines = [
            *_family("run_info", "gauge", "The run and its mode.", [({"run": self._run, "mode": self._mode}, 1)]),
            *_family("vms", "gauge", "VMs of the run by state.", [({"state": name}, states[name]) for name in STATES]),
            *_family("moved_bytes", "gauge", "Bytes that have arrived, by vCenter's percents.", [({}, moved)]),
            *_family("outstanding_settings", "gauge", "Settings that are still changed.", [({}, self._outstanding)]),
            *_family("last_update_timestamp_seconds", "gauge", "When this was written.", [({}, round(self._wall(), 3))]),
        ]
        near = [({"relay": name}, sample) for name, sample in self._relays.items()]
        lines += _family("relay_streams", "gauge", "Streams through a relay.", [(at, s.streams) for at, s in near])
        lines += _family("relay_bits_per_second", "gauge", "What a relay sends.", [(at, s.bps) for at, s in near])
        lines += _family("relay_bytes_total", "counter", "What a relay has sent.", [(at, s.bytes) for at, s in near])
        rtts = [(at, s.rtt_ms / 1000) for at, s in near if s.rtt_ms is not None]
        lines += _family("relay_rtt_seconds", "gauge", "Round trip of a relay's streams.", rtts)
        again = [(at, s.retransmits) for at, s in near if s.retransmits is not None]
        lines += _family("relay_retransmit_ratio", "gauge", "Share of segments that a relay sent again.", again)
        caps = [({"relay": name}, bps) for name, bps in self._caps.items() if bps is not None]
        lines += _family("relay_cap_bits_per_second", "gauge", "A relay's cap; none: no cap.", caps)
        if self._open is not None:
            lines += _family("window_open", "gauge", "Whether the maintenance window is open.", [({}, int(self._open))])
        return "\n".join(lines) + "\n"

    def _write(self) -> None:
        try:
            files.replace(self._path, self.text(), mode=0o644)
        except OSError as error:
            if not self._failed:
                self._failed = True
                self._say(Message(text=f"{self._path}: the metrics cannot be written: {error.strerror or error}"))


def _family(name: str, kind: str, about: str, values: list[tuple[dict[str, str], float]]) -> list[str]:
    """Return one metric with its help, its type and its *values* (labels, value); nothing without values."""
    if not values:
        return []
    full = f"lrvmotion_{name}"
    rows = [f"{full}{_labels(labels)} {value}" for labels, value in values]
    return [f"# HELP {full} {about}", f"# TYPE {full} {kind}", *rows]


def _labels(labels: dict[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
