"""A VM's properties as the API shows them; frequent scalars have entries of their own."""

# ruff: noqa: ANN401 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyVmomi import VmomiSupport, vim

V: Any = vim.vm
D: Any = vim.vm.device
LONG: Any = VmomiSupport.vmodlTypes["long"]
MIB = 1 << 20
CDROM, NIC, DISK, IDE, SCSI = 3000, 4000, 2000, 200, 1000


def power_state(vm: Any) -> str:
    """Return the power state."""
    return "poweredOn" if vm.powered_on else "poweredOff"


def path(vm: Any) -> str:
    """Return the .vmx path."""
    return f"[{vm.datastore.name}] {vm.name}/{vm.name}.vmx"


def devices(vm: Any) -> list[Any]:
    """Return the virtual hardware: controllers, a disk, a NIC, a CD-ROM drive."""
    delta = f"-{len(vm.snapshots):06d}" if vm.snapshots else ""
    disk = D.VirtualDisk(
        key=DISK,
        deviceInfo=vim.Description(label="Hard disk 1", summary=f"{vm.disk_bytes // 1024:,} KB"),
        backing=D.VirtualDisk.FlatVer2BackingInfo(
            fileName=f"[{vm.datastore.name}] {vm.name}/{vm.name}{delta}.vmdk",
            datastore=vm.datastore.ref,
            diskMode="persistent",
            thinProvisioned=True,
            uuid=f"6000C29{vm.uuid[7:]}",
        ),
        controllerKey=SCSI,
        unitNumber=0,
        capacityInKB=LONG(vm.disk_bytes // 1024),
        capacityInBytes=LONG(vm.disk_bytes),
    )
    nic = D.VirtualVmxnet3(
        key=NIC,
        deviceInfo=vim.Description(label="Network adapter 1", summary=vm.network.name),
        backing=vm.network.backing(),
        connectable=D.VirtualDevice.ConnectInfo(
            startConnected=True, allowGuestControl=True, connected=vm.powered_on, status="ok"
        ),
        controllerKey=100,
        unitNumber=7,
        addressType="assigned",
        macAddress=vm.mac,
        wakeOnLanEnabled=True,
    )
    media = (
        D.VirtualCdrom.IsoBackingInfo(fileName=vm.iso)
        if vm.iso
        else D.VirtualCdrom.RemotePassthroughBackingInfo(deviceName="", exclusive=False)
    )
    cdrom = D.VirtualCdrom(
        key=CDROM,
        deviceInfo=vim.Description(label="CD/DVD drive 1", summary=vm.iso or "Remote device"),
        backing=media,
        connectable=D.VirtualDevice.ConnectInfo(
            startConnected=bool(vm.iso), allowGuestControl=True, connected=bool(vm.iso), status="ok"
        ),
        controllerKey=IDE,
        unitNumber=0,
    )
    return [
        D.VirtualIDEController(key=IDE, busNumber=0, device=[CDROM]),
        D.ParaVirtualSCSIController(key=SCSI, busNumber=0, device=[DISK], sharedBus="noSharing"),
        cdrom,
        disk,
        nic,
    ]


def hardware(vm: Any) -> Any:
    """Return the VirtualHardware."""
    return V.VirtualHardware(
        numCPU=1,
        numCoresPerSocket=1,
        memoryMB=vm.memory_bytes // MIB,
        device=devices(vm),
    )


def files(vm: Any) -> Any:
    """Return where the VM's files are."""
    folder = f"[{vm.datastore.name}] {vm.name}"
    return V.FileInfo(vmPathName=path(vm), snapshotDirectory=folder, suspendDirectory=folder, logDirectory=folder)


def config(vm: Any) -> Any:
    """Return the VirtualMachineConfigInfo."""
    return V.ConfigInfo(
        changeVersion=str(vm.change_version),
        modified=vm.modified,
        name=vm.name,
        guestFullName="Debian GNU/Linux 12 (64-bit)",
        guestId="debian11_64Guest",
        version="vmx-19",
        uuid=vm.uuid,
        instanceUuid=vm.instance_uuid,
        template=False,
        annotation="",
        files=files(vm),
        hardware=hardware(vm),
        flags=V.FlagInfo(diskUuidEnabled=False, enableLogging=True),
        migrateEncryption="opportunistic",
        changeTrackingEnabled=False,
        firmware="bios",
        datastoreUrl=[
            V.ConfigInfo.DatastoreUrlPair(name=vm.datastore.name, url=f"ds:///vmfs/volumes/{vm.datastore.moid}/")
        ],
    )


def runtime(vm: Any) -> Any:
    """Return the VirtualMachineRuntimeInfo."""
    return V.RuntimeInfo(
        host=vm.host.ref,
        connectionState=connection(vm),
        powerState=power_state(vm),
        toolsInstallerMounted=False,
        bootTime=vm.boot_time,
        maxCpuUsage=2000 if vm.powered_on else None,
        numMksConnections=0,
        recordReplayState="inactive",
    )


def connection(vm: Any) -> str:
    """Return the VM's connection state, which follows its host's."""
    return "connected" if vm.host.connection == "connected" else "disconnected"


def summary(vm: Any) -> Any:
    """Return the VirtualMachineSummary."""
    return V.Summary(
        vm=vm.ref,
        runtime=runtime(vm),
        guest=V.Summary.GuestSummary(toolsStatus="toolsNotInstalled"),
        config=V.Summary.ConfigSummary(
            name=vm.name,
            template=False,
            vmPathName=path(vm),
            memorySizeMB=vm.memory_bytes // MIB,
            cpuReservation=0,
            memoryReservation=0,
            numCpu=1,
            numEthernetCards=1,
            numVirtualDisks=1,
            uuid=vm.uuid,
            instanceUuid=vm.instance_uuid,
            guestId="debian11_64Guest",
            guestFullName="Debian GNU/Linux 12 (64-bit)",
            annotation="",
        ),
        storage=V.Summary.StorageSummary(
            committed=LONG(vm.disk_bytes), uncommitted=LONG(0), unshared=LONG(vm.disk_bytes), timestamp=vm.modified
        ),
        quickStats=V.Summary.QuickStats(
            hostMemoryUsage=vm.memory_bytes // MIB if vm.powered_on else 0,
            guestHeartbeatStatus="gray",
            consumedOverheadMemory=0,
        ),
        overallStatus="green",
    )


def storage(vm: Any) -> Any:
    """Return the storage use by datastore."""
    return V.StorageInfo(
        perDatastoreUsage=[
            V.StorageInfo.UsageOnDatastore(
                datastore=vm.datastore.ref,
                committed=LONG(vm.disk_bytes),
                uncommitted=LONG(0),
                unshared=LONG(vm.disk_bytes),
            )
        ],
        timestamp=vm.modified,
    )


def layout(vm: Any) -> Any:
    """Return the VM's files with their sizes."""
    folder = f"[{vm.datastore.name}] {vm.name}/{vm.name}"
    rows = [("config", f"{folder}.vmx", 0), ("diskExtent", f"{folder}-flat.vmdk", vm.disk_bytes)]
    return V.FileLayoutEx(
        file=[
            V.FileLayoutEx.FileInfo(key=key, name=name, type=kind, size=LONG(size))
            for key, (kind, name, size) in enumerate(rows)
        ],
        timestamp=vm.modified,
    )


def snapshot(vm: Any) -> Any:
    """Return the snapshot tree, a chain; None without snapshots."""
    if not vm.snapshots:
        return None
    tree: list[Any] = []
    for index, item in reversed(list(enumerate(vm.snapshots, 1))):
        node = V.SnapshotTree(
            snapshot=V.Snapshot(item.moid),
            vm=vm.ref,
            name=item.name,
            description="",
            id=index,
            createTime=item.created,
            state=power_state(vm),
            quiesced=False,
            replaySupported=False,
            childSnapshotList=tree,
        )
        tree = [node]
    return V.SnapshotInfo(currentSnapshot=V.Snapshot(vm.snapshots[-1].moid), rootSnapshotList=tree)


def guest(vm: Any) -> Any:
    """Return the GuestInfo of a guest without VMware Tools."""
    return V.GuestInfo(
        toolsStatus="toolsNotInstalled",
        toolsVersionStatus2="guestToolsNotInstalled",
        toolsRunningStatus="guestToolsNotRunning",
        guestState="running" if vm.powered_on else "notRunning",
    )


VALUES: dict[str, Callable[[Any], Any]] = {
    "config": config,
    "config.name": lambda vm: vm.name,
    "config.uuid": lambda vm: vm.uuid,
    "config.instanceUuid": lambda vm: vm.instance_uuid,
    "config.template": lambda _: False,
    "config.changeVersion": lambda vm: str(vm.change_version),
    "config.version": lambda _: "vmx-19",
    "config.migrateEncryption": lambda _: "opportunistic",
    "config.guestFullName": lambda _: "Debian GNU/Linux 12 (64-bit)",
    "config.hardware": hardware,
    "config.hardware.device": devices,
    "config.hardware.memoryMB": lambda vm: vm.memory_bytes // MIB,
    "config.hardware.numCPU": lambda _: 1,
    "config.files": files,
    "config.files.vmPathName": path,
    "runtime": runtime,
    "runtime.host": lambda vm: vm.host,
    "runtime.powerState": power_state,
    "runtime.connectionState": connection,
    "runtime.bootTime": lambda vm: vm.boot_time,
    "summary": summary,
    "summary.vm": lambda vm: vm,
    "summary.overallStatus": lambda _: "green",
    "summary.config.name": lambda vm: vm.name,
    "summary.config.uuid": lambda vm: vm.uuid,
    "summary.config.instanceUuid": lambda vm: vm.instance_uuid,
    "summary.config.template": lambda _: False,
    "summary.config.vmPathName": path,
    "summary.config.memorySizeMB": lambda vm: vm.memory_bytes // MIB,
    "summary.config.numCpu": lambda _: 1,
    "summary.config.numEthernetCards": lambda _: 1,
    "summary.config.numVirtualDisks": lambda _: 1,
    "summary.config.guestFullName": lambda _: "Debian GNU/Linux 12 (64-bit)",
    "summary.config.annotation": lambda _: "",
    "summary.runtime.host": lambda vm: vm.host,
    "summary.runtime.powerState": power_state,
    "summary.runtime.connectionState": connection,
    "summary.storage.committed": lambda vm: vm.disk_bytes,
    "summary.storage.uncommitted": lambda _: 0,
    "guest": guest,
    "storage": storage,
    "layoutEx": layout,
    "snapshot": snapshot,
    "rootSnapshot": lambda vm: [V.Snapshot(s.moid) for s in vm.snapshots[:1]],
    "datastore": lambda vm: [vm.datastore],
    "network": lambda vm: [vm.network],
    "resourcePool": lambda vm: vm.pool,
    "guestHeartbeatStatus": lambda _: "gray",
}
