"""Death in memory: at every byte of the journal and before and after every Target call, of the apply and the revert."""

from __future__ import annotations

import io
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from crash.worlds import World
from lrvmotion.journal.changes import outstanding
from lrvmotion.journal.journal import Journal, read
from lrvmotion.model.setting import ABSENT, Value
from lrvmotion.plan.plan import Change
from lrvmotion.run.apply import apply, revert

State = dict[str, dict[str, Value]]


def clock() -> str:
    return "2026-01-01T00:00:00.000+00:00"


@dataclass(frozen=True, slots=True)
class Death:
    """What a death at one point leaves: the journal's first *length* bytes, and what every target is then."""

    where: str
    length: int
    state: State


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a life in which the targets are *state*, and the journal's length is any of *lengths*."""

    where: str
    lengths: range
    state: State

    def deaths(self) -> Iterator[Death]:
        return (self.death(length) for length in self.lengths)

    def death(self, length: int) -> Death:
        return Death(f"{self.where} {length}" if len(self.lengths) > 1 else self.where, length, self.state)


@dataclass(slots=True)
class Life:
    """A process that may die anywhere: notes where, and goes on."""

    state: State
    journal: bytes = b""
    spans: list[Span] = field(default_factory=list)

    def point(self, where: str) -> None:
        """Here it may die."""
        self.spans.append(Span(where, range(len(self.journal), len(self.journal) + 1), self.state))

    def deaths(self) -> list[Death]:
        return [death for span in self.spans for death in span.deaths()]

    def targets(self) -> dict[str, MortalTarget]:
        return {name: MortalTarget(name, self) for name in self.state}

    def opener(self, path: Path) -> MortalFile:
        self.journal = path.read_bytes() if path.exists() else b""
        return MortalFile(path, self)


class MortalTarget:
    """A target in memory (ports.target.Target); every call may be the last."""

    def __init__(self, name: str, life: Life) -> None:
        self.name = name
        self._life = life

    def read(self, key: str) -> Value:
        self._life.point(f"before read {self.name} {key}")
        value = self._life.state[self.name].get(key, ABSENT)
        self._life.point(f"after read {self.name} {key}")
        return value

    def write(self, key: str, value: Value) -> None:
        life = self._life
        life.point(f"before write {self.name} {key}")
        mine = {known: now for known, now in life.state[self.name].items() if known != key}
        if value != ABSENT:
            mine[key] = value
        life.state = {**life.state, self.name: mine}
        life.point(f"after write {self.name} {key}")

    def busy(self) -> list[str]:
        self._life.point(f"busy {self.name}")
        return []


class MortalFile(io.RawIOBase):
    """The journal's file: each byte may be the last that reaches the disk."""

    def __init__(self, path: Path, life: Life) -> None:
        self._file = path.open("ab", buffering=0)
        self._life = life

    def write(self, data) -> int:
        data = bytes(data)
        self._file.write(data)
        life = self._life
        life.spans.append(Span("journal byte", range(len(life.journal), len(life.journal) + len(data)), life.state))
        life.journal += data
        return len(data)

    def fileno(self) -> int:
        self._life.point("journal written, not synced")
        return self._file.fileno()

    def close(self) -> None:
        self._file.close()
        super().close()


@dataclass(slots=True)
class Result:
    """How many deaths were died, and what went wrong, one line each."""

    deaths: int = 0
    journal_bytes: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, other: Result) -> None:
        self.deaths += other.deaths
        self.journal_bytes += other.journal_bytes
        self.failures += other.failures


class Matrix:
    """Every death of one world's plan; *every* looks at each n-th death only."""

    def __init__(self, world: World, folder: Path, *, every: int = 1, seed: int = 1) -> None:
        self.world = world
        self.result = Result()
        self._folder = folder
        self._every = every
        self._random = random.Random(seed)

    def run(self, tell: Callable[[str], None] = lambda _: None) -> Result:
        """Die in apply, in the restore of all of it, and in the restore after a death in apply."""
        applied = self.apply(b"", self.world.before)
        first = self._kept(applied.deaths())
        restored = self.restore(applied.journal, applied.state)
        second = self._kept(restored.deaths())
        tell(f"{self.world.name}: {len(first)} deaths in apply, {len(second)} in its restore")
        for death in first:
            self.survive("apply", death, applied.journal)
        for death in second:
            self.survive("restore", death, restored.journal)
        for death in first[:: max(1, 10 // self._every)]:
            self.die_again(death, applied.journal)
            self.go_on(death, applied.journal)
        return self.result

    def _kept(self, deaths: list[Death]) -> list[Death]:
        return deaths[:: self._every]

    def apply(self, journal: bytes, state: State, run: str = "r") -> Life:
        """Apply the plan to what is there and return the life that did it."""
        life = Life(state)
        changes = [self._now(change, state) for change in self.world.changes]
        with self._disk(journal) as folder, Journal(folder, clock, opener=life.opener) as open_:
            apply(changes, life.targets(), open_, run, lambda _: None)
        return life

    @staticmethod
    def _now(change: Change, state: State) -> Change:
        prior = state[change.target].get(change.key, ABSENT)
        return Change(target=change.target, key=change.key, prior=prior, planned=change.planned, reason=change.reason)

    def restore(self, journal: bytes, state: State) -> Life:
        """Put everything back and return the life that did it; what it could not is a failure."""
        life = Life(state)
        with self._disk(journal) as folder, Journal(folder, clock, opener=life.opener) as open_:
            done = revert(open_, life.targets().__getitem__, lambda _: None, run="restore")
            for item, reason in done.left:
                self.result.failures.append(f"{self.world.name}: {item.target} {item.key} was left: {reason}")
            if outstanding(read(open_.path).records):
                self.result.failures.append(f"{self.world.name}: a restore left something outstanding")
        return life

    def survive(self, when: str, death: Death, journal: bytes) -> None:
        """Count the death, and restore after it."""
        self.result.deaths += 1
        self.result.journal_bytes += death.where.startswith("journal byte")
        kept = journal[: death.length]
        where = f"{self.world.name}, {when}, {death.where}"
        known = len(self.result.failures)
        try:
            self._recorded(where, kept, death.state)
            after = self.restore(kept, death.state)
            if after.state != self.world.before:
                self.result.failures.append(f"{where}: not as before")
        except Exception as error:
            self.result.failures.append(f"{where}: {type(error).__name__}: {error}")
        self.result.failures[known:] = [f"{where}: {line}" for line in self.result.failures[known:]]

    def _recorded(self, where: str, journal: bytes, state: State) -> None:
        """Whatever differs from before must be in the journal already."""
        with self._disk(journal) as folder:
            known = {(item.target, item.key) for item in outstanding(read(folder / "journal.jsonl").records)}
        for name, values in state.items():
            before = self.world.before[name]
            for key in values.keys() | before.keys():
                if values.get(key) != before.get(key) and (name, key) not in known:
                    self.result.failures.append(f"{where}: {name} {key} was changed and is not recorded")

    def die_again(self, death: Death, journal: bytes) -> None:
        """The restore after a death dies too, anywhere."""
        life = self.restore(journal[: death.length], death.state)
        if life.spans:
            self.survive(f"restore after {death.where}", self._any(life), life.journal)

    def go_on(self, death: Death, journal: bytes) -> None:
        """After a death a second run applies the plan, and dies too, anywhere."""
        life = self.apply(journal[: death.length], death.state, run="r2")
        self.survive(f"second run after {death.where}", self._any(life), life.journal)

    def _any(self, life: Life) -> Death:
        span = self._random.choice(life.spans)
        return span.death(self._random.choice(span.lengths))

    def _disk(self, journal: bytes) -> _Disk:
        return _Disk(self._folder, journal)


class _Disk:
    """A state folder that holds a journal, for as long as it is entered."""

    def __init__(self, parent: Path, journal: bytes) -> None:
        self._folder = Path(tempfile.mkdtemp(dir=parent))
        (self._folder / "journal.jsonl").write_bytes(journal)

    def __enter__(self) -> Path:
        return self._folder

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder)


def matrix(
    worlds: list[World], folder: Path, *, every: int = 1, tell: Callable[[str], None] = lambda _: None
) -> Iterator[Result]:
    """Yield the result of each world."""
    for number, world in enumerate(worlds):
        yield Matrix(world, folder, every=every, seed=number).run(tell)
