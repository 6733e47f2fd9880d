"""Errors: a sentence and a hint on stderr, and for programs one JSON object on stdout."""

from __future__ import annotations

import json
import sys
from typing import Any


def show(message: str, hint: str | None = None) -> None:
    """Print the sentence on stderr, then the hint."""
    sys.stderr.write(f"lrvmotion: {message}\n")
    if hint:
        sys.stderr.write(f"  hint: {hint}\n")


def document(message: str, hint: str | None, status: int) -> dict[str, Any]:
    """Return the error as a JSON object."""
    return {"message": message, "hint": hint, "status": status}


def tell(output: str, message: str, hint: str | None, status: int, at: str) -> None:
    """Print the error on stdout where *output* is json (one document) or ndjson (one more line, with its time *at*)."""
    error = document(message, hint, status)
    if output == "json":
        sys.stdout.write(json.dumps({"schema": 1, "error": error}) + "\n")
    elif output == "ndjson":
        from lrvmotion.views.events import ndjson

        sys.stdout.write(ndjson.line({"type": "error", **error}, at))
    sys.stdout.flush()
