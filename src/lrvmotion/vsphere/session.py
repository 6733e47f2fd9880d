"""One login at one vCenter, over TLS to exactly the pinned certificate."""

from __future__ import annotations

import hashlib
import re
import socket
import ssl
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from http.client import HTTPException, HTTPSConnection
from typing import Any, Self, TypeVar

from pyVmomi import SoapAdapter, VmomiSupport, vim, vmodl
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from lrvmotion.errors import TrustError, UnreachableError
from lrvmotion.inventory import MoRef, SiteName
from lrvmotion.vsphere import faults
from lrvmotion.vsphere.stub import WIRE_ERRORS, mapped

POLL_LIMIT_S = 60  # no call of ours makes the server wait longer
ANSWER_S = POLL_LIMIT_S + 30  # nor do we wait longer for the next byte of an answer
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate: *sha256* in plain lower-case hex, *sha1* upper-case with colons, as vCenter's thumbprints are."""

    pem: str
    sha256: str
    sha1: str

    @classmethod
    def from_der(cls, der: bytes) -> Self:
        """Return the certificate that *der* encodes."""
        sha1 = hashlib.sha1(der, usedforsecurity=False).hexdigest().upper()  # the API asks for SHA-1 (reference 3.1)
        return cls(
            pem=ssl.DER_cert_to_PEM_cert(der),
            sha256=hashlib.sha256(der).hexdigest(),
            sha1=":".join(sha1[at : at + 2] for at in range(0, len(sha1), 2)),
        )

    @classmethod
    def from_pem(cls, text: str) -> Self:
        """Return the first certificate in *text*; TrustError where there is none."""
        block = _PEM.search(text)
        try:
            return cls.from_der(ssl.PEM_cert_to_DER_cert(block[0] + "\n" if block else ""))
        except ValueError:
            message = "the pinned certificate is not in PEM form"
            raise TrustError(message, hint="it begins with -----BEGIN CERTIFICATE-----") from None


def fetch_certificate(host: str, port: int, timeout_s: float = 10) -> Certificate:
    """Return what *host* presents now, **unverified**: for showing it, or for pinning it by a known fingerprint.

    Raises UnreachableError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), timeout_s) as raw,
            context.wrap_socket(raw, server_hostname=host) as tls,
        ):
            der = tls.getpeercert(binary_form=True)
    except OSError as error:
        message = f"vCenter {host}:{port} does not answer: {error}"
        raise UnreachableError(message, hint="check the address, the port and the firewall") from None
    if der is None:
        message = f"{host}:{port} presents no certificate"
        raise UnreachableError(message)
    return Certificate.from_der(der)


def pinned_context(pem: str) -> ssl.SSLContext:
    """Return a context that accepts exactly the certificate *pem*, self-signed or not (reference 13.1)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # the certificate is the identity
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # a leaf that a CA signed may be the anchor
    context.load_verify_locations(cadata=pem)
    return context


class Session:
    """A login at the vCenter of *site*; close it."""

    def __init__(
        self,
        site: SiteName,
        host: str,
        port: int,
        username: str,
        password: Callable[[], str],
        certificate: Certificate,
        version: str,
        answer_s: float = ANSWER_S,
    ) -> None:
        self.site = site
        self.host = host
        self.port = port
        self.username = username
        self.pem = certificate.pem
        self.sha256 = certificate.sha256
        self.thumbprint = certificate.sha1
        self.wire_version = tuple(int(part) for part in version.split("."))
        self._password = password
        self._lock = threading.Lock()
        self._logins = 0
        self.stub: Any = SoapAdapter.SoapStubAdapter(
            host=host,
            port=port,
            path="/sdk",
            version=VmomiSupport.versionMap[f"vim25/{version}"],
            sslContext=pinned_context(certificate.pem),
            httpConnectionTimeout=answer_s,
            poolSize=10,
        )
        self.content: Any = None
        self.names: dict[MoRef, str] = {}  # of hosts, as last collected: for messages only
        self.cards: dict[MoRef, list[Any]] = {}  # the Ethernet cards of VMs, as last collected: for CheckRelocate only

    @classmethod
    def open(
        cls,
        site: SiteName,
        host: str,
        port: int,
        username: str,
        password: Callable[[], str],
        *,
        pem: str | None,
        sha256: str | None,
        timeout_s: float = 30,
        answer_s: float = ANSWER_S,
    ) -> Self:
        """Connect and log in. The login is tried once: a refused one may lock the account.

        *timeout_s* bounds the connection, *answer_s* each wait for an answer from then on.

        Raises TrustError (certificate or password) or UnreachableError.
        """
        certificate = _pinned(site, host, port, pem, sha256, timeout_s)
        retrying = Retrying(
            stop=stop_after_attempt(3),
            wait=wait_exponential(multiplier=0.5, max=4),
            retry=retry_if_exception_type(UnreachableError),
            reraise=True,
        )
        version = retrying(_negotiate, host, port, certificate, timeout_s)
        session = cls(site, host, port, username, password, certificate, version, answer_s)
        try:
            with mapped(f"{site} vCenter {host}"):
                session.content = vim.ServiceInstance("ServiceInstance", session.stub).RetrieveContent()
            session._login()
        except BaseException:
            session.stub.DropConnections()
            raise
        return session

    @property
    def about(self) -> Any:  # noqa: ANN401
        """What the vCenter says of itself (vim.AboutInfo)."""
        return self.content.about

    @property
    def api_version(self) -> str:
        """The vCenter's API version, "7.0.3.0"."""
        return str(self.content.about.apiVersion)

    @property
    def url(self) -> str:
        """The address of its API as another vCenter is told it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{host}/sdk" if self.port == 443 else f"https://{host}:{self.port}/sdk"

    def credential(self) -> Any:  # noqa: ANN401
        """Return a fresh ServiceLocator credential. It prints its password: clear it as soon as it was sent."""
        password = self._password()
        faults.hide(password)
        return vim.ServiceLocator.NamePassword(username=self.username, password=password)

    def call(self, subject: str, function: Callable[[], T]) -> T:
        """Return what *function* returns, its faults as our errors; where the session had ended, log in and ask again.

        NotAuthenticated says that the call did not run, so that this is safe for any call but the start of a task.
        """
        with mapped(subject):
            logins = self._logins
            try:
                return function()
            except vim.fault.NotAuthenticated:
                self.renew(logins)
                return function()

    @property
    def logins(self) -> int:
        """How often it logged in: the number to give *renew*."""
        return self._logins

    def renew(self, logins: int) -> None:
        """Log in again unless another thread has done so since *logins* was read."""
        with self._lock:
            if self._logins == logins:
                self._login()

    def close(self) -> None:
        """Log out and close all connections; never raises."""
        with suppress(vmodl.MethodFault, *WIRE_ERRORS):
            self.content.sessionManager.Logout()
        self.stub.DropConnections()

    def _login(self) -> None:
        where = f"{self.site} vCenter {self.host}"
        password = self._password()  # where there is none, nothing was refused
        try:
            with mapped(where):
                self.content.sessionManager.Login(self.username, password, None)
        except TrustError as error:
            message = f"{where} refused the login of {self.username}: {error.message.removeprefix(where + ': ')}"
            hint = "check user name and password; it is not tried again, so that the account is not locked"
            raise TrustError(message, hint=hint) from None
        self._logins += 1


def _plain(fingerprint: str) -> str:
    return fingerprint.lower().removeprefix("sha256:").replace(":", "").replace(" ", "")


def _pinned(site: SiteName, host: str, port: int, pem: str | None, sha256: str | None, timeout_s: float) -> Certificate:
    """Return the certificate to trust: the given one, or the presented one where its SHA-256 is the given one."""
    if pem is not None:
        certificate = Certificate.from_pem(pem)
        if sha256 is not None and certificate.sha256 != _plain(sha256):
            raise _mismatch(host, port, _plain(sha256), certificate.sha256, "the configured certificate file has")
        return certificate
    shown = fetch_certificate(host, port, timeout_s)
    if sha256 is None:
        message = f"the certificate of {host}:{port} is not pinned: SHA-256 {shown.sha256}, SHA-1 {shown.sha1}"
        hint = f'compare it with the vCenter\'s own, then put sha256 = "{shown.sha256}" under [{site}]'
        raise TrustError(message, hint=hint)
    if shown.sha256 != _plain(sha256):
        raise _mismatch(host, port, _plain(sha256), shown.sha256)
    return shown


def _mismatch(host: str, port: int, pinned: str, shown: str, who: str = "it shows") -> TrustError:
    message = f"{host}:{port} is not trusted: pinned is the certificate with SHA-256 {pinned}, {who} {shown}"
    hint = "find out who answers there; only if its certificate was renewed, pin the new one"
    return TrustError(message, hint=hint)


def _negotiate(host: str, port: int, pinned: Certificate, timeout_s: float) -> str:
    """Return the newest API version ("7.0.3.0") that the server and pyVmomi both know."""
    try:
        with closing(HTTPSConnection(host, port, timeout=timeout_s, context=pinned_context(pinned.pem))) as connection:
            connection.request("GET", "/sdk/vimServiceVersions.xml")
            response = connection.getresponse()
            body = response.read()
    except ssl.SSLCertVerificationError as error:
        shown = fetch_certificate(host, port, timeout_s)
        if shown.sha256 != pinned.sha256:
            raise _mismatch(host, port, pinned.sha256, shown.sha256) from None
        message = f"the pinned certificate of {host}:{port} is not valid: {error.verify_message}"
        raise TrustError(message, hint="renew the vCenter's certificate, then pin the new one") from None
    except (OSError, HTTPException) as error:
        message = f"vCenter {host}:{port} does not answer: {str(error) or type(error).__name__}"
        raise UnreachableError(message, hint="check the address, the port and the firewall") from None
    for version in _versions(body) if response.status == 200 else ():
        if f"vim25/{version}" in VmomiSupport.versionMap:
            return version
    message = f"{host}:{port} answers, but not as a vCenter that we can talk to (HTTP {response.status})"
    raise UnreachableError(message, hint="check the address: it must be the vCenter server, version 6.5 or later")


def _versions(body: bytes) -> list[str]:
    """Return the API versions that vimServiceVersions.xml lists, newest first; none where it is something else."""
    if b"<!" in body:  # no document type, so no entities
        return []
    try:
        root = ET.fromstring(body)  # noqa: S314 - from the pinned server, without a document type
    except ET.ParseError:
        return []
    for namespace in root.findall("namespace"):
        if namespace.findtext("name") == "urn:vim25":
            found = [namespace.findtext("version"), *(v.text for v in namespace.findall("priorVersions/version"))]
            return [version for version in found if version and re.fullmatch(r"\d+(\.\d+)*", version)]
    return []
