"""Events to a Report, and a Report to the exit status."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from lrvmotion.errors import ExitStatus
from lrvmotion.events import Changed, Event, Interrupted, Left, Move, RelaySample, RunEnded, RunStarted
from lrvmotion.model.migration_state import MigrationState


@dataclass(slots=True)
class Report:
    """What a run came to: the last word on each VM, and what was changed, restored and left."""

    run: str = ""
    mode: str = ""
    moves: dict[str, Move] = field(default_factory=dict)
    applied: int = 0
    reverted: int = 0
    left: list[Left] = field(default_factory=list)
    relays: dict[str, RelaySample] = field(default_factory=dict)
    outstanding: int = 0
    restore: str | None = None
    interrupted: int = 0
    vms: dict[str, None] = field(default_factory=dict)  # of all sittings, in their order
    resume: str | None = None
    refused: tuple[str, ...] = ()  # left out by --skip-refused

    def take(self, event: Event) -> None:
        """Fold *event* in."""
        match event:
            case RunStarted(run=run, mode=mode, vms=vms, refused=refused):
                self.run, self.mode = run, mode
                self.refused = refused or self.refused
                self.vms.update(dict.fromkeys(vms))
            case Move(vm=vm):
                self.moves[vm] = event
            case Changed(how="applied"):
                self.applied += 1
            case Changed():
                self.reverted += 1
            case Left():
                self.left.append(event)
            case RelaySample(relay=relay):
                self.relays[relay] = event
            case RunEnded(outstanding=outstanding, restore=restore, left=left, resume=resume):
                self.vms.update(dict.fromkeys(left))  # of a resumed run also those that it has not come to
                self.outstanding, self.restore, self.resume = outstanding, restore, resume
            case Interrupted(level=level):
                self.interrupted = level
            case _:
                pass

    @property
    def unmoved(self) -> tuple[str, ...]:
        """The VMs that have not moved."""
        moved = {vm for vm, move in self.moves.items() if move.state == MigrationState.SUCCESS}
        return tuple(vm for vm in self.vms if vm not in moved)

    @property
    def status(self) -> ExitStatus:
        """The exit status: not restored wins over failed VMs, those over an interruption, that over VMs left queued."""
        if self.left:
            return ExitStatus.NOT_RESTORED
        states = [move.state for move in self.moves.values()]
        if any(state in {MigrationState.ERROR, MigrationState.HELD} for state in states):
            return ExitStatus.SOME_FAILED
        if self.interrupted:
            return ExitStatus.INTERRUPTED
        if MigrationState.CANCELLED in states:
            return ExitStatus.SOME_FAILED
        if any(state != MigrationState.SUCCESS for state in states):
            return ExitStatus.LIMIT
        return ExitStatus.SOME_FAILED if self.refused else ExitStatus.OK


def fold(events: Iterable[Event]) -> Report:
    """Return the report of *events*."""
    report = Report()
    for event in events:
        report.take(event)
    return report
