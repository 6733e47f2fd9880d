"""Network, DistributedVirtualPortgroup, OpaqueNetwork and the distributed switch."""

# ruff: noqa: ANN401 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, ClassVar

from pyVmomi import vim

from lrvmotion.lab.vcenter.entity import COMMON, Datacenter, Entity, Folder
from lrvmotion.lab.vcenter.managed_object import Values

if TYPE_CHECKING:
    from lrvmotion.lab.vcenter.vcenter import Vcenter

_NETWORK: dict[str, Any] = {
    **COMMON,
    "host": lambda self: self.members(),
    "vm": lambda self: [vm for vm in self.vcenter.machines() if vm.network is self],
    "summary": lambda self: vim.Network.Summary(network=self.ref, name=self.name, accessible=True),
}


class Network(Entity):
    """A standard port group's name, wherever hosts have one for VMs."""

    wsdl = "Network"
    prefix = "network"
    values: ClassVar[Values] = _NETWORK
    __slots__ = ("datacenter",)

    def __init__(self, vcenter: Vcenter, name: str, datacenter: Datacenter, folder: Folder | None = None) -> None:
        self.datacenter = datacenter
        folder = folder or datacenter.folders["network"]
        super().__init__(vcenter, name, folder)
        folder.put(self)

    def members(self) -> list[Any]:
        """Return the hosts that have it."""
        return [host for host in self.vcenter.hosts() if self in host.networks()]

    def backing(self) -> Any:
        """Return the backing of a NIC that is connected to it."""
        return vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName=self.name, network=self.ref)


class DistributedVirtualPortgroup(Network):
    """A port group of a distributed switch."""

    wsdl = "DistributedVirtualPortgroup"
    prefix = "dvportgroup"
    values: ClassVar[Values] = {
        **_NETWORK,
        "key": lambda self: self.key,
        "config": lambda self: self.config(),
        "portKeys": lambda _: [],
    }
    __slots__ = ("key", "switch")

    def __init__(
        self, vcenter: Vcenter, name: str, datacenter: Datacenter, switch: Any, folder: Folder | None = None
    ) -> None:
        self.switch = switch
        super().__init__(vcenter, name, datacenter, folder)
        self.key = self.moid  # in most vCenters, not in all
        switch.portgroups.append(self)

    def members(self) -> list[Any]:
        """Return the hosts on the switch."""
        return list(self.switch.hosts)

    def config(self) -> Any:
        """Return the DVPortgroupConfigInfo."""
        return vim.dvs.DistributedVirtualPortgroup.ConfigInfo(
            key=self.key,
            name=self.name,
            numPorts=128,
            distributedVirtualSwitch=self.switch.ref,
            type="earlyBinding",
            autoExpand=True,
            configVersion="1",
        )

    def connection(self) -> Any:
        """Return where a NIC or vmkernel NIC on it is connected."""
        return vim.dvs.PortConnection(switchUuid=self.switch.uuid, portgroupKey=self.key)

    def backing(self) -> Any:
        """Return the backing of a NIC that is connected to it."""
        return vim.vm.device.VirtualEthernetCard.DistributedVirtualPortBackingInfo(port=self.connection())


class OpaqueNetwork(Network):
    """A network that vCenter knows of by an id only, as an NSX segment is on a host with an N-VDS, or beside its twin.

    A segment on a distributed switch of vSphere 7 is there twice: as port group and as opaque network of the same name
    (eks-anywhere #3162; terraform-provider-vsphere #925).
    """

    wsdl = "OpaqueNetwork"
    values: ClassVar[Values] = {
        **_NETWORK,
        "summary": lambda self: vim.OpaqueNetwork.Summary(
            network=self.ref,
            name=self.name,
            accessible=True,
            opaqueNetworkId=self.network_id,
            opaqueNetworkType="nsx.LogicalSwitch",
        ),
    }
    __slots__ = ()

    @property
    def network_id(self) -> str:
        """The id of the segment in the network manager."""
        return str(uuid.uuid5(uuid.UUID(self.vcenter.instance_uuid), self.moid))

    def backing(self) -> Any:
        """Return the backing of a NIC that is connected to it."""
        return vim.vm.device.VirtualEthernetCard.OpaqueNetworkBackingInfo(
            opaqueNetworkId=self.network_id, opaqueNetworkType="nsx.LogicalSwitch"
        )


class VmwareDistributedVirtualSwitch(Entity):
    """A distributed switch; its uuid follows from the vCenter's, so a lab is repeatable."""

    wsdl = "VmwareDistributedVirtualSwitch"
    prefix = "dvs"
    values: ClassVar[Values] = {
        **COMMON,
        "uuid": lambda self: self.uuid,
        "portgroup": lambda self: self.portgroups,
        "config": lambda self: vim.dvs.VmwareDistributedVirtualSwitch.ConfigInfo(
            uuid=self.uuid, name=self.name, numPorts=1024, configVersion="1", maxMtu=9000, productInfo=self.product()
        ),
        "summary": lambda self: vim.DistributedVirtualSwitch.Summary(
            name=self.name,
            uuid=self.uuid,
            productInfo=self.product(),
            numPorts=1024,
            hostMember=[host.ref for host in self.hosts],
            portgroupName=[group.name for group in self.portgroups],
        ),
    }
    __slots__ = ("hosts", "portgroups", "uuid", "version")

    def __init__(self, vcenter: Vcenter, name: str, datacenter: Datacenter, place: str = "") -> None:
        """*place* is the datacenter's path where a switch of another datacenter may have the same name."""
        self.version = "7.0.3"
        self.hosts: list[Any] = []
        self.portgroups: list[DistributedVirtualPortgroup] = []
        raw = uuid.uuid5(uuid.UUID(vcenter.instance_uuid), f"{place}:{name}" if place else name).hex
        pairs = [raw[i : i + 2] for i in range(0, 32, 2)]
        self.uuid = f"{' '.join(pairs[:8])}-{' '.join(pairs[8:])}"
        super().__init__(vcenter, name, datacenter.folders["network"])
        datacenter.folders["network"].put(self)

    def product(self) -> Any:
        """Return what the switch is: its name and version."""
        return vim.dvs.ProductSpec(name="DVS", vendor="VMware, Inc.", version=self.version or None)
