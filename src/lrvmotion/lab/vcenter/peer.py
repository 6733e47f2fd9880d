"""The other vCenter as the source sees it: its certificate, its login, and the lab's channel to it."""

# ruff: noqa: ANN401 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

import contextlib
import json
import socket
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pyVmomi import SoapAdapter, vim, vmodl

from lrvmotion.lab.vcenter import certificate


def verify(locator: Any, lab: Path) -> Path:
    """Return the control socket of the vCenter that *locator* means, after everything a real one checks.

    SSLVerifyFault for another certificate, HostConnectFault where nobody answers or another vCenter does, InvalidLogin
    (vsphere.md 3.1, 14.4).
    """
    pem, address, path = _certificate(locator)
    _check_pin(locator, pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=pem)
    stub = SoapAdapter.SoapStubAdapter(
        address[0],
        port=address[1],
        path=path,
        version="vim.version.v7_0_3_0",
        sslContext=context,
        httpConnectionTimeout=30,
    )
    try:
        _login(stub, locator)
    except OSError as error:
        raise vim.fault.HostConnectFault(msg=f"Cannot connect to {locator.url}: {error}") from error
    finally:
        stub.DropConnections()
    for file in lab.glob("*/vcenter.json"):
        document = json.loads(file.read_text())
        if document["instance_uuid"] == locator.instanceUuid.lower():
            return Path(document["control"])
    raise vim.fault.HostConnectFault(msg=f"No vCenter of this lab answers at {locator.url}")


def _certificate(locator: Any) -> tuple[str, tuple[str, int], str]:
    parts = urlsplit(locator.url)
    if parts.scheme != "https" or not parts.hostname:
        raise vmodl.fault.InvalidArgument(
            invalidProperty="spec.service.url", msg="A specified parameter was not correct: spec.service.url"
        )
    address = (parts.hostname, parts.port or 443)
    if parts.hostname == "localhost":  # the appliance itself, where only its own services listen
        raise vim.fault.HostConnectFault(msg=f"Cannot connect to {locator.url}: Connection refused")
    try:
        return ssl.get_server_certificate(address, timeout=10), address, parts.path or "/sdk"
    except OSError as error:
        raise vim.fault.HostConnectFault(msg=f"Cannot connect to {locator.url}: {error}") from error


def _check_pin(locator: Any, pem: str) -> None:
    shown = certificate.thumbprint(pem)
    pin = locator.sslThumbprint
    other = getattr(locator, "sslCertificate", None)
    matches = pin is not None and pin.upper() == shown
    if other:  # both must match where both are given (types.go ServiceLocator)
        matches = certificate.thumbprint(other) == shown and (pin is None or matches)
    if not matches:
        raise vim.fault.SSLVerifyFault(
            selfSigned=True,
            thumbprint=shown,
            msg="The SSL certificate of the remote vCenter could not be verified.",
        )


def _login(stub: Any, locator: Any) -> None:
    content: Any = vim.ServiceInstance("ServiceInstance", stub).RetrieveContent()
    # unconfirmed: the uuid's case does not matter (vsphere.md 3.1: xMove upper-cases it for some endpoints)
    if content.about.instanceUuid != locator.instanceUuid.lower():
        raise vim.fault.HostConnectFault(
            msg=f"The vCenter at {locator.url} is {content.about.instanceUuid}, not {locator.instanceUuid}"
        )
    credential = locator.credential
    if not isinstance(credential, vim.ServiceLocator.NamePassword):
        raise vmodl.fault.NotSupported(msg="Only a name and password are simulated")
    content.sessionManager.Login(credential.username, credential.password, None)
    with contextlib.suppress(vim.fault.NotAuthenticated):  # ended meanwhile: the login was all that was asked
        content.sessionManager.Logout()


def ask(control: Path, **request: Any) -> dict[str, Any]:
    """Send one request over another vCenter's control socket; OSError, ValueError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(60)
        connection.connect(str(control))
        connection.sendall(json.dumps(request).encode() + b"\n")
        with connection.makefile("rb") as stream:
            line = stream.readline()
    if not line:
        message = "the other vCenter closed the connection"
        raise OSError(message)
    answer: dict[str, Any] = json.loads(line)
    return answer
