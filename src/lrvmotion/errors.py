"""What can end a command: few classes, one exit status each."""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Self

# What a terminal obeys, and what turns the order of letters round. Newline and tab are ours to use.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """Return *text* with control characters written out (\\x1b): it may come from a machine that we do not trust."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


class ExitStatus(IntEnum):
    """The documented exit statuses of every command: the number, what it means, what to do."""

    meaning: str
    remedy: str

    def __new__(cls, status: int, meaning: str = "", remedy: str = "") -> Self:
        """Make the member that equals the number *status*."""
        member = int.__new__(cls, status)
        member._value_ = status
        member.meaning = meaning
        member.remedy = remedy
        return member

    # fmt: off
    OK = 0, "done", "nothing"
    UNEXPECTED = (1, "unexpected error",
        "`lrvmotion status` shows what is outstanding; send what `lrvmotion support` packs to whoever helps")
    USAGE = (2, "usage, configuration, or a name that does not exist",
        "read the hint: it says what is wrong, and often what was meant")
    REFUSED = (3, "a check refused; nothing was changed, or all of it was restored",
        "correct what `lrvmotion check` and `plan` name; `lrvmotion explain CODE` says more of each finding")
    TRUST = (4, "login or trust: password, certificate, host key",
        "correct the password, or compare the fingerprint that is shown and pin it in the configuration")
    UNREACHABLE = (5, "unreachable, or locked by another run: safe to try again",
        "run the command again once the other side answers, or the other run has ended")
    SOME_FAILED = (6, "some VMs failed, were held, cancelled or refused",
        "`lrvmotion report` says why; `lrvmotion migrate --resume` goes on with them")
    NOT_RESTORED = (7, "not fully restored",
        "`lrvmotion status` names what is left; `restore-defaults --force` overwrites what somebody else changed")
    LIMIT = (8, "the last window closed with VMs left: `migrate --resume` goes on",
        "run `lrvmotion migrate --resume` in the next window")
    STALE = (9, "the saved plan is stale: `migrate --plan` names what changed, and changed nothing", "plan again")
    PENDING = (10, "changes are pending (`plan --detailed-exitcode`)", "`lrvmotion migrate` makes them")
    INTERRUPTED = (130, "interrupted",
        "`lrvmotion status` shows what is outstanding; `lrvmotion migrate --resume` goes on with the run")
    # fmt: on


class LrvmotionError(Exception):
    """Something the user can act on: one sentence, a hint, an exit status; never shown with a traceback."""

    status = ExitStatus.UNEXPECTED

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.message = printable(message)
        self.hint = None if hint is None else printable(hint)
        super().__init__(self.message)


class UsageError(LrvmotionError):
    """Wrong arguments or configuration, or a name that does not exist."""

    status = ExitStatus.USAGE


class RefusedError(LrvmotionError):
    """A check refused; nothing was changed, or all of it was restored."""

    status = ExitStatus.REFUSED


class TrustError(LrvmotionError):
    """Login or trust: password, certificate, host key."""

    status = ExitStatus.TRUST


class UnreachableError(LrvmotionError):
    """An outside system does not answer, or another run holds it: safe to try again."""

    status = ExitStatus.UNREACHABLE


class NotRestoredError(LrvmotionError):
    """Some settings could not be restored."""

    status = ExitStatus.NOT_RESTORED


class StaleError(LrvmotionError):
    """A saved plan no longer fits what is there."""

    status = ExitStatus.STALE
