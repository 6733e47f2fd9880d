"""The migration queue as a state machine: events in, commands out, limits kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, assert_never

from lrvmotion.plan import Migration

State = Literal["queued", "running", "success", "error", "cancelled", "held"]
FINAL = frozenset({"success", "error", "cancelled", "held"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A migration ended in a final state: success, error, cancelled, or held before it started."""

    vm: str
    state: Literal["success", "error", "cancelled", "held"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Start nothing more; with *cancel*, cancel what runs."""

    cancel: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """A Start that was not carried out: the migration is queued again."""

    vm: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """Look whether something can start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Command: start this migration now."""

    migration: Migration


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Command: cancel this VM's running migration."""

    vm: str


Event = Begin | Ended | Stop | Withdrawn
Command = Start | Cancel


class Schedule:
    """At most *per_host* migrations a source host and a target host (vCenter's own limit is 2: reference 5).

    In the order given; a migration whose hosts are busy lets later ones pass. More than *max_failures* errors stop it.
    """

    def __init__(self, migrations: Iterable[Migration], *, per_host: int = 1, max_failures: int | None = None) -> None:
        self._migrations = {migration.vm: migration for migration in migrations}
        self.states: dict[str, State] = dict.fromkeys(self._migrations, "queued")
        self._per_host = per_host
        self._max_failures = max_failures
        self.stopped = False

    def step(self, event: Event) -> list[Command]:
        """Take *event* and return what to do now."""
        match event:
            case Begin():
                pass
            case Ended(vm=vm, state=state):
                if self.states[vm] in FINAL:
                    message = f"{vm} has ended already"
                    raise ValueError(message)
                self.states[vm] = state
                failures = sum(1 for state in self.states.values() if state == "error")
                if self._max_failures is not None and failures > self._max_failures:
                    self.stopped = True
            case Withdrawn(vm=vm):
                self.states[vm] = "queued"
            case Stop(cancel=cancel):
                self.stopped = True
                if cancel:
                    return [Cancel(vm=vm) for vm, state in self.states.items() if state == "running"]
            case _:
                assert_never(event)
        return [] if self.stopped else list(self._startable())

    @property
    def finished(self) -> bool:
        """Whether nothing runs and nothing will start."""
        states = self.states.values()
        return "running" not in states and (self.stopped or "queued" not in states)

    def _startable(self) -> Iterable[Start]:
        running = [self._migrations[vm] for vm, state in self.states.items() if state == "running"]
        busy = Counter(f"source/{migration.source_host}" for migration in running)
        busy.update(f"target/{migration.placement.host.name}" for migration in running)
        for vm, migration in self._migrations.items():
            if self.states[vm] != "queued":
                continue
            leases = (f"source/{migration.source_host}", f"target/{migration.placement.host.name}")
            if all(busy[lease] < self._per_host for lease in leases):
                busy.update(leases)
                self.states[vm] = "running"
                yield Start(migration=migration)
