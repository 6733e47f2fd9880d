"""A simulated vCenter in this process, and a session of the product with it: no socket, no host's process, no clock."""

from __future__ import annotations

import io
from pathlib import Path

from pyVmomi import SoapAdapter, VmomiSupport, vim

from lrvmotion.lab.spec import LabSpec
from lrvmotion.lab.vcenter.build import build
from lrvmotion.lab.vcenter.server import execute
from lrvmotion.lab.vcenter.vcenter import Call, Vcenter
from lrvmotion.model.inventory import SiteName
from lrvmotion.vsphere.session import Session

VERSION = VmomiSupport.versionMap["vim25/7.0.3.0"]


class Answer(io.BytesIO):
    """What http.client gives for an answer, as far as pyVmomi and the lean parser look at it."""

    def __init__(self, body: bytes, cookie: str | None) -> None:
        super().__init__(body)
        self.status = 500 if b"<soapenv:Fault>" in body[:700] else 200
        self.reason = ""
        self._headers = {"Set-Cookie": f'vmware_soap_session="{cookie}"; Path=/'} if cookie else {}

    def getheader(self, name: str, default: str | None = None) -> str | None:
        return self._headers.get(name, default)


class Connection:
    """Hands each request to the vCenter at once."""

    def __init__(self, vcenter: Vcenter) -> None:
        self.vcenter = vcenter
        self.answer = Answer(b"", None)

    def request(self, method: str, path: str, body: str | bytes, headers: dict[str, str]) -> None:
        cookie = headers.get("Cookie", "").partition("=")[2].partition(";")[0].strip('"') or None
        call = Call(
            vcenter=self.vcenter, version=VERSION, session=self.vcenter.sessions.current(cookie), cookie=cookie,
            address="127.0.0.1", agent="test",
        )  # fmt: skip
        made = execute(call, body.encode() if isinstance(body, str) else body)
        self.answer = Answer(made, call.new_cookie)

    def getresponse(self) -> Answer:
        return self.answer

    def close(self) -> None:
        """Nothing is open."""


class Stub(SoapAdapter.SoapStubAdapter):
    """pyVmomi's own stub over such connections."""

    def __init__(self, vcenter: Vcenter) -> None:
        super().__init__(host="127.0.0.1", port=443, path="/sdk", version=VERSION)
        self.vcenter = vcenter

    def GetConnection(self):
        return Connection(self.vcenter)

    def ReturnConnection(self, conn) -> None:
        """Nothing is kept."""


def vcenter(spec: LabSpec, site: SiteName, folder: Path) -> Vcenter:
    """Return the vCenter of *site*, built from *spec* or from the estate in *folder*; its hosts are connected."""
    made = Vcenter(spec, site, folder, "")
    build(made)
    for host in made.hosts():
        if not host.held:
            host.set_connection("connected")
    return made


def session(made: Vcenter, site: SiteName) -> Session:
    """Return a session with it, logged in."""
    opened = Session.__new__(Session)
    opened.site = site
    opened.host, opened.port, opened.username = "127.0.0.1", 443, made.site.username
    opened._logins, opened.names, opened.cards = 1, {}, {}
    opened.stub = Stub(made)
    opened.content = vim.ServiceInstance("ServiceInstance", opened.stub).RetrieveContent()
    opened.content.sessionManager.Login(made.site.username, made.site.password, None)
    return opened
