"""A VirtualMachine out of the API's properties: disks, NICs, snapshots, what is plugged in; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast
from urllib.parse import unquote

from pyVmomi import vim

from lrvmotion.inventory import Disk, MoRef, Nic, PowerState, VirtualMachine
from lrvmotion.vsphere.stub import moref

PATHS = (
    "name", "parent", "runtime.host", "runtime.powerState", "config.instanceUuid", "config.uuid", "config.template",
    "config.changeVersion", "config.hardware.memoryMB", "config.hardware.device", "snapshot",
    "storage.perDatastoreUsage", "summary.storage", "layoutEx.disk", "layoutEx.file",
)  # fmt: skip


def virtual_machine(
    ref: MoRef,
    row: Mapping[str, Any],
    folders: Mapping[MoRef, str],
    portgroups: Mapping[tuple[str | None, str | None], str],
    opaque: Mapping[str, str],
) -> VirtualMachine:
    """Return the VM that *row* describes.

    *folders* gives a folder's path, *portgroups* a distributed port group's name by (switch uuid, key), *opaque* an
    opaque network's name by its id.
    """
    devices = row.get("config.hardware.device") or ()
    files = _file_sizes(row)
    parent = row.get("parent")
    host = row.get("runtime.host")
    return VirtualMachine(
        ref=ref,
        name=unquote(str(row.get("name", ""))),
        instance_uuid=str(row.get("config.instanceUuid", "")),
        bios_uuid=str(row.get("config.uuid", "")),
        power_state=cast("PowerState", str(row.get("runtime.powerState", "poweredOff"))),
        host=moref(host) if host is not None else None,
        folder=folders.get(moref(parent), "") if parent is not None else "",
        memory_bytes=int(row.get("config.hardware.memoryMB") or 0) * 2**20,
        disks=tuple(_disk(item, files) for item in devices if isinstance(item, vim.vm.device.VirtualDisk)),
        nics=tuple(
            Nic(
                key=int(item.key),
                label=_label(item),
                mac=str(item.macAddress or ""),
                network=_network(item.backing, portgroups, opaque),
            )
            for item in devices
            if isinstance(item, vim.vm.device.VirtualEthernetCard)
        ),
        snapshots=count_snapshots(row.get("snapshot")),
        storage_bytes=_committed(row),
        template=bool(row.get("config.template")),
        change_version=str(row.get("config.changeVersion") or ""),
        connected_devices=tuple(_label(item) for item in devices if _holds(item)),
    )


def count_snapshots(info: Any) -> int:  # noqa: ANN401 - vim.vm.SnapshotInfo or None
    """Return how many snapshots there are in the whole tree."""

    def count(trees: Iterable[Any]) -> int:
        return sum(1 + count(tree.childSnapshotList or ()) for tree in trees)

    return count(info.rootSnapshotList or ()) if info is not None else 0


def has_opaque_nic(row: Mapping[str, Any]) -> bool:
    """Whether a NIC of the VM is on an opaque (NSX) network."""
    kind = vim.vm.device.VirtualEthernetCard.OpaqueNetworkBackingInfo
    return any(isinstance(getattr(item, "backing", None), kind) for item in row.get("config.hardware.device") or ())


def _committed(row: Mapping[str, Any]) -> int:
    usage = row.get("storage.perDatastoreUsage")
    if usage:
        return sum(int(item.committed) for item in usage)
    summary = row.get("summary.storage")
    return int(summary.committed) if summary is not None else 0


def _file_sizes(row: Mapping[str, Any]) -> dict[int, int]:
    """Return the bytes of each disk's files, all snapshots of it included, by the disk's key."""
    sizes = {int(item.key): int(item.size) for item in row.get("layoutEx.file") or ()}
    return {
        int(disk.key): sum(sizes.get(int(key), 0) for link in disk.chain or () for key in link.fileKey or ())
        for disk in row.get("layoutEx.disk") or ()
    }


def _disk(device: Any, files: Mapping[int, int]) -> Disk:  # noqa: ANN401
    store = getattr(device.backing, "datastore", None)
    return Disk(
        key=int(device.key),
        label=_label(device),
        capacity_bytes=int(device.capacityInBytes or (device.capacityInKB or 0) * 1024),
        datastore=moref(store) if store is not None else None,
        used_bytes=files.get(int(device.key)),
    )


def _network(
    backing: Any,  # noqa: ANN401
    portgroups: Mapping[tuple[str | None, str | None], str],
    opaque: Mapping[str, str],
) -> str | None:
    card = vim.vm.device.VirtualEthernetCard
    if isinstance(backing, card.DistributedVirtualPortBackingInfo):
        return portgroups.get((str(backing.port.switchUuid), str(backing.port.portgroupKey)))
    if isinstance(backing, card.OpaqueNetworkBackingInfo):
        return opaque.get(str(backing.opaqueNetworkId))
    if isinstance(backing, card.NetworkBackingInfo):
        return str(backing.deviceName)
    return None


def _label(device: Any) -> str:  # noqa: ANN401
    info = device.deviceInfo
    return str(info.label) if info is not None and info.label else f"device {device.key}"


def _holds(device: Any) -> bool:  # noqa: ANN401
    """Whether *device* ties the VM to its host: passed through, or connected to something that stays behind."""
    kinds = vim.vm.device
    if isinstance(device, kinds.VirtualPCIPassthrough):
        return True
    plugged = (
        kinds.VirtualCdrom, kinds.VirtualFloppy, kinds.VirtualUSB, kinds.VirtualSerialPort, kinds.VirtualParallelPort,
    )  # fmt: skip
    state = device.connectable
    return isinstance(device, plugged) and state is not None and bool(state.connected)
