"""What of a VM's virtual hardware blocks moving it: disks, drives, ports and cards."""

from __future__ import annotations

from collections.abc import Iterator

from lrvmotion.checks.catalogue import Code
from lrvmotion.findings import Finding
from lrvmotion.model.inventory import Device, DeviceKind, Host, VirtualMachine

# (code, what it is, hint). vCenter refuses each with CannotAccessVmDevice or DisallowedMigrationDeviceAttached (API
# reference of the fault classes; VMware docs, "Host Configuration for vMotion": no device of one host only).
_EJECT = "--eject disconnects it before the move, or disconnect it yourself"
_PLUGGED: dict[DeviceKind, tuple[Code, str, str]] = {
    "iso": (Code.VM_ISO, "has an ISO image connected", f"the target's hosts do not see that file: {_EJECT}"),
    "cdrom": (Code.VM_CDROM, "has a CD drive of a host or of a client connected", _EJECT),
    "floppy": (Code.VM_FLOPPY, "has a floppy drive connected", _EJECT),
    "usb": (Code.VM_USB, "has a USB device connected", "remove the USB device from the VM"),
    "serial": (
        Code.VM_SERIAL,
        "has a serial port of its host connected",
        "disconnect it, or connect it to the network",
    ),
    "serial-network": (
        Code.VM_SERIAL_NETWORK,
        "has a serial port to the network connected, without a concentrator (vSPC)",
        "disconnect it, or connect it through a virtual serial port concentrator",
    ),
    "parallel": (Code.VM_PARALLEL, "has a parallel port of its host connected", "disconnect the port"),
}
_EJECTABLE: frozenset[DeviceKind] = frozenset({"iso", "cdrom", "floppy"})


def ejectable(vm: VirtualMachine) -> bool:
    """Whether *vm* has a drive connected that --eject empties."""
    return any(device.kind in _EJECTABLE for device in vm.devices)


def connected(vm: VirtualMachine, *, eject: bool = False) -> Iterator[Finding]:
    """A drive or port that is connected to a host, a client or a file cannot follow; *eject*: drives are emptied."""
    for device in vm.devices:
        if eject and device.kind in _EJECTABLE:
            code, what, _ = _PLUGGED[device.kind]
            hint = "it is connected again where the VM does not move; the target does not see what was in it"
            yield code.warning(f"vm/{vm.name}", f"{what}, which is ejected before the move: {_name(device)}", hint)
            continue
        if device.kind in _PLUGGED:
            code, what, hint = _PLUGGED[device.kind]
            yield code.error(f"vm/{vm.name}", f"{what}: {_name(device)}", hint)


def passed_through(vm: VirtualMachine) -> Iterator[Finding]:
    """A card that bypasses the hypervisor cannot move while it runs; a vGPU can, to a host with the same GPU."""
    subject, running = f"vm/{vm.name}", vm.power_state == "poweredOn"
    for device in vm.devices:
        if device.kind in {"passthrough", "sriov"}:
            code = Code.VM_SRIOV if device.kind == "sriov" else Code.VM_PASSTHROUGH
            summary = f"has a device of its host passed through: {_name(device)}"
            if running:
                yield code.error(subject, summary, "power it off and remove the device")
            else:
                yield code.warning(subject, summary, "it starts only where such a device is free")
        elif device.kind == "vgpu":
            summary = f"has a virtual GPU: {_name(device)}"
            hint = "it moves only to a host with the same GPU and driver, vgpu.hotmigrate.enabled in both vCenters"
            yield Code.VM_VGPU.warning(subject, summary, hint)


def shared_bus(vm: VirtualMachine) -> Iterator[Finding]:
    """Disks of a shared SCSI bus belong to several VMs (VMware docs, "Change the SCSI Bus Sharing Configuration")."""
    for device in vm.devices:
        if device.kind == "shared-bus":
            summary = f"shares the SCSI bus of {device.label} ({device.backing}) with other VMs: it cannot be moved"
            yield Code.VM_SHARED_BUS.error(f"vm/{vm.name}", summary, "take the cluster's shared disks off it first")


def raw(vm: VirtualMachine) -> Iterator[Finding]:
    """A raw device mapping is a LUN, which the target's hosts do not have (API: RDMNotSupported, RDMNotPreserved)."""
    subject = f"vm/{vm.name}"
    for disk in vm.disks:
        if disk.rdm is not None:
            summary = f"{disk.label} is a raw device mapping ({disk.rdm} mode): the LUN does not move"
            hint = "turn it into a virtual disk at the source, or move the LUN's data by other means"
            yield Code.VM_RDM.error(subject, summary, hint)


def chains(vm: VirtualMachine) -> Iterator[Finding]:
    """A disk may be the top of a chain that no snapshot needs: a linked clone's, or one that a backup has left."""
    subject = f"vm/{vm.name}"
    for disk in vm.disks:
        if disk.linked_clone:
            size = f" of {disk.used_bytes / 2**30:.1f} GiB" if disk.used_bytes is not None else ""
            summary = f"{disk.label} is a linked clone: its whole chain is copied, and it becomes a full copy{size}"
            yield Code.VM_LINKED_CLONE.warning(subject, summary)
        elif disk.links > vm.snapshots + 1:
            summary = f"{disk.label} is a chain of {disk.links} files, more than its snapshots need"
            if vm.power_state == "poweredOn":
                summary += ": all but the topmost go by NFC (TCP 902), past streams and relay"
            yield Code.VM_DELTA_DISKS.warning(subject, summary, "consolidate its disks before the move")


def shared(vm: VirtualMachine) -> Iterator[Finding]:
    """A multi-writer disk is open in other VMs too: its storage cannot be moved (VMware KB 1034165)."""
    subject = f"vm/{vm.name}"
    for disk in vm.disks:
        if disk.multi_writer:
            summary = f"{disk.label} may be written by several VMs at once: it cannot be moved"
            yield Code.VM_MULTI_WRITER.error(subject, summary, "set its sharing to none, if only it uses it")


def first_class(vm: VirtualMachine, *, allowed: bool) -> Iterator[Finding]:
    """A first-class disk is registered with its vCenter by id and path, and so known to Kubernetes: both change.

    Storage moves of them are unsupported (vsphere-csi-driver, issue 365); *allowed*: the user wants it all the same.
    """
    for disk in vm.disks:
        if disk.first_class:
            summary = f"{disk.label} is a first-class disk ({disk.first_class}): Kubernetes would lose the volume"
            hint = "move the volume by means of Kubernetes; limits.first_class_disks = true moves the VM all the same"
            code = Code.VM_FIRST_CLASS_DISK
            if allowed:
                yield code.warning(f"vm/{vm.name}", summary, "give the volume its new path after the move")
            else:
                yield code.error(f"vm/{vm.name}", summary, hint)


def modes(vm: VirtualMachine) -> Iterator[Finding]:
    """Storage moves with a running VM only from disks in persistent mode (VMware docs, "Storage vMotion Requirements").

    Of an independent persistent disk no snapshot is made; it moves all the same.
    """
    subject = f"vm/{vm.name}"
    for disk in vm.disks:
        if disk.mode == "independent_persistent":
            summary = f"{disk.label} is independent: snapshots leave it out, before and after the move"
            yield Code.VM_DISK_INDEPENDENT.warning(subject, summary)
        elif disk.mode not in {"persistent", ""}:
            summary = f"{disk.label} is in mode {disk.mode}: what was written since power-on would be lost"
            yield Code.VM_DISK_MODE.error(subject, summary, "set it to persistent")


def count(vm: VirtualMachine, host: Host) -> Iterator[Finding]:
    """A host moves only so many disks of a running VM (HostCapability.maxNumDisksSVMotion)."""
    subject = f"vm/{vm.name}"
    if vm.power_state == "poweredOn" and host.most_disks is not None and len(vm.disks) > host.most_disks:
        summary = f"has {len(vm.disks)} disks; {host.name} moves at most {host.most_disks} with a running VM"
        yield Code.VM_DISK_COUNT.error(subject, summary, "power it off to move it")


def _name(device: Device) -> str:
    return f"{device.label} ({device.backing})" if device.backing else device.label
