"""vmkernel NICs, port groups and their services out of the API's data objects; pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from pyVmomi import vim

from lrvmotion.model.inventory import DEFAULT_STACK, VMOTION_STACK, HostPortGroup, Vmknic

DEFAULT_MTU = 1500
Spec = vim.host.VirtualSwitch.Specification | vim.host.PortGroup.Specification | None


def prefix_length(mask: str | None) -> int:
    """Return the prefix length of a dotted *mask*, 32 where there is none."""
    return ipaddress.ip_network(f"0.0.0.0/{mask}").prefixlen if mask else 32


def netmask(length: int) -> str:
    """Return the dotted mask of a prefix *length*."""
    return str(ipaddress.ip_network(f"0.0.0.0/{length}").netmask)


def selected(config: vim.host.VirtualNicManager.NetConfig) -> set[str]:
    """Return the devices selected for one service; selectedVnic holds keys of candidates (vsphere.md 2.2)."""
    devices = {str(nic.key): str(nic.device) for nic in config.candidateVnic or ()}
    return {devices.get(str(key), str(key).rpartition("-")[2]) for key in config.selectedVnic or ()}


def services(configs: Iterable[vim.host.VirtualNicManager.NetConfig]) -> dict[str, set[str]]:
    """Return the nicTypes of each device out of all NetConfigs of a host."""
    found: dict[str, set[str]] = {}
    for config in configs:
        for device in selected(config):
            found.setdefault(device, set()).add(str(config.nicType))
    return found


def address(nic: vim.host.VirtualNic) -> str | None:
    """Return the IPv4 address of *nic*, None without one."""
    ip = nic.spec.ip
    found = str(ip.ipAddress) if ip is not None and ip.ipAddress else None
    # What a DHCP client gives itself where no server answers (RFC 3927) leads nowhere.
    return None if found is not None and dhcp(nic) and found.startswith("169.254.") else found


def dhcp(nic: vim.host.VirtualNic) -> bool:
    """Whether a DHCP server gives *nic* its IPv4 address."""
    return nic.spec.ip is not None and bool(nic.spec.ip.dhcp)


def prefix(nic: vim.host.VirtualNic) -> int:
    """Return the prefix length of the IPv4 address of *nic*."""
    return prefix_length(nic.spec.ip.subnetMask if nic.spec.ip is not None else None)


def stack(nic: vim.host.VirtualNic) -> str:
    """Return the netstack of *nic*."""
    return str(nic.spec.netStackInstanceKey or DEFAULT_STACK)


def configured(ip: vim.host.IpConfig) -> vim.host.IpConfig:
    """Return *ip* as it was configured: of its IPv6 addresses those set by hand, and no state of theirs.

    A recorded ESXi 8.0.3 tells the link-local address, too, and of each its origin and the state of its detection.
    """
    six = ip.ipV6Config
    if six is not None:
        six.ipV6Address = [
            vim.host.IpConfig.IpV6Address(ipAddress=one.ipAddress, prefixLength=one.prefixLength, origin=one.origin)
            for one in six.ipV6Address or ()
            if str(one.origin) == "manual"
        ]
    return ip


def ipv6_gateway(nic: vim.host.VirtualNic) -> str | None:
    """Return the IPv6 default gateway override of *nic*, None without one."""
    route = nic.spec.ipRouteSpec
    config = route.ipRouteConfig if route is not None else None
    return str(config.ipV6DefaultGateway) if config is not None and config.ipV6DefaultGateway else None


def gateway(nic: vim.host.VirtualNic) -> str | None:
    """Return the default gateway override of *nic*, None without one."""
    route = nic.spec.ipRouteSpec
    config = route.ipRouteConfig if route is not None else None
    return str(config.defaultGateway) if config is not None and config.defaultGateway else None


def vmknics(
    nics: Iterable[vim.host.VirtualNic], configs: Iterable[vim.host.VirtualNicManager.NetConfig]
) -> tuple[Vmknic, ...]:
    """Return the vmknics that have an IPv4 address, by number."""
    used = services(configs)
    found = []
    for nic in nics:
        own = address(nic)
        if own is None:
            continue
        port = nic.spec.distributedVirtualPort
        found.append(
            Vmknic(
                device=str(nic.device),
                address=own,
                prefix_length=prefix(nic),
                mtu=int(nic.spec.mtu or DEFAULT_MTU),
                mac=str(nic.spec.mac or ""),
                portgroup=str(nic.portgroup or nic.spec.portgroup or ""),
                netstack=stack(nic),
                services=frozenset(used.get(str(nic.device), ())),
                gateway=gateway(nic),
                dhcp=dhcp(nic),
                switch_uuid=str(port.switchUuid) if port is not None else None,
                portgroup_key=str(port.portgroupKey) if port is not None else None,
            )
        )
    return tuple(sorted(found, key=lambda nic: (len(nic.device), nic.device)))


def without_ipv4(
    nics: Iterable[vim.host.VirtualNic], configs: Iterable[vim.host.VirtualNicManager.NetConfig]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the vMotion vmknics that have no IPv4 address: those with IPv6 alone, and those that have no lease."""
    used = services(configs)
    six: list[str] = []
    waiting: list[str] = []
    for nic in nics:
        if address(nic) is None and ("vmotion" in used.get(str(nic.device), ()) or stack(nic) == VMOTION_STACK):
            (waiting if dhcp(nic) else six).append(str(nic.device))
    return tuple(six), tuple(waiting)


def portgroup(group: vim.host.PortGroup) -> HostPortGroup:
    """Return a standard port group; its uplinks as set on itself, not as inherited from its switch."""
    spec = group.spec
    order = _order(spec)
    return HostPortGroup(
        name=str(spec.name),
        vswitch=str(spec.vswitchName),
        vlan_id=int(spec.vlanId),
        active=tuple(str(uplink) for uplink in order.activeNic or ()) if order is not None else (),
        standby=tuple(str(uplink) for uplink in order.standbyNic or ()) if order is not None else (),
    )


def routes(stacks: Iterable[vim.host.NetStackInstance]) -> dict[str, str]:
    """Return the gateway of each static route of the netstacks: "STACK/NETWORK/LENGTH"."""
    return {
        f"{item.key}/{operation.route.network}/{int(operation.route.prefixLength)}": str(operation.route.gateway)
        for item in stacks if item.routeTableConfig is not None
        for operation in item.routeTableConfig.ipRoute or () if operation.route.gateway
    }  # fmt: skip


def uplinks(network: Mapping[str, Any]) -> dict[str, tuple[tuple[str, int], ...]]:
    """Return the uplinks of each vmknic, by its device: (vmnic, Mbit/s of its link, 0 where it is down).

    *network* has a HostNetworkInfo's vnic, pnic, portgroup, vswitch and proxySwitch. A port group's own active uplinks
    win over its switch's, and these over all uplinks of the switch; on a distributed switch all of them count.
    """
    cards = {str(card.key): card for card in network.get("pnic") or ()}
    speeds = {str(card.device): int(card.linkSpeed.speedMb) if card.linkSpeed else 0 for card in cards.values()}
    switches: dict[str, list[str]] = {}
    for switch in network.get("vswitch") or ():
        switches[str(switch.name)] = _active(switch.spec) or _devices(switch, cards)
    proxies = {str(switch.dvsUuid): _devices(switch, cards) for switch in network.get("proxySwitch") or ()}
    groups = {
        str(group.spec.name): _active(group.spec) or switches.get(str(group.spec.vswitchName), [])
        for group in network.get("portgroup") or ()
    }
    found = {}
    for nic in network.get("vnic") or ():
        port = nic.spec.distributedVirtualPort
        mine = groups.get(str(nic.portgroup), []) if port is None else proxies.get(str(port.switchUuid), [])
        found[str(nic.device)] = tuple((device, speeds.get(device, 0)) for device in mine)
    return found


def _order(spec: Spec) -> vim.host.NetworkPolicy.NicOrderPolicy | None:
    """Return the order of uplinks that a switch or port group sets itself."""
    teaming = spec.policy.nicTeaming if spec is not None and spec.policy is not None else None
    return teaming.nicOrder if teaming is not None else None


def _active(spec: Spec) -> list[str]:
    """Return the active uplinks that it names itself."""
    order = _order(spec)
    return [str(uplink) for uplink in order.activeNic or ()] if order is not None else []


def _devices(
    switch: vim.host.VirtualSwitch | vim.host.HostProxySwitch, cards: Mapping[str, vim.host.PhysicalNic]
) -> list[str]:
    return [str(cards[str(key)].device) for key in switch.pnic or () if str(key) in cards]
