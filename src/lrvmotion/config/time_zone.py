"""Time zones by their names, and when the clock on the wall of one shows a time or jumps."""

from __future__ import annotations

import zoneinfo
from collections.abc import Collection, Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from pathlib import Path

from lrvmotion.model.inventory import did_you_mean

_DAY = timedelta(days=1)
_LOCALTIME = Path("/etc/localtime")


def zone(name: str) -> tzinfo:
    """Return the time zone *name* of the IANA database; ValueError with its near misses where there is none."""
    if name.upper() == "UTC":
        return UTC  # known without the database
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a folder of the database, "Europe"
        known = zoneinfo.available_timezones()
        if not known:
            message = "this machine has no time zones: install the package tzdata, or write UTC"
            raise ValueError(message) from None
        message = f"{name!r} is not a time zone; {did_you_mean(name, known)}"
        raise ValueError(message) from None


def local(localtime: Path = _LOCALTIME) -> str:
    """Return the name of the machine's own time zone, where *localtime* links to one; else "UTC".

    localtime(5) says that the file is a link into zoneinfo; a copy has no name, and without one the zone's rules
    could not be told to anybody.
    """
    try:
        name = str(localtime.resolve(strict=True)).partition("/zoneinfo/")[2]
        zone(name)
    except (OSError, ValueError):
        return "UTC"
    return name.removeprefix("Etc/") if name == "Etc/UTC" else name


def said(moment: datetime, where: tzinfo) -> str:
    """Return *moment* as people in the time zone *where* write it: "2026-11-23 22:00 (Europe/Berlin)"."""
    return f"{moment.astimezone(where):%Y-%m-%d %H:%M} ({where})"


def moments(where: tzinfo, times: Collection[time], after: datetime, until: datetime) -> Iterator[datetime]:
    """Yield the moments after *after* and up to *until* when a clock in *where* shows one of *times*, or jumps.

    In order, in UTC. A time that a jump leaves out has no moment of its own; one that comes twice has two.
    """
    begin, until = after.astimezone(UTC), until.astimezone(UTC)
    while begin < until:
        end = min(begin + _DAY, until)
        found = {jump} if (jump := _jump(where, begin, end)) is not None else set()
        middle = begin.astimezone(where).date()
        for day in (middle - _DAY, middle, middle + _DAY):
            for clock in times:
                found.update(_shown(where, day, clock))
        yield from sorted(moment for moment in found if begin < moment <= end)
        begin = end


def _shown(where: tzinfo, day: date, clock: time) -> Iterator[datetime]:
    """Yield when a clock in *where* shows *clock* on *day*: once, twice or never."""
    wall = datetime.combine(day, clock)
    for fold in (0, 1):
        moment = wall.replace(tzinfo=where, fold=fold).astimezone(UTC)
        if moment.astimezone(where).replace(tzinfo=None, fold=0) == wall:
            yield moment


def _jump(where: tzinfo, begin: datetime, end: datetime) -> datetime | None:
    """Return when the clock of *where* jumps between *begin* and *end*, a day apart at most: to the second."""
    low, high = int(begin.timestamp()), int(end.timestamp())
    before = _offset(where, low)
    if _offset(where, high) == before:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(where, middle) == before:
            low = middle
        else:
            high = middle
    return datetime.fromtimestamp(high, UTC)


def _offset(where: tzinfo, seconds: int) -> timedelta | None:
    return datetime.fromtimestamp(seconds, where).utcoffset()
