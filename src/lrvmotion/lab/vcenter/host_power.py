"""What maintenance mode and a reboot do to a simulated host: DRS empties it, it goes away, and comes back."""

# ruff: noqa: ANN401 - pyVmomi makes its types at run time
from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from pyVmomi import vim

from lrvmotion.lab.vcenter import relocate
from lrvmotion.lab.vcenter.clock import now
from lrvmotion.lab.vcenter.hostd_client import HostdError

if TYPE_CHECKING:
    from lrvmotion.lab.vcenter.task import Task

BOOT_S = 3.0  # the lab's own choice: a server takes minutes
SHUTDOWN_S = 0.3  # between the reboot's call and the host's last sign


def enter_maintenance(host: Any, task: Task, timeout_s: int) -> None:
    """Wait until no VM runs on *host*, then put it in maintenance mode; Timedout after *timeout_s*, 0: never.

    In a cluster whose DRS is fully automated the VMs are moved away, but for those with a level of their own; else it
    waits until somebody has moved or stopped them (API reference of EnterMaintenanceMode_Task).
    """
    end = time.monotonic() + timeout_s if timeout_s > 0 else None
    asked: set[str] = set()  # unconfirmed: how often DRS tries a VM that it failed to move
    with host.vcenter.registry.changed:
        while running := [vm for vm in host.machines.values() if vm.powered_on]:
            task.check_cancelled()
            host.require_connected()
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                raise vim.fault.Timedout(msg="Operation timed out.")
            for vm in running:
                if vm.moid not in asked and vm.relocating is None and _automated(host, vm):
                    asked.add(vm.moid)
                    _evacuate(host, vm)
            host.vcenter.registry.changed.wait(left)
        task.check_cancelled()
        host.maintenance = True
        host.touch()


def _automated(host: Any, vm: Any) -> bool:
    cluster = host.parent
    level = cluster.overrides.get(vm.moid, {}).get("drs", cluster.drs)
    return cluster.drs is not None and level == "fullyAutomated"


def _evacuate(host: Any, vm: Any) -> None:
    """Move *vm* to the host of the cluster with the fewest VMs that can take it; nothing where there is none."""
    others = [
        other
        for other in host.parent.hosts
        if other is not host and other.connection == "connected" and not other.maintenance
    ]
    if others:
        where = min(others, key=lambda other: (len(other.machines), other.name))
        relocate.start(None, vm, vim.vm.RelocateSpec(host=where.ref))


def reboot(host: Any) -> None:
    """Take *host* down and, after its boot time, bring it back with what it keeps: its configuration, no VM running.

    With `boot_s` None it does not come back by itself.
    """
    time.sleep(SHUTDOWN_S)
    with host.io:
        host.booting = True
        host.set_connection("notResponding")
        with contextlib.suppress(HostdError):  # its process is gone, and what it made with it
            host.hostd.call("reset")
        with host.vcenter.lock:
            for vm in [vm for vm in host.machines.values() if vm.powered_on]:
                vm.power(on=False)
    if host.boot_s is not None:
        time.sleep(host.boot_s)
        start(host)


def start(host: Any) -> None:
    """Let a host that is down come up; nothing for one that is up."""
    with host.io:
        with host.vcenter.lock:
            if not host.booting:
                return
            host.options.rebooted()
            host.boot_time = now()
            host.booting = False
            host.vcenter.registry.touch(host, host.options)
        if not host.held:
            host.attach()
