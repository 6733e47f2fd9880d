"""Log in to an SSH server whose key is known: connect, trust, authenticate; fetch a key to be pinned."""

from __future__ import annotations

import base64
import hashlib
import logging
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrvmotion.errors import TrustError, UnreachableError
from lrvmotion.ssh import known_hosts

if TYPE_CHECKING:
    import paramiko

KEEPALIVE_S = 15
SAID = 5  # lines that are passed over, named one by one
_RSA = ("rsa-sha2-512", "rsa-sha2-256")
# The order in which a key is asked for where none is known yet.
_PREFERRED = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", *_RSA)


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """What it takes to connect again."""

    host: str
    port: int
    username: str
    key_file: Path | None
    password: Callable[[], str] | None
    host_key: str | None
    known_hosts: Sequence[Path]
    timeout_s: float


@dataclass(slots=True)
class _Trusted:
    """The keys that are trusted, and those that are revoked, each with where that is said."""

    keys: list[str] = field(default_factory=list)
    revoked: dict[str, str] = field(default_factory=dict)
    authorities: list[str] = field(default_factory=list)  # where a CA is trusted for the host
    warnings: list[str] = field(default_factory=list)


def fetch_host_key(host: str, port: int = 22, *, timeout_s: float = 15.0) -> str:
    """Return the key that *host* shows, as "ssh-ed25519 AAAA…", to be compared and pinned; nothing is sent to it."""
    transport = _start(host, host, port, _PREFERRED, timeout_s)
    try:
        return _line(transport.get_remote_server_key())
    finally:
        end(transport)


def fingerprint(key: str) -> str:
    """Return the fingerprint of a key line ("ssh-ed25519 AAAA…") as ssh prints it: SHA256:…"""
    digest = hashlib.sha256(base64.b64decode(key.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def connect(name: str, login: Login, warn: Callable[[str], None] = lambda _: None) -> paramiko.Transport:
    """Return a connection that is logged in to the box *name*; TrustError or UnreachableError where there is none.

    *warn* is told what is passed over in the known_hosts files.
    """
    known = _trusted(name, login)
    for text in known.warnings:
        warn(text)
    kinds = _key_types(known.keys) or _PREFERRED
    transport = _start(name, login.host, login.port, kinds, login.timeout_s, known.keys)
    try:
        _trust(name, login, known, _line(transport.get_remote_server_key()))
        _authenticate(name, login, transport)
        transport.set_keepalive(KEEPALIVE_S)
    except BaseException:
        end(transport)
        raise
    return transport


def _start(
    name: str, host: str, port: int, key_types: Sequence[str], timeout_s: float, known: Sequence[str] = ()
) -> paramiko.Transport:
    """Connect and agree on keys; nobody is trusted yet."""
    import paramiko

    # What paramiko has to say comes as an exception; without a handler its threads would write to standard error too.
    logging.getLogger("paramiko").addHandler(logging.NullHandler())
    hint = "check the address, the port and the firewalls in between"
    try:
        connection = socket.create_connection((host, port), timeout=timeout_s)
    except OSError as error:
        message = f"{name}: {host} port {port} cannot be reached: {error.strerror or error}"
        raise UnreachableError(message, hint=hint) from error
    try:
        # Small packets, each waiting for an answer: without this every command takes 40 ms more.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport = paramiko.Transport(connection)
    except BaseException:
        connection.close()
        raise
    try:
        options = transport.get_security_options()
        options.key_types = tuple(kind for kind in options.key_types if kind in key_types)
        transport.banner_timeout = timeout_s
        transport.start_client(timeout=timeout_s)
        transport.get_remote_server_key()  # a start that took too long ends without a word: this raises then
    except paramiko.ssh_exception.IncompatiblePeer as error:
        end(transport)
        if known:
            message = f"{name}: {host} no longer shows a key of the kind that is known ({_fingerprints(known)})"
            raise TrustError(
                message, hint="compare its key with the relay host's console, then pin the new one"
            ) from error
        message = f"{name}: no common algorithm with the SSH server of {host}: {error}"
        raise UnreachableError(message, hint="install a newer SSH server on the relay host") from error
    except (paramiko.SSHException, EOFError, OSError) as error:
        end(transport)
        message = f"{name}: {host} port {port} does not answer as an SSH server: {str(error) or 'closed'}"
        raise UnreachableError(message, hint=hint) from error
    except BaseException:
        end(transport)
        raise
    return transport


def _trusted(name: str, login: Login) -> _Trusted:
    """Return what *login* trusts: the pinned key, else what the known_hosts files say of the host."""
    found = _Trusted()
    for path in login.known_hosts:
        try:
            said = known_hosts.parse(path.read_bytes())
        except OSError as error:
            message = f"{name}: {path} cannot be read: {error.strerror}"
            raise TrustError(message, hint="name another known_hosts, or set host_key") from error
        if said.broken:
            found.warnings.append(f"{path}: {_passed_over(said.broken)}")
        for entry in said.of(login.host, login.port):
            where = f"{path}, line {entry.line}"
            if entry.marker == "revoked":
                found.revoked[entry.key] = where
            elif entry.marker == "cert-authority":
                found.authorities.append(where)
            else:
                found.keys.append(entry.key)
    if login.host_key is not None:
        try:
            kind, key = login.host_key.split()[:2]
            found.keys = [known_hosts.canonical(kind, key)]
        except ValueError:
            message = f"{name}: host_key is not a key line such as 'ssh-ed25519 AAAA…'"
            raise TrustError(message, hint=f"ssh-keyscan -p {login.port} {login.host} prints one") from None
    found.keys = [key for key in dict.fromkeys(found.keys) if key not in found.revoked]
    return found


def _passed_over(broken: Sequence[known_hosts.Broken]) -> str:
    more = f", and {len(broken) - SAID} more" if len(broken) > SAID else ""
    return f"passed over: {'; '.join(str(one) for one in broken[:SAID])}{more}"


def _key_types(known: Sequence[str]) -> tuple[str, ...]:
    """Return the kinds of key to ask for, of those that can be checked; none where no such key is known."""
    kinds = [line.split()[0] for line in known]
    asked = (found for kind in kinds for found in (_RSA if kind == "ssh-rsa" else (kind,)))
    return tuple(kind for kind in asked if kind in _PREFERRED)


def _trust(name: str, login: Login, known: _Trusted, shown: str) -> None:
    if shown in known.keys:
        return
    what = f"the key of {login.host}"
    seen = f"{fingerprint(shown)} ({shown.split(maxsplit=1)[0]})"
    if shown in known.revoked:
        message = f"{name}: {what} is revoked: {seen}, {known.revoked[shown]}"
        raise TrustError(message, hint="somebody else may have that key: give the relay host a new key, then pin that")
    if not known.keys:
        message = f"{name}: {what} is not known: {seen}"
        if known.authorities:
            message += (
                f"; {', '.join(known.authorities)}: a CA is trusted for it, and host certificates are not checked"
            )
        hint = (
            "compare it with the relay host's console (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), "
            f'then accept it with host_key = "{shown}" in the configuration'
        )
        raise TrustError(message, hint=hint)
    message = f"{name}: {what} has changed: it shows {seen}, known is {_fingerprints(known.keys)}"
    raise TrustError(message, hint="somebody may be in between; if the relay host was reinstalled, pin the new key")


def _authenticate(name: str, login: Login, transport: paramiko.Transport) -> None:
    import paramiko

    tried = []
    try:
        for key in _keys(name, login):
            tried.append("key")
            try:
                transport.auth_publickey(login.username, key)
            except paramiko.BadAuthenticationType:
                break
            except paramiko.AuthenticationException:
                continue
            return
        if login.password is not None:
            tried.append("password")
            transport.auth_password(login.username, login.password())
            return
    except paramiko.AuthenticationException:
        pass
    except (paramiko.SSHException, EOFError, OSError) as error:
        message = f"{name}: {login.host} closed the connection at the login: {str(error) or 'closed'}"
        raise UnreachableError(message, hint="look at the log of its SSH server") from error
    ways = " and ".join(dict.fromkeys(tried)) or "nothing to log in with"
    message = f"{name}: {login.host} refused the login of {login.username} ({ways})"
    raise TrustError(message, hint="set key_file or password_file, or load the key into an agent")


def _keys(name: str, login: Login) -> Sequence[paramiko.PKey]:
    import paramiko

    if login.key_file is None:
        agent = paramiko.Agent()
        try:
            return agent.get_keys()
        finally:
            agent.close()
    try:
        return [paramiko.PKey.from_path(login.key_file.expanduser())]
    except (TypeError, paramiko.PasswordRequiredException):  # TypeError: what the library below says of a locked key
        return [_unlocked(name, login, login.key_file)]
    except (OSError, ValueError, paramiko.SSHException, paramiko.pkey.UnknownKeyType) as error:
        message = f"{name}: the key {login.key_file} cannot be used: {getattr(error, 'strerror', None) or error}"
        raise TrustError(message, hint="key_file is the private key, readable by you") from error


def _unlocked(name: str, login: Login, file: Path) -> paramiko.PKey:
    import paramiko

    if login.password is None:
        message = f"{name}: the key {file} is locked with a passphrase"
        raise TrustError(message, hint="load it into an agent and leave key_file out, or set password_file")
    phrase: Any = login.password().encode()  # bytes is what it takes, whatever its annotation says
    try:
        return paramiko.PKey.from_path(file.expanduser(), phrase)
    except (TypeError, ValueError, paramiko.SSHException) as error:
        message = f"{name}: the key {file} cannot be unlocked with the passphrase that was given"
        raise TrustError(message, hint="password_file, or the variable, holds the key's passphrase") from error


def end(transport: paramiko.Transport) -> None:
    """Close *transport* and wait, 5 s at most, until its thread has ended."""
    transport.close()
    transport.join(5)
    transport.sock.close()


def _line(key: paramiko.PKey) -> str:
    return f"{key.get_name()} {key.get_base64()}"


def _fingerprints(known: Sequence[str]) -> str:
    return ", ".join(fingerprint(line) for line in known)
