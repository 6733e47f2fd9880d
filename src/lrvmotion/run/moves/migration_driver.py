"""Drive the schedule until every migration has ended: start, follow, try again, verify."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lrvmotion.errors import LrvmotionError, TrustError, UnreachableError
from lrvmotion.events import Found, Interrupted, Message, Observer
from lrvmotion.findings import errors
from lrvmotion.journal.records import CancelAsked, MoveBegun, MoveEnded, MoveTask
from lrvmotion.journal.run_state import UnfinishedMove
from lrvmotion.model.migration_state import MigrationState
from lrvmotion.plan.plan import Migration
from lrvmotion.plan.schedule import (
    Bar,
    Begin,
    Cancel,
    Command,
    Due,
    Ended,
    Event,
    Failed,
    Hold,
    Room,
    Schedule,
    Start,
    Stop,
    Withdrawn,
)
from lrvmotion.ports.mover import Mover, TaskUpdate, TransientError
from lrvmotion.run.moves.attempts import Attempts
from lrvmotion.run.moves.collaborators import Collaborators
from lrvmotion.run.moves.move_log import MoveLog
from lrvmotion.run.moves.open_questions import OpenQuestions
from lrvmotion.run.moves.run_faults import RunFaults
from lrvmotion.run.moves.task_news import SILENT_S, TaskNews

LOOK_S = 10.0  # between two looks at vCenters that did not answer where a VM is


@dataclass(slots=True)
class _Driver:
    schedule: Schedule
    mover: Mover
    observer: Observer
    run: Collaborators
    migrations: dict[str, Migration]
    trips: dict[str, Attempts] = field(default_factory=dict)
    level: int = 0
    room: float | None = None
    barred: frozenset[str] = frozenset()
    unwatched: str = ""  # why the relays could not be looked at
    questions: OpenQuestions = field(init=False)
    faults: RunFaults = field(init=False)
    log: MoveLog = field(init=False)
    left: set[str] = field(default_factory=set)  # VMs whose tasks were given up, and may run on

    def __post_init__(self) -> None:
        self.questions = OpenQuestions(self.run.question_wait_s)
        self.faults = RunFaults(self.schedule, self.run.journal, self.observer)
        self.log = MoveLog(self.run, self.faults, self.observer, self.trips, self.questions)

    def step(self, event: Event) -> None:
        """Give *event* to the schedule and carry its commands out, and those that follow from them."""
        self.carry_out(self.schedule.step(event))

    def carry_out(self, commands: list[Command]) -> None:
        pending = list(commands)
        while pending:
            command = pending.pop(0)
            match command:
                case Cancel(vm=vm):
                    self.cancel(vm)
                case Hold(vm=vm, reason=reason):
                    self.log.close(self.migrations[vm], MigrationState.HELD, reason=reason)
                case Start(migration=migration):
                    pending += self.poll_interrupts()
                    if self.schedule.stopped:
                        pending += self.schedule.step(Withdrawn(vm=migration.vm))
                    else:
                        pending += self.start(migration)

    def cancel(self, vm: str) -> None:
        """Ask for the VM's task to be cancelled; where that fails it goes on, and is followed."""
        self.faults.record(CancelAsked(vm=vm))

        def ask() -> list[Command]:
            self.mover.cancel(vm)
            return []

        self.faults.foreseen(vm, ask, lambda _: [])

    def poll_interrupts(self) -> list[Command]:
        """Look for a Ctrl-C."""
        now = min(self.run.interrupts(), 3)
        if now <= self.level:
            return []
        self.level = now
        self.observer(Interrupted(level=now))
        return self.schedule.step(Stop(cancel=now > 1))

    def look_at_window(self) -> None:
        """Let start what fits into what is left of the window."""
        before, self.room = self.room, self.run.window.left_s()
        if self.room is None and before is None:
            return
        if before is None and (longest := self.run.window.longest_s()) is not None:
            for vm in self.schedule.too_long(longest):
                reason = f"would take longer than the longest window, {longest / 3600:.1f} h"
                self.carry_out(self.end(self.migrations[vm], MigrationState.HELD, reason=reason))
        self.step(Room(seconds=self.room))

    def look_at_relays(self) -> None:
        """Start nothing from hosts whose relay is in trouble, until it is not."""
        running = {vm: trip.percent if (trip := self.trips[vm]).runs else None for vm in self.schedule.running}
        try:
            barred = frozenset(self.run.relays.look(running))
            self.unwatched = ""
        except LrvmotionError as error:
            if error.message != self.unwatched:
                self.unwatched = error.message
                self.observer(Message(text=f"the relays could not be looked at: {error.message}"))
            return
        except Exception as error:  # noqa: BLE001 - as in RunFaults.foreseen
            self.faults.unforeseen("relays", error)
            return
        if barred != self.barred:
            self.barred = barred
            self.step(Bar(hosts=barred))

    def held(self, migration: Migration) -> list[str]:
        """Return why *migration* may not start; raises TrustError for a vCenter, UnreachableError for anything."""
        if reasons := self.mover.recheck(migration):
            return reasons
        try:
            return self.run.relays.hold(migration) or self.run.hooks.hold(migration)
        except UnreachableError:
            raise
        except LrvmotionError as error:
            return [error.message]
        except Exception as error:  # noqa: BLE001 - as in RunFaults.foreseen
            return [self.faults.unforeseen(migration.vm, error)]

    def start(self, migration: Migration) -> list[Command]:
        trip = self.trips[migration.vm]
        try:
            if reasons := self.held(migration):
                return self.end(migration, MigrationState.HELD, reason="; ".join(reasons))
            trip.metadata = trip.metadata or self.mover.record(migration)
        except TrustError as error:
            self.faults.distrust(error)
            return self.schedule.step(Withdrawn(vm=migration.vm))
        except UnreachableError as error:
            trip.vain += 1
            return self.settle(migration, _refused(migration, error))
        except LrvmotionError as error:
            return self.end(migration, MigrationState.HELD, reason=error.message)
        except Exception as error:  # noqa: BLE001 - as in RunFaults.foreseen
            return self.end(migration, MigrationState.HELD, reason=self.faults.unforeseen(migration.vm, error))
        begun = MoveBegun(
            vm=migration.vm, instance_uuid=migration.instance_uuid, source_ref=str(migration.ref),
            source_host=migration.source_host, target_host=migration.placement.host.name, attempt=trip.attempts + 1,
            metadata=trip.metadata,
        )  # fmt: skip
        if (reason := self.faults.record(begun)) is not None:
            return self.end(migration, MigrationState.HELD, reason=reason)
        trip.attempts += 1
        trip.began = self.run.clock() if trip.began is None else trip.began
        try:
            task = self.mover.start(migration)
        except (TransientError, UnreachableError) as error:
            return self.settle(migration, _refused(migration, error))
        except TrustError as error:
            return self.unseen(migration, "its relocate was asked for", error)
        except LrvmotionError as error:
            return self.end(migration, MigrationState.ERROR, reason=error.message, hint=error.hint)
        except Exception as error:  # noqa: BLE001 - as in RunFaults.foreseen
            return self.begun_or_not(migration, self.faults.unforeseen(migration.vm, error))
        self.faults.record(MoveTask(vm=migration.vm, task=task))
        self.log.tell(migration, MigrationState.RUNNING)
        return []

    def begun_or_not(self, migration: Migration, reason: str) -> list[Command]:
        """Follow the VM's relocate where one runs all the same; else see where the VM is."""
        failed = TaskUpdate(vm=migration.vm, state="error", reason=reason)

        def look() -> list[Command]:
            if (task := self.mover.unfinished(migration)) is None:
                return self.settle(migration, failed)
            self.follow(migration, task)
            return []

        return self.faults.foreseen(migration.vm, look, lambda _: self.settle(migration, failed))

    def take_up(self, migration: Migration, begun: UnfinishedMove) -> list[Command]:
        """Go on with a move that an earlier process began: follow its task, or see where the VM is.

        What is at the source, and no task moves, is left for a plan of its own.
        """
        trip = self.trips[migration.vm]
        trip.attempts, trip.began, trip.metadata = 1, self.run.clock(), begun.metadata
        task = self.mover.unfinished(migration)
        if task is not None:
            self.follow(migration, task)
            return []
        if self.mover.locate(migration) == "source":
            reason = "its relocate has ended, and it is at the source"
            self.faults.record(
                MoveEnded(vm=migration.vm, state=MigrationState.HELD, reason=reason)
            )  # no move is open now
            self.log.tell(migration, MigrationState.QUEUED, reason=reason)
            return self.schedule.step(Ended(vm=migration.vm, state=MigrationState.HELD))
        reason = "its relocate ended while lrvmotion was not running"
        return self.settle(migration, TaskUpdate(vm=migration.vm, state="error", reason=reason))

    def take_up_or_look(self, migration: Migration, begun: UnfinishedMove) -> list[Command]:
        """Resume a move; where that fails, see where the VM is, again and again while the vCenters do not answer."""

        def look(why: str) -> list[Command]:
            reason = f"its relocate could not be followed: {why}"
            return self.settle(migration, TaskUpdate(vm=migration.vm, state="error", reason=reason))

        return self.faults.foreseen(migration.vm, lambda: self.take_up(migration, begun), look)

    def follow(self, migration: Migration, task: str) -> None:
        """Follow a task that was not seen to begin."""
        self.mover.follow(migration, task)
        self.log.tell(migration, MigrationState.RUNNING, reason="resumed: its task was running")

    def take(self, update: TaskUpdate) -> None:
        migration = self.migrations[update.vm]
        if update.vm in self.left:
            return
        if update.question is not None:
            if text := self.questions.take(update.vm, update.question, self.run.clock()):
                self.observer(Message(text=text))
            return
        if update.state in {"queued", "running"}:
            trip = self.trips[update.vm]
            trip.runs = trip.runs or update.state == "running"
            trip.percent = max(update.percent, trip.percent)
            self.log.tell(migration, MigrationState.RUNNING, queued=update.state == "queued")
        else:
            self.carry_out(self.settle(migration, None if update.state == "success" else update))

    def settle(self, migration: Migration, failed: TaskUpdate | None) -> list[Command]:
        """A task has ended, or was not seen to begin: see where the VM is, and decide by that, never by the task."""
        trip = self.trips[migration.vm]
        now = self.run.clock()
        if trip.look_at is None:
            trip.failed, trip.look_until = failed, now + SILENT_S
        failed = trip.failed
        try:
            where = self.mover.locate(migration) if failed is not None else "target"
            trip.look_at = None
            if where == "target":
                return self.arrived(migration)
            if where == "source" and failed is not None:
                return self.stayed(migration, failed)
        except TrustError as error:
            trip.look_at = None
            return self.unseen(migration, _said(failed), error)
        except LrvmotionError as error:
            if now < trip.look_until and self.level < 3:
                trip.look_at = now + LOOK_S
                return []
            return self.lost(migration, failed, error.message, error.hint)
        except Exception as error:  # noqa: BLE001 - as in RunFaults.foreseen
            return self.lost(migration, failed, self.faults.unforeseen(migration.vm, error))
        has = "both vCenters have" if where == "both" else "neither vCenter has"
        hint = "it is left as it is: look at both sides before you power on or remove either"
        return self.end(
            migration, MigrationState.ERROR, reason=f"{has} the VM: {failed.reason if failed else ''}", hint=hint
        )

    def lost(self, migration: Migration, failed: TaskUpdate | None, why: str, hint: str | None = None) -> list[Command]:
        """Give up a VM whose place could not be read."""
        self.trips[migration.vm].look_at = None
        reason = f"{_said(failed)}; where the VM is now could not be read: {why}"
        return self.end(migration, MigrationState.ERROR, reason=reason, hint=hint)

    def unseen(self, migration: Migration, said: str, error: TrustError) -> list[Command]:
        """End a move whose vCenter is no longer trusted; the journal keeps it open, so that --resume looks again."""
        self.faults.distrust(error)
        reason = f"{said}; where the VM is now could not be read: {error.message}"
        self.log.leave(migration, MigrationState.ERROR, reason=reason, hint=error.hint)
        return self.schedule.step(Ended(vm=migration.vm, state=MigrationState.ERROR))

    def arrived(self, migration: Migration) -> list[Command]:
        """Verify a VM that is at the target, and carry over what does not follow it."""
        trip = self.trips[migration.vm]
        found = self.mover.verify(migration, trip.metadata)
        for finding in found:
            self.observer(Found(finding=finding))
        bad = errors(found)
        if bad:
            return self.end(migration, MigrationState.ERROR, reason=bad[0].summary, hint=bad[0].hint)
        trip.percent = 100

        def carry() -> list[Command]:
            for item in self.mover.carry(migration, trip.metadata, self.run.journal.append):
                self.observer(item)
            return []

        def not_carried(why: str) -> list[Command]:
            text = f"{migration.vm}: what does not follow it was not carried over: {why}"
            self.observer(Message(text=text))
            return []

        self.faults.foreseen(migration.vm, carry, not_carried)
        return self.end(migration, MigrationState.SUCCESS)

    def stayed(self, migration: Migration, failed: TaskUpdate) -> list[Command]:
        """A VM whose task failed is at the source still: wait for the next try, or give it up."""
        trip = self.trips[migration.vm]
        self.name_leftovers(migration)
        if failed.cancelled and (unanswered := self.questions.reason(migration.vm)) is not None:
            reason = f"{unanswered}: its move was cancelled, and the VM stays at the source"
            return self.end(migration, MigrationState.HELD, reason=reason, hint="answer it in vCenter, then --resume")
        if failed.cancelled:
            return self.end(migration, MigrationState.CANCELLED, reason="cancelled; the VM stays at the source")
        self.questions.close(migration.vm)
        spent = trip.attempts + trip.vain
        if not failed.passing or spent >= self.run.retries.most or self.schedule.stopped:
            return self.lay_down(migration, failed.reason, failed.hint)
        wait = self.run.retries.after(spent)
        trip.reason, trip.hint, trip.due = failed.reason, failed.hint, self.run.clock() + wait
        trip.percent, trip.runs = 0, False
        self.log.tell(migration, MigrationState.WAITING, reason=failed.reason, hint=failed.hint, wait_s=wait)
        return self.schedule.step(Failed(vm=migration.vm))

    def name_leftovers(self, migration: Migration) -> None:
        """Tell what the failed move left at the target; where that cannot be read, the next attempt will meet it."""

        def look() -> list[Command]:
            for finding in self.mover.leftovers(migration):
                self.observer(Found(finding=finding))
            return []

        self.faults.foreseen(migration.vm, look, lambda _: [])

    def lay_down(self, migration: Migration, reason: str | None, hint: str | None) -> list[Command]:
        """Give up a VM after its last try: held where no relocate of it was ever asked for."""
        asked = self.trips[migration.vm].attempts > 0
        return self.end(migration, MigrationState.ERROR if asked else MigrationState.HELD, reason=reason, hint=hint)

    def look_at_questions(self) -> None:
        """Cancel the moves whose VMs have waited too long for an answer; give up those that do not end even then.

        The journal keeps the latter open, so that --resume looks again.
        """
        now = self.run.clock()
        for vm in self.questions.overdue(now):
            self.cancel(vm)
        for vm in list(self.questions.stuck(now)):
            migration = self.migrations[vm]
            reason = f"{self.questions.reason(vm)}; cancelled, and its task has not ended"
            self.left.add(vm)
            self.questions.close(vm)
            self.log.leave(migration, MigrationState.HELD, reason=reason, hint="answer it in vCenter, then --resume")
            self.step(Ended(vm=vm, state=MigrationState.HELD))

    def run_due_retries(self) -> None:
        """Look again where VMs are that could not be found, and queue those whose wait is over."""
        now = self.run.clock()
        for vm, trip in self.trips.items():
            if trip.look_at is not None and now >= trip.look_at:
                self.carry_out(self.settle(self.migrations[vm], trip.failed))
            if trip.due is not None and now >= trip.due and not self.schedule.stopped:
                trip.due = None
                self.carry_out(self.again(self.migrations[vm]))

    def again(self, migration: Migration) -> list[Command]:
        """The next try, unless a relocate of the VM runs: then that one is followed, never a second one started."""
        try:
            task = self.mover.unfinished(migration)
        except TrustError as error:
            self.faults.distrust(error)
            return []
        except LrvmotionError:
            self.trips[migration.vm].due = self.run.clock() + LOOK_S
            return []
        except Exception as error:  # noqa: BLE001 - as in RunFaults.foreseen
            trip = self.trips[migration.vm]
            trip.reason, trip.hint = f"{trip.reason}; {self.faults.unforeseen(migration.vm, error)}", None
            return []
        self.log.tell(migration, MigrationState.QUEUED)
        if task is None:
            return self.schedule.step(Due(vm=migration.vm))
        self.schedule.adopt(migration.vm)
        self.follow(migration, task)
        return []

    def end(
        self, migration: Migration, state: MigrationState, *, reason: str | None = None, hint: str | None = None
    ) -> list[Command]:
        self.log.close(migration, state, reason=reason, hint=hint)
        return self.schedule.step(Ended(vm=migration.vm, state=state))


def drive(
    migrations: tuple[Migration, ...],
    schedule: Schedule,
    mover: Mover,
    observer: Observer,
    run: Collaborators,
    *,
    begun: Mapping[str, UnfinishedMove] | None = None,
) -> None:
    """Move the VMs of *schedule* and return when nothing runs and nothing will start, or at the third Ctrl-C.

    *begun* are moves that an earlier process began and did not see end, by VM. Raises what *mover* raises when
    the vCenter is gone: the tasks go on there without us. Once nothing runs any longer it raises TrustError where a
    vCenter was not trusted when it was asked where a VM is (what was not started is left queued, what was not seen to
    end open), and the first error that nobody foresaw.
    """
    by_name = {migration.vm: migration for migration in migrations}
    driver = _Driver(schedule, mover, observer, run, by_name, {vm: Attempts() for vm in by_name})
    for migration in migrations:
        driver.log.tell(migration, MigrationState.QUEUED)
    for vm in begun or {}:
        schedule.adopt(vm)
    for vm, open_ in (begun or {}).items():
        driver.carry_out(driver.take_up_or_look(by_name[vm], open_))
    driver.look_at_window()
    driver.step(Begin())
    news = TaskNews(mover, driver.faults, run.clock)
    while not schedule.finished:
        driver.carry_out(driver.poll_interrupts())
        if driver.level > 2 or (not schedule.running and run.window.is_over()):
            driver.faults.verify()
            return
        for update in news.take():
            driver.take(update)
        driver.look_at_questions()
        driver.run_due_retries()
        driver.look_at_window()
        driver.look_at_relays()
        driver.log.look_ahead(schedule)
    for vm in [vm for vm, state in schedule.states.items() if state == MigrationState.WAITING]:
        trip = driver.trips[vm]
        driver.carry_out(driver.lay_down(by_name[vm], trip.reason, trip.hint))
    driver.faults.verify()


def _refused(migration: Migration, error: LrvmotionError) -> TaskUpdate:
    return TaskUpdate(vm=migration.vm, state="error", reason=error.message, hint=error.hint, passing=True)


def _said(failed: TaskUpdate | None) -> str:
    return "the task succeeded" if failed is None else failed.reason or "the task failed"
