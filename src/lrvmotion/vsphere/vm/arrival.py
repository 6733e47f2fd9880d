"""How a VM is at the target after its move, and which guests are not back in time."""

from __future__ import annotations

import time
from dataclasses import replace

from pyVmomi import vim

from lrvmotion.errors import RefusedError
from lrvmotion.model.relocation import ArrivedNic, ArrivedVm, LateGuest
from lrvmotion.model.vm.vm_metadata import VmMetadata
from lrvmotion.plan.plan import Migration
from lrvmotion.vsphere.client import Row, properties_of, retrieve
from lrvmotion.vsphere.inventory.vm_hardware import label, store_name
from lrvmotion.vsphere.session import Session
from lrvmotion.vsphere.vm.attributes import RUNNING, is_card, linked, moid, starts_linked

LOOK_S = 5.0  # between two looks at guests
_PATHS = (
    "runtime.powerState", "runtime.connectionState", "runtime.host", "config.hardware.device",
    "config.files.vmPathName",
)  # fmt: skip
_GUEST = ("guest.toolsRunningStatus", "guest.ipAddress")


def look(target: Session, vm: vim.VirtualMachine, name: str) -> ArrivedVm:
    """Return how *vm*, the VM *name*, is at the target; raises LrvmotionError where the target does not tell."""
    row = target.call(f"vm/{name}", lambda: properties_of(target.content, vm, _PATHS))
    devices = row.get("config.hardware.device") or ()
    return ArrivedVm(
        power_state=str(row.get("runtime.powerState", "(not reported)")),
        connection_state=str(row.get("runtime.connectionState", "(not reported)")),
        host=moid(row.get("runtime.host")),
        home=store_name(str(row.get("config.files.vmPathName") or "")),
        disks=tuple(
            (int(one.key), label(one), moid(getattr(getattr(one, "backing", None), "datastore", None)))
            for one in devices
            if isinstance(one, vim.vm.device.VirtualDisk)
        ),
        nics=tuple(_card(one) for one in devices if is_card(one)),
    )


def _card(device: vim.vm.device.VirtualEthernetCard) -> ArrivedNic:
    card, backing = vim.vm.device.VirtualEthernetCard, device.backing
    nic = ArrivedNic(
        key=int(device.key),
        label=label(device),
        mac=str(device.macAddress or "").lower(),
        connected=linked(device),
        start_connected=starts_linked(device),
    )
    if isinstance(backing, card.DistributedVirtualPortBackingInfo):
        return replace(nic, portgroup_key=str(backing.port.portgroupKey))
    if isinstance(backing, card.OpaqueNetworkBackingInfo):
        return replace(nic, opaque=True)
    return replace(nic, network_name=str(getattr(backing, "deviceName", "")))


class Guests:
    """VMs whose VMware Tools ran before their move and that must come back within *limit_s*; asked about together."""

    def __init__(self, target: Session, limit_s: float) -> None:
        self._target = target
        self._limit_s = limit_s
        self._waiting: dict[str, tuple[vim.VirtualMachine, Migration, bool, float]] = {}  # by the VM's id at the target
        self._looked = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    def expect(self, vm: vim.VirtualMachine, migration: Migration, before: VmMetadata) -> None:
        """Wait for the guest of *vm* from now on, where its Tools ran and it is on."""
        if before.tools and migration.power_state == "poweredOn":
            until = time.monotonic() + self._limit_s
            self._waiting[moid(vm)] = (vm, migration, bool(before.address), until)

    def late(self) -> list[LateGuest]:
        """Return the guests that are not back in time; one call for all, every LOOK_S at most.

        Raises LrvmotionError where the target does not answer.
        """
        now = time.monotonic()
        if not self._waiting or now < self._looked + LOOK_S:
            return []
        self._looked = now
        for vm, row in self._rows([vm for vm, *_ in self._waiting.values()]):
            _, _, address, _ = self._waiting[moid(vm)]
            runs = str(row.get("guest.toolsRunningStatus")) == RUNNING
            if runs and (row.get("guest.ipAddress") or not address):
                del self._waiting[moid(vm)]
        over = [key for key, (*_, until) in self._waiting.items() if now >= until]
        late = [self._waiting.pop(key) for key in over]
        return [LateGuest(vm=move.vm, had_address=address, limit_s=self._limit_s) for _, move, address, _ in late]

    def _rows(self, vms: list[vim.VirtualMachine]) -> list[Row]:
        """Return what is told of the guests; where one VM has gone, the others one by one."""
        content = self._target.content
        subject = f"{self._target.site}: guests"
        try:
            return self._target.call(subject, lambda: retrieve(content, {vim.VirtualMachine: _GUEST}, vms))
        except RefusedError:
            return [row for vm in vms for row in self._rows([vm])] if len(vms) > 1 else []
