"""A host whose moves go past its relay is found by a sign that is there, never by one that is missing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fakes import vm
from lrvmotion.config import schema
from lrvmotion.errors import RefusedError, UnreachableError
from lrvmotion.run.relays.bypass_detector import BypassDetector, flows
from worlds import CONFIG, migration

HOT = replace(migration(vm("hot", "a1")), hot_bytes=1000, cold_bytes=0)
MIXED = replace(HOT, vm="mixed", hot_bytes=600, cold_bytes=400)
OFF = replace(HOT, vm="off", hot_bytes=0, cold_bytes=1000, power_state="poweredOff")
OTHER = replace(HOT, vm="other", source_host="a2")
OWN = frozenset({("10.88.0.9:52000", "10.99.0.9:8000"), ("10.88.0.9:52001", "10.99.0.9:8000")})


class Site:
    """Hosts' connections and a relay's streams as a test sets them, and a clock that it moves on."""

    def __init__(self, *moves, wait_s=120.0):
        self.now, self.asked = 0.0, []
        self.there, self.carried, self.bytes = {}, frozenset(), 0
        self.refuses: Exception | None = None
        relay_by_host = {"a1": "r1", "a2": "r1"}
        self.path = BypassDetector(
            {m.vm: m for m in moves}, relay_by_host, self.connections, lambda _: (self.carried, self.bytes), wait_s,
            lambda: self.now,
        )  # fmt: skip

    def connections(self, name):
        self.asked.append(name)
        if self.refuses is not None:
            raise self.refuses
        return self.there.get(name, frozenset())

    def look(self, at, **running):
        self.now = at
        return self.path.look(running)


def test_a_default_of_minutes():
    """A cross-vCenter relocate logs in, checks and makes the disks before its first byte: 15 s are nothing."""
    assert schema.parse(CONFIG).limits.in_path_s == 120.0


@pytest.mark.parametrize(
    ("move", "percent", "due"),
    [(HOT, 0, False), (HOT, 1, True), (MIXED, 40, False), (MIXED, 41, True), (OFF, 50, False), (OFF, 99, False)],
)
def test_hot_bytes_flow_once_the_task_progresses_and_the_cold_ones_are_over(move, percent, due):
    """Powered-off VMs never; of one with snapshots what lies below them goes first, by NFC."""
    assert flows(move, percent) is due


def test_a_move_that_is_queued_or_prepared_or_carries_cold_data_is_never_looked_at():
    """However long: the clock begins at the first progress of a running task."""
    site = Site(HOT, MIXED, OFF)
    for at in range(0, 36_000, 60):
        assert site.look(float(at), hot=None, mixed=40, off=99) == []
    assert site.asked == []
    for at in range(36_000, 72_000, 60):
        assert site.look(float(at), hot=0, mixed=40, off=99) == []
    assert site.asked == []


def test_a_move_without_a_connection_is_no_sign():
    """The relay shows no stream, and the host has none either: looked at again, and nothing is said."""
    site = Site(HOT)
    for at in range(0, 3600, 10):
        assert site.look(float(at), hot=1) == []
    assert 2 < len(site.asked) < 3600 / 30
    assert site.path.past == {}


def test_connections_that_the_relay_has_not_at_two_looks_are_the_sign():
    """One look is not enough: the relay may be dialling. Only that host is past it."""
    site = Site(HOT, OTHER)
    site.there["a1"] = OWN
    assert site.look(0.0, hot=1, other=1) == []
    assert site.look(119.0, hot=2, other=1) == []
    assert site.asked == []
    assert site.look(120.0, hot=2, other=1) == []
    assert site.look(121.0, hot=2, other=1) == []
    assert site.look(150.0, hot=3, other=1) == ["a1"]
    assert list(site.path.past) == ["a1"]
    assert site.path.past["a1"].startswith("not in the path: a1 has vMotion connections that relay r1 does not carry: ")
    assert "10.88.0.9:52000 -> 10.99.0.9:8000" in site.path.past["a1"]
    assert site.look(300.0, hot=4, other=1) == []


def test_connections_that_the_relay_carries_are_in_the_path_and_not_asked_for_again():
    """A relay that is slow to dial has them at the next look."""
    site = Site(HOT)
    site.there["a1"] = OWN
    site.look(0.0, hot=1)
    assert site.look(120.0, hot=2) == []
    site.carried = frozenset(local for local, _ in OWN)
    assert site.look(150.0, hot=3) == []
    asked = len(site.asked)
    assert site.look(9000.0, hot=90) == []
    assert len(site.asked) == asked


def test_streams_of_which_one_goes_past_are_named():
    """Half of the streams by another route is a fault as well."""
    site = Site(HOT)
    site.there["a1"], site.carried = OWN, frozenset({"10.88.0.9:52000"})
    site.look(0.0, hot=1)
    site.look(120.0, hot=2)
    assert site.look(150.0, hot=2) == ["a1"]
    assert "52000" not in site.path.past["a1"]


def test_each_try_of_a_vm_has_a_clock_of_its_own():
    """What failed and waits counts no more."""
    site = Site(HOT)
    site.there["a1"] = OWN
    site.look(0.0, hot=1)
    site.look(100.0)
    site.look(110.0, hot=1)
    site.look(229.0, hot=9)
    assert site.asked == []


def test_a_host_or_relay_that_does_not_answer_is_no_sign():
    """The vCenter is away for a moment."""
    site = Site(HOT)
    site.there["a1"], site.refuses = OWN, UnreachableError("no answer")
    for at in range(0, 3600, 10):
        assert site.look(float(at), hot=min(at, 99)) == []


def test_where_a_host_lists_no_connections_progress_without_a_byte_at_the_relay_is_the_sign():
    """Ten points of progress after the wait; bytes of anybody's at the relay, or a stream, take it back."""
    site = Site(HOT)
    site.refuses = RefusedError("no privilege")
    site.look(0.0, hot=20)
    assert site.look(120.0, hot=23) == []
    assert site.look(150.0, hot=32) == []
    site.bytes = 1
    assert site.look(180.0, hot=40) == []
    assert site.look(210.0, hot=49) == []
    assert site.look(240.0, hot=50) == ["a1"]
    assert site.path.past["a1"] == (
        "not in the path: hot went from 40 to 50 %, and relay r1 has carried nothing meanwhile"
    )


def test_hosts_without_a_relay_are_not_looked_at():
    """Native and stock mode, and hosts that were left out."""
    site = Site(replace(HOT, source_host="a9"))
    site.look(0.0, hot=1)
    assert site.look(500.0, hot=9) == []
    assert site.asked == []
