"""What is changed at a VM for its move alone: drives ejected before it, and restored where the VM stays."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from lrvmotion.errors import LrvmotionError
from lrvmotion.events import Message, Observer
from lrvmotion.journal.changes import Outstanding
from lrvmotion.journal.journal import Journal
from lrvmotion.model.migration_state import MigrationState
from lrvmotion.model.setting import SettingKey, Value
from lrvmotion.model.target_id import TargetId
from lrvmotion.plan.plan import Change, Migration
from lrvmotion.ports.target import Target
from lrvmotion.run.apply import apply, revert
from lrvmotion.run.moves.collaborators import MoveHooks

EJECTED = "--eject: what a drive of this site holds would refuse the move"


class VmTarget(Target, Protocol):
    """A vCenter as the target of what it keeps of its VMs."""

    def ejections(self, instance_uuid: str, vm: str) -> list[tuple[SettingKey, Value, Value]]:
        """Return the drives of *vm* that are connected: key, value now and value when empty."""


@dataclass(slots=True, kw_only=True)
class VmSettings:
    """The settings of the VMs of one *run*, around the user's *hooks* (collaborators.MoveHooks).

    Each is recorded before it is written. Those of a VM are closed when its migration ends: restored where the VM is
    at the source, and recorded as gone where it has left; what fails then stays outstanding, for restore-defaults.
    """

    run: str
    journal: Journal
    vcenter: VmTarget
    observer: Observer
    hooks: MoveHooks
    eject: bool = False

    def hold(self, migration: Migration) -> list[str]:
        """Return why *migration* may not start: a hook failed, or a drive cannot be ejected (LrvmotionError)."""
        if reasons := self.hooks.hold(migration):
            return reasons
        if self.eject:
            self._eject(migration)
        return []

    def ended(self, migration: Migration, state: MigrationState, reason: str | None) -> None:
        """*migration* ended as *state*: restore what was changed for it, then call its hook."""
        self._close(migration.vm, lambda item: item.key.vm == migration.instance_uuid)
        self.hooks.ended(migration, state, reason)

    def close(self, moving: Collection[str]) -> None:
        """Restore what VMs that never started still have open; *moving*: the instance UUIDs of those that move on."""
        self._close("VMs", lambda item: item.key.vm not in moving)

    def _close(self, whose: str, only: Callable[[Outstanding], bool]) -> None:
        """Restore those of this run's settings of VMs that *only* wants."""
        seqs = {item.seq for item in self.journal.outstanding() if self._own(item) and only(item)}
        if not seqs:
            return
        try:
            revert(self.journal, self._target, self.observer, run=self.run, only=lambda item: item.seq in seqs)
        except LrvmotionError as error:
            self.observer(Message(text=f"{whose}: what was changed for the move stays: {error.message}"))

    def _eject(self, migration: Migration) -> None:
        found = self.vcenter.ejections(migration.instance_uuid, migration.vm)
        changes = [
            Change(target=self.vcenter.name, key=key, prior=now, planned=empty, reason=EJECTED)
            for key, now, empty in found
        ]
        apply(changes, {self.vcenter.name: self.vcenter}, self.journal, self.run, self.observer)

    def _own(self, item: Outstanding) -> bool:
        return item.run == self.run and item.key.kind.owner == "vm" and item.target == self.vcenter.name

    def _target(self, _name: TargetId) -> Target:
        return self.vcenter
