"""The receiving side of a relocate: are host, pool, folder, datastore, networks and name right, and the arrival itself.

All arguments are plain JSON: a move to another vCenter asks these questions over that vCenter's control socket, the
lab's own stand-in for what two real vCenters say to each other.
"""

# ruff: noqa: ANN401 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

import contextlib
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pyVmomi import VmomiSupport, vim, vmodl

from lrvmotion.lab.vcenter import carriage, vm_traits
from lrvmotion.lab.vcenter.entity import Folder, ResourcePool
from lrvmotion.lab.vcenter.host_state import COST
from lrvmotion.lab.vcenter.hostd_client import HostdError
from lrvmotion.lab.vcenter.network import DistributedVirtualPortgroup, OpaqueNetwork
from lrvmotion.lab.vcenter.registry import named, type_named

if TYPE_CHECKING:
    from lrvmotion.lab.vcenter.vcenter import Vcenter

Problem = dict[str, Any]  # {"test": testType of CheckRelocate, "class": …, "msg": …, "fields": {…}}


def problem(test: str, kind: str, message: str, **fields: Any) -> Problem:
    """Return a fault as JSON; *test* is the test type of CheckRelocate_Task that finds it."""
    return {"test": test, "class": kind, "msg": message, "fields": fields}


def fault_of(found: Problem) -> Any:
    """Return the pyVmomi fault of *found*."""
    kind: Any = VmomiSupport.GetVmodlType(found["class"])
    return kind(msg=found["msg"], **{name: _field(value) for name, value in found["fields"].items()})


def _field(value: Any) -> Any:
    """Return a fault's field: a value, a reference, a data object, the fault that is the reason, or a list of these."""
    if isinstance(value, list):
        return [_field(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "data" in value:
        made: Any = VmomiSupport.GetVmodlType(value["data"])
        return made(**{name: _field(item) for name, item in value["fields"].items()})
    if "class" in value:
        return fault_of(value)
    return VmomiSupport.GetWsdlType("urn:vim25", value["type"])(value["moid"])


def answer(vcenter: Vcenter, op: str, request: dict[str, Any]) -> dict[str, Any]:
    """Answer one of the operations below, for this vCenter itself or for another one: {"ok": …} or {"error": …}."""
    demand = request["demand"]
    try:
        match op:
            case "relocate_check":
                with vcenter.lock:
                    result: dict[str, Any] = {"problems": check(vcenter, demand)}
            case "relocate_prepare":
                result = prepare(vcenter, demand, request["move"], request["cost"])
            case "relocate_release":
                result = release(vcenter, demand, request["move"], request["cost"])
            case "relocate_commit":
                result = commit(vcenter, demand, request["document"])
            case "relocate_break":
                result = commit(vcenter, demand, _half_made(vcenter))
            case _:
                return {"error": f"no operation {op}"}
    except vmodl.MethodFault as error:
        return {"error": error.msg}
    return {"ok": result}


def check(vcenter: Vcenter, demand: dict[str, Any]) -> list[Problem]:
    """Return what forbids the move that *demand* describes; pure look-ups under the model's lock."""
    registry = vcenter.registry
    found: list[Problem] = []
    host = registry.find(demand["host"])
    pool = registry.find(demand["pool"])
    datastore = registry.find(demand["datastore"])
    folder = registry.find(demand["folder"]) if demand["folder"] else None
    for test, item, kind, name in (
        ("hostTests", host, "HostSystem", "host"),
        ("resourcePoolTests", pool, "ResourcePool", "pool"),
        ("datastoreTests", datastore, "Datastore", "datastore"),
    ):
        if item is None or item.wsdl != kind:
            gone = "vmodl.fault.ManagedObjectNotFound"
            found.append(problem(test, gone, f"The {name} {demand[name]} could not be found."))
    if demand["folder"] and not (isinstance(folder, Folder) and vim.VirtualMachine in folder.kinds):
        gone = "vmodl.fault.ManagedObjectNotFound"
        found.append(problem("resourcePoolTests", gone, "The folder could not be found."))
    for moid in demand["disks_at"].values():
        item = registry.find(moid)
        if item is None or item.wsdl != "Datastore":
            gone = "vmodl.fault.ManagedObjectNotFound"
            found.append(problem("datastoreTests", gone, f"The datastore {moid} could not be found."))
    if found:
        return found
    assert isinstance(pool, ResourcePool)  # noqa: S101 - checked just above
    host_any: Any = host
    found += _host(host_any, demand)
    if folder is not None and folder not in host_any.datacenter.folders["vm"].tree():
        found.append(_mismatch(folder, host_any.datacenter))
    if pool.owner is not host_any.parent:
        wrong = "vmodl.fault.InvalidArgument"
        text = "A specified parameter was not correct: spec.pool"
        found.append(problem("resourcePoolTests", wrong, text, invalidProperty="spec.pool"))
    for refused, text, more in vm_traits.refusals_there(host_any, demand):
        found.append(problem("hostTests", refused, text, **more))
    for moid, needed in demand["needed"].items():
        found += _datastore(registry.find(moid), host_any, needed if demand["copies_disk"] else 0)
    if demand["ha"] and not host_any.parent.ha:
        text = "This virtual machine will lose its vSphere HA protection."
        found.append(
            problem("hostTests", "vim.fault.WillLoseHAProtection", text, resolution="relocate") | {"warns": True}
        )
    for number, wanted in enumerate(demand["networks"].values(), 1):
        if network_of(host_any, wanted) is not None:
            continue
        text = f"Currently connected network interface '{wanted.get('name')}' cannot be accessed"
        found.append(
            problem(
                "networkTests", "vim.fault.CannotAccessNetwork", text,
                device=f"Network adapter {number}", backing=str(wanted.get("name")), connected=True,
            )
        )  # fmt: skip
    if demand["arrives"]:
        place: Any = folder or host_any.datacenter.folders["vm"]
        taken = place.child(demand["name"])
        if taken is not None:
            who = {"type": taken.wsdl, "moid": taken.moid}
            text = f"The name '{demand['name']}' already exists."
            kind = "vim.fault.DuplicateName"
            found.append(problem("resourcePoolTests", kind, text, name=demand["name"], object=who))
    return found


def _datastore(store: Any, host: Any, needed: int) -> list[Problem]:
    """Return what forbids so many bytes more on *store*, for a VM on *host*."""
    found = []
    who = {"type": store.wsdl, "moid": store.moid}
    if not store.accessible:
        text = f"Datastore '{store.name}' is not accessible."
        found.append(problem("datastoreTests", "vim.fault.InaccessibleDatastore", text, datastore=who, name=store.name))
    if host not in store.mounting() or host in store.read_only:
        # unconfirmed: the class, for a host that does not mount it, or may only read it
        text = f"Datastore '{store.name}' is not accessible from host '{host.name}'."
        found.append(problem("datastoreTests", "vim.fault.InaccessibleDatastore", text, datastore=who, name=store.name))
    if needed and store.free() < needed:
        text = f"Insufficient disk space on datastore '{store.name}'."
        found.append(problem("datastoreTests", "vim.fault.NoDiskSpace", text, datastore=store.name, file=""))
    return found


def _host(host: Any, demand: dict[str, Any]) -> list[Problem]:
    if host.connection == "disconnected":
        return [problem("hostTests", "vmodl.fault.HostNotConnected", "The host is not connected.")]
    if host.connection != "connected":
        return [problem("hostTests", "vmodl.fault.HostNotReachable", "The host is not reachable.")]
    if host.maintenance:
        text = "The operation is not allowed in the current state: the host is in maintenance mode."
        return [problem("hostTests", "vim.fault.InvalidState", text)]
    if demand["uses_nfc"] and not host.network.nfc():
        # unconfirmed: the fault of a host without any vmkernel NIC for NFC
        text = f"The destination host '{host.name}' has no management interface."
        return [problem("hostTests", "vmodl.fault.HostNotReachable", text)]
    if demand["uses_vmotion"] and not host.network.vmotion():
        text = f"The vMotion interface of the destination host '{host.name}' is not configured."
        return [problem("hostTests", "vim.fault.VMotionNotConfigured", text)]
    return []


def _mismatch(folder: Folder, expected: Any) -> Problem:
    at: Any = folder
    while at.wsdl != "Datacenter":
        at = at.parent
    argument = {
        "data": "vim.fault.DatacenterMismatch.Argument",
        "fields": {
            "entity": {"type": folder.wsdl, "moid": folder.moid},
            "inputDatacenter": {"type": at.wsdl, "moid": at.moid},
        },
    }
    return problem(
        "resourcePoolTests", "vim.fault.DatacenterMismatch", "The operation is not supported across datacenters.",
        invalidArgument=[argument], expectedDatacenter={"type": expected.wsdl, "moid": expected.moid},
    )  # fmt: skip


def network_of(host: Any, wanted: dict[str, Any]) -> Any:
    """Return the network of *host* that a NIC backing means, or None; without a *kind* any of the name."""
    for network in host.networks():
        if "key" in wanted:
            if not isinstance(network, DistributedVirtualPortgroup):
                continue
            if network.key == wanted["key"] and network.switch.uuid == wanted["switch"]:
                return network
        elif "opaque" in wanted:
            if isinstance(network, OpaqueNetwork) and network.network_id == wanted["opaque"]:
                return network
        elif network.name == wanted["name"] and wanted.get("kind") in {None, network.wsdl}:
            return network
    return None


def networks_of(host: Any, demand: dict[str, Any]) -> dict[str, Any]:
    """Return the networks of *host* that the VM's cards are to be on, by the cards' keys."""
    return {key: network_of(host, wanted) for key, wanted in demand["networks"].items()}


def prepare(vcenter: Vcenter, demand: dict[str, Any], move: str, cost: int) -> dict[str, Any]:
    """Reserve *cost* on the target host and let its process expect the move; {"busy": true} where the host is full."""
    with vcenter.lock:
        host: Any = vcenter.registry.find(demand["host"])
        if host.cost + cost > COST:
            return {"busy": True}
        host.cost += cost
        rate = host.options.number("Migrate.NetExpectedLineRateMBps", 133) * 1_000_000
        timeout = host.options.number("Migrate.NetTimeout", 20)
        # The field report saw only two of five target addresses used; cause unknown (vsphere.md 11).
        addresses = [nic.address for nic in host.network.vmotion()[:2]]
        nfc = next((nic.address for nic in host.network.nfc()), None)
    for part in _parts(demand, move):
        try:
            host.hostd.call("expect", id=part, receive_buffer_bytes=rate, idle_timeout_s=timeout)
        except HostdError as error:
            release(vcenter, demand, move, cost)
            return {"failed": str(error)}
    stores: list[Any] = [vcenter.registry.find(moid) for moid in {demand["datastore"], *demand["disks_at"].values()}]
    names = sorted(store.name for store in stores)
    return {"busy": False, "addresses": addresses, "nfc": nfc, "host": host.name, "datastores": names}


def release(vcenter: Vcenter, demand: dict[str, Any], move: str, cost: int) -> dict[str, Any]:
    """Give back what *prepare* reserved."""
    with vcenter.registry.changed:
        host: Any = vcenter.registry.find(demand["host"])
        host.cost -= cost
        vcenter.registry.changed.notify_all()
    for part in _parts(demand, move):
        with contextlib.suppress(HostdError):  # nothing to forget: the host is gone, or never expected it
            host.hostd.call("forget", id=part)
    return {}


def _parts(demand: dict[str, Any], move: str) -> list[str]:
    """Return the ids under which the target host expects the parts of *move*."""
    ids = {move: demand["uses_vmotion"], carriage.name(move): demand["uses_nfc"]}
    return [part for part, used in ids.items() if used]


def commit(vcenter: Vcenter, demand: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    """Put the VM that arrived into this inventory and return its new moId."""
    with vcenter.lock:
        host: Any = vcenter.registry.find(demand["host"])
        folder: Any = vcenter.registry.find(demand["folder"]) if demand["folder"] else None
        folder = folder or host.datacenter.folders["vm"]
        if folder.child(demand["name"]) is not None:
            text = f"The name '{demand['name']}' already exists."
            raise vim.fault.DuplicateName(name=demand["name"], object=folder.ref, msg=text)
        networks = networks_of(host, demand)
        if None in networks.values():
            raise vmodl.fault.SystemError(reason="the network has gone", msg="The network has gone.")
        datastore = vcenter.registry.find(demand["datastore"])
        made = type_named("EstateVirtualMachine" if document.get("estate") else "VirtualMachine")(
            vcenter,
            name=demand["name"],
            folder=folder,
            host=host,
            datastore=datastore,
            network=next(iter([*networks.values(), *host.networks()]), None),
            document=document,
        )
        made.arrive(host, datastore, networks, disks=demand["disks_at"], pool=vcenter.registry.find(demand["pool"]))
        made.arrived = True
        made.touch()
        _lead_astray(vcenter, made)
        return {"moid": made.moid}


def _half_made(vcenter: Vcenter) -> dict[str, Any]:
    """Return what a VM is whose move failed: without its data, and with UUIDs of its own."""
    own = [str(uuid.uuid5(uuid.UUID(vcenter.instance_uuid), vcenter.registry.new_id("half"))) for _ in range(2)]
    nothing = dict.fromkeys(("memory_bytes", "disk_bytes", "dirty_bps"), 0)
    return {**nothing, "powered_on": False, "uuid": own[0], "instance_uuid": own[1], "mac": "00:50:56:bf:ff:ff"}


def _lead_astray(vcenter: Vcenter, vm: Any) -> None:
    """Do to *vm*, which has just arrived, what control_traits.arrive_astray asked for."""
    wrong = vcenter.astray
    if "traits" in wrong:
        vm.traits = replace(vm.traits, **wrong["traits"])
    if "host" in wrong or "datastore" in wrong:
        host = named(vcenter.hosts(), wrong.get("host", vm.host.name))
        vm.place(host, named(vcenter.registry.of_type("Datastore"), wrong.get("datastore", vm.datastore.name)))
    if "disks" in wrong:
        stores = list(vcenter.registry.of_type("Datastore"))
        vm.unplace()
        vm.disk_at |= {key: named(stores, name).moid for key, name in wrong["disks"].items()}
        vm.place(vm.host, vm.datastore)
    if "network" in wrong:
        vm.network = named(vm.host.networks(), wrong["network"])
    if "mac" in wrong:
        vm.mac = str(wrong["mac"])
    if "powered_on" in wrong:
        vm.power(on=bool(wrong["powered_on"]))
