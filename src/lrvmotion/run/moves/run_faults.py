"""What goes wrong with a run itself: from then on nothing more starts, and what moves is followed to its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from lrvmotion.errors import LrvmotionError, TrustError
from lrvmotion.events import Message, Observer
from lrvmotion.journal.records import Body
from lrvmotion.plan.schedule import Schedule, Stop
from lrvmotion.run.moves.collaborators import Recorder

T = TypeVar("T")


@dataclass(slots=True)
class RunFaults:
    """Errors that nobody foresaw, a vCenter that is not trusted any more, a journal that takes nothing.

    *distrusted* and *bug* (the first one) are raised by `verify` once nothing moves any longer.
    """

    schedule: Schedule
    journal: Recorder
    observer: Observer
    distrusted: TrustError | None = None
    bug: Exception | None = None

    def foreseen(self, subject: str, work: Callable[[], T], otherwise: Callable[[str], T]) -> T:
        """Return what *work* on *subject* comes to, or *otherwise* of why it failed."""
        try:
            return work()
        except LrvmotionError as error:
            return otherwise(error.message)
        except Exception as error:  # noqa: BLE001 - raised by verify once nothing moves any longer
            return otherwise(self.unforeseen(subject, error))

    def unforeseen(self, subject: str, error: Exception) -> str:
        """Take *error*, a bug; return it in words, without its text, which may hold anything."""
        said = f"unexpected: {type(error).__name__}"
        if self.bug is None:
            self.bug = error
            self.observer(Message(text=f"{subject}: {said}; no further VM is started"))
        self.schedule.step(Stop())
        return said

    def distrust(self, error: TrustError) -> None:
        """Take *error*: a vCenter shows another certificate or refuses the login, which no waiting changes."""
        if self.distrusted is None:
            self.distrusted = error
            self.observer(Message(text=f"{error.message}; no further VM is started"))
        self.schedule.step(Stop())

    def record(self, body: Body) -> str | None:
        """Record *body*; return why not where that fails."""
        try:
            self.journal.append(body)
        except LrvmotionError as error:
            if not self.schedule.stopped:
                self.observer(Message(text=f"{error.message}; no further VM is started"))
            self.schedule.step(Stop())
            return error.message
        except Exception as error:  # noqa: BLE001 - as in foreseen
            return self.unforeseen("journal", error)
        return None

    def verify(self) -> None:
        """Raise what ends the run now that nothing moves any longer."""
        if self.distrusted is not None:
            raise self.distrusted
        if self.bug is not None:
            raise self.bug
