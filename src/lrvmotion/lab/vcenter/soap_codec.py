"""SOAP in and out: requests to (method, target, arguments), values and faults to XML."""

# ruff: noqa: ANN401, N803 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

import copy
import io
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, ClassVar
from xml.parsers.expat import ParserCreate
from xml.sax.saxutils import escape

from pyVmomi import SoapAdapter, VmomiSupport, vmodl

NS = "urn:vim25"
_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<soapenv:Envelope '
    'xmlns:soapenc="http://schemas.xmlsoap.org/soap/encoding/" '
    'xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
    'xmlns:xsd="http://www.w3.org/2001/XMLSchema" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">\n<soapenv:Body>\n'
)
_TAIL = "\n</soapenv:Body>\n</soapenv:Envelope>"
_BASE = "vim.version.version1"


class Referable:
    """What is written as a reference: the WSDL name of its type, and its moId."""

    wsdl: ClassVar[str]
    moid: str
    __slots__ = ()


class RawXml(str):
    """The finished `returnval` elements of a response."""

    __slots__ = ()


@dataclass(slots=True, kw_only=True)
class Request:
    """One call: *method* by its WSDL name, on the object *moid* of type *kind*, with *arguments* by name."""

    method: str = ""
    moid: str = ""
    kind: str = ""
    arguments: dict[str, Any]
    info: Any = None


# Calls that pyVmomi's table lacks: parameter name -> True where it is a list of structures (vsphere.md 7.1, 14.2).
HIDDEN: dict[str, dict[str, bool]] = {
    "Fetch": {"prop": False},
    "RetrieveManagedMethodExecuter": {},
    "ExecuteSoap": {"moid": False, "version": False, "method": False, "argument": True},
}


class _Reader(SoapAdapter.ExpatDeserializerNSHandlers):  # type: ignore[misc, unused-ignore]
    """Expat handlers that take the envelope apart and give each parameter to pyVmomi's own deserialiser."""

    def __init__(self, parser: Any, version: str, ns: str) -> None:
        super().__init__()
        self.ns = ns
        self.parser = parser
        self.version = version
        self.path: list[str] = []
        self.request = Request(arguments={})
        self.pending: list[tuple[str, Any, bool]] = []
        self.text = ""
        SoapAdapter.SetHandlers(parser, SoapAdapter.GetHandlers(self))

    def StartElementHandler(self, tag: str, attr: dict[str, str]) -> None:
        name = tag.rpartition(" ")[2]
        depth = len(self.path)
        self.text = ""
        if depth >= 2 and not self.path[1].endswith("Body"):
            self.path.append(name)
            return
        if depth == 2:
            self.request.method = name
            if name not in HIDDEN:
                try:
                    self.request.info = VmomiSupport.GetWsdlMethod(self.ns, name).info
                except KeyError:
                    raise vmodl.fault.MethodNotFound(method=name, msg=f"Method {name}") from None
        elif depth == 3 and name == "_this":
            self.request.kind = attr.get("type", "").rpartition(":")[2]
        elif depth == 3 and self.request.method in HIDDEN:
            if HIDDEN[self.request.method].get(name):
                self.request.arguments.setdefault(name, []).append({})
        elif depth == 3:
            self._parameter(name, tag, attr)
            return
        self.path.append(name)

    def _parameter(self, name: str, tag: str, attr: dict[str, str]) -> None:
        parameter = next((p for p in self.request.info.params if p.name == name), None)
        if parameter is None:
            raise vmodl.fault.InvalidRequest(msg=f"Unexpected element {name}")
        many = issubclass(parameter.type, list)
        reader = SoapAdapter.SoapDeserializer(version=self.version)
        reader.Deserialize(self.parser, parameter.type.Item if many else parameter.type, False, self.nsMap)
        reader.StartElementHandler(tag, attr)  # this start event is already consumed
        self.pending.append((name, reader, many))

    def EndElementHandler(self, tag: str) -> None:
        del tag
        name = self.path.pop()
        depth = len(self.path)
        if depth == 3 and name == "_this":
            self.request.moid = self.text.strip()
        elif self.request.method in HIDDEN and depth >= 3 and self.path[1].endswith("Body"):
            many = HIDDEN[self.request.method].get(self.path[3] if depth > 3 else name)
            if depth == 3 and many is False:
                self.request.arguments[name] = self.text
            elif depth == 4 and many:
                self.request.arguments[self.path[3]][-1][name] = self.text
        self.text = ""

    def CharacterDataHandler(self, data: str) -> None:
        self.text += data


def parse(body: bytes, version: str, ns: str = NS) -> Request:
    """Return the call in *body*, read as a client of API *version* means it; faults: InvalidRequest, MethodNotFound."""
    if b"<!DOCTYPE" in body:
        raise vmodl.fault.InvalidRequest(msg="A document type declaration is not accepted")
    parser = ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    reader = _Reader(parser, version, ns)
    try:
        parser.Parse(body, True)
        for name, value, many in reader.pending:
            result = value.GetResult()
            if many:
                reader.request.arguments.setdefault(name, []).append(result)
            else:
                reader.request.arguments[name] = result
    except vmodl.MethodFault:
        raise
    except Exception as error:
        raise vmodl.fault.InvalidRequest(msg=f"The request cannot be read: {error}") from error
    return reader.request


class _Writer(SoapAdapter.SoapSerializer):  # type: ignore[misc, unused-ignore]
    """pyVmomi's serialiser, which here skips unset required fields: the model fills only what clients read."""

    def __init__(self, out: io.StringIO, version: str, ns: str = NS) -> None:
        names = {**SoapAdapter.SOAP_NSMAP, ns: ""}
        super().__init__(out, version, names)
        self.outermostAttrs = ""

    def _Serialize(self, val: Any, info: Any, defNS: str) -> None:
        if val is None or (isinstance(val, list) and not val and info.type is not object):
            return
        super()._Serialize(val, info, defNS)


def _field(name: str, kind: Any, base: str = _BASE) -> Any:
    return VmomiSupport.Object(name=name, type=kind, version=base, flags=VmomiSupport.F_OPTIONAL)


def element(name: str, value: Any, version: str, kind: Any = object, ns: str = NS, base: str = _BASE) -> str:
    """Return *value* as the XML element *name*; without *kind* it carries its own xsi:type."""
    out = io.StringIO()
    _Writer(out, version, ns).Serialize(value, _field(name, kind, base))
    return out.getvalue()


def reference(name: str, item: Referable) -> str:
    """Return the element *name* that refers to *item*, for a place that is declared as a reference."""
    return f'<{name} type="{item.wsdl}">{escape(item.moid)}</{name}>'


def _references(items: Any, version: str) -> str:
    del version
    inner = "".join(reference("ManagedObjectReference", item) for item in items)
    return f'<val xsi:type="ArrayOfManagedObjectReference">{inner}</val>'


def _reference(item: Any, version: str) -> str:
    if not isinstance(item, Referable):
        return element("val", item, version)
    return f'<val type="{item.wsdl}" xsi:type="ManagedObjectReference">{escape(item.moid)}</val>'


@lru_cache(maxsize=4096)
def formatter(kind: Any) -> Callable[[Any, str], str]:
    """Return what writes a property value of declared type *kind* as a `val` element.

    Scalars and references are written by hand, 6-8 times faster than the serialiser (vsphere.md 14.6).
    """
    if issubclass(kind, list):
        if issubclass(kind.Item, VmomiSupport.ManagedObject):
            return _references
        return lambda value, version: element(
            "val", value if isinstance(value, VmomiSupport.Array) else kind(value), version
        )
    if issubclass(kind, VmomiSupport.ManagedObject):
        return _reference
    if kind is bool:
        return lambda value, _: f'<val xsi:type="xsd:boolean">{"true" if value else "false"}</val>'
    if issubclass(kind, VmomiSupport.Enum):
        # not the type's module path: an enum value must be one of its own (vsphere.md 14.3)
        name = kind._wsdlName  # noqa: SLF001
        return lambda value, _: f'<val xsi:type="{name}">{getattr(kind, value)}</val>'
    if kind is str:
        return lambda value, _: f'<val xsi:type="xsd:string">{escape(value)}</val>'
    if issubclass(kind, int):
        name = VmomiSupport.GetQualifiedWsdlName(kind)[1]
        return lambda value, _: f'<val xsi:type="xsd:{name}">{value}</val>'
    return lambda value, version: element("val", value, version)


def response(method: str, content: str, ns: str = NS) -> bytes:
    """Return the envelope of a successful *method*."""
    return f'{_HEAD}<{method}Response xmlns="{ns}">{content}</{method}Response>{_TAIL}'.encode()


def result_xml(value: Any, info: Any, version: str) -> str:
    """Return *value*, the result of the call *info*, as returnval elements."""
    if isinstance(value, RawXml):
        return value
    if value is None:
        return ""
    if isinstance(value, Referable):
        return reference("returnval", value)
    if isinstance(value, list) and value and isinstance(value[0], Referable):
        return "".join(reference("returnval", item) for item in value)
    return element("returnval", value, version, info.result)


def fault(error: Any, version: str) -> bytes:
    """Return the envelope of the fault *error*; *msg* travels as faultstring (vsphere.md 14.1)."""
    message = error.msg or type(error).__name__.rpartition(".")[2]
    detail_fault = copy.copy(error)
    detail_fault.msg = None
    out = io.StringIO()
    kind = VmomiSupport.GetWsdlName(type(error))
    _Writer(out, version)._SerializeDataObject(  # noqa: SLF001 - a fault without its wrapper
        detail_fault, _field(f"{kind}Fault", object), f' xmlns="{NS}"', NS
    )
    return (
        f"{_HEAD}<soapenv:Fault><faultcode>ServerFaultCode</faultcode>"
        f"<faultstring>{escape(message)}</faultstring><detail>{out.getvalue()}</detail>"
        f"</soapenv:Fault>{_TAIL}"
    ).encode()


def iso(moment: datetime) -> str:
    """Return *moment* as the API writes it."""
    return moment.isoformat().replace("+00:00", "Z")
