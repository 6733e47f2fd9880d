"""Maintenance windows: when VMs may start to move, and what still fits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo

from lrvmotion.config import time_zone
from lrvmotion.errors import UsageError

_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
DAYS = tuple(name[:3] for name in _NAMES)
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_YEARS = range(2000, 2101)  # each day until a window's end is looked at
_DATE = re.compile(r"[0-9-]+")
# A weekly window that falls into the hour which spring leaves out is skipped once, so it can be two weeks away.
_AHEAD = timedelta(days=16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Daily:
    """Open while a clock on the wall in *zone* shows *start* or later, but not yet *end*, from *days* on (0: Monday).

    Where *end* is not after *start* it is the next day's. On the day that the clocks change it is the wall clock that
    counts: it can be shorter, longer, left out, or open twice.
    """

    start: time
    end: time
    days: frozenset[int]
    zone: tzinfo

    def holds(self, moment: datetime) -> bool:
        """Return whether the window is open at *moment*."""
        wall = moment.astimezone(self.zone)
        clock, today = wall.time(), wall.weekday()
        if self.start < self.end:
            return today in self.days and self.start <= clock < self.end
        return (today in self.days and clock >= self.start) or ((today - 1) % 7 in self.days and clock < self.end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """Open from *start* until *end*, one time; *zone* is what they are told in."""

    start: datetime
    end: datetime
    zone: tzinfo

    def holds(self, moment: datetime) -> bool:
        """Return whether the window is open at *moment*."""
        return self.start <= moment < self.end


Window = Daily | Once


def window(start: str, end: str, days: Sequence[str], zone: tzinfo) -> Window:
    """Return the window of "22:00" and "06:00" (every day, or on *days*), or of two ISO 8601 dates with times.

    ValueError, one sentence, where they are neither, not alike, or leave no time between them.
    """
    if _CLOCK.fullmatch(start) and (_CLOCK.fullmatch(end) or end == "24:00"):
        first, last = _clock(start), _clock(end.replace("24:00", "00:00"))
        if first == last and end != "24:00":
            message = f"start and end are both {start}: a window of a whole day is 00:00 to 24:00"
            raise ValueError(message)
        return Daily(start=first, end=last, days=_days(days), zone=zone)
    begin, until = _moment(start, "start", zone), _moment(end, "end", zone)
    if days:
        message = "days are for a window by the clock: one with dates opens once"
        raise ValueError(message)
    if until <= begin:
        message = f"end {end} is not after start {start}"
        raise ValueError(message)
    return Once(start=begin, end=until, zone=zone)


def _clock(text: str) -> time:
    hour, _, minute = text.partition(":")
    return time(int(hour), int(minute))


def _days(names: Sequence[str]) -> frozenset[int]:
    for name in names:
        if name.lower() not in {*DAYS, *_NAMES}:
            message = f"{name!r} is not a day: write {', '.join(DAYS)}"
            raise ValueError(message)
    return frozenset(DAYS.index(name.lower()[:3]) for name in names or DAYS)


def _moment(text: str, which: str, zone: tzinfo) -> datetime:
    if _CLOCK.fullmatch(text) or _DATE.fullmatch(text):
        message = (
            f"{which} {text} has no {'date' if ':' in text else 'time of day'}: both are 22:00 or 2026-12-05T22:00"
        )
        raise ValueError(message)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        message = f"{which} {text!r} is no time: write 22:00, or 2026-12-05T22:00 for a window that opens once"
        raise ValueError(message) from None
    if moment.year not in _YEARS:
        message = f"{which} {text} is not between {_YEARS[0]} and {_YEARS[-1]}"
        raise ValueError(message)
    if moment.tzinfo is not None:
        return moment.astimezone(UTC)
    shown = {moment.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
    if len(shown) == 1:
        return shown.pop()
    there = all(one.astimezone(zone).replace(tzinfo=None, fold=0) == moment for one in shown)
    message = f"{which} {text} {'comes twice' if there else 'does not exist'} in {zone}: the clocks change there"
    message += "; add the offset, as in +01:00" if there else ""
    raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Windows:
    """All maintenance windows together: open while one of them is; without any, always open.

    Every *now* is an aware datetime.
    """

    windows: tuple[Window, ...] = ()

    def is_open(self, now: datetime) -> bool:
        """Return whether VMs may start at *now*."""
        return not self.windows or any(one.holds(now) for one in self.windows)

    def opens(self, now: datetime) -> datetime | None:
        """Return when VMs may start: *now* where a window is open, None: never again."""
        return now if self.is_open(now) else self.changes(now)

    def closes(self, now: datetime) -> datetime | None:
        """Return when they no longer may: *now* where no window is open, None: never."""
        return self.changes(now) if self.is_open(now) else now

    def changes(self, now: datetime) -> datetime | None:
        """Return when a window opens or closes next; None: never."""
        was = self.is_open(now)
        return next((moment for moment in self._moments(now) if self.is_open(moment) != was), None)

    def left_s(self, now: datetime) -> float | None:
        """Return how long VMs may still start, in seconds: 0 where no window is open, None: for ever."""
        end = self.closes(now)
        return None if end is None else (end - now).total_seconds()

    def fits(self, now: datetime, seconds: float | None) -> bool:
        """Return whether what takes *seconds* may start at *now*; None, not known, fits while a window is open."""
        left = self.left_s(now)
        return left is None or (left > 0 and (seconds or 0.0) <= left)

    def longest_s(self, now: datetime) -> float | None:
        """Return the longest time that is open at a stretch from *now* on, in seconds; None: without an end.

        What takes longer can never start.
        """
        longest, at, last = 0.0, now, self._last(now)
        while (begin := self.opens(at)) is not None and begin < last:
            end = self.closes(begin)
            if end is None:
                return None
            longest, at = max(longest, (end - begin).total_seconds()), end
        return longest

    def require(self, now: datetime) -> None:
        """Raise UsageError where the last window has passed."""
        if self.windows and self.opens(now) is None:
            last = max((one for one in self.windows if isinstance(one, Once)), key=lambda one: one.end)
            message = f"the last maintenance window has passed: it ended at {time_zone.said(last.end, last.zone)}"
            raise UsageError(message, hint="set start and end of [[window]] to a time to come, or take it out")

    def zone(self) -> tzinfo:
        """Return the time zone that the windows are told in."""
        return self.windows[0].zone if self.windows else UTC

    def _moments(self, now: datetime) -> Iterator[datetime]:
        """Yield, in order, the moments after *now* at which something may change."""
        at, until = now, self._last(now)
        while at < until:
            end = min(at + timedelta(days=1), until)
            found = {moment for one in self.windows for moment in _edges(one, at, end) if at < moment <= end}
            yield from sorted(found)
            at = end

    def _last(self, now: datetime) -> datetime:
        """Return a time from which on nothing comes that did not come before."""
        return max([now, *(one.end for one in self.windows if isinstance(one, Once))]) + _AHEAD


def _edges(one: Window, after: datetime, until: datetime) -> Iterator[datetime]:
    if isinstance(one, Once):
        yield from (one.start, one.end)
    else:
        # Midnight, because the day counts too: a window of Friday alone, 00:00 to 24:00.
        yield from time_zone.moments(one.zone, {one.start, one.end, time(0)}, after, until)
