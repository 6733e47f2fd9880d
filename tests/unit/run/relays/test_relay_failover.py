"""Hosts are led around a relay that carries nothing, and back; never while they move; nobody's route is overwritten."""

from __future__ import annotations

import pytest

from fakes import FakeTarget, change_of
from lrvmotion.events import Message
from lrvmotion.journal.journal import Journal
from lrvmotion.model.setting import ABSENT, string
from lrvmotion.run.apply import apply
from lrvmotion.run.relays.failover import LOST_S, Detour
from lrvmotion.run.relays.monitor import Watch

KEY = "route/defaultTcpipStack/10.99.0.9/32"
STALLED = {"r1": "carries nothing while 5 streams are open: its interface lan0 is down"}


class Site:
    """Two hosts behind relay r1, steered by a route each; *watch* is not entered: every box has just answered."""

    def __init__(self, journal):
        self.journal = journal
        self.hosts = {f"source/{name}": FakeTarget(f"source/{name}", {}) for name in ("a1", "a2")}
        self.said = []
        changes = [change_of(name, KEY, ABSENT, string("10.88.0.1"), "") for name in self.hosts]
        apply(changes, self.hosts, self.journal, "run1", lambda _: None)
        watch = Watch(["r1"], lambda _: None, lambda _: True)
        self.detour = Detour({"r1": "10.88.0.1"}, watch, self.journal, self.hosts.__getitem__, self.take, "run1")

    def take(self, event):
        if isinstance(event, Message):
            self.said.append(event.text)

    def ways(self):
        return {name: host.values.get(KEY, ABSENT).data for name, host in self.hosts.items()}


@pytest.fixture
def site(tmp_path):
    with Journal(tmp_path, lambda: "2026-01-01T00:00:00Z") as journal:
        yield Site(journal)


def test_hosts_are_led_around_a_stalled_relay_as_soon_as_they_move_nothing(site):
    """The one that moves is left until its move has ended."""
    site.detour.restore_direct_routes({"source/a1"}, STALLED)
    assert site.ways() == {"source/a1": "10.88.0.1", "source/a2": None}
    assert site.detour.away == {"source/a2"}
    site.detour.restore_direct_routes((), STALLED)
    assert site.ways() == {"source/a1": None, "source/a2": None}
    assert site.said[0] == f"relay/r1 {STALLED['r1']}: source/a2 no longer sends through it"
    assert site.journal.outstanding() == []
    assert site.detour.lost("r1") is None
    site.detour.restore_direct_routes((), STALLED)
    assert len(site.said) == 2


def test_hosts_come_back_when_the_relay_is_well(site):
    """Each change is recorded as any other; a host that moves meanwhile is led back afterwards."""
    site.detour.restore_direct_routes((), STALLED)
    site.detour.come_back((), STALLED)
    assert set(site.ways().values()) == {None}
    site.hosts["source/a2"].running = ["vm9 is being relocated"]
    site.detour.come_back((), {})
    assert site.ways() == {"source/a1": "10.88.0.1", "source/a2": None}
    assert site.detour.away == {"source/a2"}
    site.hosts["source/a2"].running = []
    site.detour.come_back((), {})
    assert set(site.ways().values()) == {"10.88.0.1"}
    assert site.detour.away == frozenset()
    assert [(item.target, item.prior, item.planned[-1].data) for item in site.journal.outstanding()] == [
        ("source/a1", ABSENT, "10.88.0.1"), ("source/a2", ABSENT, "10.88.0.1"),
    ]  # fmt: skip
    site.detour.restore_direct_routes((), STALLED)
    assert set(site.ways().values()) == {None}


def test_a_route_that_somebody_set_meanwhile_is_left_and_its_host_stays_away(site):
    """Named with the reason: its VMs are held, those of the other host go on."""
    site.detour.restore_direct_routes((), STALLED)
    site.hosts["source/a1"].values[KEY] = string("10.88.0.77")
    site.detour.come_back((), {})
    assert site.ways() == {"source/a1": "10.88.0.77", "source/a2": "10.88.0.1"}
    assert site.detour.away == frozenset()
    assert list(site.detour.stays) == ["source/a1"]
    assert "source/a1 does not send through relay r1 again: source/a1: " in site.detour.stays["source/a1"]


def test_ways_through_a_relay_that_is_well_stay(site):
    """Nothing is written where nothing is wrong."""
    site.detour.restore_direct_routes((), {})
    site.detour.come_back((), {})
    assert set(site.ways().values()) == {"10.88.0.1"}
    assert site.said == []
    assert LOST_S == 10.0
