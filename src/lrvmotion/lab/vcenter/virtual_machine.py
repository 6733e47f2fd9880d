"""VirtualMachine: a light record, with its properties built only when asked for."""

# ruff: noqa: ANN401 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from pyVmomi import vim, vmodl

from lrvmotion.lab.vcenter import pbm, relocate, vm_data, vm_traits
from lrvmotion.lab.vcenter.clock import now
from lrvmotion.lab.vcenter.entity import COMMON, Entity
from lrvmotion.lab.vcenter.managed_object import Values, Written
from lrvmotion.lab.vcenter.vcenter import unlocked

if TYPE_CHECKING:
    from lrvmotion.lab.vcenter.vcenter import Call, Vcenter


@dataclass(slots=True, kw_only=True)
class Snapshot:
    """One snapshot; each is the child of the one before."""

    name: str
    moid: str
    created: datetime


class VirtualMachine(Entity):
    """A VM: bytes, place, identity."""

    wsdl = "VirtualMachine"
    prefix = "vm"
    values: ClassVar[Values] = {**COMMON, **vm_data.VALUES}
    written: ClassVar[Written] = vm_data.WRITTEN
    __slots__ = (
        "answered", "arrived", "boot_time", "change_version", "datastore", "dirty_bps", "disk_at", "disk_bytes",
        "disk_sizes", "host", "instance_uuid", "iso", "leaving", "mac", "memory_bytes", "modified", "network", "pool",
        "powered_on", "relocating", "snapshots", "traits", "uuid", "vapp",
    )  # fmt: skip

    def __init__(
        self,
        vcenter: Vcenter,
        *,
        name: str,
        folder: Any,
        host: Any,
        datastore: Any,
        network: Any,
        document: dict[str, Any],
        moid: str | None = None,
    ) -> None:
        self.answered = ""  # the choice of the last answer
        self.arrived = False  # by a relocate from the other vCenter
        self.vapp: Any = None  # it is in a vApp; its parent is still the folder that it would be in otherwise
        self.leaving = False  # the other vCenter was told to take it, and has not answered
        self.host = host
        self.pool = host.parent.pool
        self.datastore = datastore
        self.network = network
        self.memory_bytes: int = document["memory_bytes"]
        self.disk_bytes: int = document["disk_bytes"]
        self.disk_at: dict[str, str] = dict(document.get("disk_at") or {})  # moIds of datastores other than the home's
        self.disk_sizes: dict[str, int] = dict(document.get("disk_sizes") or {})  # of further disks; both by key
        self.dirty_bps: int = document["dirty_bps"]
        self.powered_on: bool = document["powered_on"]
        self.uuid: str = document["uuid"]
        self.instance_uuid: str = document["instance_uuid"]
        self.mac: str = document["mac"]
        self.iso: str | None = document.get("iso")
        self.traits = vm_traits.Traits.of(document["traits"]) if document.get("traits") else vm_traits.PLAIN
        self.snapshots: list[Snapshot] = []
        self.relocating: Any = None
        self.change_version = 1
        self.modified = now()
        boot = document.get("boot_time")
        self.boot_time: datetime | None = datetime.fromisoformat(boot) if boot else None
        if self.powered_on and self.boot_time is None:
            self.boot_time = now()
        super().__init__(vcenter, name, folder, moid)
        folder.put(self)
        self.place(host, datastore)
        for _ in range(document.get("snapshots", 0)):
            self.snapshot(f"snapshot {len(self.snapshots) + 1}")

    def place(self, host: Any, datastore: Any) -> None:
        """Put the VM on *host* and *datastore*."""
        self.unplace()
        self.host = host
        self.datastore = datastore
        self.pool = host.parent.pool
        for holder in (host, self.pool, *self.stores()):
            holder.machines[self.moid] = self
        self.vcenter.registry.restructure(self, host, *self.stores())

    def disk_keys(self) -> list[int]:
        """Return the keys of its disks."""
        return [vm_data.DISK + number for number in range(max(self.traits.disks, 1 + len(self.disk_sizes)))]

    def disk_store(self, key: int) -> Any:
        """Return the datastore of the disk *key*."""
        return self.vcenter.registry.find(self.disk_at.get(str(key), "")) or self.datastore

    def apart(self) -> dict[str, str]:
        """Return the moIds of the datastores of disks that have another than the home, by the disks' keys."""
        return dict(self.disk_at)

    def sizes(self) -> dict[str, int]:
        """Return the bytes of each disk by its key: the first has what the others leave."""
        first = self.disk_bytes - sum(self.disk_sizes.values())
        return {str(key): self.disk_sizes.get(str(key), 0) for key in self.disk_keys()} | {str(vm_data.DISK): first}

    def stores(self) -> list[Any]:
        """Return the datastores of home and disks."""
        found = [self.datastore, *(self.disk_store(int(key)) for key in self.disk_at)]
        return list({store.moid: store for store in found}.values())

    def bytes_on(self, store: Any) -> int:
        """Return what its disks take on *store*."""
        if not self.disk_at:
            return self.disk_bytes if store is self.datastore else 0
        return sum(size for key, size in self.sizes().items() if self.disk_store(int(key)) is store)

    def cards(self) -> dict[int, str]:
        """Return the names of the networks that its Ethernet cards are on, by the cards' keys."""
        return {vm_data.NIC: self.network.name}

    def arrive(
        self, host: Any, datastore: Any, networks: dict[str, Any], *, disks: dict[str, str], pool: Any = None
    ) -> None:
        """Be on *host* and *datastore* after a move, with cards on *networks* and *disks* on datastores, by their keys.

        A disk that *disks* does not name is where the home is.
        """
        del pool
        self.network = networks.get(str(vm_data.NIC)) or next(iter(networks.values()), self.network)
        self.unplace()
        self.disk_at = {key: moid for key, moid in disks.items() if moid != datastore.moid}
        self.place(host, datastore)

    def unplace(self) -> None:
        """Take the VM off its host and datastore."""
        for holder in (self.host, self.pool, *self.stores(), *([self.vapp] if self.vapp is not None else [])):
            holder.machines.pop(self.moid, None)
        self.vcenter.registry.restructure(self.host, *self.stores())

    def delete(self) -> None:
        """Remove the VM from the inventory."""
        self.unplace()
        self.parent.drop(self)
        self.vcenter.registry.remove(self)

    def changed(self) -> None:
        """Say that the configuration changed."""
        self.change_version += 1
        self.modified = now()
        self.touch()

    def snapshot(self, name: str) -> Snapshot:
        """Add a snapshot on top of the others."""
        made = Snapshot(name=name, moid=self.vcenter.registry.new_id("snapshot"), created=now())
        self.snapshots.append(made)
        self.changed()
        return made

    @property
    def chain_bytes(self) -> int:
        """The bytes of its disks with all that lies below them, as another vCenter gets them."""
        return self.disk_bytes + sum(size for _, size in self.traits.below)

    def document(self) -> dict[str, Any]:
        """Return what makes the VM the same VM elsewhere."""
        return {
            "name": self.name,
            "memory_bytes": self.memory_bytes,
            "disk_bytes": self.chain_bytes,
            "disk_sizes": self.disk_sizes,
            "dirty_bps": self.dirty_bps,
            "powered_on": self.powered_on,
            "uuid": self.uuid,
            "instance_uuid": self.instance_uuid,
            "mac": self.mac,
            "iso": self.iso,
            "traits": self.traits.travelling(),
            "boot_time": self.boot_time.isoformat() if self.boot_time else None,
        }

    def power(self, *, on: bool) -> None:
        """Set the power state."""
        self.powered_on = on
        self.boot_time = now() if on else None
        self.vcenter.registry.touch(self, self.host)

    def PowerOnVM_Task(self, call: Call, host: Any) -> Any:  # noqa: D102
        del host
        return self._power(call, on=True)

    def PowerOffVM_Task(self, call: Call) -> Any:  # noqa: D102
        return self._power(call, on=False)

    def _power(self, call: Call, *, on: bool) -> Any:
        if self.powered_on == on:
            raise vim.fault.InvalidPowerState(
                existingState="poweredOn" if self.powered_on else "poweredOff",
                requestedState="poweredOn" if on else "poweredOff",
                msg="The attempted operation cannot be performed in the current state.",
            )

        def work(task: Any) -> None:
            del task
            with self.vcenter.lock:
                self.power(on=on)

        name = f"VirtualMachine.power{'On' if on else 'Off'}"
        return self.vcenter.tasks.start(call, self, name, work)

    def AnswerVM(self, call: Call, questionId: str, answerChoice: str) -> None:  # noqa: D102, N803
        del call
        asked = vm_data.question(self)
        choices = [item.key for item in asked.choice.choiceInfo] if asked is not None else []
        if asked is None or questionId != asked.id or answerChoice not in choices:
            raise vmodl.fault.InvalidArgument(msg="A specified parameter was not correct: questionId")
        self.answered = answerChoice
        self.traits = replace(self.traits, question="")
        self.touch()

    def ReconfigVM_Task(self, call: Call, spec: Any) -> Any:  # noqa: D102
        changes = spec.deviceChange or []
        drives = {item.key for item in self.hardware() if isinstance(item, vm_traits.DRIVES)}
        kept = {*drives, *self.disk_keys()}
        if any(c.device.key not in kept or c.operation != "edit" for c in changes):
            raise vmodl.fault.NotSupported(msg="Only an edit of a drive and of a disk's policy is simulated")
        if self.relocating is not None:
            raise vim.fault.TaskInProgress(task=self.relocating.ref, msg="Another task is already in progress.")
        policies = pbm.assigned(self.vcenter, self.traits.policies, spec)

        def work(task: Any) -> None:
            if any(change.device.key in drives for change in changes):
                self._ask_lock(task)
            with self.vcenter.lock:
                self.traits = replace(self.traits, policies=policies)
                if spec.annotation is not None:
                    self.traits = replace(self.traits, note=spec.annotation)
                for change in [item for item in changes if item.device.key in drives]:
                    self.traits = vm_traits.with_drive(self.traits, change.device)
                    if change.device.key == vm_data.CDROM:
                        *_, (_, kind, name, connected, _) = self.traits.drives
                        self.iso = name if kind == "IsoBackingInfo" and connected else None
                self.changed()

        return self.vcenter.tasks.start(call, self, "VirtualMachine.reconfigure", work, cancelable=True)

    def hardware(self) -> list[Any]:
        """Return its virtual devices."""
        return vm_data.devices(self)

    def _ask_lock(self, task: Any) -> None:
        """Ask what *locked* says, and wait for the answer: the first choice goes on, the other leaves all as it is."""
        if not self.traits.locked or not self.powered_on:
            return
        with self.vcenter.lock:
            self.traits = replace(self.traits, question=self.traits.locked)
            self.touch()
        while self.traits.question:
            if task.cancelled:
                with self.vcenter.lock:
                    self.traits = replace(self.traits, question="")
                    self.touch()
            task.check_cancelled()
            time.sleep(0.02)
        if self.answered != "0":
            raise vim.fault.GenericVmConfigFault(reason="Connection control operation failed for disk 'ide0:0'.")
        self.traits = replace(self.traits, locked="")

    @unlocked
    def RelocateVM_Task(self, call: Call, spec: Any, priority: Any) -> Any:
        """Move the VM; see relocate.py."""
        del priority
        return relocate.start(call, self, spec)
