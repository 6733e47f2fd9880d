"""A host's properties as the API shows them."""

# ruff: noqa: ANN401 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address
from typing import Any

from pyVmomi import VmomiSupport, vim

from lrvmotion.lab.vcenter import datastore
from lrvmotion.lab.vcenter.host_state import DEFAULT_STACK, Netstack, Vmknic

H: Any = vim.host
LONG: Any = VmomiSupport.vmodlTypes["long"]


def product(host: Any) -> Any:
    """Return the host's AboutInfo."""
    spec = host.spec
    return vim.AboutInfo(
        name="VMware ESXi",
        fullName=f"VMware ESXi {spec.version} build-{spec.build}",
        vendor="VMware, Inc.",
        version=spec.version,
        build=spec.build,
        osType="vmnix-x86",
        productLineId="embeddedEsx",
        apiType="HostAgent",
        apiVersion=f"{spec.version}.0",
    )


def runtime(host: Any) -> Any:
    """Return the HostRuntimeInfo."""
    return vim.host.RuntimeInfo(
        connectionState=host.connection,
        powerState="poweredOn" if host.connection == "connected" else "unknown",
        inMaintenanceMode=host.maintenance,
        bootTime=host.boot_time,
    )


def capability(host: Any) -> Any:
    """Return what the host can do, of what movers look at."""
    return (
        H.Capability(
            vmotionSupported=True,
            storageVMotionSupported=True,
            vmotionWithStorageVMotionSupported=True,
            vmotionAcrossNetworkSupported=True,
            gatewayOnNicSupported=True,
            maintenanceModeSupported=True,
            rebootSupported=True,
            encryptedVMotionSupported=host.encrypted_vmotion,
            maxNumDisksSVMotion=host.most_disks,
            vlanTaggingSupported=True,
        )
        if host.connection == "connected"
        else None
    )


def summary(host: Any) -> Any:
    """Return the HostListSummary."""
    return vim.host.Summary(
        host=host.ref,
        hardware=H.Summary.HardwareSummary(
            vendor="lrvmotion lab",
            model="namespace",
            uuid=VM_UUID.format(host.number),
            memorySize=LONG(1 << 38),
            cpuModel="simulated",
            cpuMhz=2000,
            numCpuPkgs=1,
            numCpuCores=16,
            numCpuThreads=16,
            numNics=1,
            numHBAs=0,
        ),
        runtime=runtime(host),
        config=H.Summary.ConfigSummary(
            name=host.name,
            port=443,
            product=product(host),
            vmotionEnabled=bool(host.network.vmotion()),
            faultToleranceEnabled=False,
        ),
        quickStats=H.Summary.QuickStats(
            overallMemoryUsage=sum(vm.memory_bytes for vm in host.machines.values() if vm.powered_on) >> 20,
            uptime=int(host.uptime().total_seconds()),
        ),
        overallStatus="green",
        maxEVCModeKey=host.max_evc,
        currentEVCModeKey=host.evc or None,
        rebootRequired=host.options.values_now != host.options.effective,
    )


VM_UUID = "00000000-0000-4000-8000-{:012d}"


def _ip(nic: Vmknic) -> Any:
    """Return the addresses of a vmkernel NIC, the link-local one with its state, as a recorded ESXi 8.0.3 has it."""
    six = H.IpConfig.IpV6Address
    local = IPv6Address((0xFE80 << 112) + int(nic.mac.replace(":", ""), 16))
    addresses = [six(ipAddress=str(local), prefixLength=64, origin="other", dadState="preferred")]
    if nic.ipv6:
        addresses.append(six(ipAddress=nic.ipv6, prefixLength=64, origin="manual", dadState="preferred"))
    here = nic.reachable
    return H.IpConfig(
        dhcp=nic.dhcp,
        ipAddress=nic.address if here else None,
        subnetMask=nic.mask if here else None,
        ipV6Config=H.IpConfig.IpV6AddressConfiguration(
            ipV6Address=addresses, autoConfigurationEnabled=False, dhcpV6Enabled=False
        ),
    )


def vnic(host: Any, nic: Vmknic) -> Any:
    """Return a vmkernel NIC."""
    port = None
    if nic.dvport:
        port = host.vcenter.registry.find(nic.dvport).connection()
    segment = H.VirtualNic.OpaqueNetworkSpec(opaqueNetworkId=nic.opaque, opaqueNetworkType="nsx.LogicalSwitch")
    route = H.VirtualNic.IpRouteSpec(ipRouteConfig=H.IpRouteConfig(defaultGateway=nic.gateway))
    return H.VirtualNic(
        device=nic.device,
        key=nic.key,
        portgroup=nic.portgroup,
        spec=H.VirtualNic.Specification(
            ip=_ip(nic),
            mac=nic.mac,
            distributedVirtualPort=port,
            opaqueNetwork=segment if nic.opaque else None,
            portgroup=nic.portgroup or None,
            mtu=nic.mtu,
            tsoEnabled=True,
            netStackInstanceKey=nic.netstack,
            ipRouteSpec=route if nic.gateway else None,
        ),
    )


def netstack(host: Any, stack: Netstack) -> Any:
    """Return a TCP/IP stack."""
    return H.NetStackInstance(
        key=stack.key,
        name=stack.key,
        ipRouteConfig=H.IpRouteConfig(defaultGateway=stack.gateway or ""),
        requestedMaxNumberOfConnections=stack.max_connections,
        congestionControlAlgorithm=stack.congestion_control,
        ipV6Enabled=False,
        routeTableConfig=H.IpRouteTableConfig(
            ipRoute=[
                H.IpRouteOp(changeOperation="ignore", route=entry(host, stack, prefix, gateway))
                for prefix, gateway in shown_routes(host, stack)
            ]
        ),
    )


def shown_routes(host: Any, stack: Netstack) -> list[tuple[str, str]]:
    """Return the routes of *stack* in the vCenter's copy of the host's network, as (prefix, gateway)."""
    shown: list[tuple[str, str]] = host.network_system.shown.get(stack.key, stack.routes)
    return shown


def entry(host: Any, stack: Netstack, prefix: str, gateway: str) -> Any:
    """Return a route; its device is the vmkernel NIC whose network holds the gateway."""
    network, _, length = prefix.partition("/")
    return H.IpRouteEntry(
        network=network, prefixLength=int(length), gateway=gateway, deviceName=device_of(host, stack, gateway)
    )


def device_of(host: Any, stack: Netstack, gateway: str) -> str | None:
    """Return the vmkernel NIC of *stack* in whose network *gateway* is."""
    from ipaddress import IPv4Address

    for nic in host.network.vmknics.values():
        if nic.netstack == stack.key and gateway and IPv4Address(gateway) in nic.network:
            return str(nic.device)
    return None


def network_info(host: Any) -> Any:
    """Return the HostNetworkInfo; None for a host that is away."""
    if host.connection != "connected":
        return None
    state = host.network
    default = state.netstacks[DEFAULT_STACK]
    pnic = H.PhysicalNic(
        key="key-vim.host.PhysicalNic-vmnic0",
        device="vmnic0",
        pci="0000:00:00.0",
        driver="veth",
        mac=f"00:50:56:5f:{host.number % 256:02x}:00",
        linkSpeed=H.PhysicalNic.LinkSpeedDuplex(speedMb=10000, duplex=True),
        spec=H.PhysicalNic.Specification(),
    )
    return H.NetworkInfo(
        vswitch=[_vswitch(host)] if state.standard else [],
        proxySwitch=[_proxy(host)] if host.switch is not None else [],
        portgroup=[_portgroup(host, group) for group in state.portgroups.values()],
        pnic=[pnic],
        vnic=[vnic(host, nic) for nic in state.vmknics.values()],
        ipRouteConfig=H.IpRouteConfig(defaultGateway=default.gateway or ""),
        routeTableInfo=H.IpRouteTableInfo(ipRoute=[entry(host, default, p, g) for p, g in shown_routes(host, default)]),
        ipV6Enabled=False,
        netStackInstance=[netstack(host, stack) for stack in state.netstacks.values()],
    )


def _vswitch(host: Any) -> Any:
    return H.VirtualSwitch(
        name="vSwitch0",
        key="key-vim.host.VirtualSwitch-vSwitch0",
        numPorts=1536,
        numPortsAvailable=1500,
        mtu=1500,
        portgroup=[f"key-vim.host.PortGroup-{name}" for name in host.network.portgroups],
        pnic=["key-vim.host.PhysicalNic-vmnic0"],
        spec=H.VirtualSwitch.Specification(
            numPorts=128, mtu=1500, bridge=H.VirtualSwitch.BondBridge(nicDevice=["vmnic0"])
        ),
    )


def _proxy(host: Any) -> Any:
    return H.HostProxySwitch(
        dvsUuid=host.switch.uuid,
        dvsName=host.switch.name,
        key=f"key-vim.host.HostProxySwitch-{host.switch.uuid}",
        numPorts=1024,
        numPortsAvailable=1000,
        mtu=1500,
        pnic=["key-vim.host.PhysicalNic-vmnic0"],
        spec=H.HostProxySwitch.Specification(),
    )


def _portgroup(host: Any, group: Any) -> Any:
    used = [
        H.PortGroup.Port(key=f"{nic.device}", mac=[nic.mac], type="host")
        for nic in host.network.vmknics.values()
        if nic.portgroup == group.name
    ]
    return H.PortGroup(
        key=f"key-vim.host.PortGroup-{group.name}",
        port=used,
        vswitch=f"key-vim.host.VirtualSwitch-{group.switch}",
        computedPolicy=H.NetworkPolicy(),
        spec=H.PortGroup.Specification(
            name=group.name, vlanId=group.vlan, vswitchName=group.switch, policy=H.NetworkPolicy()
        ),
    )


def config(host: Any) -> Any:
    """Return the HostConfigInfo; None for a host that is away (vsphere.md 2.6)."""
    if host.connection != "connected":
        return None
    return H.ConfigInfo(
        host=host.ref,
        product=product(host),
        network=network_info(host),
        virtualNicManagerInfo=H.VirtualNicManagerInfo(netConfig=host.nic_manager.all_configs()),
        option=[host.options.shown(key) for key in host.options.table],
    )


def config_manager(host: Any) -> Any:
    """Return the references to the host's managers."""
    return H.ConfigManager(
        advancedOption=host.options.ref,
        networkSystem=host.network_system.ref,
        virtualNicManager=host.nic_manager.ref,
    )


VALUES: dict[str, Callable[[Any], Any]] = {
    "runtime": runtime,
    "runtime.connectionState": lambda host: host.connection,
    "runtime.inMaintenanceMode": lambda host: host.maintenance,
    "runtime.bootTime": lambda host: host.boot_time,
    "summary": summary,
    "summary.config.product": product,
    "summary.maxEVCModeKey": lambda host: host.max_evc,
    "summary.currentEVCModeKey": lambda host: host.evc or None,
    "config": config,
    "config.network": network_info,
    "config.product": lambda host: product(host) if host.connection == "connected" else None,
    "configManager": config_manager,
    "configManager.advancedOption": lambda host: host.options,
    "configManager.networkSystem": lambda host: host.network_system,
    "configManager.virtualNicManager": lambda host: host.nic_manager,
    "capability": capability,
    "vm": lambda host: list(host.machines.values()),
    "network": lambda host: host.networks(),
    "datastore": datastore.mounted,
}
