"""A host's port groups, vmknics, vMotion service and gateways: read afresh each time, written one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyVmomi import vim

from lrvmotion.errors import RefusedError
from lrvmotion.model.setting import ABSENT, Value, document, string
from lrvmotion.vsphere.client import properties_of
from lrvmotion.vsphere.inventory import vmknics
from lrvmotion.vsphere.session import Session

VMOTION = "vmotion"
TRUE = Value("bool", True)


class HostNetwork:
    """The network settings of the host that messages call *subject*.

    *system* is its NetworkSystem, *manager* its VirtualNicManager. A network call that would cut the host off is
    rolled back by vCenter (vsphere.md 2.1).
    """

    def __init__(
        self, session: Session, subject: str, system: vim.host.NetworkSystem, manager: vim.host.VirtualNicManager
    ) -> None:
        self._session = session
        self._subject = subject
        self._system = system
        self._manager = manager

    def device(self, address: str, netstack: str) -> str:
        """Return the device ("vmk1") with *address* on *netstack*; RefusedError where there is none."""
        for nic in self._vnics():
            if vmknics.address(nic) == address and vmknics.stack(nic) == netstack:
                return str(nic.device)
        message = f"{self._subject}: no vmknic on {netstack} has the address {address}"
        raise RefusedError(message, hint="the host changed since the plan was made: plan again")

    def read_portgroup(self, name: str) -> Value:
        """Return the standard port group as a document: vswitch, vlan_id, active, standby."""
        for group in self._info("portgroup"):
            found = vmknics.portgroup(group)
            if found.name == name:
                return document(
                    vswitch=found.vswitch,
                    vlan_id=found.vlan_id,
                    active=list(found.active),
                    standby=list(found.standby),
                )
        return ABSENT

    def write_portgroup(self, name: str, value: Value) -> None:
        """Add, change or remove a standard port group."""
        now = self.read_portgroup(name)
        if now == value:
            return
        subject = f"{self._subject}: port group {name}"
        if value == ABSENT:
            self._session.call(subject, lambda: self._system.RemovePortGroup(name))
            return
        spec = _portgroup_spec(name, value.as_document())
        if now == ABSENT:
            self._session.call(subject, lambda: self._system.AddPortGroup(spec))
        else:
            self._session.call(subject, lambda: self._system.UpdatePortGroup(name, spec))

    def read_vmknic(self, address: str) -> Value:
        """Return the vmknic with *address* as a document of the fields that we set."""
        nic = self._nic(address)
        if nic is None:
            return ABSENT
        port = nic.spec.distributedVirtualPort
        return document(
            portgroup=str(nic.portgroup or nic.spec.portgroup) if port is None else None,
            switch_uuid=str(port.switchUuid) if port is not None else None,
            portgroup_key=str(port.portgroupKey) if port is not None else None,
            netstack=vmknics.stack(nic),
            prefix_length=vmknics.prefix(nic),
            mtu=int(nic.spec.mtu or vmknics.DEFAULT_MTU),
        )

    def write_vmknic(self, address: str, value: Value) -> None:
        """Add the vmknic or, with ABSENT, remove it; raises RefusedError rather than change one that is there."""
        now = self.read_vmknic(address)
        if now == value:
            return
        if ABSENT not in {now, value}:
            message = f"{self._subject}: a vmknic with {address} is there as {now}; it is not changed into {value}"
            raise RefusedError(message)
        subject = f"{self._subject}: vmknic {address}"
        if value == ABSENT:
            device = self._own(address)
            self._session.call(subject, lambda: self._system.RemoveVirtualNic(device))
            return
        content = value.as_document()
        spec = vim.host.VirtualNic.Specification(
            ip=vim.host.IpConfig(dhcp=False, ipAddress=address, subnetMask=vmknics.netmask(content["prefix_length"])),
            mtu=content["mtu"],
            netStackInstanceKey=content["netstack"],
        )
        if content["switch_uuid"] is not None:
            spec.distributedVirtualPort = vim.dvs.PortConnection(
                switchUuid=content["switch_uuid"], portgroupKey=content["portgroup_key"]
            )
        portgroup = content["portgroup"] or ""  # empty with a distributed port (vsphere.md 2.1)
        self._session.call(subject, lambda: self._system.AddVirtualNic(portgroup, spec))

    def read_service(self, address: str) -> Value:
        """Return true where the vmknic is selected for vMotion, else ABSENT."""
        config = self._session.call(f"{self._subject}: vMotion service", lambda: self._manager.QueryNetConfig(VMOTION))
        if config is None:
            return ABSENT
        chosen = vmknics.selected(config)
        for nic in config.candidateVnic or ():
            if vmknics.address(nic) == address and str(nic.device) in chosen:
                return TRUE
        return ABSENT

    def write_service(self, address: str, value: Value) -> None:
        """Select the vmknic for vMotion or deselect it; where selecting would deselect another, raise RefusedError."""
        if self.read_service(address) == value:
            return
        subject = f"{self._subject}: vMotion service of {address}"
        nic = self._nic(address)
        if nic is None:
            message = f"{subject}: no vmknic has this address"
            raise RefusedError(message)
        device = str(nic.device)
        if value == ABSENT:
            self._session.call(subject, lambda: self._manager.DeselectVnicForNicType(VMOTION, device))
            return
        config = self._session.call(subject, lambda: self._manager.QueryNetConfig(VMOTION))
        if config is not None and not config.multiSelectAllowed and vmknics.selected(config):
            message = f"{subject}: this host takes one vmknic for vMotion; selecting another would deselect it"
            raise RefusedError(message)
        self._session.call(subject, lambda: self._manager.SelectVnicForNicType(VMOTION, device))

    def read_gateway(self, address: str) -> Value:
        """Return the vmknic's default gateway override, ABSENT without one or without the vmknic."""
        nic = self._nic(address)
        own = vmknics.gateway(nic) if nic is not None else None
        return string(own) if own is not None else ABSENT

    def write_gateway(self, address: str, value: Value) -> None:
        """Set or remove the override; raises RefusedError on a vmknic that carries more than vMotion."""
        if self.read_gateway(address) == value:
            return
        subject = f"{self._subject}: gateway of {address}"
        nic = self._nic(address)
        if nic is None:
            message = f"{subject}: no vmknic has this address"
            raise RefusedError(message)
        if value != ABSENT:
            self._own(address)
        if vmknics.dhcp(nic):
            # "If dhcp is true, ipAddress cannot be set explicitly" (API reference, HostIpConfig), and whether a spec
            # without it keeps the lease is not known.
            message = f"{subject}: the vmknic has its address by DHCP"
            raise RefusedError(message, hint='use steer = "route", or give it a fixed address')
        six = vmknics.ipv6_gateway(nic)
        spec = nic.spec  # complete: a sparse one would take the rest away (vsphere.md 2.1)
        if spec.ip is not None:
            spec.ip = vmknics.configured(spec.ip)
        spec.mac = None
        spec.systemOwned = None
        # An empty IpRouteConfig removes the override; leaving it out would mean "unchanged" (vsphere.md 2.5).
        # What is unset in it is removed, so that an IPv6 gateway goes with it.
        config = vim.host.IpRouteConfig(
            defaultGateway=None if value == ABSENT else str(value.data), ipV6DefaultGateway=six
        )
        spec.ipRouteSpec = vim.host.VirtualNic.IpRouteSpec(ipRouteConfig=config)
        self._session.call(subject, lambda: self._system.UpdateVirtualNic(str(nic.device), spec))

    def _info(self, part: str) -> Sequence[Any]:
        path = f"networkInfo.{part}"
        read = self._session.call(
            f"{self._subject}: network", lambda: properties_of(self._session.content, self._system, [path])
        )
        return read.get(path) or ()

    def _vnics(self) -> Sequence[vim.host.VirtualNic]:
        return self._info("vnic")

    def _nic(self, address: str) -> vim.host.VirtualNic | None:
        return next((nic for nic in self._vnics() if vmknics.address(nic) == address), None)

    def _own(self, address: str) -> str:
        """Return the device with *address*; RefusedError for vmk0, and for one that carries more than vMotion.

        Services that cannot be read forbid it too: unreadable is not none.
        """
        nic = self._nic(address)
        if nic is None:
            message = f"{self._subject}: no vmknic has the address {address}"
            raise RefusedError(message)
        device = str(nic.device)
        if device == "vmk0":
            message = f"{self._subject}: vmk0 ({address}) is the host's first vmknic, which is never changed"
            raise RefusedError(message)
        read = self._session.call(
            f"{self._subject}: services of {device}",
            lambda: properties_of(self._session.content, self._manager, ["info.netConfig"]),
        )
        configs = read.get("info.netConfig")
        if configs is None:
            message = f"{self._subject}: what {device} ({address}) carries cannot be read: left alone"
            raise RefusedError(message, hint="the account needs to read the host's virtual NIC manager")
        more = vmknics.services(configs).get(device, set()) - {VMOTION}
        if more:
            message = (
                f"{self._subject}: {device} ({address}) also carries {', '.join(sorted(more))}, so it is left alone"
            )
            raise RefusedError(message)
        return device


def _portgroup_spec(name: str, content: dict[str, Any]) -> vim.host.PortGroup.Specification:
    policy = vim.host.NetworkPolicy()
    if content["active"] or content["standby"]:
        order = vim.host.NetworkPolicy.NicOrderPolicy(activeNic=content["active"], standbyNic=content["standby"])
        policy.nicTeaming = vim.host.NetworkPolicy.NicTeamingPolicy(nicOrder=order)
    return vim.host.PortGroup.Specification(
        name=name, vlanId=content["vlan_id"], vswitchName=content["vswitch"], policy=policy
    )
