"""A relay that breaks leaves plain forwarding behind and comes back; it has no right that it does not need."""

from __future__ import annotations

import itertools
import socket
import threading
import time

import pytest

from lrvmotion.errors import UnreachableError
from lrvmotion.lab.box import machine
from lrvmotion.lab.box.state import state
from lrvmotion.relay.box import health, list_leftovers
from lrvmotion.relay.facts import facts
from lrvmotion.relay.status import ask
from netns.box_world import requires_box
from netns.iptables_kinds import KINDS
from netns.relaybox_site import NEAR_ADDRESS, RUN, SOURCE, TARGET, Site, answers, eventually, make_site, processes

pytestmark = requires_box
NET_ADMIN = 12


@pytest.fixture(params=["systemd", "plain"])
def site(request, tmp_path):
    with make_site(tmp_path, systemd=request.param == "systemd") as made:
        yield made


@pytest.fixture
def systemd_site(tmp_path):
    with make_site(tmp_path, systemd=True) as made:
        yield made


def ways(site: Site, listener: socket.socket, until: threading.Event) -> list[str]:
    """Connect again and again until *until* is set; return the address that the target saw of each that succeeded."""
    seen = []
    listener.settimeout(0.2)  # what the relay had accepted when it died never gets here
    while not until.is_set():
        try:
            with site.world.connect():
                server, peer = listener.accept()
                server.close()
                seen.append(peer[0])
        except OSError:  # refused in the moment between the relay's death and its redirect's
            time.sleep(0.01)
    return seen


def test_relaybox_relay_that_is_killed_is_forwarded_past_and_comes_back(site):
    """kill -9: new connections go plainly to the target while it is dead, then through it again."""
    site.install()
    eventually(lambda: answers(site.near))
    first = str(ask(site.shell, RUN)["pid"])
    seen: list[str] = []
    until = threading.Event()
    with site.world.listen() as listener:
        thread = threading.Thread(target=lambda: seen.extend(ways(site, listener, until)))
        thread.start()
        try:
            assert site.shell.run(["kill", "-9", first]).ok
            eventually(lambda: answers(site.near) and str(ask(site.shell, RUN)["pid"]) != first)
            time.sleep(0.5)
        finally:
            until.set()
            thread.join()
    assert [way for way, _ in itertools.groupby(seen)] == [NEAR_ADDRESS, SOURCE, NEAR_ADDRESS]
    assert site.carry(100_000) == NEAR_ADDRESS
    assert site.restore().left == []


def test_relaybox_reboots_and_relays(systemd_site):
    """After a reboot the box relays again by itself, with its settings, and can still be restored."""
    before = state(systemd_site.record)
    systemd_site.install()
    sysctls = [(key, value) for key, value, _ in facts(systemd_site.shell).sysctls]
    machine.reboot(systemd_site.record)
    eventually(lambda: answers(systemd_site.near))
    assert [(key, value) for key, value, _ in facts(systemd_site.shell).sysctls] == sysctls
    assert systemd_site.carry(100_000) == NEAR_ADDRESS
    assert systemd_site.restore().left == []
    assert state(systemd_site.record) == before


def test_relaybox_loses_its_power_and_relays_again(systemd_site):
    """Pulled out and put in again, without a shutdown: the same."""
    before = state(systemd_site.record)
    systemd_site.install()
    machine.power_off(systemd_site.record)
    machine.power_on(systemd_site.record)
    eventually(lambda: answers(systemd_site.near))
    assert systemd_site.carry(100_000) == NEAR_ADDRESS
    assert systemd_site.restore().left == []
    assert state(systemd_site.record) == before


def test_relaybox_without_systemd_reboots_and_can_be_restored(tmp_path):
    """Without systemd the relay is gone after a reboot; what is left on disk is restored all the same."""
    with make_site(tmp_path, systemd=False) as site:
        before = state(site.record)
        site.install()
        machine.reboot(site.record)
        assert site.restore().left == []
        assert state(site.record) == before


def test_relaybox_supervisor_that_is_killed_leaves_a_relay_that_can_be_restored(tmp_path):
    """Without systemd, kill -9 of the supervisor: the relay goes on, and all can be restored."""
    with make_site(tmp_path, systemd=False) as site:
        before, idle = state(site.record), processes(site.record)
        site.install()
        pid = site.shell.run(["sh", "-c", f"cut -d ' ' -f 1 /run/lrvmotion-{RUN}.d/supervisor"]).stdout.strip()
        assert site.shell.run(["kill", "-9", pid]).ok
        assert site.carry(100_000) == NEAR_ADDRESS
        assert site.restore().left == []
        assert state(site.record) == before
        assert processes(site.record) == idle


def test_relaybox_relay_is_not_root(site):
    """An account of its own, CAP_NET_ADMIN and no way to more; under systemd a system call filter as well."""
    site.install()
    text = site.shell.run(["cat", f"/proc/{ask(site.shell, RUN)['pid']}/status"]).stdout
    shown = {key: value.split() for key, _, value in (line.partition(":") for line in text.splitlines())}
    assert "0" not in shown["Uid"] + shown["Gid"] + shown["Groups"]
    assert {int(shown[key][0], 16) for key in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == {1 << NET_ADMIN}
    assert shown["NoNewPrivs"] == ["1"]
    assert shown["Seccomp"] == (["2"] if site.record.systemd else ["0"])
    unit = f"lrvmotion-relay-{RUN}.service"
    if site.record.systemd:
        said = site.shell.run(["journalctl", "-u", unit, "-u", "init.scope", "-o", "cat", "--no-pager"]).stdout
        assert "Unknown key" not in said
        assert "Failed to parse" not in said


@pytest.mark.parametrize("restarted", [True, False])
def test_relaybox_firewall_that_drops_is_named_and_forwarded_past(site, restarted):
    """The relay withdraws its redirect, little as it may do; a restart puts it back, and all can be restored."""
    before = state(site.record)
    wall = "table inet wall { chain in { type filter hook input priority 10; tcp dport 9000 drop; }; }"
    assert site.shell.run(["nft", wall]).ok
    site.install()
    eventually(lambda: answers(site.near))
    with site.world.listen() as listener:
        with site.world.socket("source") as blocked:
            blocked.setblocking(False)
            blocked.connect_ex((TARGET, 8000))
            eventually(lambda: not answers(site.near))
        with pytest.raises(UnreachableError, match="firewall on this host drops TCP port 9000"):
            health(site.shell, RUN)
        with site.world.connect():
            server, peer = listener.accept()
            server.close()
            assert peer[0] == SOURCE
    assert site.shell.run(["nft", "delete table inet wall"]).ok
    if restarted:
        if site.record.systemd:
            assert site.shell.run(["systemctl", "restart", f"lrvmotion-relay-{RUN}.service"]).ok
        else:
            assert site.shell.run(["kill", "-9", str(ask(site.shell, RUN)["pid"])]).ok
        eventually(lambda: answers(site.near))
        assert site.carry(100_000) == NEAR_ADDRESS
    assert site.restore().left == []
    assert state(site.record) == before


FLUSH_IPTABLES = "for t in filter nat mangle; do printf '*%s\\nCOMMIT\\n' $t; done | iptables-restore"


@pytest.mark.parametrize("iptables", [None, *KINDS], ids=["nft", *(f"iptables-{kind}" for kind in KINDS)])
@pytest.mark.parametrize("systemd", [True, False], ids=["systemd", "plain"])
def test_relaybox_packet_filter_that_is_flushed_leaves_the_redirect(tmp_path, systemd, iptables):
    """As installed, sandbox and all: the table stays, or the relay loads it again, and says so; all can be restored."""
    with make_site(tmp_path, systemd=systemd, iptables=iptables) as site:
        nft = facts(site.shell).nft
        if iptables is not None:
            assert site.shell.run(["mv", nft, nft + ".away"]).ok
        before = state(site.record)
        site.install()
        eventually(lambda: answers(site.near) and ask(site.shell, RUN)["redirect"]["hits"] == 0)
        assert site.shell.run(["sh", "-c", FLUSH_IPTABLES if iptables else "nft flush ruleset"]).ok
        if iptables is not None:
            eventually(lambda: answers(site.near) and health(site.shell, RUN).reloads == 1)
        assert site.carry(100_000) == NEAR_ADDRESS
        assert health(site.shell, RUN).reloads == (0 if iptables is None else 1)
        assert site.restore().left == []
        assert list_leftovers(site.shell) == []
        if iptables is None:  # iptables leaves its own empty tables and its lock
            assert state(site.record) == before
