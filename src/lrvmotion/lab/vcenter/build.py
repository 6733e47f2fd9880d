"""Builds the inventory from the spec; and imports what registers itself, so that its types are known by name."""

# ruff: noqa: ANN401 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

import uuid
from typing import Any

from pyVmomi import vim

from lrvmotion.lab.vcenter import (  # noqa: F401 - a host makes these by the names of their types
    host_network_system,
    host_virtual_nic_manager,
    managed_method_executer,
    option_manager,
)
from lrvmotion.lab.vcenter.datastore import Datastore
from lrvmotion.lab.vcenter.entity import ClusterComputeResource, Datacenter, Folder
from lrvmotion.lab.vcenter.host_system import HostSystem
from lrvmotion.lab.vcenter.network import (
    DistributedVirtualPortgroup,
    Network,
    VmwareDistributedVirtualSwitch,
)
from lrvmotion.lab.vcenter.pbm import Pbm
from lrvmotion.lab.vcenter.service_instance import ServiceInstance
from lrvmotion.lab.vcenter.tagging import Rest
from lrvmotion.lab.vcenter.vcenter import Vcenter
from lrvmotion.lab.vcenter.virtual_machine import VirtualMachine


def build(vcenter: Vcenter) -> None:
    """Fill *vcenter*. uuids follow from the lab's and site's names, so the same spec makes the same lab."""
    site = vcenter.site
    names = uuid.uuid5(uuid.NAMESPACE_DNS, f"{vcenter.spec.name}.{site.name}.lrvmotion.lab")
    vcenter.instance_uuid = str(names)
    vcenter.rest, vcenter.pbm = Rest(vcenter), Pbm(vcenter)
    ServiceInstance(vcenter)
    vcenter.root = Folder(vcenter, "Datacenters", None, [vim.Folder, vim.Datacenter], "group-d")
    datacenter = Datacenter(vcenter, site.datacenter, vcenter.root)
    cluster = ClusterComputeResource(vcenter, site.cluster, datacenter)
    for number, spec in enumerate(site.hosts, 1):
        HostSystem(vcenter, spec, cluster, number)
    for name in site.datastores:
        Datastore(vcenter, name, datacenter)
    _networks(vcenter, datacenter)
    stores = {item.name: item for item in vcenter.registry.of_type("Datastore")}
    hosts = {item.name: item for item in vcenter.hosts()}
    folders: dict[str, Any] = {"": datacenter.folders["vm"]}
    site_byte = 0 if site.name == "source" else 1
    for number, machine in enumerate(site.vms):
        host = hosts[machine.host]
        wanted = machine.network
        network = next(n for n in host.networks() if n.name in {wanted, f"dv-{wanted}"})
        VirtualMachine(
            vcenter,
            name=machine.name,
            folder=_folder(vcenter, folders, machine.folder),
            host=host,
            datastore=stores[machine.datastore or site.datastores[0]],
            network=network,
            document={
                "memory_bytes": machine.memory_bytes,
                "disk_bytes": machine.disk_bytes,
                "dirty_bps": machine.dirty_bps,
                "powered_on": machine.powered_on,
                "snapshots": machine.snapshots,
                "uuid": str(uuid.uuid5(names, f"bios {machine.name}")),
                "instance_uuid": str(uuid.uuid5(names, f"instance {machine.name}")),
                # 00:50:56:80 to bf is what vCenter hands out; a site apart, so no MAC is on both sides
                "mac": f"00:50:56:{0x80 + 0x10 * site_byte + (number >> 16):02x}"
                f":{number >> 8 & 255:02x}:{number & 255:02x}",
            },
        )


def _folder(vcenter: Vcenter, folders: dict[str, Any], path: str) -> Any:
    if path not in folders:
        parent, _, name = path.strip("/").rpartition("/")
        above = _folder(vcenter, folders, parent)
        folders[path] = above.child(name) or Folder(vcenter, name, above, [vim.Folder, vim.VirtualMachine], "group-v")
    return folders[path]


def _networks(vcenter: Vcenter, datacenter: Datacenter) -> None:
    """Make the networks of standard hosts, and a distributed switch for the others.

    A site that has both kinds of host prefixes the distributed ones with `dv-`: names are unique in a folder.
    """
    hosts = list(vcenter.hosts())
    standard = [host for host in hosts if host.network.standard]
    distributed = [host for host in hosts if not host.network.standard]
    networks = [Network(vcenter, name, datacenter) for name in vcenter.site.networks] if standard else []
    for host in standard:
        host.vm_networks = networks
    if not distributed:
        return
    switch = VmwareDistributedVirtualSwitch(vcenter, "DSwitch", datacenter)
    switch.hosts = distributed
    prefix = "dv-" if standard else ""
    groups = {
        name: DistributedVirtualPortgroup(vcenter, prefix + name, datacenter, switch)
        for name in dict.fromkeys(
            [*vcenter.site.networks, *(nic.portgroup for host in distributed for nic in host.spec.vmknics)]
        )
    }
    for host in distributed:
        host.switch = switch
        host.vm_networks = list(groups.values())
        for nic in host.spec.vmknics:
            host.network.vmknics[nic.device].dvport = groups[nic.portgroup].moid
