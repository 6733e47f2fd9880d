"""One vCenter's Inventory: the names of everything in one paged answer, full properties of the chosen VMs only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

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
    StoragePod,
    VirtualMachine,
)
from lrvmotion.vsphere.client import (
    Row,
    container_view,
    managed_object,
    moref,
    moref_or_none,
    name_of,
    retrieve,
    retrieve_in,
)
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
    vim.ComputeResource: ("name", "parent", "resourcePool"),
    vim.ResourcePool: ("name", "parent", "owner"),
    vim.Datacenter: ("name", "parent", "vmFolder"),
    vim.Folder: ("name", "parent"),  # a datastore cluster is one, too
    vim.Datastore: (
        "name",
        "parent",
        "host",
        "summary.capacity",
        "summary.freeSpace",
        "summary.accessible",
        "summary.maintenanceMode",
    ),
    vim.Network: ("name", "parent"),
    vim.dvs.DistributedVirtualPortgroup: ("name", "parent", "key", "config.distributedVirtualSwitch"),
    vim.DistributedVirtualSwitch: ("name", "uuid", "summary.productInfo"),
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
    session.names.update({ref: name_of(row) for ref, row in hosts.items()})
    computes = _of(found, vim.ComputeResource)
    switches = _of(found, vim.DistributedVirtualSwitch)
    tree = {moref(item): row for item, row in found}
    return Inventory(
        site=session.site,
        instance_uuid=str(about.instanceUuid),
        version=str(about.version),
        build=str(about.build),
        api_version=str(about.apiVersion),
        hosts=tuple(
            sorted((_host(ref, row, computes, tree) for ref, row in hosts.items()), key=lambda host: host.name)
        ),
        vm_names=tuple(sorted(machine_names)),
        datastores=tuple(_datastore(ref, row, tree) for ref, row in _of(found, vim.Datastore).items()),
        pods=tuple(_pod(ref, row, tree) for ref, row in _of(found, vim.StoragePod).items()),
        networks=tuple(_network(item, row, switches, tree) for item, row in found if isinstance(item, vim.Network)),
        pools=tuple(_pools(_of(found, vim.ResourcePool), computes, tree)),
        folders=tuple(_folders(_of(found, vim.Folder), _of(found, vim.Datacenter), tree)),
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
    opaque: dict[str, Network] = {}
    if any(machines.has_opaque_nic(row) for row in rows.values()):
        kind = vim.OpaqueNetwork
        extra = [managed_object(session.stub, ref) for ref, network in names.items() if network.kind == "opaque"]
        summaries = session.call(
            f"{session.site}: opaque networks", lambda: retrieve(session.content, {kind: ("name", "summary")}, extra)
        )
        opaque = {
            str(row["summary"].opaqueNetworkId): names[moref(item)] for item, row in summaries if "summary" in row
        }
    apps = vapps.read(session, [row["parentVApp"] for row in rows.values() if row.get("parentVApp") is not None])
    around = machines.VmContext.of(inventory, opaque, apps)
    vms: list[VirtualMachine] = [machines.virtual_machine(ref, rows[ref], around) for ref in refs if ref in rows]
    return replace(inventory, vms=tuple(vms))


def _everything(session: Session) -> tuple[list[Row], Names]:
    with container_view(session.content, [*_NAMES, vim.VirtualMachine]) as view:
        found = retrieve_in(session.content, view, _NAMES)
        return found, names_in(session.stub, session.content, view, vim.VirtualMachine)


def _of(found: Iterable[Row], kind: type[ManagedObject]) -> Rows:
    return {moref(item): row for item, row in found if isinstance(item, kind)}


def _host(ref: MoRef, row: Mapping[str, Any], computes: Rows, tree: Rows) -> Host:
    parent = moref_or_none(row.get("parent"))
    compute = computes.get(parent, {}) if parent is not None else {}
    pool = compute.get("resourcePool")
    product = row.get("summary.config.product")
    boot = row.get("runtime.bootTime")
    stacks = row.get("config.network.netStackInstance") or ()
    nics = row.get("config.network.vnic") or ()
    configs = row.get("config.virtualNicManagerInfo.netConfig") or ()
    six, waiting = vmknics.without_ipv4(nics, configs)
    return Host(
        ref=ref,
        name=name_of(row),
        connection_state=cast("ConnectionState", str(row.get("runtime.connectionState", "notResponding"))),
        in_maintenance=bool(row.get("runtime.inMaintenanceMode")),
        version=str(product.version) if product is not None else "",
        build=str(product.build) if product is not None else "",
        cluster=name_of(compute),
        pool=moref(pool) if pool is not None else MoRef("ResourcePool", ""),
        vmknics=vmknics.vmknics(nics, configs),
        ipv6_vmotion=six,
        leaseless_vmotion=waiting,
        portgroups=tuple(vmknics.portgroup(group) for group in row.get("config.network.portgroup") or ()),
        datastores=frozenset(moref(item) for item in row.get("datastore") or ()),
        networks=frozenset(moref(item) for item in row.get("network") or ()),
        gateway_on_nic=bool(row.get("capability.gatewayOnNicSupported")),
        evc_mode=str(row.get("summary.currentEVCModeKey") or ""),
        max_evc_mode=str(row.get("summary.maxEVCModeKey") or ""),
        most_disks=_optional(row.get("capability.maxNumDisksSVMotion"), int),
        encrypted_vmotion=_optional(row.get("capability.encryptedVMotionSupported"), bool),
        compute=parent,
        datacenter=place_of(ref, tree)[0],
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


def _datastore(ref: MoRef, row: Mapping[str, Any], tree: Rows) -> Datastore:
    datacenter, path = place_of(ref, tree)
    parent = row.get("parent")
    mounts = [(moref(mount.key), mount.mountInfo) for mount in row.get("host") or ()]
    return Datastore(
        ref=ref,
        name=name_of(row),
        capacity_bytes=int(row.get("summary.capacity") or 0),
        free_bytes=int(row.get("summary.freeSpace") or 0),
        accessible=bool(row.get("summary.accessible", True)),
        datacenter=datacenter,
        path=path,
        pod=moref(parent) if isinstance(parent, vim.StoragePod) else None,
        # mounted and accessible may be unset (vSphere API HostMountInfo): only what is said counts
        barred=frozenset(
            host
            for host, info in mounts
            if str(info.accessMode) == "readOnly" or False in (info.mounted, info.accessible)
        ),
        maintenance=str(row.get("summary.maintenanceMode") or "normal") != "normal",
    )


def _pod(ref: MoRef, row: Mapping[str, Any], tree: Rows) -> StoragePod:
    datacenter, path = place_of(ref, tree)
    return StoragePod(ref=ref, name=name_of(row), datacenter=datacenter, path=path)


def _network(item: vim.Network, row: Mapping[str, Any], switches: Rows, tree: Rows) -> Network:
    ref = moref(item)
    datacenter, path = place_of(ref, tree)
    at = {"datacenter": datacenter, "path": path}
    if isinstance(item, vim.dvs.DistributedVirtualPortgroup):
        switch = row.get("config.distributedVirtualSwitch")
        there = switches.get(moref(switch), {}) if switch is not None else {}
        uuid = str(there["uuid"]) if "uuid" in there else None
        key = str(row["key"]) if "key" in row else None
        product = there.get("summary.productInfo")
        version = str(product.version or "") if product is not None else ""
        return Network(
            ref=ref, name=name_of(row), kind="distributed", switch_uuid=uuid, portgroup_key=key, switch=name_of(there),
            switch_version=version, **at,
        )  # fmt: skip
    kind = vim.OpaqueNetwork
    return Network(ref=ref, name=name_of(row), kind="opaque" if isinstance(item, kind) else "standard", **at)


def place_of(ref: MoRef, tree: Rows) -> tuple[str, str]:
    """Return the datacenter that *ref* is in, a path below the root folder, and the path of *ref* in its folder there.

    The path leaves out the datacenter's own folder of that kind ("vm", "network"). Both are "" where the account may
    not see what is above.
    """
    names: list[str] = []
    at: MoRef | None = ref
    while at is not None and at in tree:
        if at.kind == "Datacenter":
            return _datacenter(at, tree), "/".join(names[1:])
        names.insert(0, name_of(tree[at]))
        parent = tree[at].get("parent")
        at = moref_or_none(parent)
    return "", ""


def _datacenter(ref: MoRef, tree: Rows) -> str:
    """Return the path of a datacenter below the root folder, which has no parent itself and may not be seen."""
    names: list[str] = []
    at: MoRef | None = ref
    while at is not None and at in tree:
        parent = tree[at].get("parent")
        if parent is not None or at.kind == "Datacenter":
            names.insert(0, name_of(tree[at]))
        at = moref_or_none(parent)
    return "/".join(names)


def _pools(pools: Rows, computes: Rows, tree: Rows) -> Iterable[Pool]:
    for ref, row in pools.items():
        owner = moref_or_none(row.get("owner"))
        cluster = name_of(computes.get(owner, {})) if owner is not None else ""
        datacenter = place_of(owner, tree)[0] if owner is not None else ""
        path = "/".join([cluster, *_up(ref, pools)])
        yield Pool(ref=ref, path=path, cluster=cluster, owner=owner, datacenter=datacenter)


def _folders(folders: Rows, datacenters: Rows, tree: Rows) -> Iterable[Folder]:
    for datacenter, row in datacenters.items():
        if row.get("vmFolder") is None:
            continue
        root = moref(row["vmFolder"])
        name = _datacenter(datacenter, tree)
        for ref in folders:
            path = _below(ref, root, folders)
            if path is not None:
                yield Folder(ref=ref, path="/".join(path), datacenter=name)


def _below(ref: MoRef, root: MoRef, rows: Rows) -> list[str] | None:
    """Return the names from below *root* to *ref*, [] for *root* itself, None where it is not in that tree."""
    names: list[str] = []
    while ref != root:
        row = rows.get(ref)
        if row is None or row.get("parent") is None:
            return None
        names.insert(0, name_of(row))
        ref = moref(row["parent"])
    return names


def _up(ref: MoRef, rows: Rows) -> list[str]:
    """Return the names from the topmost of *rows* above *ref* down to it."""
    names: list[str] = []
    row = rows.get(ref)
    while row is not None:
        names.insert(0, name_of(row))
        parent = row.get("parent")
        row = rows.get(moref(parent)) if parent is not None else None
    return names
