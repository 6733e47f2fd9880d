"""The relay host's login shells, real ones behind a real sshd: what they print, and in which language they read."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lrvmotion.errors import RefusedError
from lrvmotion.lab.box import machine
from lrvmotion.lab.box.disk import packages
from lrvmotion.lab.box.record import BoxError, BoxRecord
from lrvmotion.lab.box.state import state
from lrvmotion.model.setting import SettingKey, document, string
from lrvmotion.model.target_id import TargetId
from lrvmotion.relay.box import RelayBox
from lrvmotion.relay.facts import facts
from lrvmotion.ssh import SshShell
from netns.box_world import make_world, requires_box

pytestmark = requires_box

SAYS = 'Welcome to relay1\n{"load": 1}'
START_FILES = {
    "/bin/bash": (".bashrc", f"echo '{SAYS}'; echo 'bashrc: no job control' >&2; set -x; trap 'echo logout' EXIT\n"),
    "/bin/dash": (".profile", "echo never\n"),
    "/usr/bin/tcsh": (".cshrc", "echo 'Welcome to relay1'\necho '{\"load\": 1}'\n/bin/sh -c 'echo noise >&2'\n"),
    "/usr/bin/fish": (
        ".config/fish/config.fish",
        f"echo '{SAYS}'; echo noise >&2\nfunction bye --on-event fish_exit; echo Bye; end\n",
    ),
}


@pytest.fixture(scope="module")
def box(tmp_path_factory) -> Iterator[BoxRecord]:
    with make_world(tmp_path_factory.mktemp("box")) as world:
        yield world.start(systemd=False)


def root_of(record: BoxRecord) -> Path:
    assert record.init is not None
    return Path(f"/proc/{record.init.pid}/root")


def become(record: BoxRecord, user: str, shell: str) -> None:
    """Give *user* the login shell *shell*, unpacked where the machine has none, and start files that print."""
    root = root_of(record)
    if not (root / shell.lstrip("/")).exists():
        try:
            folder = packages.unpacked(Path(shell).name, shell, packages.cache_folder())
        except BoxError as error:
            pytest.skip(str(error))
        assert folder is not None
        shutil.copytree(folder / "usr", root / "usr", symlinks=True, dirs_exist_ok=True)
    name, text = START_FILES.get(shell, (".none", ""))
    home = "/root" if user == "root" else f"/home/{user}"
    file = root / home.lstrip("/") / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    script = 'chown -R "$1" "$2" && sed -i "s#^\\($1:.*:\\)[^:]*\\$#\\1$3#" /etc/passwd'
    done = machine.run(record, ["sh", "-c", script, "become", user, home, shell])
    assert done.returncode == 0, done.stderr


@contextlib.contextmanager
def log_in(record: BoxRecord, user: str) -> Iterator[SshShell]:
    shell = SshShell.open(
        "relay/relay1", record.address, record.port, user, key_file=Path(record.private_key), password=None,
        host_key=record.host_key, known_hosts=(),
    )  # fmt: skip
    with contextlib.closing(shell):
        yield shell


@pytest.mark.parametrize("user", ["root", "relay"])
@pytest.mark.parametrize("login_shell", START_FILES)
def test_shell_of_the_account_is_in_no_value(box, user, login_shell):
    """With start files that print, and in another language than sh, each value is read, set and restored exactly."""
    if user not in box.users:
        pytest.skip("the box has no sudo")
    become(box, user, login_shell)
    with log_in(box, user) as shell:
        shell.check_login()
        before = state(box)  # fish writes files of its own when it first starts
        plain = shell.run(["true"])
        if login_shell != "/bin/dash":
            _, printed, _ = _raw(shell, "true")
            assert "Welcome" in printed, "its start files are read"
        assert (plain.status, plain.stdout) == (0, "")
        seen = facts(shell)
        assert seen.kernel
        assert seen.sysctl("net.ipv4.ip_forward") in {"0", "1"}
        target = RelayBox(TargetId.relay("relay1"), shell)
        prior = target.read(SettingKey("sysctl/net.ipv4.tcp_mtu_probing"))
        assert prior == string(machine.run(box, ["cat", "/proc/sys/net/ipv4/tcp_mtu_probing"]).stdout.strip())
        target.write(SettingKey("sysctl/net.ipv4.tcp_mtu_probing"), string("2"))
        assert target.read(SettingKey("sysctl/net.ipv4.tcp_mtu_probing")) == string("2")
        target.write(SettingKey("sysctl/net.ipv4.tcp_mtu_probing"), prior)
        content = document(content="it's 100 %\n!! \\ $HOME `id` ü\n" * 500, mode="0640")
        target.write(SettingKey("file//etc/lrvmotion-test/a file"), content)
        assert target.read(SettingKey("file//etc/lrvmotion-test/a file")) == content
        target.write(SettingKey("file//etc/lrvmotion-test/a file"), target.read(SettingKey("file//nowhere")))
        assert target.read(SettingKey("redirect/lrvmotion_tst123")) == target.read(SettingKey("file//nowhere"))
    assert state(box) == before


@pytest.mark.parametrize("login_shell", ["/usr/sbin/nologin", "/bin/false", "/bin/rbash"])
def test_shell_that_runs_nothing_is_refused_in_a_sentence(box, login_shell):
    """An account that may not run commands is refused at the login, with what its shell said and what to do."""
    become(box, "root", login_shell)
    before = state(box)
    with (
        log_in(box, "root") as shell,
        pytest.raises(RefusedError, match="login shell of root runs no commands") as caught,
    ):
        shell.check_login()
    assert "usermod -s /bin/sh root" in str(caught.value.hint)
    assert state(box) == before


def test_shell_without_a_terminal_where_sudo_wants_one(box):
    """requiretty is found at the login, with the line that lifts it."""
    if "relay" not in box.users:
        pytest.skip("the box has no sudo")
    become(box, "relay", "/bin/bash")
    sudoers = root_of(box) / "etc/sudoers"
    text = sudoers.read_text()
    sudoers.write_text("Defaults requiretty\nDefaults lecture=always\n" + text)
    try:
        with log_in(box, "relay") as shell:
            with pytest.raises(RefusedError, match="tty") as caught:
                shell.check_login()
            assert "Defaults:relay !requiretty" in str(caught.value.hint)
            sudoers.write_text("Defaults requiretty\n" + text + "Defaults:relay !requiretty\n")
            shell.check_login()
    finally:
        sudoers.write_text(text)


def _raw(shell: SshShell, command: str) -> tuple[int, str, str]:
    """Run *command* as sshd does for anybody: without a frame."""
    channel = shell._transport.open_session(timeout=10)
    channel.settimeout(10)
    channel.exec_command(command)
    out, err = channel.makefile().read().decode(), channel.makefile_stderr().read().decode()
    return channel.recv_exit_status(), out, err
