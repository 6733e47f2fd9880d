"""What a VM may have that keeps it from moving: as virtual hardware, and as the faults with which a move is refused.

Fault classes and what they mean are the API reference's (vsphere.md 4); that a cross-vCenter relocate raises this very
class for this very trait is unconfirmed wherever it says so.
"""

# ruff: noqa: ANN401 - pyVmomi makes its types at run time
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from pyVmomi import vim

D: Any = vim.vm.device
VCENTERS_OWN = frozenset({"permissions", "attributes", "tags", "policies", "card"})
CHAIN = frozenset({"below", "below_unlisted", "consolidate"})
CDROM, FLOPPY = 3000, 8000
DRIVES = (D.VirtualCdrom, D.VirtualFloppy)
LOCKED = "msg.cdromdisconnect.locked"  # a message's id (CloudStack, VirtualMachineMO; terraform-provider-vsphere)
PLUGS = ("floppy", "usb", "serial", "serial-network", "parallel", "passthrough", "vgpu", "sriov", "cdrom", "tpm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """The defaults are a plain VM's; *plugged* are of PLUGS, all connected; *rdm* is a compatibilityMode.

    *no_host*: its host is not told, as the API has it for a VM whose host was removed or may not be seen.
    *connection* is a VirtualMachineConnectionState in place of the one that follows from the host.
    *question* is what it waits to be answered; while it waits no relocate of it goes on, and where it is
    *deaf* no cancelled one ends.
    *below* are (file, bytes) of what lies below the first disk's own file, the base first: a linked clone's parent, or
    a chain that no snapshot needs any more; *below_unlisted*: layoutEx does not list it (unconfirmed either way).
    *capacity* is the first disk's, 0: as many bytes as it has. *consolidate*: consolidation is needed. *first_class*
    is the id of the first disk as a first-class disk.
    *unplugged*: its card is not connected, *start_unplugged*: nor is it when the VM is powered on.
    *breaks*: its relocate fails once it is prepared, and the other vCenter keeps what it had made (unconfirmed: what
    that is; users report a VM of this name without its data).
    *disabled* are methods that another product has disabled.
    *permissions* are principals, of the role Admin where none is named ("LAB\\ops|ReadOnly"); *tags* are (category,
    tag), *policies* (device key, or "home"; name). *tools*: VMware Tools runs in the guest and tells *address* and
    *dns_name*. *managed_by* is "extension/type".
    *card* is what its Ethernet card is on in place of its network: "removed", a distributed port group that is no more,
    "renamed", a standard one that no longer has that name, "none", nothing.
    *second_iso* is in a second CD/DVD drive. *drives* are drives as they were set last: (key, class of the backing,
    what it names, connected, connected when powered on). *locked*: what the VM asks when a drive that is connected is
    edited while it runs; LOCKED is the guest's lock, and "no" leaves the drive as it is.
    """

    version: str = "vmx-19"
    suspended: bool = False
    template: bool = False
    evc: str = "intel-haswell"
    tools_installer: bool = False
    fault_tolerant: bool = False
    key_provider: str | None = None
    migrate_encryption: str = "opportunistic"
    reserved_bytes: int = 0
    disk_mode: str = "persistent"
    rdm: str | None = None
    multi_writer: bool = False
    bus: str = "noSharing"
    disks: int = 1
    plugged: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    policies: tuple[tuple[str, str], ...] = ()
    note: str = ""
    tools: bool = False
    address: str = ""
    no_host: bool = False
    card: str = ""
    managed_by: str = ""
    dns_name: str = ""
    connection: str = ""
    question: str = ""
    deaf: bool = False
    below: tuple[tuple[str, int], ...] = ()
    below_unlisted: bool = False
    capacity: int = 0
    consolidate: bool = False
    unplugged: bool = False
    start_unplugged: bool = False
    breaks: bool = False
    disabled: tuple[str, ...] = ()
    first_class: str = ""
    second_iso: str = ""
    drives: tuple[tuple[int, str, str, bool, bool], ...] = ()
    locked: str = ""

    @classmethod
    def of(cls, document: dict[str, Any]) -> Traits:
        """Return the traits in a JSON *document*; ValueError for a plug that there is not."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(document) - known) or sorted(set(document.get("plugged", ())) - set(PLUGS)):
            message = f"no trait {', '.join(unknown)}"
            raise ValueError(message)
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in document.items()
        }
        for pairs in ("attributes", "tags", "policies"):
            values[pairs] = tuple((str(name), str(value)) for name, value in values.get(pairs, ()))
        values["drives"] = tuple(tuple(drive) for drive in values.get("drives", ()))
        values["below"] = tuple((str(name), int(size)) for name, size in values.get("below", ()))
        return cls(**values)

    def travelling(self) -> dict[str, Any]:
        """Return what goes to another vCenter with the VM: not what is the vCenter's own (vsphere.md 3.4).

        unconfirmed: the note, which is in the .vmx, goes with it. What lies below a disk becomes the VM's own.
        """
        return {key: value for key, value in asdict(self).items() if key not in VCENTERS_OWN | CHAIN}


PLAIN = Traits()


def _info(label: str) -> Any:
    return vim.Description(label=label, summary=label)


def _state() -> Any:
    return D.VirtualDevice.ConnectInfo(startConnected=True, allowGuestControl=True, connected=True, status="ok")


def devices(traits: Traits, network: Any) -> Iterator[Any]:
    """Give the devices that *traits* add to a plain VM."""
    for plug in traits.plugged:
        match plug:
            case "floppy":
                backing = D.VirtualFloppy.RemoteDeviceBackingInfo(deviceName="")
                yield D.VirtualFloppy(
                    key=8000, deviceInfo=_info("Floppy drive 1"), backing=backing, connectable=_state()
                )
            case "usb":
                usb = D.VirtualUSB.USBBackingInfo(deviceName="path:1/0/1")
                yield D.VirtualUSB(
                    key=7001, deviceInfo=_info("USB 1"), backing=usb, connectable=_state(), connected=True
                )
            case "serial" | "serial-network":
                port: Any = D.VirtualSerialPort.DeviceBackingInfo(deviceName="/dev/char/serial/uart0")
                if plug == "serial-network":
                    port = D.VirtualSerialPort.URIBackingInfo(serviceURI="telnet://192.0.2.1:2001", direction="client")
                yield D.VirtualSerialPort(
                    key=9000, deviceInfo=_info("Serial port 1"), backing=port, connectable=_state(), yieldOnPoll=True
                )
            case "parallel":
                lpt = D.VirtualParallelPort.DeviceBackingInfo(deviceName="/dev/parport0")
                yield D.VirtualParallelPort(
                    key=10000, deviceInfo=_info("Parallel port 1"), backing=lpt, connectable=_state()
                )
            case "passthrough":
                pci = D.VirtualPCIPassthrough.DeviceBackingInfo(
                    deviceName="lab PCI device", deviceId="1", id="00:1f.0", systemId="BYPASS", vendorId=1
                )
                yield D.VirtualPCIPassthrough(key=13000, deviceInfo=_info("PCI device 0"), backing=pci)
            case "vgpu":
                gpu = D.VirtualPCIPassthrough.VmiopBackingInfo(vgpu="grid_lab-1q")
                yield D.VirtualPCIPassthrough(key=13001, deviceInfo=_info("PCI device 1"), backing=gpu)
            case "sriov":
                yield D.VirtualSriovEthernetCard(
                    key=13027, deviceInfo=_info("Network adapter 2"), backing=network.backing(),
                    connectable=_state(), addressType="manual", macAddress="00:50:56:3f:00:01",
                )  # fmt: skip
            case "tpm":
                yield D.VirtualTPM(key=11000, deviceInfo=_info("Virtual TPM"))
            case _:  # "cdrom": the drive that every VM has is connected
                pass
    if traits.second_iso:
        backing = D.VirtualCdrom.IsoBackingInfo(fileName=traits.second_iso)
        yield D.VirtualCdrom(key=CDROM + 1, deviceInfo=_info("CD/DVD drive 2"), backing=backing, connectable=_state())


def as_set(traits: Traits, devices: list[Any]) -> list[Any]:
    """Return *devices* with their drives as they were set last."""
    drives = {drive[0]: drive[1:] for drive in traits.drives}
    for device in devices:
        if device.key in drives and isinstance(device, DRIVES):
            kind, name, connected, starts = drives[device.key]
            holder = D.VirtualCdrom if isinstance(device, D.VirtualCdrom) else D.VirtualFloppy
            iso = kind in {"IsoBackingInfo", "ImageBackingInfo"}
            device.backing = getattr(holder, kind)(**{"fileName" if iso else "deviceName": name})
            if "Passthrough" in kind:
                device.backing.exclusive = False
            device.connectable = D.VirtualDevice.ConnectInfo(
                startConnected=starts, allowGuestControl=True, connected=connected, status="ok"
            )
    return devices


def with_drive(traits: Traits, device: Any) -> Traits:
    """Return *traits* with the drive *device* as an edit has it."""
    kind = type(device.backing).__name__.rpartition(".")[2]
    name = str(getattr(device.backing, "fileName", None) or getattr(device.backing, "deviceName", None) or "")
    state = device.connectable
    drive = (int(device.key), kind, name, bool(state and state.connected), bool(state and state.startConnected))
    return replace(traits, drives=(*(one for one in traits.drives if one[0] != drive[0]), drive))


def empty(traits: Traits, key: int) -> bool:
    """Whether the drive *key* was disconnected."""
    return any(drive[0] == key and not drive[3] for drive in traits.drives)


def refusals(vm: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Give (fault class, message, fields) of what keeps *vm* at its source, in the order of the devices."""
    traits: Traits = vm.traits
    if traits.template:
        # CheckRelocate and RelocateVM_Task: NotSupported for a template (API reference, service of RelocateSpec)
        yield "vmodl.fault.NotSupported", "The operation is not supported on a template.", {}
    if "RelocateVM_Task" in traits.disabled:
        text = "The method is disabled by 'com.example.backup'"
        yield "vim.fault.MethodDisabled", text, {"source": "com.example.backup"}
    if traits.connection:
        # unconfirmed: the class
        text = "The operation is not allowed in the current state of the virtual machine."
        yield "vim.fault.InvalidState", text, {}
    if traits.suspended:
        # unconfirmed: a suspended VM's memory image does not go to another vCenter
        states = {"existingState": "suspended", "requestedState": "poweredOn"}
        yield "vim.fault.InvalidPowerState", "The operation is not allowed while the VM is suspended.", states
    if traits.tools_installer:
        yield "vim.fault.ToolsInstallationInProgress", "VMware Tools is being installed.", {}
    if traits.fault_tolerant:
        # unconfirmed: the class
        yield "vmodl.fault.NotSupported", "A fault tolerant VM cannot be relocated.", {}
    for plug in traits.plugged if vm.powered_on else ():
        if empty(traits, {"cdrom": CDROM, "floppy": FLOPPY}.get(plug, 0)):
            continue
        if plug in {"floppy", "usb", "serial", "serial-network", "parallel", "passthrough", "sriov", "cdrom"}:
            # unconfirmed: which of these are DisallowedMigrationDeviceAttached and which CannotAccessVmDevice
            text = f"The virtual machine has a device that prevents migration: {plug}."
            inner = {"class": "vim.fault.DeviceNotSupported", "msg": text, "fields": {"device": plug}}
            yield "vim.fault.DisallowedMigrationDeviceAttached", text, {"fault": inner}
    if traits.second_iso and not empty(traits, CDROM + 1):
        text = f"CD/DVD drive 2 uses backing '{traits.second_iso}', which is not accessible."
        fields_ = {"device": "CD/DVD drive 2", "backing": traits.second_iso, "connected": True}
        yield "vim.fault.CannotAccessVmDevice", text, fields_
    if traits.rdm is not None:
        kind = "vim.fault.PhysCompatRDMNotSupported" if traits.rdm == "physicalMode" else "vim.fault.RDMNotSupported"
        yield kind, "Hard disk 1 is a raw device mapping, which is not supported.", {"device": "Hard disk 1"}
    if traits.multi_writer:
        # unconfirmed: the class (VMware KB 1034165 says that it fails, not how)
        yield "vmodl.fault.NotSupported", "Hard disk 1 is shared by multi-writer.", {}
    if traits.bus != "noSharing":
        text = "SCSI controller 0 is configured for bus sharing."
        yield "vim.fault.SharedBusControllerNotSupported", text, {"device": "SCSI controller 0"}
    if vm.powered_on and traits.disk_mode not in {"persistent", "independent_persistent"}:
        # unconfirmed: for independent persistent disks the API says the same; VMware's docs allow them since 5.x
        text = "Hard disk 1 is an independent disk whose location would change."
        yield (
            "vim.fault.IndependentDiskVMotionNotSupported",
            text,
            {
                "atSourceHost": True,
                "failedHostName": vm.host.name,
                "failedHost": {"type": "HostSystem", "moid": vm.host.moid},
            },
        )


def refusals_there(host: Any, demand: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Give (fault class, message, fields) of why *host* cannot take what *demand* describes."""
    here = {"type": "HostSystem", "moid": host.moid}
    if int(demand["version"].rpartition("-")[2]) > host.hardware:
        text = f"The virtual machine version {demand['version']} is not supported on {host.name}."
        yield "vim.fault.VirtualHardwareVersionNotSupported", text, {"hostName": host.name, "host": here}
    offered = host.evc or host.max_evc
    if demand["uses_vmotion"] and demand["evc"] and offered and not runs(demand["evc"], offered):
        text = f"The host's CPU does not have all features of {demand['evc']}."
        yield "vim.fault.FeatureRequirementsNotMet", text, {"host": here}
    if demand["uses_vmotion"] and demand["disks"] > host.most_disks:
        # unconfirmed: the class; its name says "legacy host"
        text = f"The virtual machine has {demand['disks']} disks, too many to move."
        fields_ = {"diskCount": demand["disks"], "timeoutDanger": False}
        yield "vim.fault.TooManyDisksOnLegacyHost", text, fields_
    if demand["uses_vmotion"] and demand["migrate_encryption"] == "required" and not host.encrypted_vmotion:
        # unconfirmed: the class
        yield "vmodl.fault.NotSupported", f"{host.name} does not support encrypted vMotion.", {}
    provider = demand["key_provider"]
    if provider is not None and provider not in (host.vcenter.key_providers or ()):
        # unconfirmed: users report that it fails near the end (KB 378053, 386333); here it is found before
        text = f"The key of key provider {provider} is not available."
        yield "vim.fault.EncryptionKeyRequired", text, {"requiredKey": []}


# What each CPU adds to the ones before it, by vendor; the order is that of the EVC modes' baselines (KB 1003212).
_ORDER = {
    "intel": "merom penryn nehalem westmere sandybridge ivybridge haswell broadwell skylake cascadelake icelake "
    "sapphirerapids",
    "amd": "rev-e rev-f greyhound-no3dnow greyhound bulldozer piledriver steamroller zen zen2 zen3 zen4",
}


def runs(needed: str, offered: str) -> bool:
    """Whether a host of EVC mode *offered* runs a VM that needs *needed*; ValueError for a mode that there is not."""
    vendor, _, name = needed.partition("-")
    other, _, base = offered.partition("-")
    order = _ORDER[vendor].split()
    return vendor == other and order.index(name) <= order.index(base)
