"""Restore what is outstanding; release the hosts that a dead run left in maintenance; close what is as before."""

from __future__ import annotations

import time
from collections.abc import Callable

from lrvmotion.config.schema import Limits
from lrvmotion.errors import UnreachableError
from lrvmotion.events import Interrupted, Message, Observer, RestoreStarted
from lrvmotion.journal import event_log
from lrvmotion.journal.journal import Journal, JournalError
from lrvmotion.journal.records import CancelAsked, RestoreBegun
from lrvmotion.model.target_id import TargetId
from lrvmotion.ports.target import Target
from lrvmotion.run import drift, rolling_reboot
from lrvmotion.run.apply import Restored, StoppedError, revert
from lrvmotion.run.drift import Seen
from lrvmotion.run.rolling_reboot import Rolling
from lrvmotion.workflows.connections import Connections
from lrvmotion.workflows.plan_run import new_run


def restore(
    journal: Journal,
    connections: Connections,
    observer: Observer,
    *,
    force: bool = False,
    cancel: bool = False,
    wait_s: float = 14_400.0,
    limits: Limits | None = None,
    reboot_hosts: bool = False,
    who: str = "",
    interrupts: Callable[[], int] = lambda: 0,
) -> Restored:
    """Restore everything that the journal says is outstanding, newest first, waiting while relocates run.

    An interrupt ends it after the setting in hand; what is left stays outstanding.

    *who* does it, for the journal. With *reboot_hosts* hosts on which a former value is still in force then are
    rebooted, else named.
    """
    limits = limits or Limits()
    deadline = time.monotonic() + wait_s
    cancelled: set[TargetId] = set()
    proceed = until_interrupted(interrupts)

    def wait(target: Target, running: list[str]) -> None:
        proceed()
        if time.monotonic() > deadline:
            message = f"{target.name}: {', '.join(running)}"
            raise UnreachableError(message, hint="run this again when they have ended, or with --cancel")
        if cancel and target.name not in cancelled:
            cancelled.add(target.name)
            journal.append(rolling.run, CancelAsked(target=target.name, running=tuple(running)))
            connections.host(target.name).cancel_running()
        time.sleep(2.0)

    rolling = _rolling(journal, connections, observer, limits, proceed)
    restored = Restored()
    try:
        left = len(journal.outstanding())
        log = str(event_log.log_path(journal.path.parent, rolling.run))
        observer(RestoreStarted(run=rolling.run, outstanding=left, journal=str(journal.path), log=log))
        _begin(rolling, connections, who)
        rolling_reboot.recover(rolling)
        restored = revert(
            journal, connections.target, observer, run=rolling.run, force=force, wait=wait, proceed=proceed
        )
        rolling_reboot.again(rolling, asked=reboot_hosts)
        if restored.bug is not None:
            raise restored.bug
    except StoppedError:
        observer(Interrupted(level=1, doing="restoring"))
    return restored


def release(
    journal: Journal,
    connections: Connections,
    observer: Observer,
    limits: Limits,
    who: str = "",
    interrupts: Callable[[], int] = lambda: 0,
) -> None:
    """Take out of maintenance mode the hosts that a run which died left there, before it is resumed."""
    rolling = _rolling(journal, connections, observer, limits, until_interrupted(interrupts))
    try:
        if journal.outstanding():
            _begin(rolling, connections, who)
        rolling_reboot.release(rolling)
    except StoppedError:
        raise KeyboardInterrupt from None
    connections.forget()


def settle(journal: Journal, connections: Connections, observer: Observer, who: str = "") -> Seen:
    """Close what reads as before we changed it, and return what somebody else has changed (drift.look)."""
    seen = drift.look(journal.outstanding(), lambda name, key: connections.target(name).read(key))
    if seen.back or seen.gone:
        rolling = _rolling(journal, connections, observer, Limits())
        _begin(rolling, connections, who)
        drift.close(journal, seen, rolling.run)
    for item in seen.back:
        observer(Message(text=f"{item.target}: {item.key.words} is {item.prior.brief()} already: recorded as restored"))
    for item in seen.gone:
        observer(Message(text=f"{item.target}: {item.key.words}: its VM has left; it was {item.prior.brief()}"))
    return seen


def until_interrupted(interrupts: Callable[[], int]) -> Callable[[], None]:
    """Return what raises once there is a further interrupt."""
    before = interrupts()

    def proceed() -> None:
        if interrupts() > before:
            raise StoppedError

    return proceed


def _begin(rolling: Rolling, connections: Connections, who: str) -> None:
    """Record who restores what the next records name; where the disk is full, restoring goes before."""
    try:
        rolling.journal.append(rolling.run, RestoreBegun(who=who, accounts=connections.accounts()))
    except JournalError as error:
        rolling.observer(Message(text=f"{error.message}; who restores is not recorded"))


def _rolling(
    journal: Journal,
    connections: Connections,
    observer: Observer,
    limits: Limits,
    proceed: Callable[[], None] = lambda: None,
) -> Rolling:
    return Rolling(
        access=connections, journal=journal, run=new_run(), observer=observer,
        enter_s=limits.maintenance_wait_s, boot_s=limits.reboot_wait_s, proceed=proceed,
    )  # fmt: skip
