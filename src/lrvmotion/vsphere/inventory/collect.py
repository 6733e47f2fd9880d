"""One vCenter's Inventory: the names of everything in one paged answer, full properties of the chosen VMs only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast
from urllib.parse import unquote

from pyVmomi import vim
from pyVmomi.VmomiSupport import ManagedObject

from lrvmotion.model.inventory import (
    ConnectionState,
    Datastore,
    Folder,
    Host,
    Inventory,
    MoRef,
    Network,
    Pool,
    VirtualMachine,
)
from lrvmotion.vsphere.client import Row, container_view, managed_object, moref, retrieve, retrieve_in
from lrvmotion.vsphere.inventory import vapps, vmknics
from lrvmotion.vsphere.inventory import vms as machines
from lrvmotion.vsphere.inventory.names import Names, names_in
from lrvmotion.vsphere.session import Session

_HOST = (
    "name", "parent", "datastore", "network", "runtime.connectionState", "runtime.inMaintenanceMode",
    "runtime.bootTime", "summary.rebootRequired", "summary.config.product", "capability.gatewayOnNicSupported",
    "capability.maxNumDisksSVMotion", "capability.encryptedVMotionSupported", "summary.currentEVCModeKey",
    "summary.maxEVCModeKey", "summary.hardware.memorySize", "summary.quickStats.overallMemoryUsage",
    *(f"config.network.{part}" for part in ("vnic", "portgroup", "netStackInstance", "pnic", "vswitch", "proxySwitch")),
    "config.virtualNicManagerInfo.netConfig",
)  # fmt: skip
_NAMES: Mapping[Any, Sequence[str]] = {
    vim.HostSystem: _HOST,
    vim.ComputeResource: ("name", "resourcePool"),
    vim.ResourcePool: ("name", "parent", "owner"),
    vim.Datacenter: ("name", "vmFolder"),
    vim.Folder: ("name", "parent"),
    vim.Datastore: ("name", "summary.capacity", "summary.freeSpace", "summary.accessible"),
    vim.Network: ("name",),
    vim.dvs.DistributedVirtualPortgroup: ("name", "key", "config.distributedVirtualSwitch"),
    vim.DistributedVirtualSwitch: ("uuid",),
}

Rows = dict[MoRef, dict[str, Any]]
T = TypeVar("T")


def collect_names(session: Session) -> Inventory:
    """Return all of the vCenter but its VMs' properties: four calls, however many VMs there are.

    More than PAGE other objects take one call more for each page of them.
    """
    found, machine_names = session.call(f"{session.site}: inventory", lambda: _everything(session))
    about = session.about
    hosts = _of(found, vim.HostSystem)
    session.names.update({ref: _name(row) for ref, row in hosts.items()})
    computes = _of(found, vim.ComputeResource)
    switches = {ref: str(row.get("uuid", "")) for ref, row in _of(found, vim.DistributedVirtualSwitch).items()}
    return Inventory(
        site=session.site,
        instance_uuid=str(about.instanceUuid),
        version=str(about.version),
        build=str(about.build),
        api_version=str(about.apiVersion),
        hosts=tuple(sorted((_host(ref, row, computes) for ref, row in hosts.items()), key=lambda host: host.name)),
        vm_names=tuple(sorted(machine_names)),
        datastores=tuple(_datastore(ref, row) for ref, row in _of(found, vim.Datastore).items()),
        networks=tuple(_network(item, row, switches) for item, row in found if isinstance(item, vim.Network)),
        pools=tuple(_pools(_of(found, vim.ResourcePool), computes)),
        folders=tuple(_folders(_of(found, vim.Folder), _of(found, vim.Datacenter))),
    )


def collect_vms(session: Session, inventory: Inventory, refs: Sequence[MoRef]) -> Inventory:
    """Return *inventory* with the full properties of the VMs *refs*, in that order; two calls, one more for vApps.

    Raises RefusedError where one of them is gone since the names were read.
    """
    objects = [managed_object(session.stub, ref) for ref in refs]
    wanted = {vim.VirtualMachine: machines.PATHS}
    found = session.call(f"{session.site}: VMs", lambda: retrieve(session.content, wanted, objects))
    rows = {moref(item): row for item, row in found}
    session.cards.update({ref: machines.cards(row) for ref, row in rows.items()})
    names = {network.ref: network for network in inventory.networks}
    opaque: dict[str, str] = {}
    if any(machines.has_opaque_nic(row) for row in rows.values()):
        kind = vim.OpaqueNetwork
        extra = [managed_object(session.stub, ref) for ref, network in names.items() if network.kind == "opaque"]
        summaries = session.call(
            f"{session.site}: opaque networks", lambda: retrieve(session.content, {kind: ("name", "summary")}, extra)
        )
        opaque = {str(row["summary"].opaqueNetworkId): _name(row) for _, row in summaries if "summary" in row}
    keyed: dict[tuple[str | None, str | None], str] = {
        (net.switch_uuid, net.portgroup_key): net.name for net in inventory.networks if net.portgroup_key
    }
    folders = {folder.ref: folder for folder in inventory.folders}
    apps = vapps.read(session, [row["parentVApp"] for row in rows.values() if row.get("parentVApp") is not None])
    vms: list[VirtualMachine] = [
        machines.virtual_machine(ref, rows[ref], folders, keyed, opaque, apps) for ref in refs if ref in rows
    ]
    return replace(inventory, vms=tuple(vms))


def _everything(session: Session) -> tuple[list[Row], Names]:
    with container_view(session.content, [*_NAMES, vim.VirtualMachine]) as view:
        found = retrieve_in(session.content, view, _NAMES)
        return found, names_in(session.stub, session.content, view, vim.VirtualMachine)


def _of(found: Iterable[Row], kind: type[ManagedObject]) -> Rows:
    return {moref(item): row for item, row in found if isinstance(item, kind)}


def _name(row: Mapping[str, Any]) -> str:
    """Return the name; vCenter escapes %, / and backslash in it."""
    return unquote(str(row.get("name", "")))


def _host(ref: MoRef, row: Mapping[str, Any], computes: Rows) -> Host:
    parent = moref(row["parent"]) if row.get("parent") is not None else None
    compute = computes.get(parent, {}) if parent is not None else {}
    pool = compute.get("resourcePool")
    product = row.get("summary.config.product")
    boot = row.get("runtime.bootTime")
    stacks = row.get("config.network.netStackInstance") or ()
    return Host(
        ref=ref,
        name=_name(row),
        connection_state=cast("ConnectionState", str(row.get("runtime.connectionState", "notResponding"))),
        in_maintenance=bool(row.get("runtime.inMaintenanceMode")),
        version=str(product.version) if product is not None else "",
        build=str(product.build) if product is not None else "",
        cluster=_name(compute),
        pool=moref(pool) if pool is not None else MoRef("ResourcePool", ""),
        vmknics=vmknics.vmknics(
            row.get("config.network.vnic") or (), row.get("config.virtualNicManagerInfo.netConfig") or ()
        ),
        portgroups=tuple(vmknics.portgroup(group) for group in row.get("config.network.portgroup") or ()),
        datastores=frozenset(moref(item) for item in row.get("datastore") or ()),
        networks=frozenset(moref(item) for item in row.get("network") or ()),
        gateway_on_nic=bool(row.get("capability.gatewayOnNicSupported")),
        evc_mode=str(row.get("summary.currentEVCModeKey") or ""),
        max_evc_mode=str(row.get("summary.maxEVCModeKey") or ""),
        most_disks=_optional(row.get("capability.maxNumDisksSVMotion"), int),
        encrypted_vmotion=_optional(row.get("capability.encryptedVMotionSupported"), bool),
        compute=parent,
        reboot_required=bool(row.get("summary.rebootRequired")),
        boot_time=boot.isoformat() if boot is not None else None,
        memory_bytes=int(row.get("summary.hardware.memorySize") or 0),
        used_bytes=int(row.get("summary.quickStats.overallMemoryUsage") or 0) * 2**20,
        uplinks=vmknics.uplinks(
            {path.rpartition(".")[2]: value for path, value in row.items() if "config.network" in path}
        ),
        congestion_control={
            str(stack.key): str(stack.congestionControlAlgorithm)
            for stack in stacks
            if stack.key and stack.congestionControlAlgorithm
        },
        routes=vmknics.routes(stacks),
    )


def _optional(value: object, kind: Callable[[Any], T]) -> T | None:
    return None if value is None else kind(value)


def _datastore(ref: MoRef, row: Mapping[str, Any]) -> Datastore:
    return Datastore(
        ref=ref,
        name=_name(row),
        capacity_bytes=int(row.get("summary.capacity") or 0),
        free_bytes=int(row.get("summary.freeSpace") or 0),
        accessible=bool(row.get("summary.accessible", True)),
    )


def _network(item: vim.Network, row: Mapping[str, Any], switches: Mapping[MoRef, str]) -> Network:
    ref = moref(item)
    if isinstance(item, vim.dvs.DistributedVirtualPortgroup):
        switch = row.get("config.distributedVirtualSwitch")
        uuid = switches.get(moref(switch)) if switch is not None else None
        key = str(row["key"]) if "key" in row else None
        return Network(ref=ref, name=_name(row), kind="distributed", switch_uuid=uuid, portgroup_key=key)
    kind = vim.OpaqueNetwork
    return Network(ref=ref, name=_name(row), kind="opaque" if isinstance(item, kind) else "standard")


def _pools(pools: Rows, computes: Rows) -> Iterable[Pool]:
    for ref, row in pools.items():
        owner = row.get("owner")
        cluster = _name(computes.get(moref(owner), {})) if owner is not None else ""
        yield Pool(ref=ref, path="/".join([cluster, *_up(ref, pools)]), cluster=cluster)


def _folders(folders: Rows, datacenters: Rows) -> Iterable[Folder]:
    for row in datacenters.values():
        if row.get("vmFolder") is None:
            continue
        root = moref(row["vmFolder"])
        for ref in folders:
            path = _below(ref, root, folders)
            if path is not None:
                yield Folder(ref=ref, path="/".join(path), datacenter=_name(row))


def _below(ref: MoRef, root: MoRef, rows: Rows) -> list[str] | None:
    """Return the names from below *root* to *ref*, [] for *root* itself, None where it is not in that tree."""
    names: list[str] = []
    while ref != root:
        row = rows.get(ref)
        if row is None or row.get("parent") is None:
            return None
        names.insert(0, _name(row))
        ref = moref(row["parent"])
    return names


def _up(ref: MoRef, rows: Rows) -> list[str]:
    """Return the names from the topmost of *rows* above *ref* down to it."""
    names: list[str] = []
    row = rows.get(ref)
    while row is not None:
        names.insert(0, _name(row))
        parent = row.get("parent")
        row = rows.get(moref(parent)) if parent is not None else None
    return names
