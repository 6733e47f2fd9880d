"""Whom the driver asks while it works: window, relays, hooks and journal, and how often a VM is tried."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from lrvmotion.journal.records import Body
from lrvmotion.model.migration_state import MigrationState
from lrvmotion.plan.plan import Migration

LONGEST_WAIT_S = 900.0


class Window(Protocol):
    """The maintenance windows as they are now, seconds."""

    def left_s(self) -> float | None:
        """Return what is left of the open one, 0 where none is open, None without an end."""

    def longest_s(self) -> float | None:
        """Return the longest that comes, None where there is none or it has no end."""

    def is_over(self) -> bool:
        """Return whether none is open and none will open again."""


class RelayWatch(Protocol):
    """The relays that the VMs move through."""

    def look(self, running: Mapping[str, int | None]) -> Collection[str]:
        """Look at them; return the source hosts from which nothing may start for now.

        *running* are the VMs that move, each with its task's percent, None: vCenter has not begun it.
        """

    def hold(self, migration: Migration) -> list[str]:
        """Return why *migration* may not start now: a relay is not healthy, a setting changed."""


class MoveHooks(Protocol):
    """The user's hooks around a VM's move."""

    def hold(self, migration: Migration) -> list[str]:
        """Return why *migration* may not start: a hook before it failed."""

    def ended(self, migration: Migration, state: MigrationState, reason: str | None) -> None:
        """*migration* ended as *state*."""


class Recorder(Protocol):
    """The journal of the run."""

    def append(self, body: Body) -> None:
        """Record; return once it is on the disk, else raise LrvmotionError: then no further move starts."""


class NoWindow:
    """A run that may go on for ever."""

    def left_s(self) -> float | None:
        """Return None: no end."""

    def longest_s(self) -> float | None:
        """Return None: no end."""

    def is_over(self) -> bool:
        """Return False."""
        return False


class NoHooks:
    """A run without hooks."""

    def hold(self, _migration: Migration) -> list[str]:
        """Return nothing."""
        return []

    def ended(self, _migration: Migration, _state: MigrationState, _reason: str | None) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often a VM is tried, and how long it waits after the first failure, seconds."""

    most: int = 1
    wait_s: float = 30.0

    def after(self, attempts: int) -> float:
        """Return how long to wait after so many failed attempts: doubled each time, jittered, at most 15 minutes."""
        from tenacity import RetryCallState, Retrying, wait_exponential_jitter

        state = RetryCallState(Retrying(), None, (), {})
        state.attempt_number = attempts
        return wait_exponential_jitter(multiplier=self.wait_s, max=LONGEST_WAIT_S, jitter=self.wait_s / 2)(state)


@dataclass(slots=True, kw_only=True)
class Collaborators:
    """Whom the driver asks.

    *interrupts* counts Ctrl-C: once starts nothing more, twice cancels what runs, thrice leaves it running. *clock*
    gives seconds that only grow. *question_wait_s* is how long a VM in mid-move may wait for an answer.
    """

    interrupts: Callable[[], int]
    clock: Callable[[], float]
    journal: Recorder
    relays: RelayWatch
    hooks: MoveHooks = field(default_factory=NoHooks)
    window: Window = field(default_factory=NoWindow)
    retries: Retries = field(default_factory=Retries)
    question_wait_s: float = 300.0
