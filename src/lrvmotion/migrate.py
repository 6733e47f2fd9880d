"""Drive the schedule until every migration has ended: start, follow, verify."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from lrvmotion.errors import LrvmotionError
from lrvmotion.events import Interrupted, Message, Move, MoveState, Observer
from lrvmotion.findings import Finding, errors
from lrvmotion.plan import Migration
from lrvmotion.schedule import Begin, Cancel, Command, Ended, Event, Schedule, Start, Stop, Withdrawn

POLL_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskUpdate:
    """News of one VM's relocate task. *fault* is the fault's class name; *percent* never falls."""

    vm: str
    state: Literal["queued", "running", "success", "error"]
    percent: int = 0
    reason: str | None = None
    hint: str | None = None
    fault: str | None = None
    cancelled: bool = False


class Mover(Protocol):
    """Whoever can relocate VMs: a pair of vCenters."""

    def recheck(self, migration: Migration) -> list[str]:
        """Return why the VM must be held: it or its hosts are not as planned any more."""

    def start(self, migration: Migration) -> str:
        """Start the relocate and return the task's id; raises LrvmotionError where it is refused at once."""

    def updates(self, timeout_s: float) -> list[TaskUpdate]:
        """Wait up to *timeout_s* for news of any started task."""

    def cancel(self, vm: str) -> None:
        """Ask for the VM's task to be cancelled; harmless where it cannot be any more."""

    def verify(self, migration: Migration) -> list[Finding]:
        """Return what is wrong with the VM after a task that succeeded: it must be at the target, once."""


class Recorder(Protocol):
    """Where a move is recorded before it starts and after it ended: the journal."""

    def __call__(self, kind: str, body: dict[str, str]) -> None:
        """Record one line."""


@dataclass(slots=True, kw_only=True)
class Hooks:
    """What the driver asks while it waits.

    *interrupts* counts Ctrl-C: once starts nothing more, twice cancels what runs, thrice leaves it running; *watch*
    looks at the relay and says why to stop; *hold* says why no VM may start now (a setting that changed, a relay that
    is not healthy); *record* may raise LrvmotionError: then nothing more is started.
    """

    interrupts: Callable[[], int]
    watch: Callable[[list[str]], str | None]
    hold: Callable[[Migration], list[str]]
    record: Recorder
    clock: Callable[[], float]


@dataclass(slots=True)
class _Driver:
    schedule: Schedule
    mover: Mover
    observer: Observer
    hooks: Hooks
    migrations: dict[str, Migration]
    began: dict[str, float] = field(default_factory=dict)
    percent: dict[str, int] = field(default_factory=dict)
    level: int = 0

    def step(self, event: Event) -> None:
        """Give *event* to the schedule and carry its commands out, and those that follow from them."""
        self.carry_out(self.schedule.step(event))

    def carry_out(self, commands: list[Command]) -> None:
        pending = list(commands)
        while pending:
            command = pending.pop(0)
            match command:
                case Cancel(vm=vm):
                    self.mover.cancel(vm)
                case Start(migration=migration):
                    pending += self.heed()
                    if self.schedule.stopped:
                        pending += self.schedule.step(Withdrawn(vm=migration.vm))
                    else:
                        pending += self.start(migration)

    def heed(self) -> list[Command]:
        """Look for a Ctrl-C."""
        now = min(self.hooks.interrupts(), 3)
        if now <= self.level:
            return []
        self.level = now
        self.observer(Interrupted(level=now))
        return self.schedule.step(Stop(cancel=now > 1))

    def held(self, migration: Migration) -> list[str]:
        try:
            return [*self.hooks.hold(migration)] or self.mover.recheck(migration)
        except LrvmotionError as error:
            return [error.message]

    def record(self, kind: str, body: dict[str, str]) -> str | None:
        """Record; return why not, and start nothing more, where that fails: what runs is followed to its end."""
        try:
            self.hooks.record(kind, body)
        except LrvmotionError as error:
            if not self.schedule.stopped:
                self.observer(Message(text=f"{error.message}; no further VM is started"))
            self.schedule.step(Stop())
            return error.message
        return None

    def start(self, migration: Migration) -> list[Command]:
        if reasons := self.held(migration):
            return self.end(migration, "held", reason="; ".join(reasons))
        body = {
            "vm": migration.vm,
            "instance_uuid": migration.instance_uuid,
            "source_ref": str(migration.ref),
            "source_host": migration.source_host,
            "target_host": migration.placement.host.name,
        }
        if (reason := self.record("move", body)) is not None:
            return self.end(migration, "held", reason=reason)
        self.began[migration.vm] = self.hooks.clock()
        try:
            task = self.mover.start(migration)
        except LrvmotionError as error:
            return self.end(migration, "error", reason=error.message, hint=error.hint)
        self.record("task", {"vm": migration.vm, "task": task})
        self.tell(migration, "running")
        return []

    def take(self, update: TaskUpdate) -> None:
        migration = self.migrations[update.vm]
        if update.state in {"queued", "running"}:
            self.percent[update.vm] = max(update.percent, self.percent.get(update.vm, 0))
            self.tell(migration, "running", reason="queued by vCenter" if update.state == "queued" else None)
        elif update.state == "success":
            self.verified(migration)
        elif update.cancelled:
            self.carry_out(self.end(migration, "cancelled", reason="cancelled; the VM stays at the source"))
        else:
            self.carry_out(self.end(migration, "error", reason=update.reason, hint=update.hint))

    def verified(self, migration: Migration) -> None:
        try:
            bad = errors(self.mover.verify(migration))
        except LrvmotionError as error:
            reason = f"the task succeeded; where the VM is now could not be read: {error.message}"
            self.carry_out(self.end(migration, "error", reason=reason, hint=error.hint))
            return
        if bad:
            self.carry_out(self.end(migration, "error", reason=bad[0].summary, hint=bad[0].hint))
        else:
            self.percent[migration.vm] = 100
            self.carry_out(self.end(migration, "success"))

    def end(
        self,
        migration: Migration,
        state: Literal["success", "error", "cancelled", "held"],
        *,
        reason: str | None = None,
        hint: str | None = None,
    ) -> list[Command]:
        self.record("moved", {"vm": migration.vm, "state": state, "reason": reason or ""})
        self.tell(migration, state, reason=reason, hint=hint)
        return self.schedule.step(Ended(vm=migration.vm, state=state))

    def tell(
        self, migration: Migration, state: MoveState, *, reason: str | None = None, hint: str | None = None
    ) -> None:
        began = self.began.get(migration.vm)
        self.observer(
            Move(
                vm=migration.vm,
                state=state,
                source_host=migration.source_host,
                target_host=migration.placement.host.name,
                percent=self.percent.get(migration.vm, 0),
                bytes_total=migration.hot_bytes + migration.cold_bytes,
                elapsed_s=0.0 if began is None else self.hooks.clock() - began,
                reason=reason,
                hint=hint,
            )
        )


def drive(
    migrations: tuple[Migration, ...], schedule: Schedule, mover: Mover, observer: Observer, hooks: Hooks
) -> None:
    """Move the VMs of *schedule* and return when nothing runs and nothing will start, or at the third Ctrl-C.

    Raises what *mover* raises when the vCenter is gone: the tasks go on there without us.
    """
    driver = _Driver(schedule, mover, observer, hooks, {migration.vm: migration for migration in migrations})
    for migration in migrations:
        driver.tell(migration, "queued")
    driver.step(Begin())
    while not schedule.finished:
        driver.carry_out(driver.heed())
        if driver.level > 2:
            return
        for update in mover.updates(POLL_S):
            driver.take(update)
        running = [vm for vm, state in schedule.states.items() if state == "running"]
        if not schedule.stopped and (reason := hooks.watch(running)) is not None:
            driver.step(Stop())
            for vm, state in schedule.states.items():
                if state == "queued":
                    driver.tell(driver.migrations[vm], "held", reason=reason)
                    schedule.states[vm] = "held"
