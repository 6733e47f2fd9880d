"""What can end a command: few classes, one exit status each."""

from __future__ import annotations

import re
from enum import IntEnum

# What a terminal obeys, and what turns the order of letters round. Newline and tab are ours to use.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """Return *text* with control characters written out (\\x1b): it may come from a machine that we do not trust."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


class ExitStatus(IntEnum):
    """The documented exit statuses of every command."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    REFUSED = 3
    TRUST = 4
    UNREACHABLE = 5
    SOME_FAILED = 6
    NOT_RESTORED = 7
    LIMIT = 8
    STALE = 9
    PENDING = 10
    INTERRUPTED = 130


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
