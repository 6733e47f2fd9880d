"""The control socket: scripted trouble, the witness's questions, and the lab's channel between two vCenters."""

# ruff: noqa: ANN401 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

import json
import logging
import os
import socketserver
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from lrvmotion.lab.vcenter import arrival, control_traits, vm_data
from lrvmotion.lab.vcenter.datastore import mounted
from lrvmotion.lab.vcenter.fault_rule import FaultRule
from lrvmotion.lab.vcenter.license_manager import EDITIONS
from lrvmotion.lab.vcenter.registry import named
from lrvmotion.lab.vcenter.vcenter import Vcenter
from lrvmotion.lab.vcenter.virtual_machine import VirtualMachine

log = logging.getLogger(__name__)
Request = dict[str, Any]


def _firsts(vms: Iterable[Any]) -> Iterator[tuple[Any, bool]]:
    """Give each of *vms*, and whether none before it has its name."""
    seen: set[str] = set()
    for vm in vms:
        yield vm, vm.name not in seen
        seen.add(vm.name)


class Control:
    """What each operation does."""

    def __init__(self, vcenter: Vcenter) -> None:
        self.vcenter = vcenter
        self.operations: dict[str, Callable[[Request], Any]] = {
            "fault_add": self.fault_add,
            "fault_clear": lambda request: self.vcenter.trouble.clear(request.get("method")),
            "calls": self.calls,
            "calls_reset": self.calls_reset,
            "state": self.state,
            "sessions_expire": self.sessions_expire,
            "tasks": self.tasks,
            "vm_power": self.vm_power,
            "vm_snapshot": self.vm_snapshot,
            "vm_snapshots_remove": self.vm_snapshots_remove,
            "vm_device": self.vm_device,
            "vm_leave": self.vm_leave,
            "vm_arrive": self.vm_arrive,
            "host_connection": self.host_connection,
            "host_stack": self.host_stack,
            "host_maintenance": self.host_maintenance,
            "cluster_drs": self.cluster_drs,
            "clock": self.clock,
            "licence": self.licence,
            **{name: partial(operation, vcenter) for name, operation in control_traits.OPERATIONS.items()},
            "privileges_deny": self.privileges_deny,
            "relocate_faults": self.relocate_faults,
        }

    def answer(self, request: Request) -> dict[str, Any]:
        """Return the answer to one line."""
        op = str(request.get("op"))
        if op.startswith("relocate_") and "demand" in request:
            return arrival.answer(self.vcenter, op, request)
        operation = self.operations.get(op)
        if operation is None:
            return {"error": f"no operation {op}; there are {', '.join(self.operations)}"}
        try:
            return {"ok": operation(request) or {}}
        except (KeyError, TypeError, ValueError, LookupError) as error:
            return {"error": f"{type(error).__name__}: {error}"}

    def fault_add(self, request: Request) -> None:
        """Put a FaultRule in force."""
        self.vcenter.trouble.add(FaultRule(**request["rule"]))

    def calls(self, request: Request) -> dict[str, Any]:
        """Return the calls by method, those that a rule delays now, the count of writes, the most that waited."""
        del request
        trouble = self.vcenter.trouble
        return {
            "calls": dict(trouble.calls), "writes": trouble.writes, "delayed": dict(+trouble.delayed),
            "most_waiting": self.vcenter.most_waiting,
        }  # fmt: skip

    def calls_reset(self, request: Request) -> None:
        """Count from now on."""
        del request
        self.vcenter.trouble.reset_calls()
        with self.vcenter.lock:
            self.vcenter.most_waiting = self.vcenter.waiting

    def state(self, request: Request) -> dict[str, Any]:
        """Return every host's configuration and where each VM is."""
        del request
        with self.vcenter.lock:
            return {
                "hosts": {host.name: host.document() for host in self.vcenter.hosts()},
                "vms": {
                    vm.name if first else f"{vm.name} {vm.moid}": {
                        "moid": vm.moid,
                        "folder": vm.parent.name,
                        "instance_uuid": vm.instance_uuid,
                        "host": vm.host.name,
                        "datastore": vm.datastore.name,
                        "datacenter": vm.host.datacenter.name,
                        "ids": {key: getattr(vm, key).moid for key in ("host", "datastore", "network", "parent")},
                        "power": "on" if vm.powered_on else "off",
                        "relocating": vm.relocating is not None,
                    }
                    for vm, first in _firsts(self.vcenter.machines())
                },
            }

    def sessions_expire(self, request: Request) -> dict[str, Any]:
        """End all sessions now, or with *idle_s* set how long an unused one lives."""
        if "idle_s" in request:
            self.vcenter.sessions.idle_s = float(request["idle_s"])
            return {}
        self.vcenter.rest.sessions.clear()
        return {"ended": self.vcenter.sessions.expire_all()}

    def tasks(self, request: Request) -> dict[str, Any]:
        """Return every task so far."""
        del request

        def when(moment: Any) -> str | None:
            return moment.isoformat() if moment else None

        with self.vcenter.lock:
            return {
                "tasks": [
                    {
                        "task": task.moid,
                        "description": task.description,
                        "entity": task.entity_name,
                        "hosts": task.hosts,
                        "datastores": task.datastores,
                        "state": task.state,
                        "progress": task.progress,
                        "cancelled": task.cancelled,
                        "error": type(task.error).__name__ if task.error else None,
                        "message": task.error.msg if task.error else None,
                        "queued": when(task.queued),
                        "started": when(task.started),
                        "completed": when(task.complete),
                    }
                    for task in self.vcenter.tasks.log
                ]
            }

    def _vm(self, request: Request) -> Any:
        return named(self.vcenter.machines(), request["vm"])

    def _host(self, request: Request) -> Any:
        return named(self.vcenter.hosts(), request["host"])

    def vm_power(self, request: Request) -> None:
        """Switch a VM *on* or off."""
        with self.vcenter.lock:
            self._vm(request).power(on=bool(request["on"]))

    def vm_snapshot(self, request: Request) -> None:
        """Add a snapshot to a VM."""
        with self.vcenter.lock:
            self._vm(request).snapshot(request.get("name", "snapshot"))

    def vm_snapshots_remove(self, request: Request) -> None:
        """Remove all snapshots of a VM."""
        with self.vcenter.lock:
            vm = self._vm(request)
            vm.snapshots.clear()
            vm.changed()

    def vm_device(self, request: Request) -> None:
        """Connect *iso* to a VM's CD-ROM drive; null disconnects it."""
        with self.vcenter.lock:
            vm = self._vm(request)
            vm.iso = request["iso"]
            vm.traits = replace(vm.traits, drives=tuple(one for one in vm.traits.drives if one[0] != vm_data.CDROM))
            vm.changed()

    def vm_leave(self, request: Request) -> dict[str, Any]:
        """Take a VM out of the inventory and return what makes it the same VM elsewhere: see vm_arrive."""
        with self.vcenter.lock:
            vm = self._vm(request)
            if vm.relocating is not None:
                message = f"{vm.name} is being relocated"
                raise ValueError(message)
            document: dict[str, Any] = vm.document()
            vm.delete()
            return document

    def vm_arrive(self, request: Request) -> dict[str, Any]:
        """Put a VM that left another vCenter on *host*; the lab's own way, at once and without a relocate."""
        with self.vcenter.lock:
            host = self._host(request)
            made = VirtualMachine(
                self.vcenter,
                name=request["document"]["name"],
                folder=host.datacenter.folders["vm"],
                host=host,
                datastore=mounted(host)[0],
                network=host.vm_networks[0],
                document=request["document"],
            )
            return {"moid": made.moid}

    def host_connection(self, request: Request) -> None:
        """Set a host's connection state: connected, disconnected, notResponding."""
        if request["state"] not in {"connected", "disconnected", "notResponding"}:
            message = f"no state {request['state']}"
            raise ValueError(message)
        host = self._host(request)
        with self.vcenter.lock:
            host.held = request["state"] != "connected"
        host.set_connection(request["state"])

    def host_stack(self, request: Request) -> None:
        """Change a TCP/IP stack's congestion control behind everyone's back, as another operator would."""
        with self.vcenter.lock:
            host = self._host(request)
            host.network.netstacks[request["netstack"]].congestion_control = request["congestion_control"]
            host.touch()

    def host_maintenance(self, request: Request) -> None:
        """Switch a host's maintenance mode *on* or off, its running VMs notwithstanding."""
        with self.vcenter.lock:
            host = self._host(request)
            host.maintenance = bool(request["on"])
            host.touch()

    def cluster_drs(self, request: Request) -> None:
        """Set the clusters' DRS *level*: fullyAutomated, partiallyAutomated, manual; null is off."""
        with self.vcenter.lock:
            for cluster in self.vcenter.registry.of_type("ClusterComputeResource"):
                cluster.drs = request["level"]
                cluster.touch()

    def clock(self, request: Request) -> None:
        """Set the vCenter's clock *ahead_s* seconds ahead of the real one."""
        self.vcenter.ahead_s = float(request["ahead_s"])

    def licence(self, request: Request) -> None:
        """Give every host the licence *name*."""
        if request["name"] not in EDITIONS:
            message = f"no licence {request['name']}; there are {', '.join(EDITIONS)}"
            raise ValueError(message)
        with self.vcenter.lock:
            self.vcenter.content.managers["licenseManager"].assignments.name = request["name"]
            self.vcenter.root.touch()

    def privileges_deny(self, request: Request) -> None:
        """Set the privileges that the account is reported not to have."""
        self.vcenter.denied = set(request["privileges"])

    def relocate_faults(self, request: Request) -> None:
        """Let RelocateVM_Task's own checks fail *at_call* rather than in the task."""
        self.vcenter.faults_at_call = bool(request["at_call"])


class ControlServer(socketserver.ThreadingUnixStreamServer):
    """The socket, mode 600; a JSON object a line each way."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, path: Path, vcenter: Vcenter) -> None:
        control = Control(vcenter)

        class Line(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                for line in self.rfile:
                    try:
                        answer = control.answer(json.loads(line))
                    except Exception as error:
                        log.exception("control")
                        answer = {"error": str(error)}
                    self.wfile.write(json.dumps(answer).encode() + b"\n")

        path.unlink(missing_ok=True)
        mask = os.umask(0o177)  # the socket is made with mode 600, not given it later
        try:
            super().__init__(str(path), Line)
        finally:
            os.umask(mask)
