"""Whoever sits between us and a vCenter is given nothing: every client, counted at the one in between."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest
from pyVmomi import vim

from lrvmotion.errors import LrvmotionError, TrustError
from lrvmotion.model.inventory import MoRef
from lrvmotion.vsphere.certificate import Certificate
from lrvmotion.vsphere.session import Session
from lrvmotion.vsphere.vm.storage_policies import Policies
from lrvmotion.vsphere.vm.tags import Tagging
from wire.tls_server import Listener, make_certificate

PASSWORD = "correct-horse-battery"


def opens(session: Session, pem: str) -> None:
    """The first contact: the API's version, then the login."""
    Session.open("source", session.host, session.port, "admin", lambda: PASSWORD, pem=pem, sha256=None, timeout_s=5)


def calls(session: Session, pem: str) -> None:
    """Any call over SOAP, the login among them."""
    service = vim.ServiceInstance("ServiceInstance", session.stub)
    session.call("source vCenter", service.RetrieveContent)


def logs_in(session: Session, pem: str) -> None:
    """A login again, with the password: the session had ended."""
    session.content = SimpleNamespace(sessionManager=vim.SessionManager("SessionManager", session.stub))
    session.renew(session.logins)


def reads_tags(session: Session, pem: str) -> None:
    """REST, with a login of its own."""
    with closing(Tagging(session)) as tags:
        tags.of(MoRef("VirtualMachine", "vm-1"))


def reads_policies(session: Session, pem: str) -> None:
    """SPBM, with the cookie of the session."""
    session.stub.cookie = f'vmware_soap_session="{PASSWORD}"; Path=/'
    with closing(Policies(session)) as policies:
        policies.find("gold")


Client = Callable[[Session, str], None]
CLIENTS: tuple[Client, ...] = (opens, calls, logs_in, reads_tags, reads_policies)


class Scene(NamedTuple):
    """What is pinned, what is shown, and of which version of TLS that is."""

    pin: str
    shown: Path
    version: ssl.TLSVersion | None = None
    reason: str = "is not trusted: pinned is"


def scenes(folder: Path) -> dict[str, Scene]:
    """Return who may answer instead of the vCenter, by name."""
    authority = make_certificate(folder, "authority")
    ours = make_certificate(folder, "vcsa-a", authority=authority)
    host = make_certificate(folder, "some-esxi-host", authority=authority)
    renewed = make_certificate(folder, "renewed", like=authority)
    expired = make_certificate(folder, "expired", days=-1)
    ca, leaf = (Certificate.from_pem(path.read_text()).pem for path in (authority, ours))
    return {
        "another-of-the-pinned-ca": Scene(ca, host),
        "chain-with-the-ca-first": Scene(ca + leaf, host),
        "the-leaf-behind-the-pinned-ca": Scene(ca + leaf, ours),
        "a-stranger": Scene(leaf, authority),
        "a-sibling": Scene(leaf, host),
        "renewed-with-its-own-key": Scene(ca, renewed),
        "expired": Scene(Certificate.from_pem(expired.read_text()).pem, expired, reason="expired"),
        "tls-1.0": Scene(leaf, ours, ssl.TLSVersion.TLSv1, "no TLS 1.2"),
    }


NAMES = (
    "another-of-the-pinned-ca", "chain-with-the-ca-first", "the-leaf-behind-the-pinned-ca", "a-stranger", "a-sibling",
    "renewed-with-its-own-key", "expired", "tls-1.0",
)  # fmt: skip


def session_with(port: int, pem: str) -> Session:
    """Return a session that was never connected."""
    return Session("source", "127.0.0.1", port, "admin", lambda: PASSWORD, Certificate.from_pem(pem), "7.0.3.0", 5.0)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("name", NAMES)
def test_who_shows_anything_but_the_pinned_certificate_gets_no_byte(tmp_path, name, client):
    """SOAP, REST and SPBM: exit status 4, and not one byte after the handshake."""
    scene = scenes(tmp_path)[name]
    with closing(Listener(scene.shown, scene.version)) as listener, pytest.raises(TrustError) as caught:
        client(session_with(listener.port, scene.pin), scene.pin)
    assert listener.tried > 0
    assert bytes(listener.received) == b""
    assert scene.reason in caught.value.message
    shown = Certificate.from_pem(scene.shown.read_text()).sha256
    if scene.reason.startswith("is not trusted"):
        assert f'sha256 = "{shown}"' in (caught.value.hint or "")


@pytest.mark.parametrize("client", CLIENTS)
def test_the_pinned_certificate_is_sent_to(tmp_path, client):
    """The counter counts: shown what is pinned, each client sends, a chain's first certificate being the pin."""
    authority = make_certificate(tmp_path, "authority")
    ours = make_certificate(tmp_path, "vcsa-a", authority=authority)
    pin = "".join(Certificate.from_pem(path.read_text()).pem for path in (ours, authority))
    with closing(Listener(ours)) as listener, pytest.raises(LrvmotionError, match="answer") as caught:
        client(session_with(listener.port, pin), pin)
    assert not isinstance(caught.value, TrustError)
    assert len(listener.received) > 100


@pytest.mark.parametrize("client", CLIENTS[1:])
def test_a_certificate_that_is_replaced_is_refused_at_the_next_connection(tmp_path, client):
    """It was right at first; renewed, with the same key even, nothing more is sent."""
    first = make_certificate(tmp_path, "vcsa-a")
    pin = Certificate.from_pem(first.read_text()).pem
    with closing(Listener(first)) as listener:
        session = session_with(listener.port, pin)
        with pytest.raises(LrvmotionError, match="no answer"):
            client(session, pin)
        sent = len(listener.received)
        assert sent > 0
        listener.show(make_certificate(tmp_path, "renewed", like=first))
        with pytest.raises(TrustError, match="is not trusted"):
            client(session, pin)
    assert len(listener.received) == sent
