"""Task and TaskManager: work that goes on after the call."""

# ruff: noqa: ANN401 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from pyVmomi import vim, vmodl

from lrvmotion.lab.vcenter.clock import now
from lrvmotion.lab.vcenter.managed_object import ManagedObject, Values

if TYPE_CHECKING:
    from lrvmotion.lab.vcenter.vcenter import Call, Vcenter

log = logging.getLogger(__name__)
# How long a finished task stays in recentTask; unconfirmed: about 10 minutes (vsphere.md 8).
_RECENT = timedelta(minutes=10)


class Task(ManagedObject):
    """One task; *work(task)* runs in a thread of its own and returns the result."""

    wsdl = "Task"
    values: ClassVar[Values] = {
        "info": lambda self: self.info(),
        "info.state": lambda self: self.state,
        "info.progress": lambda self: self.progress,
        "info.error": lambda self: self.error,
        "info.cancelable": lambda self: self.cancelable,
        "info.cancelled": lambda self: self.cancelled,
    }
    __slots__ = (
        "_user", "cancelable", "cancelled", "complete", "datastores", "description", "entity", "entity_name",
        "entity_ref", "error", "hosts", "progress", "queued", "result", "started", "state",
    )  # fmt: skip

    def __init__(self, vcenter: Vcenter, entity: Any, description: str, user: str) -> None:
        super().__init__(vcenter, vcenter.registry.new_id("task"))
        self.entity = entity
        self.entity_ref = entity.ref
        self.entity_name = entity.name
        self.description = description
        self.state = "queued"
        self.progress: int | None = None
        self.cancelable = False
        self.cancelled = False
        self.error: Any = None
        self.result: Any = None
        self.queued = now()
        self.started: datetime | None = None
        self.complete: datetime | None = None
        self.hosts: list[str] = []
        self.datastores: list[list[str]] = []  # of home and disks: those at the source, those at the target
        self._user = user

    def info(self) -> Any:
        """Return the TaskInfo."""
        return vim.TaskInfo(
            key=self.moid,
            task=self.ref,
            descriptionId=self.description,
            entity=self.entity_ref,
            entityName=self.entity_name,
            state=self.state,
            cancelled=self.cancelled,
            cancelable=self.cancelable,
            error=self.error,
            result=self.result,
            progress=self.progress,
            reason=vim.TaskReasonUser(userName=self._user),
            queueTime=self.queued,
            startTime=self.started,
            completeTime=self.complete,
            eventChainId=int(self.moid.rpartition("-")[2]),
        )

    def begin(self) -> None:
        """Leave the queue."""
        with self.vcenter.lock:
            if self.state == "queued":
                self.state = "running"
                self.started = now()
                self.progress = 0
                self.touch()

    def report(self, progress: int, *, cancelable: bool) -> None:
        """Publish *progress* (percent) and whether the task may still be cancelled."""
        with self.vcenter.lock:
            if (progress, cancelable) != (self.progress, self.cancelable):
                self.progress = progress
                self.cancelable = cancelable
                self.touch()

    def check_cancelled(self) -> None:
        """Raise RequestCanceled where somebody cancelled the task."""
        if self.cancelled:
            raise vmodl.fault.RequestCanceled(msg="The task was canceled by a user.")

    def run(self, work: Callable[[Task], Any]) -> None:
        """Do *work*; its fault becomes info.error, and nothing it raises is lost."""
        error = None
        result = None
        try:
            result = work(self)
        except vmodl.MethodFault as fault:
            error = fault
        except Exception as failure:
            log.exception("task %s failed", self.moid)
            error = vmodl.fault.SystemError(reason=str(failure), msg=str(failure))
        with self.vcenter.lock:
            self.cancelable = False
            self.error = error
            self.result = result
            self.complete = now()
            self.started = self.started or self.complete
            if error is None:
                self.progress = 100
            self.state = "error" if error is not None else "success"
            self.vcenter.registry.touch(self, self.vcenter.tasks, self.entity)

    def CancelTask(self, call: Call) -> None:
        """Ask the task to end; NotSupported where it cannot, InvalidState once it has ended (vsphere.md 8)."""
        del call
        if self.state in {"success", "error"}:
            raise vim.fault.InvalidState(msg="The operation is not allowed in the current state.")
        if not self.cancelable:
            raise vmodl.fault.NotSupported(msg="The operation is not supported on the object.")
        self.cancelled = True
        self.touch()


class TaskManager(ManagedObject):
    """All tasks of this vCenter."""

    wsdl = "TaskManager"
    values: ClassVar[Values] = {
        "recentTask": lambda self: self.recent(),
        "maxCollector": lambda _: 32,
    }
    __slots__ = ("log",)

    def __init__(self, vcenter: Vcenter, moid: str) -> None:
        super().__init__(vcenter, moid)
        self.log: list[Task] = []

    def recent(self, entity: Any = None) -> list[Task]:
        """Return the tasks that run or ended lately, of *entity* if given."""
        limit = now() - _RECENT
        return [
            task
            for task in self.log
            if (entity is None or task.entity is entity) and (task.complete is None or task.complete > limit)
        ]

    def start(
        self,
        call: Call | None,
        entity: Any,
        description: str,
        work: Callable[[Task], Any],
        *,
        cancelable: bool = False,
        queue: bool = False,
    ) -> Task:
        """Start *work* as a task on *entity*; with *queue* the work itself says when it begins."""
        user = call.session.user if call else "com.vmware.vim"
        task = Task(self.vcenter, entity, description, user)
        task.cancelable = cancelable
        if not queue:
            task.begin()
        self.log.append(task)
        self.vcenter.registry.add(task)
        self.vcenter.registry.touch(self, entity)
        threading.Thread(target=task.run, args=(work,), name=task.moid, daemon=True).start()
        return task
