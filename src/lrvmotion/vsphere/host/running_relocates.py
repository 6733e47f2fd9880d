"""The relocates that run on a host, DRS's own included, as far as its vCenter shows them; cancelling them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pyVmomi import vim

from lrvmotion.vsphere.client import moref, retrieve
from lrvmotion.vsphere.session import Session
from lrvmotion.vsphere.tasks import LIVE, cancel, once_more

# VirtualMachine.relocate and .migrate; DRS's are "Drm.ExecuteVMotionLRO" (unconfirmed: seen in user reports only).
_MOVES = re.compile(r"relocate|migrate|vmotion", re.IGNORECASE)
_INFO = (
    "info.descriptionId", "info.state", "info.entity", "info.entityName", "info.cancelable", "info.locked",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningMove:
    """A relocate that has not ended."""

    task: vim.Task
    vm: str
    state: str
    cancelable: bool

    def __str__(self) -> str:
        return f"relocate of {self.vm} {'runs' if self.state == 'running' else 'is queued'} ({moref(self.task).value})"


def running_moves(session: Session, subject: str, host: vim.HostSystem) -> list[RunningMove]:
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

    return session.call(f"{subject}: running tasks", lambda: once_more(read))


def cancel_moves(session: Session, subject: str, host: vim.HostSystem) -> None:
    """Ask for every move on *host* to be cancelled that still can be."""
    for move in running_moves(session, subject, host):
        if move.cancelable:
            cancel(session, subject, move.task)


def _concerns(row: dict[str, Any], here: set[Any]) -> bool:
    if str(row.get("info.state")) not in LIVE or not _MOVES.search(str(row.get("info.descriptionId"))):
        return False
    touched = [row.get("info.entity"), *(row.get("info.locked") or ())]
    return any(item is not None and moref(item) in here for item in touched)


def _move(task: vim.Task, row: dict[str, Any]) -> RunningMove:
    return RunningMove(
        task=task,
        vm=str(row.get("info.entityName") or "a VM"),
        state=str(row["info.state"]),
        cancelable=bool(row.get("info.cancelable")),
    )
