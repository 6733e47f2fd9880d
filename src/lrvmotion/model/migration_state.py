"""The states of a VM's migration."""

from __future__ import annotations

from enum import StrEnum


class MigrationState(StrEnum):
    """From the queue to one of four ends. HELD: its relocate was not asked for; WAITING: for a further attempt.

    Names as TaskInfo.state has them (queued, running, success, error), where it has them.
    """

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCESS = "success"
    ERROR = "error"
    CANCELLED = "cancelled"
    HELD = "held"

    @property
    def is_final(self) -> bool:
        """Whether the migration has ended."""
        return self in _FINAL

    @property
    def is_bad(self) -> bool:
        """Whether it ended without the VM at the target."""
        return self in _FINAL and self is not MigrationState.SUCCESS


_FINAL = frozenset({MigrationState.SUCCESS, MigrationState.ERROR, MigrationState.CANCELLED, MigrationState.HELD})
