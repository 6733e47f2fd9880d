"""Events as NDJSON on stdout: the first line names the schema's version, minor versions only add."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from lrvmotion.events import Event, to_json

SCHEMA = "1.0"


class Ndjson:
    """An observer that writes one JSON object a line, flushed, until its reader leaves."""

    def __init__(self) -> None:
        self._gone = False
        self._write({"type": "version", "schema": SCHEMA})

    def __call__(self, event: Event) -> None:
        """Write *event*."""
        self._write(to_json(event))

    def _write(self, record: dict[str, object]) -> None:
        if self._gone:
            return
        try:
            sys.stdout.write(json.dumps(record) + "\n")
            sys.stdout.flush()
        except BrokenPipeError:  # whoever read has left; the run does not end for that
            self._gone = True
            deaf()


def deaf() -> None:
    """Let what is still written to stdout go nowhere: its reader has left."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
