"""The esxcli commands that the host's process can answer truthfully."""

# ruff: noqa: ANN401 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any
from xml.sax.saxutils import escape

from pyVmomi import vmodl

from lrvmotion.lab.vcenter.host_data import device_of
from lrvmotion.lab.vcenter.host_state import DEFAULT_STACK, Netstack
from lrvmotion.lab.vcenter.hostd_client import HostdError

_XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns="urn:vim25"'


class CliError(Exception):
    """What esxcli prints and the API returns in fault.faultMsg."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command: its declared parameters in order, and what runs it."""

    parameters: tuple[str, ...]
    run: Callable[[Any, dict[str, str]], str]


def _struct(kind: str, fields: dict[str, Any], tag: str = "obj", head: str = "") -> str:
    inner = "".join(f"<{name}>{_value(value)}</{name}>" for name, value in fields.items())
    return f'<{tag}{head} xsi:type="{kind}">{inner}</{tag}>'


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return escape(str(value))


def _list(kind: str, rows: list[dict[str, Any]]) -> str:
    inner = "".join(_struct(kind, row, "DataObject") for row in rows)
    return f'<obj {_XSI} xsi:type="ArrayOfDataObject">{inner}</obj>'


def _stack(host: Any, given: dict[str, str]) -> Netstack:
    stack = host.network.netstacks.get(given.get("netstack") or DEFAULT_STACK)
    if stack is None:
        message = f"Unknown netstack instance: {given.get('netstack')}"
        raise CliError(message)
    found: Netstack = stack
    return found


def ping(host: Any, given: dict[str, str]) -> str:
    """Run `network diag ping`: a real ping of the host's process.

    The "…MS" fields hold microseconds (vsphere.md 7.3).
    """
    if not given.get("host"):
        message = "Missing required parameter -H|--host"
        raise CliError(message)
    interface = given.get("interface") or None
    if interface is not None and interface not in host.network.vmknics:
        message = f"Unknown interface '{interface}': Invalid argument"
        raise CliError(message)
    if host.spec.whole_intervals and not (given.get("interval") or "1").isdecimal():
        message = f"Invalid argument: interval {given['interval']}"
        raise CliError(message)
    try:
        count = int(given.get("count") or 3)
        interval = float(given.get("interval") or 1)
        wait = float(given.get("wait") or 1)
        found = host.hostd.call(
            "ping",
            wait_s=30 + count * (interval + wait),
            host=given["host"],
            interface=interface,
            netstack=_stack(host, given).key,
            count=count,
            size=int(given.get("size") or 56),
            df=given.get("df") == "true",
            interval=interval,
            ttl=int(given.get("ttl") or 64),
            wait=wait,
        )
    except HostdError as error:
        raise CliError(str(error)) from error
    except ValueError as error:
        message = f"Invalid argument: {error}"
        raise CliError(message) from error
    sent, received = found["transmitted"], found["received"]
    summary = {
        "Duplicated": found["duplicated"],
        "HostAddr": given["host"],
        "PacketLost": round(100 * (sent - received) / sent) if sent else 0,
        "Recieved": received,  # sic
        "RoundtripAvgMS": round(found["rtt_avg_us"] or 0),
        "RoundtripMaxMS": round(found["rtt_max_us"] or 0),
        "RoundtripMinMS": round(found["rtt_min_us"] or 0),
        "Transmitted": sent,
    }
    inner = _struct("VimEsxCLInetworkdiagpingSummary", summary, "Summary")
    for item in found["trace"]:
        row = {
            "Detail": "",
            "Host": item["host"],
            "ICMPSeq": item["seq"],
            "ReceivedBytes": item["bytes"],
            "RoundtripTimeMS": round(item["rtt_us"]),
            "TTL": item["ttl"],
        }
        inner += f"<Trace>{_struct('VimEsxCLInetworkdiagpingTrace', row, 'DataObject')}</Trace>"
    return f'<obj {_XSI} xsi:type="VimEsxCLInetworkdiagping">{inner}</obj>'


def connection_list(host: Any, given: dict[str, str]) -> str:
    """Run `network ip connection list`; parameters and fields: govmomi `simulator/esx`, Broadcom's ESXCLI reference.

    unconfirmed: that a vMotion connection, which the VMkernel itself holds, is listed as any other, and its world.
    """
    kind = given.get("type") or "all"
    if kind not in {"ip", "tcp", "udp", "all"}:
        message = f"Invalid argument: type {kind}"
        raise CliError(message)
    try:
        found = host.hostd.call("connections", netstack=_stack(host, given).key) if kind in {"tcp", "all"} else []
    except HostdError as error:
        raise CliError(str(error)) from error
    rows = [
        {
            "CCAlgo": _stack(host, given).congestion_control,
            "ForeignAddress": item["foreign"],
            "LocalAddress": item["local"],
            "Proto": "tcp",
            "RecvQ": 0,
            "SendQ": 0,
            "State": item["state"],
            "WorldID": 0,
            "WorldName": "",
        }
        for item in found
    ]
    return _list("VimEsxCLInetworkipconnectionlistIpConnection", rows)


def interface_list(host: Any, given: dict[str, str]) -> str:
    """Run `network ip interface list`."""
    wanted = given.get("netstack")
    rows = []
    for nic in host.network.vmknics.values():
        if wanted and nic.netstack != wanted:
            continue
        group = host.vcenter.registry.find(nic.dvport) if nic.dvport else None
        rows.append(
            {
                "Enabled": True,
                "MACAddress": nic.mac,
                "MTU": nic.mtu,
                "Name": nic.device,
                "NetstackInstance": nic.netstack,
                "Portgroup": nic.portgroup or "N/A",
                "Portset": "vSwitch0" if not group else "DvsPortset-0",
                "VDSName": group.switch.name if group else "N/A",
                "VDSUUID": group.switch.uuid if group else "N/A",
            }
        )
    return _list("VimEsxCLInetworkipinterfacelistNetworkInterface", rows)


def ipv4_get(host: Any, given: dict[str, str]) -> str:
    """Run `network ip interface ipv4 get` and `… address list`."""
    name = given.get("interfacename")
    wanted = given.get("netstack")
    rows = [
        {
            "AddressType": "STATIC",
            "DHCPDNS": False,
            "Gateway": nic.gateway or host.network.netstacks[nic.netstack].gateway or "0.0.0.0",
            "IPv4Address": nic.address,
            "IPv4Broadcast": str(nic.network.broadcast_address),
            "IPv4Netmask": nic.mask,
            "Name": nic.device,
        }
        for nic in host.network.vmknics.values()
        if (not name or nic.device == name) and (not wanted or nic.netstack == wanted)
    ]
    return _list("VimEsxCLInetworkipinterfaceipv4getIPv4Interface", rows)


def route_list(host: Any, given: dict[str, str]) -> str:
    """Run `network ip route ipv4 list`: the default, connected and static routes; an override is not among them."""
    stack = _stack(host, given)
    rows: list[dict[str, Any]] = []

    def row(network: str, mask: str, gateway: str, device: str | None, source: str) -> None:
        rows.append(
            {
                "Gateway": gateway,
                "Interface": device or "",
                "Netmask": mask,
                "Network": network,
                "Source": source,
            }
        )

    if stack.gateway:
        row("default", "0.0.0.0", stack.gateway, device_of(host, stack, stack.gateway), "MANUAL")
    for nic in host.network.vmknics.values():
        if nic.netstack == stack.key:
            network = nic.network
            row(str(network.network_address), str(network.netmask), "0.0.0.0", nic.device, "MANUAL")
    for prefix, gateway in stack.routes:
        network = IPv4Network(prefix)
        device = device_of(host, stack, gateway)
        row(str(network.network_address), str(network.netmask), gateway, device, "MANUAL")
    return _list("VimEsxCLInetworkiprouteipv4listIpv4Route", rows)


def _route(host: Any, given: dict[str, str], *, add: bool) -> str:
    if not given.get("gateway") or not given.get("network"):
        message = "Missing required parameter"
        raise CliError(message)
    stack = _stack(host, given)
    try:
        prefix = str(IPv4Network(given["network"]))
        host.network_system.route(stack, prefix, given["gateway"], add=add, by_esxcli=True)
    except (ValueError, vmodl.MethodFault) as error:
        raise CliError(getattr(error, "msg", None) or str(error)) from error
    return f'<obj {_XSI} xmlns:xsd="http://www.w3.org/2001/XMLSchema" xsi:type="xsd:boolean">true</obj>'


COMMANDS: dict[tuple[str, str], Command] = {
    ("network.diag", "ping"): Command(
        parameters=(
            "count", "debug", "df", "host", "interface", "interval", "ipv4", "ipv6", "netstack", "nexthop",
            "size", "ttl", "wait",
        ),
        run=ping,
    ),
    ("network.ip.connection", "list"): Command(parameters=("netstack", "type"), run=connection_list),
    ("network.ip.interface", "list"): Command(parameters=("netstack",), run=interface_list),
    ("network.ip.interface.ipv4", "get"): Command(parameters=("interfacename", "netstack"), run=ipv4_get),
    ("network.ip.interface.ipv4.address", "list"): Command(
        parameters=("interfacename", "netstack"), run=ipv4_get
    ),
    ("network.ip.route.ipv4", "list"): Command(parameters=("netstack",), run=route_list),
    ("network.ip.route.ipv4", "add"): Command(
        parameters=("gateway", "netstack", "network"), run=lambda h, g: _route(h, g, add=True)
    ),
    ("network.ip.route.ipv4", "remove"): Command(
        parameters=("gateway", "netstack", "network"), run=lambda h, g: _route(h, g, add=False)
    ),
}  # fmt: skip
