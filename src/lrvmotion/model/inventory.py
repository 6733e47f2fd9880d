"""What a vCenter holds, as far as we need it; look-ups that name near misses."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar

from lrvmotion.errors import UsageError

SiteName = Literal["source", "target"]
PowerState = Literal["poweredOn", "poweredOff", "suspended"]
ConnectionState = Literal["connected", "disconnected", "notResponding"]
VmConnection = Literal["connected", "disconnected", "orphaned", "inaccessible", "invalid"]
NetworkKind = Literal["standard", "distributed", "opaque"]
DeviceKind = Literal[
    "iso", "cdrom", "floppy", "usb", "serial", "serial-network", "parallel", "passthrough", "vgpu", "sriov",
    "shared-bus", "tpm",
]  # fmt: skip

DEFAULT_STACK = "defaultTcpipStack"
VMOTION_STACK = "vmotion"
SITES: tuple[SiteName, SiteName] = ("source", "target")
MOREF = "moref:"  # before the id of a managed object where a name is taken


@dataclass(frozen=True, slots=True, order=True)
class MoRef:
    """A managed object reference; the same value may mean another object in the other vCenter."""

    kind: str
    value: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vmknic:
    """A vmkernel NIC. *services* are nicType values (vSphere API HostVirtualNicManager), the vMotion stack's included.

    *gateway* is the per-vmknic override, or None; *dhcp*: a DHCP server gives the address. Distributed: *switch_uuid*
    and *portgroup_key* are set.
    """

    device: str
    address: str
    prefix_length: int
    mtu: int
    mac: str
    portgroup: str
    netstack: str = DEFAULT_STACK
    services: frozenset[str] = frozenset()
    gateway: str | None = None
    switch_uuid: str | None = None
    portgroup_key: str | None = None
    dhcp: bool = False

    @property
    def carries_vmotion(self) -> bool:
        """Whether vMotion uses it: selected for the service, or on the vMotion stack (both are reported)."""
        return "vmotion" in self.services or self.netstack == VMOTION_STACK


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPortGroup:
    """A standard port group of one host; *active* and *standby* are its uplinks, empty where inherited."""

    name: str
    vswitch: str
    vlan_id: int
    active: tuple[str, ...] = ()
    standby: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A HostSystem; *portgroups* are its standard ones. *boot_time* is ISO 8601 or None.

    *evc_mode* is the EVC mode key that its cluster holds it to, *max_evc_mode* the highest that its CPUs have ("" where
    not told); *most_disks* the most virtual disks that it moves live with their storage; *compute* its cluster,
    *datacenter* a path below the root folder ("" where the account may not see it); *datastores* are those it mounts.
    *used_bytes* of its *memory_bytes* are in use (quickStats), 0 where not told. *uplinks* are those of each vmknic, by
    its device: (vmnic, Mbit/s of its link, 0 where it is down). *routes* is the gateway of each static route, by
    "STACK/NETWORK/LENGTH". *ipv6_vmotion* are the vMotion vmknics that have IPv6 addresses alone, *leaseless_vmotion*
    those that wait for a DHCP server: none of them is in *vmknics*, which all have IPv4 addresses.
    """

    ref: MoRef
    name: str
    connection_state: ConnectionState
    in_maintenance: bool
    version: str
    build: str
    cluster: str
    pool: MoRef
    vmknics: tuple[Vmknic, ...] = ()
    portgroups: tuple[HostPortGroup, ...] = ()
    datastores: frozenset[MoRef] = frozenset()
    networks: frozenset[MoRef] = frozenset()
    gateway_on_nic: bool = False
    evc_mode: str = ""
    max_evc_mode: str = ""
    most_disks: int | None = None
    encrypted_vmotion: bool | None = None
    compute: MoRef | None = None
    datacenter: str = ""
    reboot_required: bool = False
    boot_time: str | None = None
    memory_bytes: int = 0
    used_bytes: int = 0
    congestion_control: dict[str, str] = field(default_factory=dict, hash=False)
    uplinks: dict[str, tuple[tuple[str, int], ...]] = field(default_factory=dict, hash=False)
    routes: dict[str, str] = field(default_factory=dict, hash=False)
    ipv6_vmotion: tuple[str, ...] = ()
    leaseless_vmotion: tuple[str, ...] = ()

    @property
    def vmotion_vmknics(self) -> tuple[Vmknic, ...]:
        """The vmknics that carry vMotion, in device order.

        Where any is on the vMotion stack, only those: they switch vMotion off on the default stack (vsphere.md 2.2).
        """
        selected = tuple(nic for nic in self.vmknics if nic.carries_vmotion)
        return tuple(nic for nic in selected if nic.netstack == VMOTION_STACK) or selected

    def can_clone(self, nic: Vmknic) -> bool:
        """Whether another vmknic can be made beside *nic*: its port group is known. One on an opaque network has none.

        On a standard switch its port group is cloned; on a distributed one both are on the same port group.
        """
        return nic.switch_uuid is not None or any(group.name == nic.portgroup for group in self.portgroups)

    def is_beside(self, address: str) -> bool:
        """Whether *address* is in the subnet of a vMotion vmknic: a gateway is always a neighbour."""
        return any(
            ipaddress.ip_address(address) in ipaddress.ip_interface(f"{nic.address}/{nic.prefix_length}").network
            for nic in self.vmotion_vmknics
        )

    def uplink_mbps(self, vmknics: int = 0) -> int | None:
        """Return the most that the uplinks give to so many vMotion vmknics, those present at least; None: not known.

        One vmknic has one uplink at a time.
        """
        there = self.vmotion_vmknics
        links = dict(link for nic in there for link in self.uplinks.get(nic.device, ()))
        fastest = max(links.values(), default=0)
        return min(sum(links.values()), max(vmknics, len(there)) * fastest) or None


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A virtual disk: *used_bytes* is what its files take, *below_bytes* those below its topmost one, where known.

    *first_class* is its id as a first-class disk (FCD), "" where it is none.
    *links* is how many files its chain has, down to its base; of a *linked_clone* some of them are another VM's.
    *mode* is VirtualDiskMode ("persistent"), *rdm* the compatibility mode of a raw device mapping, *multi_writer*
    whether several VMs may write to it at once.
    """

    key: int
    label: str
    capacity_bytes: int
    datastore: MoRef | None
    used_bytes: int | None = None
    below_bytes: int | None = None
    mode: str = "persistent"
    rdm: Literal["virtual", "physical"] | None = None
    multi_writer: bool = False
    links: int = 1
    linked_clone: bool = False
    first_class: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A piece of virtual hardware that may keep a VM where it is, as it is connected now; *backing* names what to."""

    kind: DeviceKind
    label: str
    backing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nic:
    """A virtual Ethernet card and the name of the network it is on, None where it has none that can be seen.

    *network_ref* is that network, None where the source has none of that name. *backed* is whether it has a backing.
    """

    key: int
    label: str
    mac: str
    network: str | None
    network_ref: MoRef | None = None
    backed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualMachine:
    """A VirtualMachine with what a move needs; sizes in bytes, *storage_bytes* without swap files.

    The whole chain of each disk is in *storage_bytes*; *consolidation*: vCenter says that its disks need it.
    *connection_state* is the VM's own (VirtualMachineConnectionState), not its host's; *question* is what it waits to
    be answered, "" where it waits for nothing. *relocate_disabled*: something has
    disabled moves of it (disabledMethod). *vapp* is the vApp that it is in, "OUTER/INNER", "" where it is in none;
    *folder* is that of its vApp then.
    *name* is what a run calls it: its own, but for VMs of one name (vm_address.labels) and those that were renamed
    since the run was planned; *inventory_name* is its own then, else "". *managed_by* is the extension that it belongs
    to and its type there ("com.vmware.vim.eam/cluster-agent"), *serves* which vCenter or relay host runs in it; "" for
    other VMs.
    *hardware* is the virtual hardware version ("vmx-19"), *evc_mode* the least EVC mode key that the running VM needs,
    *key_provider* who holds the key of an encrypted VM ("" where it is not told), None where it is not encrypted;
    *reserved_bytes* of the memory need no swap file. *permissions* and *attributes* are set on the VM itself. *folder*
    is a path in its *datacenter*, *home* the datastore of its .vmx file where that is told.
    """

    ref: MoRef
    name: str
    instance_uuid: str
    bios_uuid: str
    power_state: PowerState
    host: MoRef | None
    folder: str
    memory_bytes: int
    datacenter: str = ""
    inventory_name: str = ""
    managed_by: str = ""
    serves: str = ""
    home: MoRef | None = None
    disks: tuple[Disk, ...] = ()
    nics: tuple[Nic, ...] = ()
    snapshots: int = 0
    storage_bytes: int = 0
    template: bool = False
    change_version: str = ""
    connected_devices: tuple[str, ...] = ()
    devices: tuple[Device, ...] = ()
    hardware: str = ""
    evc_mode: str = ""
    tools_installer: bool = False
    fault_tolerance: bool = False
    key_provider: str | None = None
    migrate_encryption: str = ""
    reserved_bytes: int = 0
    permissions: tuple[str, ...] = ()
    attributes: tuple[int, ...] = ()
    connection_state: VmConnection = "connected"
    question: str = ""
    vapp: str = ""
    relocate_disabled: bool = False
    consolidation: bool = False

    @property
    def own_name(self) -> str:
        """Its name as vSphere shows it."""
        return self.inventory_name or self.name

    @property
    def swap_bytes(self) -> int:
        """What its swap file takes while it runs: the memory that is not reserved."""
        return max(0, self.memory_bytes - self.reserved_bytes) if self.power_state == "poweredOn" else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Datastore:
    """A datastore and its free space in bytes.

    *datacenter* is a path below the root folder, *path* its own below the datacenter's datastore folder; *pod* is the
    datastore cluster that it is in. *barred* are hosts that mount it and cannot write to it: read-only, or not
    accessible from there. *maintenance*: it is in maintenance mode, or enters it.
    """

    ref: MoRef
    name: str
    capacity_bytes: int
    free_bytes: int
    accessible: bool = True
    datacenter: str = ""
    path: str = ""
    pod: MoRef | None = None
    barred: frozenset[MoRef] = frozenset()
    maintenance: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StoragePod:
    """A datastore cluster, by the same paths as a datastore."""

    ref: MoRef
    name: str
    datacenter: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A network that a NIC can be on; distributed ones carry their switch's name and uuid and their port group key.

    *datacenter* and *path* are as those of a datastore. The uuid is None where the account may not read the switch.
    *switch_version* is that of the switch ("7.0.3"), "" where it is not told.
    """

    ref: MoRef
    name: str
    kind: NetworkKind
    switch_uuid: str | None = None
    portgroup_key: str | None = None
    switch: str = ""
    switch_version: str = ""
    datacenter: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A resource pool by its path below the cluster, "Cluster/Resources" for the root one; *owner* is that cluster."""

    ref: MoRef
    path: str
    cluster: str
    owner: MoRef | None = None
    datacenter: str = ""

    def is_of(self, host: Host) -> bool:
        """Whether VMs on *host* can be in it."""
        if self.owner is None or host.compute is None:
            return self.cluster == host.cluster
        return self.owner == host.compute


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A VM folder by its path below the datacenter's "vm" folder; "" is that folder itself."""

    ref: MoRef
    path: str
    datacenter: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """One vCenter: the names of all VMs (*vm_names*), full properties (*vms*) of the chosen ones only."""

    site: str  # "source", "target", or what its session is called (SiteId)
    instance_uuid: str
    version: str
    build: str
    api_version: str
    hosts: tuple[Host, ...] = ()
    vm_names: tuple[tuple[str, MoRef], ...] = ()
    vms: tuple[VirtualMachine, ...] = ()
    datastores: tuple[Datastore, ...] = ()
    pods: tuple[StoragePod, ...] = ()
    networks: tuple[Network, ...] = ()
    pools: tuple[Pool, ...] = ()
    folders: tuple[Folder, ...] = ()

    def host(self, name: str) -> Host:
        """Return the host called *name*, or "moref:…", or raise UsageError naming near misses."""
        for host in self.hosts:
            if name == f"{MOREF}{host.ref.value}":
                return host
        return find(self.hosts, name, "host", self.site)

    def host_by_ref(self, ref: MoRef) -> Host:
        """Return the host with *ref*; KeyError where it is not there."""
        for host in self.hosts:
            if host.ref == ref:
                return host
        raise KeyError(str(ref))

    def datastore(self, name: str) -> Datastore:
        """Return the datastore called *name* or raise UsageError naming near misses."""
        return find(self.datastores, name, "datastore", self.site)

    def network(self, name: str) -> Network:
        """Return the network called *name* or raise UsageError naming near misses."""
        return find(self.networks, name, "network", self.site)

    def vm(self, name: str) -> VirtualMachine:
        """Return the chosen VM called *name* or raise UsageError naming near misses."""
        return find(self.vms, name, "VM", self.site)


class Named(Protocol):
    """Anything with a name."""

    @property
    def name(self) -> str:
        """The name that the user knows."""


N = TypeVar("N", bound=Named)


def find(things: Sequence[N], name: str, noun: str, where: str) -> N:
    """Return the one of *things* called *name*.

    Raise UsageError where there is none (naming near misses) or several.
    """
    found = [thing for thing in things if thing.name == name]
    if len(found) == 1:
        return found[0]
    if found:
        message = f"{where}: {len(found)} {noun}s are called {name!r}"
        raise UsageError(message, hint="rename all but one, so that the name means one thing")
    message = f"{where}: no {noun} is called {name!r}"
    raise UsageError(message, hint=did_you_mean(name, [thing.name for thing in things]))


def natural(name: str) -> tuple[tuple[str, int], ...]:
    """Return what sorts *name* as people do: vm2 before vm10."""
    words = re.findall(r"([^0-9]*)([0-9]*)", name)
    return tuple((text.casefold(), int(number or -1)) for text, number in words)


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return a hint with the names nearest to *name*, or with all of them where they are few."""
    names = sorted(set(names))
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return "did you mean " + ", ".join(close) + "?"
    if not names:
        return "there are none at all"
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    return f"there are: {shown}"
