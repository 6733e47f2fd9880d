"""A host's maintenance mode and reboot: how it stands, entering, leaving, ordering the reboot."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from pyVmomi import vim, vmodl

from lrvmotion.errors import RefusedError, UnreachableError
from lrvmotion.model.inventory import MoRef
from lrvmotion.model.setting import Value
from lrvmotion.model.target_id import TargetId
from lrvmotion.model.vcenter import AUTOMATED, RebootReadiness
from lrvmotion.ports.rebooter import HostRuntime
from lrvmotion.vsphere import tasks
from lrvmotion.vsphere.client import managed_object, mapped, moref, name_of, properties_of, retrieve
from lrvmotion.vsphere.session import Session
from lrvmotion.vsphere.tasks import raise_fault

POLL_S = 2.0  # a task that takes long is looked at so often
FIRST_POLL_S = 0.2
EXIT_S = 300.0  # leaving needs nothing moved: it is quick, or it fails
_ENTER = "HostSystem.enterMaintenanceMode"  # TaskInfo.descriptionId
_NOW = ("runtime.connectionState", "runtime.inMaintenanceMode", "runtime.bootTime", "summary.rebootRequired")


class HostPower:
    """The power of the host that messages call *subject* (reboot.Rebooter), and its setting "maintenance"."""

    def __init__(self, session: Session, subject: TargetId, host: vim.HostSystem) -> None:
        self._session = session
        self._subject = subject
        self._host = host

    def now(self) -> HostRuntime:
        """Return how the host is."""
        row = self._row(*_NOW)
        return HostRuntime(
            connected=str(row.get("runtime.connectionState")) == "connected",
            in_maintenance=bool(row.get("runtime.inMaintenanceMode")),
            booted=row.get("runtime.bootTime"),
            reboot_required=bool(row.get("summary.rebootRequired")),
        )

    def readiness(self) -> RebootReadiness:
        """Return the VMs that run on it, its cluster's DRS and the other hosts that work for it; three calls."""
        content = self._session.content

        def ask() -> RebootReadiness:
            row = properties_of(content, self._host, ("vm", "parent"))
            parent = row.get("parent")
            if parent is None:
                message = f"{self._subject}: its cluster cannot be read"
                raise RefusedError(message, hint="the account needs System.Read on it")
            about = properties_of(content, parent, _about(parent))
            wanted = {
                vim.VirtualMachine: ("name", "runtime.powerState"),
                vim.HostSystem: ("name", "runtime.connectionState", "runtime.inMaintenanceMode"),
            }
            found = retrieve(content, wanted, [*(row.get("vm") or ()), *(about.get("host") or ())])
            running = {moref(i): name_of(r) for i, r in found if str(r.get("runtime.powerState")) == "poweredOn"}
            others = [r for i, r in found if isinstance(i, vim.HostSystem) and moref(i) != moref(self._host)]
            config = about.get("configurationEx")
            level = _level(config)
            own = _own_levels(config) if config is not None and level == AUTOMATED else {}
            return RebootReadiness(
                host=self._subject,
                cluster=name_of(about),
                running=tuple(sorted(running.values())),
                fixed=tuple(sorted(name for ref, name in running.items() if own.get(ref, AUTOMATED) != AUTOMATED)),
                drs=level,
                others=tuple(sorted(name_of(r) for r in others if _works(r))),
            )

        return self._session.call(f"{self._subject}: its cluster", ask)

    def read(self) -> Value:
        """Return whether it is in maintenance mode, or enters it now."""
        in_maintenance = bool(self._row("runtime.inMaintenanceMode").get("runtime.inMaintenanceMode"))
        return Value("bool", in_maintenance or bool(self._entering()))

    def write(self, value: Value) -> None:
        """Take it out of maintenance mode; RefusedError for anything else: only *enter* puts it in."""
        if value != Value("bool", False):
            message = f"{self._subject}: only a rolling reboot puts a host into maintenance mode"
            raise RefusedError(message)
        for task in self._entering():
            tasks.cancel(self._session, self._subject, task)
            self._wait(task, EXIT_S)
        if not self.now().in_maintenance:
            return
        task = self._session.call(self._leaving, lambda: self._host.ExitMaintenanceMode_Task(timeout=0))
        raise_fault(self._leaving, self._wait(task, EXIT_S))

    def enter(self, timeout_s: float, proceed: Callable[[], None]) -> None:
        """Put it in maintenance mode; RefusedError where it does not become empty in *timeout_s* seconds."""
        subject = f"{self._subject}: maintenance mode"
        task = self._session.call(
            subject,
            lambda: self._host.EnterMaintenanceMode_Task(timeout=int(timeout_s), evacuatePoweredOffVms=False),
        )
        error = self._wait(task, timeout_s + EXIT_S, proceed)
        if isinstance(error, vim.fault.Timedout):
            message = f"{self._subject} did not get empty within {timeout_s / 60:.0f} min: VMs still run on it"
            raise RefusedError(message, hint="see why DRS does not move them, or move them yourself")
        raise_fault(subject, error)

    def reboot(self) -> None:
        """Order the reboot; what is heard of the task afterwards does not matter, only whether the host comes back."""
        subject = f"{self._subject}: reboot"
        task = self._session.call(subject, lambda: self._host.RebootHost_Task(force=False))
        error = self._wait(task, EXIT_S)
        if not isinstance(error, vmodl.fault.HostCommunication):
            raise_fault(subject, error)

    def bring_home(self, vms: Sequence[MoRef], timeout_s: float) -> list[str]:
        """Move those of *vms* that run on another host of this vCenter back; return why for each that stays."""
        content = self._session.content
        machines = [managed_object(self._session.stub, ref) for ref in vms]
        wanted = {vim.VirtualMachine: ("name", "runtime.host", "runtime.powerState")}
        rows = self._session.call(f"{self._subject}: its VMs", lambda: retrieve(content, wanted, machines))
        started: list[tuple[str, vim.Task]] = []
        stay: list[str] = []
        for vm, row in rows:
            if str(row.get("runtime.powerState")) != "poweredOn" or row.get("runtime.host") == self._host:
                continue
            name = name_of(row)
            try:
                with mapped(f"vm/{name}"):
                    started.append((name, vm.RelocateVM_Task(vim.vm.RelocateSpec(host=self._host), "highPriority")))
            except (RefusedError, UnreachableError) as error:
                stay.append(f"{name} is not moved back: {error.message}")
        until = time.monotonic() + timeout_s
        for name, task in started:
            try:
                raise_fault(f"vm/{name}", self._wait(task, max(POLL_S, until - time.monotonic())))
            except (RefusedError, UnreachableError) as error:
                stay.append(f"{name} is not moved back: {error.message}")
        return stay

    @property
    def _leaving(self) -> str:
        return f"{self._subject}: leaving maintenance mode"

    def _row(self, *paths: str) -> dict[str, Any]:
        content = self._session.content
        return self._session.call(self._subject, lambda: properties_of(content, self._host, paths))

    def _entering(self) -> list[vim.Task]:
        """Return the tasks that put the host in maintenance mode now."""

        def ask() -> list[vim.Task]:
            recent = properties_of(self._session.content, self._host, ("recentTask",)).get("recentTask") or ()
            return [one.task for one in tasks.read(self._session, recent) if one.live and one.description_id == _ENTER]

        return self._session.call(f"{self._subject}: running tasks", lambda: tasks.once_more(ask))

    def _wait(
        self, task: vim.Task, limit_s: float, proceed: Callable[[], None] | None = None
    ) -> vmodl.MethodFault | None:
        """Return the fault with which *task* ended; a vCenter that is away is waited for."""
        return tasks.wait(
            self._session, self._subject, task, limit_s, proceed=proceed, pauses=(FIRST_POLL_S, POLL_S), patient=True
        )


def _about(parent: vim.ComputeResource) -> tuple[str, ...]:
    """Return what to ask of a host's parent: a standalone host's has no DRS."""
    more = ("configurationEx",) if isinstance(parent, vim.ClusterComputeResource) else ()
    return ("name", "host", *more)


def _level(config: vim.cluster.ConfigInfoEx | None) -> str:
    drs = getattr(config, "drsConfig", None)
    return str(drs.defaultVmBehavior or "") if drs is not None and drs.enabled else ""


def _own_levels(config: vim.cluster.ConfigInfoEx) -> dict[MoRef, str]:
    """Return the DRS levels of VMs that have one of their own; "" is off."""
    if config.drsConfig.enableVmBehaviorOverrides is False:
        return {}
    return {
        moref(item.key): "" if item.enabled is False else str(item.behavior or AUTOMATED)
        for item in config.drsVmConfig or ()
    }


def _works(row: dict[str, Any]) -> bool:
    return str(row.get("runtime.connectionState")) == "connected" and not row.get("runtime.inMaintenanceMode")
