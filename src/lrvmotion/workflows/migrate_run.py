"""The migrate command joined up: apply, prove, move, restore."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import NoReturn, Protocol, Self

from lrvmotion.config.schema import Config
from lrvmotion.errors import ExitStatus, LrvmotionError, NotRestoredError, RefusedError, UnreachableError
from lrvmotion.events import Error, Interrupted, Message, Observer, RunEnded, RunStarted, Waiting
from lrvmotion.journal import event_log
from lrvmotion.journal.journal import Journal
from lrvmotion.journal.records import RunBegun, RunPlan
from lrvmotion.journal.run_state import UnfinishedMove
from lrvmotion.model.counted import counted, remain_changed
from lrvmotion.model.inventory import MoRef
from lrvmotion.model.target_id import ConnectionId, TargetId
from lrvmotion.plan.modes import MODES
from lrvmotion.plan.plan import Plan
from lrvmotion.run import rolling_reboot
from lrvmotion.run.apply import StoppedError, apply, revert
from lrvmotion.run.hook_points import HookPoints
from lrvmotion.run.hooks import Hooks
from lrvmotion.run.path_proof import prove
from lrvmotion.run.rolling_reboot import Rolling
from lrvmotion.workflows.connections import Connections
from lrvmotion.workflows.move_phase import MovePhase, RunJournal
from lrvmotion.workflows.plan_run import RunOptions
from lrvmotion.workflows.relay_survey import admitted
from lrvmotion.workflows.restore_run import until_interrupted
from lrvmotion.workflows.run_relays import watched

LEAVE = 3  # so many interrupts: what runs is left to the vCenter


class Interrupts(Protocol):
    """Counts Ctrl-C, SIGTERM and SIGHUP."""

    def count(self) -> int:
        """Return how many there were."""

    def counted(self, patience: int = ..., /) -> AbstractContextManager[None]:
        """Count while it is entered; more than *patience* further ones raise KeyboardInterrupt."""


@dataclass(slots=True, kw_only=True)
class Closing:
    """The end of a run, however it comes, once RunStarted was told: entered around all of its sittings.

    Without an error *restore* is called, where it was asked for; then the hook after the run runs; then an error is
    told; RunEnded is the last event, and says what is left. *told* is called once it is out.
    """

    journal: Journal
    observer: Observer
    options: RunOptions
    interrupts: Interrupts
    restore: Callable[[], object] | None = None
    told: Callable[[], None] = lambda: None
    run: str = ""
    points: HookPoints | None = None
    unmoved: Callable[[], tuple[str, ...]] = tuple

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if not self.run:
            return
        with self.interrupts.counted():
            first = error
            for step in (self._restore if error is None else None, self._after_run):
                try:
                    if step is not None:
                        step()
                except BaseException as later:  # noqa: BLE001 - the end goes on to its end; raised again below
                    first = first or later
            if first is not None:
                self.observer(told(first))
            self.journal.keep()
            left, unmoved = len(self.journal.outstanding()), self.unmoved()
            self.observer(
                RunEnded(
                    run=self.run, outstanding=left, restore=self.options.restore_command if left else None,
                    left=unmoved, resume=f"{self.options.resume_command} --run {self.run}" if unmoved else None,
                )
            )  # fmt: skip
            self.told()
        if first is not None and first is not error:
            raise first

    def _restore(self) -> None:
        if self.restore is not None and self.interrupts.count() < LEAVE:
            with self.interrupts.counted(1):
                self.restore()

    def _after_run(self) -> None:
        if self.points is not None:
            self.points.after_run(len(self.journal.outstanding()))


def told(error: BaseException) -> Error:
    """Return *error* as an event; the text of what nobody foresaw, which may hold anything, is left out."""
    if isinstance(error, LrvmotionError):
        return Error(message=error.message, hint=error.hint, status=int(error.status))
    if isinstance(error, KeyboardInterrupt):
        return Error(message="interrupted", hint=None, status=int(ExitStatus.INTERRUPTED))
    return Error(message=f"unexpected: {type(error).__name__}", hint="this is a bug", status=int(ExitStatus.UNEXPECTED))


@dataclass(slots=True)
class Migrating:
    """One run of `migrate`, from a plan without errors to its end.

    *document* is the plan as a file has it (plan_file.text), kept in the journal so that the run can be resumed;
    *begun* are moves that an earlier process began: they are followed, and nothing else is done. *back*: the sites of
    *config* are swapped (reverse.config). *who* runs it, for the journal; *hooks* are the user's.
    """

    config: Config
    connections: Connections
    journal: Journal
    observer: Observer
    plan: Plan
    options: RunOptions
    document: str
    moment: Callable[[], datetime]
    closing: Closing
    interrupts: Callable[[], int] = lambda: 0
    begun: Mapping[str, UnfinishedMove] = field(default_factory=dict)
    back: bool = False
    who: str = ""
    hooks: Hooks | None = None
    recorder: RunJournal = field(init=False)
    points: HookPoints | None = field(init=False)

    def __post_init__(self) -> None:
        self.recorder = RunJournal(self.journal, self.plan.run, moving=bool(self.begun))
        self.points = None if self.hooks is None else HookPoints(self.hooks, self.plan)

    def go(self) -> None:
        """Apply the plan, prove it, move the VMs; *closing* ends the run.

        What was changed stays once a VM moves. Before that whatever ends the run, an error of any kind or a Ctrl-C,
        restores what the run has changed.
        """
        phases = self._phases()
        self._begin()
        try:
            for phase in phases:
                phase()
            if not self.recorder.moving:
                self._proceed()
        except StoppedError:
            self.observer(Interrupted(level=min(self.interrupts(), LEAVE), doing="changing"))
            self._revert()
        except Exception as error:
            if self.recorder.moving or not self._changed():
                raise
            self._take_back(error)

    def _phases(self) -> list[Callable[[], None]]:
        """Return what the run does, in this order; moves that an earlier process began are followed, nothing else."""
        hooks = [self.points.before_run] if self.points is not None and not self.closing.run else []
        return [*hooks, *([] if self.begun else [self._apply, self._reboot, self._prove]), self._move]

    def _begin(self) -> None:
        """Record the run, its plan and its connections; tell that it has started."""
        plan = self.plan
        vms = tuple(migration.vm for migration in plan.migrations)
        self.recorder.append(
            RunBegun(
                mode=plan.mode, vms=vms, owner_id=plan.owner_id, back=self.back, who=self.who,
                accounts=self.connections.accounts(),
            )
        )  # fmt: skip
        self.recorder.append(RunPlan(plan=json.loads(self.document)))
        for name in (ConnectionId("source"), ConnectionId("target"), *(box.connection for box in self._boxes())):
            self.recorder.append(self.connections.pinned(name))
        self._quiet()
        self.closing.run, self.closing.points = plan.run, self.points
        self.observer(
            RunStarted(
                run=plan.run,
                mode=plan.mode,
                journal=str(self.journal.path),
                vms=vms,
                forecast_s=plan.forecast.queue_s if plan.forecast else None,
                log=str(event_log.log_path(self.journal.path.parent, plan.run)),
                refused=plan.refused_vms,
            )
        )

    def _boxes(self) -> list[TargetId]:
        """Return the boxes that the moves need."""
        return [TargetId.relay(name) for name in watched(self.plan)]

    def _apply(self) -> None:
        if self.plan.changes and self._turn("changed"):
            self._quiet()
        targets = {change.target: self.connections.target(change.target) for change in self.plan.changes}
        apply(self.plan.changes, targets, self.journal, self.plan.run, self.observer, self._proceed)

    def _prove(self) -> None:
        """Prove the path, and that each relay admits what comes."""
        prove(
            self.plan, self.connections, self._echoes, self.observer,
            unproven=self.options.unproven or not MODES[self.plan.mode].CHANGES_SETTINGS, proceed=self._proceed,
        )  # fmt: skip
        admitted(self.config, self.connections, self.plan, self.observer)

    def _proceed(self) -> None:
        if self.interrupts():
            raise StoppedError

    def _reboot(self) -> None:
        """Reboot the hosts that need it, where that was asked for; the VMs of this run are moved back to theirs."""
        if not self.options.reboot_hosts:
            return
        homes: dict[TargetId, dict[str, MoRef]] = {}
        hosts: set[TargetId] = set()
        for move in self.plan.migrations:
            homes.setdefault(move.source, {})[move.vm] = move.ref
            hosts.add(move.target)
        rolling = self._rolling(homes)
        rolling.go(rolling_reboot.due(rolling, self.plan.changes, hosts | homes.keys()))

    def _rolling(self, homes: Mapping[TargetId, Mapping[str, MoRef]]) -> Rolling:
        limits = self.config.limits
        return Rolling(
            access=self.connections, journal=self.journal, run=self.plan.run, observer=self.observer,
            enter_s=limits.maintenance_wait_s, boot_s=limits.reboot_wait_s, proceed=self._proceed,
            turn=self._reboot_turn, homes=homes,
        )  # fmt: skip

    def _reboot_turn(self) -> None:
        self._turn("rebooted")

    def _turn(self, done: str) -> bool:
        """Return when a maintenance window is open, and whether that was waited for.

        Hosts are *done* ("changed", "rebooted") at no other time.
        """
        windows, told = self.config.windows, False
        while (at := windows.opens(now := self.moment())) != now:
            self._proceed()
            if at is None:
                message = f"there is no further maintenance window in which hosts could be {done}"
                raise RefusedError(message, hint="give the configuration a window to come")
            if not told:
                local = at.astimezone(windows.zone()).isoformat(timespec="seconds")
                self.observer(Waiting(subject="the maintenance window", reason=f"hosts are {done} from {local} on"))
                told = True
            time.sleep(1.0)
        return told

    def _quiet(self) -> None:
        """Refuse to write to a host on which a relocate runs, DRS's own included."""
        for name in dict.fromkeys(change.target for change in self.plan.changes):
            running = self.connections.target(name).busy()
            if running:
                message = f"{name}: {', '.join(running)}; nothing was changed"
                raise UnreachableError(message, hint="wait until it has ended, then run this again")

    def _changed(self) -> bool:
        """Return whether settings of this run are outstanding."""
        return any(item.run == self.plan.run for item in self.journal.outstanding())

    def _revert(self) -> None:
        """Restore what this run changed; a further Ctrl-C leaves the rest."""
        run = self.plan.run
        with suppress(StoppedError):
            revert(
                self.journal, self.connections.target, self.observer, run=run, only=lambda item: item.run == run,
                proceed=until_interrupted(self.interrupts),
            )  # fmt: skip
            if self.options.reboot_hosts:
                rolling_reboot.again(self._rolling({}), asked=False)

    def _take_back(self, error: Exception) -> NoReturn:
        """Restore what this run changed and raise *error*, or NotRestoredError where something is left."""
        said = error.message if isinstance(error, LrvmotionError) else f"unexpected: {type(error).__name__}"
        self._revert()
        if self._changed():
            left = sum(item.run == self.plan.run for item in self.journal.outstanding())
            message = f"{said}; and {counted(left, 'setting')} could not be restored"
            raise NotRestoredError(message, hint=self.options.restore_command) from error
        if not isinstance(error, LrvmotionError):
            self.observer(Message(text=f"{said}; everything was restored"))
            raise error
        message = f"{said}; everything was restored"
        raise type(error)(message, hint=error.hint) from error

    def _echoes(self, relay: str) -> int:
        from lrvmotion.relay.status import counters

        return counters(self.connections.shell(TargetId.relay(relay)), self.plan.owner_id).echo

    def _move(self) -> None:
        phase = MovePhase(
            config=self.config, connections=self.connections, recorder=self.recorder, observer=self.observer,
            plan=self.plan, moment=self.moment, interrupts=self.interrupts, max_failures=self.options.max_failures,
            begun=self.begun, points=self.points,
        )  # fmt: skip
        try:
            phase.go()
        except LrvmotionError as error:
            if not self.recorder.moving:
                raise
            left = len(self.journal.outstanding())
            message = f"{error.message}; {remain_changed(left)}"
            first = f"{error.hint}; then " if error.hint else ""
            hint = (
                f"{first}'{self.options.resume_command}' goes on, or '{self.options.restore_command}' waits "
                "for the moves and restores them"
            )
            raise type(error)(message, hint=hint) from error
