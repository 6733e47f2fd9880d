"""A run as its journal and its events have it, for tests of what is told of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from fakes import change_of
from lrvmotion.events import Carried, Connected, Event, Found, Message, Move, RelaySample, RunEnded, RunStarted
from lrvmotion.findings import Finding, Severity
from lrvmotion.journal.event_log import EventLog, RecordedEvents, read
from lrvmotion.journal.journal import Journal
from lrvmotion.journal.records import MoveEnded, Record, RunBegun, RunPlan
from lrvmotion.model.setting import ABSENT, Value
from lrvmotion.plan.plan import Change

START = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)
RUN = "abc234"
GIB = 1024**3
OPTION = "option/Migrate.VMotionStreamHelpers"
WHO = {"who": "ada@desk", "accounts": {"source": "ops@a at vc-a", "target": "ops@b at vc-b", "relay/r": "root at r"}}


class Clock:
    """Wall clock and seconds of a run that a test moves on."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> str:
        return (START + timedelta(seconds=self.seconds)).isoformat(timespec="milliseconds")


def change(target: str = "source/a1", prior: int = 0, planned: int = 4) -> Change:
    return change_of(target, OPTION, Value("long", prior), Value("long", planned), "streams")


def move(vm: str, state, percent: int = 0, *, size: int = 8 * GIB, attempts: int = 1, **more) -> Move:
    return Move(
        vm=vm,
        state=state,
        source_host="a1",
        target_host="b1",
        percent=percent,
        bytes_total=size,
        attempts=attempts,
        **more,
    )


def run(state: Path, events: list[tuple[float, Event]], vms: tuple[str, ...] = ("db", "web", "old")) -> None:
    """Write a run's journal and events: two settings changed, moves as *events* (seconds, event) say."""
    clock = Clock()
    with (
        Journal(state, clock) as journal,
        EventLog(state, clock, lambda event: None, seconds=lambda: clock.seconds) as log,
    ):
        log(Connected(site="source", address="vc-a:443", version="8.0.3 build 1"))
        journal.append(RUN, RunBegun(mode="proxy", owner_id="owner9", vms=vms, **WHO))
        forecast = {"vms": [{"vm": vm, "seconds": 60.0 + 20 * number} for number, vm in enumerate(vms)]}
        sizes = [{"vm": vm, "hot_bytes": 8 * GIB, "cold_bytes": 0, "source_host": "a1"} for vm in vms]
        journal.append(RUN, RunPlan(plan={"plan": {"forecast": forecast}, "migrations": sizes}))
        log(RunStarted(run=RUN, mode="proxy", journal="j", vms=vms, forecast_s=150.0))
        for one in (change(), change("target/b1")):
            journal.intended(RUN, one)
            journal.applied(RUN, one.target, one.key)
        file = change_of("relay/r", "file//etc/x", ABSENT, Value("string", "y"), "relay")
        journal.intended(RUN, file)
        for seconds, event in events:
            clock.seconds = seconds
            if isinstance(event, Move) and event.state in {"success", "error", "held", "cancelled"}:
                journal.append(RUN, MoveEnded(vm=event.vm, state=event.state, reason=event.reason or ""))
            log(event)


def usual() -> list[tuple[float, Event]]:
    """Two VMs move, one after a failed try; one is held."""
    told: list[tuple[float, Event]] = [(1.0, move(vm, "queued", attempts=0)) for vm in ("db", "web", "old")]
    told += [(5.0 + at, move("db", "running", int(at * 1.4))) for at in range(0, 70, 3)]
    told += [(20.0 + at, move("web", "running", at * 3)) for at in range(0, 12, 2)]
    reason = {"reason": "the connection was reset", "hint": "look at the circuit"}
    told += [(33.0, move("web", "waiting", 0, wait_s=30.0, **reason))]
    told += [(64.0 + at, move("web", "running", at, attempts=2)) for at in range(0, 100, 4)]
    told += [(76.0, move("db", "success", 100, elapsed_s=71.0))]
    told += [(165.0, move("web", "success", 100, attempts=2, elapsed_s=145.0))]
    told += [(166.0, move("old", "held", attempts=0, reason="it has 2 snapshots now", hint="remove them"))]
    for second in range(4, 166, 2):
        bps = 0.0 if second < 6 else (1.1e9 if second < 76 else 0.75e9) * (1 + 0.07 * (second * 7919 % 13 - 6) / 6)
        told.append((float(second), RelaySample(
            relay="r", streams=4, bps=bps, rtt_ms=151.2, retransmits=0.01, limiter="loss", bytes=0,
        )))  # fmt: skip
    told += [(77.0, Carried(vm="db", kind="tag", name="tier/gold", carried=True))]
    told += [
        (77.0, Carried(vm="db", kind="drs-rule", name="apart", carried=False, reason="the cluster has no such VM"))
    ]
    finding = Finding(severity=Severity.WARNING, code="vm-tools", subject="vm/db", summary="tools are not back yet")
    told += [(77.5, Found(finding=finding)), (90.0, Message(text="relay r: its watch answers again"))]
    told += [(167.0, RunEnded(run=RUN, outstanding=3))]
    return sorted(told, key=lambda one: one[0])


def records(state: Path) -> list[Record]:
    from lrvmotion.journal.journal import read as journal

    return journal(state / "journal.jsonl").records


def kept(state: Path) -> RecordedEvents:
    return read(state, RUN)
