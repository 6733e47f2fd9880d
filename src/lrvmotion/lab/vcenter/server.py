"""The vCenter as a server: HTTPS, sessions, dispatch of a SOAP call to a managed object's method."""

# ruff: noqa: ANN401 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

import contextlib
import logging
import socket
import ssl
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from pyVmomi import VmomiSupport, vim, vmodl

from lrvmotion.lab.vcenter import soap_codec
from lrvmotion.lab.vcenter.fault_rule import READS
from lrvmotion.lab.vcenter.vcenter import Call, Vcenter

log = logging.getLogger(__name__)
API = "7.0.3.0"
_DEFAULT_VERSION = VmomiSupport.versionMap[f"vim25/{API}"]
_VERSIONS = (
    '<?xml version="1.0" encoding="UTF-8"?><namespaces version="1.0"><namespace><name>urn:vim25</name>'
    f"<version>{API}</version><priorVersions>"
    + "".join(f"<version>{v}</version>" for v in ("7.0.2.0", "7.0.1.0", "7.0.0.0", "6.7.3", "6.5"))
    + "</priorVersions></namespace></namespaces>"
)
# What a client may call before it has logged in (vsphere.md 14.2).
_ANONYMOUS = {
    ("ServiceInstance", "RetrieveServiceContent"),
    ("ServiceInstance", "CurrentTime"),
    ("ServiceInstance", "Fetch"),
    ("SessionManager", "Fetch"),
    ("SessionManager", "Login"),
}


class Dropped(Exception):  # noqa: N818 - not an error of ours: a rule asked for it
    """The connection is to be closed without an answer."""


def execute(call: Call, body: bytes) -> bytes:
    """Answer one SOAP request; faults of the model become SOAP faults."""
    try:
        request = soap_codec.parse(body, call.version)
        return soap_codec.response(request.method, _invoke(call, request))
    except vmodl.MethodFault as error:
        return soap_codec.fault(error, call.version)
    except Dropped:
        raise
    except Exception as error:
        log.exception("the model failed")
        return soap_codec.fault(vmodl.fault.SystemError(reason=str(error), msg=str(error)), call.version)


def _invoke(call: Call, request: soap_codec.Request) -> str:
    target: Any = call.vcenter.registry.find(request.moid)
    kind = request.kind or (target.wsdl if target else "")
    writes = request.method not in READS and not (
        request.method == "ExecuteSoap"
        and request.arguments.get("method", "").rpartition(".")[2] in {"list", "get", "ping"}
    )
    call.vcenter.trouble.record(request.method, writes=writes)
    if call.session is None and (kind, request.method) not in _ANONYMOUS:
        raise vim.fault.NotAuthenticated(
            object=call.vcenter.root.ref, privilegeId="System.View", msg="The session is not authenticated."
        )
    if target is None:
        raise vmodl.fault.ManagedObjectNotFound(
            obj=_reference(request),
            msg="The object has already been deleted or has not been completely created",
        )
    names = {request.moid, getattr(target, "name", "")}
    rule = call.vcenter.trouble.match(request.method, names, paths=_paths(request))
    if rule is not None:
        call.vcenter.trouble.delay(rule)
        if not rule.after:
            _strike(rule)
    method = getattr(target, request.method, None)
    if method is None:
        raise vmodl.fault.NotSupported(msg=f"{target.wsdl}.{request.method} is not simulated")
    if getattr(method, "unlocked", False):
        value = method(call, **_arguments(request))
        content = soap_codec.result_xml(value, request.info, call.version)
    else:
        with call.vcenter.lock:
            value = method(call, **_arguments(request))
            content = soap_codec.result_xml(value, request.info, call.version)
    if rule is not None and rule.after:
        _strike(rule)
    return content


def _paths(request: soap_codec.Request) -> frozenset[str]:
    """Return the properties that *request* asks for."""
    wanted = [spec for part in request.arguments.get("specSet") or () for spec in part.propSet or ()]
    return frozenset(path for spec in wanted for path in spec.pathSet or ())


def _strike(rule: Any) -> None:
    if rule.drop:
        raise Dropped
    error = rule.error()
    if error is not None:
        raise error


def _reference(request: soap_codec.Request) -> Any:
    try:
        return VmomiSupport.GetWsdlType(soap_codec.NS, request.kind)(request.moid)
    except KeyError:
        return None


def _arguments(request: soap_codec.Request) -> dict[str, Any]:
    if request.info is None:
        return request.arguments
    found = {}
    for parameter in request.info.params:
        value = request.arguments.get(parameter.name)
        if value is None:
            if not parameter.flags & VmomiSupport.F_OPTIONAL:
                raise vmodl.fault.InvalidArgument(
                    invalidProperty=parameter.name,
                    msg=f"A specified parameter was not correct: {parameter.name}",
                )
            value = [] if issubclass(parameter.type, list) else None
        found[parameter.name] = value
    return found


class Handler(BaseHTTPRequestHandler):
    """HTTP/1.1 with keep-alive; chunked bodies, which govc sends, are decoded here (vsphere.md 14.2)."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout: float | None = 3600
    vcenter: ClassVar[Vcenter]

    def do_GET(self) -> None:
        """Answer the version document and the SDK's landing page."""
        if self.path.endswith("vimServiceVersions.xml"):
            self._answer(200, _VERSIONS.encode())
        elif self.path.startswith("/api/"):
            self._rest(b"")
        else:
            self._answer(404, b"")

    def do_POST(self) -> None:
        """Answer a SOAP call."""
        body = self._body()
        if self.path.startswith(("/api/", "/rest/")):
            self._rest(body)
            return
        action = self.headers.get("SOAPAction", "").strip('"')
        if self.path.startswith("/pbm/sdk"):
            answer = self.vcenter.pbm.execute(action, body)
            self._answer(500 if b"<soapenv:Fault>" in answer[:700] else 200, answer)
            return
        if not self.path.startswith("/sdk"):
            self._answer(404, b"")
            return
        version = VmomiSupport.versionMap.get(action.removeprefix("urn:"), _DEFAULT_VERSION)
        cookie = self._cookie()
        call = Call(
            vcenter=self.vcenter,
            version=version,
            session=self.vcenter.sessions.current(cookie),
            cookie=cookie,
            address=self.client_address[0],
            agent=self.headers.get("User-Agent", ""),
        )
        try:
            answer = execute(call, body)
        except Dropped:
            self.close_connection = True
            self.connection.close()
            return
        headers = {}
        if call.new_cookie:
            headers["Set-Cookie"] = f'vmware_soap_session="{call.new_cookie}"; Path=/; HttpOnly; Secure'
        failed = b"<soapenv:Fault>" in answer[:700]
        self._answer(500 if failed else 200, answer, headers)

    def do_DELETE(self) -> None:
        """Answer a REST call."""
        self._rest(self._body())

    def _rest(self, body: bytes) -> None:
        status, answer = self.vcenter.rest.answer(self.command, self.path, self.headers, body)
        self._answer(status, answer, kind="application/json")

    def _cookie(self) -> str | None:
        for part in self.headers.get("Cookie", "").split(";"):
            name, _, value = part.strip().partition("=")
            if name == "vmware_soap_session":
                return value.strip('"')
        return None

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(chunks)

    def _answer(
        self, status: int, body: bytes, headers: dict[str, str] | None = None, kind: str = "text/xml; charset=utf-8"
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's signature
        """Keep the log free of a line a request."""


class Server(ThreadingHTTPServer):
    """A thread a connection; the TLS handshake runs in it, so a slow client does not block accept."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, vcenter: Vcenter, port: int, certificate: Path, key: Path) -> None:
        handler = type("BoundHandler", (Handler,), {"vcenter": vcenter})
        super().__init__(("127.0.0.1", port), handler)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)

    def get_request(self) -> tuple[Any, Any]:
        """Accept a connection; its handshake comes later."""
        connection, address = super().get_request()
        connection.settimeout(60)
        wrapped = self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return wrapped, address

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands and serve, in the connection's own thread."""
        try:
            request.do_handshake()
            super().finish_request(request, client_address)
        except (OSError, ValueError):
            log.debug("connection from %s ended", client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection that may be closed already."""
        with contextlib.suppress(OSError):
            request.shutdown(socket.SHUT_RDWR)
        request.close()
