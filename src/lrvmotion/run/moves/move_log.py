"""What the driver tells, records and hands to the hooks of each VM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lrvmotion.events import Observer, Upcoming
from lrvmotion.journal.records import MoveEnded
from lrvmotion.model.migration_state import MigrationState
from lrvmotion.plan.plan import Migration
from lrvmotion.plan.schedule import Schedule
from lrvmotion.run.moves.attempts import Attempts
from lrvmotion.run.moves.collaborators import Collaborators
from lrvmotion.run.moves.open_questions import OpenQuestions
from lrvmotion.run.moves.run_faults import RunFaults

AHEAD = 10  # VMs that are told to come next


@dataclass(slots=True)
class MoveLog:
    """Events, journal and hooks of a run's VMs; *attempts* are what is known of each, *questions* what they ask."""

    run: Collaborators
    faults: RunFaults
    observer: Observer
    attempts: Mapping[str, Attempts]
    questions: OpenQuestions
    upcoming: tuple[str, ...] = ()  # as it was told last
    states: tuple[MigrationState, ...] = ()  # of all VMs, when that was

    def tell(
        self,
        migration: Migration,
        state: MigrationState,
        *,
        reason: str | None = None,
        hint: str | None = None,
        wait_s: float = 0.0,
        queued: bool = False,
    ) -> None:
        """Tell that *migration* is in *state* (events.Move)."""
        known = self.attempts[migration.vm]
        elapsed_s = 0.0 if known.began is None else self.run.clock() - known.began
        self.observer(
            known.told(migration, state, elapsed_s=elapsed_s, reason=reason, hint=hint, wait_s=wait_s, queued=queued)
        )

    def close(
        self, migration: Migration, state: MigrationState, *, reason: str | None = None, hint: str | None = None
    ) -> None:
        """Record and tell how *migration* ended."""
        self.questions.close(migration.vm)
        self.faults.record(MoveEnded(vm=migration.vm, state=state, reason=reason or ""))
        self.leave(migration, state, reason=reason, hint=hint)

    def leave(
        self, migration: Migration, state: MigrationState, *, reason: str | None = None, hint: str | None = None
    ) -> None:
        """Tell how *migration* ended for this run; the journal keeps it open, so that --resume looks again."""
        self.tell(migration, state, reason=reason, hint=hint)
        try:
            self.run.hooks.ended(migration, state, reason)
        except Exception as error:  # noqa: BLE001 - as in RunFaults.foreseen
            self.faults.unforeseen(migration.vm, error)

    def look_ahead(self, schedule: Schedule) -> None:
        """Tell which VMs start next, where one has started or ended since."""
        states = tuple(schedule.states.values())
        if states == self.states:
            return
        self.states = states
        upcoming = tuple(schedule.upcoming(AHEAD, {vm: self.attempts[vm].percent for vm in schedule.running}))
        if upcoming != self.upcoming:
            self.upcoming = upcoming
            self.observer(Upcoming(vms=upcoming))
