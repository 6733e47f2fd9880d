"""A relay host is a machine of its own: what happens in it stays in it, and nothing of it stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
import pytest

from lrvmotion.lab.box import machine
from lrvmotion.lab.box.management import device_name
from lrvmotion.lab.box.record import BoxError, BoxRecord, read, record_path
from netns.box_world import LAN_ADDRESS, World, host_key, log_in, make_world, requires_box, shell

pytestmark = requires_box

UNIT = """[Unit]
Description=a unit of a test
[Service]
ExecStart=/usr/bin/sleep infinity
[Install]
WantedBy=multi-user.target
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with make_world(tmp_path) as made:
        yield made


def wait_until(holds: Callable[[], bool], limit_s: float = 10.0) -> None:
    deadline = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def needs_systemd(record: BoxRecord) -> None:
    if not record.systemd:
        pytest.skip(f"no systemd in a box here: {record.why_no_systemd}")


def install_unit(record: BoxRecord) -> None:
    script = f"cat > /etc/systemd/system/boxtest.service <<'END'\n{UNIT}END\nsystemctl enable --now boxtest.service"
    assert machine.run(record, ["sh", "-c", script]).returncode == 0


def traces(record: BoxRecord) -> list[str]:
    """What the machine itself shows of the box."""
    found = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if record.directory in line]
    found += [line for line in shell("ip", "-o", "link").splitlines() if record.device in line]
    found += shell("ip", "netns", "pids", record.namespace).split()
    if record.cgroup and Path(record.cgroup).exists():
        found.append(record.cgroup)
    return found


def test_systemd_is_up_when_start_returns(world: World) -> None:
    """A started box has its own systemd, up, with nothing failed, as its process 1."""
    record = world.start()
    needs_systemd(record)
    assert machine.run(record, ["systemctl", "is-system-running"]).stdout.strip() in ("running", "degraded")
    assert machine.run(record, ["systemctl", "--failed", "--no-legend"]).stdout == ""
    assert machine.run(record, ["cat", "/proc/1/comm"]).stdout.strip() == "systemd"
    assert machine.status(record) == "running"


@pytest.mark.parametrize("systemd", [True, False])
def test_recorded_key_opens_every_recorded_account(world: World, systemd: bool) -> None:
    """One logs in with the recorded key and host key; `relay`, where it is, becomes root without a password."""
    record = world.start(systemd=systemd)
    assert record.users[0] == "root"
    for user in record.users:
        status, out, _ = log_in(record, user, "id -un; python3 -c 'print(6 * 7)'; echo $PATH")
        assert status == 0
        name, answer, path = out.split()
        assert (name, answer) == (user, "42")
        assert "/usr/bin" in path.split(":")
        assert "pyenv" not in path
    if "relay" in record.users:
        assert log_in(record, "relay", "sudo -n id -u") == (0, "0\n", "")


def test_host_key_is_the_recorded_one_and_passwords_are_refused(world: World) -> None:
    """The record's fingerprint is the server's, and the server offers keys only."""
    record = world.start(systemd=False)
    assert host_key(record).fingerprint == record.fingerprint  # type: ignore[attr-defined]
    transport = paramiko.Transport((record.address, record.port))
    try:
        transport.start_client(timeout=10)
        assert transport.get_remote_server_key() == host_key(record)
        with pytest.raises(paramiko.BadAuthenticationType) as refused:
            transport.auth_none("root")
        assert refused.value.allowed_types == ["publickey"]
    finally:
        transport.close()


def test_ssh_answers_on_the_management_address_only(world: World) -> None:
    """The box's LAN address has no SSH server."""
    record = world.start(systemd=False)
    listening = machine.run(record, ["ss", "-Hltn"]).stdout.split("\n")
    assert [line.split()[3] for line in listening if line] == [f"{record.address}:22"]


def test_unit_installed_inside_is_invisible_outside(world: World) -> None:
    """A unit enabled in the box exists in the box alone."""
    record = world.start()
    needs_systemd(record)
    install_unit(record)
    assert machine.run(record, ["systemctl", "is-active", "boxtest.service"]).stdout == "active\n"
    assert not Path("/etc/systemd/system/boxtest.service").exists()


def test_sysctl_inside_does_not_change_outside(world: World) -> None:
    """net.* settings of the box are its own; all other kernel settings cannot be written from it."""
    record = world.start()
    outside = Path("/proc/sys/net/ipv4/ip_forward").read_text()
    other = "1" if outside.strip() == "0" else "0"
    write = machine.run(record, ["sh", "-c", f"echo {other} > /proc/sys/net/ipv4/ip_forward"])
    assert write.returncode == 0
    assert machine.run(record, ["cat", "/proc/sys/net/ipv4/ip_forward"]).stdout.strip() == other
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == outside
    assert machine.run(record, ["sh", "-c", "echo 1 > /proc/sys/kernel/panic"]).returncode != 0


def test_session_cannot_load_kernel_modules_or_set_the_clock(world: World) -> None:
    """root in the box lacks the capabilities for what belongs to the whole machine."""
    record = world.start(systemd=False)
    _, out, _ = log_in(record, "root", "grep CapBnd /proc/self/status")
    bounding = int(out.split()[1], 16)
    for capability in (16, 17, 25):  # CAP_SYS_MODULE, CAP_SYS_RAWIO, CAP_SYS_TIME
        assert not bounding >> capability & 1


def test_governor_shows_only_where_wanted(world: World) -> None:
    """With the flag every CPU has a writable governor, reset at boot; without it the box has none of ours."""
    record = world.start(systemd=False)
    path = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
    assert machine.run(record, ["cat", path]).stdout == "powersave\n"
    assert machine.run(record, ["sh", "-c", f"echo performance > {path}"]).returncode == 0
    assert machine.run(record, ["cat", path]).stdout == "performance\n"
    machine.reboot(record)
    assert machine.run(record, ["cat", path]).stdout == "powersave\n"
    machine.stop(record)
    plain = world.start(systemd=False, governor=False)
    assert machine.run(plain, ["cat", path]).returncode == int(not Path(path).exists())


def test_lan_cannot_reach_the_machine_through_the_box(world: World) -> None:
    """A forwarding box hands nothing from its LAN to the management link."""
    record = world.start(systemd=False)
    machine.run(record, ["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])
    ping = ("ip", "netns", "exec", world.neighbour, "ping", "-c", "1", "-W", "2")
    assert subprocess.run([*ping, LAN_ADDRESS], check=False, capture_output=True).returncode == 0

    def received() -> int:
        return int(Path(f"/sys/class/net/{record.device}/statistics/rx_packets").read_text())

    before = received()
    answer = subprocess.run([*ping, record.machine_address], check=False, capture_output=True, text=True)
    assert answer.returncode != 0
    assert "filtered" in answer.stdout
    assert received() == before
    assert "default" not in shell("ip", "-n", record.namespace, "route", "show", "dev", "mgmt0")


def test_kill_of_the_outer_process_takes_everything_away(world: World) -> None:
    """kill -9 of the outer process ends every process of the box and leaves no mount; stop clears the rest."""
    record = world.start()
    install = machine.run(record, ["sh", "-c", "nohup sleep 1000 > /dev/null 2>&1 &"])
    assert install.returncode == 0
    init = record.init
    assert init is not None
    assert record.outer is not None
    assert record.outer.end(signal.SIGKILL, 5)
    wait_until(lambda: not init.alive and not shell("ip", "netns", "pids", record.namespace).split())
    assert machine.status(record) == "gone"
    machine.stop(record)
    assert traces(record) == []
    assert list(world.directory.iterdir()) == []


@pytest.mark.parametrize("systemd", [True, False])
def test_stop_leaves_nothing(world: World, systemd: bool) -> None:
    """stop, from the written record alone, leaves no process, mount, link, control group, rule or file."""
    rules = shell("ip", "-n", world.name, "rule")
    record = world.start(systemd=systemd)
    assert traces(record)
    machine.stop(read(record_path(world.directory, record.name)))
    assert traces(record) == []
    assert list(world.directory.iterdir()) == []
    assert shell("ip", "-n", world.name, "rule") == rules
    machine.stop(record)  # again: nothing to do


def test_record_is_complete_in_another_process(world: World) -> None:
    """What start returned is what the file says."""
    record = world.start(systemd=False)
    assert read(record_path(world.directory, record.name)) == record
    assert record_path(world.directory, record.name).stat().st_mode & 0o077 == 0


def test_files_belong_to_the_owner_of_the_labs_directory(world: World) -> None:
    """Under sudo the lab's directory is the user's, and so is all that a box puts there."""
    os.chown(world.directory, 4242, 4343)
    record = world.start(systemd=False)
    owners = {(path.stat().st_uid, path.stat().st_gid) for path in world.directory.rglob("*")}
    assert owners == {(4242, 4343)}
    assert Path(record.private_key).stat().st_mode & 0o077 == 0


def test_reboot_keeps_files_and_enabled_units_and_forgets_the_rest(world: World) -> None:
    """After a reboot files and enabled units are back; sysctls, rules, addresses and routes are as at creation."""
    record = world.start()
    needs_systemd(record)
    install_unit(record)
    network = [shell("ip", "-n", record.namespace, what) for what in ("rule", "route")]
    script = """
        echo kept > /root/note; echo lost > /run/note
        sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.lan0.send_redirects=0 net.ipv4.tcp_slow_start_after_idle=0
        nft add table ip boxtest
        ip address add 10.88.0.77/24 dev lan0; ip route add 10.5.0.0/16 via 10.88.0.9; ip rule add fwmark 7 table 100
    """
    assert machine.run(record, ["sh", "-ec", script]).returncode == 0
    before = record.init
    machine.reboot(record)
    assert record.init not in (None, before)
    assert machine.run(record, ["cat", "/root/note"]).stdout == "kept\n"
    assert machine.run(record, ["cat", "/run/note"]).returncode != 0
    assert machine.run(record, ["systemctl", "is-active", "boxtest.service"]).stdout == "active\n"
    values = machine.run(
        record, ["sysctl", "-n", "net.ipv4.conf.lan0.send_redirects", "net.ipv4.tcp_slow_start_after_idle"]
    )
    assert values.stdout.split() == ["1", "1"]
    assert machine.run(record, ["nft", "list", "ruleset"]).stdout == ""
    assert "10.88.0.77" not in machine.run(record, ["ip", "address"]).stdout
    assert [shell("ip", "-n", record.namespace, what) for what in ("rule", "route")] == network
    assert log_in(record, "root", "true")[0] == 0


@pytest.mark.parametrize("systemd", [True, False])
def test_box_without_power_is_dead(world: World, systemd: bool) -> None:
    """A box that is off neither answers nor runs anything; power brings it back with its files."""
    record = world.start(systemd=systemd)
    ping = ("ip", "netns", "exec", world.neighbour, "ping", "-c", "1", "-W", "1", LAN_ADDRESS)
    assert machine.run(record, ["sh", "-c", "echo kept > /root/note"]).returncode == 0
    machine.power_off(record)
    assert machine.status(record) == "off"
    assert subprocess.run(ping, check=False, capture_output=True).returncode != 0
    with pytest.raises(BoxError):
        machine.run(record, ["true"])
    machine.power_on(record)
    assert machine.status(record) == "running"
    assert subprocess.run(ping, check=False, capture_output=True).returncode == 0
    assert machine.run(record, ["cat", "/root/note"]).stdout == "kept\n"
    with pytest.raises(BoxError, match="runs already"):
        machine.power_on(record)


def test_box_without_systemd_says_so_to_whoever_asks(world: World) -> None:
    """Without systemd, PID 1 collects orphans, sshd comes back when it dies, and systemctl refuses."""
    record = world.start(systemd=False)
    assert (record.systemd, record.why_no_systemd) == (False, "not wanted")
    assert machine.run(record, ["test", "-d", "/run/systemd/system"]).returncode != 0
    assert machine.run(record, ["systemctl", "is-active", "ssh.service"]).returncode != 0
    machine.run(record, ["sh", "-c", "(sleep 0.1 &) ; exit 0"])
    wait_until(lambda: "sleep" not in machine.run(record, ["ps", "-eo", "stat,comm"]).stdout)
    server = machine.run(record, ["pgrep", "-o", "sshd"]).stdout.strip()
    machine.run(record, ["kill", "-9", server])
    wait_until(lambda: machine.run(record, ["pgrep", "-o", "sshd"]).stdout.strip() not in ("", server))


def test_no_control_group_gives_the_small_init_and_the_reason(world: World) -> None:
    """Where systemd cannot run, the box starts all the same and its record says why."""
    record = world.start()
    needs_systemd(record)
    machine.stop(record)
    group = Path(record.cgroup)
    group.mkdir()
    with subprocess.Popen(["sleep", "60"]) as squatter:
        (group / "cgroup.procs").write_text(str(squatter.pid))
        record = world.start()
        assert not record.systemd
        assert "in use" in record.why_no_systemd
        assert log_in(record, "root", "true")[0] == 0
        machine.stop(record)
        squatter.kill()
    wait_until(lambda: "populated 0" in (group / "cgroup.events").read_text())
    group.rmdir()


def test_systemd_that_dies_at_boot_gives_the_small_init(world: World) -> None:
    """systemd that does not come up is replaced by the small init, and the record says so."""
    note = world.directory / "relay1" / "init.json"
    done = threading.Event()

    def kill_first_init() -> None:
        while not done.is_set():
            text = note.read_text() if note.exists() else ""
            if text:
                os.kill(int(text.split(":")[1].split(",")[0]), signal.SIGKILL)
                return

    killer = threading.Thread(target=kill_first_init)
    killer.start()
    try:
        record = world.start()
    finally:
        done.set()
        killer.join()
    assert not record.systemd
    assert record.why_no_systemd
    assert log_in(record, "root", "true")[0] == 0


def test_start_that_fails_leaves_nothing(world: World) -> None:
    """A box that cannot start says why and leaves no trace; a name is used once."""
    with pytest.raises(BoxError, match="no network namespace"):
        machine.start(_spec(), "no-such-namespace", world.directory, world.name, 0)
    assert list(world.directory.iterdir()) == []
    record = world.start(systemd=False)
    with pytest.raises(BoxError, match="there already"):
        machine.start(_spec(), world.name, world.directory, world.name, 1)
    assert machine.status(record) == "running"
    assert device_name(world.name, 1) not in shell("ip", "-o", "link")


def test_two_boxes_do_not_share_a_network(world: World, tmp_path: Path) -> None:
    """Boxes that start at once get networks of their own, away from every route of the machine."""
    other_directory = tmp_path / "other"
    other_directory.mkdir()
    with make_world(other_directory) as other:
        found: list[BoxRecord] = []
        threads = [threading.Thread(target=lambda w=w: found.append(w.start())) for w in (world, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({record.network for record in found}) == 2
        for record in found:
            assert log_in(record, "root", "hostname")[1] == "relay1\n"


def _spec() -> machine.BoxSpec:
    return machine.BoxSpec(name="relay1", address=LAN_ADDRESS)
