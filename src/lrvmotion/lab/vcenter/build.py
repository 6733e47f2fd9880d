"""Builds the inventory from the spec; and imports what registers itself, so that its types are known by name."""

# ruff: noqa: ANN401 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from pyVmomi import vim

from lrvmotion.lab.estate import document
from lrvmotion.lab.vcenter import (  # noqa: F401 - a host makes these by the names of their types
    estate_build,
    host_network_system,
    host_virtual_nic_manager,
    managed_method_executer,
    option_manager,
)
from lrvmotion.lab.vcenter.datastore import Datastore, mounted
from lrvmotion.lab.vcenter.entity import Datacenter, Folder
from lrvmotion.lab.vcenter.host_system import HostSystem
from lrvmotion.lab.vcenter.network import (
    DistributedVirtualPortgroup,
    Network,
    VmwareDistributedVirtualSwitch,
)
from lrvmotion.lab.vcenter.pbm import Pbm
from lrvmotion.lab.vcenter.places import Places
from lrvmotion.lab.vcenter.service_instance import ServiceInstance
from lrvmotion.lab.vcenter.tagging import Rest
from lrvmotion.lab.vcenter.vcenter import Vcenter
from lrvmotion.lab.vcenter.virtual_machine import VirtualMachine
from lrvmotion.lab.vcenter.vm_data import DISK


def build(vcenter: Vcenter) -> None:
    """Fill *vcenter*. uuids follow from the lab's and site's names, so the same spec makes the same lab."""
    site = vcenter.site
    names = uuid.uuid5(uuid.NAMESPACE_DNS, f"{vcenter.spec.name}.{site.name}.lrvmotion.lab")
    vcenter.instance_uuid = str(names)
    estate = vcenter.lab / document.FILE
    if estate.exists():
        vcenter.estate = document.read(estate)[site.name]
        vcenter.instance_uuid = vcenter.estate["inventory"]["instance_uuid"]
    vcenter.rest, vcenter.pbm = Rest(vcenter), Pbm(vcenter)
    ServiceInstance(vcenter)
    if vcenter.estate:
        estate_build.build(vcenter, vcenter.estate)
        return
    vcenter.root = Folder(vcenter, "Datacenters", None, [vim.Folder, vim.Datacenter], "group-d")
    places = Places(vcenter)
    places.datacenter("")  # the first, whatever the hosts name
    for number, spec in enumerate(site.hosts, 1):
        HostSystem(vcenter, spec, places.cluster(spec), number)
    for datacenter in places.datacenters.values():
        for name in site.datastores:
            Datastore(vcenter, name, datacenter)
    places.datastores()
    for path, datacenter in places.datacenters.items():
        _networks(vcenter, path, datacenter)
    places.networks()
    for path, folder in site.folders:
        places.vm_folder(places.datacenter(path), folder)
    hosts = {item.name: item for item in vcenter.hosts()}
    site_byte = 0 if site.name == "source" else 1
    named: set[str] = set()
    for number, machine in enumerate(site.vms):
        own = f"{machine.name} {number}" if machine.name in named else machine.name
        named.add(machine.name)
        host = hosts[machine.host]
        wanted = machine.network
        network = next(n for n in host.networks() if n.name in {wanted, f"dv-{wanted}"})
        VirtualMachine(
            vcenter,
            name=machine.name,
            folder=places.vm_folder(host.datacenter, machine.folder),
            host=host,
            datastore=_named(mounted(host), machine.datastore or site.datastores[0]),
            network=network,
            document={
                "memory_bytes": machine.memory_bytes,
                "disk_bytes": machine.disk_bytes,
                "disk_sizes": {str(DISK + n): disk.size_bytes for n, disk in enumerate(machine.more_disks, 1)},
                "disk_at": {
                    str(DISK + n): _named(mounted(host), disk.datastore).moid
                    for n, disk in enumerate(machine.more_disks, 1)
                    if disk.datastore
                },
                "dirty_bps": machine.dirty_bps,
                "powered_on": machine.powered_on,
                "snapshots": machine.snapshots,
                "uuid": str(uuid.uuid5(names, f"bios {own}")),
                "instance_uuid": str(uuid.uuid5(names, f"instance {own}")),
                # 00:50:56:80 to bf is what vCenter hands out; a site apart, so no MAC is on both sides
                "mac": f"00:50:56:{0x80 + 0x10 * site_byte + (number >> 16):02x}"
                f":{number >> 8 & 255:02x}:{number & 255:02x}",
            },
        )


def _named(items: Iterable[Any], name: str) -> Any:
    return next(item for item in items if item.name == name)


def _networks(vcenter: Vcenter, path: str, datacenter: Datacenter) -> None:
    """Make the networks of a datacenter's standard hosts, and the distributed switches of the others.

    A datacenter that has both kinds of host prefixes the distributed ones with `dv-`: names are unique in a folder.
    Port groups of two switches have the same names all the same, as those have that NSX makes (openshift/installer
    #5673: "not necessarily unique, especially in NSX-T").
    """
    hosts = [host for host in vcenter.hosts() if host.datacenter is datacenter]
    standard = [host for host in hosts if host.network.standard]
    distributed = [host for host in hosts if not host.network.standard]
    networks = [Network(vcenter, name, datacenter) for name in vcenter.site.networks] if standard else []
    for host in standard:
        host.vm_networks = list(networks)
    prefix = "dv-" if standard else ""
    for name in dict.fromkeys(host.spec.distributed_switch for host in distributed):
        _switch(vcenter, name, path, datacenter, prefix)


def _switch(vcenter: Vcenter, name: str, path: str, datacenter: Datacenter, prefix: str) -> None:
    hosts = [
        host
        for host in vcenter.hosts()
        if host.datacenter is datacenter and not host.network.standard and host.spec.distributed_switch == name
    ]
    switch = VmwareDistributedVirtualSwitch(vcenter, name, datacenter, path)
    switch.hosts = hosts
    groups = {
        name: DistributedVirtualPortgroup(vcenter, prefix + name, datacenter, switch)
        for name in dict.fromkeys(
            [*vcenter.site.networks, *(nic.portgroup for host in hosts for nic in host.spec.vmknics if not nic.opaque)]
        )
    }
    for host in hosts:
        host.switch = switch
        host.vm_networks = list(groups.values())
        for nic in [one for one in host.spec.vmknics if not one.opaque]:
            host.network.vmknics[nic.device].dvport = groups[nic.portgroup].moid
