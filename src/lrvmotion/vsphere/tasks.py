"""Tasks of a vCenter: how they are, waiting for the end of one or of many, and cancelling."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from pyVmomi import vim, vmodl
from pyVmomi.VmomiSupport import ManagedObject

from lrvmotion.errors import UnreachableError
from lrvmotion.vsphere.client import WIRE_ERRORS, filter_spec, mapped, moref, properties_of, retrieve
from lrvmotion.vsphere.session import POLL_LIMIT_S, Session

LIVE = frozenset({"queued", "running"})
ENDED = frozenset({"success", "error"})
FINISH_S = 60.0  # a reconfigure takes a few seconds
_INFO = (
    "info.descriptionId", "info.state", "info.entity", "info.entityName", "info.cancelable", "info.locked",
)  # fmt: skip
_QUICK = (0.05, 1.0)  # s between two looks: at first, and in the end

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEnd:
    """How a task ended: its *result* is what its method documents; *fault* may be None of one that failed."""

    failed: bool
    fault: vmodl.MethodFault | None
    result: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentTask:
    """A task as it was when it was read; *locked* are the objects that it holds."""

    task: vim.Task
    description_id: str
    state: str
    entity: ManagedObject | None
    entity_name: str
    locked: tuple[ManagedObject, ...]
    cancelable: bool

    @property
    def live(self) -> bool:
        """Whether it had not ended."""
        return self.state in LIVE


def read(session: Session, tasks: Iterable[vim.Task]) -> list[RecentTask]:
    """Return how *tasks* are, in one call; raises pyVmomi's faults."""
    return [_recent(task, row) for task, row in retrieve(session.content, {vim.Task: _INFO}, list(tasks))]


def _recent(task: vim.Task, row: Mapping[str, Any]) -> RecentTask:
    return RecentTask(
        task=task,
        description_id=str(row.get("info.descriptionId") or ""),
        state=str(row.get("info.state") or ""),
        entity=row.get("info.entity"),
        entity_name=str(row.get("info.entityName") or ""),
        locked=tuple(row.get("info.locked") or ()),
        cancelable=bool(row.get("info.cancelable")),
    )


def cancel(session: Session, subject: str, task: vim.Task) -> None:
    """Ask for *task* to be cancelled; harmless where it no longer can be. The task ends later, as RequestCanceled."""

    def ask() -> None:
        with suppress(vmodl.fault.NotSupported, vim.fault.InvalidState, vmodl.fault.ManagedObjectNotFound):
            task.CancelTask()

    session.call(f"{subject}: cancel {moref(task).value}", ask)


def finish(session: Session, subject: str, task: vim.Task, limit_s: float = FINISH_S) -> None:
    """Wait until *task* has ended; raises its fault as ours, UnreachableError where it takes longer than *limit_s*."""
    raise_fault(subject, wait(session, subject, task, limit_s))


def wait(
    session: Session,
    subject: str,
    task: vim.Task,
    limit_s: float,
    *,
    proceed: Callable[[], None] | None = None,
    pauses: tuple[float, float] = _QUICK,
    patient: bool = False,
) -> vmodl.MethodFault | None:
    """Return the fault with which *task* ended, None where it succeeded; *proceed* is called before each look.

    *pauses* are the seconds between two looks, at first and in the end. *patient*: a vCenter that is away is waited
    for. Raises UnreachableError where the task takes longer than *limit_s*.
    """
    until = time.monotonic() + limit_s
    pause, longest = pauses
    while True:
        if proceed is not None:
            proceed()
        row: dict[str, Any] = {}
        try:
            row = session.call(subject, lambda: properties_of(session.content, task, ("info.state", "info.error")))
        except UnreachableError:
            if not patient:
                raise
        if str(row.get("info.state")) in ENDED:
            return row.get("info.error")
        if time.monotonic() > until:
            message = f"{subject}: {moref(task).value} has not ended after {limit_s:.0f} s"
            raise UnreachableError(message, hint="look at this task in vCenter")
        time.sleep(pause)
        pause = min(longest, 1.5 * pause)


def raise_fault(subject: str, fault: vmodl.MethodFault | None) -> None:
    """Raise the *fault* of a task as ours, if it has one."""
    if fault is not None:
        with mapped(subject):
            raise fault


def wait_all(session: Session, tasks: Sequence[vim.Task], limit_s: float) -> dict[str, TaskEnd]:
    """Wait for all of *tasks* at once, *limit_s* at most; return how those ended that did, by their ids.

    Raises what the vCenter raises.
    """
    rows: dict[str, dict[str, Any]] = {moref(task).value: {} for task in tasks}
    until = time.monotonic() + limit_s
    collector = session.content.propertyCollector.CreatePropertyCollector()
    try:
        collector.CreateFilter(updates_of(tasks, ("info.state", "info.error", "info.result")), False)
        version = ""
        while any(row.get("info.state") not in ENDED for row in rows.values()):
            left = until - time.monotonic()
            if left <= 0:
                break
            options = wait_options(left)
            update = collector.WaitForUpdatesEx(version, options)
            if update is None:
                continue
            version = update.version
            for item in updated(update):
                rows[moref(item.obj).value].update({change.name: change.val for change in item.changeSet or ()})
    finally:
        with suppress(vmodl.MethodFault, *WIRE_ERRORS):  # it ends with the session anyway
            collector.DestroyPropertyCollector()
    return {
        key: TaskEnd(
            failed=row["info.state"] == "error", fault=row.get("info.error"), result=row.get("info.result")
        )
        for key, row in rows.items()
        if row.get("info.state") in ENDED
    }  # fmt: skip


def updates_of(tasks: Sequence[vim.Task], paths: Sequence[str]) -> vmodl.query.PropertyCollector.FilterSpec:
    """Return the FilterSpec of the *paths* of *tasks*."""
    roots = [vmodl.query.PropertyCollector.ObjectSpec(obj=task, skip=False) for task in tasks]
    return filter_spec(roots, {vim.Task: paths})


def wait_options(seconds: float) -> vmodl.query.PropertyCollector.WaitOptions:
    """Return the options of a WaitForUpdatesEx of about *seconds*: whole ones, one at least."""
    return vmodl.query.PropertyCollector.WaitOptions(maxWaitSeconds=min(max(1, math.ceil(seconds)), POLL_LIMIT_S))


def updated(update: vmodl.query.PropertyCollector.UpdateSet) -> Iterator[vmodl.query.PropertyCollector.ObjectUpdate]:
    """Give what *update* says of each object."""
    for group in update.filterSet or ():
        yield from group.objectSet or ()


def once_more(ask: Callable[[], T]) -> T:
    """Return what *ask* returns, asked again where a task or VM that it asked about was forgotten between its calls."""
    try:
        return ask()
    except vmodl.fault.ManagedObjectNotFound:
        return ask()
