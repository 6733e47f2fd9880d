"""A host of an estate: what its document says of it stands in place of the lab's own figures."""

# ruff: noqa: ANN401 - pyVmomi makes its types at run time
from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pyVmomi import VmomiSupport, vim

from lrvmotion.lab.estate.form import Row
from lrvmotion.lab.vcenter import host_data
from lrvmotion.lab.vcenter.host_state import (
    DEFAULT_STACK,
    VMOTION_STACK,
    Netstack,
    NetworkState,
    PortGroup,
    Vmknic,
    mac,
)
from lrvmotion.lab.vcenter.host_system import HostSystem
from lrvmotion.lab.vcenter.hostd_client import HostdError
from lrvmotion.lab.vcenter.managed_object import Values
from lrvmotion.lab.vcenter.network import DistributedVirtualPortgroup
from lrvmotion.lab.vcenter.option_table import Option

H: Any = vim.host
LONG: Any = VmomiSupport.vmodlTypes["long"]
NOWHERE = "169.254.1.1"  # of a vmknic that has no IPv4 address
SET_BY_MODES = (  # the options that an estate tells of: one that it does not name is not there
    "Migrate.VMotionStreamHelpers", "Migrate.NetExpectedLineRateMBps", "Migrate.BindToVmknic",
    "Net.TcpipRxDispatchQueues",
)  # fmt: skip


def _told(getter: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return *getter* for what a host tells only while it is connected, or once was."""
    return lambda host: getter(host) if host.connection == "connected" or host.row["vmknics"] else None


def summary(host: Any) -> Any:
    """Return the HostListSummary."""
    made = host_data.summary(host)
    made.hardware.memorySize = LONG(host.row["memory_bytes"])
    made.quickStats.overallMemoryUsage += host.memory_held >> 20
    made.config.product = product(host)
    made.rebootRequired = made.rebootRequired or host.reboot_required
    return made


def product(host: Any) -> Any:
    """Return the host's AboutInfo, None where the estate has no version of it."""
    if not host.row["version"]:
        return None
    made = host_data.product(host)
    made.version = host.row["version"]
    return made


def capability(host: Any) -> Any:
    """Return what the host can do."""
    made = host_data.capability(host)
    if made is not None:
        made.gatewayOnNicSupported = bool(host.row.get("gateway_on_nic"))
        made.encryptedVMotionSupported = host.row.get("encrypted_vmotion")
        made.maxNumDisksSVMotion = host.row.get("most_disks")
    return made


def network_info(host: Any) -> Any:
    """Return the HostNetworkInfo with the switches and uplinks that the estate tells of."""
    made = host_data.network_info(host)
    if made is None:
        return None
    cards = dict.fromkeys(name for switch in host.switching.values() for name in switch)
    made.pnic = [
        H.PhysicalNic(
            key=_card(name), device=name, pci=f"0000:{number:02x}:00.0", driver="veth",
            mac=f"00:50:56:5f:{host.number % 256:02x}:{number % 256:02x}", spec=H.PhysicalNic.Specification(),
            linkSpeed=H.PhysicalNic.LinkSpeedDuplex(speedMb=host.speeds[name], duplex=True)
            if host.speeds.get(name) else None,
        )
        for number, name in enumerate(dict.fromkeys([*host.speeds, *cards]))
    ]  # fmt: skip
    standard = sorted({group.switch for group in host.network.portgroups.values()})
    made.vswitch = [_vswitch(host, name) for name in standard]
    made.proxySwitch = [_proxy(host, switch) for switch in host.distributed_switches()]
    for group in made.portgroup:
        uplinks = host.teams.get(group.spec.name)
        if uplinks is not None:
            order = H.NetworkPolicy.NicOrderPolicy(activeNic=list(uplinks[0]), standbyNic=list(uplinks[1]))
            group.spec.policy = H.NetworkPolicy(nicTeaming=H.NetworkPolicy.NicTeamingPolicy(nicOrder=order))
    return made


def _card(name: str) -> str:
    return f"key-vim.host.PhysicalNic-{name}"


def _vswitch(host: Any, name: str) -> Any:
    cards = host.switching.get(name, [])
    return H.VirtualSwitch(
        name=name, key=f"key-vim.host.VirtualSwitch-{name}", numPorts=1536, numPortsAvailable=1500, mtu=1500,
        portgroup=[
            f"key-vim.host.PortGroup-{group.name}" for group in host.network.portgroups.values() if group.switch == name
        ],
        pnic=[_card(card) for card in cards],
        spec=H.VirtualSwitch.Specification(
            numPorts=128, mtu=1500, bridge=H.VirtualSwitch.BondBridge(nicDevice=list(cards)) if cards else None
        ),
    )  # fmt: skip


def _proxy(host: Any, switch: Any) -> Any:
    return H.HostProxySwitch(
        dvsUuid=switch.uuid, dvsName=switch.name, key=f"key-vim.host.HostProxySwitch-{switch.uuid}",
        numPorts=1024, numPortsAvailable=1000, mtu=1500,
        pnic=[_card(card) for card in host.switching.get(switch.uuid, [])], spec=H.HostProxySwitch.Specification(),
    )  # fmt: skip


def config(host: Any) -> Any:
    """Return the HostConfigInfo."""
    made = host_data.config(host)
    if made is not None:
        made.network = network_info(host)
        if host.row["version"]:  # which a ConfigInfo always has
            made.product = product(host)
    return made


class EstateHost(HostSystem):
    """The host of the *row*; its process is called by its moId."""

    values: ClassVar[Values] = {
        **HostSystem.values,
        "summary": summary,
        "summary.config.product": product,
        "summary.maxEVCModeKey": lambda host: host.max_evc or None,
        "runtime.bootTime": lambda host: host.boot_time if host.boot_told else None,
        "capability": capability,
        "config": config,
        "config.network": network_info,
        "config.product": product,
    }
    __slots__ = ("boot_told", "memory_held", "reboot_required", "row", "speeds", "switching", "teams")

    def __init__(self, vcenter: Any, spec: Any, parent: Any, number: int, row: Row) -> None:
        self.row = row
        self.memory_held = 0
        self.speeds: dict[str, int] = {name: speed for links in row["uplinks"].values() for name, speed in links}
        self.teams: dict[str, tuple[list[str], list[str]]] = {}
        self.switching: dict[str, list[str]] = {}  # uplinks by the name of a standard switch, the uuid of another
        super().__init__(vcenter, spec, parent, number)
        self.name = row["name"]
        self.maintenance = row["in_maintenance"]
        self.reboot_required = bool(row.get("reboot_required"))
        self.evc, self.max_evc = row.get("evc_mode") or "", row.get("max_evc_mode") or ""
        self.most_disks, self.encrypted_vmotion = row.get("most_disks") or 0, bool(row.get("encrypted_vmotion"))
        self.boot_told = bool(row.get("boot_time"))
        if row.get("boot_time"):
            self.boot_time = datetime.fromisoformat(row["boot_time"])
        if row["connection_state"] != "connected":
            self.connection, self.held = row["connection_state"], True

    def settle(self, options: Row) -> None:
        """Take over network and *options*, once the networks that it has are known."""
        self.network = self._network()
        table = {key: option for key, option in self.options.table.items() if key not in SET_BY_MODES}
        for key, told in options.items():
            bounds = told["bounds"]
            known = self.options.table.get(key)
            summary = known.summary if known else key
            if bool(bounds["reboot"]) != ("reboot" in summary.lower()):
                summary = f"{key} REQUIRES REBOOT!" if bounds["reboot"] else key
            table[key] = Option(
                key=key, default=bounds["default"], low=bounds["minimum"], high=bounds["maximum"],
                reboot=bounds["reboot"], summary=summary,
            )  # fmt: skip
        self.options.table = table
        self.options.values_now = {
            key: options[key]["value"] if key in options else option.default for key, option in table.items()
        }
        self.options.effective = dict(self.options.values_now)

    def hold_memory(self, used: int) -> None:
        """Let *used* bytes be in use, those of its VMs included."""
        self.memory_held = used - sum(vm.memory_bytes for vm in self.machines.values() if vm.powered_on)

    def distributed_switches(self) -> list[Any]:
        """Return the distributed switches that it is on."""
        found = [net.switch for net in self.vm_networks if isinstance(net, DistributedVirtualPortgroup)]
        return list({switch.moid: switch for switch in found}.values())

    def distributed_portgroups(self) -> list[Any]:
        """Return their port groups."""
        return [group for switch in self.distributed_switches() for group in switch.portgroups]

    def standard_switches(self) -> set[str]:
        """Return the names of its standard switches."""
        return {group.switch for group in self.network.portgroups.values()}

    def hardware_versions(self) -> list[int]:
        """Return the virtual hardware versions that the estate tells of."""
        told = self.vcenter.estate.get("hardware", {}).get(self.row["ref"], ())
        return sorted(int(version.rpartition("-")[2]) for version in told)

    def attach(self) -> bool:
        """Connect as any host does, but stay as the estate has it where it is not connected there."""
        return not self.held and super().attach()

    def push(self) -> None:
        """Make the network configuration real as far as the host's process takes it: a real host has more ways."""
        with self.io:
            self.hostd.call("reset")
            for nic in self.network.vmknics.values():
                with contextlib.suppress(HostdError):
                    self.hostd.call("vmknic_add", **nic.wire())
            for stack in self.network.netstacks.values():
                if stack.gateway:
                    with contextlib.suppress(HostdError):
                        self.hostd.call("default_gateway", netstack=stack.key, gateway=stack.gateway)
                for prefix, gateway in stack.routes:
                    with contextlib.suppress(HostdError):
                        self.hostd.call("route_add", netstack=stack.key, prefix=prefix, gateway=gateway)
            self.push_services()

    def document(self) -> dict[str, Any]:
        """Return the host for the witness, with what its process is called."""
        return {**super().document(), "process": self.spec.name}

    def uptime(self) -> timedelta:
        """Return the time since boot."""
        return max(super().uptime(), timedelta(0))

    def _network(self) -> NetworkState:
        row = self.row
        state = NetworkState(standard=bool(row["portgroups"]))
        gateways = dict(next((one.gateways for one in self.vcenter.site.hosts if one.name == self.spec.name), ()))
        for key in dict.fromkeys([DEFAULT_STACK, VMOTION_STACK, *row["congestion_control"]]):
            state.netstacks[key] = Netstack(
                key=key, congestion_control=row["congestion_control"].get(key, ""), gateway=gateways.get(key)
            )
        for told, gateway in row["routes"].items():
            stack, _, prefix = told.partition("/")
            state.netstacks.setdefault(stack, Netstack(key=stack)).routes.append((prefix, gateway))
        ports = {(net.switch.uuid, net.key): net.moid for net in self._distributed()}
        for nic in row["vmknics"]:
            state.netstacks.setdefault(nic["netstack"], Netstack(key=nic["netstack"], congestion_control=""))
            state.vmknics[nic["device"]] = Vmknic(
                device=nic["device"], mac=nic["mac"], address=nic["address"], prefix_length=nic["prefix_length"],
                mtu=nic["mtu"], portgroup=nic["portgroup"], netstack=nic["netstack"], gateway=nic.get("gateway"),
                dvport=ports.get((nic.get("switch_uuid"), nic.get("portgroup_key"))), dhcp=bool(nic.get("dhcp")),
            )  # fmt: skip
            for service in nic["services"]:
                state.selected.setdefault(service, set()).add(nic["device"])
        for name, lease in (("ipv6_vmotion", True), ("leaseless_vmotion", False)):
            for number, device in enumerate(row.get(name) or (), 1):
                ipv6 = f"fd00::{self.number:x}:{number:x}" if lease else ""
                state.vmknics[device] = self._without_address(device, dhcp=not lease, lease=lease, ipv6=ipv6)
                state.selected.setdefault("vmotion", set()).add(device)
        for device in row["uplinks"]:  # one that has no IPv4 address and does not carry vMotion is told of here alone
            state.vmknics.setdefault(device, self._without_address(device, lease=False))
        for group in row["portgroups"]:
            state.portgroups[group["name"]] = PortGroup(
                name=group["name"], vlan=group["vlan_id"], switch=group["vswitch"]
            )
            active, standby = group.get("active") or [], group.get("standby") or []
            if active or standby:
                self.teams[group["name"]] = (active, standby)
        self._switch(state)
        for nic in [nic for nic in state.vmknics.values() if not nic.reachable]:
            wanted = [name for name, _ in row["uplinks"].get(nic.device, ())]
            nic.portgroup = next((name for name in state.portgroups if self._uplinks(state, name) == wanted), "")
        return state

    def _without_address(self, device: str, **more: Any) -> Vmknic:
        own = mac(2, self.number, int(device.removeprefix("vmk")) if device.removeprefix("vmk").isdigit() else 0)
        return Vmknic(device=device, mac=own, address=NOWHERE, prefix_length=16, **more)

    def _uplinks(self, state: NetworkState, group: str) -> list[str]:
        own = self.teams.get(group, ([], []))[0]
        return own or self.switching.get(state.portgroups[group].switch, [])

    def _switch(self, state: NetworkState) -> None:
        """Give each switch the uplinks that its vmknics have where their port group does not name its own."""
        for nic in self.row["vmknics"]:
            uplinks = [name for name, _ in self.row["uplinks"].get(nic["device"], ())]
            if nic.get("switch_uuid"):
                self.switching[nic["switch_uuid"]] = uplinks
            elif nic["portgroup"] in state.portgroups and not self.teams.get(nic["portgroup"], ((), ()))[0]:
                self.switching[state.portgroups[nic["portgroup"]].switch] = uplinks

    def _distributed(self) -> list[DistributedVirtualPortgroup]:
        return list(self.vcenter.registry.of_type("DistributedVirtualPortgroup"))
