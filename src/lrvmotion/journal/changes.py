"""Every setting that was changed, from its first intention until it was reverted: what is outstanding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lrvmotion.journal.places import Places
from lrvmotion.journal.records import Applied, Connection, Intended, Record, Reverted, RunBegun, Throttled, of
from lrvmotion.model.setting import SettingKey, Value
from lrvmotion.model.target_id import ConnectionId, TargetId


@dataclass(frozen=True, slots=True, kw_only=True)
class Intention:
    """One write, as *run* recorded it before it was made; *target* is as that run called it."""

    seq: int
    at: str
    run: str
    target: TargetId
    prior: Value
    planned: Value
    reason: str
    reboot: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Reversion:
    """The record by which *run* restored a setting; *gone*: its VM had left, and nothing was written."""

    seq: int
    at: str
    run: str
    value: Value
    gone: bool = False


@dataclass(slots=True, kw_only=True)
class ChangedSetting:
    """A setting from the first intention to change it until it was *reverted*, None: it is outstanding.

    *target* is as the newest connections call it (`connections`); *intentions* are the oldest first. *applied*: the
    newest was read back; without it, it may never have been there.
    """

    target: TargetId
    key: SettingKey
    intentions: list[Intention] = field(default_factory=list)
    applied: bool = False
    reverted: Reversion | None = None

    @property
    def first(self) -> Intention:
        """The one that knew what was there before."""
        return self.intentions[0]

    @property
    def newest(self) -> Intention:
        """The last one."""
        return self.intentions[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outstanding:
    """A setting that we changed, or may have, and have not restored: *prior* is the first one recorded.

    *planned* lists every value that we may have written since, the newest last: after a crash between two changes of
    one setting any of them may be there. *applied*: the newest was read back; without it, it may never have been there.
    *run*, *seq*, *at* and *reason* are those of the newest intention: what was made last depends on what was there, and
    goes first. *target* is as the newest connections call it (`connections`).
    """

    target: TargetId
    key: SettingKey
    prior: Value
    planned: tuple[Value, ...]
    run: str
    seq: int
    at: str = ""
    reason: str = ""
    reboot: bool = False
    applied: bool = False

    def stands(self, now: Value) -> bool:
        """Return whether *now* is as we left the setting; a death before the write leaves what was there before it."""
        return now == self.planned[-1] or (not self.applied and now in (self.prior, *self.planned))

    def ours(self, now: Value) -> bool:
        """Return whether *now* is ours, or what was there before: nobody else's. A service that stopped is ours too."""
        if now == self.prior or self.stands(now):
            return True
        return any(_stopped(now, planned) for planned in (self.planned[-1:] if self.applied else self.planned))


def history(records: Sequence[Record]) -> list[ChangedSetting]:
    """Return every setting that was changed, once for each time until it was reverted, by the first intention."""
    found: list[ChangedSetting] = []
    open_: dict[tuple[TargetId, SettingKey], ChangedSetting] = {}
    places = Places(records)
    for record in records:
        places.take(record)
        match record.body:
            case Intended(target=target, key=key) as body:
                where = (places.name(record.run, target), key)
                if where not in open_:
                    open_[where] = ChangedSetting(target=where[0], key=key)
                    found.append(open_[where])
                open_[where].applied = False
                open_[where].intentions.append(
                    Intention(
                        seq=record.seq, at=record.at, run=record.run, target=target, prior=body.prior,
                        planned=body.planned, reason=body.reason, reboot=body.reboot,
                    )
                )  # fmt: skip
            case Applied(target=target, key=key) if one := open_.get((places.name(record.run, target), key)):
                one.applied = True
            case Reverted(target=target, key=key, value=value, gone=gone):
                if one := open_.pop((places.name(record.run, target), key), None):
                    one.reverted = Reversion(seq=record.seq, at=record.at, run=record.run, value=value, gone=gone)
            case _:
                pass
    return found


def outstanding(records: Sequence[Record]) -> list[Outstanding]:
    """Return what remains changed, in the order of the newest intentions: intended and not reverted since."""
    found = [_outstanding(one) for one in history(records) if one.reverted is None]
    return sorted(found, key=lambda item: item.seq)


def _outstanding(one: ChangedSetting) -> Outstanding:
    newest = one.newest
    return Outstanding(
        target=one.target, key=one.key, prior=one.first.prior,
        planned=tuple(intention.planned for intention in one.intentions), run=newest.run, seq=newest.seq, at=newest.at,
        reason=newest.reason, reboot=newest.reboot, applied=one.applied,
    )  # fmt: skip


def owner_id(records: Sequence[Record]) -> str | None:
    """Return the id that what we created carries, as long as any of it is outstanding; None where nothing is.

    It is that of the run that found nothing outstanding and began to change: later runs go on under it.
    """
    first, until = "", 0.0  # the seq by which all that was changed so far was reverted
    for one in history(records):
        if one.first.seq > until:
            first = one.first.run
        until = max(until, float("inf") if one.reverted is None else one.reverted.seq)
    return _owner_ids(records).get(first, first) if until == float("inf") else None


def runs(records: Sequence[Record]) -> set[str]:
    """Return the ids of all runs that this journal knows, and those that what they made carries."""
    return {record.run for record in records} | set(_owner_ids(records).values())


def _owner_ids(records: Sequence[Record]) -> dict[str, str]:
    """Return the owner id of every run that recorded one: that of a saved plan is not the run's own."""
    return {record.run: body.owner_id for record, body in of(RunBegun, records) if body.owner_id}


def connections(records: Sequence[Record]) -> dict[ConnectionId, Connection]:
    """Return the newest connection recorded for every site and relay host: addresses, pins, host keys; never a secret.

    A vCenter or relay host that has outstanding settings, and that none of them leads to, is there as well, under the
    run that recorded it.
    """
    places = Places(records)
    found = {door: place.newest for door, place in places.newest.items()}
    for item in outstanding(records):
        door = item.target.connection
        if door not in found and (place := places.elsewhere(door)) is not None:
            found[door] = place.newest
    return found


def throttled(records: Sequence[Record], owner_id: str) -> dict[TargetId, int | None]:
    """Return the cap, bit/s, None: none, that was last set by hand at each relay of *owner_id*.

    *records* are those of journal.THROTTLE.
    """
    return {body.target: body.planned for record, body in of(Throttled, records) if record.run == owner_id}


def _stopped(now: Value, planned: Value) -> bool:
    """Return whether *now* is what was *planned*, but for a service that has stopped since, or what remains of one."""
    if now.type != "document" or planned.type != "document":
        return False
    there, wanted = now.as_document(), planned.as_document()
    if "active" not in wanted:
        return False
    return set(there) == {"remains"} or {**there, "active": None} == {**wanted, "active": None}
