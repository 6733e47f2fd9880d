"""Events as plain lines on stderr: what is seen off a terminal."""

from __future__ import annotations

from rich.text import Text

from lrvmotion.events import Carried, Event, Found, HookRan, Interrupted, Move, PathMeasured, RelaySample, RunStarted
from lrvmotion.model.migration_state import MigrationState
from lrvmotion.views.events.wording import next_interrupt, wording
from lrvmotion.views.text import console, streams


class Lines:
    """An observer that prints a line per event; with *quiet* nothing at all."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._running = False  # before a run has started the plan shows what was found
        self._console = console.err()
        self._states: dict[str, str] = {}

    def __call__(self, event: Event) -> None:
        """Print *event* where it is worth a line; OSError once stderr is lost."""
        if not self._quiet and (line := self.line(event)) is not None:
            self.say(line)
            streams.check(self._console.file)

    def say(self, line: str) -> None:
        """Print *line*; never raises."""
        if not self._quiet:
            console.hang(self._console, Text(), Text(line))

    def line(self, event: Event) -> str | None:
        """Return *event* in a line, None where it is not worth one."""
        match event:
            case PathMeasured(reason=reason) if reason is not None:
                return None  # a finding, and shown with the plan
            case Found() if not self._running:
                return None
            case Move() if not self._is_news(event):
                return None
            case HookRan(status=0) | Carried(carried=True) | RelaySample():
                return None
            case RunStarted():
                self._running = True
            case _:
                pass
        return told(event)

    def _is_news(self, move: Move) -> bool:
        """Whether the VM's state is another one; that it is in the plan is no news."""
        before = self._states.get(move.vm)
        self._states[move.vm] = move.state
        return before != move.state and not (before is None and move.state == MigrationState.QUEUED)


def told(event: Event) -> str | None:
    """Return the words of *event* for whoever watches: after an interrupt with what one more Ctrl-C does."""
    text = wording(event)
    if isinstance(event, Interrupted) and (more := next_interrupt(event)) is not None:
        return f"{text}; {more}"
    return text
