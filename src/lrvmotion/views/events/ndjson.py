"""Events as NDJSON on stdout: the first line names the schema's version, minor versions only add (docs/ndjson.md)."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping

from lrvmotion.events import SCHEMA, Event, RestoreEnded, RunEnded, to_json
from lrvmotion.views.events import lines
from lrvmotion.views.text import streams


class Ndjson:
    """An observer that writes one JSON object a line, flushed; OSError once stdout is lost.

    The end of a run or a restore is the last line: what is told after it (a log whose disk is full) goes to stderr.
    *clock* returns the time now, ISO 8601 in UTC: every line has it, as "at".
    """

    def __init__(self, clock: Callable[[], str]) -> None:
        self._clock = clock
        self._after: lines.Lines | None = None
        self._write({"type": "version", "schema": SCHEMA})

    def __call__(self, event: Event) -> None:
        """Write *event*."""
        if self._after is not None:
            self._after(event)
            return
        self._write(to_json(event))
        if isinstance(event, RunEnded | RestoreEnded):
            self._after = lines.Lines()
        streams.check(sys.stdout)

    def _write(self, record: dict[str, object]) -> None:
        sys.stdout.write(line(record, self._clock()))
        sys.stdout.flush()


def line(record: Mapping[str, object], at: str) -> str:
    """Return *record* as a line, its type first, then *at*."""
    return json.dumps({"type": record["type"], "at": at, **record}) + "\n"
