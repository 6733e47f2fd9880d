"""The lab's spec of an estate: its hosts as processes with their vmknics, and the network between the sites."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network

from lrvmotion.lab.estate.document import EstateError
from lrvmotion.lab.estate.form import Row, moid_of
from lrvmotion.lab.spec import BoxSpec, HostSpec, LabSpec, SiteName, SiteSpec, VmknicSpec, WanSpec

ACCOUNT = "administrator@vsphere.local"
SHRINK = 1000  # one of so many bytes is carried without a network
NEW_VMKNICS = 40  # addresses that the configuration offers for new vmknics
_VERSION = re.compile(r"[0-9]{1,3}(\.[0-9]{1,5})*")
_LANS = {"source": "10.88.0.0/24", "target": "10.99.0.0/24"}  # of a site without any vMotion vmknic


def spec(document: Row, name: str, *, net: bool, passwords: tuple[str, str], shrink: int = 1) -> LabSpec:
    """Return the spec of the lab *name* for the estate *document*; its VMs stand in the estate alone.

    A move carries one of *shrink* bytes.

    EstateError where *net* and both sites are in one subnet: the circuit between them has nowhere to be.
    """
    source = _site(document["source"], "source", passwords[0], net=net)
    target = _site(document["target"], "target", passwords[1], net=net)
    if net and IPv4Network(source.lan).overlaps(IPv4Network(target.lan)):
        message = f"the vMotion vmknics of both sites are in one subnet ({source.lan}, {target.lan})"
        raise EstateError(message, "add --no-net: a lab with a network has a circuit between two subnets")
    return LabSpec(name=name, net=net, source=source, target=target, wan=WanSpec(), shrink=shrink)


def running(document: Row) -> list[str]:
    """Return the names of the source's running VMs on connected hosts, those that another VM has left out."""
    inventory = document["source"]["inventory"]
    hosts = {host["ref"] for host in inventory["hosts"] if host["connection_state"] == "connected"}
    names = [vm["name"] for vm in inventory["vms"]]
    return [
        vm["name"]
        for vm in inventory["vms"]
        if vm["power_state"] == "poweredOn" and vm["host"] in hosts and names.count(vm["name"]) == 1
    ]


def host_spec(host: Row, *, gateway: str | None = None, lan: IPv4Network | None = None) -> HostSpec:
    """Return the process of *host*, called by its moId: a host may be called anything, and its socket may not."""
    stacks = {nic["netstack"] for nic in host["vmknics"] if lan is not None and _in(nic, lan) and _moves(nic)}
    return HostSpec(
        name=moid_of(host["ref"]),
        version=host["version"] if _VERSION.fullmatch(host["version"]) else "7.0.3",
        build=host["build"],
        gateways=tuple((stack, gateway) for stack in sorted(stacks) if gateway is not None),
        vmknics=tuple(
            VmknicSpec(
                device=nic["device"],
                address=nic["address"],
                prefix_length=nic["prefix_length"],
                mtu=nic["mtu"],
                portgroup=nic["portgroup"],
                netstack=nic["netstack"],
                services=tuple(nic["services"]),
                gateway=nic.get("gateway"),
            )
            for nic in host["vmknics"]
        ),
    )


def _site(site: Row, name: SiteName, password: str, *, net: bool) -> SiteSpec:
    hosts = [host for host in site["inventory"]["hosts"] if host["connection_state"] == "connected"]
    lan = _lan(hosts, name)
    taken = {IPv4Address(nic["address"]) for host in hosts for nic in host["vmknics"]}
    free = [address for address in _most(lan) if address not in taken]
    router, box = (free.pop(), free.pop(0)) if len(free) > 2 else (lan[-2], lan[1])
    return SiteSpec(
        name=name,
        lan=str(lan),
        router=str(router),
        vcenter=f"vcsa-{'a' if name == 'source' else 'b'}.lab",
        username=ACCOUNT,
        password=password,
        hosts=tuple(host_spec(host, gateway=str(router) if net else None, lan=lan) for host in hosts),
        boxes=(BoxSpec(name=f"relay-{'a' if name == 'source' else 'b'}", address=str(box)),) if net else (),
        new_vmknics=tuple(str(address) for address in free[-NEW_VMKNICS:]),
    )


def _most(lan: IPv4Network) -> list[IPv4Address]:
    """Return the first thousand addresses of hosts in *lan*: a subnet may be a large one."""
    return [lan[number] for number in range(1, min(lan.num_addresses - 1, 1000))]


def _lan(hosts: list[Row], name: SiteName) -> IPv4Network:
    """Return the subnet that most vMotion vmknics are in."""
    found = [_network(nic) for host in hosts for nic in host["vmknics"] if _moves(nic)]
    found = [network for network in found if network.prefixlen <= 29]
    return max(found, key=found.count) if found else IPv4Network(_LANS[name])


def _moves(nic: Row) -> bool:
    return "vmotion" in nic["services"] or bool(nic["netstack"] == "vmotion")


def _network(nic: Row) -> IPv4Network:
    return IPv4Network((nic["address"], nic["prefix_length"]), strict=False)


def _in(nic: Row, lan: IPv4Network) -> bool:
    return IPv4Address(nic["address"]) in lan
