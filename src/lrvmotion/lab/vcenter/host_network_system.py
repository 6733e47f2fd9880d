"""HostNetworkSystem: port groups, vmkernel NICs, routes and TCP/IP stacks of one host."""

# ruff: noqa: ANN401, N803 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

import contextlib
import itertools
from dataclasses import replace
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError
from typing import TYPE_CHECKING, Any, ClassVar

from pyVmomi import vim, vmodl

from lrvmotion.lab.vcenter import host_data
from lrvmotion.lab.vcenter.host_state import DEFAULT_STACK, Netstack, PortGroup, Vmknic, mac
from lrvmotion.lab.vcenter.hostd_client import HostdError
from lrvmotion.lab.vcenter.managed_object import ManagedObject, Values
from lrvmotion.lab.vcenter.vcenter import unlocked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lrvmotion.lab.vcenter.host_system import HostSystem
    from lrvmotion.lab.vcenter.vcenter import Call


class HostNetworkSystem(ManagedObject):
    """Each change is made real in the host's process first; what that refuses leaves the configuration as it was."""

    wsdl = "HostNetworkSystem"
    values: ClassVar[Values] = {
        "networkInfo": lambda self: host_data.network_info(self.host),
        "networkConfig": lambda _: vim.host.NetworkConfig(),
        "capabilities": lambda _: vim.host.NetCapabilities(
            canSetPhysicalNicLinkSpeed=False,
            supportsNicTeaming=True,
            supportsVlan=True,
            usesServiceConsoleNic=False,
            supportsNetworkHints=False,
            vswitchConfigSupported=True,
            vnicConfigSupported=True,
            ipRouteConfigSupported=True,
            dnsConfigSupported=True,
            dhcpOnVnicSupported=False,
            ipV6Supported=False,
        ),
        "ipRouteConfig": lambda self: vim.host.IpRouteConfig(
            defaultGateway=self.host.network.netstacks[DEFAULT_STACK].gateway or ""
        ),
    }
    __slots__ = ("host", "shown")

    def __init__(self, host: HostSystem, moid: str) -> None:
        super().__init__(host.vcenter, moid)
        self.host = host
        # Of stacks whose routes esxcli has changed since: those that the vCenter's copy of networkInfo still has.
        self.shown: dict[str, list[tuple[str, str]]] = {}

    @unlocked
    def RefreshNetworkSystem(self, call: Call) -> None:
        """Take over what was changed on the host itself."""
        del call
        with self.vcenter.lock:
            self.host.require_connected()
            self._changed()

    def _hostd(self, op: str, **arguments: Any) -> None:
        with self._reached():
            self.host.hostd.call(op, **arguments)

    @contextlib.contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except HostdError as error:
            if error.kind == "unreachable":
                raise vmodl.fault.HostCommunication(msg=str(error)) from error
            raise vim.fault.HostConfigFault(msg=str(error)) from error

    def _changed(self) -> None:
        """Show the host as it is now: calls through the vCenter renew its copy (vsphere.md 2.4)."""
        self.shown.clear()
        self.vcenter.registry.touch(self, self.host, self.host.nic_manager)

    def AddPortGroup(self, call: Call, portgrp: Any) -> None:
        """Add a standard port group."""
        del call
        self.host.require_connected()
        groups = self.host.network.portgroups
        if portgrp.name in groups:
            raise vim.fault.AlreadyExists(name=portgrp.name, msg="The specified key already exists.")
        if portgrp.vswitchName not in self.host.standard_switches():
            raise vim.fault.NotFound(msg=f"No switch {portgrp.vswitchName}")
        if not 0 <= portgrp.vlanId <= 4095:
            raise wrong(name="portgrp.vlanId")
        groups[portgrp.name] = PortGroup(name=portgrp.name, vlan=portgrp.vlanId, switch=portgrp.vswitchName)
        self._changed()

    def UpdatePortGroup(self, call: Call, pgName: str, portgrp: Any) -> None:
        """Change a standard port group's VLAN or name; AlreadyExists for another one's name (API reference)."""
        del call
        group = self._group(pgName)
        groups = self.host.network.portgroups
        if portgrp.name != pgName:
            if portgrp.name in groups:
                raise vim.fault.AlreadyExists(name=portgrp.name, msg="The specified key already exists.")
            del groups[pgName]
            group.name = portgrp.name
            groups[group.name] = group
            # unconfirmed: vmkernel NICs stay connected, and are told with the new name
            for nic in [nic for nic in self.host.network.vmknics.values() if nic.portgroup == pgName]:
                nic.portgroup = group.name
        group.vlan = portgrp.vlanId
        self._changed()

    def RemovePortGroup(self, call: Call, pgName: str) -> None:
        """Remove a standard port group; ResourceInUse while a vmkernel NIC or VM is on it (vsphere.md 2.1)."""
        del call
        self._group(pgName)
        nics = [nic for nic in self.host.network.vmknics.values() if nic.portgroup == pgName]
        machines = [vm for vm in self.host.machines.values() if vm.network.name == pgName]
        if nics or machines:
            raise vim.fault.ResourceInUse(name=pgName, msg=f"The resource '{pgName}' is in use.")
        del self.host.network.portgroups[pgName]
        self._changed()

    def _group(self, name: str) -> PortGroup:
        self.host.require_connected()
        group = self.host.network.portgroups.get(name)
        if group is None:
            raise vim.fault.NotFound(msg=f"The port group '{name}' could not be found.")
        return group

    @unlocked
    def AddVirtualNic(self, call: Call, portgroup: str, nic: Any) -> str:
        """Add a vmkernel NIC and return its device.

        On a standard port group AlreadyExists for a second one; a distributed one holds many (vsphere.md 2.1).
        """
        del call
        host = self.host
        with host.io:
            with self.vcenter.lock:
                host.require_connected()
                address, prefix = _ip(nic)
                dvport = self._place(portgroup, nic)
                if any(other.address == address for other in host.network.vmknics.values()):
                    raise vim.fault.HostConfigFault(msg=f"The address {address} is in use on this host")
                used = {int(name[3:]) for name in host.network.vmknics if name[3:].isdigit()}
                number = next(n for n in itertools.count() if n not in used)
                stack = nic.netStackInstanceKey or DEFAULT_STACK
                if stack not in host.network.netstacks:
                    raise wrong(name="nic.netStackInstanceKey")
                new = Vmknic(
                    device=f"vmk{number}",
                    mac=nic.mac or self._mac(),
                    address=address,
                    prefix_length=prefix,
                    mtu=nic.mtu or 1500,
                    portgroup="" if dvport else portgroup,
                    dvport=dvport,
                    netstack=stack,
                    gateway=_override(nic, None),
                )
            self._hostd("vmknic_add", **new.wire())
            with self.vcenter.lock:
                host.network.vmknics[new.device] = new
                self._changed()
            self._hostd_services()
        return new.device

    def _mac(self) -> str:
        site = 0 if self.vcenter.site.name == "source" else 1
        used = {nic.mac for nic in self.host.network.vmknics.values()}
        return next(made for n in itertools.count() if (made := mac(site, self.host.number, n)) not in used)

    def _hostd_services(self) -> None:
        with self._reached():
            self.host.push_services()

    def _place(self, portgroup: str, nic: Any) -> str | None:
        port = nic.distributedVirtualPort
        if port is not None:
            if portgroup:
                raise wrong(name="portgroup")
            for group in self.host.distributed_portgroups():
                if port.switchUuid == group.switch.uuid and port.portgroupKey == group.key:
                    return str(group.moid)
            raise wrong(name="nic.distributedVirtualPort")
        if portgroup not in self.host.network.portgroups:
            raise wrong(name="portgroup")
        if any(other.portgroup == portgroup for other in self.host.network.vmknics.values()):
            raise vim.fault.AlreadyExists(name=portgroup, msg="The specified key already exists.")
        return None

    def _nic(self, device: str) -> Vmknic:
        nic = self.host.network.vmknics.get(device)
        if nic is None:
            raise vim.fault.NotFound(msg=f"The virtual NIC '{device}' could not be found.")
        return nic

    @unlocked
    def UpdateVirtualNic(self, call: Call, device: str, nic: Any) -> None:
        """Change a vmkernel NIC.

        The IP configuration is needed; an absent ipRouteSpec means unchanged, an empty one none (vsphere.md 2.5).
        """
        del call
        host = self.host
        with host.io:
            with self.vcenter.lock:
                host.require_connected()
                old = self._nic(device)
                if nic.netStackInstanceKey not in {None, old.netstack}:
                    raise wrong(name="nic.netStackInstanceKey")  # it cannot be changed later (vsphere.md 2.2)
                address, prefix = _ip(nic)
                new = replace(
                    old,
                    address=address,
                    prefix_length=prefix,
                    mtu=nic.mtu or old.mtu,
                    mac=nic.mac or old.mac,
                    gateway=_override(nic, old.gateway),
                )
            self._hostd("vmknic_update", **new.wire())
            with self.vcenter.lock:
                host.network.vmknics[device] = new
                self._changed()
            self._hostd_services()

    @unlocked
    def RemoveVirtualNic(self, call: Call, device: str) -> None:
        """Remove a vmkernel NIC and its services."""
        del call
        host = self.host
        with host.io:
            with self.vcenter.lock:
                host.require_connected()
                self._nic(device)
            self._hostd("vmknic_remove", device=device)
            with self.vcenter.lock:
                del host.network.vmknics[device]
                for devices in host.network.selected.values():
                    devices.discard(device)
                self._changed()
            self._hostd_services()

    @unlocked
    def UpdateNetworkConfig(self, call: Call, config: Any, changeMode: str) -> Any:
        """Edit TCP/IP stacks: changeMode `modify`, netStackSpec entries of operation `edit` only (vsphere.md 2.4)."""
        del call
        if changeMode != "modify":
            raise vmodl.fault.NotSupported(msg="Only changeMode 'modify' is simulated")
        given = [p.name for p in config._GetPropertyList() if getattr(config, p.name)]  # noqa: SLF001
        if [name for name in given if name != "netStackSpec"]:
            raise vmodl.fault.NotSupported(msg=f"Only netStackSpec is simulated, not {given}")
        for spec in config.netStackSpec:
            if spec.operation not in {None, "edit"}:
                raise vmodl.fault.NotSupported(msg="Only the operation 'edit' is supported")
            self._edit(spec.netStackInstance)
        return vim.host.NetworkConfig.Result()

    def _edit(self, instance: Any) -> None:
        with self.host.io:
            with self.vcenter.lock:
                self.host.require_connected()
                stack = self.host.network.netstacks.get(instance.key)
                if stack is None:
                    raise wrong(name="config.netStackSpec.netStackInstance.key")
                algorithm = instance.congestionControlAlgorithm
                if algorithm is not None and algorithm not in {"newreno", "cubic"}:
                    raise wrong(name="config.netStackSpec.netStackInstance.congestionControlAlgorithm")
                stack.congestion_control = algorithm or stack.congestion_control
                stack.max_connections = instance.requestedMaxNumberOfConnections or stack.max_connections
                self._changed()
            if instance.ipRouteConfig is not None:
                self._gateway(stack, instance.ipRouteConfig.defaultGateway or None)
            # unconfirmed: routeTableConfig here works for the vmotion stack on every build (vsphere.md 2.4)
            if instance.routeTableConfig is not None:
                self._routes(stack, instance.routeTableConfig)

    def _gateway(self, stack: Netstack, gateway: str | None) -> None:
        if gateway in {"", "0.0.0.0"}:
            gateway = None
        if gateway is not None:
            _address(gateway, "ipRouteConfig.defaultGateway")
        self._hostd("default_gateway", netstack=stack.key, gateway=gateway)
        with self.vcenter.lock:
            stack.gateway = gateway
            self._changed()

    def _routes(self, stack: Netstack, config: Any) -> None:
        for change in config.ipRoute:
            if change.changeOperation == "ignore":
                continue
            route = change.route
            prefix = f"{route.network}/{route.prefixLength}"
            self.route(stack, prefix, route.gateway, add=change.changeOperation == "add")

    def route(self, stack: Netstack, prefix: str, gateway: str, *, add: bool, by_esxcli: bool = False) -> None:
        """Add or remove one route of *stack*; AlreadyExists, NotFound, InvalidArgument.

        What was changed *by_esxcli* the vCenter does not show until it is told to look (unconfirmed, vsphere.md 2.4).
        """
        try:
            IPv4Network(prefix)
        except ValueError:
            raise wrong(name="route.network") from None
        _address(gateway, "route.gateway")
        with self.host.io:
            with self.vcenter.lock:
                self.host.require_connected()
                known = (prefix, gateway) in stack.routes
                if add and known:
                    raise vim.fault.AlreadyExists(name=prefix, msg="The specified key already exists.")
                if not add and not known:
                    raise vim.fault.NotFound(msg=f"No route to {prefix} via {gateway}")
                if add and host_data.device_of(self.host, stack, gateway) is None:
                    raise vim.fault.HostConfigFault(msg=f"The gateway {gateway} is not on any network")
            self._hostd("route_add" if add else "route_remove", netstack=stack.key, prefix=prefix, gateway=gateway)
            with self.vcenter.lock:
                shown = {stack.key: list(stack.routes), **self.shown} if by_esxcli else {}
                if add:
                    stack.routes.append((prefix, gateway))
                else:
                    stack.routes.remove((prefix, gateway))
                self._changed()
                self.shown.update(shown)

    @unlocked
    def UpdateIpRouteTableConfig(self, call: Call, config: Any) -> None:
        """Change routes of the default stack, the older call (vsphere.md 2.4)."""
        del call
        self._routes(self.host.network.netstacks[DEFAULT_STACK], config)

    @unlocked
    def UpdateIpRouteConfig(self, call: Call, config: Any) -> None:
        """Change the default stack's gateway, the older call."""
        del call
        self.host.require_connected()
        with self.host.io:
            self._gateway(self.host.network.netstacks[DEFAULT_STACK], config.defaultGateway or None)


def wrong(name: str) -> Any:
    """Return the InvalidArgument for the parameter *name*."""
    return vmodl.fault.InvalidArgument(invalidProperty=name, msg=f"A specified parameter was not correct: {name}")


def _address(text: str, name: str) -> None:
    try:
        IPv4Address(text)
    except AddressValueError:
        raise wrong(name) from None


def _ip(nic: Any) -> tuple[str, int]:
    six = nic.ip.ipV6Config.ipV6Address if nic.ip is not None and nic.ip.ipV6Config is not None else ()
    if any(one.dadState is not None or one.lifetime is not None for one in six or ()):
        raise wrong(name="nic.ip.ipV6Config")  # unconfirmed: these are states, which nobody can set
    if nic.ip is None or nic.ip.dhcp or not nic.ip.ipAddress or not nic.ip.subnetMask:
        raise wrong(name="nic.ip")
    try:
        IPv4Address(nic.ip.ipAddress)
        return nic.ip.ipAddress, IPv4Network(f"0.0.0.0/{nic.ip.subnetMask}").prefixlen
    except (AddressValueError, NetmaskValueError):
        raise wrong(name="nic.ip") from None


def _override(nic: Any, old: str | None) -> str | None:
    if nic.ipRouteSpec is None or nic.ipRouteSpec.ipRouteConfig is None:
        return old
    gateway = nic.ipRouteSpec.ipRouteConfig.defaultGateway
    if not gateway:
        return None
    _address(gateway, "nic.ipRouteSpec")
    return str(gateway)
