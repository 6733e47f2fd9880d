"""The text log of a run: each line that a screen would show, with its time, in the state directory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lrvmotion.events import Error, Event, Observer
from lrvmotion.journal import event_log
from lrvmotion.views.events import lines


class Log(event_log.RunFile):
    """Keeps what plain lines show, with the time of each, and the result at the end (write)."""

    name = event_log.LOG

    def __init__(self, state: Path, clock: Callable[[], str], say: Observer) -> None:
        super().__init__(state, clock, say)
        self._lines = lines.Lines(quiet=True)

    def header(self) -> str:
        """Return no line: the run's own first one names it."""
        return ""

    def line(self, event: Event, at: str, t: float) -> str | None:
        """Return the line of *event* with its time to the second, UTC."""
        del t
        text = f"lrvmotion: {event.message}" if isinstance(event, Error) else self._lines.line(event)
        return None if text is None else f"{at[:19]}Z  {text}"
