"""What is known of the attempts to move one VM, and what is told of them."""

from __future__ import annotations

from dataclasses import dataclass

from lrvmotion.events import Move
from lrvmotion.model.migration_state import MigrationState
from lrvmotion.model.vm.vm_metadata import VmMetadata
from lrvmotion.plan.plan import Migration
from lrvmotion.ports.mover import TaskUpdate


@dataclass(slots=True)
class Attempts:
    """What is known of one VM's way; times by the run's clock."""

    attempts: int = 0  # relocates asked for
    vain: int = 0  # starts that a vCenter did not answer before its relocate was asked for
    began: float | None = None
    percent: int = 0
    runs: bool = False  # vCenter has begun the task: it is not in its queue
    metadata: VmMetadata | None = None
    reason: str | None = None
    hint: str | None = None
    look_at: float | None = None  # when to look again where it is: after a task whose end was not seen
    look_until: float = 0.0
    failed: TaskUpdate | None = None  # what the task said; None: it succeeded
    due: float | None = None  # when the next try is

    def told(
        self,
        migration: Migration,
        state: MigrationState,
        *,
        elapsed_s: float,
        reason: str | None,
        hint: str | None,
        wait_s: float,
        queued: bool,
    ) -> Move:
        """Return the event that *migration* is in *state*; the rest is as in events.Move."""
        return Move(
            vm=migration.vm,
            state=state,
            source_host=migration.source_host,
            target_host=migration.placement.host.name,
            percent=self.percent,
            bytes_total=migration.hot_bytes + migration.cold_bytes,
            cold_bytes=migration.cold_bytes,
            elapsed_s=elapsed_s,
            wave=migration.wave,
            attempts=self.attempts,
            wait_s=wait_s,
            queued=queued,
            reason=reason,
            hint=hint,
            instance_uuid=migration.instance_uuid,
            source_ref=str(migration.ref),
        )
