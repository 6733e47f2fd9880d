"""Move VMs from one vCenter to another: start, follow on one long poll, cancel, verify at both."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from pyVmomi import vim, vmodl

from lrvmotion.errors import LrvmotionError, RefusedError, UnreachableError
from lrvmotion.findings import Finding, Severity
from lrvmotion.inventory import MoRef
from lrvmotion.migrate import TaskUpdate
from lrvmotion.plan import Migration
from lrvmotion.vsphere import faults, machines
from lrvmotion.vsphere.session import POLL_LIMIT_S, Session
from lrvmotion.vsphere.spec import network_backings, relocate_spec
from lrvmotion.vsphere.stub import WIRE_ERRORS, managed_object, mapped, moref, properties_of, retrieve
from lrvmotion.vsphere.tasks import cancel

SETTLE_S = 10.0  # how long both inventories may take to show a finished move
GONE_S = 300.0  # the tasks go on without us: this long we try to reach the vCenter again
RETRY_S = 2.0
_TASK = ("info.state", "info.progress", "info.error", "info.cancelled")
_ENDED = frozenset({"success", "error"})

Location = Literal["source", "target", "both", "neither"]


def locate(source: Session, target: Session, instance_uuid: str) -> Location:
    """Return where the VM with *instance_uuid* is now, by asking both vCenters."""
    at_source = find(source, instance_uuid) is not None
    at_target = find(target, instance_uuid) is not None
    if at_source:
        return "both" if at_target else "source"
    return "target" if at_target else "neither"


def find(session: Session, instance_uuid: str) -> Any:  # noqa: ANN401
    """Return the VM with *instance_uuid* in the vCenter of *session*, or None."""
    subject = f"{session.site}: VM {instance_uuid}"
    return session.call(
        subject,
        lambda: session.content.searchIndex.FindByUuid(None, instance_uuid, True, True),
    )


@dataclass(slots=True)
class _Job:
    vm: str
    instance_uuid: str
    task: Any
    values: dict[str, Any] = field(default_factory=dict)
    percent: int = 0
    changed: bool = False


class RelocateMover:
    """Relocates VMs from *source* to *target* (migrate.Mover). The tasks live in vCenter: they go on without us."""

    def __init__(self, source: Session, target: Session) -> None:
        self._source = source
        self._target = target
        self._jobs: dict[str, _Job] = {}  # by the task's id
        self._collector: Any = None
        self._filters: dict[str, Any] = {}
        self._version = ""
        self._lost_at: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening; running tasks go on."""
        collector, self._collector = self._collector, None
        if collector is not None:
            try:
                with mapped("source: task updates"):
                    collector.DestroyPropertyCollector()
            except LrvmotionError:
                pass  # it ends with the session anyway

    def recheck(self, migration: Migration) -> list[str]:
        """Return why the VM may not be moved now: it or a host is not as planned, or cannot be read."""
        try:
            return [*self._vm_changed(migration), *self._host_changed(self._target, migration.placement.host.ref)]
        except LrvmotionError as error:
            return [error.message]

    def start(self, migration: Migration) -> str:
        """Start the relocate and return its task's id; raises LrvmotionError where it is refused at once."""
        subject = f"vm/{migration.vm}"
        vm = managed_object(self._source.stub, migration.ref)
        backings = network_backings(self._target, migration)
        paths = ("config.hardware.device", "recentTask")
        row = self._source.call(subject, lambda: properties_of(self._source.content, vm, paths))
        before = {moref(task) for task in row.get("recentTask") or ()}
        devices = row.get("config.hardware.device") or ()
        task = self._submit(subject, vm, migration, devices, backings, before)
        job = _Job(migration.vm, migration.instance_uuid, task)
        self._jobs[moref(task).value] = job
        if self._collector is not None:
            self._listen(job)
        return moref(task).value

    def updates(self, timeout_s: float) -> list[TaskUpdate]:
        """Wait up to *timeout_s* for news of any started task.

        While the vCenter does not answer there is no news; raises UnreachableError when that lasts five minutes.
        """
        if not self._jobs:
            time.sleep(timeout_s)
            return []
        try:
            logins = self._source.logins
            if self._collector is None:
                self._rebuild()
            self._wait(min(max(1, math.ceil(timeout_s)), POLL_LIMIT_S))
        except (vim.fault.NotAuthenticated, vmodl.fault.ManagedObjectNotFound):
            # The session is gone, and its collectors with it. vCenter keeps the tasks.
            self._collector = None
            with mapped("source vCenter"):
                self._source.renew(logins)
        except (*WIRE_ERRORS, UnreachableError) as error:
            self._collector = None
            now = time.monotonic()
            self._lost_at = self._lost_at or now
            if now - self._lost_at > GONE_S:
                message = f"the source vCenter has not answered for {GONE_S:.0f} s: {error}"
                hint = "the moves go on there: 'lrvmotion status' shows them once it answers"
                raise UnreachableError(message, hint=hint) from None
            time.sleep(RETRY_S)
        else:
            self._lost_at = None
        return self._news()

    def cancel(self, vm: str) -> None:
        """Ask for the VM's task to be cancelled; what comes of it shows in its updates."""
        for job in list(self._jobs.values()):
            if job.vm == vm:
                try:
                    cancel(self._source, f"vm/{vm}", job.task)
                except LrvmotionError:
                    return  # it cannot be any more, or by us: it goes on, and its updates say how it ends

    def verify(self, migration: Migration) -> list[Finding]:
        """Return what is wrong with a VM after its task succeeded: it must be at the target, once, and as it was."""
        until = time.monotonic() + SETTLE_S
        while (where := locate(self._source, self._target, migration.instance_uuid)) != "target":
            if time.monotonic() > until:
                return [_lost(migration, where)]
            time.sleep(1.0)
        vm = find(self._target, migration.instance_uuid)
        paths = ("runtime.powerState", "runtime.connectionState")
        row = self._target.call(
            f"vm/{migration.vm}", lambda: properties_of(self._target.content, vm, paths) if vm is not None else {}
        )
        found = []
        power = str(row.get("runtime.powerState", migration.power_state))
        if power != migration.power_state:
            summary = f"is {power} at the target, and was {migration.power_state}"
            found.append(_finding(Severity.ERROR, "vm-power", migration, summary, "look at the VM's events there"))
        connection = str(row.get("runtime.connectionState", "connected"))
        if connection != "connected":
            found.append(_finding(Severity.ERROR, "vm-connection", migration, f"is {connection} at the target"))
        return found

    def _vm_changed(self, migration: Migration) -> list[str]:
        vm = managed_object(self._source.stub, migration.ref)
        paths = ("runtime.host", "runtime.powerState", "runtime.connectionState", "snapshot", "config.instanceUuid")
        row = self._source.call(f"vm/{migration.vm}", lambda: properties_of(self._source.content, vm, paths))
        reasons = []
        if row.get("config.instanceUuid") != migration.instance_uuid:
            reasons.append(f"{migration.ref.value} is another VM now")
        power = str(row.get("runtime.powerState"))
        if power != migration.power_state:
            reasons.append(f"the VM is {power}, and was {migration.power_state} when planned")
        snapshots = machines.count_snapshots(row.get("snapshot"))
        if snapshots != migration.snapshots:
            reasons.append(f"the VM has {snapshots} snapshots, and had {migration.snapshots} when planned")
        if str(row.get("runtime.connectionState")) != "connected":
            reasons.append(f"the VM is {row.get('runtime.connectionState')}")
        if find(self._target, migration.instance_uuid) is not None:
            reasons.append("the target already has a VM of this instance UUID")
        host = row.get("runtime.host")
        if host is None:
            return [*reasons, "the VM is on no host"]
        return [*reasons, *self._host_changed(self._source, moref(host), migration.source_host)]

    def _host_changed(self, session: Session, ref: MoRef, name: str | None = None) -> list[str]:
        host = managed_object(session.stub, ref)
        paths = ("name", "runtime.connectionState", "runtime.inMaintenanceMode")
        row = session.call(f"{session.site} host {ref.value}", lambda: properties_of(session.content, host, paths))
        reasons = []
        if name is not None and row.get("name") != name:
            reasons.append(f"the VM is on {row.get('name')}, and was on {name} when planned")
        state = str(row.get("runtime.connectionState"))
        if state != "connected":
            reasons.append(f"{session.site}/{row.get('name')} is {state}")
        if row.get("runtime.inMaintenanceMode"):
            reasons.append(f"{session.site}/{row.get('name')} is in maintenance mode")
        return reasons

    def _submit(
        self,
        subject: str,
        vm: Any,  # noqa: ANN401
        migration: Migration,
        devices: Sequence[Any],
        backings: dict[int, Any],
        before: set[MoRef],
    ) -> Any:  # noqa: ANN401
        """Start the task. Where the answer was lost, look whether the task exists before starting it again."""
        priority = vim.VirtualMachine.MovePriority.highPriority
        again = True
        while True:
            logins = self._source.logins
            try:
                with relocate_spec(self._source, self._target, migration, devices, backings) as spec:
                    return vm.RelocateVM_Task(spec, priority)
            except vim.fault.NotAuthenticated:
                self._source.renew(logins)
                if (task := self._started(subject, vm, before)) is not None:
                    return task
                if not again:
                    message = f"{subject}: the source vCenter ended our session twice"
                    raise UnreachableError(message) from None
                again = False
            except vmodl.MethodFault as fault:
                verdict = faults.classify(fault)
                raise RefusedError(f"{subject}: {verdict.cause}", hint=verdict.hint) from None  # noqa: EM102
            except WIRE_ERRORS as error:
                if (task := self._started(subject, vm, before)) is not None:
                    return task
                message = f"{subject}: the relocate did not start: {str(error) or type(error).__name__}"
                raise UnreachableError(message) from None

    def _started(self, subject: str, vm: Any, before: set[MoRef]) -> Any:  # noqa: ANN401
        """Return the relocate task of *vm* that was not there *before*, or None."""
        content = self._source.content
        row = self._source.call(subject, lambda: properties_of(content, vm, ["recentTask"]))
        fresh = [task for task in row.get("recentTask") or () if moref(task) not in before]
        found = self._source.call(subject, lambda: retrieve(content, {vim.Task: ("info.descriptionId",)}, fresh))
        return next((task for task, info in found if "relocate" in str(info.get("info.descriptionId"))), None)

    def _rebuild(self) -> None:
        """Make a collector of our own and listen to every task that has not ended."""
        self._collector = self._source.content.propertyCollector.CreatePropertyCollector()
        self._version = ""
        self._filters.clear()
        for job in list(self._jobs.values()):
            self._listen(job)

    def _listen(self, job: _Job) -> None:
        kinds = vmodl.query.PropertyCollector
        wanted = kinds.PropertySpec(type=vim.Task, all=False, pathSet=list(_TASK))
        spec = kinds.FilterSpec(objectSet=[kinds.ObjectSpec(obj=job.task, skip=False)], propSet=[wanted])
        try:
            self._filters[moref(job.task).value] = self._collector.CreateFilter(spec, False)
        except vmodl.fault.ManagedObjectNotFound:
            self._forgotten(job)
        except (vim.fault.NotAuthenticated, *WIRE_ERRORS):
            self._collector = None  # the next poll begins afresh

    def _wait(self, seconds: int) -> None:
        """Take the next updates into the jobs' values; one long poll for all tasks."""
        kinds = vmodl.query.PropertyCollector
        truncated = True
        while truncated and self._collector is not None:
            update = self._collector.WaitForUpdatesEx(self._version, kinds.WaitOptions(maxWaitSeconds=seconds))
            if update is None:
                return
            self._version = update.version
            truncated = bool(update.truncated)
            for item in [item for group in update.filterSet or () for item in group.objectSet or ()]:
                job = self._jobs.get(moref(item.obj).value)
                if job is None:
                    continue
                if item.kind == "leave":
                    self._forgotten(job)
                for change in item.changeSet or ():
                    job.values[change.name] = change.val
                    job.changed = True

    def _forgotten(self, job: _Job) -> None:
        """Tell from where the VM is how a task ended that vCenter no longer knows."""
        where = locate(self._source, self._target, job.instance_uuid)
        job.changed = True
        job.values["info.state"] = "success" if where == "target" else "error"
        if where != "target":
            job.values["lost"] = f"vCenter no longer knows the task; the VM is at: {where}"

    def _news(self) -> list[TaskUpdate]:
        news = []
        for key, job in list(self._jobs.items()):
            if not job.changed:
                continue
            job.changed = False
            news.append(self._update(job))
            if news[-1].state in _ENDED:
                del self._jobs[key]
                self._drop(key)
        return news

    def _update(self, job: _Job) -> TaskUpdate:
        state = str(job.values.get("info.state", "queued"))
        job.percent = max(job.percent, int(job.values.get("info.progress") or 0))  # 0 after 100 happens (reference 8)
        if state == "success":
            return TaskUpdate(vm=job.vm, state="success", percent=100)
        if state != "error":
            return TaskUpdate(vm=job.vm, state="queued" if state == "queued" else "running", percent=job.percent)
        fault = job.values.get("info.error")
        if fault is None:
            reason = str(job.values.get("lost") or "the task failed and vCenter does not say why")
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
        )

    def _drop(self, key: str) -> None:
        listener = self._filters.pop(key, None)
        if listener is not None and self._collector is not None:
            try:
                with mapped("source: task updates"):
                    listener.DestroyPropertyFilter()
            except LrvmotionError:
                self._collector = None  # the next poll begins afresh


def _lost(migration: Migration, where: Location) -> Finding:
    if where == "both":
        summary = "the task succeeded, and both vCenters have the VM"
        hint = "look which of the two runs before you power on or remove either"
    elif where == "source":
        summary, hint = "the task succeeded, and the VM is still at the source", "look at the task's events there"
    else:
        summary = "the task succeeded, and neither vCenter finds the VM by its instance UUID"
        hint = f"look for {migration.vm} by name at the target: its instance UUID may have changed there"
    return _finding(Severity.ERROR, f"vm-at-{where}", migration, summary, hint)


def _finding(severity: Severity, code: str, migration: Migration, summary: str, hint: str | None = None) -> Finding:
    return Finding(severity=severity, code=code, subject=f"vm/{migration.vm}", summary=summary, hint=hint)
