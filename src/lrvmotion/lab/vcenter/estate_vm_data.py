"""The properties of a VM of an estate as the API shows them: all its disks, cards and devices."""

# ruff: noqa: ANN401 - pyVmomi makes its types at run time
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyVmomi import VmomiSupport, vim

from lrvmotion.lab.estate.form import Row
from lrvmotion.lab.vcenter import vm_data, vm_files, vm_traits

V: Any = vim.vm
D: Any = vim.vm.device
LONG: Any = VmomiSupport.vmodlTypes["long"]
SCSI, CDROM = 1000, 3000
_CARDS = (*range(4000, 4010), *range(13000, 13032))  # keys of Ethernet cards, SR-IOV ones too


def devices(vm: Any) -> list[Any]:
    """Return the virtual hardware."""
    found: list[Any] = []
    shared = [one for one in vm.estate["devices"] if one["kind"] == "shared-bus"]
    keys = [disk["key"] for disk in vm.estate["disks"]]
    for number, row in enumerate(shared or [{"label": "SCSI controller 0", "backing": "noSharing"}]):
        found.append(
            D.ParaVirtualSCSIController(
                key=SCSI + number, deviceInfo=_info(row["label"]), busNumber=number, sharedBus=row["backing"],
                device=keys if not number else [],
            )
        )  # fmt: skip
    found += [_disk(vm, number, row) for number, row in enumerate(vm.estate["disks"])]
    sriov = {one["label"] for one in vm.estate["devices"] if one["kind"] == "sriov"}
    found += [_card(vm, row, sriov=row["label"] in sriov) for row in vm.estate["nics"]]
    labels = {row["label"] for row in vm.estate["nics"]}
    for number, row in enumerate(vm.estate["devices"]):
        if row["kind"] == "sriov" and row["label"] in labels:
            continue  # it is a card
        made = _device(vm, number, row)
        if made is not None:
            found.append(made)
    return vm_traits.as_set(vm.traits, found)


def _info(label: str) -> Any:
    return vim.Description(label=label, summary=label)


def _state(*, connected: bool = True) -> Any:
    return D.VirtualDevice.ConnectInfo(
        startConnected=connected, allowGuestControl=True, connected=connected, status="ok"
    )


def _chain(vm: Any, row: Row) -> list[str]:
    """Return the files of a disk's chain, the base first; of a linked clone the base is another VM's."""
    store = vm.vcenter.registry.find(row["datastore"] or "") or vm.datastore
    links = max(row.get("links") or 1, 1)
    base = f"{vm.name}/{vm.name}_{row['key']}.vmdk"
    names = [base, *(f"{vm.name}/{vm.name}_{row['key']}-{link:06d}.vmdk" for link in range(1, links))]
    if row.get("linked_clone") and links > 1:
        names[0] = f"base of {base}"
    return [f"[{store.name}] {name}" for name in names]


def _disk(vm: Any, number: int, row: Row) -> Any:
    store = vm.vcenter.registry.find(row["datastore"] or "")
    mode = row.get("mode") or "persistent"
    *below, own = _chain(vm, row)
    kinds = D.VirtualDisk
    kind = kinds.RawDiskMappingVer1BackingInfo if row.get("rdm") else kinds.FlatVer2BackingInfo
    parent = None
    for name in below:
        parent = kind(fileName=name, diskMode=mode, parent=parent)
    place = {"fileName": own, "parent": parent, "sharing": "sharingNone", "diskMode": mode}
    if store is not None:
        place["datastore"] = store.ref
    if row.get("multi_writer"):
        place["sharing"] = "sharingMultiWriter"
    if row.get("rdm"):
        backing = kind(**place, compatibilityMode=f"{row['rdm']}Mode", deviceName="vml.lab", lunUuid="lab")
    else:
        backing = kind(**place, thinProvisioned=True)
    return D.VirtualDisk(
        key=row["key"], deviceInfo=_info(row["label"]), backing=backing, controllerKey=SCSI, unitNumber=number,
        capacityInKB=LONG(row["capacity_bytes"] // 1024), capacityInBytes=LONG(row["capacity_bytes"]),
        vDiskId=vim.vslm.ID(id=row["first_class"]) if row.get("first_class") else None,
    )  # fmt: skip


def _card(vm: Any, row: Row, *, sriov: bool) -> Any:
    network = vm.vcenter.registry.find(row["network"] or "")
    kind = D.VirtualSriovEthernetCard if sriov else D.VirtualVmxnet3
    if network is not None:
        backing = network.backing()
    elif row.get("backed", True):  # on a port group that the account could not see
        port = vim.dvs.PortConnection(switchUuid="unseen", portgroupKey="unseen")
        backing = D.VirtualEthernetCard.DistributedVirtualPortBackingInfo(port=port)
    else:
        backing = None
    return kind(
        key=row["key"], deviceInfo=_info(row["label"]), backing=backing, connectable=_state(connected=vm.powered_on),
        controllerKey=100, unitNumber=7, addressType="assigned", macAddress=row["mac"], wakeOnLanEnabled=True,
    )  # fmt: skip


def _device(vm: Any, number: int, row: Row) -> Any:
    """Return what ties the VM to its place, connected; None for what is no longer."""
    label, to = _info(row["label"]), row["backing"]
    match row["kind"]:
        case "iso":
            if vm.iso is None and not vm.traits.drives:
                return None
            backing = D.VirtualCdrom.IsoBackingInfo(fileName=to)
            return D.VirtualCdrom(key=CDROM + number, deviceInfo=label, backing=backing, connectable=_state())
        case "cdrom":
            backing = D.VirtualCdrom.RemotePassthroughBackingInfo(deviceName=to, exclusive=False)
            return D.VirtualCdrom(key=CDROM + number, deviceInfo=label, backing=backing, connectable=_state())
        case "floppy":
            backing = D.VirtualFloppy.RemoteDeviceBackingInfo(deviceName=to)
            return D.VirtualFloppy(key=8000 + number, deviceInfo=label, backing=backing, connectable=_state())
        case "usb":
            backing = D.VirtualUSB.USBBackingInfo(deviceName=to)
            return D.VirtualUSB(
                key=7001 + number, deviceInfo=label, backing=backing, connectable=_state(), connected=True
            )
        case "serial" | "serial-network" as kind:
            backing = D.VirtualSerialPort.DeviceBackingInfo(deviceName=to)
            if kind == "serial-network":
                backing = D.VirtualSerialPort.URIBackingInfo(serviceURI="telnet://192.0.2.1:2001", direction="client")
            return D.VirtualSerialPort(
                key=9000 + number, deviceInfo=label, backing=backing, connectable=_state(), yieldOnPoll=True
            )
        case "parallel":
            backing = D.VirtualParallelPort.DeviceBackingInfo(deviceName=to)
            return D.VirtualParallelPort(key=10000 + number, deviceInfo=label, backing=backing, connectable=_state())
        case "passthrough":
            backing = D.VirtualPCIPassthrough.DeviceBackingInfo(
                deviceName=to, deviceId="1", id="00:1f.0", systemId="BYPASS", vendorId=1
            )
            return D.VirtualPCIPassthrough(key=13000 + number, deviceInfo=label, backing=backing)
        case "vgpu":
            backing = D.VirtualPCIPassthrough.VmiopBackingInfo(vgpu=to)
            return D.VirtualPCIPassthrough(key=13000 + number, deviceInfo=label, backing=backing)
        case "tpm":
            return D.VirtualTPM(key=11000 + number, deviceInfo=label)
        case _:  # a shared bus is that of its controller
            return None


def path(vm: Any) -> str:
    """Return the .vmx path; on a datastore that none is called by where the estate does not tell its own."""
    return vm_files.path(vm) if vm.estate["told"]["home"] else f"[] {vm.name}/{vm.name}.vmx"


def files(vm: Any) -> Any:
    """Return where the VM's files are."""
    made = vm_files.files(vm)
    made.vmPathName = path(vm)
    return made


def hardware(vm: Any) -> Any:
    """Return the VirtualHardware."""
    made = vm_data.hardware(vm)
    made.device = devices(vm)
    return made


def config(vm: Any) -> Any:
    """Return the VirtualMachineConfigInfo."""
    made = vm_data.config(vm)
    made.hardware, made.changeVersion = hardware(vm), change_version(vm) or ""
    made.template = vm.traits.template
    return made


def change_version(vm: Any) -> str | None:
    """Return the version of the configuration: the estate's own until something changes it."""
    own = vm.estate["change_version"]
    return own or None if own is not None and vm.change_version == 1 else str(vm.change_version)


def summary(vm: Any) -> Any:
    """Return the VirtualMachineSummary."""
    made = vm_data.summary(vm)
    made.config.template = vm.traits.template
    made.config.numEthernetCards = len(vm.estate["nics"])
    return made


def storage(vm: Any) -> Any:
    """Return the storage use by datastore."""
    return V.StorageInfo(
        perDatastoreUsage=[
            V.StorageInfo.UsageOnDatastore(
                datastore=store.ref, committed=LONG(vm.bytes_on(store)), uncommitted=LONG(0),
                unshared=LONG(vm.bytes_on(store)),
            )
            for store in vm.stores()
        ],
        timestamp=vm.modified,
    )  # fmt: skip


def layout(vm: Any) -> Any:
    """Return the VM's files with their sizes: all below a disk's topmost link is in its base, the rest in no disk."""
    rows = [row for row in vm.estate["disks"] if row.get("used_bytes") is not None]
    rest = max(0, vm.disk_bytes - sum(row["used_bytes"] for row in rows))
    files = [_file(0, f"[{vm.datastore.name}] {vm.name}/{vm.name}.vmx", "config", rest)]
    disks = []
    for row in rows:
        names = _chain(vm, row)
        below = (row.get("below_bytes") or 0) if len(names) > 1 else 0
        sizes = [row["used_bytes"]] if len(names) == 1 else _spread(below, row["capacity_bytes"], len(names) - 1)
        sizes += [row["used_bytes"] - below] if len(names) > 1 else []
        chain = []
        for name, size in zip(names, sizes, strict=True):
            files.append(_file(len(files), name.replace(".vmdk", "-flat.vmdk"), "diskExtent", size))
            chain.append(V.FileLayoutEx.DiskUnit(fileKey=[len(files) - 1]))
        disks.append(V.FileLayoutEx.DiskLayout(key=row["key"], chain=chain))
    return V.FileLayoutEx(disk=disks, file=files, timestamp=vm.modified)


def _file(key: int, name: str, kind: str, size: int) -> Any:
    return V.FileLayoutEx.FileInfo(key=key, name=name, type=kind, size=LONG(size))


def _spread(size: int, most: int, links: int) -> list[int]:
    """Return *size* bytes over so many *links*, each with *most* at most, the base first."""
    found = []
    for _ in range(links):
        found.append(min(size, most))
        size -= found[-1]
    return found


def _if_told(name: str, getter: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda vm: getter(vm) if vm.estate["told"][name] else None


def _read(getter: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return *getter* for what lies in the .vmx file, which vCenter does not read of a VM that is adrift."""
    return lambda vm: None if vm.traits.connection else getter(vm)


def _device_of(key: int) -> Callable[[Any], Any]:
    def read(vm: Any) -> Any:
        rows = vm.estate["nics"]
        return (
            next((item for item in devices(vm) if item.key == key), None)
            if any(r["key"] == key for r in rows)
            else None
        )

    return read


VALUES: dict[str, Callable[[Any], Any]] = {
    "config": _read(config),
    "config.hardware": _read(hardware),
    "config.hardware.device": _read(devices),
    **{f"config.hardware.device[{key}]": _read(_device_of(key)) for key in _CARDS},
    "config.files": _read(files),
    "config.files.vmPathName": _read(path),
    "config.changeVersion": _read(change_version),
    "config.uuid": lambda vm: vm.uuid or None,
    "config.instanceUuid": lambda vm: vm.instance_uuid or None,
    "config.migrateEncryption": lambda vm: vm.traits.migrate_encryption or None,
    "summary": summary,
    "summary.config.template": lambda vm: vm.traits.template,
    "summary.config.numEthernetCards": lambda vm: len(vm.estate["nics"]),
    "storage": storage,
    "layoutEx": layout,
    "datastore": lambda vm: vm.stores(),
    "network": lambda vm: list(vm.networks()),
    "parent": _if_told("parent", lambda vm: vm.parent),
    "resourcePool": _if_told("pool", lambda vm: vm.pool),
    "runtime.host": _if_told("host", lambda vm: vm.host),
}
