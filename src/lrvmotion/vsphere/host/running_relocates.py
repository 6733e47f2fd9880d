"""The relocates that run on a host, DRS's own included, as far as its vCenter shows them; cancelling them."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pyVmomi import vim, vmodl

from lrvmotion.errors import UnreachableError
from lrvmotion.vsphere.client import mapped, moref, properties_of, retrieve
from lrvmotion.vsphere.session import Session

# VirtualMachine.relocate and .migrate; DRS's are "Drm.ExecuteVMotionLRO" (unconfirmed: seen in user reports only).
_MOVES = re.compile(r"relocate|migrate|vmotion", re.IGNORECASE)
LIVE = frozenset({"queued", "running"})
FINISH_S = 60.0  # a reconfigure takes a few seconds
_INFO = (
    "info.descriptionId", "info.state", "info.entity", "info.entityName", "info.cancelable", "info.locked",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningMove:
    """A relocate that has not ended."""

    task: Any
    vm: str
    state: str
    cancelable: bool

    def __str__(self) -> str:
        return f"relocate of {self.vm} {'runs' if self.state == 'running' else 'is queued'} ({moref(self.task).value})"


def running_moves(session: Session, subject: str, host: Any) -> list[RunningMove]:  # noqa: ANN401
    """Return the moves of VMs on *host*, and those that name or lock it; three calls.

    What another vCenter moves here is seen only once this vCenter has a task for it.
    """

    def read() -> list[RunningMove]:
        content = session.content
        wanted = {vim.HostSystem: ("vm", "recentTask"), vim.TaskManager: ("recentTask",)}
        rows = retrieve(content, wanted, [host, content.taskManager])
        vms = [vm for _, row in rows for vm in row.get("vm") or ()]
        here = {moref(vm) for vm in vms} | {moref(host)}
        own = retrieve(content, {vim.VirtualMachine: ("recentTask",)}, vms)
        tasks = {moref(task): task for _, row in [*rows, *own] for task in row.get("recentTask") or ()}
        found = retrieve(content, {vim.Task: _INFO}, list(tasks.values()))
        return [_move(task, row) for task, row in found if _concerns(row, here)]

    def patient() -> list[RunningMove]:
        try:
            return read()
        except vmodl.fault.ManagedObjectNotFound:  # a VM or task that ended between two calls
            return read()

    return session.call(f"{subject}: running tasks", patient)


def cancel_moves(session: Session, subject: str, host: Any) -> None:  # noqa: ANN401
    """Ask for every move on *host* to be cancelled that still can be."""
    for move in running_moves(session, subject, host):
        if move.cancelable:
            cancel(session, subject, move.task)


def cancel(session: Session, subject: str, task: Any) -> None:  # noqa: ANN401
    """Ask for *task* to be cancelled; harmless where it no longer can be. The task ends later, as RequestCanceled."""

    def ask() -> None:
        with suppress(vmodl.fault.NotSupported, vim.fault.InvalidState, vmodl.fault.ManagedObjectNotFound):
            task.CancelTask()

    session.call(f"{subject}: cancel {moref(task).value}", ask)


def finish(session: Session, subject: str, task: Any, limit_s: float = FINISH_S) -> None:  # noqa: ANN401
    """Wait until *task* has ended; raises its fault as ours, UnreachableError where it takes longer than *limit_s*."""
    until = time.monotonic() + limit_s
    pause = 0.05
    while True:
        row = session.call(subject, lambda: properties_of(session.content, task, ("info.state", "info.error")))
        if str(row.get("info.state")) not in LIVE:
            break
        if time.monotonic() > until:
            message = f"{subject}: {moref(task).value} has not ended after {limit_s:.0f} s"
            raise UnreachableError(message, hint="look at this task in vCenter")
        time.sleep(pause)
        pause = min(1.0, 1.5 * pause)
    if row.get("info.error") is not None:
        with mapped(subject):
            raise row["info.error"]


def _concerns(row: dict[str, Any], here: set[Any]) -> bool:
    if str(row.get("info.state")) not in LIVE or not _MOVES.search(str(row.get("info.descriptionId"))):
        return False
    touched = [row.get("info.entity"), *(row.get("info.locked") or ())]
    return any(item is not None and moref(item) in here for item in touched)


def _move(task: Any, row: dict[str, Any]) -> RunningMove:  # noqa: ANN401
    return RunningMove(
        task=task,
        vm=str(row.get("info.entityName") or "a VM"),
        state=str(row["info.state"]),
        cancelable=bool(row.get("info.cancelable")),
    )
