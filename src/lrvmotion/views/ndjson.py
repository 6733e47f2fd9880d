"""Events as NDJSON on stdout: the first line names the schema's version, minor versions only add."""

from __future__ import annotations

import json
import sys

from lrvmotion.events import Event, to_json

SCHEMA = "1.0"


class Ndjson:
    """An observer that writes one JSON object a line, flushed, so that a reader sees it as it happens."""

    def __init__(self) -> None:
        self._write({"type": "version", "schema": SCHEMA})

    def __call__(self, event: Event) -> None:
        """Write *event*."""
        self._write(to_json(event))

    def _write(self, record: dict[str, object]) -> None:
        sys.stdout.write(json.dumps(record) + "\n")
        sys.stdout.flush()
