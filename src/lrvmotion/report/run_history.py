"""What became of a run, from its events and the journal: VMs, settings, rates, what was carried; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from lrvmotion.events import (
    CapChanged,
    Carried,
    Connected,
    Event,
    Found,
    HookRan,
    Interrupted,
    Left,
    Message,
    Move,
    Proven,
    Rebooting,
    RelaySample,
    RunEnded,
    RunStarted,
    WindowChanged,
)
from lrvmotion.findings import Finding, Severity
from lrvmotion.journal.changes import Reversion, history
from lrvmotion.journal.event_log import RecordedEvents, TimedEvent
from lrvmotion.journal.records import MoveBegun, MoveEnded, Record, RunBegun, RunPlan, of
from lrvmotion.model.counted import counted
from lrvmotion.model.migration_state import MigrationState
from lrvmotion.model.setting import SettingKey, Value
from lrvmotion.model.target_id import TargetId

_DIARY = Message | WindowChanged | CapChanged | Rebooting | Interrupted | HookRan  # and what was found


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One relocate of a VM, seconds since the run began; *ended* None: not seen to end."""

    began: float
    ended: float | None
    state: MigrationState
    reason: str | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """How much of a VM had gone over at a time: *bytes* by vCenter's own percentage, in attempt number *attempts*."""

    t: float
    bytes: float
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VmHistory:
    """One VM: how it ended, its attempts, its progress. *forecast_s* None: there was none.

    *carried* is what does not follow a VM by itself, *found* what was found after the move; *hooks* ran for it.
    *instance_uuid* and *source_ref* are "" where it was not begun, or by an older version.
    """

    vm: str
    state: MigrationState
    source_host: str = ""
    target_host: str = ""
    wave: int = 1
    bytes: int = 0
    cold_bytes: int = 0
    attempts: tuple[Attempt, ...] = ()
    points: tuple[Point, ...] = ()
    reason: str | None = None
    hint: str | None = None
    forecast_s: float | None = None
    carried: tuple[Carried, ...] = ()
    found: tuple[Finding, ...] = ()
    hooks: tuple[HookRan, ...] = ()
    instance_uuid: str = ""
    source_ref: str = ""

    @property
    def seconds(self) -> float | None:
        """How long the last try took, None where none ended."""
        last = self.attempts[-1] if self.attempts else None
        return None if last is None or last.ended is None else last.ended - last.began

    @property
    def bps(self) -> float | None:
        """The mean rate of the move that brought it over, bit/s; None for any other."""
        return self.bytes * 8 / self.seconds if self.state == MigrationState.SUCCESS and self.seconds else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting that was changed while the run went on: *now* is "restored" or "not restored".

    *by* is the run that changed it: an earlier one where the run found it changed. *ended*: when it was restored.
    """

    target: TargetId
    key: SettingKey
    prior: Value
    planned: Value
    by: str
    at: str
    reason: str = ""
    now: str = "not restored"
    ended: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a relay sent to the WAN at a time, bit/s."""

    t: float
    relay: str
    bps: float
    rtt_ms: float | None
    retransmits: float | None
    limiter: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Something that happened and has no table of its own, seconds since the run began."""

    t: float
    at: str
    event: Event


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHistory:
    """A run from its first event to its last; *seconds* of it, None where its end was not seen.

    *sittings* counts the processes that worked on it. *notes* say what the story lacks, and why.
    """

    run: str
    mode: str
    back: bool = False
    who: str = ""
    accounts: Mapping[str, str] = field(default_factory=dict)
    began: str = ""
    ended: str | None = None
    seconds: float | None = None
    forecast_s: float | None = None
    interrupted: int = 0
    sittings: int = 1
    vms: tuple[VmHistory, ...] = ()
    settings: tuple[Setting, ...] = ()
    samples: tuple[Sample, ...] = ()
    moments: tuple[Moment, ...] = ()
    connected: tuple[Connected, ...] = ()
    proofs: tuple[Proven, ...] = ()
    left: tuple[Left, ...] = ()
    notes: tuple[str, ...] = ()

    def count(self, *states: str) -> int:
        """Return how many VMs ended in one of *states*."""
        return sum(vm.state in states for vm in self.vms)

    @property
    def bytes(self) -> int:
        """The bytes of the VMs that moved."""
        return sum(vm.bytes for vm in self.vms if vm.state == MigrationState.SUCCESS)

    @property
    def end_s(self) -> float:
        """The last second that anything is known of, at least 1."""
        times = [self.seconds or 0.0, *(moment.t for moment in self.moments), *(sample.t for sample in self.samples)]
        times += [time for vm in self.vms for one in vm.attempts for time in (one.began, one.ended or 0.0)]
        return max(1.0, *times)


def tell(records: Sequence[Record], run: str, kept: RecordedEvents) -> RunHistory:
    """Return the story of *run*, which *records* knows; without kept events its times are the journal's."""
    mine = [record for record in records if record.run == run]
    begins = [body for _, body in of(RunBegun, mine)]
    plan: Mapping[str, Any] = next((body.plan for _, body in of(RunPlan, mine)), {})
    sizes = {move["vm"]: move for move in plan.get("migrations", [])}
    notes = [] if not kept.torn else [f"events that were cut short are left out: {counted(kept.torn, 'line')}"]
    if not any(isinstance(told.event, RunStarted) for told in kept.told):
        kept = replace(kept, told=_by_journal(mine, sizes))
        notes.append("the events of this run were not kept: times are the journal's, and rates are not known")
    fold = _Fold()
    for told, t in _on_one_axis(kept.told):
        fold.take(told, t)
    last = {body.vm: body for _, body in of(MoveEnded, mine)}
    forecast = (plan.get("plan") or {}).get("forecast") or {}
    seconds = {one["vm"]: one["seconds"] for one in forecast.get("vms", [])}
    names = dict.fromkeys(vm for body in begins for vm in body.vms)
    if fold.ended_t is None:
        notes.append("the end of this run was not seen: it still runs, or it died")
    first, newest = begins[0], begins[-1]
    return RunHistory(
        run=run, mode=first.mode, back=first.back, who=newest.who, accounts=newest.accounts,
        began=next(record.at for record, _ in of(RunBegun, mine)), ended=fold.ended_at, seconds=fold.ended_t,
        forecast_s=fold.forecast_s, interrupted=fold.interrupted, sittings=len({told.sitting for told in kept.told}),
        vms=tuple(fold.vm(name, last.get(name), seconds.get(name)) for name in names),
        settings=tuple(settings(records, run)), samples=tuple(fold.samples), moments=tuple(fold.moments),
        connected=tuple(fold.connected.values()), proofs=tuple(fold.proofs), left=tuple(fold.left), notes=tuple(notes),
    )  # fmt: skip


def settings(records: Sequence[Record], run: str) -> list[Setting]:
    """Return the settings that *run* changed or found changed, and what became of each since."""
    began = next(record.seq for record in records if record.run == run)
    found: dict[tuple[str, str], Setting] = {}
    for one in history(records):
        own = [intention for intention in one.intentions if intention.run == run]
        before = [intention for intention in one.intentions if intention.seq < began]
        back = one.reverted
        if not own and (not before or (back is not None and back.seq < began)):
            continue
        last = (own or before)[-1]
        found[one.target, one.key] = Setting(
            target=last.target, key=one.key, prior=one.first.prior, planned=last.planned, by=last.run, at=last.at,
            reason=last.reason if own else "", now=_now(back),
            ended=back.at if back else None,
        )  # fmt: skip
    return list(found.values())


def _now(back: Reversion | None) -> str:
    if back is None:
        return "not restored"
    return "left with its VM" if back.gone else "restored"


@dataclass(slots=True)
class _Vm:
    last: Move | None = None
    attempts: list[Attempt] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    carried: dict[tuple[str, str], Carried] = field(default_factory=dict)
    found: list[Finding] = field(default_factory=list)
    hooks: list[HookRan] = field(default_factory=list)


@dataclass(slots=True)
class _Fold:
    vms: dict[str, _Vm] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    connected: dict[str, Connected] = field(default_factory=dict)
    proofs: list[Proven] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    forecast_s: float | None = None
    interrupted: int = 0
    started: int = 0
    ended_t: float | None = None
    ended_at: str | None = None

    def take(self, told: TimedEvent, t: float) -> None:
        event = told.event
        match event:
            case Move():
                self._move(event, t)
            case Carried():
                self._of(event.vm).carried[event.kind, event.name] = event
            case Found(finding=finding) if finding.subject.startswith("vm/") and self.started:
                self._of(finding.subject.removeprefix("vm/")).found.append(finding)
            case RelaySample():
                self.samples.append(
                    Sample(
                        t=t, relay=event.relay, bps=event.bps, rtt_ms=event.rtt_ms, retransmits=event.retransmits,
                        limiter=event.limiter,
                    )
                )  # fmt: skip
            case Connected(site=site):
                self.connected[site] = event
            case Proven():
                self.proofs.append(event)
            case Left():
                self.left.append(event)
            case RunStarted(forecast_s=seconds):
                self.forecast_s = self.forecast_s if self.started else seconds
                self.started, self.interrupted, self.ended_t, self.ended_at = self.started + 1, 0, None, None
            case RunEnded():
                self.ended_t, self.ended_at = t, told.at
            case Interrupted(level=level):
                self.interrupted = level
            case HookRan(subject=subject) if subject.removeprefix("vm/") in self.vms:
                self._of(subject.removeprefix("vm/")).hooks.append(event)
            case _:
                pass
        if isinstance(event, _DIARY) or (isinstance(event, Found) and event.finding.severity != Severity.INFO):
            self.moments.append(Moment(t=t, at=told.at, event=event))

    def _of(self, vm: str) -> _Vm:
        return self.vms.setdefault(vm, _Vm())

    def _move(self, event: Move, t: float) -> None:
        vm = self._of(event.vm)
        runs = bool(vm.attempts) and vm.attempts[-1].ended is None
        if event.state == MigrationState.RUNNING:
            if not runs or (vm.last is not None and event.attempts > vm.last.attempts):
                vm.attempts.append(Attempt(began=t, ended=None, state=MigrationState.RUNNING))
            point = Point(t=t, bytes=event.bytes_total * event.percent / 100, attempts=len(vm.attempts))
            if not vm.points or (point.bytes, point.attempts) != (vm.points[-1].bytes, vm.points[-1].attempts):
                vm.points.append(point)
        elif runs and (event.state.is_final or event.state == MigrationState.WAITING):
            state = MigrationState.ERROR if event.state == MigrationState.WAITING else event.state
            vm.attempts[-1] = replace(vm.attempts[-1], ended=t, state=state, reason=event.reason, hint=event.hint)
            if event.state == MigrationState.SUCCESS:
                vm.points.append(Point(t=t, bytes=event.bytes_total, attempts=len(vm.attempts)))
        vm.last = event

    def vm(self, name: str, moved: MoveEnded | None, forecast_s: float | None) -> VmHistory:
        """Return the story of one VM; *moved* is the journal's last word on it, which counts."""
        vm = self._of(name)
        last = vm.last
        state = last.state if last is not None else MigrationState.QUEUED
        if moved is not None:
            state = MigrationState(moved.state)
        agreed = last is not None and last.state == state
        return VmHistory(
            vm=name, state=state, source_host=last.source_host if last else "",
            target_host=last.target_host if last else "", wave=last.wave if last else 1,
            bytes=last.bytes_total if last else 0, cold_bytes=last.cold_bytes if last else 0,
            attempts=tuple(vm.attempts),
            points=tuple(vm.points), reason=last.reason if agreed and last else (moved.reason if moved else "") or None,
            hint=last.hint if agreed and last else None, forecast_s=forecast_s, carried=tuple(vm.carried.values()),
            found=tuple(vm.found), hooks=tuple(vm.hooks), instance_uuid=last.instance_uuid if last else "",
            source_ref=last.source_ref if last else "",
        )  # fmt: skip


def _on_one_axis(told: Sequence[TimedEvent]) -> list[tuple[TimedEvent, float]]:
    """Return each event with its seconds since the run's first start; each process counted its own."""
    starts: dict[int, datetime] = {}
    for one in told:
        if isinstance(one.event, RunStarted) and one.sitting not in starts:
            starts[one.sitting] = datetime.fromisoformat(one.at)
    first = min(starts.values(), default=None)
    later = {s: (at - first).total_seconds() for s, at in starts.items()} if first is not None else {}
    return [(one, max(0.0, one.t + later.get(one.sitting, 0.0))) for one in told]


def _by_journal(mine: Sequence[Record], sizes: Mapping[str, Mapping[str, Any]]) -> tuple[TimedEvent, ...]:
    """Return the events that the journal's own records stand for."""
    began = datetime.fromisoformat(mine[0].at)
    found: list[TimedEvent] = []
    hosts: dict[str, tuple[str, str, int]] = {}
    for record in mine:
        match record.body:
            case RunBegun(mode=mode, vms=vms):
                event: Event = RunStarted(run=record.run, mode=mode, journal="", vms=vms)
            case MoveBegun(vm=vm, source_host=source, target_host=target, attempt=attempt):
                hosts[vm] = (source, target, attempt or 1)
                event = _moved(vm, MigrationState.RUNNING, hosts, sizes, None)
            case MoveEnded(vm=vm, state=state, reason=reason):
                event = _moved(vm, state, hosts, sizes, reason or None)
            case _:
                continue
        t = (datetime.fromisoformat(record.at) - began).total_seconds()
        found.append(TimedEvent(at=record.at, t=t, event=event))
    return tuple(found)


def _moved(
    vm: str,
    state: Any,  # noqa: ANN401 - as the journal has it
    hosts: Mapping[str, tuple[str, str, int]],
    sizes: Mapping[str, Mapping[str, Any]],
    reason: str | None,
) -> Event:
    size = sizes.get(vm, {})
    source, target, attempts = hosts.get(vm, (str(size.get("source_host", "")), "", 0))
    cold = int(size.get("cold_bytes", 0))
    return Move(
        vm=vm, state=state, source_host=source, target_host=target, bytes_total=int(size.get("hot_bytes", 0)) + cold,
        cold_bytes=cold, attempts=attempts, wave=int(size.get("wave", 1)), reason=reason,
    )  # fmt: skip
