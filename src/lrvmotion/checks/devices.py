"""What of a VM's virtual hardware blocks moving it: drives, ports and cards that are connected to a host."""

from __future__ import annotations

from collections.abc import Iterator

from lrvmotion.findings import Finding, Severity
from lrvmotion.model.inventory import Device, DeviceKind, VirtualMachine

# (code, what it is, hint). vCenter refuses each with CannotAccessVmDevice or DisallowedMigrationDeviceAttached (API
# reference of the fault classes; VMware docs, "Host Configuration for vMotion": no device of one host only).
_PLUGGED: dict[DeviceKind, tuple[str, str, str]] = {
    "iso": ("vm-iso", "has an ISO image connected", "disconnect it: the target's hosts do not see that file"),
    "cdrom": ("vm-cdrom", "has a CD drive of a host or of a client connected", "disconnect the drive"),
    "floppy": ("vm-floppy", "has a floppy drive connected", "disconnect the drive"),
    "usb": ("vm-usb", "has a USB device connected", "remove the USB device from the VM"),
    "serial": ("vm-serial", "has a serial port of its host connected", "disconnect it, or connect it to the network"),
    "parallel": ("vm-parallel", "has a parallel port of its host connected", "disconnect the port"),
}


def connected(vm: VirtualMachine) -> Iterator[Finding]:
    """A drive or port that is connected to a host, a client or a file cannot follow."""
    for device in vm.devices:
        if device.kind in _PLUGGED:
            code, what, hint = _PLUGGED[device.kind]
            yield _finding(Severity.ERROR, code, vm, f"{what}: {_name(device)}", hint)


def passed_through(vm: VirtualMachine) -> Iterator[Finding]:
    """A card that bypasses the hypervisor cannot move while it runs; a vGPU can, to a host with the same GPU."""
    running = vm.power_state == "poweredOn"
    for device in vm.devices:
        if device.kind in {"passthrough", "sriov"}:
            code = f"vm-{device.kind}"
            severity = Severity.ERROR if running else Severity.WARNING
            summary = f"has a device of its host passed through: {_name(device)}"
            hint = "power it off and remove the device" if running else "it starts only where such a device is free"
            yield _finding(severity, code, vm, summary, hint)
        elif device.kind == "vgpu":
            summary = f"has a virtual GPU: {_name(device)}"
            hint = "it moves only to a host with the same GPU and driver, vgpu.hotmigrate.enabled in both vCenters"
            yield _finding(Severity.WARNING, "vm-vgpu", vm, summary, hint)


def shared_bus(vm: VirtualMachine) -> Iterator[Finding]:
    """Disks of a shared SCSI bus belong to several VMs (VMware docs, "Change the SCSI Bus Sharing Configuration")."""
    for device in vm.devices:
        if device.kind == "shared-bus":
            summary = f"shares the SCSI bus of {device.label} ({device.backing}) with other VMs: it cannot be moved"
            yield _finding(Severity.ERROR, "vm-shared-bus", vm, summary, "take the cluster's shared disks off it first")


def _name(device: Device) -> str:
    return f"{device.label} ({device.backing})" if device.backing else device.label


def _finding(severity: Severity, code: str, vm: VirtualMachine, summary: str, hint: str | None = None) -> Finding:
    return Finding(severity=severity, code=code, subject=f"vm/{vm.name}", summary=summary, hint=hint)
