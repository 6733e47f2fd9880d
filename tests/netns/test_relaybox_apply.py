"""The relay host as a target, end to end: a machine of its own, real SSH, real systemd, real rules, a real relay."""

from __future__ import annotations

import threading
import time

import pytest

from lrvmotion.checks.relay_hosts import usable
from lrvmotion.errors import RefusedError, UnreachableError
from lrvmotion.findings import errors
from lrvmotion.lab.box.state import state
from lrvmotion.model.setting import SettingKey, string
from lrvmotion.plan.plan import diff
from lrvmotion.relay.box import RelaySpec, counters, desired, health, limit, list_leftovers
from lrvmotion.relay.facts import facts
from lrvmotion.relay.status import ask
from lrvmotion.run.apply import apply
from netns.box_world import requires_box
from netns.iptables_kinds import KINDS
from netns.relaybox_site import NAME, RUN, answers, eventually, make_site, processes

pytestmark = requires_box


@pytest.fixture(params=["systemd", "plain"])
def site(request, tmp_path):
    with make_site(tmp_path, systemd=request.param == "systemd") as made:
        yield made


@pytest.fixture
def systemd_site(tmp_path):
    with make_site(tmp_path, systemd=True) as made:
        yield made


def test_relaybox_comes_and_goes_without_a_trace(site):
    """Installed, the relay carries what is redirected; restored, the box's state is what it was, to the letter."""
    before = state(site.record)
    idle = processes(site.record)
    assert list_leftovers(site.shell) == []
    assert site.install() > 10
    assert state(site.record) != before
    assert site.carry() == "10.88.0.1", "the target sees the relay"
    eventually(lambda: health(site.shell, RUN).bytes >= 3_000_000)
    status = health(site.shell, RUN)
    assert (status.accepted, status.streams, status.refused) == (1, 0, 0)
    assert counters(site.shell, RUN).hits == 1
    site.world.inside("source", "ping", "-c", "3", "-i", "0.1", "10.99.0.9")
    assert counters(site.shell, RUN).echo == 3
    assert {RUN} == facts(site.shell).runs
    assert site.install() == 0, "nothing to change any more"
    restored = site.restore()
    assert restored.left == []
    assert state(site.record) == before
    assert processes(site.record) == idle
    assert list_leftovers(site.shell) == []


@pytest.mark.parametrize("all_", "01")
@pytest.mark.parametrize("default", "01")
def test_relaybox_forwarding_changes_nothing_else(systemd_site, all_, default):
    """The kernel writes accept_redirects when forwarding is switched: what a hardened host has is there again after."""
    for name, value in (("all", all_), ("default", default)):
        systemd_site.box.write(SettingKey(f"sysctl/net.ipv4.conf.{name}.accept_redirects"), string(value))
    before = state(systemd_site.record)
    systemd_site.install()
    assert systemd_site.restore().left == []
    assert state(systemd_site.record) == before


def test_relaybox_cap_changes_while_it_runs(site):
    """A cap is taken over by the running relay, and taken away again."""
    site.install()
    limit(site.shell, RUN, 200_000_000)
    assert health(site.shell, RUN).limit_bps == 200_000_000
    limit(site.shell, RUN, None)
    assert health(site.shell, RUN).limit_bps is None
    with pytest.raises(RefusedError):
        limit(site.shell, RUN, 1)


def test_relaybox_that_was_changed_meanwhile_is_left_alone(systemd_site):
    """A setting that somebody else changed is named and left; all else is restored."""
    systemd_site.install()
    systemd_site.box.write(SettingKey("sysctl/net.ipv4.tcp_mtu_probing"), string("2"))
    left = systemd_site.restore().left
    assert [item.key for item, _ in left] == [SettingKey("sysctl/net.ipv4.tcp_mtu_probing")]


def test_relaybox_new_targets_restart_the_relay(systemd_site):
    """Planned again with another target, the relay runs with it; restored, nothing of either is left."""
    before = state(systemd_site.record)
    systemd_site.install()
    spec = RelaySpec(
        name="relay1", run=RUN, address="10.88.0.1", sources=("10.88.0.9",), targets=("10.99.0.8", "10.99.0.9")
    )
    assert systemd_site.install(spec) > 0
    assert systemd_site.carry(100_000) == "10.88.0.1"
    assert systemd_site.restore().left == []
    assert state(systemd_site.record) == before


def test_relaybox_relay_that_cannot_start_is_taken_back(systemd_site):
    """A relay that does not start says why, and all can be restored."""
    before = state(systemd_site.record)
    code = 'import socket, time; held = socket.create_server(("10.88.0.1", 9000)); time.sleep(60)'
    script = 'setsid python3 -c "$1" >/dev/null 2>&1 </dev/null & sleep 1; echo $!'
    held = systemd_site.shell.run(["sh", "-c", script, "hold", code])
    seen = facts(systemd_site.shell)
    assert [finding.code for finding in errors(usable(seen, systemd_site.spec))] == ["relay-port"]
    wanted = desired(systemd_site.spec, seen)
    changes = diff(NAME, {key: systemd_site.box.read(key) for key, _, _ in wanted}, wanted)
    with pytest.raises(RefusedError, match=r"did not start.*9000"):
        apply(changes, {NAME: systemd_site.box}, systemd_site.journal, RUN, lambda _: None)
    assert systemd_site.restore().left == []
    assert systemd_site.shell.run(["kill", held.stdout.strip()]).ok
    assert state(systemd_site.record) == before


@pytest.mark.parametrize("systemd", [True, False], ids=["systemd", "plain"])
@pytest.mark.parametrize("kind", KINDS)
def test_relaybox_without_nft_uses_iptables(tmp_path, kind, systemd):
    """Without nft the same is done with either iptables; nothing that carries our mark is left behind."""
    with make_site(tmp_path, systemd=systemd, iptables=kind) as site:
        without_nft(site)


def without_nft(site):
    nft = facts(site.shell).nft
    assert site.shell.run(["mv", nft, nft + ".away"]).ok
    try:
        seen = facts(site.shell)
        assert seen.iptables
        assert seen.nft == ""
        site.install()
        assert site.carry(100_000) == "10.88.0.1"
        site.world.inside("source", "ping", "-c", "2", "-i", "0.1", "10.99.0.9")
        assert (counters(site.shell, RUN).hits, counters(site.shell, RUN).echo) == (1, 2)
        eventually(lambda: answers(site.near))
        eventually(lambda: ask(site.shell, RUN)["redirect"]["hits"] == 1)
        assert RUN in facts(site.shell).runs
        assert site.restore().left == []
        assert list_leftovers(site.shell) == []
    finally:
        site.shell.run(["mv", nft + ".away", nft])


def test_relaybox_table_that_was_flushed_is_nothing_to_restore(systemd_site):
    """Somebody who stopped the relay and flushed the packet filter does not keep the rest from being put back."""
    systemd_site.install()
    assert systemd_site.shell.run(["systemctl", "stop", f"lrvmotion-relay-{RUN}.service"]).ok
    assert systemd_site.shell.run(["nft", "flush", "ruleset"]).ok
    with pytest.raises(UnreachableError, match="not there"):
        counters(systemd_site.shell, RUN)
    assert systemd_site.restore().left == []
    assert list_leftovers(systemd_site.shell) == []


def test_relaybox_is_managed_through_sudo(tmp_path):
    """A login that is not root does the same through sudo."""
    with make_site(tmp_path, systemd=True, user="relay") as site:
        before = state(site.record)
        site.install()
        assert site.carry(100_000) == "10.88.0.1"
        assert site.restore().left == []
        assert state(site.record) == before


def test_relaybox_drains_before_the_redirect_goes(site):
    """Removing the redirect lets a live stream end; new connections are forwarded plainly meanwhile."""
    site.install()
    with site.world.listen() as listener, site.world.connect() as client:
        server, _ = listener.accept()
        with server:
            thread = threading.Thread(target=site.restore)
            thread.start()
            time.sleep(2)
            client.sendall(b"still here")
            server.settimeout(5)
            assert server.recv(64) == b"still here"
            with site.world.connect() as direct:
                other, peer = listener.accept()
                other.close()
                assert peer[0] == direct.getsockname()[0] == "10.88.0.9"
        client.close()
        thread.join()
    assert list_leftovers(site.shell) == []
