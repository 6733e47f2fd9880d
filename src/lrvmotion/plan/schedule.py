"""The migration queue as a state machine: events in, commands out, limits kept."""

from __future__ import annotations

import copy
import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import assert_never

from lrvmotion.config import schema
from lrvmotion.model.migration_state import MigrationState
from lrvmotion.plan.plan import Migration

OVERTAKEN = 4  # VMs that pass the head of the queue and take what it waits for; then that is kept for it
FAR = 100  # so many VMs of the queue are looked at for those that come next
LEAST_MBPS = 250.0  # a vMotion is supported at this rate or above (vsphere.md 5: 250 Mbit/s per concurrent vMotion)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many migrations may run at once; None: as many as there are.

    *per_host* counts at a source host and at a target host (vCenter queues more than 2 without shared storage),
    *per_datastore* (vCenter: 8) and *per_network* at each site, *per_relay* through one near relay,
    *max_concurrent* over the circuit.
    Source of vCenter's figures: "Limits on simultaneous migrations", vSphere 6.7 documentation.
    """

    per_host: int = 1
    per_datastore: int | None = 8
    per_network: int | None = None
    per_relay: int | None = None
    max_concurrent: int | None = None

    @classmethod
    def measured(cls, limits: schema.Limits, *, line_mbps: float | None, relay_mbps: float | None) -> Limits:
        """Return the configuration's *limits*.

        Where it leaves it open, as many moves share the circuit and a relay as leave 250 Mbit/s to each of what was
        measured of them (*line_mbps*, *relay_mbps*; None: not measured, then no limit).
        """

        def share(asked: int | None, mbps: float | None) -> int | None:
            return asked if asked is not None or mbps is None else max(int(mbps / LEAST_MBPS), 1)

        return cls(
            per_host=limits.per_host,
            per_datastore=limits.per_datastore,
            per_network=limits.per_network,
            per_relay=share(limits.per_relay, relay_mbps),
            max_concurrent=share(limits.max_concurrent, line_mbps),
        )

    def of(self, lease: str) -> int | None:
        """Return how many may hold *lease* at once."""
        kind = lease.partition(" ")[0]
        return {
            "host": self.per_host,
            "datastore": self.per_datastore,
            "network": self.per_network,
            "relay": self.per_relay,
            "circuit": self.max_concurrent,
        }[kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A migration ended in a final state: success, error, cancelled, or held before it started."""

    vm: str
    state: MigrationState


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Start nothing more; with *cancel*, cancel what runs."""

    cancel: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """A Start that was not carried out: the migration is queued again."""

    vm: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A try failed for a passing reason: the migration waits, and holds no lease."""

    vm: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """The wait after a failed try is over: the migration is queued again."""

    vm: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """From now on only what takes at most *seconds* may start: what is left of the window; None: no end, 0: closed."""

    seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """From now on nothing starts from these source *hosts*, and everything from the others, until the next Bar."""

    hosts: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """Look whether something can start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Command: start this migration now."""

    migration: Migration


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Command: cancel this VM's running migration."""

    vm: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Command: this VM is held, it will not start; *reason* is a sentence."""

    vm: str
    reason: str


Event = Begin | Ended | Stop | Withdrawn | Failed | Due | Room | Bar
Command = Start | Cancel | Hold


class Schedule:
    """Which migration starts when.

    A wave begins when all of the waves before it have ended, a VM when those that it comes *after* have moved; in the
    order given, but a migration whose leases are taken lets later ones pass; the first of the queue only *OVERTAKEN* of
    those that take a lease which it needs, so that each one's turn comes. More than *max_failures* errors stop it.
    *seconds* is how long each VM should take, *relay_by_host* which near relay carries a source host.
    """

    def __init__(
        self,
        migrations: Iterable[Migration],
        limits: Limits | None = None,
        *,
        max_failures: int | None = None,
        seconds: Mapping[str, float] | None = None,
        relay_by_host: Mapping[str, str] | None = None,
    ) -> None:
        self._migrations = {migration.vm: migration for migration in migrations}
        self.states: dict[str, MigrationState] = dict.fromkeys(self._migrations, MigrationState.QUEUED)
        self._limits = limits or Limits()
        self._max_failures = max_failures
        self._seconds = seconds or {}
        self._room: float | None = None
        self._barred: frozenset[str] = frozenset()
        relays = relay_by_host or {}
        self._leases = {vm: leases(move, relays.get(move.source_host)) for vm, move in self._migrations.items()}
        self._waves = Counter(move.wave for move in self._migrations.values())  # those that have not ended
        self._overtaken: Counter[str] = Counter()
        self._order = list(self._migrations)
        self.stopped = False

    def step(self, event: Event) -> list[Command]:
        """Take *event* and return what to do now."""
        match event:
            case Begin():
                pass
            case Ended(vm=vm, state=state):
                self._end(vm, state)
            case Withdrawn(vm=vm) | Due(vm=vm):
                self._expect(vm, MigrationState.RUNNING if isinstance(event, Withdrawn) else MigrationState.WAITING)
                self.states[vm] = MigrationState.QUEUED
            case Failed(vm=vm):
                self._expect(vm, MigrationState.RUNNING)
                self.states[vm] = MigrationState.WAITING
            case Room(seconds=seconds):
                self._room = seconds
            case Bar(hosts=hosts):
                self._barred = hosts
            case Stop(cancel=cancel):
                self.stopped = True
                if cancel:
                    return [Cancel(vm=vm) for vm, state in self.states.items() if state == MigrationState.RUNNING]
            case _:
                assert_never(event)
        return [] if self.stopped else [*self._hopeless(), *self._startable()]

    def adopt(self, vm: str) -> None:
        """Count *vm*, which is queued or waits, as running: its task was found."""
        self._expect(vm, MigrationState.WAITING if self.states[vm] == MigrationState.WAITING else MigrationState.QUEUED)
        self.states[vm] = MigrationState.RUNNING

    @property
    def running(self) -> list[str]:
        """The VMs that run."""
        return [vm for vm, state in self.states.items() if state == MigrationState.RUNNING]

    @property
    def left(self) -> list[str]:
        """The VMs that have neither started nor ended."""
        return [vm for vm, state in self.states.items() if state in {MigrationState.QUEUED, MigrationState.WAITING}]

    @property
    def finished(self) -> bool:
        """Whether nothing runs and nothing will start."""
        return not self.running and (self.stopped or not self.left)

    def too_long(self, seconds: float) -> list[str]:
        """Return the VMs that take longer than *seconds*, the longest window, and could never start."""
        return [vm for vm in self.left if self._seconds.get(vm, 0.0) > seconds]

    def upcoming(self, most: int, percents: Mapping[str, int]) -> list[str]:
        """Return the VMs that start next, at most *most*, as far as that can be told: those that run end in time.

        *percents* are how far these are.
        """
        later = copy.copy(self)
        own = {"states": {**self.states}, "_waves": self._waves.copy(), "_overtaken": Counter(self._overtaken)}
        later.__dict__ |= own | {
            "_order": list(islice((vm for vm in self._order if self.states[vm] == MigrationState.QUEUED), FAR))
        }
        running = [(self._seconds.get(vm, 1.0) * (100 - percents.get(vm, 0)), vm) for vm in self.running]
        heapq.heapify(running)
        found: list[str] = []
        while running and len(found) < most and not later.stopped:
            now, vm = heapq.heappop(running)
            for command in later.step(Ended(vm=vm, state=MigrationState.SUCCESS)):
                if isinstance(command, Start):
                    found.append(command.migration.vm)
                    heapq.heappush(running, (now + self._seconds.get(found[-1], 1.0) * 100, found[-1]))
        return found[:most]

    def _expect(self, vm: str, state: MigrationState) -> None:
        if self.states[vm] != state:
            message = f"{vm} is {self.states[vm]}, not {state}"
            raise ValueError(message)

    def _end(self, vm: str, state: MigrationState) -> None:
        if self.states[vm].is_final:
            message = f"{vm} has ended already"
            raise ValueError(message)
        self.states[vm] = MigrationState(state)
        self._waves[self._migrations[vm].wave] -= 1
        failures = sum(1 for state in self.states.values() if state == MigrationState.ERROR)
        if self._max_failures is not None and failures > self._max_failures:
            self.stopped = True

    def _hopeless(self) -> Iterator[Hold]:
        """Hold what comes after a VM that did not move; and what comes after that."""
        again = True
        while again:
            again = False
            for vm in [vm for vm in self._order if self.states[vm] in {MigrationState.QUEUED, MigrationState.WAITING}]:
                needed = self._migrations[vm].depends_on
                bad = [before for before in needed if before in self.states and self.states[before].is_bad]
                if bad:
                    self._end(vm, MigrationState.HELD)
                    again = True
                    yield Hold(vm=vm, reason=f"comes after {bad[0]}, which did not move")

    def _startable(self) -> Iterator[Start]:
        wave = min((wave for wave, count in self._waves.items() if count), default=0)
        busy = Counter(lease for vm in self.running for lease in self._leases[vm])
        head: str | None = None  # the first that has to wait
        for vm in self._order:
            migration = self._migrations[vm]
            if not self._may(migration, wave):
                continue
            if any(self._full(lease, busy) for lease in self._leases[vm]):
                if head is None:
                    head = vm
                    self._keep(head, busy)
                continue
            busy.update(self._leases[vm])
            self.states[vm] = MigrationState.RUNNING
            self._overtaken.pop(vm, None)
            if head is not None and self._overtaken[head] < OVERTAKEN and self._hinders(vm, head, busy):
                self._overtaken[head] += 1
                self._keep(head, busy)
            yield Start(migration=migration)

    def _may(self, migration: Migration, wave: int) -> bool:
        """Return whether *migration*, leases apart, may start now."""
        return (
            self.states[migration.vm] == MigrationState.QUEUED
            and migration.wave == wave
            and self._fits(migration.vm)
            and migration.source_host not in self._barred
            and all(
                self.states.get(before, MigrationState.SUCCESS) == MigrationState.SUCCESS
                for before in migration.depends_on
            )
        )

    def _full(self, lease: str, busy: Mapping[str, int]) -> bool:
        return (most := self._limits.of(lease)) is not None and busy[lease] >= most

    def _hinders(self, vm: str, head: str, busy: Mapping[str, int]) -> bool:
        """Return whether *vm* has the last of a lease that *head* needs."""
        return any(self._full(lease, busy) for lease in {*self._leases[vm]} & {*self._leases[head]})

    def _keep(self, head: str, busy: Counter[str]) -> None:
        """Count the leases of *head* as taken once it was overtaken often enough."""
        if self._overtaken[head] == OVERTAKEN:
            busy.update(self._leases[head])

    def _fits(self, vm: str) -> bool:
        if self._room is None:
            return True
        return self._room > 0 and self._seconds.get(vm, 0.0) <= self._room


def queue_end(schedule: Schedule, seconds: Mapping[str, float]) -> float:
    """Return when the last VM of a fresh *schedule* has moved, in seconds, if each takes what *seconds* says."""
    running: list[tuple[float, str]] = []
    now = 0.0
    event: Event = Begin()
    while True:
        for command in schedule.step(event):
            if isinstance(command, Start):
                heapq.heappush(running, (now + seconds[command.migration.vm], command.migration.vm))
        if not running:
            return now
        now, vm = heapq.heappop(running)
        event = Ended(vm=vm, state=MigrationState.SUCCESS)


def leases(migration: Migration, relay: str | None) -> tuple[str, ...]:
    """Return what *migration* takes a share of while it runs."""
    place = migration.placement
    return (
        f"host source/{migration.source_host}",
        f"host target/{place.host.name}",
        *(f"datastore source/{name}" for name in migration.source_datastores),
        *(f"datastore target/{store.ref.value}" for store in place.datastores),
        *(f"network {name}" for name in migration.vmotion_networks),
        *([f"relay {relay}"] if relay is not None else []),
        "circuit",
    )
