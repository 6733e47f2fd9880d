"""A vCenter's certificate: as it is shown, as it is pinned, and TLS that gives no byte to any other."""

from __future__ import annotations

import hashlib
import re
import socket
import ssl
from dataclasses import dataclass
from typing import Any, Self, cast

from lrvmotion.errors import TrustError, UnreachableError

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
# What OpenSSL says of a server without TLS 1.2: by its own look at the answer, or by the server's alert.
_TOO_OLD = frozenset({"UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION"})
_OLD = "it offers no TLS 1.2 or later"


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate: *sha256* in plain lower-case hex, *sha1* upper-case with colons, as vCenter's thumbprints are."""

    pem: str
    sha256: str
    sha1: str

    @classmethod
    def from_der(cls, der: bytes) -> Self:
        """Return the certificate that *der* encodes."""
        sha1 = hashlib.sha1(der, usedforsecurity=False).hexdigest().upper()  # the API asks for SHA-1 (vsphere.md 3.1)
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
            der = ssl.PEM_cert_to_DER_cert(block[0] + "\n" if block else "")
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=der)
        except (ValueError, ssl.SSLError):
            message = "the pinned certificate is not in PEM form"
            hint = "it begins with -----BEGIN CERTIFICATE-----, and what follows is one whole certificate"
            raise TrustError(message, hint=hint) from None
        return cls.from_der(der)


class NotTrustedError(ssl.SSLCertVerificationError):
    """What answers at *host* is not trusted; the connection is closed, and nothing was sent over it.

    *shown* is its certificate, None where the handshake did not get so far. An OSError, as all that ends a connection.
    """

    def __init__(self, host: str, port: int, pinned: Certificate, shown: Certificate | None, reason: str) -> None:
        super().__init__(f"{host}:{port} is not trusted: {reason}")
        self.host = host
        self.port = port
        self.pinned = pinned
        self.shown = shown
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.host, self.port, self.pinned, self.shown, self.reason)


class PinnedContext(ssl.SSLContext):
    """TLS to exactly the certificate that is pinned, for every client of a vCenter.

    OpenSSL takes the pinned certificate for an anchor: it accepts what that has signed, too. So what was shown is
    compared byte by byte after each handshake, before anything is sent. One that has expired is refused although it
    is pinned: its key may be anybody's by now. Connecting raises NotTrustedError.
    """

    host: str
    port: int
    pinned: Certificate

    def __new__(cls, host: str, port: int, pinned: Certificate) -> Self:
        """Return a context for connections to *host*, which is to show *pinned*."""
        context = super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)
        context.host, context.port, context.pinned = host, port, pinned
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.check_hostname = False  # the certificate is the identity
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # a leaf that a CA signed may be the anchor
        context.load_verify_locations(cadata=pinned.pem)
        context.sslsocket_class = _PinnedSocket
        return context


class _PinnedSocket(ssl.SSLSocket):
    """A connection whose handshake ends only where the peer has shown the pinned certificate."""

    def do_handshake(self, block: bool = False) -> None:
        mine = cast("PinnedContext", self.context)
        try:
            super().do_handshake(block)
        except ssl.SSLCertVerificationError as error:
            raise NotTrustedError(mine.host, mine.port, mine.pinned, None, error.verify_message) from None
        except ssl.SSLError as error:
            if error.reason in _TOO_OLD:
                raise NotTrustedError(mine.host, mine.port, mine.pinned, None, _OLD) from None
            raise
        der = self.getpeercert(binary_form=True)
        if der is None or der != ssl.PEM_cert_to_DER_cert(mine.pinned.pem):
            shown = None if der is None else Certificate.from_der(der)
            raise NotTrustedError(mine.host, mine.port, mine.pinned, shown, "another certificate is pinned")


def fetch_certificate(host: str, port: int, timeout_s: float = 10) -> Certificate:
    """Return what *host* presents now, **unverified**: for showing it, or for pinning it by a known fingerprint.

    Raises UnreachableError; TrustError where it offers no TLS 1.2.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), timeout_s) as raw,
            context.wrap_socket(raw, server_hostname=host) as tls,
        ):
            der = tls.getpeercert(binary_form=True)
    except OSError as error:
        if isinstance(error, ssl.SSLError) and error.reason in _TOO_OLD:
            raise _too_old(host, port) from None
        message = f"vCenter {host}:{port} does not answer: {error.strerror or error}"
        raise UnreachableError(message, hint="check the address, the port and the firewall") from None
    if der is None:
        message = f"{host}:{port} presents no certificate"
        raise UnreachableError(message)
    return Certificate.from_der(der)


def distrust(error: NotTrustedError) -> TrustError:
    """Return *error* as the user is told it: what is pinned, and what is shown (asked again where it is not known)."""
    host, port, pinned = error.host, error.port, error.pinned
    if error.reason == _OLD:
        return _too_old(host, port)
    shown = error.shown
    try:
        shown = shown or fetch_certificate(host, port)
    except UnreachableError:
        message = f"{host}:{port} is not trusted: it does not show the pinned certificate ({error.reason})"
        return TrustError(message, hint="find out who answers there")
    if shown == pinned:
        message = f"the pinned certificate of {host}:{port} is not valid: {error.reason}"
        return TrustError(message, hint="renew the vCenter's certificate, then pin the new one")
    return mismatch(host, port, pinned.sha256, shown.sha256)


def mismatch(host: str, port: int, pinned: str, shown: str) -> TrustError:
    """Return that another certificate is pinned (SHA-256 *pinned*) than the one with SHA-256 *shown*."""
    message = f"{host}:{port} is not trusted: pinned is the certificate with SHA-256 {pinned}, it shows {shown}"
    hint = (
        "find out who answers there; if this is the vCenter's own certificate (it was renewed, or its CA was pinned), "
        f'pin it: sha256 = "{shown}"'
    )
    return TrustError(message, hint=hint)


def _too_old(host: str, port: int) -> TrustError:
    message = f"{host}:{port} is not trusted: {_OLD}"
    return TrustError(message, hint="find out who answers there: every vCenter since 6.5 offers TLS 1.2")
