"""The moves of a run: the queue driven through relays, windows and hooks, until the last guest is back."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from lrvmotion.config.maintenance_window import Windows
from lrvmotion.config.schema import Config
from lrvmotion.errors import LrvmotionError
from lrvmotion.events import Found, Message, Observer
from lrvmotion.journal.changes import throttled
from lrvmotion.journal.journal import THROTTLE, Journal, read
from lrvmotion.journal.records import Body, MoveBegun
from lrvmotion.journal.run_state import UnfinishedMove
from lrvmotion.model.target_id import TargetId
from lrvmotion.plan import plan_forecast
from lrvmotion.plan.plan import Migration, Plan
from lrvmotion.plan.schedule import Schedule
from lrvmotion.run.hook_points import HookPoints
from lrvmotion.run.moves.collaborators import Collaborators, MoveHooks, NoHooks, Retries
from lrvmotion.run.moves.migration_driver import drive
from lrvmotion.run.moves.vm_settings import VmSettings
from lrvmotion.run.relays.rate_limiter import RateLimiter
from lrvmotion.workflows.connections import Connections
from lrvmotion.workflows.run_relays import Relays, watched

if TYPE_CHECKING:
    from lrvmotion.vsphere.vm.relocate import RelocateMover


@dataclass(slots=True)
class RunJournal:
    """The *journal* under the id of one *run*; *moving*: a relocate may have been asked for."""

    journal: Journal
    run: str
    moving: bool = False

    def append(self, body: Body) -> None:
        """Record *body*; raises LrvmotionError where it does not get to the disk."""
        self.moving = self.moving or isinstance(body, MoveBegun)
        self.journal.append(self.run, body)


@dataclass(frozen=True, slots=True)
class ClockedWindows:
    """The configured *windows* at the *moment* of each question (collaborators.Window)."""

    windows: Windows
    moment: Callable[[], datetime]

    def left_s(self) -> float | None:
        """Return what is left of the open window, seconds; 0: none is open, None: no end."""
        return self.windows.left_s(self.moment())

    def longest_s(self) -> float | None:
        """Return the longest window that comes, seconds."""
        return self.windows.longest_s(self.moment())

    def is_over(self) -> bool:
        """Return whether no window is open and none will open again."""
        return self.windows.opens(self.moment()) is None


@dataclass(slots=True)
class Watching:
    """What is looked at while VMs move: relays, their caps, guests of moved VMs (collaborators.RelayWatch)."""

    relays: Relays
    limiter: RateLimiter
    mover: RelocateMover
    moment: Callable[[], datetime]
    observer: Observer

    def look(self, running: Mapping[str, int | None]) -> Collection[str]:
        """Look at all of it; return the source hosts from which nothing may start for now."""
        barred = self.relays.look(running)  # first: a lost relay host cuts off what is routed to it
        self.limiter.look(self.moment())
        self.guests()
        return barred

    def hold(self, migration: Migration) -> list[str]:
        """Return why *migration* may not start now."""
        return self.relays.hold(migration)

    def guests(self) -> bool:
        """Tell of moved VMs whose guests are not back in time; return whether any may still come."""
        try:
            for finding in self.mover.late():
                self.observer(Found(finding=finding))
        except LrvmotionError as error:
            self.observer(Message(text=f"guests are not looked at: {error.message}"))
            return False
        return self.mover.awaited > 0


@dataclass(slots=True, kw_only=True)
class MovePhase:
    """The VMs of *plan* are moved, or those of *begun*, which an earlier process began, followed to their end.

    *recorder* takes what happens; *points* are the user's hooks.
    """

    config: Config
    connections: Connections
    recorder: RunJournal
    observer: Observer
    plan: Plan
    moment: Callable[[], datetime]
    interrupts: Callable[[], int]
    max_failures: int | None = None
    begun: Mapping[str, UnfinishedMove] = field(default_factory=dict)
    points: HookPoints | None = None

    def go(self) -> None:
        """Move them; raises what `migration_driver.drive` raises."""
        from lrvmotion.vsphere.vm.relocate import RelocateMover

        plan, limits, points = self.plan, self.config.limits, self.points
        if not plan.migrations:
            return
        schedule = self._schedule()
        relays = Relays(self.config, self.connections, self.recorder.journal, self.observer, plan, self.interrupts)
        limiter = RateLimiter(
            self.config, plan.relays, relays.cap, self.observer, self.recorder.append, by_hand=self._caps_by_hand
        )
        relays.restarted = limiter.restarted
        mover = RelocateMover(
            self.connections.session("source"), self.connections.session("target"), limits.guest_wait_s
        )
        watching = Watching(relays, limiter, mover, self.moment, self.observer)
        run = Collaborators(
            interrupts=self.interrupts, clock=time.monotonic, journal=self.recorder, relays=watching,
            hooks=points if points is not None else NoHooks(),
            window=ClockedWindows(self.config.windows, self.moment),
            retries=Retries(most=limits.max_attempts, wait_s=limits.retry_wait_s),
            question_wait_s=limits.question_wait_s,
        )  # fmt: skip
        run.hooks = around = self._around(run.hooks)
        hooks = None if points is None else points.hooks
        if points is not None:

            def meanwhile() -> None:
                watching.look(dict.fromkeys(schedule.running))

            points.hooks = replace(points.hooks, meanwhile=meanwhile)
        with relays, mover:
            try:
                drive(plan.migrations, schedule, mover, self.observer, run, begun=self.begun)
                while watching.guests() and not self.interrupts():
                    time.sleep(1.0)
            finally:
                if points is not None and hooks is not None:
                    points.hooks = hooks
                relays.settle()
                running = set(schedule.running)
                around.close({move.instance_uuid for move in plan.migrations if move.vm in running})

    def _around(self, hooks: MoveHooks) -> VmSettings:
        """Return what changes VMs for their moves alone, around the user's *hooks*."""
        return VmSettings(
            run=self.plan.run, journal=self.recorder.journal, vcenter=self.connections.vcenter("source"),
            observer=self.observer, hooks=hooks, eject=self.plan.eject,
        )  # fmt: skip

    def _caps_by_hand(self) -> dict[str, int | None]:
        """Return the caps that `lrvmotion throttle` set at the relays of this run; none that cannot be read."""
        path = self.recorder.journal.path.with_name(f"{THROTTLE}.jsonl")
        try:
            caps = throttled(read(path).records, self.plan.owner_id)
        except LrvmotionError as error:
            self.observer(Message(text=f"{error.message}; caps set by hand are not set again"))
            return {}
        found = {relay: TargetId.relay(relay) for relay in watched(self.plan)}
        return {relay: caps[target] for relay, target in found.items() if target in caps}

    def _schedule(self) -> Schedule:
        forecast = self.plan.forecast
        return Schedule(
            self.plan.migrations,
            plan_forecast.limits(self.config, forecast.line_mbps if forecast else None),
            max_failures=self.max_failures,
            seconds={vm.vm: vm.seconds for vm in forecast.vms if vm.seconds is not None} if forecast else {},
            relay_by_host=dict(self.plan.relay_by_host),
        )
