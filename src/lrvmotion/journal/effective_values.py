"""Which settings are in force: when they were changed, as the journal says, against when the host was started."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from lrvmotion.journal.journal import Record, outstanding
from lrvmotion.plan.plan import Change, Value

Booted = Callable[[str], datetime | None]  # when a host was started last, None where that is not known


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingReboot:
    """A setting that was restored on *host* but has its former value in force until the next reboot."""

    host: str
    key: str
    value: Value
    since: str  # ISO 8601, when it was restored


def put_back(records: Iterable[Record]) -> list[tuple[PendingReboot, str]]:
    """Return the settings that were restored and take effect at a reboot, and when each was changed first."""
    open_: dict[tuple[str, str], str] = {}
    done: dict[tuple[str, str], tuple[PendingReboot, str]] = {}
    for record in records:
        body = record.body
        where = (body.get("target", ""), body.get("key", ""))
        if record.kind == "intended" and body.get("reboot"):
            open_.setdefault(where, record.at)
            done.pop(where, None)
        elif record.kind == "reverted" and where in open_:
            value = Value.from_json(body["value"])
            done[where] = (PendingReboot(host=where[0], key=where[1], value=value, since=record.at), open_.pop(where))
    return list(done.values())


def stale(records: Iterable[Record], booted: Booted) -> list[PendingReboot]:
    """Return what was restored and is not in force yet: its host was started between the change and its revert."""
    found = []
    for item, changed in put_back(records):
        at = booted(item.host)
        if at is not None and datetime.fromisoformat(changed) < at < datetime.fromisoformat(item.since):
            found.append(item)
    return found


def waiting(records: Collection[Record], booted: Booted, hosts: Collection[str]) -> list[Change]:
    """Return the outstanding changes on *hosts* that need a reboot and have had none since they were made."""
    last = {
        (record.body["target"], record.body["key"]): record
        for record in records
        if record.kind == "intended" and record.body.get("reboot")
    }
    found = []
    for item in outstanding(list(records)):
        record = last.get((item.target, item.key))
        if record is None or item.target not in hosts:
            continue
        at = booted(item.target)
        if at is not None and at < datetime.fromisoformat(record.at):
            planned, reason = item.planned[-1], str(record.body.get("reason", ""))
            found.append(
                Change(target=item.target, key=item.key, prior=item.prior, planned=planned, reason=reason, reboot=True)
            )
    return found
