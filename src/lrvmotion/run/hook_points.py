"""The points of a run at which hooks are called: a failing one before holds the VM or its wave, or ends the run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from lrvmotion.errors import RefusedError
from lrvmotion.plan.plan import Migration, Plan
from lrvmotion.run.hooks import Hooks


@dataclass(slots=True)
class HookPoints:
    """Calls *hooks* for *plan*; a wave begins with its first VM and ends with its last."""

    hooks: Hooks
    plan: Plan
    waves: dict[int, str | None] = field(default_factory=dict)  # those that have begun; why their VMs are held
    left: Counter[int] = field(init=False)  # VMs that have not ended, by wave

    def __post_init__(self) -> None:
        self.left = Counter(migration.wave for migration in self.plan.migrations)

    def before_run(self) -> None:
        """Raise RefusedError where the hook fails: nothing has been changed."""
        vms = [migration.vm for migration in self.plan.migrations]
        if (reason := self.hooks.run("before_run", "run", self._told(vms=vms))) is not None:
            message = f"{reason}; nothing was changed"
            raise RefusedError(message, hint="the hook says why; it runs again with the next migrate")

    def after_run(self, outstanding: int) -> None:
        """The run has ended, however it did; *outstanding* settings remain changed."""
        self.hooks.run("after_run", "run", self._told(outstanding=outstanding))

    def hold(self, migration: Migration) -> list[str]:
        """Return why *migration* may not start: the hook before its wave failed, or its own."""
        wave = migration.wave
        if wave not in self.waves:
            vms = [move.vm for move in self.plan.migrations if move.wave == wave]
            self.waves[wave] = self.hooks.run("before_wave", f"wave/{wave}", self._told(wave=wave, vms=vms))
        reason = self.waves[wave] or self.hooks.run("before_vm", f"vm/{migration.vm}", self._of(migration))
        return [] if reason is None else [reason]

    def ended(self, migration: Migration, state: str, reason: str | None) -> None:
        """*migration* ended as *state*, its wave perhaps with it."""
        self.hooks.run("after_vm", f"vm/{migration.vm}", {**self._of(migration), "state": state, "reason": reason})
        self.left[migration.wave] -= 1
        if not self.left[migration.wave]:
            self.hooks.run("after_wave", f"wave/{migration.wave}", self._told(wave=migration.wave))

    def _of(self, migration: Migration) -> dict[str, Any]:
        return self._told(
            vm=migration.vm,
            instance_uuid=migration.instance_uuid,
            source_ref=str(migration.ref),
            wave=migration.wave,
            source_host=migration.source_host,
            target_host=migration.placement.host.name,
            datastore=migration.placement.datastore.name,
        )

    def _told(self, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
        return {"run": self.plan.run, "mode": self.plan.mode, **more}
