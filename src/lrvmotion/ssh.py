"""A Shell over paramiko: one trusted connection to a Linux box, commands as root, files put atomically."""

from __future__ import annotations

import base64
import hashlib
import logging
import shlex
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrvmotion.errors import RefusedError, TrustError, UnreachableError
from lrvmotion.shell import Completed

if TYPE_CHECKING:
    import paramiko

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
KEEPALIVE_S = 15
_CHUNK = 64 * 1024
_MISSING = 44
_ALTERED = 97
_RSA = ("rsa-sha2-512", "rsa-sha2-256")
# The order in which a key is asked for where none is known yet.
_PREFERRED = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", *_RSA)

_READ = f'if [ -e "$1" ]; then exec cat -- "$1"; else exit {_MISSING}; fi'
# The temporary file lies in the same folder, so that the rename is atomic; its name begins with a dot, so that
# systemd, sysctl and nft do not take it for one of theirs. Older `sync` knows no files.
_PUT = f"""set -e
folder=${{1%/*}}
umask 022
mkdir -p -- "${{folder:-/}}"
umask 077
draft=$(mktemp "$folder/.lrvmotion.XXXXXXXX")
trap 'rm -f -- "$draft"' EXIT
cat > "$draft"
sum=$(sha256sum < "$draft")
[ "${{sum%% *}}" = "$3" ] || exit {_ALTERED}
chmod "$2" "$draft"
sync "$draft" 2>/dev/null || sync
mv -f -- "$draft" "$1"
trap - EXIT
sync "${{folder:-/}}" 2>/dev/null || sync
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Login:
    """What it takes to connect again."""

    host: str
    port: int
    username: str
    key_file: Path | None
    password: Callable[[], str] | None
    host_key: str | None
    known_hosts: Path | None
    timeout_s: float


class SshShell:
    """A Shell over one SSH connection; see `shell.Shell` for what every call promises.

    A connection that was lost is made again before a command is sent, and once for a read; a command that was sent is
    never repeated.
    """

    def __init__(self, name: str, login: _Login, transport: paramiko.Transport) -> None:
        self._name = name
        self._login = login
        self._transport = transport
        self._lock = threading.Lock()

    @classmethod
    def open(
        cls,
        name: str,
        host: str,
        port: int,
        username: str,
        *,
        key_file: Path | None,
        password: Callable[[], str] | None,
        host_key: str | None,
        known_hosts: Path | None,
        timeout_s: float = 15.0,
    ) -> SshShell:
        """Log in to *host*; its key must be *host_key* ("ssh-ed25519 AAAA…") or in *known_hosts*.

        With *key_file* that key is tried, else the agent's, then *password*, once. TrustError: host key or login
        refused. UnreachableError: no answer within *timeout_s* seconds.
        """
        login = _Login(
            host=host, port=port, username=username, key_file=key_file, password=password,
            host_key=host_key, known_hosts=known_hosts, timeout_s=timeout_s,
        )  # fmt: skip
        return cls(name, login, _connect(name, login))

    @property
    def name(self) -> str:
        """The box's name in messages."""
        return self._name

    def check_sudo(self) -> None:
        """Raise RefusedError where the login is neither root nor allowed to use sudo without a password."""
        if self._login.username == "root":
            return
        done = self.run(["true"])
        if done.ok:
            return
        user = self._login.username
        said = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.status}"]
        message = f"{self._name}: {user} cannot use sudo without a password: {said[0]}"
        hint = f"on the box, in /etc/sudoers.d/lrvmotion: {user} ALL=(root) NOPASSWD: ALL; or log in as root"
        raise RefusedError(message, hint=hint)

    def run(self, argv: Sequence[str], *, stdin: bytes | None = None, timeout_s: float = 30.0) -> Completed:
        """Run *argv* as root; never raises for a status. UnreachableError where no end was seen in *timeout_s*."""
        status, out, err = self._execute(argv, stdin, timeout_s)
        return Completed(
            argv=tuple(argv),
            status=status,
            stdout=out.decode(errors="replace"),
            stderr=err.decode(errors="replace"),
        )

    def read(self, path: str) -> bytes | None:
        """Return the file's content, or None where it does not exist; RefusedError where it cannot be read."""
        argv = ["sh", "-c", _READ, "read", path]
        try:
            status, out, err = self._execute(argv, None, 30.0)
        except UnreachableError:
            status, out, err = self._execute(argv, None, 30.0)  # on a new connection
        if status == _MISSING:
            return None
        if status:
            message = f"{self._name}: {path} cannot be read: {_last_line(err, status)}"
            raise RefusedError(message)
        return out

    def put(self, path: str, content: bytes, *, mode: int) -> None:
        """Put *content* at *path* atomically, its hash checked on the box; RefusedError where that fails."""
        digest = hashlib.sha256(content).hexdigest()
        status, _, err = self._execute(["sh", "-c", _PUT, "put", path, f"{mode:04o}", digest], content, 60.0)
        if status:
            why = "it arrived altered" if status == _ALTERED else _last_line(err, status)
            message = f"{self._name}: {path} cannot be written: {why}"
            raise RefusedError(message)

    def remove(self, path: str) -> None:
        """Remove the file, and nothing where there is none."""
        done = self.run(["rm", "-f", "--", path])
        if not done.ok:
            message = f"{self._name}: {path} cannot be removed: {_last_line(done.stderr.encode(), done.status)}"
            raise RefusedError(message)

    def close(self) -> None:
        """End the connection."""
        _end(self._transport)

    def _execute(self, argv: Sequence[str], stdin: bytes | None, timeout_s: float) -> tuple[int, bytes, bytes]:
        import paramiko

        deadline = time.monotonic() + timeout_s
        channel = self._channel(timeout_s)
        try:
            channel.exec_command(self._command(argv, timeout_s))
            return _Exchange(channel, stdin).finish(deadline)
        except (paramiko.SSHException, EOFError, OSError) as error:
            if self._transport.is_active() and isinstance(error, TimeoutError):
                message = f"{self._name}: no end of '{_short(argv)}' within {timeout_s:.0f} s"
                raise UnreachableError(message, hint="the box is overloaded or hangs") from error
            # Next time on a new connection: this one may be half dead.
            self._transport.close()
            message = f"{self._name}: the connection broke while '{_short(argv)}' ran: {str(error) or 'closed'}"
            raise UnreachableError(message, hint="it may or may not have run: run this again") from error
        finally:
            channel.close()

    def _command(self, argv: Sequence[str], timeout_s: float) -> str:
        """Quote *argv* for the login shell; `timeout` ends on the box what we have given up waiting for."""
        words = ["env", "LC_ALL=C", f"PATH={PATH}", "timeout", "-k", "5", f"{timeout_s + 5:.0f}", *argv]
        if self._login.username != "root":
            words = ["sudo", "-n", *words]
        return shlex.join(words)

    def _channel(self, timeout_s: float) -> paramiko.Channel:
        """Open a channel, on a new connection where the old one is lost: nothing has been sent yet."""
        import paramiko

        wait_s = min(timeout_s, self._login.timeout_s)
        with self._lock:
            if self._transport.is_active():
                try:
                    return _bounded(self._transport.open_session(timeout=wait_s), timeout_s)
                except (paramiko.SSHException, EOFError, OSError):
                    pass
            _end(self._transport)
            self._transport = _connect(self._name, self._login)
            try:
                return _bounded(self._transport.open_session(timeout=wait_s), timeout_s)
            except (paramiko.SSHException, EOFError, OSError) as error:
                message = f"{self._name}: {self._login.host} opens no session: {error}"
                raise UnreachableError(message, hint="look at MaxSessions and the log of its SSH server") from error


class _Exchange:
    """Standard input, output and error of one command, moved at the same time so that none blocks another."""

    def __init__(self, channel: paramiko.Channel, stdin: bytes | None) -> None:
        self._channel = channel
        self._failures: list[Exception] = []
        self._out: list[bytes] = []
        self._err: list[bytes] = []
        self._threads = [
            threading.Thread(target=self._guarded, args=(work,), daemon=True)
            for work in (
                lambda: self._feed(stdin),
                lambda: self._drain(channel.recv, self._out),
                lambda: self._drain(channel.recv_stderr, self._err),
            )
        ]

    def finish(self, deadline: float) -> tuple[int, bytes, bytes]:
        """Return status, output and error once the command has ended; TimeoutError after *deadline* (monotonic)."""
        for thread in self._threads:
            thread.start()
        try:
            for thread in self._threads[1:]:
                thread.join(max(0.0, deadline - time.monotonic()))
                if thread.is_alive():
                    raise TimeoutError
            if not self._channel.status_event.wait(max(0.0, deadline - time.monotonic())):
                raise TimeoutError
        finally:
            self._channel.close()  # wakes whoever still waits
            for thread in self._threads:
                thread.join(5)
        status = self._channel.recv_exit_status()
        if status < 0:  # ended without a status: a signal, or the connection
            if self._failures:
                raise self._failures[0]
            if not self._channel.get_transport().is_active():
                raise EOFError
            status = 255
        return status, b"".join(self._out), b"".join(self._err)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except (OSError, EOFError) as error:
            self._failures.append(error)

    def _feed(self, stdin: bytes | None) -> None:
        view = memoryview(stdin or b"")
        while view:
            # A command that does not read its input ends the channel: no failure of ours.
            view = view[self._channel.send(view[:_CHUNK].tobytes()) :]
        self._channel.shutdown_write()

    @staticmethod
    def _drain(receive: Callable[[int], bytes], into: list[bytes]) -> None:
        while chunk := receive(_CHUNK):
            into.append(chunk)


def fetch_host_key(host: str, port: int = 22, *, timeout_s: float = 15.0) -> str:
    """Return the key that *host* shows, as "ssh-ed25519 AAAA…", to be compared and pinned; nothing is sent to it."""
    transport = _start(host, host, port, _PREFERRED, timeout_s)
    try:
        return _line(transport.get_remote_server_key())
    finally:
        _end(transport)


def fingerprint(key: str) -> str:
    """Return the fingerprint of a key line ("ssh-ed25519 AAAA…") as ssh prints it: SHA256:…"""
    digest = hashlib.sha256(base64.b64decode(key.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def _connect(name: str, login: _Login) -> paramiko.Transport:
    known = _known_keys(name, login)
    transport = _start(name, login.host, login.port, _key_types(known) or _PREFERRED, login.timeout_s, known)
    try:
        _trust(name, login, known, _line(transport.get_remote_server_key()))
        _authenticate(name, login, transport)
        transport.set_keepalive(KEEPALIVE_S)
    except BaseException:
        _end(transport)
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
        _end(transport)
        if known:
            message = f"{name}: {host} no longer shows a key of the kind that is known ({_fingerprints(known)})"
            raise TrustError(message, hint="compare its key with the box's console, then pin the new one") from error
        message = f"{name}: no common algorithm with the SSH server of {host}: {error}"
        raise UnreachableError(message, hint="a newer SSH server on the box") from error
    except (paramiko.SSHException, EOFError, OSError) as error:
        _end(transport)
        message = f"{name}: {host} port {port} does not answer as an SSH server: {str(error) or 'closed'}"
        raise UnreachableError(message, hint=hint) from error
    except BaseException:
        _end(transport)
        raise
    return transport


def _known_keys(name: str, login: _Login) -> list[str]:
    """Return the key lines that *login* trusts: the pinned one, else those of the known_hosts file."""
    import paramiko

    if login.host_key is not None:
        words = login.host_key.split()
        try:
            fingerprint(login.host_key)
        except (IndexError, ValueError):
            message = f"{name}: host_key is not a key line such as 'ssh-ed25519 AAAA…'"
            raise TrustError(message, hint=f"ssh-keyscan -p {login.port} {login.host} prints one") from None
        return [f"{words[0]} {words[1]}"]
    if login.known_hosts is None:
        return []
    try:
        hosts = paramiko.HostKeys(str(login.known_hosts))
    except OSError as error:
        message = f"{name}: {login.known_hosts} cannot be read: {error.strerror}"
        raise TrustError(message, hint="name another known_hosts, or set host_key") from error
    entry = hosts.lookup(login.host if login.port == 22 else f"[{login.host}]:{login.port}")
    return [] if entry is None else [_line(key) for key in entry.values()]


def _key_types(known: Sequence[str]) -> tuple[str, ...]:
    kinds = [line.split()[0] for line in known]
    return tuple(found for kind in kinds for found in (_RSA if kind == "ssh-rsa" else (kind,)))


def _trust(name: str, login: _Login, known: Sequence[str], shown: str) -> None:
    if shown in known:
        return
    if not known:
        message = f"{name}: the key of {login.host} is not known: {fingerprint(shown)} ({shown.split(maxsplit=1)[0]})"
        hint = (
            "compare it with the box's console (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), "
            f'then accept it with host_key = "{shown}" in the configuration'
        )
        raise TrustError(message, hint=hint)
    message = (
        f"{name}: the key of {login.host} has changed: it shows {fingerprint(shown)}, known is {_fingerprints(known)}"
    )
    raise TrustError(message, hint="somebody may be in between; if the box was set up anew, pin the new key")


def _authenticate(name: str, login: _Login, transport: paramiko.Transport) -> None:
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


def _keys(name: str, login: _Login) -> Sequence[paramiko.PKey]:
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


def _unlocked(name: str, login: _Login, file: Path) -> paramiko.PKey:
    import paramiko

    if login.password is None:
        message = f"{name}: the key {file} is locked with a passphrase"
        raise TrustError(message, hint="load it into an agent and leave key_file out, or set password_file")
    phrase: Any = login.password().encode()  # bytes is what it takes, whatever its annotation says
    try:
        return paramiko.PKey.from_path(file.expanduser(), phrase)
    except (TypeError, ValueError, paramiko.SSHException) as error:
        message = f"{name}: the key {file} cannot be unlocked: {error}"
        raise TrustError(message, hint="password_file holds the key's passphrase") from error


def _bounded(channel: paramiko.Channel, timeout_s: float) -> paramiko.Channel:
    channel.settimeout(timeout_s)
    return channel


def _end(transport: paramiko.Transport) -> None:
    transport.close()
    transport.join(5)
    transport.sock.close()


def _line(key: paramiko.PKey) -> str:
    return f"{key.get_name()} {key.get_base64()}"


def _fingerprints(known: Sequence[str]) -> str:
    return ", ".join(fingerprint(line) for line in known)


def _short(argv: Sequence[str]) -> str:
    text = shlex.join(argv).split("\n", 1)[0]
    return text if len(text) <= 60 else text[:57] + "..."


def _last_line(said: bytes, status: int) -> str:
    lines = said.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"exit status {status}"
