"""One login at one vCenter, over TLS to exactly the pinned certificate."""

from __future__ import annotations

import re
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable
from contextlib import closing, suppress
from http.client import HTTPException, HTTPSConnection
from typing import Self, TypeVar

from pyVmomi import SoapAdapter, VmomiSupport, vim, vmodl
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from lrvmotion.errors import RefusedError, TrustError, UnreachableError, UsageError
from lrvmotion.model.inventory import MoRef
from lrvmotion.model.target_id import SiteId
from lrvmotion.run.credentials import hidden, hide
from lrvmotion.vsphere import faults
from lrvmotion.vsphere.certificate import (
    Certificate,
    NotTrustedError,
    PinnedContext,
    distrust,
    fetch_certificate,
    mismatch,
)
from lrvmotion.vsphere.client import WIRE_ERRORS, mapped, required

POLL_LIMIT_S = 60  # no call of ours makes the server wait longer
ANSWER_S = POLL_LIMIT_S + 30  # nor do we wait longer for the next byte of an answer

T = TypeVar("T")


class Session:
    """A login at the vCenter of *site*; close it."""

    def __init__(
        self,
        site: SiteId,
        host: str,
        port: int,
        username: str,
        password: Callable[[], str],
        certificate: Certificate,
        version: str,
        answer_s: float = ANSWER_S,
        service_url: str | None = None,
    ) -> None:
        self.site = site
        self.host = host
        self.port = port
        self.username = username
        self.pem = certificate.pem
        self.sha256 = certificate.sha256
        self.thumbprint = certificate.sha1
        self.wire_version = tuple(int(part) for part in version.split("."))
        self.tls = PinnedContext(host, port, certificate)
        self._service_url = service_url
        self._password = password
        self._lock = threading.Lock()
        self._logins = 0
        self._refused: TrustError | None = None
        self.stub = SoapAdapter.SoapStubAdapter(
            host=host,
            port=port,
            path="/sdk",
            version=VmomiSupport.versionMap[f"vim25/{version}"],
            sslContext=self.tls,
            httpConnectionTimeout=answer_s,
            poolSize=10,
        )
        self.content: vim.ServiceInstanceContent  # from *open* on
        self.names: dict[MoRef, str] = {}  # of hosts, as last collected: for messages only
        # The Ethernet cards of VMs, as last collected: for CheckRelocate only.
        self.cards: dict[MoRef, list[vim.vm.device.VirtualEthernetCard]] = {}

    @classmethod
    def open(
        cls,
        site: SiteId,
        host: str,
        port: int,
        username: str,
        password: Callable[[], str],
        *,
        pem: str | None,
        sha256: str | None,
        timeout_s: float = 30,
        answer_s: float = ANSWER_S,
        service_url: str | None = None,
    ) -> Self:
        """Connect and log in. The login is tried once: a refused one may lock the account.

        *timeout_s* bounds the connection, *answer_s* each wait for an answer from then on. *service_url* is the URL at
        which another vCenter reaches it, where it is not the one of its own settings.

        Raises TrustError (certificate or password), UnreachableError, or UsageError where it is no vCenter.
        """
        certificate = _pinned(site, host, port, pem, sha256, timeout_s)
        retrying = Retrying(
            stop=stop_after_attempt(3),
            wait=wait_exponential(multiplier=0.5, max=4),
            retry=retry_if_exception_type(UnreachableError),
            reraise=True,
        )
        version = retrying(_negotiate, host, port, certificate, timeout_s)
        session = cls(site, host, port, username, password, certificate, version, answer_s, service_url)
        try:
            with mapped(f"{site} vCenter {host}"):
                session.content = vim.ServiceInstance("ServiceInstance", session.stub).RetrieveContent()
            is_vcenter(f"{site} vCenter {host}", session.content.about)
            session._login()
        except BaseException:
            session.stub.DropConnections()
            raise
        return session

    @property
    def about(self) -> vim.AboutInfo:
        """What the vCenter says of itself (vim.AboutInfo)."""
        return self.content.about

    @property
    def api_version(self) -> str:
        """The vCenter's API version, "7.0.3.0"."""
        return str(self.content.about.apiVersion)

    @property
    def service_url(self) -> str:
        """The URL of its API as another vCenter is told it (ServiceLocator.url).

        The one that was given, else that of its own settings: the address that this program uses may be a tunnel's.
        """
        if self._service_url is None:
            self._service_url = self._own_url() or self._used_url()
        return self._service_url

    @property
    def own_name(self) -> str:
        """Its FQDN by its own settings (vsphere.md 3.1), "" where it does not tell."""
        return self._setting("VirtualCenter.FQDN")

    def _own_url(self) -> str:
        """Return the URL of its API by its own settings, "" where it does not tell; some have the bare name there."""
        url = self._setting("VirtualCenter.VimApiUrl")
        if url.startswith("https://"):
            return url
        return f"https://{self.own_name}/sdk" if self.own_name else ""

    def _setting(self, key: str) -> str:
        """Return one of the vCenter's own settings, "" where it has none or the account may not read it."""
        if (manager := self.content.setting) is None:
            return ""
        try:
            rows = self.call(f"{self.site}: {key}", lambda: manager.QueryOptions(key))
        except RefusedError:
            return ""
        return next((str(row.value) for row in rows or () if row.key == key and row.value), "")

    def _used_url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{host}/sdk" if self.port == 443 else f"https://{host}:{self.port}/sdk"

    def credential(self) -> vim.ServiceLocator.NamePassword:
        """Return a fresh ServiceLocator credential. It prints its password: clear it as soon as it was sent."""
        password = self._password()
        hide(password)
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
            if (manager := self.content.sessionManager) is not None:
                manager.Logout()
        self.stub.DropConnections()

    def _login(self) -> None:
        if self._refused is not None:
            raise self._refused
        where = f"{self.site} vCenter {self.host}"
        password = self._password()  # where there is none, nothing was refused
        hide(password)
        with mapped(where):
            try:
                required(self.content.sessionManager).Login(self.username, password, None)
            except vim.fault.InvalidLogin as fault:
                message = f"{where} refused the login of {self.username}: {faults.text(fault)}"
                hint = "check user name and password; it is not tried again, so that the account is not locked"
                self._refused = TrustError(message, hint=hint)
                raise self._refused from None
        hide(cookie(str(self.stub.cookie or "")))
        self._logins += 1


def is_vcenter(subject: str, about: vim.AboutInfo) -> None:
    """Raise UsageError where *about* is no vCenter's: an ESXi host answers, too, with much of the same API."""
    if str(about.apiType) != "VirtualCenter":
        message = f"{subject}: this is {about.name or about.apiType}, not a vCenter"
        raise UsageError(message, hint="give the address of the vCenter that manages it")


def cookie(text: str) -> str:
    """Return the value of a session's cookie: 'vmware_soap_session="52…"; Path=/' has 52…."""
    return text.partition("=")[2].partition(";")[0].strip('"')


def _plain(fingerprint: str) -> str:
    return fingerprint.lower().removeprefix("sha256:").replace(":", "").replace(" ", "")


def _pinned(site: SiteId, host: str, port: int, pem: str | None, sha256: str | None, timeout_s: float) -> Certificate:
    """Return the certificate to trust: the given one, or the presented one where its SHA-256 is the given one."""
    if pem is not None:
        certificate = Certificate.from_pem(pem)
        if sha256 is not None and certificate.sha256 != _plain(sha256):
            message = (
                f"two certificates are pinned for {host}:{port}: sha256 is {_plain(sha256)}, "
                f"the certificate file has {certificate.sha256}"
            )
            raise TrustError(message, hint="take out the wrong one of the two")
        return certificate
    shown = fetch_certificate(host, port, timeout_s)
    if sha256 is None:
        message = f"the certificate of {host}:{port} is not pinned: SHA-256 {shown.sha256}, SHA-1 {shown.sha1}"
        hint = f'compare it with the vCenter\'s own, then put sha256 = "{shown.sha256}" under [{site}]'
        raise TrustError(message, hint=hint)
    if shown.sha256 != _plain(sha256):
        raise mismatch(host, port, _plain(sha256), shown.sha256)
    return shown


def _negotiate(host: str, port: int, pinned: Certificate, timeout_s: float) -> str:
    """Return the newest API version ("7.0.3.0") that the server and pyVmomi both know."""
    try:
        with closing(
            HTTPSConnection(host, port, timeout=timeout_s, context=PinnedContext(host, port, pinned))
        ) as connection:
            connection.request("GET", "/sdk/vimServiceVersions.xml")
            response = connection.getresponse()
            body = response.read()
    except NotTrustedError as error:
        raise distrust(error) from None
    except (OSError, HTTPException) as error:
        why = hidden(str(getattr(error, "strerror", None) or error)) or type(error).__name__
        message = f"vCenter {host}:{port} does not answer: {why}"
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
