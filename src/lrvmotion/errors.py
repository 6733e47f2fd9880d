"""What can end a command: few classes, one exit status each."""

from __future__ import annotations

from enum import IntEnum


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
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(LrvmotionError):
    """Wrong arguments or configuration, or a name that does not exist."""

    status = ExitStatus.USAGE


class RefusedError(LrvmotionError):
    """A check refused; nothing was changed, or all of it was put back."""

    status = ExitStatus.REFUSED


class TrustError(LrvmotionError):
    """Login or trust: password, certificate, host key."""

    status = ExitStatus.TRUST


class UnreachableError(LrvmotionError):
    """An outside system does not answer, or another run holds it: safe to try again."""

    status = ExitStatus.UNREACHABLE


class NotRestoredError(LrvmotionError):
    """Some settings could not be put back."""

    status = ExitStatus.NOT_RESTORED


class StaleError(LrvmotionError):
    """A saved plan no longer fits what is there."""

    status = ExitStatus.STALE
