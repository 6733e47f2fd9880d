"""Which vCenter or relay host a name meant in each run, by the connections that the journal recorded; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from lrvmotion.journal.records import Connection, Record
from lrvmotion.model.target_id import ConnectionId, TargetId

_SOURCE, _TARGET = ConnectionId("source"), ConnectionId("target")
_OTHER = {_SOURCE: _TARGET, _TARGET: _SOURCE}


def swapped(known: Mapping[ConnectionId, Connection]) -> dict[ConnectionId, Connection]:
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
    door: ConnectionId
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
    """What each connection led to in each of *records*: a run may have swapped the sites.

    *newest* are the places that the newest connections lead to. The records are gone through by `take`.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        self.newest: dict[ConnectionId, Place] = {}
        self._places: list[Place] = []
        self._at: dict[int, Place] = {}  # by the connection record's seq
        for record in records:
            if isinstance(record.body, Connection):
                self._at[record.seq] = self.newest[record.body.name] = self._place(record.run, record.body)
        self._now: dict[ConnectionId, Place] = {}
        self._of: dict[str, dict[ConnectionId, Place]] = {}

    def _place(self, run: str, connection: Connection) -> Place:
        box = connection.name.is_relay
        fitting = [place for place in self._places if place.door.is_relay == box and place.takes(connection)]
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

    def name(self, run: str, target: TargetId) -> TargetId:
        """Return what the newest connections call the *target* of *run*: "RUN:source/…" where none leads to it."""
        door = target.connection
        place = self._of.get(run, {}).get(door) or self._now.get(door) or self.elsewhere(door)
        if place is None:
            return target
        for known in (door.plain, _OTHER.get(door.plain, door.plain)):
            if self.newest.get(known) is place:
                return target.over(known)
        return target.over(place.door.of_run(place.run))

    def elsewhere(self, door: ConnectionId) -> Place | None:
        """Return the place that *name* calls *door*, "RUN:source"."""
        return next((place for place in self._places if place.door.of_run(place.run) == door), None)
