"""What a migrate is to do: chosen VMs, a saved plan, the rest of a run, or a run's way back; and the plan of it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lrvmotion.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from lrvmotion.config.schema import Config
    from lrvmotion.events import Observer
    from lrvmotion.journal.journal import Journal
    from lrvmotion.journal.records import Connection, Record
    from lrvmotion.journal.run_state import Progress, UnfinishedMove
    from lrvmotion.plan.plan import Plan, Theirs
    from lrvmotion.plan.plan_file import Saved
    from lrvmotion.plan.vm_selection import Choice
    from lrvmotion.workflows.connections import Connections, Known
    from lrvmotion.workflows.plan_run import RunOptions


@dataclass(slots=True, kw_only=True)
class MigrateRequest:
    """One of the four: *choice* alone, *saved* alone, *saved* and *progress* (--resume), or all three (--reverse).

    *config* and *known* (connections) are swapped on the way back. *mode* is what the order itself says, None
    where it leaves that to the user; *lacking* are the modes that it replaces, for want of a relay.
    """

    config: Config
    known: Known
    choice: Choice
    saved: Saved | None = None
    progress: Progress | None = None
    mode: str | None = None
    lacking: tuple[str, ...] = ()

    @property
    def back(self) -> bool:
        """Whether the VMs go back to where they came from: source and target are swapped."""
        return self.progress is not None and (self.progress.back or not self.resumes)

    @property
    def resumes(self) -> bool:
        """Whether this takes up a run."""
        return self.progress is not None and not self.choice

    @property
    def done(self) -> bool:
        """Whether nothing is left of the run that this takes up."""
        return self.progress is not None and not self.progress.left

    @property
    def waiting(self) -> list[str]:
        """The VMs of the run to be resumed that have not moved, and are not on their way."""
        return self.progress.left if self.resumes and self.progress is not None else []

    def after(self, journal: Journal) -> MigrateRequest:
        """Return the order once what the run had begun has ended."""
        from lrvmotion.journal import run_state as progress

        if self.progress is None:
            return self
        return replace(self, progress=progress.chosen(journal.records, self.progress.run))

    def begun(self) -> Mapping[str, UnfinishedMove]:
        """Return the moves that the run to be resumed had begun."""
        return self.progress.open if self.resumes and self.progress is not None else {}

    def plan(
        self,
        connections: Connections,
        journal: Journal,
        observer: Observer,
        options: RunOptions,
        theirs: Collection[Theirs],
    ) -> Plan:
        """Return the plan, made again; *theirs* is what somebody else has changed of what is outstanding."""
        from lrvmotion.checks import vms as vm_checks
        from lrvmotion.journal import changes
        from lrvmotion.journal import run_state as progress
        from lrvmotion.workflows import plan_run, replan

        runs, owner_id = changes.runs(journal.records), changes.owner_id(journal.records)
        held = {(item.target, item.key) for item in journal.outstanding()}
        if self.saved is None or self.choice:
            moved = progress.moved_by(journal.records)
            made = plan_run.prepare(
                self.config, connections, observer, self.choice, options,
                runs=runs, owner_id=owner_id, held=held, theirs=theirs, moved=moved,
            ).plan  # fmt: skip
        elif self.progress is None:
            return replan.again(
                self.config,
                connections,
                observer,
                self.saved,
                options,
                runs=runs,
                owner_id=owner_id,
                held=held,
                theirs=theirs,
            )
        else:
            left, run = self.progress.left, self.progress.run
            made = replan.rest(
                self.config, connections, observer, self.saved, left, options,
                run=run, runs=runs, owner_id=owner_id, held=held, theirs=theirs,
            )  # fmt: skip
        if not self.lacking:
            return made
        return replace(made, findings=(*made.findings, vm_checks.reverse_mode(made.mode, self.lacking)))

    def on_the_way(self, connections: Connections) -> Plan:
        """Return the plan of following what the run had begun: nothing is changed, nothing started."""
        from lrvmotion.workflows import plan_run

        if self.saved is None or self.progress is None:
            raise TypeError
        _, target = plan_run.inventories(connections)
        whole = self.saved.complete(target, under_way=True)
        moves = tuple(move for move in whole.migrations if move.vm in self.progress.open)
        run, owner_id = self.progress.run, self.progress.owner_id
        return replace(
            whole, run=run, owner_id=owner_id, changes=(), proof_paths=(), paths=(), migrations=moves, forecast=None
        )


def to_resume(config: Config, known: Known, journal: Path, run: str | None) -> MigrateRequest:
    """Return the order to resume *run* of the *journal*, the last one that is not finished where it is None."""
    from lrvmotion.journal import places
    from lrvmotion.plan import reverse
    from lrvmotion.plan.vm_selection import Choice

    progress = _progress(journal, run)
    if progress.finished:
        message = f"run {progress.run}: all of its VMs have moved"
        raise UsageError(message, hint="'lrvmotion restore-defaults' restores what it changed")
    saved = _saved(progress)
    if progress.back:
        config, known = reverse.config(config), places.swapped(known)
    return MigrateRequest(
        config=config, known=known, choice=Choice(), saved=saved, progress=progress, mode=progress.mode
    )


def to_reverse(
    config: Config, known: Known, journal: Path, run: str, mode: str | None, names: list[str]
) -> MigrateRequest:
    """Return the order to bring the VMs that *run* moved back, or those of them that *names* names."""
    from lrvmotion.journal import places
    from lrvmotion.model.inventory import did_you_mean
    from lrvmotion.plan import modes, reverse
    from lrvmotion.plan.vm_selection import Choice

    progress = _progress(journal, run)
    moved = progress.moved
    by_uuid = {uuid.lower(): vm for vm, uuid in progress.instance_uuids.items() if uuid}
    names = [name if name in moved else by_uuid.get(name.lower(), name) for name in names]
    if strange := [name for name in names if name not in moved]:
        message = f"run {progress.run} did not move {', '.join(map(repr, strange))}"
        raise UsageError(message, hint=did_you_mean(strange[0], moved) if moved else None)
    if not moved:
        message = f"run {progress.run} has moved no VM"
        raise UsageError(message, hint="'lrvmotion status' lists the runs of this journal")
    if progress.back:
        message = f"run {progress.run} was itself a way back"
        raise UsageError(message, hint="migrate its VMs as any others")
    back = reverse.config(config)
    wanted = mode or progress.mode
    possible = modes.available(back)
    lacking = tuple(name for name in modes.MODES if name not in possible) if wanted not in possible else ()
    overrides = reverse.overrides(_saved(progress), names or moved)
    return MigrateRequest(
        config=back,
        known=places.swapped(known),
        choice=Choice(overrides=overrides, file=f"the way back of run {progress.run}", remaining=not names),
        saved=_saved(progress),
        progress=progress,
        mode=possible[-1] if lacking else wanted,
        lacking=lacking,
    )


def refuse_other_way(journal: Journal, connections: Connections) -> None:
    """Raise RefusedError where settings are outstanding elsewhere than where *connections* leads to."""
    if said := other_place(journal.records, connections):
        raise RefusedError(said, hint="'lrvmotion restore-defaults' restores them; then run this again")


def other_place(records: Sequence[Record], connections: Connections) -> str | None:
    """Return what has outstanding settings and is not what *connections* leads to, in words; None where there is none.

    The journal names hosts by their site: "source/esx1" would be looked for at the wrong one. A vCenter is told by its
    instance UUID, for both may be reached at one address.
    """
    from lrvmotion.journal import changes, places

    recorded = changes.connections(records)
    for door in dict.fromkeys(item.target.connection for item in changes.outstanding(records)):
        there = recorded.get(door)
        here = connections.identity(door)
        if there is None or (here is None and door.is_relay):
            continue  # an older journal's, or a box that this configuration leaves alone
        if here is None or not places.same_place(there, here):
            now = "it is not known" if here is None else f"it is {_place(here)}"
            return f"settings remain changed by a run whose {door.plain} is {_place(there)}, and here {now}"
    return None


def _place(known: Connection) -> str:
    return known.address + (f" (instance {known.instance_uuid})" if known.instance_uuid else "")


def _progress(journal: Path, run: str | None) -> Progress:
    from lrvmotion.journal import journal as journals
    from lrvmotion.journal import run_state as progress

    return progress.chosen(journals.read(journal).records, run)


def _saved(progress: Progress) -> Saved:
    from lrvmotion.plan import plan_file

    if progress.plan is None:
        message = f"run {progress.run}: the journal has no plan of it"
        hint = "it died before it changed anything, or an older version made it: name its VMs again"
        raise UsageError(message, hint=hint)
    return plan_file.parse(json.dumps(progress.plan), f"run {progress.run}")
