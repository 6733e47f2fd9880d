"""Fakes that implement the product's Protocols in memory; no mock anywhere."""

from __future__ import annotations

import io
from pathlib import Path

from lrvmotion.model.inventory import (
    Datastore,
    Disk,
    Folder,
    Host,
    HostPortGroup,
    Inventory,
    MoRef,
    Network,
    Nic,
    Pool,
    VirtualMachine,
    Vmknic,
)
from lrvmotion.model.setting import ABSENT, SettingKey, Value
from lrvmotion.model.target_id import TargetId
from lrvmotion.model.vm.vm_metadata import VmMetadata
from lrvmotion.plan import planner
from lrvmotion.plan.layout import Layout, gather
from lrvmotion.plan.plan import Change, Plan
from lrvmotion.ports.mover import TaskUpdate


class Died(BaseException):
    """The process died here: nothing catches it, as nothing catches SIGKILL."""


class Fuse:
    """Counts down to the death; every call to a target and every journal byte burns some of it."""

    def __init__(self, left: int | None = None) -> None:
        self.left = left
        self.burnt = 0

    def burn(self, amount: int = 1) -> int:
        """Burn up to *amount* and return how much; Died where the fuse ends first (after burning the rest)."""
        allowed = amount if self.left is None else min(amount, self.left)
        self.burnt += allowed
        if self.left is not None:
            self.left -= allowed
        return allowed

    def point(self) -> None:
        """A place where the process may die."""
        if self.burn() == 0:
            raise Died


class FakeTarget:
    """A target in memory; dies before or after a write where its fuse says so."""

    def __init__(self, name: str, values: dict[str, Value], fuse: Fuse | None = None) -> None:
        self.name = name
        self.values = values
        self.fuse = fuse or Fuse()
        self.running: list[str] = []
        self.writes: list[tuple[str, Value]] = []

    def read(self, key: str) -> Value:
        self.fuse.point()
        return self.values.get(key, ABSENT)

    def write(self, key: str, value: Value) -> None:
        self.fuse.point()
        self.writes.append((key, value))
        if value == ABSENT:
            self.values.pop(key, None)
        else:
            self.values[key] = value
        self.fuse.point()

    def busy(self) -> list[str]:
        return list(self.running)


class MortalFile(io.RawIOBase):
    """A journal file that takes bytes only as long as the fuse burns: what was written before stays, as on a disk."""

    def __init__(self, path: Path, fuse: Fuse) -> None:
        self._file = path.open("ab", buffering=0)
        self._fuse = fuse

    def write(self, data) -> int:
        data = bytes(data)
        allowed = self._fuse.burn(len(data))
        self._file.write(data[:allowed])
        if allowed < len(data):
            raise Died
        return len(data)

    def fileno(self) -> int:
        return self._file.fileno()

    def close(self) -> None:
        self._file.close()
        super().close()


class FakeMover:
    """Moves at once: every start is answered by a running and a final update, in order.

    *passing* is how often a VM's move fails for a passing reason first; *at* where VMs are that are not at the source.
    """

    def __init__(
        self,
        fail: dict[str, str] | None = None,
        hold: dict[str, str] | None = None,
        passing: dict[str, int] | None = None,
        at: dict[str, str] | None = None,
    ) -> None:
        self.fail = fail or {}
        self.passing = passing or {}
        self.at = at or {}
        self.tasks: dict[str, str] = {}
        self.hold = hold or {}
        self.started: list[str] = []
        self.cancelled: list[str] = []
        self.pending: list[TaskUpdate] = []
        self.most_by_host: dict[str, int] = {}
        self.live: dict[str, tuple[str, str]] = {}

    def recheck(self, migration) -> list[str]:
        return [self.hold[migration.vm]] if migration.vm in self.hold else []

    def start(self, migration) -> str:
        self.started.append(migration.vm)
        self.live[migration.vm] = (f"source/{migration.source_host}", f"target/{migration.placement.host.name}")
        for host in self.live[migration.vm]:
            count = sum(host in hosts for hosts in self.live.values())
            self.most_by_host[host] = max(count, self.most_by_host.get(host, 0))
        self.pending.append(TaskUpdate(vm=migration.vm, state="running", percent=50))
        if self.passing.get(migration.vm, 0) > 0:
            self.passing[migration.vm] -= 1
            self.pending.append(TaskUpdate(vm=migration.vm, state="error", reason="for now", passing=True))
        elif migration.vm in self.fail:
            self.pending.append(TaskUpdate(vm=migration.vm, state="error", reason=self.fail[migration.vm]))
        else:
            self.pending.append(TaskUpdate(vm=migration.vm, state="success", percent=100))
        return f"task-{len(self.started)}"

    def locate(self, migration):
        return self.at.get(migration.vm, "source")

    def record(self, migration) -> VmMetadata:
        return VmMetadata()

    def carry(self, migration, metadata, record) -> list:
        return []

    def leftovers(self, migration) -> list:
        return []

    def unfinished(self, migration) -> str | None:
        return self.tasks.get(migration.vm)

    def follow(self, migration, task: str) -> None:
        self.live[migration.vm] = (f"source/{migration.source_host}", f"target/{migration.placement.host.name}")
        self.pending.append(TaskUpdate(vm=migration.vm, state="success", percent=100))

    def updates(self, timeout_s: float) -> list[TaskUpdate]:
        if not self.pending:
            return []
        update = self.pending.pop(0)
        if update.state in {"success", "error"}:
            self.live.pop(update.vm, None)
        return [update]

    def cancel(self, vm: str) -> None:
        self.cancelled.append(vm)
        self.live.pop(vm, None)
        self.pending = [update for update in self.pending if update.vm != vm]
        self.pending.append(TaskUpdate(vm=vm, state="error", cancelled=True))

    def verify(self, migration, before) -> list:
        return []


def change_of(
    target: str, key: str, prior: Value, planned: Value, reason: str = "test", *, reboot: bool = False
) -> Change:
    """Return the change of one setting, its target and key given as text."""
    return Change(
        target=TargetId(target), key=SettingKey(key), prior=prior, planned=planned, reason=reason, reboot=reboot
    )


def host(name: str, address: str, **changes) -> Host:
    """Return a host with vmk0 for management and vmk1 for vMotion at *address*."""
    nics = (
        Vmknic(
            device="vmk0", address="192.168.1.10", prefix_length=24, mtu=1500, mac="", portgroup="Management Network",
            services=frozenset({"management"}),
        ),
        Vmknic(
            device="vmk1", address=address, prefix_length=24, mtu=1500, mac="", portgroup="vMotion",
            services=frozenset({"vmotion"}),
        ),
    )  # fmt: skip
    content = {
        "ref": MoRef("HostSystem", f"host-{name}"),
        "name": name,
        "connection_state": "connected",
        "in_maintenance": False,
        "version": "7.0.3",
        "build": "1",
        "cluster": "Cluster",
        "pool": MoRef("ResourcePool", "resgroup-1"),
        "vmknics": nics,
        "portgroups": (HostPortGroup(name="vMotion", vswitch="vSwitch0", vlan_id=12, active=("vmnic0",)),),
        "datastores": frozenset({MoRef("Datastore", "datastore-1")}),
        "networks": frozenset({MoRef("Network", "network-1")}),
        "datacenter": "DC",
    }
    return Host(**{**content, **changes})


def vm(name: str, at: str, **changes) -> VirtualMachine:
    """Return a powered-on VM on host *at*."""
    content = {
        "ref": MoRef("VirtualMachine", f"vm-{name}"),
        "name": name,
        "instance_uuid": f"uuid-{name}",
        "bios_uuid": f"bios-{name}",
        "power_state": "poweredOn",
        "host": MoRef("HostSystem", f"host-{at}"),
        "folder": "",
        "memory_bytes": 2**30,
        "disks": (
            Disk(key=2000, label="Hard disk 1", capacity_bytes=2**31, datastore=MoRef("Datastore", "datastore-1")),
        ),
        "nics": (Nic(key=4000, label="Network adapter 1", mac="00:50:56:00:00:01", network="VM Network"),),
        "storage_bytes": 2**31,
    }
    return VirtualMachine(**{**content, **changes})


def inventory(site: str, hosts: tuple[Host, ...], vms: tuple[VirtualMachine, ...] = (), **changes) -> Inventory:
    """Return a site's inventory with one datastore, one network, one pool and the datacenter's own folder."""
    content = {
        "site": site,
        "instance_uuid": f"uuid-{site}",
        "version": "7.0.3",
        "build": "1",
        "api_version": "7.0.3.0",
        "hosts": hosts,
        "vm_names": tuple((machine.name, machine.ref) for machine in vms),
        "vms": vms,
        "datastores": (
            Datastore(ref=MoRef("Datastore", "datastore-1"), name="datastore1", capacity_bytes=2**42, free_bytes=2**41),
        ),
        "networks": (Network(ref=MoRef("Network", "network-1"), name="VM Network", kind="standard"),),
        "pools": (Pool(ref=MoRef("ResourcePool", "resgroup-1"), path="Cluster/Resources", cluster="Cluster"),),
        "folders": (Folder(ref=MoRef("Folder", "group-v1"), path="", datacenter="DC"),),
    }
    return Inventory(**{**content, **changes})


def planned(
    layout: Layout,
    run: str,
    *,
    owner_id: str | None = None,
    read=lambda name, key: ABSENT,
    bounds=lambda name: {},
    wanted=lambda role: [],
    unusable=lambda relay: None,
) -> Plan:
    """Return the plan of *layout* by what is answered: hosts without options, relay hosts that are to have nothing."""
    readings = gather(layout, read=read, bounds=bounds, wanted=wanted, unusable=unusable)
    return planner.make(layout, readings, run, owner_id=owner_id)
