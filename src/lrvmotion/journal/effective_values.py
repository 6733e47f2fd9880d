"""Which settings are in force: when they were changed, as the journal says, against when the host was started."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from lrvmotion.journal.changes import Outstanding, history, outstanding
from lrvmotion.journal.records import Record
from lrvmotion.model.setting import SettingKey, Value
from lrvmotion.model.target_id import TargetId
from lrvmotion.plan.plan import Change

Booted = Callable[[TargetId], datetime | None]  # when a host was started last, None where that is not known


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingReboot:
    """A setting that was restored on *host* but has its former value in force until the next reboot."""

    host: TargetId
    key: SettingKey
    value: Value
    since: str  # ISO 8601, when it was restored


def put_back(records: Sequence[Record]) -> list[tuple[PendingReboot, str]]:
    """Return the settings that were restored and take effect at a reboot, and when each was changed first."""
    last = {(one.target, one.key): one for one in history(records)}
    found = []
    for one in last.values():
        changed = next((intention.at for intention in one.intentions if intention.reboot), None)
        if one.reverted is not None and changed is not None:
            item = PendingReboot(host=one.target, key=one.key, value=one.reverted.value, since=one.reverted.at)
            found.append((item, changed))
    return found


def stale(records: Sequence[Record], booted: Booted) -> list[PendingReboot]:
    """Return what was restored and is not in force yet: its host was started between the change and its revert."""
    found = []
    for item, changed in put_back(records):
        at = booted(item.host)
        if at is not None and datetime.fromisoformat(changed) < at < datetime.fromisoformat(item.since):
            found.append(item)
    return found


def pending(records: Sequence[Record]) -> list[Outstanding]:
    """Return the outstanding changes that take effect at a reboot, whether or not their hosts have had one since."""
    return [item for item in outstanding(records) if item.reboot]


def waiting(records: Sequence[Record], booted: Booted, hosts: Collection[TargetId]) -> list[Change]:
    """Return the outstanding changes on *hosts* that need a reboot and have had none since they were made."""
    found = []
    for item in pending(records):
        at = booted(item.target) if item.target in hosts else None
        if at is not None and at < datetime.fromisoformat(item.at):
            found.append(
                Change(
                    target=item.target, key=item.key, prior=item.prior, planned=item.planned[-1], reason=item.reason,
                    reboot=True,
                )
            )  # fmt: skip
    return found
