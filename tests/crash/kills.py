"""Real deaths: kill -9 at chosen points of native and proxy runs and of their restores, in one lab that stays up."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from crash.lab import Lab, last_json
from crash.points import Point, read_tape, spread

PAIR = ("vm1", "vm2")  # one on each source host
RESUME_EVERY = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What is killed: a migrate of *mode*, or the restore after one; at *kills* points."""

    mode: str
    restore: bool = False
    kills: int
    options: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"restore after {self.mode}" if self.restore else self.mode

    @property
    def migrate(self) -> tuple[str, ...]:
        return ("migrate", "--mode", self.mode, "--yes", "--output", "json", *self.options, *PAIR)


RESTORE = ("restore-defaults", "--output", "json")


@dataclass(slots=True, kw_only=True)
class Killed:
    """What came of one point: whether the process died there, whether it was resumed, what was wrong after."""

    scenario: str
    point: str
    died: bool
    resumed: bool = False
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)


class Executioner:
    """Records a scenario's points and dies at them, one after the other."""

    def __init__(self, lab: Lab, scratch: Path, *, resume: bool) -> None:
        self._lab = lab
        self._scratch = scratch
        self._resume = resume
        self._count = 0

    def run(self, scenario: Scenario, tell: Callable[[str], None]) -> Iterator[Killed]:
        """Yield what came of each point of *scenario*."""
        points = spread(self.record(scenario), scenario.kills)
        tell(f"{scenario.name}: {len(points)} points")
        for point in points:
            began = time.monotonic()
            try:
                killed = self.kill(scenario, point)
            except (OSError, subprocess.TimeoutExpired, RuntimeError) as error:
                killed = Killed(scenario=scenario.name, point=str(point), died=False, wrong=[f"{error}"[:300]])
            killed.seconds = round(time.monotonic() - began, 1)
            yield killed

    def record(self, scenario: Scenario) -> list[str]:
        """Run *scenario* to its end and return the points that it passed."""
        state = self._scratch / f"tape {scenario.name}"
        tape = self._scratch / f"{scenario.name}.tape"
        steps = [(scenario.migrate, not scenario.restore), (RESTORE, scenario.restore)]
        for words, recorded in steps:
            mortal = ("--tape", str(tape)) if recorded else None
            done = self._lab.product(state, *words, mortal=mortal)
            if done.returncode:
                message = f"{scenario.name}: {' '.join(words)} ended with {done.returncode}: {done.stderr[-600:]}"
                raise RuntimeError(message)
        if wrong := self._lab.wrong():
            message = f"{scenario.name}: not as before without any death: {wrong}"
            raise RuntimeError(message)
        self._lab.home()
        shutil.rmtree(state)
        return read_tape(tape)

    def kill(self, scenario: Scenario, point: Point) -> Killed:
        """Die at *point*, go on or not, restore, and look."""
        lab = self._lab
        self._count += 1
        state = self._scratch / f"{self._count:03d}"
        words = RESTORE if scenario.restore else scenario.migrate
        if scenario.restore and (done := lab.product(state, *scenario.migrate)).returncode:
            message = f"migrate ended with {done.returncode}: {done.stderr[-300:]}"
            raise RuntimeError(message)
        done = lab.product(state, *words, mortal=("--die", point.label, str(point.nth)))
        killed = Killed(scenario=scenario.name, point=str(point), died=done.returncode == -signal.SIGKILL)
        if not killed.died and done.returncode:
            killed.wrong.append(f"ended with {done.returncode} before the point: {done.stderr.strip()[-300:]}")
        if self._resume and not scenario.restore and self._count % RESUME_EVERY == 0:
            killed.resumed = True
            killed.wrong += self._go_on(state)
        done = lab.product(state, *RESTORE)
        if done.returncode or last_json(done).get("left"):
            killed.wrong.append(f"restore-defaults ended with {done.returncode}: {done.stderr.strip()[-600:]}")
        killed.wrong += lab.wrong()
        if killed.wrong:
            self._heal(state, killed)
        else:
            shutil.rmtree(state, ignore_errors=True)
        lab.home()
        return killed

    def _go_on(self, state: Path) -> list[str]:
        """Take the run up again: every VM arrives; where no plan was recorded yet, there is nothing to take up."""
        begun = (state / "journal.jsonl").exists() and '"kind": "run"' in (state / "journal.jsonl").read_text()
        done = self._lab.product(state, "migrate", "--resume", "--yes", "--output", "json")
        if not begun:
            return [] if done.returncode == 2 else [f"--resume of nothing ended with {done.returncode}"]
        if done.returncode:
            return [f"--resume ended with {done.returncode}: {done.stderr.strip()[-600:]}"]
        return [f"--resume left {vm} at the source" for vm in self._lab.there(PAIR)]

    def _heal(self, state: Path, killed: Killed) -> None:
        """Let one failure not spoil the points after it; what does not heal ends the matrix."""
        self._lab.product(state, *RESTORE, "--force")
        if wrong := self._lab.wrong():
            killed.wrong.append("and it does not heal: " + "; ".join(wrong[:3]))
            raise BrokenError(killed)


class BrokenError(Exception):
    """The lab is not as before and cannot be made so: *killed* says after which death."""

    def __init__(self, killed: Killed) -> None:
        super().__init__(f"{killed.scenario}, {killed.point}: {'; '.join(killed.wrong)}")
        self.killed = killed
