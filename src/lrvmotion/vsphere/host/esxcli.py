"""esxcli commands of a host through vCenter, without SSH: ping, routes, connections; typed calls and a pure parser.

The types are hidden ones that pyVmomi does not ship; names and argument rules: govmomi `cli/esx` (vsphere.md 7.1).
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from pyVmomi import VmomiSupport

from lrvmotion.errors import LrvmotionError, RefusedError
from lrvmotion.model.inventory import DEFAULT_STACK, MoRef
from lrvmotion.model.target_id import TargetId
from lrvmotion.ports.pinger import MessageTooLong, PingRefused, PingRequest, Pings
from lrvmotion.vsphere.client import managed_object
from lrvmotion.vsphere.session import Session

PLAIN_COUNT = 5  # pings of a host that takes them a second apart
_VERSION = "vim.version.version5"
_EXECUTER = "vim.ReflectManagedMethodExecuter"
_OPTIONAL = VmomiSupport.F_OPTIONAL


def _text(name: str, flags: int = 0) -> tuple[str, str, str, int, None]:
    return (name, "string", _VERSION, flags, None)


def _declare() -> tuple[Any, Any]:
    """Declare the hidden types; return the argument's type and the hidden method of a HostSystem."""
    argument = "vim.ReflectManagedMethodExecuterSoapArgument"
    fault = "vim.ReflectManagedMethodExecuterSoapFault"
    result = "vim.ReflectManagedMethodExecuterSoapResult"
    data: Callable[..., Any] = VmomiSupport.CreateAndLoadDataType
    kind = data(argument, argument[4:], "vmodl.DynamicData", _VERSION, [_text("name"), _text("val")])
    data(fault, fault[4:], "vmodl.DynamicData", _VERSION, [_text("faultMsg"), _text("faultDetail", _OPTIONAL)])
    fields = [_text("response", _OPTIONAL), ("fault", fault, _VERSION, _OPTIONAL, None)]
    data(result, result[4:], "vmodl.DynamicData", _VERSION, fields)
    parameters = (
        _text("moid"),
        _text("version"),
        _text("method"),
        ("argument", f"{argument}[]", _VERSION, _OPTIONAL, None),
    )
    execute = ("executeSoap", "ExecuteSoap", _VERSION, parameters, (_OPTIONAL, result, result), None, None)
    managed: Callable[..., Any] = VmomiSupport.CreateAndLoadManagedType
    managed(_EXECUTER, _EXECUTER[4:], "vmodl.ManagedObject", _VERSION, [], [execute])
    # Some servers answer with this shorter name of the same type (vsphere.md 7.2).
    managed("vim.ManagedMethodExecuter", "ManagedMethodExecuter", _EXECUTER, _VERSION, [], [])
    name = "RetrieveManagedMethodExecuter"
    hidden = (name[0].lower() + name[1:], name, _VERSION, (), (_OPTIONAL, _EXECUTER, _EXECUTER), None, None)
    holder = managed("vim.LrvmotionHiddenHost", "LrvmotionHiddenHost", "vmodl.ManagedObject", _VERSION, [], [hidden])
    return kind, holder._GetMethodInfo(name)  # noqa: SLF001 - how pyVmomi names a method to its stub


_ARGUMENT, _RETRIEVE_EXECUTER = _declare()


class ParseError(LrvmotionError):
    """An esxcli answer that is not what its command gives."""


class EsxcliError(RefusedError):
    """The command ran on the host and failed; the message is esxcli's own."""


def execute(session: Session, ref: MoRef, command: str, arguments: Mapping[str, str]) -> str:
    """Run esxcli *command* ("network.diag.ping") on the host *ref* and return its XML answer.

    Raises EsxcliError for what esxcli itself says, and what Session.call raises.
    """
    namespace, _, _ = command.rpartition(".")
    # In declared order, which is alphabetical; another one is "A specified parameter was not correct" (vsphere.md 7.1).
    given = [_ARGUMENT(name=name, val=f"<{name}>{escape(arguments[name])}</{name}>") for name in sorted(arguments)]
    handler = "ha-cli-handler-" + namespace.replace(".", "-")
    host = TargetId.host(session.site, session.names.get(ref, ref.value))
    subject = f"{host}: esxcli {command.replace('.', ' ')}"

    def run() -> Any:  # noqa: ANN401
        host = managed_object(session.stub, ref)
        executer = session.stub.InvokeMethod(host, _RETRIEVE_EXECUTER, ())
        return executer.ExecuteSoap(handler, "urn:vim25/5.0", f"vim.EsxCLI.{command}", given)

    result = session.call(subject, run)
    if result is None:
        return ""
    if result.fault is not None:
        raise EsxcliError(f"{subject}: {result.fault.faultMsg or result.fault.faultDetail}")  # noqa: EM102
    return result.response or ""


def ping(session: Session, ref: MoRef, device: str, request: PingRequest) -> Pings:
    """Ping as in *request* from the vmknic *device* (ports.pinger.Pinger).

    A host that refuses that is asked again without what a build may not know: a fraction of a second as interval, and
    the default stack by its name. No reference says whether they are taken; public code sends neither.
    """
    arguments = {
        "count": str(request.count),
        "df": "true" if request.df else "false",
        "host": request.address,
        "interface": device,
        "interval": f"{request.interval_s:g}",
        "netstack": request.netstack,
        "size": str(request.size),
    }
    try:
        return _ping(session, ref, arguments)
    except PingRefused as refused:
        try:
            return _ping(session, ref, plainer(arguments))
        except PingRefused:
            raise refused from None


def plainer(arguments: Mapping[str, str]) -> dict[str, str]:
    """Return a ping's *arguments* without those that a build may refuse; its interval is a second then."""
    left_out = {"interval"} | ({"netstack"} if arguments["netstack"] == DEFAULT_STACK else set())
    count = str(min(int(arguments["count"]), PLAIN_COUNT))
    return {name: value for name, value in arguments.items() if name not in left_out} | {"count": count}


def _ping(session: Session, ref: MoRef, arguments: Mapping[str, str]) -> Pings:
    try:
        return parse_ping(execute(session, ref, "network.diag.ping", arguments))
    except EsxcliError as error:
        if "too long" in error.message:
            raise MessageTooLong(error.message) from None
        if "sendto()" in error.message:  # it ran and nothing could be sent: no answer, which is an answer
            return Pings(sent=int(arguments["count"]), received=0)
        raise PingRefused(error.message, hint="the account may lack a privilege for esxcli") from None
    except (RefusedError, ParseError) as error:
        raise PingRefused(error.message, hint=error.hint) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One line of a netstack's IPv4 routing table; *gateway* 0.0.0.0: on the link."""

    network: str
    netmask: str
    gateway: str
    interface: str = ""


def route_list(session: Session, ref: MoRef, netstack: str) -> list[Route]:
    """Return the IPv4 routes of *netstack*; raises RefusedError where the host does not list them."""
    answer = execute(session, ref, "network.ip.route.ipv4.list", {"netstack": netstack})
    return parse_routes(answer)


def route_add(session: Session, ref: MoRef, netstack: str, network: str, gateway: str) -> None:
    """Add the route to *network* ("10.99.0.9/32")."""
    arguments = {"gateway": gateway, "netstack": netstack, "network": network}
    execute(session, ref, "network.ip.route.ipv4.add", arguments)


def route_remove(session: Session, ref: MoRef, netstack: str, network: str, gateway: str) -> None:
    """Remove the route to *network* ("10.99.0.9/32")."""
    arguments = {"gateway": gateway, "netstack": netstack, "network": network}
    execute(session, ref, "network.ip.route.ipv4.remove", arguments)


def connections(session: Session, ref: MoRef, netstack: str) -> frozenset[tuple[str, str]]:
    """Return the established TCP connections of *netstack*: (local, foreign), each "10.88.0.9:52014".

    Raises RefusedError where the host does not list them. Arguments and fields: govmomi `simulator/esx` and the ESXCLI
    reference. That vMotion's own connections are among them is unconfirmed.
    """
    answer = execute(session, ref, "network.ip.connection.list", {"netstack": netstack, "type": "tcp"})
    return parse_connections(answer)


def parse_ping(answer: str) -> Pings:
    """Return the ping that *answer* tells of; raises ParseError.

    The fields called "…MS" hold microseconds in every sample with a known path (vsphere.md 7.3) and are always read so:
    a small value that could be either is then too small an RTT, which never refuses a good path.
    """
    root = _xml(answer)
    summary = {name: text for row in _rows(root, "Summary") for name, text in row.items()}
    sent = _number(summary, "Transmitted")
    received = _number(summary, "Recieved", "Received")  # the first is how ESXi spells it
    times = [_number(row, "RoundtripTimeMS") for row in _rows(root, "Trace") if "RoundtripTimeMS" in row]
    return Pings(
        sent=sent,
        received=min(received, sent),  # duplicated answers are not more answers
        rtt_min_ms=_number(summary, "RoundtripMinMS") / 1000 if received else None,
        rtt_avg_ms=_number(summary, "RoundtripAvgMS") / 1000 if received else None,
        rtts_ms=tuple(time / 1000 for time in times),
    )


def parse_routes(answer: str) -> list[Route]:
    """Return the routes that *answer* lists; raises ParseError."""
    if not answer.strip():
        return []
    routes = []
    for element in _xml(answer).iter():
        row = {_name(child): (child.text or "").strip() for child in element}
        if "Network" in row and "Gateway" in row:
            netmask = row.get("Netmask", "")
            routes.append(
                Route(
                    network=row["Network"], netmask=netmask, gateway=row["Gateway"], interface=row.get("Interface", "")
                )
            )
    return routes


def parse_connections(answer: str) -> frozenset[tuple[str, str]]:
    """Return the established connections that *answer* lists, (local, foreign); raises ParseError."""
    if not answer.strip():
        return frozenset()
    found = set()
    for element in _xml(answer).iter():
        row = {_name(child): (child.text or "").strip() for child in element}
        if "ForeignAddress" in row and row.get("State", "").upper() == "ESTABLISHED":
            found.add((row.get("LocalAddress", ""), row["ForeignAddress"]))
    return frozenset(found)


def _xml(answer: str) -> ET.Element:
    if "<!" in answer:  # no document type, so no entities; esxcli sends neither that nor comments
        message = "the esxcli answer holds a declaration"
        raise ParseError(message)
    try:
        return ET.fromstring(answer)  # noqa: S314 - without a document type
    except (ET.ParseError, ValueError) as error:  # ValueError: characters that cannot be encoded
        message = f"the esxcli answer is not XML: {error}"
        raise ParseError(message) from None


def _name(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _rows(root: ET.Element, name: str) -> list[dict[str, str]]:
    """Return the fields of every element called *name*, a <DataObject> within looked through (samples differ)."""
    rows = []
    for element in root.iter():
        if _name(element) != name:
            continue
        inner = [child for child in element if _name(child) == "DataObject"] or [element]
        rows += [{_name(child): (child.text or "").strip() for child in item} for item in inner]
    return rows


def _number(row: Mapping[str, str], *names: str) -> int:
    for name in names:
        text = row.get(name)
        if text is not None:
            if text.isascii() and text.isdigit() and len(text) < 16:
                return int(text)
            message = f"{name} is {text!r}, not a number"
            raise ParseError(message)
    message = f"the answer has no {names[0]}"
    raise ParseError(message)
