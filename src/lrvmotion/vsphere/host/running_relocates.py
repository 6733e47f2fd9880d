"""The relocates that run on a host, DRS's own included, as far as its vCenter shows them; cancelling them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pyVmomi import vim

from lrvmotion.model.inventory import MoRef
from lrvmotion.vsphere import tasks
from lrvmotion.vsphere.client import moref, retrieve
from lrvmotion.vsphere.session import Session
from lrvmotion.vsphere.tasks import RecentTask

# As a captured vCenter lists its tasks; its "vm.check.ProvisioningChecker.checkRelocate" moves nothing.
_MOVES = re.compile(r"VirtualMachine\.(relocate|migrate)|Drm\.Execute(StorageVmotionLRO|VMotionLRO)")


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

    def ask() -> list[RunningMove]:
        content = session.content
        wanted = {vim.HostSystem: ("vm", "recentTask"), vim.TaskManager: ("recentTask",)}
        rows = retrieve(content, wanted, [host, content.taskManager])
        vms = [vm for _, row in rows for vm in row.get("vm") or ()]
        here = {moref(vm) for vm in vms} | {moref(host)}
        own = retrieve(content, {vim.VirtualMachine: ("recentTask",)}, vms)
        recent = {moref(task): task for _, row in [*rows, *own] for task in row.get("recentTask") or ()}
        return [_move(task) for task in tasks.read(session, recent.values()) if _concerns(task, here)]

    return session.call(f"{subject}: running tasks", lambda: tasks.once_more(ask))


def cancel_moves(session: Session, subject: str, host: vim.HostSystem) -> None:
    """Ask for every move on *host* to be cancelled that still can be."""
    for move in running_moves(session, subject, host):
        if move.cancelable:
            tasks.cancel(session, subject, move.task)


def _concerns(task: RecentTask, here: set[MoRef]) -> bool:
    if not task.live or not _MOVES.fullmatch(task.description_id):
        return False
    return any(item is not None and moref(item) in here for item in (task.entity, *task.locked))


def _move(task: RecentTask) -> RunningMove:
    return RunningMove(task=task.task, vm=task.entity_name or "a VM", state=task.state, cancelable=task.cancelable)
