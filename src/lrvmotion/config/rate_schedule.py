"""A rate that depends on the time of day: "08:00 500M, 19:00 off"."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo

from lrvmotion.config import time_zone

_RATE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([kMG]?)(?:bit/s|bps)?", re.IGNORECASE)
_UNITS = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}
_ENTRY = re.compile(r"(\S+)(?:\s+(.*))?")
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
LEAST_CAP_BPS = 100_000  # what a relay takes
_AHEAD = timedelta(days=2)  # every time of day comes within two days, on those too when the clocks jump


def rate(text: object) -> int:
    """Return bit/s of "2G", "500M", "800k" or a plain number; ValueError for anything else."""
    matched = _RATE.fullmatch(str(text).strip())
    if matched is None or isinstance(text, bool):
        message = f"{text!r} is not a rate: write for example 500M or 2G (bit/s)"
        raise ValueError(message)
    bits = round(float(matched[1]) * _UNITS[matched[2].lower()])
    if bits <= 0:
        message = "a rate must be above 0"
        raise ValueError(message)
    return bits


def least_cap(bps: int) -> int:
    """Return *bps*, bit/s; ValueError where so low a cap would only stop what moves."""
    if bps < LEAST_CAP_BPS:
        message = f"a cap of {bps} bit/s is too low to move anything: the minimum is {_written(LEAST_CAP_BPS)}"
        raise ValueError(message)
    return bps


@dataclass(frozen=True, slots=True)
class Timetable:
    """What holds from each time of day on until the next one, around the clock: bit/s, None: no cap.

    The clock is the wall's in *zone*: on a day when it jumps, what holds is what it shows.
    """

    entries: tuple[tuple[time, int | None], ...]
    zone: tzinfo = UTC

    def cap(self, now: datetime) -> int | None:
        """Return the cap at *now*, an aware datetime."""
        clock = now.astimezone(self.zone).time()
        begun = [bps for start, bps in self.entries if start <= clock]
        return begun[-1] if begun else self.entries[-1][1]

    def changes(self, now: datetime) -> datetime | None:
        """Return when the cap is another one next; None: never."""
        cap, starts = self.cap(now), {start for start, _ in self.entries}
        moments = time_zone.moments(self.zone, starts, now, now + _AHEAD)
        return next((moment for moment in moments if self.cap(moment) != cap), None)

    @property
    def lowest(self) -> int | None:
        """The lowest cap of the day."""
        return min((bps for _, bps in self.entries if bps is not None), default=None)

    def __str__(self) -> str:
        return ", ".join(f"{start:%H:%M} {_written(bps)}" for start, bps in self.entries)


def parse(text: str) -> tuple[tuple[time, int | None], ...]:
    """Return the entries of "08:00 500M, 19:00 off", by their times; ValueError, one sentence, where it is none."""
    found: dict[time, int | None] = {}
    for part in text.split(","):
        matched = _ENTRY.fullmatch(part.strip())
        if matched is None:
            message = f"{text!r} has an empty entry: write for example 08:00 500M, 19:00 off"
            raise ValueError(message)
        clock = _CLOCK.fullmatch(matched[1])
        if clock is None:
            message = f"{part.strip()!r} does not begin with a time of day: write for example 08:00 500M"
            raise ValueError(message)
        start = time(int(clock[1]), int(clock[2]))
        if not matched[2]:
            message = f"{matched[1]} has no rate: write for example {matched[1]} 500M, or {matched[1]} off"
            raise ValueError(message)
        if start in found:
            message = f"{start:%H:%M} is there twice: from one time on only one rate can hold"
            raise ValueError(message)
        found[start] = None if matched[2].lower() == "off" else least_cap(rate(matched[2]))
    if len(found) == 1:
        message = f"{text!r} does not say until when: write a second time, or the rate alone for the whole day"
        raise ValueError(message)
    return tuple(sorted(found.items()))


def _written(bps: int | None) -> str:
    if bps is None:
        return "off"
    size, unit = next(((s, u) for s, u in ((10**9, "G"), (10**6, "M"), (10**3, "k")) if bps >= s), (1, ""))
    return f"{bps / size:g}{unit}"
