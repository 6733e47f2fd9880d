"""The labs that the commands build: the one that stays up, and the demo's."""

from __future__ import annotations

from dataclasses import replace

from lrvmotion.lab.spec import MIB, BoxSpec, HostSpec, LabSpec, SiteSpec, VmknicSpec, VmSpec, WanSpec

GIB = 1024 * MIB
PASSWORD_LENGTH = 20


def _hosts(prefix: str, network: str, count: int, router: str) -> tuple[HostSpec, ...]:
    """Return hosts as the field report has them: one vMotion vmknic each, beside a management one (vmk0).

    Every second host has its vMotion vmknic on the vMotion netstack, the others on the default one.
    """
    hosts = []
    for number in range(1, count + 1):
        netstack = "defaultTcpipStack" if number % 2 else "vmotion"
        management = VmknicSpec(
            device="vmk0",
            address=f"192.168.{network.split('.')[1]}.{10 + number}",
            portgroup="Management Network",
            services=("management",),
        )
        vmotion = VmknicSpec(
            device="vmk1",
            address=f"{network}.{8 + number}",
            netstack=netstack,
            services=("vmotion",),
        )
        # One gateway a stack: the default stack's is the vMotion network's router where it has that vmknic too.
        gateways: tuple[tuple[str, str], ...] = ((netstack, router),)
        if netstack != "defaultTcpipStack":
            gateways += (("defaultTcpipStack", f"{management.address.rpartition('.')[0]}.254"),)
        hosts.append(HostSpec(name=f"{prefix}{number}", vmknics=(management, vmotion), gateways=gateways))
    return tuple(hosts)


def standard(name: str, *, net: bool, passwords: tuple[str, str], hosts: int = 2, vms: int | None = None) -> LabSpec:
    """Return the standard lab: two sites as in the field report, four small VMs, the field profile on the circuit.

    With *vms* each site has that many VMs: vm1, vm2, … at the source; other1, other2, … at the target.
    """
    moving = tuple(
        VmSpec(
            name=f"vm{number}",
            host=f"esx-a{1 + (number - 1) % hosts}",
            memory_bytes=128 * MIB,
            disk_bytes=256 * MIB,
            dirty_bps=512 * 1024,
        )
        for number in range(1, 1 + (4 if vms is None else vms))
    )
    others = tuple(
        replace(vm, name=f"other{number}", host=vm.host.replace("esx-a", "esx-b"))
        for number, vm in enumerate(moving if vms is not None else (), 1)
    )
    source = SiteSpec(
        name="source",
        lan="10.88.0.0/24",
        router="10.88.0.254",
        vcenter="vcsa-a.lab",
        username="administrator@vsphere.local",
        password=passwords[0],
        hosts=_hosts("esx-a", "10.88.0", hosts, "10.88.0.254"),
        vms=moving,
        boxes=(BoxSpec(name="relay-a", address="10.88.0.1"),) if net else (),
    )
    target = SiteSpec(
        name="target",
        lan="10.99.0.0/24",
        router="10.99.0.254",
        vcenter="vcsa-b.lab",
        username="administrator@vsphere.local",
        password=passwords[1],
        hosts=_hosts("esx-b", "10.99.0", hosts, "10.99.0.254"),
        vms=others,
        boxes=(BoxSpec(name="relay-b", address="10.99.0.1"),) if net else (),
    )
    return LabSpec(name=name, net=net, source=source, target=target, wan=WanSpec())


# What a VM of each mode carries, so that its move fills at least 20 s of the field profile's circuit at the rates that
# were measured on it (stock 4 %, native 23 %, relay 88 % of 1 Gbit/s).
DEMO_SIZES = {"stock": 152 * MIB, "native": 720 * MIB, "proxy": 2700 * MIB}
# The field report's own figures on 10 Gbit/s, 55 ms: stock "a few hundred megabits", native 2.4, socat 4+ Gbit/s.
FIELD_REPORT = {"stock": "2-5 %", "native": "24 %", "proxy": "40 % (socat)"}


def demo(name: str, passwords: tuple[str, str]) -> LabSpec:
    """Return the demo's lab: one host a site, one VM for each mode."""
    spec = standard(name, net=True, passwords=passwords, hosts=1)
    vms = tuple(
        VmSpec(name=f"{mode}-vm", host="esx-a1", memory_bytes=32 * MIB, disk_bytes=size - 32 * MIB, dirty_bps=64 * 1024)
        for mode, size in DEMO_SIZES.items()
    )
    return replace(spec, source=replace(spec.source, vms=vms), target=replace(spec.target, boxes=()))
