"""The timetable of the cap, and a run kept to it: the right cap at every relay at every time of day."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrvmotion.config import schema, time_zone
from lrvmotion.config.rate_schedule import Timetable, parse
from lrvmotion.errors import RefusedError, UsageError
from lrvmotion.events import CapChanged, Message, WindowChanged
from lrvmotion.journal.records import CapChange
from lrvmotion.model.target_id import TargetId
from lrvmotion.run.relays.rate_limiter import AGAIN, RateLimiter
from lrvmotion.views.text import words

SITE = {"vcenter": "v", "username": "u"}
BOX = {"name": "r", "host": "r", "address": "10.0.0.1"}
MORNING = datetime(2026, 11, 23, 7, 59, 58, tzinfo=UTC)


def parsed(limit, **more):
    relay = {"limit": limit, "source": [BOX], **more.pop("relay", {})}
    return schema.parse({"source": SITE, "target": SITE, "time_zone": "UTC", "relay": relay, **more})


@settings(max_examples=60, deadline=None)
@given(
    st.sets(st.integers(0, 95), min_size=2, max_size=5),
    st.sampled_from(["2026-03-28T12:00+00:00", "2026-10-24T12:00+00:00", "2026-11-23T00:00+00:00"]),
)
def test_the_cap_is_what_the_wall_clock_says_and_changes_when_it_says(quarters, begin):
    """Around the clock, over midnight, and on the days when the clocks change."""
    text = ", ".join(
        f"{quarter // 4}:{quarter % 4 * 15:02} {quarter + 1}M" for quarter in sorted(quarters, reverse=True)
    )
    table = Timetable(parse(text), time_zone.zone("Europe/Berlin"))
    start = datetime.fromisoformat(begin)
    moments = [start + timedelta(minutes=15 * number) for number in range(4 * 50)]
    for moment in moments:
        wall = moment.astimezone(table.zone)
        begun = [quarter for quarter in quarters if quarter <= wall.hour * 4 + wall.minute // 15]
        assert table.cap(moment) == (max(begun or quarters) + 1) * 1_000_000
    assert table.changes(start) == next(moment for moment in moments if table.cap(moment) != table.cap(start))


def test_a_timetable_is_kept_as_it_is_written():
    """A saved plan compares it: times in order, rates as people write them."""
    assert str(parsed("19:00 off, 8:00 500M").relay.limit) == "08:00 500M, 19:00 off"
    assert str(parsed("0:00 1.5G, 12:30 800 kbit/s").relay.limit) == "00:00 1.5G, 12:30 800k"
    content = parsed("19:00 off, 8:00 500M").model_dump(mode="json")
    assert content["relay"]["limit"] == "08:00 500M, 19:00 off"
    assert parsed("2G").model_dump(mode="json")["relay"]["limit"] == "2000000000"


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("08:00 500M", "'08:00 500M' does not say until when: write a second time, or the rate alone"),
        ("08:00 500M, 8:00 off", "08:00 is there twice: from one time on only one rate can hold"),
        ("08:00, 19:00 off", "08:00 has no rate: write for example 08:00 500M, or 08:00 off"),
        ("08:00 500M, ", "has an empty entry"),
        ("8 500M, 19:00 off", "'8 500M' does not begin with a time of day"),
        ("24:00 500M, 19:00 off", "'24:00 500M' does not begin with a time of day"),
        ("08:00 fast, 19:00 off", "'fast' is not a rate: write for example 500M or 2G"),
        ("08:00 0M, 19:00 off", "a rate must be above 0"),
        ("08:00 2k, 19:00 off", "a cap of 2000 bit/s is too low to move anything: the minimum is 100k"),
        ("8000", "a cap of 8000 bit/s is too low"),
        ("08:00-19:00 500M, 19:00 off", "'08:00-19:00 500M' does not begin with a time of day"),
    ],
)
def test_a_timetable_with_a_gap_an_overlap_or_a_bad_time_is_refused(limit, said):
    """One sentence, with the key."""
    with pytest.raises(UsageError) as caught:
        parsed(limit)
    assert "relay.limit: " in caught.value.message
    assert said in caught.value.message


def test_a_relay_starts_with_the_lowest_cap_and_the_forecast_has_the_one_that_holds():
    """A relay that nobody leads is never above the timetable; a share of the circuit can be lower still."""
    own = parsed("08:00 500M, 19:00 off, 23:00 2G")
    assert own.relay.cap_bps == 500_000_000
    assert own.relay.cap_at(MORNING) == 2_000_000_000
    assert own.at(MORNING + timedelta(seconds=2)).relay.cap_bps == 500_000_000
    evening = MORNING.replace(hour=20)
    assert own.at(evening).relay.cap_bps is None
    shared = parsed("08:00 500M, 19:00 off", relay={"circuit_rate": "1G"})
    assert (shared.relay.cap_at(MORNING), shared.relay.cap_at(evening)) == (950_000_000, 950_000_000)
    plain = parsed("2G")
    assert plain.at(MORNING) is plain
    assert plain.relay.cap_at(MORNING) == 2_000_000_000
    assert time(8) in dict(own.relay.timetable.entries)


class Relays:
    """Relays that take a cap; *answers* is cleared while they do not answer, *refuse* makes one refuse."""

    def __init__(self):
        self.caps, self.refuse, self.answers = [], set(), threading.Event()
        self.answers.set()

    def __call__(self, relay, cap):
        self.answers.wait(10)
        if relay in self.refuse:
            message = "no relay answers"
            raise RefusedError(message)
        self.caps.append((relay, cap))


def looked(pace, now):
    """Look at *now*, and again when what was sent has ended."""
    pace.look(now)
    for thread in threading.enumerate():
        if thread.name.startswith("cap of"):
            thread.join(10)
    pace.look(now)


def test_every_near_relay_gets_the_cap_once_when_it_changes():
    """And in between a cap that was set by hand is left alone."""
    relays, events = Relays(), []
    pace = RateLimiter(parsed("08:00 500M, 19:00 off"), ["a", "b"], relays, events.append)
    for seconds in range(0, 12, 2):
        looked(pace, MORNING + timedelta(seconds=seconds))
    assert sorted(relays.caps[:2]) == [("a", None), ("b", None)]
    assert sorted(relays.caps[2:]) == [("a", 500_000_000), ("b", 500_000_000)]
    assert {(event.relay, event.bps) for event in events} == {(r, c) for r in "ab" for c in (None, 500_000_000)}
    assert all(isinstance(event, CapChanged) for event in events)


def test_a_relay_that_does_not_answer_holds_nobody_up_and_is_tried_again():
    """Its box may be down for an hour: a look returns at once, the others get their cap, and it gets the latest."""
    relays, events = Relays(), []
    relays.answers.clear()
    pace = RateLimiter(parsed("08:00 500M, 19:00 off"), ["a", "b"], relays, events.append)
    pace.look(MORNING)
    pace.look(MORNING + timedelta(seconds=2))
    assert (relays.caps, events) == ([], [])
    relays.refuse = {"b"}
    relays.answers.set()
    now = MORNING + timedelta(seconds=4)
    looked(pace, now)
    looked(pace, now)
    assert relays.caps == [("a", None), ("a", 500_000_000)]
    assert "relay b: its cap could not be changed: no relay answers" in [
        e.text for e in events if isinstance(e, Message)
    ]
    relays.refuse = set()
    looked(pace, now + AGAIN / 2)
    assert ("b", 500_000_000) not in relays.caps
    looked(pace, now + AGAIN)
    assert relays.caps[-1] == ("b", 500_000_000)


def test_a_relay_that_started_anew_gets_its_cap_again():
    """It starts with the timetable's lowest."""
    relays, events = Relays(), []
    pace = RateLimiter(parsed("08:00 500M, 19:00 off"), ["a"], relays, events.append)
    looked(pace, MORNING)
    pace.restarted("a")
    pace.restarted("another")
    looked(pace, MORNING)
    assert relays.caps == [("a", None), ("a", None)]


def test_a_plain_limit_sends_nothing():
    """The relay starts with it, and the clock has no say."""
    relays = Relays()
    looked(RateLimiter(parsed("2G"), ["a"], relays, [].append), MORNING)
    assert relays.caps == []


def test_a_cap_set_by_hand_is_set_again_at_a_relay_that_restarted():
    """It started with the cap of its file: by a plan before the first move, or later by itself."""
    relays, by_hand = Relays(), {"a": 300_000}
    pace = RateLimiter(parsed("2G"), ["a", "b"], relays, [].append, by_hand=lambda: by_hand)
    looked(pace, MORNING)
    assert relays.caps == [("a", 300_000)]
    looked(pace, MORNING)
    assert len(relays.caps) == 1
    by_hand["a"] = None  # throttle off
    pace.restarted("a")
    pace.restarted("b")
    looked(pace, MORNING)
    assert relays.caps[1:] == [("a", None)]


def test_a_timetable_wins_over_a_cap_set_by_hand_before_the_run():
    """It is what holds as the run begins."""
    relays = Relays()
    timetable = parsed("08:00 500M, 19:00 off")
    looked(RateLimiter(timetable, ["a"], relays, [].append, by_hand=lambda: {"a": 300_000}), MORNING)
    assert relays.caps == [("a", None)]


def test_a_window_that_opens_and_closes_is_told_once_each():
    """With the time of the next change, by the window's own clock; a clock that is set back is followed too."""
    events = []
    window = {"start": "22:00", "end": "06:00", "time_zone": "Europe/Berlin"}
    pace = RateLimiter(parsed("2G", window=[window]), [], Relays(), events.append)
    night = MORNING.replace(hour=20, minute=59, second=56)
    for seconds in range(0, 12, 2):
        pace.look(night + timedelta(seconds=seconds))
    pace.look(night)
    opened = WindowChanged(is_open=True, until="2026-11-24T06:00:00+01:00")
    closed = WindowChanged(is_open=False, until="2026-11-23T22:00:00+01:00")
    assert events == [closed, opened, closed]
    assert words.window(opened.is_open, opened.until) == "maintenance window open until 2026-11-24 06:00"
    assert words.window(is_open=False, until=None) == "maintenance window closed"


def test_a_cap_is_recorded_before_it_is_sent_and_not_sent_where_it_cannot_be():
    """What is not recorded is not done: a full disk leaves the cap as it is, and that is said."""
    timetable, records = parsed("08:00 500M, 19:00 off"), []
    looked(RateLimiter(timetable, ["a"], Relays(), [].append, records.append), MORNING)
    assert records == [CapChange(target=TargetId("relay/a"), planned=None)]

    def full(*_: object) -> None:
        message = "the journal cannot be written: No space left on device"
        raise RefusedError(message)

    relays, events = Relays(), []
    looked(RateLimiter(timetable, ["a"], relays, events.append, full), MORNING)
    assert relays.caps == []
    assert any("No space left" in event.text for event in events)
