"""The two consoles: results on stdout, progress and messages on stderr."""

from __future__ import annotations

import sys

from rich.console import Console


def out() -> Console:
    """Return the console of results: stdout, as wide as the terminal, 100 columns where there is none."""
    return Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else 100)


def err() -> Console:
    """Return the console of progress and messages: stderr."""
    return Console(file=sys.stderr, highlight=False, width=None if sys.stderr.isatty() else 100)
