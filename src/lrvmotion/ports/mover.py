"""Whoever can relocate VMs, as the queue sees it: the Mover protocol and what it tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from lrvmotion.errors import RefusedError
from lrvmotion.events import Carried
from lrvmotion.findings import Finding
from lrvmotion.journal.records import MetadataWrite
from lrvmotion.model.vm.vm_metadata import VmMetadata
from lrvmotion.plan.plan import Migration

Location = Literal["source", "target", "both", "neither"]
RecordWrite = Callable[[MetadataWrite], None]  # returns once it is on the disk, or raises LrvmotionError


class TransientError(RefusedError):
    """A relocate was refused for a reason that passes: it may be tried again later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskUpdate:
    """News of one VM's relocate task. *fault* is the fault's class name; *percent* never falls.

    *passing*: the same move may work later. *question* is what the VM waits to be answered, "" once it was; with one,
    the update says nothing of the task.
    """

    vm: str
    state: Literal["queued", "running", "success", "error"]
    percent: int = 0
    reason: str | None = None
    hint: str | None = None
    fault: str | None = None
    cancelled: bool = False
    passing: bool = False
    question: str | None = None


class Mover(Protocol):
    """Whoever can relocate VMs: a pair of vCenters."""

    def recheck(self, migration: Migration) -> list[str]:
        """Return why the VM must be held: it or its hosts are no longer as planned; raises LrvmotionError."""

    def locate(self, migration: Migration) -> Location:
        """Return where the VM is now, by its instance UUID, by asking both; raises LrvmotionError."""

    def unfinished(self, migration: Migration) -> str | None:
        """Return the id of a relocate task of the VM that has not ended, None where there is none."""

    def record(self, migration: Migration) -> VmMetadata:
        """Return what does not follow the VM by itself, and how it is; raises LrvmotionError."""

    def start(self, migration: Migration) -> str:
        """Start the relocate and return the task's id.

        Raise PassingError where it is refused for a passing reason, UnreachableError where it is not known whether it
        began, and LrvmotionError where it is refused for good.
        """

    def follow(self, migration: Migration, task: str) -> None:
        """Tell the updates of a *task* that an earlier process started."""

    def updates(self, timeout_s: float) -> list[TaskUpdate]:
        """Wait up to *timeout_s* for news of any started task."""

    def cancel(self, vm: str) -> None:
        """Ask for the VM's task to be cancelled; harmless where it no longer can be."""

    def carry(self, migration: Migration, metadata: VmMetadata | None, record: RecordWrite) -> list[Carried]:
        """Give the moved VM its *metadata*, telling *record* of each write before it is made; return what came of it.

        None: what it had is not known, and nothing is given.
        """

    def leftovers(self, migration: Migration) -> list[Finding]:
        """Return what a failed move of the VM, which is at the source, has left at the target; LrvmotionError.

        Nothing of it is removed.
        """

    def verify(self, migration: Migration, before: VmMetadata | None) -> list[Finding]:
        """Return what is wrong with the VM after its move: it must be at the target, once, and as it was *before*."""
