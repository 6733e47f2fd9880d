"""The two consoles: results on stdout, progress and messages on stderr; and lines that hang on their indent."""

from __future__ import annotations

import contextlib
import sys
import termios
from collections.abc import Iterator
from typing import IO

from rich.console import Console
from rich.table import Table
from rich.text import Text

PIPED = 160  # columns where there is no terminal: tables are as wide as they need to be


def out() -> Console:
    """Return the console of results: stdout, as wide as the terminal."""
    return Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else PIPED)


def err() -> Console:
    """Return the console of progress and messages: stderr."""
    return Console(file=sys.stderr, highlight=False, width=None if sys.stderr.isatty() else PIPED)


def page(to: IO[str]) -> Console:
    """Return a console that writes plain text to *to*."""
    return Console(file=to, highlight=False, width=PIPED, no_color=True, force_terminal=False)


def live(to: Console) -> bool:
    """Return whether *to* can be drawn over: a terminal that moves its cursor."""
    return to.is_terminal and not to.is_dumb_terminal


@contextlib.contextmanager
def no_echo() -> Iterator[None]:
    """Keep what is typed, ^C included, from being written into a live screen; signals stay.

    Ctrl-S is typed text, too: a terminal that it stops takes no more output, and the run would wait for it.
    """
    try:
        before = termios.tcgetattr(sys.stdin)
    except (termios.error, OSError, ValueError):  # not a terminal, or none at all
        yield
        return
    silent = [*before]
    silent[0] &= ~termios.IXON
    silent[3] &= ~termios.ECHO
    termios.tcsetattr(sys.stdin, termios.TCSADRAIN, silent)
    try:
        yield
    finally:
        with contextlib.suppress(termios.error, OSError):  # the terminal was closed meanwhile
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def hang(to: Console, head: Text, text: Text) -> None:
    """Print *text* behind *head*, wrapped under itself on a terminal, on one line elsewhere."""
    if not to.is_terminal:
        to.print(Text.assemble(head, text), soft_wrap=True)
        return
    if not head.plain:
        to.print(text)
        return
    grid = Table.grid(padding=0)
    grid.add_column(width=len(head.plain), no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(head, text)
    to.print(grid)
