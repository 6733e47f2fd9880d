"""The relay box as a target, end to end: a machine of its own, real SSH, real systemd, real rules, a real relay."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lrvmotion.apply import apply, revert
from lrvmotion.errors import RefusedError, UnreachableError
from lrvmotion.findings import errors
from lrvmotion.journal import Journal
from lrvmotion.lab.box import machine
from lrvmotion.lab.box.record import BoxRecord
from lrvmotion.lab.box.state import processes, state
from lrvmotion.lab.spec import BoxSpec
from lrvmotion.plan import diff, string
from lrvmotion.relay.box import RelayBox, RelaySpec, counters, desired, health, limit, recognise
from lrvmotion.relay.facts import facts, findings
from lrvmotion.relay.status import ask
from lrvmotion.ssh import SshShell
from netns.box_world import requires_box
from netns.relayd_world import World, world

pytestmark = requires_box
RUN = "tst123"
NAME = "box/relay1"


@dataclass
class Site:
    world: World
    record: BoxRecord
    shell: SshShell
    journal: Journal

    @property
    def box(self) -> RelayBox:
        return RelayBox(NAME, self.shell, drain_s=5.0)

    @property
    def spec(self) -> RelaySpec:
        return RelaySpec(name="relay1", run=RUN, address="10.88.0.1", sources=("10.88.0.9",), targets=("10.99.0.9",))

    def install(self, spec: RelaySpec | None = None) -> int:
        spec = spec or self.spec
        seen = facts(self.shell)
        assert errors(findings(seen, spec, [RUN])) == []
        wanted = desired(spec, seen)
        changes = diff(NAME, {key: self.box.read(key) for key, _, _ in wanted}, wanted)
        return apply(changes, {NAME: self.box}, self.journal, RUN, lambda _: None)

    def restore(self):
        return revert(self.journal, lambda _: self.box, lambda _: None, run="rst001")

    def carry(self, size: int = 3_000_000) -> str:
        """Send *size* bytes from source to target; return the address that the target saw."""
        blob = os.urandom(size)
        got: list[bytes] = []
        with self.world.listen() as listener:
            seen: list[str] = []

            def serve() -> None:
                connection, peer = listener.accept()
                seen.append(peer[0])
                with connection:
                    connection.settimeout(10)
                    while chunk := connection.recv(65536):
                        got.append(chunk)
                    connection.sendall(b"done")

            thread = threading.Thread(target=serve)
            thread.start()
            with self.world.connect() as client:
                client.sendall(blob)
                client.shutdown(socket.SHUT_WR)
                assert client.recv(16) == b"done"
            thread.join()
        assert hashlib.sha256(b"".join(got)).digest() == hashlib.sha256(blob).digest()
        return seen[0]


@contextlib.contextmanager
def make_site(folder: Path, *, systemd: bool, user: str = "root") -> Iterator[Site]:
    (folder / "lab").mkdir()
    with world(folder, "one-armed") as made:
        namespace = made.names["box"]
        # A box as it is delivered: it neither forwards nor keeps its redirects to itself.
        for key, value in (("ip_forward", "0"), ("conf.all.send_redirects", "1"), ("conf.lan0.send_redirects", "1")):
            made.inside("box", "sysctl", "-q", "-w", f"net.ipv4.{key}={value}")
        # The lab's own power cycle knows IPv4 only.
        made.inside("box", "ip", "-6", "address", "flush", "dev", "lan0", "scope", "global")
        made.inside("source", "ip", "route", "replace", "10.99.0.9/32", "via", "10.88.0.1")
        spec = BoxSpec(name="relay1", address="10.88.0.1", systemd=systemd)
        record = machine.start(spec, namespace, folder / "lab", namespace, 0)
        try:
            if systemd and not record.systemd:
                pytest.skip(f"systemd does not run in a box here: {record.why_no_systemd}")
            if user not in record.users:
                pytest.skip(f"the box has no user {user}")
            shell = SshShell.open(
                NAME, record.address, record.port, user, key_file=Path(record.private_key), password=None,
                host_key=record.host_key, known_hosts=None,
            )  # fmt: skip
            with contextlib.closing(shell), Journal(folder / "state", lambda: "2026-01-01T00:00:00Z") as journal:
                shell.check_sudo()
                yield Site(world=made, record=record, shell=shell, journal=journal)
        finally:
            machine.stop(record)


@pytest.fixture(params=["systemd", "plain"])
def site(request, tmp_path):
    with make_site(tmp_path, systemd=request.param == "systemd") as made:
        yield made


@pytest.fixture
def systemd_site(tmp_path):
    with make_site(tmp_path, systemd=True) as made:
        yield made


def eventually(is_true, seconds=20.0):
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end, "did not come true"
        time.sleep(0.2)


def answers(site):
    try:
        return health(site.shell, RUN).redirect == "installed"
    except UnreachableError:
        return False


def test_relaybox_comes_and_goes_without_a_trace(site):
    """Installed, the relay carries what is redirected; restored, the box's state is what it was, to the letter."""
    before = state(site.record)
    idle = processes(site.record)
    assert recognise(site.shell) == []
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
    assert recognise(site.shell) == []


def test_relaybox_relay_that_is_killed_comes_back(site):
    """kill -9 of the relay: it is started again, and redirects again."""
    site.install()
    eventually(lambda: answers(site))
    first = str(ask(site.shell, RUN)["pid"])
    assert site.shell.run(["kill", "-9", first]).ok
    eventually(lambda: answers(site) and str(ask(site.shell, RUN)["pid"]) != first)
    assert site.carry(100_000) == "10.88.0.1"
    assert site.restore().left == []


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
    """A setting that somebody else changed is named and left; all else is put back."""
    systemd_site.install()
    systemd_site.box.write("sysctl/net.ipv4.tcp_mtu_probing", string("2"))
    left = systemd_site.restore().left
    assert [item.key for item, _ in left] == ["sysctl/net.ipv4.tcp_mtu_probing"]


def test_relaybox_reboots_and_relays(systemd_site):
    """After a reboot the box relays again by itself, and can still be put back."""
    before = state(systemd_site.record)
    systemd_site.install()
    machine.reboot(systemd_site.record)
    eventually(lambda: answers(systemd_site))
    assert systemd_site.carry(100_000) == "10.88.0.1"
    assert systemd_site.restore().left == []
    assert state(systemd_site.record) == before


def test_relaybox_without_systemd_reboots_and_can_be_restored(tmp_path):
    """Without systemd the relay is gone after a reboot; what is left on disk is put back all the same."""
    with make_site(tmp_path, systemd=False) as site:
        before = state(site.record)
        site.install()
        machine.reboot(site.record)
        assert site.restore().left == []
        assert state(site.record) == before


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
    """A relay that does not start says why, and all can be put back."""
    before = state(systemd_site.record)
    code = 'import socket, time; held = socket.create_server(("10.88.0.1", 9000)); time.sleep(60)'
    script = 'setsid python3 -c "$1" >/dev/null 2>&1 </dev/null & sleep 1; echo $!'
    held = systemd_site.shell.run(["sh", "-c", script, "hold", code])
    seen = facts(systemd_site.shell)
    assert [finding.code for finding in errors(findings(seen, systemd_site.spec))] == ["box-port"]
    wanted = desired(systemd_site.spec, seen)
    changes = diff(NAME, {key: systemd_site.box.read(key) for key, _, _ in wanted}, wanted)
    with pytest.raises(RefusedError, match=r"did not start.*9000"):
        apply(changes, {NAME: systemd_site.box}, systemd_site.journal, RUN, lambda _: None)
    assert systemd_site.restore().left == []
    assert systemd_site.shell.run(["kill", held.stdout.strip()]).ok
    assert state(systemd_site.record) == before


def test_relaybox_supervisor_that_is_killed_leaves_a_relay_that_can_be_restored(tmp_path):
    """Without systemd, kill -9 of the supervisor: the relay goes on, and all can be put back."""
    with make_site(tmp_path, systemd=False) as site:
        before, idle = state(site.record), processes(site.record)
        site.install()
        pid = site.shell.run(["sh", "-c", f"cut -d ' ' -f 1 /run/lrvmotion-{RUN}/supervisor"]).stdout.strip()
        assert site.shell.run(["kill", "-9", pid]).ok
        assert site.carry(100_000) == "10.88.0.1"
        assert site.restore().left == []
        assert state(site.record) == before
        assert processes(site.record) == idle


def test_relaybox_without_nft_uses_iptables(site):
    """Without nft the same is done with iptables; nothing that carries our mark is left behind."""
    nft = facts(site.shell).nft
    assert site.shell.run(["mv", nft, nft + ".away"]).ok
    try:
        seen = facts(site.shell)
        if not seen.iptables:
            pytest.skip("the machine has no iptables")
        assert seen.nft == ""
        site.install()
        assert site.carry(100_000) == "10.88.0.1"
        site.world.inside("source", "ping", "-c", "2", "-i", "0.1", "10.99.0.9")
        assert (counters(site.shell, RUN).hits, counters(site.shell, RUN).echo) == (1, 2)
        assert RUN in facts(site.shell).runs
        assert site.restore().left == []
        assert recognise(site.shell) == []
    finally:
        site.shell.run(["mv", nft + ".away", nft])


def test_relaybox_table_that_was_flushed_is_nothing_to_restore(systemd_site):
    """Somebody who flushed the packet filter does not keep the rest from being put back."""
    systemd_site.install()
    assert systemd_site.shell.run(["nft", "flush", "ruleset"]).ok
    with pytest.raises(UnreachableError, match="not there"):
        counters(systemd_site.shell, RUN)
    assert systemd_site.restore().left == []
    assert recognise(systemd_site.shell) == []


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
    assert recognise(site.shell) == []
