"""How far a run has come, by the journal: which VMs have moved, which may be on their way, which were not begun."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lrvmotion.errors import UsageError
from lrvmotion.journal.records import Body, MoveBegun, MoveEnded, MoveTask, Record, RunBegun, RunPlan
from lrvmotion.model.inventory import did_you_mean
from lrvmotion.model.migration_state import MigrationState
from lrvmotion.model.vm.vm_metadata import VmMetadata
from lrvmotion.plan.vm_selection import MovedVm


@dataclass(frozen=True, slots=True, kw_only=True)
class UnfinishedMove:
    """A move that was begun and not seen to end: its *task*, None where that was not seen; the VM's *metadata*."""

    task: str | None
    metadata: VmMetadata | None = None


@dataclass(slots=True, kw_only=True)
class Progress:
    """One run: its VMs in their order, how each ended ("success" …), and those that are open; *back*: --reverse.

    *began* is ISO 8601 in UTC.

    *plan* is the document of the run's first plan (plan_file), None where the journal has none; *instance_uuids* are
    those of the VMs that were begun.
    """

    run: str
    began: str = ""
    mode: str = ""
    owner_id: str = ""
    back: bool = False
    vms: list[str] = field(default_factory=list)
    ended: dict[str, str] = field(default_factory=dict)
    open: dict[str, UnfinishedMove] = field(default_factory=dict)
    instance_uuids: dict[str, str] = field(default_factory=dict)
    plan: Mapping[str, Any] | None = None

    @property
    def moved(self) -> list[str]:
        """The VMs that have moved."""
        return [vm for vm in self.vms if self.ended.get(vm) == MigrationState.SUCCESS]

    @property
    def left(self) -> list[str]:
        """The VMs that have not, but for those that are open."""
        return [vm for vm in self.vms if self.ended.get(vm) != MigrationState.SUCCESS and vm not in self.open]

    @property
    def finished(self) -> bool:
        """Whether all have moved."""
        return len(self.moved) == len(self.vms)


def all_runs(records: Sequence[Record]) -> dict[str, Progress]:
    """Return every run that moved VMs, by its id, the oldest first."""
    found: dict[str, Progress] = {}
    for record in records:
        body = record.body
        if isinstance(body, RunBegun) and body.vms:
            run = found.setdefault(record.run, Progress(run=record.run, began=record.at))
            run.mode, run.owner_id, run.back = body.mode, body.owner_id or record.run, body.back
            run.vms += [vm for vm in body.vms if vm not in run.vms]
        elif (run_ := found.get(record.run)) is not None:
            _take(run_, body)
    return found


def moved_by(records: Sequence[Record]) -> list[MovedVm]:
    """Return the VMs that runs moved, the latest run last."""
    return [
        MovedVm(vm=vm, run=run.run, instance_uuid=run.instance_uuids.get(vm, "").lower())
        for run in all_runs(records).values()
        for vm in run.moved
    ]


def chosen(records: Sequence[Record], run: str | None) -> Progress:
    """Return *run*, or the last one without it, by its id or the beginning of it; UsageError where there is none."""
    found = all_runs(records)
    if run is None:
        open_ = [one for one in found.values() if not one.finished]
        if not open_:
            message = "there is no run to resume: every VM of every run has moved" if found else "there is no run"
            raise UsageError(message, hint="'lrvmotion status' lists the runs of this journal")
        return open_[-1]
    fitting = [one for name, one in found.items() if name.startswith(run)] if run else []
    if run in found:
        return found[run]
    if len(fitting) == 1:
        return fitting[0]
    message = f"there is no run {run!r} in this journal" if not fitting else f"several runs begin with {run!r}"
    raise UsageError(
        message, hint=did_you_mean(run, found) if found else "this journal has no run; --state-dir names another"
    )


def _take(run: Progress, body: Body) -> None:
    match body:
        case RunPlan(plan=plan) if run.plan is None:
            run.plan = plan
        case MoveBegun(vm=vm, metadata=metadata, instance_uuid=instance_uuid):
            run.instance_uuids[vm] = instance_uuid
            run.open[vm] = UnfinishedMove(task=None, metadata=metadata)
            run.ended.pop(vm, None)
        case MoveTask(vm=vm, task=task) if vm in run.open:
            run.open[vm] = UnfinishedMove(task=task, metadata=run.open[vm].metadata)
        case MoveEnded(vm=vm, state=state):
            run.ended[vm] = state
            run.open.pop(vm, None)
        case _:
            pass
