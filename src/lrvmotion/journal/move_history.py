"""How fast moves of past runs were, kept in the state directory: they correct the forecast of the same circuit."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from lrvmotion import files
from lrvmotion.config.schema import Config
from lrvmotion.events import Event, Move
from lrvmotion.model.migration_state import MigrationState
from lrvmotion.model.mode import MODE_NAMES, Mode
from lrvmotion.plan.plan import Plan

NAME = "moves.jsonl"
LEAST_S = 10.0  # a shorter move is mostly its beginning and its end
LAST = 20  # of a circuit: it was another one long ago


def circuit(config: Config) -> str:
    """Return the name of the way between both vCenters, as the records have it."""
    return f"{config.source.vcenter} -> {config.target.vcenter}"


class Recorder:
    """An Observer that appends each move of *plan* by vMotion alone that succeeded and had the circuit for itself.

    Never raises.
    """

    def __init__(self, state: Path, way: str, plan: Plan, clock: Callable[[], str]) -> None:
        self._path, self._way, self._mode, self._clock = state / NAME, way, plan.mode, clock
        self._hot = {move.vm for move in plan.migrations if move.hot_bytes and not move.cold_bytes}
        self._running: set[str] = set()
        self._shared: set[str] = set()

    def __call__(self, event: Event) -> None:
        """Take one event."""
        if not isinstance(event, Move):
            return
        if event.state == MigrationState.RUNNING:
            self._running.add(event.vm)
            if len(self._running) > 1:
                self._shared |= self._running
            return
        self._running.discard(event.vm)
        alone = event.vm in self._hot - self._shared
        if event.state == MigrationState.SUCCESS and alone and event.elapsed_s >= LEAST_S:
            self._keep(event.bytes_total * 8 / event.elapsed_s / 1e6)

    def _keep(self, mbps: float) -> None:
        record = {"at": self._clock(), "circuit": self._way, "mode": self._mode, "mbps": round(mbps, 3)}
        try:
            with os.fdopen(files.appending(self._path), "a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            return  # a lost record costs a little of the next forecast, nothing of this run


def recorded(state: Path, way: str) -> list[tuple[Mode, float]]:
    """Return the last moves over the circuit *way*, (mode, Mbit/s); what cannot be read is left out."""
    try:
        lines = files.read(state / NAME).decode().splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    found: list[tuple[Mode, float]] = []
    for line in lines:
        try:
            record = json.loads(line)
            mode, mbps, of = record["mode"], float(record["mbps"]), record["circuit"]
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            continue  # cut short when the machine went down
        if of == way and mode in MODE_NAMES and mbps > 0:
            found.append((mode, mbps))
    return found[-LAST:]
