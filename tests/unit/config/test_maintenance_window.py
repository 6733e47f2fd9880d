"""Maintenance windows: open while the clock on the wall says so, on the days too when the clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrvmotion.checks.window import fits
from lrvmotion.config import schema, time_zone
from lrvmotion.config.maintenance_window import DAYS, Windows, window
from lrvmotion.errors import ExitStatus, UsageError

SITE = {"vcenter": "v", "username": "u"}
# Around a change of the clocks: an hour, half an hour, at midnight, backwards over midnight, none.
CHANGES = [
    ("Europe/Berlin", "2026-03-28T12:00+00:00"),
    ("Europe/Berlin", "2026-10-24T12:00+00:00"),
    ("Australia/Lord_Howe", "2026-04-04T00:00+00:00"),
    ("Australia/Lord_Howe", "2026-10-03T00:00+00:00"),
    ("Asia/Beirut", "2026-03-28T00:00+00:00"),
    ("America/Havana", "2026-10-31T12:00+00:00"),
    ("America/St_Johns", "2010-11-06T12:00+00:00"),
    ("UTC", "2026-12-30T12:00+00:00"),
]
clocks = st.builds("{:02}:{:02}".format, st.sampled_from([0, 1, 2, 3, 4, 12, 22, 23]), st.sampled_from([0, 15, 30]))


def shown(moment, start, end, days, zone):
    """Whether a wall clock of *zone* is in the window; written as one reads it."""
    wall = moment.astimezone(zone)
    now, today, yesterday = f"{wall:%H:%M}", DAYS[wall.weekday()], DAYS[wall.weekday() - 1]
    if start < end:
        return today in days and start <= now < end
    return (today in days and now >= start) or (yesterday in days and now < end)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(CHANGES), st.lists(st.tuples(clocks, clocks, st.sets(st.sampled_from(DAYS))), max_size=2))
def test_windows_are_open_exactly_while_the_wall_clock_is_in_one_of_them(change, hours):
    """And `changes` is the first moment at which that is no longer what it was: no clock change is missed."""
    name, begin = change
    zone, start = time_zone.zone(name), datetime.fromisoformat(begin)
    hours = [(first, last, days or set(DAYS)) for first, last, days in hours if first != last]
    windows = Windows(tuple(window(first, last, sorted(days), zone) for first, last, days in hours))
    minutes = [start + timedelta(minutes=number) for number in range(24 * 60)]
    opened = [not hours or any(shown(moment, *one, zone) for one in hours) for moment in minutes]
    assert [windows.is_open(moment) for moment in minutes] == opened
    turn = windows.changes(start)
    expected = next((minute for minute, now in zip(minutes, opened, strict=True) if now != opened[0]), None)
    if expected is not None:
        assert turn == expected
    else:
        assert turn is None or turn > minutes[-1]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(CHANGES), clocks, clocks, st.integers(0, 200_000), st.floats(0, 90_000))
def test_what_fits_ends_before_the_window_closes(change, first, last, later, seconds):
    """What will not fit is not started; nothing that would have fitted is refused."""
    zone, now = time_zone.zone(change[0]), datetime.fromisoformat(change[1]) + timedelta(seconds=later)
    if first == last:
        last = "24:00"
    windows = Windows((window(first, last, (), zone),))
    closes = windows.closes(now)
    ends = now + timedelta(seconds=seconds)
    assert windows.fits(now, seconds) == (windows.is_open(now) and (closes is None or ends <= closes))
    assert windows.fits(now, None) == windows.is_open(now)


@pytest.mark.parametrize(
    ("start", "end", "begin", "hours"),
    [
        ("01:00", "04:00", "2026-03-28T23:30+00:00", 2.0),  # spring: the hour from 2 to 3 is left out
        ("01:00", "04:00", "2026-10-24T22:30+00:00", 4.0),  # autumn: it comes twice
        ("02:30", "04:00", "2026-03-28T23:30+00:00", 1.0),  # begins in the hour left out: as the clocks jump
        ("22:00", "02:30", "2026-03-28T20:30+00:00", 4.0),  # ends in it: as the clocks jump
    ],
)
def test_a_window_over_a_clock_change_is_as_long_as_it_is(start, end, begin, hours):
    """What fits counts hours, not the difference of two times of day."""
    windows = Windows((window(start, end, (), ZoneInfo("Europe/Berlin")),))
    opened = windows.opens(datetime.fromisoformat(begin))
    assert windows.left_s(opened) == hours * 3600


def test_windows_that_touch_are_one():
    """A weekend from Friday evening to Monday morning is four entries, and one opening."""
    entries = [
        ("22:00", "24:00", "fri"),
        ("00:00", "24:00", "Saturday"),
        ("00:00", "24:00", "sun"),
        ("00:00", "06:00", "mon"),
    ]
    windows = Windows(tuple(window(start, end, (day,), UTC) for start, end, day in entries))
    friday = datetime(2026, 11, 27, 12, tzinfo=UTC)
    assert windows.opens(friday) == datetime(2026, 11, 27, 22, tzinfo=UTC)
    assert windows.closes(windows.opens(friday)) == datetime(2026, 11, 30, 6, tzinfo=UTC)
    assert windows.longest_s(friday) == 56 * 3600
    assert windows.left_s(friday) == 0.0


def test_without_windows_anything_fits_at_any_time():
    """A window is a wish; nobody has to have one."""
    now = datetime(2026, 11, 27, 12, tzinfo=UTC)
    assert (Windows().left_s(now), Windows().longest_s(now), Windows().changes(now)) == (None, None, None)
    assert Windows().fits(now, 1e9)
    always = Windows((window("00:00", "12:00", (), UTC), window("12:00", "24:00", (), UTC)))
    assert (always.left_s(now), always.longest_s(now)) == (None, None)


def test_a_window_with_dates_opens_once_and_the_last_that_passed_is_refused():
    """A configuration of last month moves nothing, and says why."""
    parsed = schema.parse({
        "source": SITE, "target": SITE, "time_zone": "Europe/Berlin",
        "window": [
            {"start": "2026-12-05T22:00", "end": "2026-12-06T06:00"},
            {"start": "2027-01-09T22:00", "end": "2027-01-10T07:00"},
        ],
    })  # fmt: skip
    windows = parsed.windows
    now = datetime(2026, 11, 23, tzinfo=UTC)
    windows.require(now)
    assert windows.opens(now) == datetime(2026, 12, 5, 21, tzinfo=UTC)
    assert windows.longest_s(now) == 9 * 3600
    between = datetime(2026, 12, 24, tzinfo=UTC)
    windows.require(between)
    assert windows.opens(between) == datetime(2027, 1, 9, 21, tzinfo=UTC)
    with pytest.raises(UsageError) as caught:
        windows.require(datetime(2027, 1, 10, 6, tzinfo=UTC))
    assert caught.value.status is ExitStatus.USAGE
    assert "it ended at 2027-01-10 07:00 (Europe/Berlin)" in caught.value.message


def test_a_plan_says_when_the_first_vm_starts_and_which_never_will():
    """Before anybody waits for the night."""
    windows = Windows((window("22:00", "06:00", (), ZoneInfo("Europe/Berlin")),))
    day, night = datetime(2026, 11, 23, 12, tzinfo=UTC), datetime(2026, 11, 23, 22, tzinfo=UTC)
    closed, short = fits(windows, day, {"a": 3600.0, "b": 30_000.0, "c": None})
    assert (closed.code, short.code, short.subject) == ("window-closed", "window-too-short", "vm/b")
    assert closed.summary == "none is open: the first VM starts at 2026-11-23 22:00 (Europe/Berlin)"
    assert short.summary == "would take 8.3 h, the longest window has 8.0 h: it is held"
    assert [found.code for found in fits(windows, night, {"a": 3600.0})] == []
    assert list(fits(Windows(), day, {"b": 1e9})) == []


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"start": "22:00", "end": "22:00"}, "start and end are both 22:00: a window of a whole day is 00:00 to 24:00"),
        ({"start": "25:00", "end": "06:00"}, "start '25:00' is no time: write 22:00, or 2026-12-05T22:00"),
        ({"start": "2026-12-05T22:00", "end": "06:00"}, "end 06:00 has no date"),
        ({"start": "2026-12-05", "end": "2026-12-06"}, "start 2026-12-05 has no time of day"),
        ({"start": "2026-12-06T22:00", "end": "2026-12-05T06:00"}, "is not after start"),
        ({"start": "2026-12-05T22:00", "end": "2026-12-06T06:00", "days": ["mon"]}, "days are for a window by"),
        ({"start": "22:00", "end": "06:00", "days": ["mon", "tues"]}, "'tues' is not a day: write mon, tue, wed"),
        ({"start": "22:00", "end": "06:00", "time_zone": "Europe/Berln"}, "did you mean Europe/Berlin"),
        ({"start": "2026-10-25T02:30", "end": "2026-10-25T06:00"}, "02:30 comes twice in Europe/Berlin"),
        ({"start": "2026-03-29T02:30", "end": "2026-03-29T06:00"}, "02:30 does not exist in Europe/Berlin"),
        ({"start": "22:00"}, "window[0].end: is missing"),
    ],
)  # fmt: skip
def test_a_window_that_cannot_be_is_told_with_its_key(entry, said):
    """One clear sentence for each mistake, and exit status 2."""
    with pytest.raises(UsageError) as caught:
        schema.parse({"source": SITE, "target": SITE, "time_zone": "Europe/Berlin", "window": [entry]})
    assert "window[0]" in caught.value.message
    assert said in caught.value.message


def test_times_may_be_written_as_toml_has_them():
    """22:00:00 and dates with times need no quotes; an offset is the time's own."""
    text = """
        time_zone = "Europe/Berlin"
        [source]
        vcenter = "a"
        username = "u"
        [target]
        vcenter = "b"
        username = "u"
        [[window]]
        start = 22:00:00
        end = 06:00:00
        [[window]]
        start = 2026-12-05T22:00:00
        end = 2026-12-06T06:00:00-05:00
    """
    import tomllib

    daily, once = schema.parse(tomllib.loads(text)).windows.windows
    assert (f"{daily.start:%H:%M}", f"{daily.end:%H:%M}", str(daily.zone)) == ("22:00", "06:00", "Europe/Berlin")
    assert (once.start.hour, once.end.hour) == (21, 11)


def test_the_machines_own_zone_is_used_by_its_name(tmp_path):
    """Where the machine's zone has no name, it is UTC, and is said to be."""
    import zoneinfo
    from pathlib import Path

    there = next(Path(folder, "Europe/Berlin") for folder in zoneinfo.TZPATH if Path(folder, "Europe/Berlin").exists())
    link = tmp_path / "localtime"
    assert time_zone.local(link) == "UTC"
    link.symlink_to(there)
    assert time_zone.local(link) == "Europe/Berlin"
    link.unlink()
    link.write_bytes(there.read_bytes())
    assert time_zone.local(link) == "UTC"


@pytest.mark.parametrize("end", ["9999-12-31T23:59", "2101-01-01T00:00", "0001-01-01T00:00"])
def test_a_date_that_nobody_means_is_refused(end):
    """Each day until a window's end is looked at, and the first and last year have no neighbours."""
    with pytest.raises(ValueError, match="is not between 2000 and 2100"):
        window("2026-12-05T22:00", end, (), time_zone.zone("Europe/Berlin"))
