"""Real deaths: kill -9 at chosen points of native and proxy runs and of their restores, in one lab that stays up."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from crash.lab import Lab, last_json
from crash.points import Point, read_tape, spread
from lrvmotion.journal.journal import read

PAIR = ("vm1", "vm2")  # one on each source host
OTHERS = ("vm3", "vm4")
# Of the deaths of a migrate: which are followed by --resume (all are once VMs move), which by a restore that dies too,
# and which by a restore that has nothing but the journal.
RESUME_EVERY = 3
AGAIN_EVERY = 2
ALONE_EVERY = 5
RESTORE_POINTS = 250  # about as many as a restore passes
DEATHS = 2  # in each history
COMMANDS = 3  # at least
MOST_COMMANDS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What is killed: a migrate of *mode*, or the restore after one; at *kills* points.

    *over*: the mode of a run before it, whose changes are still there.
    """

    mode: str
    over: str | None = None
    restore: bool = False
    kills: int
    options: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        mode = f"{self.mode} over {self.over}" if self.over else self.mode
        return f"restore after {mode}" if self.restore else mode

    @property
    def steps(self) -> list[tuple[str, ...]]:
        """The commands of its life, the one that is killed last."""
        found = [self._migrate(self.over, OTHERS)] if self.over else []
        found.append(self._migrate(self.mode, PAIR))
        return [*found, RESTORE] if self.restore else found

    def _migrate(self, mode: str, vms: tuple[str, ...]) -> tuple[str, ...]:
        return ("migrate", "--mode", mode, "--yes", "--output", "json", *self.options, *vms)


RESTORE = ("restore-defaults", "--output", "json")


@dataclass(slots=True, kw_only=True)
class Killed:
    """What came of one point: did it die there, did the restore die too, was it resumed, and what was wrong after."""

    scenario: str
    point: str
    died: bool
    again: bool = False
    resumed: bool = False
    history: bool = False
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)


class Executioner:
    """Records a scenario's points and dies at them, one after the other."""

    def __init__(
        self, lab: Lab, scratch: Path, *, resume: bool, resume_every: int = RESUME_EVERY, only: str = ""
    ) -> None:
        self._lab = lab
        self._scratch = scratch
        self._resume = resume
        self._resume_every = resume_every
        self._only = only
        self._count = 0
        self._random = random.Random(1)

    def run(self, scenario: Scenario, tell: Callable[[str], None]) -> Iterator[Killed]:
        """Yield what came of each point of *scenario*."""
        try:
            points = spread(self.record(scenario), scenario.kills)
        except RuntimeError as error:
            yield Killed(scenario=scenario.name, point="no death", died=False, wrong=[str(error)])
            return
        points = [point for point in points if self._only in f"{scenario.name}: {point}"]
        tell(f"{scenario.name}: {len(points)} points")
        for point in points:
            began = time.monotonic()
            try:
                killed = self.kill(scenario, point)
            except (OSError, subprocess.TimeoutExpired, RuntimeError) as error:
                killed = Killed(scenario=scenario.name, point=str(point), died=False, wrong=[f"{error}"[:300]])
            killed.seconds = round(time.monotonic() - began, 1)
            yield killed

    def histories(self, count: int, tell: Callable[[str], None]) -> Iterator[Killed]:
        """Yield what came of *count* histories of three commands or more, of which two die somewhere."""
        modes = ("native", "proxy") if self._lab.net else ("native",)
        options = () if self._lab.net else ("--unproven",)
        chance = random.Random(2)
        passed = {}
        for mode in modes:
            try:
                passed[mode] = len(self.record(Scenario(mode=mode, kills=1, options=options), "history "))
            except RuntimeError as error:
                yield Killed(scenario=f"history of {mode}", point="no death", died=False, wrong=[str(error)])
                return
        tell(f"histories: {count}")
        for number in range(1, count + 1):
            began = time.monotonic()
            life = History(self._lab, self._scratch / f"h{number:02d}", chance, passed, options)
            if self._only not in f"history {number}":
                continue
            try:
                life.live()
            except (OSError, subprocess.TimeoutExpired, RuntimeError) as error:
                life.wrong.append(f"{error}"[:300])
            killed = Killed(
                scenario=f"history {number}", point=", ".join(life.told), died=life.deaths > 0, again=life.deaths > 1,
                history=True, wrong=life.wrong, seconds=round(time.monotonic() - began, 1),
            )  # fmt: skip
            if killed.wrong:
                self._heal(life.state, killed)
            else:
                shutil.rmtree(life.state, ignore_errors=True)
            self._lab.home()
            yield killed

    def record(self, scenario: Scenario, name: str = "") -> list[str]:
        """Run *scenario* to its end and return the points that it passed; *name* goes before that of its files."""
        state = self._scratch / f"{name}tape {scenario.name}"
        shutil.rmtree(state, ignore_errors=True)
        tape = self._scratch / f"{name}{scenario.name}.tape"
        tape.unlink(missing_ok=True)
        for words in scenario.steps[:-1]:
            self._must(state, *words)
        self._must(state, *scenario.steps[-1], mortal=("--tape", str(tape)))
        self._must(state, *RESTORE)
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
        shutil.rmtree(state, ignore_errors=True)  # of an earlier matrix
        for words in scenario.steps[:-1]:
            self._must(state, *words)
        plans = self._plans(state)
        done = lab.product(state, *scenario.steps[-1], mortal=("--die", point.label, str(point.nth)))
        killed = Killed(scenario=scenario.name, point=str(point), died=done.returncode == -signal.SIGKILL)
        if not killed.died and done.returncode:
            killed.wrong.append(f"ended with {done.returncode} before the point: {done.stderr.strip()[-300:]}")
        if self._resume and not scenario.restore and (point.moving or self._count % self._resume_every == 0):
            killed.resumed = True
            killed.wrong += self._go_on(state, scenario, begun=self._plans(state) > plans)
        if not scenario.restore and self._count % AGAIN_EVERY == 0:
            nth = self._random.randint(1, RESTORE_POINTS)
            killed.again = lab.product(state, *RESTORE, mortal=("--die", "*", str(nth))).returncode == -signal.SIGKILL
        alone = self._count % ALONE_EVERY == 0 and "intended" in self._kinds(state)
        done = lab.product(state, *RESTORE, config=not alone)
        if done.returncode or last_json(done).get("left"):
            killed.wrong.append(f"restore-defaults ended with {done.returncode}: {done.stderr.strip()[-600:]}")
        killed.wrong += lab.wrong()
        if killed.wrong:
            self._heal(state, killed)
        else:
            shutil.rmtree(state, ignore_errors=True)
        lab.home()
        return killed

    def _go_on(self, state: Path, scenario: Scenario, *, begun: bool) -> list[str]:
        """Take the run up again: every VM arrives; where all have, or none had *begun*, nothing is resumed."""
        done = self._lab.product(state, "migrate", "--resume", "--yes", "--output", "json", *scenario.options)
        over = self._lab.quiet() and not self._lab.there(PAIR)
        if done.returncode == 2 and (over or not begun):
            return []
        if done.returncode:
            said = done.stderr.strip()[-600:] or last_json(done).get("moves")
            return [f"--resume ended with {done.returncode}: {said}"]
        return [f"--resume left {vm} at the source" for vm in self._lab.there(PAIR)]

    def _must(self, state: Path, *words: str, mortal: tuple[str, ...] | None = None) -> None:
        """Run a command that nothing stands in the way of; RuntimeError where it fails all the same."""
        done = self._lab.product(state, *words, mortal=mortal)
        if done.returncode:
            message = f"{' '.join(words)} ended with {done.returncode}: {done.stderr.strip()[-600:]}"
            raise RuntimeError(message)

    @staticmethod
    def _plans(state: Path) -> int:
        """Return how many runs have recorded their plan."""
        return sum(record.kind == "plan" for record in read(state / "journal.jsonl").records)

    @staticmethod
    def _kinds(state: Path) -> set[str]:
        """Return what kinds of records the journal has, whole ones."""
        return {record.kind for record in read(state / "journal.jsonl").records}

    def _heal(self, state: Path, killed: Killed) -> None:
        """Let one failure not spoil the points after it: by --force, else with another lab."""
        self._lab.product(state, *RESTORE, "--force")
        if self._lab.wrong():
            killed.wrong.append("and --force does not help: the lab is built again")
            self._lab.__exit__()
            self._lab.__enter__()


class History:
    """Commands in any order, of which two die by kill -9 at any of their points; then everything is restored.

    *passed* is how many points a migrate of each mode passes. Each command that ends must end well.
    """

    def __init__(
        self, lab: Lab, state: Path, chance: random.Random, passed: dict[str, int], options: tuple[str, ...]
    ) -> None:
        self.state = state
        self.deaths = 0
        self.told: list[str] = []
        self.wrong: list[str] = []
        self._lab = lab
        self._chance = chance
        self._passed = passed
        self._options = options
        self._left = [PAIR, OTHERS]
        shutil.rmtree(state, ignore_errors=True)  # of an earlier matrix

    def live(self) -> None:
        """Go through all of it."""
        self._migrate()
        while self.deaths < DEATHS or len(self.told) < COMMANDS - 1:
            steps = [self._resume, self._restore, *([self._migrate] if self._left else [])]
            self._chance.choice(steps)()
            if len(self.told) > MOST_COMMANDS:
                self.wrong.append(f"{len(self.told)} commands and {self.deaths} deaths")
                break
        done = self._lab.product(self.state, *RESTORE)
        self.told.append("restore")
        if done.returncode or last_json(done).get("left"):
            self.wrong.append(f"the last restore ended with {done.returncode}: {done.stderr.strip()[-600:]}")
        self.wrong += self._lab.wrong()

    def _migrate(self) -> None:
        mode = self._chance.choice(list(self._passed))
        vms = self._left.pop(0)
        self._lab.quiet()  # else it is refused: a relocate runs
        words = ("migrate", "--mode", mode, "--yes", "--output", "json", *self._options, *vms)
        self._do(f"migrate {mode}", self._passed[mode], words, {0})

    def _resume(self) -> None:
        words = ("migrate", "--resume", "--yes", "--output", "json", *self._options)
        self._do("resume", max(self._passed.values()), words, {0, 2})  # 2: nothing was begun, or all have moved

    def _restore(self) -> None:
        self._do("restore", RESTORE_POINTS, RESTORE, {0})

    def _do(self, name: str, points: int, words: tuple[str, ...], fine: set[int]) -> None:
        """Run the command, which dies at one of its *points* as long as deaths are due."""
        nth = self._chance.randint(1, points)
        mortal = ("--die", "*", str(nth)) if self.deaths < DEATHS else None
        done = self._lab.product(self.state, *words, mortal=mortal)
        if done.returncode == -signal.SIGKILL:
            self.deaths += 1
            self.told.append(f"{name} died at {nth}")
            return
        self.told.append(name)
        if done.returncode not in fine:
            said = done.stderr.strip()[-600:] or last_json(done).get("moves")
            self.wrong.append(f"{name} ended with {done.returncode}: {said}")
