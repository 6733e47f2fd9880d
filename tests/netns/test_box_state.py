"""The witness's view of a box changes with everything that work on it changes, and with nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lrvmotion.lab.box import machine
from lrvmotion.lab.box.record import BoxRecord
from lrvmotion.lab.box.state import processes, state
from netns.box_world import log_in, make_world, requires_box

pytestmark = requires_box


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BoxRecord]:
    with make_world(tmp_path_factory.mktemp("box")) as world:
        yield world.start()


def do(box: BoxRecord, script: str) -> None:
    done = machine.run(box, ["sh", "-ec", script])
    assert done.returncode == 0, done.stderr


def test_state_is_stable_over_time_and_logins(box: BoxRecord) -> None:
    """Two states seconds apart, with logins, Python and sudo between them, are the same."""
    before = state(box)
    for user in box.users:
        log_in(box, user, "bash -lc 'sudo -n true'; python3 -c 'import json'; systemctl status; touch /tmp/x")
    time.sleep(2)
    assert state(box) == before


# sections of the state (a device's MTU is also a setting), what is done, how it is undone
CHANGES = [
    ("sysctls", "sysctl -qw net.ipv4.conf.all.send_redirects=0", "sysctl -qw net.ipv4.conf.all.send_redirects=1"),
    ("files", "mkdir /opt/boxtest; echo x > /opt/boxtest/relayd.py", "rm -r /opt/boxtest"),
    ("files", "mkdir -p /etc/boxtest", "rmdir /etc/boxtest"),
    ("files", "cp -p /etc/hosts /tmp/h; echo x >> /etc/hosts", "cat /tmp/h > /etc/hosts"),
    ("files", "chmod 600 /etc/hosts", "chmod 644 /etc/hosts"),
    ("files", "chown 1 /etc/hosts", "chown 0 /etc/hosts"),
    ("files", "mv /etc/hosts /tmp/gone", "cp -p /tmp/gone /etc/hosts"),
    ("files", "ln -s /nowhere /etc/boxtest", "rm /etc/boxtest"),
    ("runtime", "mkdir -p /run/boxtest/log; echo x > /run/boxtest/log/1", "rm -r /run/boxtest"),
    ("runtime", "echo '[Service]' > /run/systemd/system/boxtest.service", "rm /run/systemd/system/boxtest.service"),
    ("firewall", "nft add table ip boxtest", "nft delete table ip boxtest"),
    (
        "firewall",
        "nft 'add table inet f; add chain inet f f { type filter hook forward priority 0; policy drop; }'",
        "nft delete table inet f",
    ),
    ("network", "ip route add 10.5.0.0/16 via 10.88.0.9", "ip route del 10.5.0.0/16"),
    ("network", "ip rule add fwmark 7 table 100", "ip rule del fwmark 7 table 100"),
    ("network", "ip address add 10.88.0.77/24 dev lan0", "ip address del 10.88.0.77/24 dev lan0"),
    ("sysctls network", "ip link set lan0 mtu 1400", "ip link set lan0 mtu 1500"),
    (
        "governors",
        "echo performance > /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
        "echo powersave > /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
    ),
]


@pytest.mark.parametrize(("sections", "change", "undo"), CHANGES)
def test_every_change_shows_and_its_undoing_does_not(box: BoxRecord, sections: str, change: str, undo: str) -> None:
    """A change shows in its sections alone; undone, the state is the one before."""
    before = state(box)
    do(box, change)
    during = state(box)
    assert [name for name in before if before[name] != during[name]] == sections.split()
    do(box, undo)
    assert state(box) == before


def test_units_show_while_they_are_enabled_or_active(box: BoxRecord) -> None:
    """An enabled unit and an active service show; removed, they do not."""
    if not box.systemd:
        pytest.skip(f"no systemd in a box here: {box.why_no_systemd}")
    before = state(box)
    unit = "[Service]\\nExecStart=/usr/bin/sleep infinity\\n[Install]\\nWantedBy=multi-user.target\\n"
    path = "/etc/systemd/system/boxtest.service"
    do(box, f"printf '{unit}' > {path}; systemctl daemon-reload; systemctl enable --now boxtest.service")
    during = state(box)
    assert "multi-user.target.wants/boxtest.service" in during["units"]["enabled"]
    assert "boxtest.service" in during["units"]["active"]
    assert processes(box) == ["/usr/bin/sleep infinity"]
    do(box, f"systemctl disable --now boxtest.service; rm {path}; systemctl daemon-reload")
    assert state(box) == before
    assert processes(box) == []


def test_reboot_alone_changes_nothing(tmp_path: Path) -> None:
    """The state after a reboot is the state before it."""
    with make_world(tmp_path) as world:
        record = world.start()
        before = state(record)
        machine.reboot(record)
        assert state(record) == before
