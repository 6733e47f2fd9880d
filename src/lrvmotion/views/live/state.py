"""How a run stands, as a pure fold of its events: what the live screen and the heartbeat show."""

from __future__ import annotations

from collections import Counter, deque
from itertools import chain, islice

from lrvmotion.events import (
    CapChanged,
    Event,
    Interrupted,
    Move,
    RelaySample,
    RunStarted,
    Upcoming,
    WindowChanged,
)
from lrvmotion.model.migration_state import MigrationState
from lrvmotion.views.live.progress import Progress, left

FRESH_S = 6.0  # a relay's sample older than this says nothing about now
HISTORY_S = 120  # of the circuit's rate, one figure a second
SLOPE_S = 5  # the circuit's rate, where no relay counts it, is what was carried in that long
LINGER_S = 8.0  # so long a VM that has ended keeps its place, if no other takes it
MEAN_S = 60  # the queue's end goes by the mean rate of that long: it does not jump with every sample
BAD = tuple(state for state in MigrationState if state.is_bad)


class State:
    """What is known of a run; *now* is everywhere in seconds of one monotonic clock, bytes are as planned.

    Every event costs the same however many VMs there are. A VM that runs keeps its place (`placed`), and the next one
    takes it when it has ended: no line jumps.
    """

    def __init__(self) -> None:
        self.vms: dict[str, Progress] = {}
        self.counts: Counter[MigrationState] = Counter()
        self.waiting: dict[str, float] = {}  # VM: when its next attempt is due
        self.bad: list[str] = []  # in the order in which they ended, as moved
        self.moved: list[str] = []
        self.waves = 1
        self.cold_bytes = 0
        self.longest_vm = self.longest_host = 4  # characters of the longest names
        self.relays: dict[str, tuple[float, RelaySample]] = {}
        self.caps: dict[str, int | None] = {}
        self.window: WindowChanged | None = None
        self.forecast_s: float | None = None
        self.stopped = False  # nothing more starts
        self.ahead: tuple[str, ...] = ()  # those that start next, as the schedule has it
        self.history: deque[float] = deque(maxlen=HISTORY_S)  # bit/s
        self.highest = 0.0
        self._places: list[str] = []
        self._carried: deque[tuple[float, float]] = deque(maxlen=SLOPE_S + 1)  # when, bytes
        self._bytes: Counter[MigrationState] = Counter()
        self._first: float | None = None  # when the first VM ran
        self._ticked = 0.0

    def take(self, event: Event, now: float) -> None:
        """Fold *event* in."""
        match event:
            case Move():
                self._move(event, now)
            case RelaySample(relay=relay):
                self.relays[relay] = (now, event)
                self.caps[relay] = event.cap_bps
            case CapChanged(relay=relay, bps=bps):
                self.caps[relay] = bps
            case WindowChanged():
                self.window = event
            case Upcoming(vms=vms):
                self.ahead = vms
            case Interrupted():
                self.stopped = True
            case RunStarted(forecast_s=forecast_s):
                self.forecast_s = forecast_s
            case _:
                pass

    def tick(self, now: float) -> None:
        """Note the circuit's rate, once a second from the first move on; whoever draws calls it before that."""
        if self._first is not None and now - self._ticked >= 1.0:
            self._ticked = now
            self._carried.append((now, self.carried(now)))
            bps = self.bps(now)
            self.history.append(bps)
            self.highest = max(self.highest, bps)

    @property
    def running(self) -> list[str]:
        """The VMs that run, each in its place."""
        return [vm for vm in self._places if self.vms[vm].move.state == MigrationState.RUNNING]

    def placed(self, now: float) -> list[str]:
        """Return the VMs that run or have just ended, each in its place."""
        there = ((vm, self.vms[vm]) for vm in self._places)
        return [
            vm
            for vm, it in there
            if it.move.state == MigrationState.RUNNING or (it.move.state.is_final and now - it.seen < LINGER_S)
        ]

    @property
    def ended(self) -> bool:
        """Whether every VM has come to an end."""
        return not any(
            self.counts[state] for state in (MigrationState.QUEUED, MigrationState.RUNNING, MigrationState.WAITING)
        )

    def queued(self, most: int) -> list[str]:
        """Return the next VMs of the queue, at most *most*."""
        if most <= 0 or not self.counts[MigrationState.QUEUED]:
            return []
        ahead = [vm for vm in self.ahead if vm in self.vms and self.vms[vm].move.state == MigrationState.QUEUED]
        rest = (vm for vm, it in self.vms.items() if it.move.state == MigrationState.QUEUED and vm not in ahead)
        return list(islice(chain(ahead, rest), most))

    def bps(self, now: float) -> float:
        """Return bit/s over the circuit, never negative: what the relays carry, else what the moves have."""
        if (bps := self._relayed(now)) or len(self._carried) < 2:
            return bps
        (since, before), (until, after) = self._carried[0], self._carried[-1]
        return max(after - before, 0.0) * 8 / (until - since)

    def rate(self, vm: str, now: float) -> float | None:
        """Return bit/s of a move: what the relays carry where it is the only one that runs, else by its percent."""
        if self.counts[MigrationState.RUNNING] == 1 and self.vms[vm].move.state == MigrationState.RUNNING:
            return self._relayed(now) or self.vms[vm].rate(now)
        return self.vms[vm].rate(now)

    def carried(self, now: float) -> float:
        """Return the bytes that were carried of those that move or have moved."""
        return self._bytes[MigrationState.SUCCESS] + sum(
            self.vms[vm].carried(now, self.rate(vm, now)) for vm in self.running
        )

    @property
    def total(self) -> int:
        """The bytes of all VMs that have moved or will: not of those that failed, are held, or will not start."""
        idle: tuple[MigrationState, ...] = (MigrationState.QUEUED, MigrationState.WAITING) if self.stopped else ()
        return self._bytes.total() - sum(self._bytes[state] for state in (*BAD, *idle))

    def moving_s(self, now: float) -> float | None:
        """Return for how long VMs have moved."""
        return None if self._first is None else now - self._first

    def left_s(self, now: float) -> float | None:
        """Return when the last VM will have moved, in seconds from now; None where that is not known."""
        recent = list(self.history)[-MEAN_S:]
        if not recent or not self.counts[MigrationState.RUNNING]:
            return None
        rest = left(self.total, self.carried(now), sum(recent) / len(recent))
        longest = 0.0
        for vm in self.running:
            it, bps = self.vms[vm], self.rate(vm, now)
            longest = max(longest, left(it.move.bytes_total, it.carried(now, bps), bps) or 0.0)
        return None if rest is None else max(rest, longest, 0.0)

    def _relayed(self, now: float) -> float:
        return sum(sample.bps for at, sample in self.relays.values() if now - at < FRESH_S and sample.streams)

    def _move(self, move: Move, now: float) -> None:
        seen = self.vms.get(move.vm)
        before = None if seen is None else seen.move
        if seen is None:
            self.vms[move.vm] = Progress(move, now)
        else:
            seen.take(move, now)
        if before is None:
            self.cold_bytes += move.cold_bytes
            self.waves = max(self.waves, move.wave)
            self.longest_vm = max(self.longest_vm, len(move.vm))
            self.longest_host = max(self.longest_host, len(move.target_host))
        else:
            self._bytes[before.state] -= before.bytes_total
        self._bytes[move.state] += move.bytes_total
        if before is None or before.state != move.state:
            if before is not None:
                self._leave(before)
            self._enter(move, now)
        if move.state == MigrationState.WAITING:
            self.waiting[move.vm] = now + move.wait_s

    def _enter(self, move: Move, now: float) -> None:
        self.counts[move.state] += 1
        if move.state == MigrationState.RUNNING:
            self._first = now if self._first is None else self._first
            free = [place for place, vm in enumerate(self._places) if self.vms[vm].move.state != MigrationState.RUNNING]
            mine = [place for place in free if self._places[place] == move.vm]
            if free:
                self._places[(mine or free)[0]] = move.vm
            else:
                self._places.append(move.vm)
        elif move.state == MigrationState.SUCCESS:
            self.moved.append(move.vm)
        elif move.state.is_bad:
            self.bad.append(move.vm)

    def _leave(self, move: Move) -> None:
        self.counts[move.state] -= 1
        if move.state == MigrationState.WAITING:
            del self.waiting[move.vm]
        elif move.state == MigrationState.SUCCESS:
            self.moved.remove(move.vm)
        elif move.state.is_bad:
            self.bad.remove(move.vm)
