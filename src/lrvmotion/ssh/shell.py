"""SshShell: a Shell over one trusted SSH connection; commands as root, files put atomically."""

from __future__ import annotations

import hashlib
import secrets
import shlex
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lrvmotion.errors import RefusedError, UnreachableError
from lrvmotion.ports.shell import Completed
from lrvmotion.ssh import frame
from lrvmotion.ssh.exchange import Exchange
from lrvmotion.ssh.login import Login, connect, end

if TYPE_CHECKING:
    import paramiko

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MISSING = 44
_ALTERED = 97

_READ = f'if [ -e "$1" ]; then exec cat -- "$1"; else exit {_MISSING}; fi'
# The temporary file lies in the same folder, so that the rename is atomic; its name begins with a dot, so that
# systemd, sysctl and nft do not take it for one of theirs. A folder made for a file that does not come (we died while
# we sent it) goes again. Older `sync` knows no files.
_PUT = f"""set -e
folder=${{1%/*}}
umask 022
draft= made=
trap 'rm -f -- ${{draft:+"$draft"}}; [ -z "$made" ] || rmdir -- "$made" 2>/dev/null || :' EXIT
if [ ! -d "${{folder:-/}}" ]; then made=$folder; mkdir -p -- "$folder"; fi
umask 077
draft=$(mktemp "$folder/.lrvmotion.XXXXXXXX")
cat > "$draft"
sum=$(sha256sum < "$draft")
[ "${{sum%% *}}" = "$3" ] || exit {_ALTERED}
chmod "$2" "$draft"
sync "$draft" 2>/dev/null || sync
mv -f -- "$draft" "$1"
trap - EXIT
sync "${{folder:-/}}" 2>/dev/null || sync
"""


class SshShell:
    """A Shell over one SSH connection; see `shell.Shell` for what every call promises.

    A connection that was lost is made again before a command is sent, and once for a read; a command that was sent is
    never repeated.
    """

    def __init__(self, name: str, login: Login, transport: paramiko.Transport) -> None:
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
        known_hosts: Sequence[Path] = (),
        timeout_s: float = 15.0,
        warn: Callable[[str], None] = lambda _: None,
    ) -> SshShell:
        """Log in to *host*; its key must be *host_key* ("ssh-ed25519 AAAA…") or in one of the *known_hosts* files.

        With *key_file* that key is tried, else the agent's, then *password*, once. *warn* is told of the lines of
        *known_hosts* that are passed over. TrustError: host key or login refused. UnreachableError: no answer within
        *timeout_s* seconds.
        """
        login = Login(
            host=host, port=port, username=username, key_file=key_file, password=password,
            host_key=host_key, known_hosts=tuple(known_hosts), timeout_s=timeout_s,
        )  # fmt: skip
        return cls(name, login, connect(name, login, warn))

    @property
    def name(self) -> str:
        """The relay host's name in messages."""
        return self._name

    def check_login(self) -> None:
        """Raise RefusedError where the login cannot run commands as root, or they do not get their own input."""
        asked = secrets.token_hex(8)
        done = self.run(["cat"], stdin=asked.encode())
        user = self._login.username
        if not done.ok:
            said = _last_line(done.stderr.encode(), done.status)
            message = f"{self._name}: {user} cannot run commands as root: {said}"
            raise RefusedError(message, hint=_sudo_hint(user, said))
        if done.stdout != asked:
            message = f"{self._name}: the login shell of {user} reads the input that is meant for commands"
            raise RefusedError(message, hint="let its start files read no standard input, or name another user")

    def run(self, argv: Sequence[str], *, stdin: bytes | None = None, timeout_s: float = 30.0) -> Completed:
        """Run *argv* as root; never raises for a status. UnreachableError where no end was seen in *timeout_s*."""
        done = self._execute(argv, stdin, timeout_s)
        return Completed(
            argv=tuple(argv),
            status=done.status,
            stdout=done.stdout.decode(errors="replace"),
            stderr=done.stderr.decode(errors="replace"),
        )

    def read(self, path: str) -> bytes | None:
        """Return the file's content, or None where it does not exist; RefusedError where it cannot be read."""
        argv = ["sh", "-c", _READ, "read", path]
        try:
            done = self._execute(argv, None, 30.0)
        except UnreachableError:
            done = self._execute(argv, None, 30.0)  # on a new connection
        if done.status == _MISSING:
            return None
        if done.status:
            message = f"{self._name}: {path} cannot be read: {_last_line(done.stderr, done.status)}"
            raise RefusedError(message)
        return done.stdout

    def put(self, path: str, content: bytes, *, mode: int) -> None:
        """Put *content* at *path* atomically, its hash checked on the box; RefusedError where that fails."""
        digest = hashlib.sha256(content).hexdigest()
        done = self._execute(["sh", "-c", _PUT, "put", path, f"{mode:04o}", digest], content, 60.0)
        if done.status:
            why = "it arrived altered" if done.status == _ALTERED else _last_line(done.stderr, done.status)
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
        end(self._transport)

    def _execute(self, argv: Sequence[str], stdin: bytes | None, timeout_s: float) -> frame.Framed:
        import paramiko

        deadline = time.monotonic() + timeout_s
        token = secrets.token_hex(8)
        channel = self._channel(timeout_s)
        try:
            self._begin(channel, self._command(argv, token, timeout_s))
            exchange = Exchange(channel, stdin, lambda printed, start: frame.is_done(printed, token, start))
            out, err = exchange.finish(deadline)
        except (paramiko.SSHException, EOFError, OSError) as error:
            if self._transport.is_active() and isinstance(error, TimeoutError):
                message = f"{self._name}: no end of '{_short(argv)}' within {timeout_s:.0f} s"
                raise UnreachableError(message, hint="the relay host is overloaded or hangs") from error
            # Next time on a new connection: this one may be half dead.
            self._transport.close()
            message = f"{self._name}: the connection broke while '{_short(argv)}' ran: {str(error) or 'closed'}"
            raise UnreachableError(message, hint="it may or may not have run: run this again") from error
        finally:
            channel.close()
        done = frame.parse(out, err, token)
        if done is not None:
            return done
        if frame.began(err, token):
            message = f"{self._name}: '{_short(argv)}' was ended before it said how it went"
            raise UnreachableError(message, hint="it may or may not have run: run this again")
        user, said = self._login.username, _last_line(err or out, None)
        message = f"{self._name}: the login shell of {user} runs no commands: {said}"
        raise RefusedError(message, hint=f"on the relay host: usermod -s /bin/sh {user}; or name another user")

    def _begin(self, channel: paramiko.Channel, command: str) -> None:
        import paramiko

        try:
            channel.exec_command(command)
        except paramiko.SSHException as error:
            if not self._transport.is_active():
                raise
            message = f"{self._name}: the SSH server of {self._login.host} runs no commands"
            hint = f"look for ForceCommand and restrict in its configuration, for {self._login.username}"
            raise RefusedError(message, hint=hint) from error

    def _command(self, argv: Sequence[str], token: str, timeout_s: float) -> str:
        """Return *argv* for the login shell; `timeout` ends on the relay host what we have given up waiting for."""
        before = ["env", "LC_ALL=C", f"PATH={PATH}", "timeout", "-k", "5", f"{timeout_s + 5:.0f}"]
        if self._login.username != "root":
            before = ["sudo", "-n", *before]
        return frame.command(argv, token, before=before)

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
            end(self._transport)
            self._transport = connect(self._name, self._login)
            try:
                return _bounded(self._transport.open_session(timeout=wait_s), timeout_s)
            except (paramiko.SSHException, EOFError, OSError) as error:
                message = f"{self._name}: {self._login.host} opens no session: {error}"
                raise UnreachableError(message, hint="look at MaxSessions and the log of its SSH server") from error


def _bounded(channel: paramiko.Channel, timeout_s: float) -> paramiko.Channel:
    channel.settimeout(timeout_s)
    return channel


def _sudo_hint(user: str, said: str) -> str:
    """Return what cures what sudo *said*."""
    if "tty" in said:
        return f"on the relay host, in /etc/sudoers.d/lrvmotion: Defaults:{user} !requiretty; or log in as root"
    if "not found" in said:
        return "install sudo on the relay host, or log in as root"
    return f"on the relay host, in /etc/sudoers.d/lrvmotion: {user} ALL=(root) NOPASSWD: ALL; or log in as root"


def _short(argv: Sequence[str]) -> str:
    text = shlex.join(argv).split("\n", 1)[0]
    return text if len(text) <= 60 else text[:57] + "..."


def _last_line(said: bytes, status: int | None) -> str:
    """Return the last line, without what would steer a terminal."""
    lines = said.decode(errors="replace").strip().splitlines()
    if not lines:
        return "it said nothing" if status is None else f"exit status {status}"
    return "".join(letter if letter.isprintable() else "?" for letter in lines[-1])
