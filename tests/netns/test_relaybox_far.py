"""Near and far relay, each on a machine of its own: bytes whole, a fenced port, back after trouble, no trace left."""

from __future__ import annotations

import dataclasses

import pytest

from lrvmotion.checks.relay_hosts import way_to_far
from lrvmotion.lab.box import machine
from lrvmotion.lab.box.state import state
from lrvmotion.relay.box import RelaySpec, health, list_leftovers
from lrvmotion.relay.facts import facts
from lrvmotion.relay.far_reach import reach
from lrvmotion.relay.status import ask
from netns.box_world import requires_box
from netns.iptables_kinds import KINDS
from netns.relaybox_site import (
    FAR,
    FAR_ADDRESS,
    NAME,
    NEAR_ADDRESS,
    RUN,
    SOURCE,
    TARGET,
    Site,
    answers,
    eventually,
    make_site,
    processes,
)

pytestmark = requires_box

NEAR_SPEC = RelaySpec(
    name="relay1", run=RUN, address=NEAR_ADDRESS, sources=(SOURCE,), targets=(TARGET,), forward=(FAR_ADDRESS, 9000)
)
FAR_SPEC = RelaySpec(
    name="relay2", run=RUN, address=FAR_ADDRESS, sources=(SOURCE,), targets=(TARGET,), accept_proxy_from=(NEAR_ADDRESS,)
)


@pytest.fixture
def pair(tmp_path):
    with make_site(tmp_path, systemd=True, far=True) as site:
        yield site


def install(site: Site) -> None:
    site.far.install(FAR_SPEC)
    site.near.install(NEAR_SPEC)


def scan(site: Site, role: str) -> str:
    """Connect to the far relay's port from *role*; return what comes of it."""
    with site.world.socket(role) as client:
        client.settimeout(1)
        try:
            client.connect((FAR_ADDRESS, 9000))
            client.sendall(b"x" * 16)
            return "open" if client.recv(1) else "ended"
        except TimeoutError:
            return "silent"
        except OSError as error:
            return type(error).__name__


def check_end_to_end(site: Site) -> None:
    before = [state(box.record) for box in site.boxes.values()]
    idle = [processes(box.record) for box in site.boxes.values()]
    install(site)
    assert site.carry() == FAR_ADDRESS, "the target sees the far relay, on its own LAN"
    for box in site.boxes.values():
        eventually(lambda box=box: health(box.shell, RUN).bytes >= 3_000_000)
        assert (health(box.shell, RUN).accepted, health(box.shell, RUN).refused) == (1, 0)
    assert site.restore().left == []
    assert site.restored == [NAME, FAR], "nothing is sent to a far relay that has gone"
    assert [state(box.record) for box in site.boxes.values()] == before
    assert [processes(box.record) for box in site.boxes.values()] == idle


def test_relaybox_far_relay_takes_the_last_leg_and_both_boxes_come_back(pair):
    """Bytes are whole, the target sees the far relay; restored near first, both boxes are what they were."""
    check_end_to_end(pair)


def test_relaybox_far_relay_works_without_systemd(tmp_path):
    """The far relay host without systemd: the same, and the relay holds its fence itself."""
    with make_site(tmp_path, systemd=True, far=True, far_systemd=False) as site:
        check_end_to_end(site)
        install(site)
        assert (scan(site, "source"), scan(site, "target")) == ("silent", "silent")
        first = str(ask(site.far.shell, RUN)["pid"])
        assert site.far.shell.run(["kill", "-9", first]).ok
        eventually(lambda: answers(site.far, "not watched"))
        assert (scan(site, "source"), site.carry(100_000)) == ("silent", FAR_ADDRESS)
        assert site.restore().left == []
        assert list_leftovers(site.far.shell) == []


@pytest.mark.parametrize("tool", ["nft", "iptables-nft", "iptables-legacy"])
def test_relaybox_far_relay_answers_its_near_relays_only(tmp_path, tool):
    """Nobody else gets an answer from its port, and a near relay none without the header; nothing is left behind."""
    kinds = {f"iptables-{kind}": kind for kind in KINDS}
    with make_site(tmp_path, systemd=True, far=True, iptables=kinds.get(tool)) as pair:
        answers_its_near_relays_only(pair, tool)


def answers_its_near_relays_only(pair: Site, tool: str) -> None:
    nft = facts(pair.far.shell).nft
    if tool != "nft":
        assert facts(pair.far.shell).iptables
        assert pair.far.shell.run(["mv", nft, nft + ".away"]).ok
    try:
        install(pair)
        assert [scan(pair, role) for role in ("source", "target")] == ["silent", "silent"]
        assert scan(pair, "box") == "ConnectionResetError"
        assert health(pair.far.shell, RUN).refused == 1
        assert pair.carry(100_000) == FAR_ADDRESS
        assert pair.restore().left == []
        assert list_leftovers(pair.far.shell) == []
    finally:
        pair.far.shell.run(["sh", "-c", '[ -e "$1.away" ] && mv "$1.away" "$1"', "back", nft])


def test_relaybox_far_relay_that_is_killed_or_rebooted_comes_back(pair):
    """kill -9, and a reboot: the far relay is there again by itself, fenced, and both can be restored."""
    before = [state(box.record) for box in pair.boxes.values()]
    install(pair)
    first = str(ask(pair.far.shell, RUN)["pid"])
    assert pair.far.shell.run(["kill", "-9", first]).ok
    eventually(lambda: answers(pair.far, "not watched") and str(ask(pair.far.shell, RUN)["pid"]) != first)
    assert pair.carry(100_000) == FAR_ADDRESS
    machine.reboot(pair.far.record)
    eventually(lambda: answers(pair.far, "not watched"))
    assert pair.carry(100_000) == FAR_ADDRESS
    assert scan(pair, "source") == "silent"
    assert pair.restore().left == []
    assert [state(box.record) for box in pair.boxes.values()] == before


def test_relaybox_far_relay_that_is_away_resets_the_source_at_once(pair):
    """Nothing hangs: a connection that cannot go on is reset."""
    install(pair)
    assert pair.far.shell.run(["systemctl", "stop", f"lrvmotion-relay-{RUN}.service"]).ok
    with pair.world.listen(), pytest.raises(ConnectionResetError):
        pair.world.touch()


def tried(pair, seen, spec) -> list:
    """Try the way to the far relay, and return the findings."""
    return list(way_to_far(spec, reach(pair.shell, seen, spec)))


def test_relaybox_way_to_the_far_relay_is_tried_before_anything_is_changed(pair):
    """A port that nobody listens on yet is reached; one behind a firewall, or from another address, is a finding."""
    near = facts(pair.shell)
    assert tried(pair, near, NEAR_SPEC) == []
    (other,) = tried(pair, near, dataclasses.replace(NEAR_SPEC, address="10.88.0.77"))
    assert (other.code, other.severity) == ("far-source", "error")
    assert "from 10.88.0.1, not from 10.88.0.77" in other.summary
    wall = "table ip wall { chain in { type filter hook input priority 0; tcp dport 9000 drop; }; }"
    assert pair.far.shell.run(["nft", wall]).ok
    (silent,) = tried(pair, near, NEAR_SPEC)
    assert silent.code == "far-silent"
    assert silent.summary == f"no way to the far relay at {FAR_ADDRESS} port 9000: no answer within 5 s"
    (nowhere,) = tried(pair, near, dataclasses.replace(NEAR_SPEC, forward=("203.0.113.9", 9000)))
    assert nowhere.code == "far-silent"
