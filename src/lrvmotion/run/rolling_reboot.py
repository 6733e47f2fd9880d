"""Reboot hosts one at a time, in maintenance mode, each step recorded first, and verify that each is back."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from lrvmotion.checks.reboot import refusals
from lrvmotion.errors import LrvmotionError, RefusedError, UnreachableError
from lrvmotion.events import Message, Observer, Rebooting, Waiting
from lrvmotion.findings import first_few
from lrvmotion.journal.effective_values import PendingReboot, stale, waiting
from lrvmotion.journal.journal import Journal
from lrvmotion.journal.records import RebootStep, of
from lrvmotion.model.inventory import MoRef
from lrvmotion.model.setting import MAINTENANCE, Value
from lrvmotion.model.target_id import TargetId
from lrvmotion.plan.plan import Change, reboots
from lrvmotion.ports.rebooter import HostAccess, HostRuntime, Rebooter
from lrvmotion.ports.target import Target
from lrvmotion.run.apply import revert

IN, OUT = Value("bool", True), Value("bool", False)
POLL_S = 0.5  # at first, then ever less often
POLL_MOST_S = 5.0
TOLD_S = 30.0  # so often it is said which VMs still run on a host that gets empty
BUSY_S = 600.0  # so long a relocate on a host is waited for before it is taken
SETTLE_S = 60.0  # how long vCenter may take to notice that a host that is back no longer needs a reboot
JITTER = timedelta(seconds=1)  # a boot time is computed from an uptime in seconds (unconfirmed: how exactly)
_REASON = "it is rebooted for settings that take effect at a reboot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rolling:
    """A rolling reboot of one *run*: *enter_s* is how long a host may take to become empty, *boot_s* to come back.

    *turn* returns when the next host may be taken, or raises; *proceed* may raise between two steps of one, but not
    while it is away. *homes* are the VMs that are moved back to their host once it is up again, by host and name.
    """

    access: HostAccess
    journal: Journal
    run: str
    observer: Observer
    enter_s: float
    boot_s: float
    proceed: Callable[[], None] = lambda: None
    turn: Callable[[], None] = lambda: None
    homes: Mapping[TargetId, Mapping[str, MoRef]] = field(default_factory=dict)

    def go(self, changes: Iterable[Change]) -> None:
        """Reboot every host with a change that needs it, and verify that its settings are as planned then.

        Raise RefusedError where a host may not be rebooted now, UnreachableError where one does not come back; it is
        the last one touched then.
        """
        changes = [change for change in changes if change.reboot]
        for host in reboots(changes):
            self.turn()
            self.proceed()
            self._one(host, [change for change in changes if change.target == host])

    def _one(self, host: TargetId, changes: Sequence[Change]) -> None:
        target, machine = self.access.target(host), self.access.rebooter(host)
        before = machine.now()
        self._refuse(host, target, machine, before)
        self._step(host, "maintenance")
        change = Change(target=host, key=MAINTENANCE, prior=OUT, planned=IN, reason=_REASON)
        self.journal.intended(self.run, change)
        try:
            machine.enter(self.enter_s, self._emptying(host, machine))
            self.journal.applied(self.run, host, MAINTENANCE)
            self.proceed()
        except Exception:
            self._leave(host)
            raise
        self._step(host, "reboot")
        machine.reboot()
        back(machine, before.booted, host, self.boot_s)
        self._step(host, "back")
        if reason := self._leave(host):
            message = f"{host} is back and stays in maintenance mode: {reason}"
            raise UnreachableError(message)
        settled(machine, host)
        for wanted in changes:
            now = target.read(wanted.key)
            if now != wanted.planned:
                message = f"{host} was rebooted: {wanted.key.words} is {now.brief()}, {wanted.planned.brief()} was set"
                raise RefusedError(message, hint="the host may enforce this setting: look for a host profile")
        if vms := self.homes.get(host):
            self._step(host, "home", vms)
            for stays in machine.bring_home(list(vms.values()), self.enter_s):
                self.observer(Message(text=f"{host}: {stays}"))
        self._step(host, "verified")

    def _emptying(self, host: TargetId, machine: Rebooter) -> Callable[[], None]:
        """Return what is called again and again while the host gets empty: it says who is still there."""
        told = time.monotonic()

        def look() -> None:
            nonlocal told
            self.proceed()
            if time.monotonic() - told < TOLD_S:
                return
            told = time.monotonic()
            with suppress(LrvmotionError):
                if running := machine.readiness().running:
                    self.observer(Waiting(subject=host, reason=f"still running on it: {first_few(running)}"))

        return look

    def _refuse(self, host: TargetId, target: Target, machine: Rebooter, before: HostRuntime) -> None:
        """Raise for what forbids to reboot the host now, before anything is done to it."""
        if not before.connected:
            message = f"{host} is not rebooted: it is not connected"
            raise UnreachableError(message, hint="bring it back, then run this again")
        if before.in_maintenance:
            message = f"{host} is not rebooted: it is in maintenance mode, and not by us"
            raise RefusedError(message, hint="take it out of maintenance mode, or reboot it there")
        if running := self._busy(host, target):
            message = f"{host} is not rebooted: {', '.join(running)}"
            raise UnreachableError(message, hint="run this again when it has ended")
        for finding in refusals(machine.readiness()):
            message = f"{finding.subject} {finding.summary}"
            raise RefusedError(message, hint=finding.hint)

    def _busy(self, host: TargetId, target: Target) -> list[str]:
        """Return the relocates that still run on the host: DRS evens out the cluster after the host before."""
        if not (running := target.busy()):
            return []
        self.observer(Waiting(subject=host, reason=", ".join(running)))

        def quiet() -> bool:
            nonlocal running
            self.proceed()
            running = target.busy()
            return not running

        _until(quiet, BUSY_S)
        return running

    def _leave(self, host: TargetId) -> str | None:
        """Take the host out of the maintenance mode that we put it in; return why not."""
        mine = revert(
            self.journal, self.access.target, lambda _: None, run=self.run,
            only=lambda item: (item.target, item.key) == (host, MAINTENANCE),
        )  # fmt: skip
        return mine.left[0][1] if mine.left else None

    def _step(self, host: TargetId, phase: str, vms: Iterable[str] = ()) -> None:
        self.journal.append(self.run, RebootStep(host=host, phase=phase, vms=tuple(vms)))
        self.observer(Rebooting(host=host, phase=phase))


def back(machine: Rebooter, booted: datetime | None, host: str, limit_s: float) -> None:
    """Return once the host was started after *booted* and is connected; UnreachableError where it is not in *limit_s*.

    While the vCenter does not answer, it is asked again.
    """

    away = False

    def there() -> bool:
        nonlocal away
        now = machine.now()
        away = away or not now.connected
        if now.booted is None or not now.connected:
            return False
        return booted is None or now.booted - booted > (timedelta(0) if away else JITTER)

    if not _until(there, limit_s):
        message = f"{host} did not come back within {_duration(limit_s)} after its reboot"
        hint = "look at its console; once it is up, restore-defaults takes it out of maintenance mode"
        raise UnreachableError(message, hint=hint)


def settled(machine: Rebooter, host: str) -> None:
    """Return once vCenter no longer says that the host needs a reboot; RefusedError where it goes on saying so."""
    if not _until(lambda: not machine.now().reboot_required, SETTLE_S):
        message = f"{host} was rebooted, and vCenter still says that it needs a reboot"
        raise RefusedError(message, hint="look at the host's events for what else waits for one")


def _until(true: Callable[[], bool], limit_s: float) -> bool:
    """Return whether *true* became so within *limit_s* seconds; where nothing answers, it is asked again."""
    from tenacity import RetryError, Retrying, retry_if_exception_type, retry_if_result, stop_after_delay
    from tenacity.wait import wait_exponential

    retrying = Retrying(
        retry=retry_if_exception_type(UnreachableError) | retry_if_result(lambda answer: not answer),
        stop=stop_after_delay(limit_s),
        wait=wait_exponential(multiplier=POLL_S, max=POLL_MOST_S),
    )
    try:
        return retrying(true)
    except RetryError:
        return False


def recover(rolling: Rolling) -> None:
    """Take the hosts that a run which died had in its hands out of maintenance mode, or as far as that goes.

    One that is being emptied is stopped at once, relocates or not; one that is being rebooted is waited for. What
    cannot be done stays outstanding, and says why when it is restored with the rest.
    """
    journal, access, observer = rolling.journal, rolling.access, rolling.observer
    last = {step.host: step.phase for _, step in of(RebootStep, journal.records)}
    for host in sorted(item.target for item in journal.outstanding() if item.key == MAINTENANCE):
        try:
            machine, target = access.rebooter(host), access.target(host)
            if not machine.now().connected and last.get(host) == "reboot":
                observer(Waiting(subject=host, reason="it is being rebooted"))
                back(machine, None, host, rolling.boot_s)
            if target.read(MAINTENANCE) == IN:
                target.write(MAINTENANCE, OUT)
        except LrvmotionError as error:
            observer(Message(text=error.message))


def release(rolling: Rolling) -> None:
    """Recover, and record what has left maintenance mode: a run that is resumed plans with these hosts again."""
    recover(rolling)
    revert(
        rolling.journal, rolling.access.target, rolling.observer, run=rolling.run,
        only=lambda item: item.key == MAINTENANCE,
    )  # fmt: skip


def again(rolling: Rolling, *, asked: bool) -> list[PendingReboot]:
    """After settings were restored: reboot the hosts on which a former value is still in force, where that is *asked*.

    Else say which they are. Return what is still in force in the end; raises what *Rolling.go* raises.
    """

    items = stale(rolling.journal.records, partial(_booted, rolling.access))
    if not asked:
        for item in items:
            text = f"{item.host}: {item.key.name} is {item.value.brief()} again, in force after its next reboot"
            rolling.observer(Message(text=f"{text}; restore-defaults --reboot-hosts reboots it"))
        return items
    try:
        rolling.go(
            Change(target=item.host, key=item.key, prior=item.value, planned=item.value, reason="restored", reboot=True)
            for item in items
        )
    except LrvmotionError as error:
        message = f"the settings are restored, but not all in force: {error.message}"
        raise type(error)(message, hint=error.hint) from error
    return []


def due(rolling: Rolling, changes: Iterable[Change], hosts: Collection[TargetId]) -> list[Change]:
    """Return *changes* that need a reboot, and those of earlier runs on *hosts* that still wait for one."""
    changes = [change for change in changes if change.reboot]
    mine = {change.target for change in changes}
    earlier = waiting(rolling.journal.records, partial(_booted, rolling.access), set(hosts) - mine)
    return [*changes, *earlier]


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _booted(access: HostAccess, host: TargetId) -> datetime | None:
    try:
        return access.rebooter(host).now().booted
    except LrvmotionError:  # who does not answer is named where it matters
        return None
