"""A VirtualMachine out of the API's properties: disks, NICs, snapshots, what is plugged in; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from pyVmomi import vim

from lrvmotion.model.inventory import (
    Folder,
    Host,
    Inventory,
    MoRef,
    Network,
    Nic,
    PowerState,
    VirtualMachine,
    VmConnection,
)
from lrvmotion.vsphere.client import moref, moref_or_none, name_of
from lrvmotion.vsphere.inventory import vm_hardware, vm_storage
from lrvmotion.vsphere.inventory.vapps import VApp

_NO_FT = "notConfigured"

PATHS = (
    "name", "parent", "parentVApp", "disabledMethod", "runtime.host", "runtime.powerState", "runtime.connectionState",
    "runtime.question", "runtime.consolidationNeeded", "runtime.toolsInstallerMounted", "runtime.faultToleranceState",
    "runtime.minRequiredEVCModeKey", "config.instanceUuid", "config.uuid", "config.template", "config.changeVersion",
    "config.managedBy", "config.version", "config.keyId", "config.migrateEncryption", "config.files.vmPathName",
    "config.hardware.memoryMB", "config.hardware.device", "config.memoryAllocation.reservation", "permission",
    "customValue", "snapshot", "storage.perDatastoreUsage", "summary.storage", "layoutEx.disk", "layoutEx.file",
)  # fmt: skip
# runtime.featureRequirement is left out: a hundred entries a VM. CheckRelocate_Task compares them.


@dataclass(frozen=True, slots=True)
class VmContext:
    """What a VM's properties refer to: folders, networks, vApps, and what each host mounts.

    *keyed* is a distributed port group by (switch uuid, key), *opaque* an opaque network by its id.
    """

    folders: Mapping[MoRef, Folder]
    networks: Mapping[MoRef, Network]
    keyed: Mapping[tuple[str | None, str | None], Network]
    opaque: Mapping[str, Network]
    hosts: Mapping[MoRef, Host]
    stores: Mapping[MoRef, str]
    apps: Mapping[MoRef, VApp]

    @classmethod
    def of(cls, inventory: Inventory, opaque: Mapping[str, Network], apps: Mapping[MoRef, VApp]) -> VmContext:
        """Return those of the VMs of *inventory*."""
        return cls(
            folders={folder.ref: folder for folder in inventory.folders},
            networks={network.ref: network for network in inventory.networks},
            keyed={(net.switch_uuid, net.portgroup_key): net for net in inventory.networks if net.portgroup_key},
            opaque=opaque,
            hosts={host.ref: host for host in inventory.hosts},
            stores={store.ref: store.name for store in inventory.datastores},
            apps=apps,
        )

    def home(self, host: MoRef | None, path: str) -> MoRef | None:
        """Return the datastore of the file at *path*, "[name] folder/file", among those that *host* mounts."""
        name = vm_hardware.store_name(path)
        mounts = self.hosts[host].datastores if host is not None and host in self.hosts else ()
        found = [ref for ref in mounts if self.stores.get(ref) == name]
        return found[0] if len(found) == 1 else None


def virtual_machine(ref: MoRef, row: Mapping[str, Any], around: VmContext) -> VirtualMachine:
    """Return the VM that *row* describes, among what is *around* it."""
    devices = row.get("config.hardware.device") or ()
    holding = tuple(vm_hardware.devices(devices))
    disks = [item for item in devices if isinstance(item, vim.vm.device.VirtualDisk)]
    files = vm_storage.chains(row, disks)
    inside = row.get("parentVApp")
    app = around.apps.get(moref(inside)) if inside is not None else None
    parent = row.get("parent") if app is None else app.folder
    folder = around.folders.get(moref(parent)) if parent is not None else None
    host = moref_or_none(row.get("runtime.host"))
    return VirtualMachine(
        ref=ref,
        name=name_of(row),
        instance_uuid=str(row.get("config.instanceUuid", "")),
        bios_uuid=str(row.get("config.uuid", "")),
        power_state=cast("PowerState", str(row.get("runtime.powerState", "poweredOff"))),
        connection_state=cast("VmConnection", str(row.get("runtime.connectionState", "connected"))),
        question=question(row.get("runtime.question")),
        vapp=app.path if app is not None else "",
        relocate_disabled="RelocateVM_Task" in (row.get("disabledMethod") or ()),
        host=host,
        folder=folder.path if folder is not None else "",
        datacenter=folder.datacenter if folder is not None else "",
        home=around.home(host, str(row.get("config.files.vmPathName") or "")),
        memory_bytes=int(row.get("config.hardware.memoryMB") or 0) * 2**20,
        disks=tuple(vm_hardware.disk(item, files[int(item.key)]) for item in disks),
        nics=tuple(_nic(item, around, host) for item in devices if isinstance(item, vim.vm.device.VirtualEthernetCard)),
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


def _nic(item: vim.vm.device.VirtualEthernetCard, around: VmContext, host: MoRef | None) -> Nic:
    name, network = _network(item.backing, around, host)
    return Nic(
        key=int(item.key),
        label=vm_hardware.label(item),
        mac=str(item.macAddress or ""),
        network=name if network is None else network.name,
        network_ref=network.ref if network is not None else None,
        backed=item.backing is not None,
    )


def _network(
    backing: vim.vm.device.VirtualDevice.BackingInfo | None, around: VmContext, host: MoRef | None
) -> tuple[str | None, Network | None]:
    """Return the name that a backing itself has, and its network, each where there is one."""
    card = vim.vm.device.VirtualEthernetCard
    if isinstance(backing, card.DistributedVirtualPortBackingInfo):
        key = str(backing.port.portgroupKey)
        # The key alone tells it where the account may not read the switch: a vCenter has it once.
        return None, around.keyed.get((str(backing.port.switchUuid), key)) or around.keyed.get((None, key))
    if isinstance(backing, card.OpaqueNetworkBackingInfo):
        return None, around.opaque.get(str(backing.opaqueNetworkId))
    if isinstance(backing, card.NetworkBackingInfo):
        name = str(backing.deviceName)
        if backing.network is not None and moref(backing.network) in around.networks:
            return name, around.networks[moref(backing.network)]
        mine = around.hosts[host].networks if host is not None and host in around.hosts else ()
        known = (around.networks[ref] for ref in mine if ref in around.networks)
        return name, next((net for net in known if net.kind == "standard" and net.name == name), None)
    return None, None
