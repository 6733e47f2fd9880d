"""A VirtualMachine out of the API's properties: disks, NICs, snapshots, what is plugged in; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast
from urllib.parse import unquote

from pyVmomi import vim

from lrvmotion.model.inventory import Folder, MoRef, Nic, PowerState, VirtualMachine, VmConnection
from lrvmotion.vsphere.client import moref
from lrvmotion.vsphere.inventory import vm_hardware, vm_storage
from lrvmotion.vsphere.inventory.vapps import VApp

_NO_FT = "notConfigured"

PATHS = (
    "name", "parent", "parentVApp", "runtime.host", "runtime.powerState", "runtime.connectionState", "runtime.question",
    "runtime.consolidationNeeded", "runtime.toolsInstallerMounted", "runtime.faultToleranceState",
    "runtime.minRequiredEVCModeKey", "config.instanceUuid", "config.uuid", "config.template", "config.changeVersion",
    "config.managedBy", "config.version", "config.keyId", "config.migrateEncryption", "config.files.vmPathName",
    "config.hardware.memoryMB", "config.hardware.device", "config.memoryAllocation.reservation", "permission",
    "customValue", "snapshot", "storage.perDatastoreUsage", "summary.storage", "layoutEx.disk", "layoutEx.file",
)  # fmt: skip
# runtime.featureRequirement is left out: a hundred entries a VM. CheckRelocate_Task compares them.


def virtual_machine(
    ref: MoRef,
    row: Mapping[str, Any],
    folders: Mapping[MoRef, Folder],
    portgroups: Mapping[tuple[str | None, str | None], str],
    opaque: Mapping[str, str],
    apps: Mapping[MoRef, VApp],
) -> VirtualMachine:
    """Return the VM that *row* describes.

    *folders* gives a folder, *portgroups* a distributed port group's name by (switch uuid, key), *opaque* an
    opaque network's name by its id, *apps* a vApp.
    """
    devices = row.get("config.hardware.device") or ()
    holding = tuple(vm_hardware.devices(devices))
    disks = [item for item in devices if isinstance(item, vim.vm.device.VirtualDisk)]
    files = vm_storage.chains(row, disks)
    inside = row.get("parentVApp")
    app = apps.get(moref(inside)) if inside is not None else None
    parent = row.get("parent") if app is None else app.folder
    folder = folders.get(moref(parent)) if parent is not None else None
    host = row.get("runtime.host")
    return VirtualMachine(
        ref=ref,
        name=unquote(str(row.get("name", ""))),
        instance_uuid=str(row.get("config.instanceUuid", "")),
        bios_uuid=str(row.get("config.uuid", "")),
        power_state=cast("PowerState", str(row.get("runtime.powerState", "poweredOff"))),
        connection_state=cast("VmConnection", str(row.get("runtime.connectionState", "connected"))),
        question=question(row.get("runtime.question")),
        vapp=app.path if app is not None else "",
        host=moref(host) if host is not None else None,
        folder=folder.path if folder is not None else "",
        datacenter=folder.datacenter if folder is not None else "",
        memory_bytes=int(row.get("config.hardware.memoryMB") or 0) * 2**20,
        disks=tuple(vm_hardware.disk(item, files[int(item.key)]) for item in disks),
        nics=tuple(
            Nic(
                key=int(item.key),
                label=vm_hardware.label(item),
                mac=str(item.macAddress or ""),
                network=_network(item.backing, portgroups, opaque),
            )
            for item in devices
            if isinstance(item, vim.vm.device.VirtualEthernetCard)
        ),
        snapshots=count_snapshots(row.get("snapshot")),
        storage_bytes=vm_storage.whole(row, files.values()),
        consolidation=bool(row.get("runtime.consolidationNeeded")),
        template=bool(row.get("config.template")),
        managed_by=_managed_by(row.get("config.managedBy")),
        change_version=str(row.get("config.changeVersion") or ""),
        connected_devices=tuple(found.label for found in holding if found.kind not in {"shared-bus", "tpm"}),
        devices=holding,
        hardware=str(row.get("config.version") or ""),
        evc_mode=str(row.get("runtime.minRequiredEVCModeKey") or ""),
        tools_installer=bool(row.get("runtime.toolsInstallerMounted")),
        fault_tolerance=str(row.get("runtime.faultToleranceState") or _NO_FT) != _NO_FT,
        key_provider=_key_provider(row.get("config.keyId")),
        migrate_encryption=str(row.get("config.migrateEncryption") or ""),
        reserved_bytes=int(row.get("config.memoryAllocation.reservation") or 0) * 2**20,
        permissions=tuple(sorted(str(item.principal) for item in row.get("permission") or ())),
        attributes=tuple(int(item.key) for item in row.get("customValue") or () if getattr(item, "value", "")),
    )


def question(info: vim.vm.QuestionInfo | None) -> str:
    """Return what the VM waits to be answered, in one line; "" where it waits for nothing.

    Some questions come as keys with their words in messages (API reference, VirtualMachineQuestionInfo.message).
    """
    if info is None:
        return ""
    said = [str(message.text) for message in info.message or () if message.text] or [str(info.text or "")]
    return " ".join(" ".join(said).split()) or f"question {info.id}"


def cards(row: Mapping[str, Any]) -> list[vim.vm.device.VirtualEthernetCard]:
    """Return the Ethernet cards of the VM that *row* describes, as the API gave them."""
    kind = vim.vm.device.VirtualEthernetCard
    return [item for item in row.get("config.hardware.device") or () if isinstance(item, kind)]


def _managed_by(info: vim.ext.ManagedByInfo | None) -> str:
    return "" if info is None else f"{info.extensionKey}/{info.type}"


def _key_provider(key: vim.encryption.CryptoKeyId | None) -> str | None:
    if key is None:
        return None
    return str(key.providerId.id) if key.providerId is not None else ""


def count_snapshots(info: vim.vm.SnapshotInfo | None) -> int:
    """Return how many snapshots there are in the whole tree."""

    def count(trees: Iterable[vim.vm.SnapshotTree]) -> int:
        return sum(1 + count(tree.childSnapshotList or ()) for tree in trees)

    return count(info.rootSnapshotList or ()) if info is not None else 0


def has_opaque_nic(row: Mapping[str, Any]) -> bool:
    """Whether a NIC of the VM is on an opaque (NSX) network."""
    kind = vim.vm.device.VirtualEthernetCard.OpaqueNetworkBackingInfo
    return any(isinstance(getattr(item, "backing", None), kind) for item in row.get("config.hardware.device") or ())


def _network(
    backing: vim.vm.device.VirtualDevice.BackingInfo | None,
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
