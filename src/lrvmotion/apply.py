"""apply(changes) and revert(journal): write-ahead, one setting at a time, compare-and-set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from lrvmotion.errors import LrvmotionError, RefusedError, UnreachableError
from lrvmotion.events import Changed, Left, Observer, Waiting
from lrvmotion.journal import Journal, Outstanding
from lrvmotion.plan import Change, Value


class Target(Protocol):
    """A host or box whose settings can be read and written, each by one atomic call."""

    @property
    def name(self) -> str:
        """The target's id: "source/HOST", "target/HOST", "box/NAME"."""

    def read(self, key: str) -> Value:
        """Return the setting's value now, ABSENT where it does not exist."""

    def write(self, key: str, value: Value) -> None:
        """Set it; ABSENT removes it. Writing what is already there is harmless."""

    def busy(self) -> list[str]:
        """Return what forbids a write now: one phrase for each relocate that runs there."""


@dataclass(slots=True)
class Restored:
    """What a revert came to: *left* were changed by somebody else or could not be written, with the reason."""

    done: int = 0
    left: list[tuple[Outstanding, str]] = field(default_factory=list)


def apply(
    changes: Iterable[Change],
    targets: Mapping[str, Target],
    journal: Journal,
    run: str,
    observer: Observer,
) -> int:
    """Write *changes* in their order, each recorded first; return how many.

    Raise RefusedError where a setting is no longer what the plan says it was, or does not read back as written: nothing
    is overwritten then, and what was applied stays in the journal for a revert.
    """
    changes = list(changes)
    for done, change in enumerate(changes, 1):
        target = targets[change.target]
        now = target.read(change.key)
        if now not in (change.prior, change.planned):
            expected = change.prior.brief()
            message = f"{change.target}: {change.key} is {now.brief()}, the plan expected {expected}; left as it is"
            raise RefusedError(message, hint="something changed it since the plan was made: plan again")
        if now == change.planned and not _ours(journal, change):
            # Came about by itself (a unit that loads the redirect); recorded all the same, for the revert.
            journal.intended(run, change)
            journal.applied(run, change.target, change.key)
        else:
            journal.intended(run, change)
            target.write(change.key, change.planned)
            now = target.read(change.key)
            if now != change.planned:
                message = f"{change.target}: {change.key} was set to {change.planned.brief()} and reads {now.brief()}"
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
    targets: Callable[[str], Target],
    observer: Observer,
    *,
    run: str,
    force: bool = False,
    wait: Callable[[Target, list[str]], None] | None = None,
    only: Callable[[Outstanding], bool] = lambda _: True,
) -> Restored:
    """Put back everything outstanding, newest first; what somebody else changed is left alone unless *force*.

    *targets* gives a target by its id and may raise UnreachableError. *wait* is called while a relocate runs on a
    target and returns when to look again; without it such a target is left.
    """
    restored = Restored()
    pending = [item for item in reversed(journal.outstanding()) if only(item)]
    for done, item in enumerate(pending, 1):
        try:
            target = targets(item.target)
            _quiet(target, observer, wait)
            reason = _put_back(journal, target, item, run=run, force=force)
        except (LrvmotionError, OSError) as error:
            reason = str(error)
        if reason is None:
            restored.done += 1
            observer(
                Changed(
                    how="reverted", target=item.target, key=item.key, prior=item.planned[-1].brief(),
                    value=item.prior.brief(), done=done, total=len(pending),
                )
            )  # fmt: skip
        else:
            restored.left.append((item, reason))
            observer(Left(target=item.target, key=item.key, reason=reason))
    return restored


def _put_back(journal: Journal, target: Target, item: Outstanding, *, run: str, force: bool) -> str | None:
    """Revert *item* and return None, or return why it was left alone."""
    now = target.read(item.key)
    if now != item.prior:
        if now not in item.planned and not force:
            return f"is {now.brief()}, expected {item.planned[-1].brief()} or {item.prior.brief()}; left as it is"
        target.write(item.key, item.prior)
        now = target.read(item.key)
        if now != item.prior:
            return f"was set back to {item.prior.brief()} and reads {now.brief()}"
    journal.reverted(run, item.target, item.key, item.prior)
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


def _ours(journal: Journal, change: Change) -> bool:
    return any(item.target == change.target and item.key == change.key for item in journal.outstanding())
