"""The prechecks of VMs, all of them: of the VM alone, and of the VM with the place that it goes to."""

from __future__ import annotations

from lrvmotion.checks import compatibility, devices, metadata, storage, vms
from lrvmotion.checks.surroundings import PrecheckContext
from lrvmotion.findings import Finding
from lrvmotion.model.inventory import VirtualMachine
from lrvmotion.model.placement import Placement


def alone(vm: VirtualMachine) -> list[Finding]:
    """Return what the VM's own state says."""
    return [
        *vms.movable(vm),
        *vms.cold_data(vm),
        *vms.busy(vm),
        *devices.connected(vm),
        *devices.passed_through(vm),
        *devices.shared_bus(vm),
        *storage.raw(vm),
        *storage.shared(vm),
        *storage.modes(vm),
    ]


def placed(vm: VirtualMachine, place: Placement, around: PrecheckContext) -> list[Finding]:
    """Return what *place* and the *around* say."""
    return [
        *storage.count(vm, place.host),
        *compatibility.cpu(vm, place.host),
        *compatibility.hardware(vm, place.host, around),
        *compatibility.encryption(vm, place.host, around),
        *compatibility.clashes(vm, place, around),
        *metadata.bound(vm, around),
        *metadata.named(vm, around),
    ]
