"""What became of the outstanding settings since: as before by themselves, still ours, or changed by somebody else."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from lrvmotion.errors import LrvmotionError, UnreachableError
from lrvmotion.journal.chain import chained
from lrvmotion.journal.changes import Outstanding
from lrvmotion.journal.journal import Journal
from lrvmotion.journal.records import Record, Reverted
from lrvmotion.model.setting import SettingKey, Value
from lrvmotion.model.target_id import TargetId
from lrvmotion.plan.plan import Change, Theirs
from lrvmotion.ports.target import GoneError
from lrvmotion.run.renamed import renamed

Read = Callable[[TargetId, SettingKey], Value]  # a setting's value now, by target and key; may raise LrvmotionError


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """*back* read as before we changed them: nothing is left to restore. *theirs* is what somebody else changed.

    *gone* are those of VMs that have left their vCenter: nothing is left of them either.
    """

    back: tuple[Outstanding, ...] = ()
    gone: tuple[Outstanding, ...] = ()
    theirs: tuple[Theirs, ...] = ()


def look(items: Iterable[Outstanding], read: Read) -> Seen:
    """Return what became of *items*. A lost answer is asked for again.

    A target that does not answer is left out: it is named where it is needed. A port group that seems renamed is not
    as before, however gone by its name.
    """
    back: list[Outstanding] = []
    departed: list[Outstanding] = []
    theirs: list[Theirs] = []
    items, ask = list(items), partial(_asked, read)
    away: set[TargetId] = set()
    for item in items:
        if item.target in away:
            continue
        try:
            now = ask(item.target, item.key)
            gone = now not in item.planned and renamed(item, items, partial(ask, item.target)) is not None
        except GoneError:
            departed.append(item)
            continue
        except LrvmotionError:
            away.add(item.target)
            continue
        if now == item.prior and not gone:
            back.append(item)
        elif gone or not item.ours(now):
            theirs.append(
                Theirs(target=item.target, key=item.key, prior=item.prior, ours=item.planned[-1], now=now, run=item.run)
            )
    return Seen(back=tuple(back), gone=tuple(departed), theirs=tuple(theirs))


def _asked(read: Read, target: TargetId, key: SettingKey) -> Value:
    try:
        return read(target, key)
    except UnreachableError:
        return read(target, key)


def close(journal: Journal, seen: Seen, run: str) -> None:
    """Record by *run* that what is as before is restored, before anything is planned or made on top of it.

    A restore that died between a write and its record leaves such a setting, so does one whose disk was full, and
    somebody who restored it by hand.
    """
    for item in seen.back:
        journal.reverted(run, item.target, item.key, item.prior)
    for item in seen.gone:
        journal.reverted(run, item.target, item.key, item.prior, gone=True)


def closed(records: Sequence[Record], seen: Seen) -> list[Record]:
    """Return *records* as *close* would leave them; nothing is written."""
    found = list(records)
    for item in (*seen.back, *seen.gone):
        body = Reverted(target=item.target, key=item.key, value=item.prior)
        found.append(chained(found[-1], at=found[-1].at, run=found[-1].run, body=body))
    return found


def drifted(
    items: Iterable[Outstanding], targets: Collection[TargetId], theirs: Iterable[Theirs], read: Read
) -> list[str]:
    """Return which *items* of *targets* are not as we left them; what was *theirs* when it was planned may stay so."""
    known = {(one.target, one.key): one.now for one in theirs}
    reasons = []
    for item in items:
        if item.target in targets:
            now = read(item.target, item.key)
            if not item.stands(now) and now != known.get((item.target, item.key)):
                reasons.append(f"{item.target}: {item.key.words} is {now.brief()}, {item.planned[-1].brief()} was set")
    return reasons


def forgotten(
    items: Iterable[Outstanding], target: TargetId, read: Callable[[SettingKey], Value]
) -> tuple[Change, ...]:
    """Return what sets again the settings of the relay host *target* that it forgot as it was rebooted.

    What reads neither as before nor as it was set is somebody else's, and left alone.
    """
    return tuple(
        Change(
            target=target, key=item.key, prior=item.prior, planned=item.planned[-1],
            reason="the relay host was rebooted",
        )
        for item in items
        if item.target == target and item.key.kind.kernel_only
        if (now := read(item.key)) == item.prior and now != item.planned[-1]
    )  # fmt: skip
