"""SshShell against a real SSH server (paramiko's own server side) on loopback that really runs what it is told."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import subprocess
import threading
import time
from pathlib import Path

import paramiko
import pytest

from lrvmotion.errors import ExitStatus, RefusedError, TrustError, UnreachableError
from lrvmotion.ssh import SshShell, fetch_host_key, fingerprint

NASTY = [
    "",
    " ",
    "a b",
    "it's",
    '"',
    "$HOME",
    "`id`",
    "\\",
    "a\nb",
    "*",
    "~",
    "-n",
    ";",
    "&&",
    "ü",
    "%s",
    "$(id)",
    "!x",
]


class Interface(paramiko.ServerInterface):
    def __init__(self, server):
        self.server = server
        self.commands = {}

    def check_channel_request(self, kind, chanid):
        return paramiko.OPEN_SUCCEEDED

    def get_allowed_auths(self, username):
        return "publickey,password"

    def check_auth_publickey(self, username, key):
        self.server.attempts.append("key")
        allowed = key.get_base64() == self.server.user_key.get_base64()
        return paramiko.AUTH_SUCCESSFUL if allowed else paramiko.AUTH_FAILED

    def check_auth_password(self, username, password):
        self.server.attempts.append("password")
        return paramiko.AUTH_SUCCESSFUL if password == "right" else paramiko.AUTH_FAILED

    def check_channel_exec_request(self, channel, command):
        threading.Thread(target=self.server.execute, args=(channel, command), daemon=True).start()
        return True


class Server:
    """One SSH server on loopback; *bin* comes first in the PATH of what it runs."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.host_key = paramiko.ECDSAKey.generate()
        self.user_key = paramiko.ECDSAKey.generate()
        self.key_file = folder / "id"
        self.user_key.write_private_key_file(str(self.key_file))
        self.login_shell = ["sh", "-c"]
        self.attempts = []
        self.ran = []
        self.children = []
        self.transports = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.accept)
        self.thread.start()

    @property
    def line(self):
        return f"{self.host_key.get_name()} {self.host_key.get_base64()}"

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            transport = paramiko.Transport(connection)
            transport.add_server_key(self.host_key)
            self.transports.append(transport)
            try:
                transport.start_server(server=Interface(self))
            except (paramiko.SSHException, EOFError, OSError):
                transport.close()

    def execute(self, channel, command):
        self.ran.append(command.decode())
        child = subprocess.Popen(
            [*self.login_shell, command.decode()],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
            env={"PATH": f"{self.bin}:{os.environ['PATH']}"},
        )  # fmt: skip
        self.children.append(child)

        def feed():
            try:
                while chunk := channel.recv(65536):
                    child.stdin.write(chunk)
                child.stdin.close()
            except OSError:
                pass

        def drain(stream, send):
            try:
                while chunk := stream.read1(65536):
                    send(chunk)
            except OSError:
                pass
            stream.close()

        threads = [
            threading.Thread(target=feed, daemon=True),
            threading.Thread(target=drain, args=(child.stdout, channel.sendall)),
            threading.Thread(target=drain, args=(child.stderr, channel.sendall_stderr)),
        ]
        for thread in threads:
            thread.start()
        for thread in threads[1:]:
            thread.join()
        status = child.wait()
        try:
            channel.send_exit_status(status if status >= 0 else 128 - status)
            channel.close()
        except (OSError, EOFError):  # the client has gone
            pass
        threads[0].join()
        with contextlib.suppress(OSError):
            child.stdin.close()

    def drop(self):
        """Close every connection, as a reboot would."""
        for transport in self.transports:
            transport.close()
            transport.join(5)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()
        for child in self.children:
            if child.poll() is None:
                os.killpg(child.pid, 9)
            child.wait()
        self.drop()
        for transport in self.transports:
            transport.sock.close()


@pytest.fixture
def server(tmp_path):
    server = Server(tmp_path)
    yield server
    server.close()


def login(server, **changes):
    arguments = {
        "key_file": server.key_file, "password": None, "host_key": server.line, "known_hosts": (), "timeout_s": 5.0,
    }  # fmt: skip
    username = changes.pop("username", "root")
    return SshShell.open("relay/a", "127.0.0.1", server.port, username, **{**arguments, **changes})


@pytest.fixture
def shell(server):
    shell = login(server)
    yield shell
    shell.close()


def test_ssh_arguments_arrive_as_they_are(shell):
    """Whatever is in an argument, the command gets it unchanged."""
    done = shell.run(["sh", "-c", "printf '%s\\0' \"$@\"", "x", *NASTY])
    assert done.ok
    assert done.stdout.split("\0")[:-1] == NASTY


def test_ssh_status_and_both_outputs(shell):
    """A status is data, never an exception; output and error stay apart."""
    done = shell.run(["sh", "-c", "echo out; echo err >&2; exit 7"])
    assert (done.status, done.stdout, done.stderr) == (7, "out\n", "err\n")
    assert not shell.run(["/nonexistent"]).ok


def test_ssh_language_and_path_are_fixed(shell):
    """What is parsed is never translated, and /sbin is always there."""
    done = shell.run(["sh", "-c", 'echo "$LC_ALL $PATH"'])
    assert done.stdout == "C /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"


def test_ssh_large_input_and_outputs_do_not_block_each_other(shell):
    """Megabytes both ways on all three streams end, whole."""
    blob = os.urandom(3_000_000)
    script = "tee /dev/stderr | sha256sum >/dev/null; head -c 2000000 /dev/zero"
    done = shell._execute(["sh", "-c", script], blob, 30.0)
    assert done.status == 0
    assert len(done.stdout) == 2_000_000
    assert hashlib.sha256(done.stderr).digest() == hashlib.sha256(blob).digest()


def test_ssh_command_that_ignores_its_input(shell):
    """A command may end without reading its input."""
    assert shell.run(["true"], stdin=b"x" * 5_000_000).ok


def test_ssh_command_that_hangs_is_given_up(shell):
    """A command is bounded in time, and the connection stays of use."""
    began = time.monotonic()
    with pytest.raises(UnreachableError, match="within 1 s"):
        shell.run(["sleep", "60"], timeout_s=1.0)
    assert time.monotonic() - began < 8
    assert shell.run(["true"]).ok


def test_ssh_files_are_put_read_and_removed(shell, tmp_path):
    """A file is put whole with its mode, its folder made; nothing else is left in the folder."""
    path = tmp_path / "new" / "it's a file"
    content = bytes(range(256)) * 4000
    assert shell.read(str(path)) is None
    shell.put(str(path), content, mode=0o640)
    assert path.read_bytes() == content
    assert path.stat().st_mode & 0o7777 == 0o640
    assert path.parent.stat().st_mode & 0o777 == 0o755
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert shell.read(str(path)) == content
    shell.put(str(path), b"", mode=0o600)
    assert shell.read(str(path)) == b""
    shell.remove(str(path))
    shell.remove(str(path))
    assert shell.read(str(path)) is None


def test_ssh_put_that_fails_leaves_nothing(shell, tmp_path):
    """Where the file cannot be put, an error says why and no draft stays."""
    (tmp_path / "plain").write_text("x")
    with pytest.raises(RefusedError, match="cannot be written"):
        shell.put(str(tmp_path / "plain" / "below"), b"x", mode=0o644)


@pytest.mark.parametrize("existed", [False, True])
def test_ssh_put_whose_sender_dies_leaves_no_folder_that_it_made(tmp_path, existed):
    """Half of the content arrives and then the end: neither the file nor a new folder is there; one of others stays."""
    from lrvmotion.ssh import shell as module

    folder = tmp_path / "new"
    if existed:
        folder.mkdir()
    digest = hashlib.sha256(b"whole").hexdigest()
    words = ["sh", "-c", module._PUT, "put", str(folder / "file"), "0644", digest]
    assert subprocess.run(words, input=b"who", check=False).returncode == module._ALTERED
    assert folder.exists() == existed
    assert list(tmp_path.rglob("*")) == ([folder] if existed else [])
    assert subprocess.run(words, input=b"whole", check=False).returncode == 0
    assert [path.name for path in folder.iterdir()] == ["file"]


def test_ssh_unknown_host_key_says_how_to_accept_it(server):
    """An unknown key is refused before any login; its fingerprint and the line to configure are shown."""
    with pytest.raises(TrustError) as caught:
        login(server, host_key=None)
    assert caught.value.status is ExitStatus.TRUST
    assert fingerprint(server.line) in caught.value.message
    assert f'host_key = "{server.line}"' in str(caught.value.hint)
    assert server.attempts == []


def test_ssh_changed_host_key_shows_both_fingerprints(server):
    """A key that is not the pinned one is refused before any login."""
    other = paramiko.ECDSAKey.generate()
    pinned = f"{other.get_name()} {other.get_base64()}"
    with pytest.raises(TrustError) as caught:
        login(server, host_key=pinned)
    assert fingerprint(server.line) in caught.value.message
    assert fingerprint(pinned) in caught.value.message
    assert server.attempts == []


def test_ssh_pinned_key_of_a_kind_that_is_not_offered(server):
    """A server that shows no key of the pinned kind is not trusted."""
    kind, _, key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHJ1c3RlZC1rZXktb2Ytbm9ib2R5LWF0LWFsbC4u".partition(" ")
    with pytest.raises(TrustError):
        login(server, host_key=f"{kind} {key}")
    assert server.attempts == []


def test_ssh_host_key_that_is_no_key(server):
    """Nonsense in host_key is named, not connected with."""
    with pytest.raises(TrustError, match="not a key line"):
        login(server, host_key="nonsense")


def test_ssh_known_hosts_file_is_trusted(server, tmp_path):
    """A key in known_hosts under the host's address and port is enough, and only that one."""
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{server.port} {server.line}\n")
    login(server, host_key=None, known_hosts=[known]).close()
    known.write_text(f"[127.0.0.1]:{server.port + 1} {server.line}\n")
    with pytest.raises(TrustError, match="not known"):
        login(server, host_key=None, known_hosts=[known])
    with pytest.raises(TrustError, match="cannot be read"):
        login(server, host_key=None, known_hosts=[tmp_path / "none"])


def test_ssh_known_hosts_in_several_files_with_lines_that_are_not_for_us(server, tmp_path):
    """CAs, revoked keys of others, broken lines: passed over, and what is broken is named with file and line."""
    kind, key = server.line.split()
    other = paramiko.ECDSAKey.generate().get_base64()
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(
        f"@cert-authority *.example.com {server.line}\n@revoked * {kind} {other}\n"
        f"[127.0.0.1]:{server.port} {kind} {key[:-9]}\n".encode()
        + f"[127.0.0.1]:{server.port} {kind} ".encode() + b"\xff\xfe\n"
    )  # fmt: skip
    second.write_text(f"[127.0.0.*]:{server.port} {kind} {other}\n[127.0.0.1]:{server.port} {server.line}\n")
    told: list[str] = []
    login(server, host_key=None, known_hosts=[first, second], warn=told.append).close()
    reasons = "line 3 has a key that is not base64; line 4 has a byte that is not ASCII in its hosts or key"
    assert told == [f"{first}: passed over: {reasons}"]


@pytest.mark.parametrize("pinned", [False, True])
def test_ssh_a_revoked_key_is_refused_by_name(server, tmp_path, pinned):
    """Wherever it is trusted besides: in the same file, or as host_key; with file and line, before any login."""
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{server.port} {server.line}\n@revoked * {server.line}\n")
    with pytest.raises(TrustError, match="is revoked") as caught:
        login(server, host_key=server.line if pinned else None, known_hosts=[known])
    assert fingerprint(server.line) in caught.value.message
    assert f"{known}, line 2" in caught.value.message
    assert server.attempts == []


def test_ssh_a_ca_for_the_host_is_no_key_of_it(server, tmp_path):
    """Host certificates are not checked: that is said, and the key that it shows can be pinned."""
    known = tmp_path / "known_hosts"
    known.write_text(f"@cert-authority [127.0.0.1]:* {server.line}\n")
    with pytest.raises(TrustError, match="host certificates are not checked") as caught:
        login(server, host_key=None, known_hosts=[known])
    assert f"{known}, line 1" in caught.value.message
    assert f'host_key = "{server.line}"' in str(caught.value.hint)
    assert server.attempts == []


def test_ssh_host_key_can_be_fetched_without_a_login(server):
    """The key to pin is shown without any credential being sent."""
    assert fetch_host_key("127.0.0.1", server.port) == server.line
    assert server.attempts == []


def test_ssh_password_is_tried_once(server):
    """A wrong password is sent once only: accounts lock."""
    login(server, key_file=None, password=lambda: "right").close()
    server.attempts.clear()
    with pytest.raises(TrustError, match="refused the login"):
        login(server, key_file=None, password=lambda: "wrong")
    assert server.attempts.count("password") == 1


def test_ssh_key_that_is_missing_or_not_accepted(server, tmp_path):
    """A key file that is not there is named; one that is not accepted is a refused login."""
    with pytest.raises(TrustError, match="cannot be used"):
        login(server, key_file=tmp_path / "none")
    other = tmp_path / "other"
    paramiko.ECDSAKey.generate().write_private_key_file(str(other))
    with pytest.raises(TrustError, match="refused the login"):
        login(server, key_file=other)


def test_ssh_locked_key_needs_its_passphrase(server, tmp_path):
    """A key with a passphrase is unlocked by the password given; without one, or a wrong one, that is said."""
    locked = tmp_path / "locked"
    server.user_key.write_private_key_file(str(locked), password="phrase")
    login(server, key_file=locked, password=lambda: "phrase").close()
    with pytest.raises(TrustError, match="locked with a passphrase"):
        login(server, key_file=locked)
    with pytest.raises(TrustError, match="cannot be unlocked"):
        login(server, key_file=locked, password=lambda: "wrong")


def test_ssh_other_users_go_through_sudo(server):
    """Another user's commands run through sudo without a prompt; where it is refused, the sudoers line is shown."""
    sudo = server.bin / "sudo"
    sudo.write_text('#!/bin/sh\n[ "$1" = -n ] || exit 9\nshift\nexec "$@"\n')
    sudo.chmod(0o755)
    shell = login(server, username="relay")
    try:
        shell.check_login()
        assert shell.run(["echo", "a b"]).stdout == "a b\n"
        assert all("sudo -n " in command for command in server.ran)
        sudo.write_text("#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n")
        with pytest.raises(RefusedError, match="a password is required") as caught:
            shell.check_login()
        assert caught.value.status is ExitStatus.REFUSED
        assert "relay ALL=(root) NOPASSWD: ALL" in str(caught.value.hint)
    finally:
        shell.close()


SHELLS = {
    "banner": """echo 'Welcome to relay1!'; echo '{"load": 0.1}'; echo 'no job control' >&2
sh -c "$2"; code=$?
echo 'See you'; echo 'logout' >&2; exit $code""",
    "other-status": 'sh -c "$2"; exit 3',
    "trace": 'export SHELLOPTS; set -x; bash -c "$2"',
    "no-newline": 'printf "> "; printf "> " >&2; sh -c "$2"; printf "$ "',
    "holds": 'sleep 3600 & echo $! >> $0.pids; sh -c "$2"',
    "lingers": 'sh -c "$2"; exec sleep 3600',
    "colours": "printf '\\033[31m\\r\\n\\000\\377'; sh -c \"$2\"; printf '\\000'",
}


@pytest.fixture
def login_shell(server, tmp_path):
    """Give the account a login shell that is this script."""

    def become(script):
        path = tmp_path / "login-shell"
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(0o755)
        server.login_shell = [str(path), "-c"]

    yield become
    pids = tmp_path / "login-shell.pids"
    for pid in pids.read_text().split() if pids.exists() else ():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), 9)


@pytest.mark.parametrize("kind", SHELLS)
def test_ssh_what_a_login_shell_prints_is_no_output(server, shell, login_shell, tmp_path, kind):
    """Files, outputs and statuses are the command's own, whatever the login shell says before it and after it."""
    login_shell(SHELLS[kind])
    content = bytes(range(256)) * 300
    shell.check_login()
    shell.put(str(tmp_path / "file"), content, mode=0o600)
    assert (tmp_path / "file").read_bytes() == content
    assert shell.read(str(tmp_path / "file")) == content
    assert shell.read(str(tmp_path / "none")) is None
    done = shell.run(["sh", "-c", "printf out; printf err >&2; exit 7"])
    assert (done.status, done.stdout) == (7, "out")
    assert done.stderr.endswith("err") if kind == "trace" else done.stderr == "err"
    done = shell.run(["sh", "-c", "printf '%s\\0' \"$@\"", "x", *NASTY])
    assert done.stdout.split("\0")[:-1] == NASTY
    assert [*shell.run(["true"]).stdout] == []


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exec /bin/false", "it said nothing"),
        ("echo 'This account is currently not available.'; exit 1", "This account is currently not available."),
        ("echo 'Welcome'; echo 'command not allowed' >&2; exit 0", "command not allowed"),
        ('exec bash -r -c "$2"', "restricted"),
        ("printf '\\033[2Jgone' >&2; exit 1", r"\?\[2Jgone"),
    ],
)
def test_ssh_login_shell_that_runs_nothing_is_refused(shell, login_shell, tmp_path, script, said):
    """An account without a shell, or with one that allows no command, is refused in a sentence, before anything."""
    login_shell(script)
    for attempt in (shell.check_login, lambda: shell.run(["true"]), lambda: shell.read("/etc/hostname")):
        with pytest.raises(RefusedError, match=said) as caught:
            attempt()
        assert caught.value.status is ExitStatus.REFUSED
        assert "usermod -s /bin/sh root" in str(caught.value.hint)
        assert "\x1b" not in caught.value.message


def test_ssh_login_shell_that_eats_the_input_is_refused(shell, login_shell):
    """What a start file reads is missing to the command: that is found at the login."""
    login_shell('read -r line; sh -c "$2"')
    with pytest.raises(RefusedError, match="reads the input"):
        shell.check_login()


def test_ssh_login_shell_that_is_killed_is_no_result(shell, login_shell):
    """A command whose end was not seen may have run: it is neither a success nor an empty file."""
    login_shell('sh -c "$2" > $0.out & wait; head -c 20 $0.out; sh -c "$2" 2>&1 >/dev/null | head -c 40 >&2; exit 0')
    with pytest.raises(UnreachableError, match="before it said how it went"):
        shell.read("/etc/hostname")


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("sudo: sorry, you must have a tty to run sudo", "Defaults:relay !requiretty"),
        ("sudo: a password is required", "relay ALL=(root) NOPASSWD: ALL"),
        ("relay is not in the sudoers file.", "relay ALL=(root) NOPASSWD: ALL"),
    ],
)
def test_ssh_sudo_that_refuses_says_what_allows_it(server, said, hint):
    """The line for the sudoers file fits what sudo said; a lecture before it does not hide it."""
    sudo = server.bin / "sudo"
    sudo.write_text(f"#!/bin/sh\necho 'We trust you have received the usual lecture' >&2\necho '{said}' >&2\nexit 1\n")
    sudo.chmod(0o755)
    with contextlib.closing(login(server, username="relay")) as shell:
        with pytest.raises(RefusedError, match=said) as caught:
            shell.check_login()
        assert hint in str(caught.value.hint)


def test_ssh_what_sudo_prints_is_no_output(server, tmp_path):
    """PAM modules of sudo may print; a command's output is without it."""
    sudo = server.bin / "sudo"
    sudo.write_text('#!/bin/sh\necho Lecture\necho lecture >&2\nshift\n"$@"\ncode=$?\necho Bye\nexit $code\n')
    sudo.chmod(0o755)
    (tmp_path / "file").write_text("content")
    with contextlib.closing(login(server, username="relay")) as shell:
        shell.check_login()
        assert shell.read(str(tmp_path / "file")) == b"content"
        assert shell.run(["sh", "-c", "echo x; exit 3"]).stdout == "x\n"


def test_ssh_lost_connection_is_made_again(server, shell, tmp_path):
    """After a reboot of the box the next command connects again, with the same trust."""
    (tmp_path / "file").write_bytes(b"content")
    server.drop()
    assert shell.read(str(tmp_path / "file")) == b"content"
    server.drop()
    assert shell.run(["true"]).ok


def test_ssh_command_cut_off_is_not_repeated(server, shell, tmp_path):
    """A command whose connection breaks may have run: it is not sent again."""
    log = tmp_path / "log"
    timer = threading.Timer(0.7, server.drop)
    timer.start()
    with pytest.raises(UnreachableError, match="broke"):
        shell.run(["sh", "-c", f"echo once >> {log}; sleep 30"], timeout_s=20)
    timer.join()
    assert log.read_text() == "once\n"


def test_ssh_nobody_there(tmp_path):
    """A closed port and a server that says nothing are unreachable: safe to try again."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        with pytest.raises(UnreachableError):
            fetch_host_key("127.0.0.1", port, timeout_s=0.5)
    with pytest.raises(UnreachableError) as caught:
        fetch_host_key("127.0.0.1", port)
    assert caught.value.status is ExitStatus.UNREACHABLE
