"""Control operations that give VMs, hosts, datastores and clusters what prechecks look for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyVmomi import vim

from lrvmotion.lab.vcenter import host_power
from lrvmotion.lab.vcenter.entity import VirtualApp
from lrvmotion.lab.vcenter.places import Places
from lrvmotion.lab.vcenter.registry import named
from lrvmotion.lab.vcenter.vm_traits import Traits

if TYPE_CHECKING:
    from lrvmotion.lab.vcenter.vcenter import Vcenter

Request = dict[str, Any]


def vm_set(vcenter: Vcenter, request: Request) -> None:
    """Give a VM *traits* (vm_traits.Traits; what is not named is a plain VM's), *mac*, *uuid*, *instance_uuid*, *name*.

    *vm* is its name or its moid; *folder* is the path of the VM folder that it is put into, made where it is not there.
    """
    traits = Traits.of(request.get("traits") or {})
    with vcenter.lock:
        by_moid = {vm.moid: vm for vm in vcenter.machines()}
        vm = by_moid.get(request["vm"]) or named(vcenter.machines(), request["vm"])
        vm.traits = traits
        for key in ("mac", "uuid", "instance_uuid", "name"):
            if key in request:
                setattr(vm, key, str(request[key]))
        if "folder" in request:
            vm.parent.drop(vm)
            Places(vcenter).vm_folder(vm.host.datacenter, str(request["folder"])).put(vm)
        vm.changed()


def host_set(vcenter: Vcenter, request: Request) -> None:
    """Set a host's *evc* mode, *max_evc* mode, *most_disks*, *encrypted_vmotion*, newest virtual *hardware*.

    *boot_s* is how long a reboot takes it; null: it does not come back.
    """
    with vcenter.lock:
        host = named(vcenter.hosts(), request["host"])
        for key in ("evc", "max_evc", "most_disks", "encrypted_vmotion", "hardware", "boot_s"):
            if key in request:
                setattr(host, key, request[key])
        host.touch()


def vmknic_set(vcenter: Vcenter, request: Request) -> None:
    """Set of the vmkernel NIC *device* of a host: *dhcp*, whether it has a *lease*, its only address *ipv6*.

    What is not named is a plain one's: a fixed IPv4 address.
    """
    with vcenter.lock:
        host = named(vcenter.hosts(), request["host"])
        nic = host.network.vmknics[request["device"]]
        nic.dhcp = bool(request.get("dhcp", False))
        nic.lease = bool(request.get("lease", True))
        nic.ipv6 = str(request.get("ipv6", ""))
        host.touch()


def hide(vcenter: Vcenter, request: Request) -> None:
    """Let the account see no object that has one of *names*; none without them.

    unconfirmed: how a vCenter tells of such an object that another one names; here its properties are unset.
    """
    with vcenter.lock:
        vcenter.hidden = set(request.get("names", ()))
        vcenter.root.touch()


def about_set(vcenter: Vcenter, request: Request) -> None:
    """Set what kind of server the vCenter says that it is: *api_type* "HostAgent" is an ESXi host."""
    vcenter.api_type = str(request["api_type"])


def switch_version(vcenter: Vcenter, request: Request) -> None:
    """Give every distributed switch the *version*."""
    with vcenter.lock:
        for switch in vcenter.registry.of_type("VmwareDistributedVirtualSwitch"):
            switch.version = str(request["version"])
            switch.touch()


def host_start(vcenter: Vcenter, request: Request) -> None:
    """Start a host that did not come back from a reboot by itself."""
    host_power.start(named(vcenter.hosts(), request["host"]))


def datastore_set(vcenter: Vcenter, request: Request) -> None:
    """Leave *free_bytes* on a datastore, null for all that the VMs leave; set whether it is *accessible*.

    *maintenance* is its maintenance mode: normal, enteringMaintenance, inMaintenance.
    """
    with vcenter.lock:
        store = named(vcenter.registry.of_type("Datastore"), request["datastore"])
        store.accessible = bool(request.get("accessible", True))
        store.held = 0
        store.maintenance = str(request.get("maintenance", "normal"))
        if request.get("free_bytes") is not None:
            store.held = store.free() - int(request["free_bytes"])
        store.touch()


def rename(vcenter: Vcenter, request: Request) -> None:
    """Give the datastore or network called *old* the name *new*, as its administrator might."""
    with vcenter.lock:
        stores: list[Any] = list(vcenter.registry.of_type("Datastore"))
        networks = {network.moid: network for host in vcenter.hosts() for network in host.networks()}
        item = named([*stores, *networks.values()], request["old"])
        item.name = str(request["new"])
        item.touch()


def cluster_set(vcenter: Vcenter, request: Request) -> None:
    """Set every cluster's DRS *rules* (name, apart, vms), *overrides* (VM: drs, ha) and *ha*; none without them."""
    with vcenter.lock:
        vms = {vm.name: vm for vm in vcenter.machines()}
        rules = [
            (vim.cluster.AntiAffinityRuleSpec if rule.get("apart") else vim.cluster.AffinityRuleSpec)(
                key=number, name=rule["name"], enabled=True, vm=[vms[name].ref for name in rule["vms"]]
            )
            for number, rule in enumerate(request.get("rules", ()), 1)
        ]
        overrides = {vms[name].moid: own for name, own in request.get("overrides", {}).items()}
        for cluster in vcenter.registry.of_type("ClusterComputeResource"):
            cluster.rules = rules
            cluster.overrides = overrides
            cluster.ha = bool(request.get("ha"))
            cluster.touch()


def key_providers(vcenter: Vcenter, request: Request) -> None:
    """Set the *names* of the vCenter's key providers; null: nobody may read them."""
    with vcenter.lock:
        vcenter.key_providers = request["names"]
        vcenter.root.touch()


def names_set(vcenter: Vcenter, request: Request) -> None:
    """Let the vCenter know custom *attributes*, *roles* ({name: privileges}) and *tags* ({category: [tags]}).

    *policies* are names of storage policies. Categories in *single* give an object one tag at most; principals in
    *strangers* are not known. *rest_idle_s* is how long a REST session lives unused.
    """
    managers = vcenter.content.managers
    with vcenter.lock:
        for name in request.get("attributes", ()):
            managers["customFieldsManager"].key(name)
        people = managers["authorizationManager"]
        for name, privileges in request.get("roles", {}).items():
            people.roles[name] = (people.role_id(name), list(privileges))
        for category, tags in request.get("tags", {}).items():
            single = category in request.get("single", ())
            vcenter.rest.know(category, list(tags), "SINGLE" if single else "MULTIPLE")
        for policy in request.get("policies", ()):
            vcenter.pbm.know(policy)
        if "rest_idle_s" in request:
            vcenter.rest.idle_s = float(request["rest_idle_s"])
        people.strangers = set(request.get("strangers", ()))
        people.touch()


def arrive_astray(vcenter: Vcenter, request: Request) -> None:
    """Let every VM that arrives from now on be on another *host*, *datastore*, *network*, or another in *mac*.

    *disks* are datastores of single disks, by key; *powered_on* sets its power state; *traits* are set in place of
    those that it came with. Without any: as it should.
    """
    vcenter.astray = {key: value for key, value in request.items() if key != "op"}


def relocate_pace(vcenter: Vcenter, request: Request) -> None:
    """Let relocates of the VM called *vm*, or of all, stay *queued_s* in vCenter's queue and take *prepare_s* to begin.

    The preparation is what a cross-vCenter relocate does before its first byte: the other vCenter is logged in to, the
    VM and its disks are made there. unconfirmed: how long that is, and what progress is told meanwhile (here none).
    """
    paces = (float(request.get("queued_s", 0)), float(request.get("prepare_s", 0)))
    vcenter.paces[str(request.get("vm", ""))] = paces


def vm_vapp(vcenter: Vcenter, request: Request) -> None:
    """Put a VM into a new vApp called *vapp*, which is in the VM's folder; null: take it out of its own."""
    with vcenter.lock:
        vm = named(vcenter.machines(), request["vm"])
        before, vm.vapp = vm.vapp, None
        if before is not None:
            before.machines.pop(vm.moid)
        if request["vapp"] is not None:
            vm.vapp = VirtualApp(vcenter, str(request["vapp"]), vm.pool, vm.parent)
            vm.vapp.machines[vm.moid] = vm
        vcenter.registry.restructure(vm, vm.parent, vm.pool)
        vm.changed()


OPERATIONS = {
    "arrive_astray": arrive_astray,
    "names_set": names_set,
    "relocate_pace": relocate_pace,
    "vm_set": vm_set,
    "vm_vapp": vm_vapp,
    "about_set": about_set,
    "hide": hide,
    "switch_version": switch_version,
    "host_set": host_set,
    "vmknic_set": vmknic_set,
    "rename": rename,
    "host_start": host_start,
    "datastore_set": datastore_set,
    "cluster_set": cluster_set,
    "key_providers": key_providers,
}
