"""A TLS server on loopback with a certificate of its own, which answers every GET with one body."""

from __future__ import annotations

import socket
import ssl
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def _key(path: Path) -> ec.EllipticCurvePrivateKey:
    loaded = serialization.load_pem_private_key(path.read_bytes(), None)
    assert isinstance(loaded, ec.EllipticCurvePrivateKey)
    return loaded


def make_certificate(
    folder: Path, name: str, *, authority: Path | None = None, like: Path | None = None, days: int = 30
) -> Path:
    """Write a key and certificate to one PEM file; *authority*: another such file that signs it.

    *like* is one whose key and subject are used again, as where a certificate is renewed.
    """
    key = ec.generate_private_key(ec.SECP256R1()) if like is None else _key(like)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    if like is not None:
        subject = x509.load_pem_x509_certificate(like.read_bytes()).subject
    issuer, signer = subject, key
    if authority is not None:
        issuer = x509.load_pem_x509_certificate(authority.read_bytes()).subject
        signer = _key(authority)
    end = datetime.now(UTC) + timedelta(days=days)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - timedelta(days=400))
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=authority is None, path_length=None), critical=True)
        .sign(signer, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    body = b"hello"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    context: ssl.SSLContext

    def get_request(self):
        raw, address = super().get_request()
        raw.settimeout(5)
        return self.context.wrap_socket(raw, server_side=True), address

    def handle_error(self, *_: object) -> None:
        """A client that refuses our certificate is what the tests are about."""


@contextmanager
def serve(certificate: Path) -> Iterator[int]:
    """Serve with *certificate*; give the port."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.context.load_cert_chain(certificate)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


class Listener:
    """A TLS server that answers nothing: it counts the connections made and the bytes that come over them.

    What it shows can be changed while it listens; *version* is the only one of TLS that it speaks, where given.
    """

    def __init__(self, certificate: Path, version: ssl.TLSVersion | None = None) -> None:
        self._version = version
        self.show(certificate)
        self.tried = 0  # connections, whatever became of them
        self.trusted = 0  # handshakes that the client finished
        self.received = bytearray()  # after them
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def show(self, certificate: Path) -> None:
        """Show *certificate* from the next connection on."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if self._version is not None:
            context.set_ciphers("DEFAULT:@SECLEVEL=0")  # TLS 1.0 signs with SHA-1
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                context.minimum_version = context.maximum_version = self._version
        context.load_cert_chain(certificate)
        self._context = context

    def close(self) -> None:
        """Stop, once every connection has ended: from then on the counts are final."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:  # the first one, which adds the others, has ended once it is joined
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                raw, _ = self._socket.accept()
            except OSError:
                return
            self.tried += 1
            thread = threading.Thread(target=self._serve, args=(raw, self._context))
            self._threads.append(thread)
            thread.start()

    def _serve(self, raw: socket.socket, context: ssl.SSLContext) -> None:
        raw.settimeout(10)
        try:
            with context.wrap_socket(raw, server_side=True) as tls:
                self.trusted += 1
                tls.settimeout(0.5)  # a client that waits for an answer has sent all that it will
                while chunk := tls.recv(65536):
                    self.received += chunk
        except OSError:
            raw.close()
