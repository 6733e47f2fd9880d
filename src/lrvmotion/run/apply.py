"""apply(changes) and revert(journal): write-ahead, one setting at a time, compare-and-set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from lrvmotion.errors import LrvmotionError, RefusedError, TrustError, UnreachableError
from lrvmotion.events import Changed, Left, Observer, Waiting
from lrvmotion.journal.changes import Outstanding
from lrvmotion.journal.journal import Journal
from lrvmotion.model.target_id import ConnectionId, TargetId
from lrvmotion.plan.plan import Change
from lrvmotion.ports.target import GoneError, Target
from lrvmotion.run.renamed import renamed


class StoppedError(Exception):
    """What *proceed* and *wait* raise where the user wants no more: an apply or a revert ends between two settings."""


@dataclass(slots=True)
class Restored:
    """What a revert came to: *left* were changed by somebody else or could not be written, with the reason.

    *bug* is the first error of a target that nobody foresaw: its setting is left, the others are reverted all the same.
    """

    done: int = 0
    left: list[tuple[Outstanding, str]] = field(default_factory=list)
    bug: Exception | None = None


def apply(
    changes: Iterable[Change],
    targets: Mapping[TargetId, Target],
    journal: Journal,
    run: str,
    observer: Observer,
    proceed: Callable[[], None] = lambda: None,
) -> int:
    """Write *changes* in their order, each recorded first; return how many. *proceed* may raise before each.

    Raise RefusedError where a setting is no longer what the plan says it was, where somebody else changed one that is
    outstanding, or where it does not read back as written: nothing is overwritten then, and what was applied stays in
    the journal for a revert.
    """
    changes = list(changes)
    held = {(item.target, item.key): item for item in journal.outstanding()}
    for done, change in enumerate(changes, 1):
        proceed()
        target = targets[change.target]
        item = held.get((change.target, change.key))
        now = target.read(change.key)
        if now not in (change.prior, change.planned):
            expected = change.prior.brief()
            message = (
                f"{change.target}: {change.key.words} is {now.brief()}, the plan expected {expected}; left as it is"
            )
            raise RefusedError(message, hint="something changed it since the plan was made: plan again")
        if item is not None and now != change.planned and not item.ours(now):
            ours = item.planned[-1].brief()
            message = f"{change.target}: {change.key.words} is {now.brief()}, {ours} was set; left as it is"
            raise RefusedError(message, hint="somebody else changed it: 'lrvmotion restore-defaults' names it")
        if now == change.planned and item is None:
            # Came about by itself (a unit that loads the redirect); recorded all the same, for the revert.
            journal.intended(run, change)
            journal.applied(run, change.target, change.key)
        else:
            journal.intended(run, change)
            target.write(change.key, change.planned)
            now = target.read(change.key)
            if now != change.planned:
                message = (
                    f"{change.target}: {change.key.words} was set to {change.planned.brief()} and reads {now.brief()}"
                )
                raise RefusedError(message, hint="the host may enforce this setting: look for a host profile")
            journal.applied(run, change.target, change.key)
        observer(
            Changed(
                how="applied", target=change.target, key=change.key, prior=change.prior.brief(),
                value=change.planned.brief(), done=done, total=len(changes),
            )
        )  # fmt: skip
    return len(changes)


def revert(
    journal: Journal,
    targets: Callable[[TargetId], Target],
    observer: Observer,
    *,
    run: str,
    force: bool = False,
    wait: Callable[[Target, list[str]], None] | None = None,
    only: Callable[[Outstanding], bool] = lambda _: True,
    proceed: Callable[[], None] = lambda: None,
) -> Restored:
    """Restore everything outstanding; what somebody else changed is left alone unless *force*.

    A port group of ours that seems renamed is left alone with its vmknic even so.

    What leads hosts to a box goes first, then the newest intention: what was made last depends on what was there. What
    was refused is tried once more after the others, for one of them may have stood in its way.

    *targets* gives a target by its id and may raise UnreachableError. *wait* is called while a relocate runs on a
    target and returns when to look again; without it such a target is left. Lost answers are asked for once more; then
    the target is left, and the rest goes on. *proceed* may raise StoppedError before each, *wait* as well.
    """
    restored = Restored()
    outstanding = journal.outstanding()
    pending = [item for item in reversed(outstanding) if only(item)]
    pending.sort(key=lambda item: not item.key.kind.steers)
    total = len(pending)
    attempt = _Attempt(journal, targets, observer, wait, run, force, outstanding=outstanding)
    left: dict[int, tuple[Outstanding, str]] = {}
    while pending:
        before, attempt.leads = restored.done, attempt.lasting
        again: list[Outstanding] = []
        for item in pending:
            proceed()
            reason, refused = attempt.put_back(item)
            if reason is None:
                left.pop(item.seq, None)
                restored.done += 1
                how: Literal["reverted", "departed"] = "departed" if item.seq in attempt.departed else "reverted"
                observer(
                    Changed(
                        how=how, target=item.target, key=item.key, prior=item.planned[-1].brief(),
                        value=item.prior.brief(), done=restored.done, total=total,
                    )
                )  # fmt: skip
            else:
                left[item.seq] = (item, reason)
                again += [item] if refused else []
        pending = again if restored.done > before else []
    restored.left += left.values()
    restored.bug = attempt.bug
    for item, reason in restored.left:
        observer(Left(target=item.target, key=item.key, reason=reason))
    return restored


@dataclass(slots=True)
class _Attempt:
    """One revert: what did not answer in it is not asked again for each of its settings.

    *gone* says why, by target, or by connection where nobody could log in: a refused login tried once a setting would
    lock the account. *leads* is a way to a relay that could not be restored: the boxes stay as
    they are then, for a box that no longer forwards cuts off the host that still sends through it. *lasting* is one
    that is not tried again either.
    """

    journal: Journal
    targets: Callable[[TargetId], Target]
    observer: Observer
    wait: Callable[[Target, list[str]], None] | None
    run: str
    force: bool
    gone: dict[TargetId | ConnectionId, str] = field(default_factory=dict)
    leads: str | None = None
    lasting: str | None = None
    outstanding: list[Outstanding] = field(default_factory=list)
    bug: Exception | None = None
    departed: set[int] = field(default_factory=set)  # by seq: what left with its VM

    def put_back(self, item: Outstanding) -> tuple[str | None, bool]:
        """Revert *item* and return None, or return why it was left, and whether what refused it may pass."""
        connection = item.target.connection
        refused = False
        reason = self.gone.get(item.target) or self.gone.get(connection)
        if reason is None and item.target.is_relay and self.leads is not None:
            return f"stays while a host may send through it: {self.leads} could not be restored", True
        if reason is None:
            try:
                return self._try(item, connection), False
            except (LrvmotionError, OSError) as error:
                refused = isinstance(error, RefusedError)
                reason = str(error)
            except StoppedError:
                raise
            except Exception as error:  # noqa: BLE001 - the others are reverted all the same; then it is raised
                self.bug = self.bug or error
                reason = f"unexpected: {type(error).__name__}"
        if item.key.kind.steers:
            way = f"{item.target}: {item.key.words}"
            self.leads = self.leads or way
            self.lasting = self.lasting or (None if refused else way)
        return reason, refused

    def _try(self, item: Outstanding, connection: ConnectionId) -> str | None:
        try:
            target = self.targets(item.target)
        except (TrustError, UnreachableError) as error:
            self.gone[connection] = str(error)
            raise
        try:
            return self._write(target, item)
        except UnreachableError:
            pass  # one lost answer; the value is read again before it is written again
        except TrustError as error:
            self.gone[connection] = str(error)
            raise
        try:
            return self._write(target, item)
        except UnreachableError as error:
            self.gone[item.target] = str(error)
            raise

    def _write(self, target: Target, item: Outstanding) -> str | None:
        """Write the prior where the value is ours; return why not where somebody else changed it."""
        _quiet(target, self.observer, self.wait)
        try:
            return self._compare_and_set(target, item)
        except GoneError:
            self.journal.reverted(self.run, item.target, item.key, item.prior, gone=True)
            self.departed.add(item.seq)
            return None

    def _compare_and_set(self, target: Target, item: Outstanding) -> str | None:
        now = target.read(item.key)
        if now not in item.planned and (advice := renamed(item, self.outstanding, target.read)) is not None:
            return advice
        if now != item.prior:
            if not self.force and not item.ours(now):
                return f"is {now.brief()}, expected {item.planned[-1].brief()} or {item.prior.brief()}; left as it is"
            target.write(item.key, item.prior)
            now = target.read(item.key)
            if now != item.prior:
                message = f"was set back to {item.prior.brief()} and reads {now.brief()}"
                raise RefusedError(message)
        self.journal.reverted(self.run, item.target, item.key, item.prior)
        return None


def _quiet(target: Target, observer: Observer, wait: Callable[[Target, list[str]], None] | None) -> None:
    """Return once no relocate runs on *target*; raise UnreachableError where nobody waits."""
    said = False
    while running := target.busy():
        if not said:
            observer(Waiting(subject=target.name, reason=", ".join(running)))
            said = True
        if wait is None:
            message = f"{target.name}: {', '.join(running)}"
            raise UnreachableError(message, hint="run this again when they have ended")
        wait(target, running)
