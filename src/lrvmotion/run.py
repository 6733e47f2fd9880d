"""The migrate command joined up: apply, prove, move, put back."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from lrvmotion import outlook
from lrvmotion.apply import Restored, Target, apply, revert
from lrvmotion.config import Config
from lrvmotion.connect import Connections
from lrvmotion.detour import LOST_S, Detour
from lrvmotion.errors import LrvmotionError, NotRestoredError, UnreachableError
from lrvmotion.events import Interrupted, Message, Observer, RelaySample, RunEnded, RunStarted
from lrvmotion.journal import Journal
from lrvmotion.migrate import Guard, drive
from lrvmotion.plan import Migration, Plan
from lrvmotion.prepare import Options, new_run
from lrvmotion.prove import prove
from lrvmotion.schedule import Schedule
from lrvmotion.watch import SAMPLE_S, Watch

IN_PATH_S = 15.0  # a first move that shows no stream at the relay by then goes past it


class _Interrupted(Exception):  # noqa: N818 - no error: the user's wish
    """Ctrl-C before any VM moved."""


@dataclass(slots=True)
class Migrating:
    """One run of `migrate`, from a plan without errors to its end."""

    config: Config
    world: Connections
    journal: Journal
    observer: Observer
    plan: Plan
    options: Options
    interrupts: Callable[[], int] = lambda: 0
    watch: Watch | None = None
    detour: Detour | None = None
    started: float | None = None
    steered: float = 0.0
    seen_streams: bool = False
    given_up: dict[str, str] = field(default_factory=dict)

    def go(self) -> None:
        """Apply the plan, prove it, move the VMs.

        What was changed stays, but for an error before the first move: then it is put back. Ctrl-C before the first
        move changes nothing more. However it ends, RunEnded says what is outstanding.
        """
        plan = self.plan
        vms = tuple(migration.vm for migration in plan.migrations)
        self.journal.append("run", plan.run, {"schema": 1, "mode": plan.mode, "mark": plan.mark, "vms": list(vms)})
        for name in ("source", "target", *self._boxes()):
            self.journal.append("connection", plan.run, self.world.pinned(name))
        self._quiet()
        self.observer(RunStarted(run=plan.run, mode=plan.mode, journal=str(self.journal.path), vms=vms))
        try:
            self._change()
            self._move()
        except _Interrupted:
            self.observer(Interrupted(level=min(self.interrupts(), 3)))
        finally:
            left = len(self.journal.outstanding())
            restore = self.options.restore_command if left else None
            self.observer(RunEnded(run=plan.run, outstanding=left, restore=restore))

    def _boxes(self) -> list[str]:
        """Return the boxes that the moves need."""
        return [f"box/{name}" for name in self._watched()]

    def _change(self) -> None:
        try:
            targets = {change.target: self.world.target(change.target) for change in self.plan.changes}
            apply(self.plan.changes, targets, self.journal, self.plan.run, self.observer, self._proceed)
            prove(
                self.plan, self.world, self._echoes, self.observer,
                unproven=self.options.unproven or self.plan.mode == "stock", proceed=self._proceed,
            )  # fmt: skip
        except LrvmotionError as error:
            self._take_back(error)

    def _proceed(self) -> None:
        if self.interrupts():
            raise _Interrupted

    def _quiet(self) -> None:
        """Refuse to write to a host on which a relocate runs, DRS's own included."""
        for name in dict.fromkeys(change.target for change in self.plan.changes):
            running = self.world.target(name).busy()
            if running:
                message = f"{name}: {', '.join(running)}; nothing was changed"
                raise UnreachableError(message, hint="wait until it has ended, then run this again")

    def _take_back(self, error: LrvmotionError) -> NoReturn:
        """Put back what this run changed and raise *error*, or NotRestoredError where something is left."""
        run = self.plan.run
        restored = revert(self.journal, self.world.target, self.observer, run=run, only=lambda item: item.run == run)
        if restored.left:
            message = f"{error.message}; and {len(restored.left)} settings could not be put back"
            raise NotRestoredError(message, hint=self.options.restore_command) from error
        message = f"{error.message}; everything was put back"
        raise type(error)(message, hint=error.hint) from error

    def _echoes(self, relay: str) -> int:
        from lrvmotion.relay.status import counters

        return counters(self.world.shell(f"box/{relay}"), self.plan.mark).echo

    def _move(self) -> None:
        from lrvmotion.vsphere.relocate import RelocateMover

        plan = self.plan
        if not plan.migrations:
            return
        limits, forecast = self.config.limits, plan.forecast
        schedule = Schedule(
            plan.migrations,
            outlook.limits(self.config, forecast.line_mbps if forecast else None),
            max_failures=self.options.max_failures,
            seconds={vm.vm: vm.seconds for vm in forecast.vms if vm.seconds is not None} if forecast else {},
            through=dict(plan.through),
        )
        guard = Guard(
            interrupts=self.interrupts,
            watch=self._watch,
            hold=self._hold,
            record=self._record,
            clock=time.monotonic,
            tries=limits.tries,
            retry_wait_s=limits.retry_wait_s,
        )
        with (
            Watch(self._watched(), self._sample, self._alive) as self.watch,
            RelocateMover(self.world.session("source"), self.world.session("target")) as mover,
        ):
            near = {box.name: box.address for box in self.config.relay.source if box.name in plan.relays}
            self.detour = Detour(near, self.watch, self.journal, self.world.target, self.observer, plan.run)
            try:
                drive(plan.migrations, schedule, mover, self.observer, guard)
            except LrvmotionError as error:
                left = len(self.journal.outstanding())
                message = f"{error.message}; {left} settings are still changed"
                hint = f"{self.options.restore_command} waits for the moves and puts them back"
                raise type(error)(message, hint=hint) from error
            self.detour.settle(self.interrupts)

    def _record(self, kind: str, body: Mapping[str, Any]) -> None:
        self.journal.append(kind, self.plan.run, body)

    def _sample(self, relay: str) -> RelaySample:
        """Return what *relay* counts now; in its watching thread."""
        from lrvmotion.relay.status import health

        status = health(self.world.shell(f"box/{relay}"), self.plan.mark)
        self.seen_streams = self.seen_streams or status.streams > 0 or status.peak_streams > 0
        return RelaySample(
            relay=relay, streams=status.streams, bps=status.bps, rtt_ms=status.rtt_ms,
            retransmits=status.retransmits, limiter=status.limiter, bytes=status.bytes,
        )  # fmt: skip

    def _alive(self, relay: str) -> bool:
        try:
            return self.world.shell(f"box/{relay}").run(["true"], timeout_s=5.0).ok
        except LrvmotionError:
            return False

    def _watch(self, running: list[str]) -> str | None:
        """Tell the relays' samples; return why no further VM may start."""
        watch, detour = self.watch, self.detour
        if watch is None or detour is None or not self.plan.relays:
            return None
        for sample in watch.news():
            self.observer(sample)
            self.given_up.pop(sample.relay, None)
        now = time.monotonic()
        if self.started is None and running:
            self.started = now
        if now - self.steered >= SAMPLE_S:
            self.steered = now
            detour.go_round({f"source/{m.source_host}" for m in self.plan.migrations if m.vm in running})
        late = self.started is not None and now - self.started > IN_PATH_S
        if running and late and not self.seen_streams:
            return "not in the path: the relay has seen no stream of the running move"
        return None

    def _watched(self) -> tuple[str, ...]:
        """Return the names of the relays that are watched: near and far."""
        return (*self.plan.relays, *([self.plan.far] if self.plan.far else []))

    def _hold(self, migration: Migration) -> list[str]:
        """Return why *migration* may not start now: a relay that is not healthy, or a setting not as applied."""
        relays = [relay for host, relay in self.plan.through if host == migration.source_host]
        if self.plan.far is not None:
            relays.append(self.plan.far)
        if reasons := [reason for relay in relays if (reason := self._unhealthy(relay)) is not None]:
            return reasons
        mine = {f"source/{migration.source_host}", f"target/{migration.placement.host.name}"}
        mine |= {f"box/{relay}" for relay in relays}
        for item in self.journal.outstanding():
            if item.target in mine:
                now = self.world.target(item.target).read(item.key)
                if now != item.planned[-1]:
                    reasons.append(f"{item.target}: {item.key} is {now.brief()}, {item.planned[-1].brief()} was set")
        return reasons

    def _unhealthy(self, relay: str) -> str | None:
        """Return why nothing may start through *relay*; one that starts again is waited for, but once."""
        if self.watch is None or relay in self.given_up:
            return self.given_up.get(relay)
        if self.detour is not None and (lost := self.detour.lost(relay)) is not None:
            return lost
        before = self.interrupts()
        until = time.monotonic() + LOST_S
        while (reason := self.watch.trouble(relay, SAMPLE_S)) is not None:
            if time.monotonic() > until or self.interrupts() > before:
                self.given_up[relay] = reason
                break
            time.sleep(0.5)
        return reason


def restore(
    journal: Journal,
    world: Connections,
    observer: Observer,
    *,
    force: bool = False,
    cancel: bool = False,
    wait_s: float = 14_400.0,
) -> Restored:
    """Put back everything that the journal says is outstanding, newest first, waiting while relocates run."""
    deadline = time.monotonic() + wait_s
    cancelled: set[str] = set()

    def wait(target: Target, running: list[str]) -> None:
        if time.monotonic() > deadline:
            message = f"{target.name}: {', '.join(running)}"
            raise UnreachableError(message, hint="run this again when they have ended, or with --cancel")
        if cancel and target.name not in cancelled:
            cancelled.add(target.name)
            world.host(target.name).cancel_running()
        time.sleep(2.0)

    try:
        return revert(journal, world.target, observer, run=new_run(), force=force, wait=wait)
    except KeyboardInterrupt:
        left = len(journal.outstanding())
        observer(Message(text=f"{left} settings are still changed: run restore-defaults again"))
        raise
