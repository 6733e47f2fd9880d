"""A vCenter is trusted for its pinned certificate and nothing else."""

from __future__ import annotations

import hashlib
import socket
import ssl

import pytest

from lrvmotion.errors import ExitStatus, TrustError, UnreachableError
from lrvmotion.vsphere.certificate import Certificate, fetch_certificate
from lrvmotion.vsphere.session import Session
from wire.tls_server import make_certificate, serve


def never() -> str:
    """Stand where a password would be asked for: no test here gets so far."""
    message = "a password was asked for before the server was trusted"
    raise AssertionError(message)


def opened(port: int, *, pem: str | None = None, sha256: str | None = None) -> Session:
    return Session.open("source", "127.0.0.1", port, "admin", never, pem=pem, sha256=sha256, timeout_s=5)


@pytest.fixture
def certificate(tmp_path):
    """Return a self-signed certificate's file."""
    return make_certificate(tmp_path, "vcsa-a")


def test_fingerprints_are_those_of_the_der_form(certificate):
    """SHA-256 plain lower-case, SHA-1 as vCenter writes thumbprints."""
    with serve(certificate) as port:
        shown = fetch_certificate("127.0.0.1", port)
    der = ssl.PEM_cert_to_DER_cert(shown.pem)
    assert shown.sha256 == hashlib.sha256(der).hexdigest()
    assert shown.sha1.replace(":", "").lower() == hashlib.sha1(der, usedforsecurity=False).hexdigest()
    assert shown.sha1.count(":") == 19


def test_without_a_pin_both_fingerprints_are_shown_and_nothing_is_sent(certificate):
    """The user is told what to compare and what to write, and no password leaves."""
    with serve(certificate) as port:
        shown = fetch_certificate("127.0.0.1", port)
        with pytest.raises(TrustError) as caught:
            opened(port)
    assert shown.sha256 in caught.value.message
    assert shown.sha1 in caught.value.message
    assert f'sha256 = "{shown.sha256}"' in (caught.value.hint or "")
    assert caught.value.status is ExitStatus.TRUST


def test_another_fingerprint_is_refused_naming_both(certificate):
    """A mismatch names the pinned and the shown certificate."""
    with serve(certificate) as port:
        shown = fetch_certificate("127.0.0.1", port)
        with pytest.raises(TrustError) as caught:
            opened(port, sha256="ab" * 32)
    assert "ab" * 32 in caught.value.message
    assert shown.sha256 in caught.value.message


def test_another_certificate_of_the_same_authority_is_refused(tmp_path):
    """The pin is the certificate, not who signed it: a sibling under the same authority is somebody else."""
    authority = make_certificate(tmp_path, "authority")
    ours = make_certificate(tmp_path, "vcsa-a", authority=authority)
    sibling = make_certificate(tmp_path, "vcsa-x", authority=authority)
    pinned = Certificate.from_pem(ours.read_text())
    with serve(sibling) as port, pytest.raises(TrustError) as caught:
        opened(port, pem=pinned.pem)
    assert pinned.sha256 in caught.value.message
    assert Certificate.from_pem(sibling.read_text()).sha256 in caught.value.message


def test_a_signed_certificate_may_be_the_pin_and_colons_do_not_matter(tmp_path):
    """The normal vCenter case: a leaf that its own authority signed; the server is trusted, then found no vCenter."""
    authority = make_certificate(tmp_path, "authority")
    ours = make_certificate(tmp_path, "vcsa-a", authority=authority)
    plain = Certificate.from_pem(ours.read_text()).sha256
    spelled = ":".join(plain[at : at + 2] for at in range(0, 64, 2)).upper()
    with serve(ours) as port, pytest.raises(UnreachableError, match="not as a vCenter"):
        opened(port, sha256=spelled)


def test_a_pinned_certificate_that_has_expired_is_refused(tmp_path):
    """An expired pin is said to be expired, not to be a stranger's."""
    expired = make_certificate(tmp_path, "vcsa-a", days=-1)
    with serve(expired) as port, pytest.raises(TrustError, match="expired"):
        opened(port, pem=Certificate.from_pem(expired.read_text()).pem)


def test_a_certificate_file_that_is_none_is_refused():
    """Text that is no certificate is a matter of trust, said before anything is sent."""
    with pytest.raises(TrustError, match="PEM"):
        opened(1, pem="not a certificate")


def test_nobody_there_is_unreachable_not_a_matter_of_trust():
    """A closed port is exit status 5: safe to try again."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(UnreachableError, match="does not answer"):
        opened(port, sha256="ab" * 32)


def test_a_refused_connection_is_told_in_words():
    """By init and by a login alike: an error number of this machine says nothing to anybody."""
    with socket.socket() as taken:  # bound and not listening: nobody else can listen there meanwhile
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(UnreachableError) as by_init:
            fetch_certificate("127.0.0.1", port)
        with pytest.raises(UnreachableError) as by_login:
            opened(port, sha256="ab" * 32)
    said = f"vCenter 127.0.0.1:{port} does not answer: Connection refused"
    assert (by_init.value.message, by_login.value.message) == (said, said)
