"""What of a VM's virtual hardware matters for a move: disks, and what ties it to its place; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from pyVmomi import vim

from lrvmotion.model.inventory import Device, DeviceKind, Disk
from lrvmotion.vsphere.client import moref_or_none
from lrvmotion.vsphere.inventory.vm_storage import Chain, capacity

_PHYSICAL = "physicalMode"
_UNSHARED = "noSharing"
_BUSES = (vim.vm.device.VirtualSCSIController, vim.vm.device.VirtualNVMEController)  # clustered NVMe: 8.0 Update 2


def label(device: vim.vm.device.VirtualDevice) -> str:
    """Return the name of *device* that the user knows: "Hard disk 1"."""
    info = device.deviceInfo
    return str(info.label) if info is not None and info.label else f"device {device.key}"


def disk(device: vim.vm.device.VirtualDisk, chain: Chain) -> Disk:
    """Return the disk, which *chain* is made of."""
    backing = device.backing
    store = getattr(backing, "datastore", None)
    rdm: Literal["physical", "virtual"] | None = None
    if isinstance(backing, vim.vm.device.VirtualDisk.RawDiskMappingVer1BackingInfo):
        rdm = "physical" if str(backing.compatibilityMode) == _PHYSICAL else "virtual"
    return Disk(
        key=int(device.key),
        label=label(device),
        capacity_bytes=capacity(device),
        datastore=moref_or_none(store),
        used_bytes=chain.used,
        below_bytes=chain.below,
        links=chain.links,
        linked_clone=chain.foreign,
        first_class=str(device.vDiskId.id) if device.vDiskId is not None else "",
        mode=str(getattr(backing, "diskMode", None) or "persistent"),
        rdm=rdm,
        multi_writer=str(getattr(backing, "sharing", None)) == "sharingMultiWriter",
    )


def devices(found: Iterable[vim.vm.device.VirtualDevice]) -> Iterator[Device]:
    """Give what of *found* may keep the VM in its place; a drive or port that is not connected does not."""
    kinds = vim.vm.device
    for item in found:
        if isinstance(item, _BUSES) and str(item.sharedBus or _UNSHARED) != _UNSHARED:
            yield Device(kind="shared-bus", label=label(item), backing=str(item.sharedBus))
        elif isinstance(item, kinds.VirtualTPM):
            yield Device(kind="tpm", label=label(item))
        elif isinstance(item, kinds.VirtualPCIPassthrough):
            gpu = isinstance(item.backing, kinds.VirtualPCIPassthrough.VmiopBackingInfo)
            yield Device(kind="vgpu" if gpu else "passthrough", label=label(item), backing=_backing(item))
        elif isinstance(item, kinds.VirtualSriovEthernetCard):
            yield Device(kind="sriov", label=label(item))
        elif (kind := _plugged(item)) is not None:
            yield Device(kind=kind, label=label(item), backing=_backing(item))


def _plugged(item: vim.vm.device.VirtualDevice) -> DeviceKind | None:
    """Return what kind of drive or port is connected, None where it is none or is not."""
    kinds = vim.vm.device
    state = item.connectable
    if isinstance(item, kinds.VirtualUSB):  # it is there only while something is plugged in
        return "usb" if bool(item.connected) or (state is not None and bool(state.connected)) else None
    if state is None or not state.connected:
        return None
    if isinstance(item, kinds.VirtualCdrom):
        return "iso" if isinstance(item.backing, kinds.VirtualCdrom.IsoBackingInfo) else "cdrom"
    if isinstance(item, kinds.VirtualFloppy):
        return "floppy"
    if isinstance(item, kinds.VirtualParallelPort):
        return "parallel"
    if isinstance(item, kinds.VirtualSerialPort):
        if not isinstance(item.backing, kinds.VirtualDevice.URIBackingInfo):
            return "serial"
        # Its connection follows the VM only through a concentrator (VMware docs, "Serial Port Configuration").
        return None if item.backing.proxyURI else "serial-network"
    return None


def _backing(item: vim.vm.device.VirtualDevice) -> str:
    """Return what the device is connected to, "" where it does not say."""
    for name in ("fileName", "vgpu", "deviceName", "pipeName"):
        if value := getattr(item.backing, name, None):
            return str(value)
    return ""


def store_name(path: str) -> str | None:
    """Return the name of the datastore in a datastore *path*, "[name] folder/file"; None where it is none."""
    name, closed, _ = path.removeprefix("[").partition("] ")
    return name if path.startswith("[") and closed else None
