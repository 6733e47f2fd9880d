"""Which vCenter or relay host a name meant in each run, by the connections that the journal recorded; pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from lrvmotion.journal.records import Connection, Record

_DOOR = re.compile(r"([a-z0-9]+:)?(source|target|box/[^/]+)(?=/|$)")
_OTHER = {"source": "target", "target": "source"}


def split(target: str) -> tuple[str, str]:
    """Return the connection that leads to *target*, and the rest: "source", "/esx1"; a relay host is its own."""
    found = _DOOR.match(target)
    return (found[0], target[found.end() :]) if found else (target, "")


def swapped(known: Mapping[str, Connection]) -> dict[str, Connection]:
    """Return the connections with both sites swapped; *secret* says under which name a password is kept."""
    return {**known, **{name: replace(known[other], name=name, secret=other) for name, other in _OTHER.items()}}


def same_place(one: Connection, other: Connection) -> bool:
    """Return whether two connections lead to one vCenter, or to one relay host.

    A vCenter is told by its instance UUID; where a record has none (an older version made it), and for a relay host, by
    address and port, or by the certificate or host key.
    """
    if one.instance_uuid and other.instance_uuid:
        return one.instance_uuid == other.instance_uuid
    if (one.host, one.port) == (other.host, other.port):
        return True
    pins = ((one.pem, other.pem), (one.host_key, other.host_key))
    return any(mine and mine == theirs for mine, theirs in pins)


@dataclass(slots=True)
class Place:
    """One vCenter or relay host: the connections recorded to it, the newest last, by the *run* that did so first."""

    run: str
    door: str
    seen: list[Connection] = field(default_factory=list)

    @property
    def newest(self) -> Connection:
        """The newest connection to it."""
        return self.seen[-1]

    def takes(self, connection: Connection) -> bool:
        """Return whether *connection* leads here: a UUID that is known decides."""
        known = [one for one in self.seen if one.instance_uuid]
        return any(same_place(one, connection) for one in (known if known and connection.instance_uuid else self.seen))


class Places:
    """What "source", "target" and "box/NAME" meant in each of *records*: a run may have swapped the sites.

    *newest* are the places that the newest connections lead to, by name. The records are gone through by `take`.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        self.newest: dict[str, Place] = {}
        self._places: list[Place] = []
        self._at: dict[int, Place] = {}  # by the connection record's seq
        for record in records:
            if isinstance(record.body, Connection):
                self._at[record.seq] = self.newest[record.body.name] = self._place(record.run, record.body)
        self._now: dict[str, Place] = {}
        self._of: dict[str, dict[str, Place]] = {}

    def _place(self, run: str, connection: Connection) -> Place:
        box = connection.name.startswith("box/")
        fitting = [p for p in self._places if p.door.startswith("box/") == box and p.takes(connection)]
        place = fitting[-1] if fitting else Place(run, connection.name)
        if not fitting:
            self._places.append(place)
        place.seen.append(connection)
        return place

    def take(self, record: Record) -> None:
        """Go on to *record*."""
        if isinstance(record.body, Connection):
            door = record.body.name
            self._now[door] = self._of.setdefault(record.run, {})[door] = self._at[record.seq]

    def name(self, run: str, target: str) -> str:
        """Return what the newest connections call the *target* of *run*: "RUN:source/…" where none leads to it."""
        door, rest = split(target)
        place = self._of.get(run, {}).get(door) or self._now.get(door) or self.elsewhere(door)
        if place is None:
            return target
        plain = door.rpartition(":")[2]
        for known in (plain, _OTHER.get(plain, "")):
            if self.newest.get(known) is place:
                return known + rest
        return f"{place.run}:{place.door}{rest}"

    def elsewhere(self, door: str) -> Place | None:
        """Return the place that *name* calls *door*, "RUN:source"."""
        return next((place for place in self._places if f"{place.run}:{place.door}" == door), None)
