"""Histories: migrate, resume, reverse and restore in any order, each dying anywhere, somebody's edits between them.

A Hypothesis state machine over an estate in memory. The commands are the product's own: planner, apply, revert and
settle, joined up by run.py; only what they talk to is in memory. After each history everything is restored but what
somebody else changed, and each of that was named.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from crash.estate import SITES, At, Died, Estate, Process, World, known, plan
from lrvmotion.commands import migrate_request
from lrvmotion.config.schema import Limits
from lrvmotion.errors import LrvmotionError, RefusedError
from lrvmotion.journal import changes
from lrvmotion.journal import journal as journals
from lrvmotion.journal.journal import Journal
from lrvmotion.journal.records import RunBegun, of
from lrvmotion.model.setting import ABSENT, SettingKey, Value, document, string
from lrvmotion.plan import settings as options
from lrvmotion.plan.plan import Plan
from lrvmotion.run import drift as settle
from lrvmotion.run.apply import Restored
from lrvmotion.workflows import migrate_run as runs
from lrvmotion.workflows import restore_run
from lrvmotion.workflows.plan_run import RunOptions

STEPS = 12
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
PLACES = [f"{site}/{name}" for site, hosts in SITES.items() for name in hosts]
LIVES = st.one_of(
    st.builds(Process),
    st.builds(Process, death=st.integers(0, 60)),
    st.builds(Process, death=st.integers(0, 300)),
    st.builds(Process, lost=st.integers(1, 60), done=st.booleans()),
)
PAIRS = st.tuples(st.integers(0, 1), st.integers(0, 1))


def clock() -> str:
    return "2026-01-01T00:00:00.000+00:00"


def tell(event: object) -> None:
    """Nobody watches."""


class Undisturbed:
    """Nobody presses Ctrl-C (run.Interrupts)."""

    def count(self) -> int:
        return 0

    def counted(self, patience: int = 0) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


class Migrating(runs.Migrating):
    """A run whose VMs have moved already, over a path that is proven: what counts here are the settings."""

    def _echoes(self, relay: str) -> int:
        return 0


class Histories(RuleBasedStateMachine):
    """One history. *base* is what each setting must be in the end: as at first, or as somebody left it last.

    *named* is what somebody changed while it was outstanding, with what was there before us: it must be named until it
    is that again, and --force makes it so.
    """

    count = 0
    died = 0
    settle = staticmethod(restore_run.settle)

    def __init__(self) -> None:
        super().__init__()
        shared = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(prefix="lrv-history-", dir=shared if shared.is_dir() else None))
        self.estate = Estate()
        self.base: dict[At, Value] = {}
        self.named: dict[At, Value] = {}
        self.last: tuple[str, str, tuple[int, int], str] | None = None
        self.number = 0

    # --- commands ---------------------------------------------------------------------------------------------

    @rule(mode=st.sampled_from(["native", "proxy"]), pair=PAIRS, steer=st.sampled_from(["route", "gateway"]),
          life=LIVES, back=st.just(False), restore=st.booleans())  # fmt: skip
    def migrate(self, mode: str, pair: tuple[int, int], steer: str, life: Process, back: bool, restore: bool) -> None:
        """Migrate, perhaps with --restore."""
        self.number += 1
        self.last = (f"r{self.number}", mode, pair, steer)
        self._run(*self.last, life, back=back, restore=restore)

    @precondition(lambda self: self.last is not None)
    @rule(life=LIVES)
    def resume(self, life: Process) -> None:
        """Take the last run up again."""
        assert self.last is not None
        self._run(*self.last, life, resume=True)

    @rule(pair=PAIRS, life=LIVES)
    def way_back(self, pair: tuple[int, int], life: Process) -> None:
        """Migrate --reverse: the sites swapped, refused while settings of the way out are outstanding."""
        self.number += 1
        self._run(f"r{self.number}", "native", pair, "route", life, back=True)

    @rule(life=LIVES, force=st.sampled_from([False, False, True]))
    def restore(self, life: Process, force: bool) -> None:
        """Put everything back."""
        self._restore(life, force=force)

    # --- somebody else ----------------------------------------------------------------------------------------

    @rule(place=st.sampled_from(PLACES), key=st.sampled_from([options.HELPERS, options.LINE_RATE]),
          value=st.sampled_from([7, 9, None]))  # fmt: skip
    def option(self, place: str, key: str, value: int | None) -> None:
        """Set an option, or set it back."""
        at = (place, f"option/{key}")
        self._edit(at, self.estate.before[at] if value is None else Value("long", value))

    @rule(place=st.sampled_from(PLACES), number=st.integers(0, 3), address=st.sampled_from(["10.88.0.77", None]))
    def way(self, place: str, number: int, address: str | None) -> None:
        """Point a route or gateway elsewhere, or remove it."""
        keys = [key for key in sorted(self.estate.values[place]) if key.startswith(("route/", "gateway/"))]
        if keys:
            self._edit((place, keys[number % len(keys)]), ABSENT if address is None else string(address))

    @rule(place=st.sampled_from(PLACES), number=st.integers(0, 3),
          how=st.sampled_from(["removed", "deselected", "MTU", "VLAN"]))  # fmt: skip
    def network(self, place: str, number: int, how: str) -> None:
        """Remove a vmknic or its service, change its MTU, or the VLAN of a port group."""
        kind = "portgroup/" if how == "VLAN" else "vmknic/"
        keys = [key for key in sorted(self.estate.values[place]) if key.startswith(kind)]
        if not keys:
            return
        key = keys[number % len(keys)]
        address = key.partition("/")[2]
        if how in {"removed", "deselected"}:
            gone = [f"vmotion-service/{address}", *([f"gateway/{address}", key] if how == "removed" else [])]
            for one in gone:
                self._edit((place, one), ABSENT)
        else:
            content = self.estate.values[place][key].as_document()
            changed = {"mtu": 9000} if how == "MTU" else {"vlan_id": 99}
            self._edit((place, key), document(**{**content, **changed}))

    @rule(number=st.integers(0, 30), how=st.sampled_from(["changed", "removed", "stopped"]))
    def box(self, number: int, how: str) -> None:
        """Change or remove a file, kernel setting, unit or redirect of the relay host; stop its unit."""
        values = self.estate.values["relay/r1"]
        keys = [key for key in sorted(values) if self._ours(("relay/r1", key))]
        if not keys:
            return
        key = keys[number % len(keys)]
        value = values[key]
        if how == "stopped":
            if key.startswith("unit/"):
                values[key] = document(**{**value.as_document(), "active": False})
        elif how == "removed":
            self._edit(("relay/r1", key), self.estate.before.get(("relay/r1", key), ABSENT))
        elif value.type == "document":
            self._edit(("relay/r1", key), document(**{**value.as_document(), "theirs": True}))
        else:
            self._edit(("relay/r1", key), string("7"))

    def _edit(self, at: At, value: Value) -> None:
        now, base = self.estate.get(*at), self._base(at)
        if value == now:
            return
        self._put(at, value)
        self.base[at] = value
        open_ = at in self._outstanding()
        assert open_ or now == base, f"{at} was changed and is not recorded"
        if open_:
            self.named.setdefault(at, base)
        if self.named.get(at) == value:
            del self.named[at]

    def _outstanding(self) -> set[At]:
        """Return what the journal says is outstanding."""
        records = journals.read(self.folder / "journal.jsonl").records
        world = World(changes.connections(records), self.estate, Process())
        return {(world.place(item.target), item.key) for item in changes.outstanding(records)}

    def _put(self, at: At, value: Value) -> None:
        """Write past the host's own rules: whoever does this knows how."""
        place, key = at
        if value == ABSENT:
            self.estate.values[place].pop(key, None)
        else:
            self.estate.values[place][key] = value

    # --- what is done and looked at ---------------------------------------------------------------------------

    @contextlib.contextmanager
    def _process(self, life: Process) -> Iterator[Journal]:
        """Open the journal as a process does that may die: then nothing of it is done any more."""
        journal = Journal(self.folder, clock, opener=life.opener)
        try:
            with contextlib.suppress(Died):
                journal.__enter__()
                yield journal
                journal.__exit__()
                return
            Histories.died += 1
        finally:
            journal._close()

    def _run(
        self, run: str, mode: str, pair: tuple[int, int], steer: str, life: Process, *, resume: bool = False,
        back: bool = False, restore: bool = False,
    ) -> None:  # fmt: skip
        with self._process(life) as journal:
            world = World(known(back=back), self.estate, life)
            try:
                try:
                    migrate_request.refuse_other_way(journal, world)
                except RefusedError:
                    assert back or self._back(journal), "refused, and it is the same way"
                    return
                if resume:
                    restore_run.release(journal, world, tell, Limits())
                seen = self.settle(journal, world, tell)
                owner_id = changes.owner_id(journal.records) or run
                known_runs = {*changes.runs(journal.records), owner_id}
                held = {(item.target, item.key) for item in journal.outstanding()}
                made, config = plan(
                    world, mode, pair, run, owner_id, seen.theirs, steer=steer, back=back, runs=known_runs, held=held
                )
                self._named_in(made, world)
                if not made.applyable:
                    codes = {finding.code for finding in made.findings if finding.severity == "error"}
                    assert codes == {"setting-theirs"}, made.findings
                    return
                self._go(journal, world, made, config, back=back, restore=restore)
            except LrvmotionError as error:
                assert life.lost is not None, error

    def _go(self, journal: Journal, world: World, made: Plan, config, *, back: bool, restore: bool) -> None:
        only = replace(made, migrations=(), proof_paths=())
        asked = RunOptions(mode=made.mode)
        put_back = (lambda: restore_run.restore(journal, world, tell)) if restore else None
        with runs.Closing(
            journal=journal, observer=tell, options=asked, interrupts=Undisturbed(), restore=put_back
        ) as closing:  # fmt: skip
            Migrating(config, world, journal, tell, only, asked, "{}", lambda: NOON, closing, back=back).go()
            self._applied(journal, world, made)

    def _applied(self, journal: Journal, world: World, made: Plan) -> None:
        """Everything is as planned, and no VM is held for what somebody else changed before."""
        for change in made.changes:
            at = (world.place(change.target), change.key)
            assert self.estate.get(*at) == change.planned, f"{at} is not as planned"
        (move,) = made.migrations
        mine = {f"source/{move.source_host}", f"target/{move.placement.host.name}"}
        mine |= {f"relay/{relay}" for relay in made.relays}
        held = settle.drifted(journal.outstanding(), mine, made.theirs, lambda name, key: world.target(name).read(key))
        assert held == [], "a VM would be held"

    def _named_in(self, made: Plan, world: World) -> None:
        """Every plan names what somebody else changed, with their value."""
        told = {(world.place(one.target), one.key): one.now for one in made.theirs}
        found = {
            (world.place(f.subject), f.summary.partition(" is ")[0])
            for f in made.findings
            if f.code == "setting-theirs"
        }
        for at in self.named:
            assert told.get(at) == self.estate.get(*at), f"{at} is not named in the plan"
            assert (at[0], SettingKey(at[1]).words) in found

    def _restore(self, life: Process, *, force: bool) -> None:
        with self._process(life) as journal:
            world = World(changes.connections(journal.records), self.estate, life)
            done = restore_run.restore(journal, world, tell, force=force)
            if life.whole:
                self._look(done, journal, world, force=force)
        if force:
            self._forced()

    def _forced(self) -> None:
        """What was restored by force is nobody's any more, as far as the restore came."""
        for at in [at for at, prior in self.named.items() if self.estate.get(*at) == prior]:
            self.base[at] = self.named.pop(at)

    def _look(self, done: Restored, journal: Journal, world: World, *, force: bool) -> None:
        """After a restore that nothing happened to: all is as before but the edits, and each of these is named."""
        left = {(world.place(item.target), item.key) for item, _ in done.left}
        if force:
            assert left == set(), done.left
        expected = {at: self.named[at] if force and at in self.named else self._base(at) for at in self._all()}
        wrong = {at: self.estate.get(*at) for at in self._all() if self.estate.get(*at) != expected[at]}
        stands_on_theirs = {at for at in wrong if self._under_theirs(at)}
        assert wrong.keys() - stands_on_theirs == set(), f"not as before: {wrong}"
        if not force:
            assert self.named.keys() <= left, f"not named: {self.named.keys() - left}"
        assert left <= self.named.keys() | stands_on_theirs, f"left, and nobody changed it: {done.left}"
        open_ = {(world.place(item.target), item.key) for item in journal.outstanding()}
        assert open_ == left

    def _under_theirs(self, at: At) -> bool:
        """Whether it is a port group under a vmknic that somebody else changed."""
        place, key = at
        users = self.estate.users(place, key.partition("/")[2]) if key.startswith("portgroup/") else []
        return any((place, user) in self.named for user in users)

    def _all(self) -> set[At]:
        return self.estate.now().keys() | self.estate.before.keys() | self.base.keys()

    def _base(self, at: At) -> Value:
        """Return what it must be in the end; the gateway of a vmknic goes with the vmknic, whoever set it."""
        place, key = at
        address = key.removeprefix("gateway/")
        if address != key and not self.estate.has(place, address):
            return ABSENT
        return self.base.get(at, self.estate.before.get(at, ABSENT))

    def _ours(self, at: At) -> bool:
        """Whether our value is there."""
        return self.estate.get(*at) != self._base(at)

    def _back(self, journal: Journal) -> bool:
        """Whether what is outstanding is of a way back."""
        return any(
            body.back and record.run == item.run
            for item in journal.outstanding()
            for record, body in of(RunBegun, journal.records)
        )

    def teardown(self) -> None:
        """Put everything back, then what somebody else changed as well."""
        try:
            self._restore(Process(), force=False)
            self._restore(Process(), force=True)
            Histories.count += 1
        finally:
            shutil.rmtree(self.folder)


def run(histories: int, number: int, machine: type[Histories] = Histories) -> tuple[int, int]:
    """Run so many histories from the seed *number*; return how many, and the deaths in them. A failure is raised."""
    Histories.count = Histories.died = 0
    run_state_machine_as_test(
        seed(number)(machine),
        settings=settings(
            max_examples=histories, stateful_step_count=STEPS, deadline=None, database=None,
            suppress_health_check=list(HealthCheck), phases=(Phase.generate, Phase.shrink),
        ),
    )  # fmt: skip
    return Histories.count, Histories.died
