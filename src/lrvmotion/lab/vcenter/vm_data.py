"""A VM's properties as the API shows them; frequent scalars have entries of their own."""

# ruff: noqa: ANN401 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyVmomi import VmomiSupport, vim

from lrvmotion.lab.vcenter import soap_codec, vm_files, vm_traits
from lrvmotion.lab.vcenter.managed_object import Written

V: Any = vim.vm
D: Any = vim.vm.device
LONG: Any = VmomiSupport.vmodlTypes["long"]
MIB = 1 << 20
CDROM, NIC, IDE, SCSI = 3000, 4000, 200, 1000
DISK = vm_files.DISK


def power_state(vm: Any) -> str:
    """Return the power state."""
    return "poweredOn" if vm.powered_on else "suspended" if vm.traits.suspended else "poweredOff"


def card(vm: Any) -> Any:
    """Return the VM's Ethernet card."""
    return D.VirtualVmxnet3(
        key=NIC,
        deviceInfo=vim.Description(label="Network adapter 1", summary=vm.network.name),
        backing=_card_backing(vm),
        connectable=D.VirtualDevice.ConnectInfo(
            startConnected=not vm.traits.start_unplugged,
            allowGuestControl=True,
            connected=vm.powered_on and not vm.traits.unplugged,
            status="ok",
        ),
        controllerKey=100,
        unitNumber=7,
        addressType="assigned",
        macAddress=vm.mac,
        wakeOnLanEnabled=True,
    )


def _card_backing(vm: Any) -> Any:
    match vm.traits.card:
        case "removed":
            # unconfirmed: that the backing goes on to name a port group that nobody finds (pyvmomi #1041)
            port = vim.dvs.PortConnection(
                switchUuid="50 00 00 00 00 00 00 00-00 00 00 00 00 00 00 00", portgroupKey="x"
            )
            return D.VirtualEthernetCard.DistributedVirtualPortBackingInfo(port=port)
        case "renamed":
            return D.VirtualEthernetCard.NetworkBackingInfo(deviceName="Old network")
        case "none":
            return None
        case _:
            return vm.network.backing()


_CARDS: dict[tuple[Any, ...], tuple[str, str]] = {}


def card_xml(vm: Any, version: str) -> str:
    """Return the card as a `val` element; what cards of one network have in common is serialised once."""
    traits = vm.traits
    kind = (
        vm.network.moid,
        vm.network.name,
        vm.powered_on,
        traits.unplugged,
        traits.start_unplugged,
        traits.card,
        version,
    )
    if kind not in _CARDS:
        before, _, after = soap_codec.element("val", card(vm), version).partition(vm.mac)
        _CARDS[kind] = (before, after)
    return vm.mac.join(_CARDS[kind])


def devices(vm: Any) -> list[Any]:
    """Return the virtual hardware: controllers, a disk, a NIC, a CD-ROM drive, and what the VM's traits add."""
    traits = vm.traits
    disks = [_disk(vm, number) for number in range(len(vm.disk_keys()))]
    media = (
        D.VirtualCdrom.IsoBackingInfo(fileName=vm.iso)
        if vm.iso
        else D.VirtualCdrom.RemotePassthroughBackingInfo(deviceName="", exclusive=False)
    )
    plugged = bool(vm.iso) or "cdrom" in traits.plugged
    cdrom = D.VirtualCdrom(
        key=CDROM,
        deviceInfo=vim.Description(label="CD/DVD drive 1", summary=vm.iso or "Remote device"),
        backing=media,
        connectable=D.VirtualDevice.ConnectInfo(
            startConnected=plugged, allowGuestControl=True, connected=plugged, status="ok"
        ),
        controllerKey=IDE,
        unitNumber=0,
    )
    found = [
        D.VirtualIDEController(key=IDE, busNumber=0, device=[CDROM]),
        D.ParaVirtualSCSIController(
            key=SCSI,
            deviceInfo=vim.Description(label="SCSI controller 0", summary="VMware paravirtual SCSI"),
            busNumber=0,
            device=[disk.key for disk in disks],
            sharedBus=traits.bus,
        ),
        cdrom,
        *disks,
        card(vm),
        *vm_traits.devices(traits, vm.network),
    ]
    return vm_traits.as_set(traits, found)


def _disk(vm: Any, number: int) -> Any:
    """Return a disk."""
    traits = vm.traits
    store = vm.disk_store(DISK + number)
    own = vm.sizes()[str(DISK + number)]
    size = own if number else traits.capacity or own
    *parents, top = vm_files.chain(vm, number)
    parent = None
    for name in parents:
        parent = D.VirtualDisk.FlatVer2BackingInfo(
            fileName=name, datastore=store.ref, diskMode=traits.disk_mode, parent=parent
        )
    place = {"fileName": top, "datastore": store.ref}
    if traits.rdm is not None:
        backing = D.VirtualDisk.RawDiskMappingVer1BackingInfo(
            **place, compatibilityMode=traits.rdm, deviceName="vml.lab", lunUuid="lab", diskMode=traits.disk_mode
        )
    else:
        backing = D.VirtualDisk.FlatVer2BackingInfo(
            **place,
            diskMode=traits.disk_mode,
            thinProvisioned=True,
            parent=parent,
            uuid=f"6000C29{vm.uuid[7:]}",
            sharing="sharingMultiWriter" if traits.multi_writer else "sharingNone",
        )
    return D.VirtualDisk(
        key=DISK + number,
        deviceInfo=vim.Description(label=f"Hard disk {number + 1}", summary=f"{size // 1024:,} KB"),
        backing=backing,
        controllerKey=SCSI,
        unitNumber=number,
        vDiskId=vim.vslm.ID(id=traits.first_class) if traits.first_class and not number else None,
        capacityInKB=LONG(size // 1024),
        capacityInBytes=LONG(size),
    )


def managed_by(vm: Any) -> Any:
    """Return which extension manages the VM, None for most."""
    extension, _, kind = vm.traits.managed_by.partition("/")
    return vim.ext.ManagedByInfo(extensionKey=extension, type=kind) if extension else None


def key_id(vm: Any) -> Any:
    """Return the id of the key of an encrypted VM, None of another."""
    provider = vm.traits.key_provider
    if provider is None:
        return None
    return vim.encryption.CryptoKeyId(keyId=vm.uuid, providerId=vim.encryption.KeyProviderId(id=provider))


def permissions(vm: Any) -> list[Any]:
    """Return the permissions set on the VM itself."""
    kind = vim.AuthorizationManager.Permission
    manager = vm.vcenter.content.managers["authorizationManager"]
    given = [text.partition("|") for text in vm.traits.permissions]
    return [
        kind(entity=vm.ref, principal=who, group=False, roleId=manager.role_id(role or "Admin"), propagate=True)
        for who, _, role in given
    ]


def attributes(vm: Any) -> list[Any]:
    """Return the values of custom attributes."""
    manager = vm.vcenter.content.managers["customFieldsManager"]
    kind = vim.CustomFieldsManager.StringValue
    return [kind(key=manager.key(name), value=value) for name, value in vm.traits.attributes]


def needed_evc(vm: Any) -> str | None:
    """Return the least EVC mode that the running VM needs; a VM that is off needs none."""
    return vm.traits.evc if vm.powered_on and vm.traits.evc else None


def fault_tolerance(vm: Any) -> str:
    """Return the fault tolerance state."""
    return "running" if vm.traits.fault_tolerant else "notConfigured"


def hardware(vm: Any) -> Any:
    """Return the VirtualHardware."""
    return V.VirtualHardware(
        numCPU=1,
        numCoresPerSocket=1,
        memoryMB=vm.memory_bytes // MIB,
        device=devices(vm),
    )


def config(vm: Any) -> Any:
    """Return the VirtualMachineConfigInfo."""
    return V.ConfigInfo(
        changeVersion=str(vm.change_version),
        modified=vm.modified,
        name=vm.name,
        guestFullName="Debian GNU/Linux 12 (64-bit)",
        guestId="debian11_64Guest",
        version=vm.traits.version,
        uuid=vm.uuid,
        instanceUuid=vm.instance_uuid,
        template=False,
        annotation=vm.traits.note,
        files=vm_files.files(vm),
        hardware=hardware(vm),
        flags=V.FlagInfo(diskUuidEnabled=False, enableLogging=True),
        migrateEncryption=vm.traits.migrate_encryption,
        keyId=key_id(vm),
        memoryAllocation=vim.ResourceAllocationInfo(reservation=LONG(vm.traits.reserved_bytes // MIB)),
        changeTrackingEnabled=False,
        firmware="bios",
        datastoreUrl=[
            V.ConfigInfo.DatastoreUrlPair(name=vm.datastore.name, url=f"ds:///vmfs/volumes/{vm.datastore.moid}/")
        ],
    )


def runtime(vm: Any) -> Any:
    """Return the VirtualMachineRuntimeInfo."""
    return V.RuntimeInfo(
        host=None if vm.traits.no_host else vm.host.ref,
        connectionState=connection(vm),
        powerState=power_state(vm),
        question=question(vm),
        consolidationNeeded=vm.traits.consolidate,
        toolsInstallerMounted=vm.traits.tools_installer,
        faultToleranceState=fault_tolerance(vm),
        minRequiredEVCModeKey=needed_evc(vm),
        bootTime=vm.boot_time,
        maxCpuUsage=2000 if vm.powered_on else None,
        numMksConnections=0,
        recordReplayState="inactive",
    )


def question(vm: Any) -> Any:
    """Return what the VM waits to be answered, None where it waits for nothing."""
    text = vm.traits.question
    if not text:
        return None
    locked = text == vm_traits.LOCKED
    choices = [
        vim.ElementDescription(key=str(key), label=label, summary=label)
        for key, label in enumerate(("Yes", "No") if locked else ("Retry", "Cancel"))
    ]
    if locked:  # the text of VMware's products; its message's id is what programs go by
        text = "The guest operating system has locked the CD-ROM door. Disconnect anyway and override the lock?"
    return V.QuestionInfo(
        id="2" if locked else "1",
        text=text,
        message=[V.Message(id=vm_traits.LOCKED, text=text)] if locked else [],
        choice=vim.option.ChoiceOption(valueIsReadonly=True, choiceInfo=choices, defaultIndex=0),
    )


def connection(vm: Any) -> str:
    """Return the VM's connection state, which follows its host's where it has none of its own."""
    if vm.traits.connection:
        return str(vm.traits.connection)
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
            vmPathName=vm_files.path(vm),
            memorySizeMB=vm.memory_bytes // MIB,
            cpuReservation=0,
            memoryReservation=0,
            numCpu=1,
            numEthernetCards=1,
            numVirtualDisks=len(vm.disk_keys()),
            uuid=vm.uuid,
            instanceUuid=vm.instance_uuid,
            guestId="debian11_64Guest",
            guestFullName="Debian GNU/Linux 12 (64-bit)",
            annotation=vm.traits.note,
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
    """Return the GuestInfo; VMware Tools run where the VM does and has them."""
    if vm.traits.tools and vm.powered_on:
        return V.GuestInfo(
            toolsStatus="toolsOk",
            toolsVersionStatus2="guestToolsCurrent",
            toolsRunningStatus="guestToolsRunning",
            guestState="running",
            ipAddress=vm.traits.address or None,
            hostName=vm.traits.dns_name or None,
        )
    return V.GuestInfo(
        toolsStatus="toolsNotInstalled",
        toolsVersionStatus2="guestToolsNotInstalled",
        toolsRunningStatus="guestToolsNotRunning",
        guestState="running" if vm.powered_on else "notRunning",
    )


def _other_card(key: int) -> Callable[[Any], Any]:
    """Return what finds the card *key* of a VM; most have none, and whoever asks 10,000 of them builds no hardware."""

    def read(vm: Any) -> Any:
        if vm.traits is vm_traits.PLAIN:
            return None
        return next((item for item in devices(vm) if item.key == key), None)

    return read


def _read(getter: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return what reads a part of the VM's configuration: unset of a VM whose files the host cannot read.

    "The configuration information would be unavailable if the server is unable to access the virtual machine files on
    disk" (API reference, VirtualMachine.config). unconfirmed: that of an orphaned VM is not there either.
    """
    return lambda vm: None if vm.traits.connection else getter(vm)


_CONFIG: dict[str, Callable[[Any], Any]] = {
    "config": config,
    "config.name": lambda vm: vm.name,
    "config.uuid": lambda vm: vm.uuid,
    "config.instanceUuid": lambda vm: vm.instance_uuid,
    "config.annotation": lambda vm: vm.traits.note,
    "config.template": lambda vm: vm.traits.template,
    "config.managedBy": managed_by,
    "config.changeVersion": lambda vm: str(vm.change_version),
    "config.version": lambda vm: vm.traits.version,
    "config.keyId": key_id,
    "config.migrateEncryption": lambda vm: vm.traits.migrate_encryption,
    "config.memoryAllocation.reservation": lambda vm: vm.traits.reserved_bytes // MIB,
    "config.guestFullName": lambda _: "Debian GNU/Linux 12 (64-bit)",
    "config.hardware": hardware,
    "config.hardware.device": devices,
    f"config.hardware.device[{NIC}]": card,
    **{f"config.hardware.device[{key}]": _other_card(key) for key in (*range(NIC + 1, NIC + 10), *range(13000, 13032))},
    "config.hardware.memoryMB": lambda vm: vm.memory_bytes // MIB,
    "config.hardware.numCPU": lambda _: 1,
    "config.files": vm_files.files,
    "config.files.vmPathName": vm_files.path,
}
VALUES: dict[str, Callable[[Any], Any]] = {
    **{path: _read(getter) for path, getter in _CONFIG.items()},
    "runtime": runtime,
    "runtime.host": lambda vm: None if vm.traits.no_host else vm.host,
    "runtime.powerState": power_state,
    "runtime.connectionState": connection,
    "runtime.question": question,
    "runtime.consolidationNeeded": lambda vm: vm.traits.consolidate,
    "runtime.bootTime": lambda vm: vm.boot_time,
    "runtime.toolsInstallerMounted": lambda vm: vm.traits.tools_installer,
    "runtime.faultToleranceState": fault_tolerance,
    "runtime.minRequiredEVCModeKey": needed_evc,
    "summary": summary,
    "summary.vm": lambda vm: vm,
    "summary.overallStatus": lambda _: "green",
    "summary.config.name": lambda vm: vm.name,
    "summary.config.uuid": lambda vm: vm.uuid,
    "summary.config.instanceUuid": lambda vm: vm.instance_uuid,
    "summary.config.template": lambda _: False,
    "summary.config.vmPathName": vm_files.path,
    "summary.config.memorySizeMB": lambda vm: vm.memory_bytes // MIB,
    "summary.config.numCpu": lambda _: 1,
    "summary.config.numEthernetCards": lambda _: 1,
    "summary.config.numVirtualDisks": lambda vm: len(vm.disk_keys()),
    "summary.config.guestFullName": lambda _: "Debian GNU/Linux 12 (64-bit)",
    "summary.config.annotation": lambda vm: vm.traits.note,
    "summary.runtime.host": lambda vm: None if vm.traits.no_host else vm.host,
    "summary.runtime.powerState": power_state,
    "summary.runtime.connectionState": connection,
    "summary.storage.committed": lambda vm: vm.disk_bytes,
    "summary.storage.uncommitted": lambda _: 0,
    "guest": guest,
    "storage": vm_files.storage,
    "layoutEx": vm_files.layout,
    "snapshot": snapshot,
    "rootSnapshot": lambda vm: [V.Snapshot(s.moid) for s in vm.snapshots[:1]],
    "datastore": lambda vm: vm.stores(),
    "network": lambda vm: [vm.network],
    "parent": lambda vm: vm.parent if vm.vapp is None else None,
    "disabledMethod": lambda vm: list(vm.traits.disabled),
    "parentVApp": lambda vm: vm.vapp,
    "resourcePool": lambda vm: vm.vapp or vm.pool,
    "guestHeartbeatStatus": lambda _: "gray",
    "permission": permissions,
    "customValue": attributes,
    "value": attributes,
}

WRITTEN: Written = {f"config.hardware.device[{NIC}]": card_xml}
