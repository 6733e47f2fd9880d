"""Follow any number of tasks on one long poll: a collector of our own, a filter a task."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pyVmomi import vim, vmodl

from lrvmotion.errors import LrvmotionError, TrustError, UnreachableError
from lrvmotion.ports.mover import TaskUpdate
from lrvmotion.vsphere import faults
from lrvmotion.vsphere.certificate import NotTrustedError, distrust
from lrvmotion.vsphere.client import WIRE_ERRORS, mapped, missing, moref
from lrvmotion.vsphere.session import Session
from lrvmotion.vsphere.tasks import ENDED, updated, updates_of, wait_options

GONE_S = 300.0  # the tasks go on without us: this long we try to reach the vCenter again
RETRY_S = 2.0
GATHER_S = 0.5  # vCenter answers at the first change: progress of many tasks is let gather between two questions
_PATHS = ("info.state", "info.progress", "info.error", "info.cancelled")


@dataclass(slots=True)
class Job:
    """A task, the VM it moves, and what was heard of it; *lost*: how it ended where vCenter no longer knows."""

    vm: str
    instance_uuid: str
    task: vim.Task
    values: dict[str, Any] = field(default_factory=dict)
    percent: int = 0
    changed: bool = False
    lost: str | None = None


class Follower:
    """The tasks of *session* that have not ended; *arrived* says of a VM whether it is at the target alone."""

    def __init__(self, session: Session, arrived: Callable[[str], bool]) -> None:
        self._session = session
        self._arrived = arrived
        self._jobs: dict[str, Job] = {}  # by the task's id
        self._filters: dict[str, Any] = {}
        self._collector: Any = None
        self._version = ""
        self._lost_at: float | None = None
        self._asked = 0.0

    def add(self, job: Job) -> None:
        """Follow *job* from now on."""
        self._jobs[moref(job.task).value] = job
        if self._collector is not None:
            try:
                self._listen(job)
            except (vmodl.MethodFault, *WIRE_ERRORS):
                self._collector = None  # the next poll begins afresh

    @property
    def vms(self) -> frozenset[str]:
        """The VMs whose tasks have not ended."""
        return frozenset(job.vm for job in self._jobs.values())

    def task_of(self, vm: str) -> vim.Task | None:
        """Return the task that moves *vm*, None where it has ended."""
        return next((job.task for job in self._jobs.values() if job.vm == vm), None)

    def updates(self, timeout_s: float) -> list[TaskUpdate]:
        """Wait up to *timeout_s* for news. While the vCenter does not answer there is none.

        Raises UnreachableError when that lasts five minutes; TrustError at once where it refuses a new login or does
        not show the pinned certificate: no waiting changes that.
        """
        if not self._jobs:
            time.sleep(timeout_s)
            return []
        time.sleep(min(max(0.0, self._asked + GATHER_S - time.monotonic()), timeout_s))
        self._asked = time.monotonic()
        try:
            self._poll(timeout_s)
        except NotTrustedError as error:
            self._collector = None
            found = distrust(error)
            raise TrustError(f"{self._session.site} vCenter: {found.message}", hint=found.hint) from None  # noqa: EM102
        except (*WIRE_ERRORS, UnreachableError, vmodl.MethodFault) as error:
            # A fault of the poll itself (SystemError while the vCenter starts, for example) is no news of any task.
            self._collector = None
            now = time.monotonic()
            self._lost_at = self._lost_at or now
            if now - self._lost_at > GONE_S:
                why = faults.text(error) if isinstance(error, vmodl.MethodFault) else error
                message = f"{self._session.site} vCenter has not answered for {GONE_S:.0f} s: {why}"
                raise UnreachableError(message, hint="running moves go on there without us") from None
            time.sleep(RETRY_S)
        else:
            self._lost_at = None
        return self._news()

    def close(self) -> None:
        """Stop listening; the tasks go on."""
        collector, self._collector = self._collector, None
        self._jobs.clear()
        if collector is not None:
            self._quietly(collector.DestroyPropertyCollector)

    def _poll(self, seconds: float) -> None:
        logins = self._session.logins
        try:
            if self._collector is None:
                self._rebuild()
            self._wait(seconds)
        except vim.fault.NotAuthenticated:
            # The session is gone and its collectors with it; vCenter keeps the tasks.
            self._collector = None
            with mapped(f"{self._session.site} vCenter"):
                self._session.renew(logins)
        except (vmodl.fault.ManagedObjectNotFound, vmodl.query.InvalidCollectorVersion):
            self._collector = None  # another thread logged in again
            time.sleep(RETRY_S)

    def _rebuild(self) -> None:
        self._collector = self._session.content.propertyCollector.CreatePropertyCollector()
        self._version = ""
        self._filters.clear()
        for job in list(self._jobs.values()):
            self._listen(job)

    def _listen(self, job: Job) -> None:
        try:
            self._filters[moref(job.task).value] = self._collector.CreateFilter(updates_of([job.task], _PATHS), False)
        except vmodl.fault.ManagedObjectNotFound as fault:
            gone = missing(fault)
            if gone is not None and moref(gone) != moref(job.task):
                raise  # it is the collector that has gone, with its session: that says nothing of the task
            self._forgotten(job)

    def _wait(self, seconds: float) -> None:
        """Take the next updates into the jobs' values."""
        options = wait_options(seconds)
        truncated = True
        while truncated:
            update = self._collector.WaitForUpdatesEx(self._version, options)
            if update is None:
                return
            self._version = update.version
            truncated = bool(update.truncated)
            for item in updated(update):
                self._take(item)

    def _take(self, item: vmodl.query.PropertyCollector.ObjectUpdate) -> None:
        job = self._jobs.get(moref(item.obj).value)
        if job is None:
            return
        for change in item.changeSet or ():
            job.values[change.name] = change.val
            job.changed = True
        if item.kind == "leave":
            self._forgotten(job)

    def _forgotten(self, job: Job) -> None:
        """Tell from where the VM is how a task ended that vCenter no longer knows."""
        if str(job.values.get("info.state")) in ENDED:
            return
        job.changed = True
        if self._arrived(job.instance_uuid):
            job.values["info.state"] = "success"
        else:
            job.values["info.state"] = "error"
            job.lost = "vCenter no longer knows the task, and the VM is not at the target alone"

    def _news(self) -> list[TaskUpdate]:
        news = []
        for key, job in list(self._jobs.items()):
            if job.changed:
                job.changed = False
                news.append(_update(job))
                if news[-1].state in ENDED:
                    del self._jobs[key]
                    self._drop(key)
        return news

    def _drop(self, key: str) -> None:
        listener = self._filters.pop(key, None)
        if listener is not None and self._collector is not None:
            self._quietly(listener.DestroyPropertyFilter)

    def _quietly(self, destroy: Callable[[], object]) -> None:
        """Destroy what ends with the session anyway."""
        try:
            with mapped(f"{self._session.site}: task updates"):
                destroy()
        except LrvmotionError:
            self._collector = None  # the next poll begins afresh


def _update(job: Job) -> TaskUpdate:
    state = str(job.values.get("info.state", "queued"))
    job.percent = max(job.percent, int(job.values.get("info.progress") or 0))  # a 0 after 100 happens (vsphere.md 8)
    if state == "success":
        return TaskUpdate(vm=job.vm, state="success", percent=100)
    if state != "error":
        return TaskUpdate(vm=job.vm, state="queued" if state == "queued" else "running", percent=job.percent)
    fault = job.values.get("info.error")
    if fault is None:
        reason = job.lost or "the task failed and vCenter does not say why"
        return TaskUpdate(vm=job.vm, state="error", percent=job.percent, reason=reason)
    verdict = faults.classify(fault)
    return TaskUpdate(
        vm=job.vm,
        state="error",
        percent=job.percent,
        reason=verdict.cause,
        hint=verdict.hint,
        fault=faults.class_name(fault),
        cancelled=verdict.verdict == "cancelled" or bool(job.values.get("info.cancelled")),
        passing=verdict.verdict == "retry",
    )
