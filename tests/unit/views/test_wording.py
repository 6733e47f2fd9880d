"""The words of each event: every event has them or is shown by itself, and they are the same in every view."""

from __future__ import annotations

import dataclasses
import io
import typing

import pytest
from rich.console import Console

import told
from lrvmotion import events
from lrvmotion.events import (
    CapChanged,
    Carried,
    Changed,
    Found,
    HookRan,
    Interrupted,
    Left,
    Message,
    PathMeasured,
    Proven,
    Rebooting,
    RunEnded,
    RunStarted,
    Waiting,
    WindowChanged,
)
from lrvmotion.findings import Finding, Severity
from lrvmotion.journal.event_log import EventLog
from lrvmotion.model.setting import Value, document
from lrvmotion.plan.plan import Plan
from lrvmotion.report import run_history
from lrvmotion.views.events.lines import Lines
from lrvmotion.views.events.wording import next_interrupt, wording
from lrvmotion.views.live.screen import Screen
from lrvmotion.views.report import data, html, markdown
from lrvmotion.views.text import words

FINDING = Finding(code="tools-late", severity=Severity.WARNING, subject="vm/web1", summary="its guest is late", hint="")
WORDS = {
    Message(text="relay-a: was started again"): "relay-a: was started again",
    WindowChanged(is_open=True, until="2026-11-24T06:00:00+00:00"): "maintenance window open until 2026-11-24 06:00",
    WindowChanged(is_open=False, until=None): "maintenance window closed",
    CapChanged(relay="relay-a", bps=40_000_000): "relay relay-a: cap 40 Mbit/s",
    CapChanged(relay="relay-a", bps=None): "relay relay-a: no cap",
    Rebooting(host="source/esx-a1", phase="maintenance"): "source/esx-a1: enters maintenance mode",
    Interrupted(level=1): "interrupted: no more VMs are started",
    Interrupted(level=2): "interrupted twice: the running moves are cancelled",
    Interrupted(level=3): "interrupted three times: moves that still run are left to vCenter",
    Interrupted(level=1, doing="changing"): "interrupted: no VM is moved, and what was changed is restored",
    Interrupted(level=1, doing="restoring"): "interrupted: no more settings are restored",
    HookRan(point="after_vm", subject="vm/web1", status=3, seconds=1.0, detail="no route"): (
        "hook after_vm of vm/web1 failed with exit status 3: no route"
    ),
    HookRan(point="before_vm", subject="vm/web1", status=None, seconds=1.0, detail="not ended after 60 s"): (
        "hook before_vm of vm/web1 failed: not ended after 60 s"
    ),
    Found(finding=FINDING): "warning: vm/web1: its guest is late  [tools-late]",
}
OTHERS = {
    HookRan(point="after_vm", subject="vm/web1", status=0, seconds=1.0): "hook after_vm of vm/web1 succeeded",
    Carried(vm="web1", kind="tag", name="gold", carried=False, reason="there is none"): (
        "web1: tag gold not carried over: there is none"
    ),
    Carried(vm="web1", kind="tag", name="gold", carried=None): "web1: tag gold not looked at",
    Changed(how="applied", target="source/esx-a1", key="option/Net.X", prior="0", value="1", done=3, total=26): (
        "[ 3/26] source/esx-a1: Net.X set: 1"
    ),
    Left(target="source/esx-a1", key="option/Net.X", reason="changed by somebody else"): (
        "NOT restored: source/esx-a1: Net.X: changed by somebody else"
    ),
    Proven(subject="esx-a1", ok=False, detail="10.0.0.1 -> 10.0.1.1"): "NOT proven: esx-a1: 10.0.0.1 -> 10.0.1.1",
    Waiting(subject="source/esx-a1", reason="it is being rebooted"): "waiting for source/esx-a1: it is being rebooted",
}


def drawn(*these: events.Event) -> str:
    screen = Screen(Plan(run=told.RUN, owner_id=told.RUN, mode="native"), lambda: 0.0)
    for event in these:
        screen(event)
    to = Console(width=160, height=40, file=io.StringIO(), force_terminal=True, color_system=None)
    to.print(screen)
    return to.file.getvalue()


@pytest.mark.parametrize("event", [*WORDS, *OTHERS], ids=lambda event: str(wording(event))[:40])
def test_an_event_reads_so(event):
    """One line, as an administrator says it."""
    assert wording(event) == (WORDS | OTHERS)[event]


@pytest.mark.parametrize("event", WORDS, ids=lambda event: str(wording(event))[:40])
def test_an_event_reads_the_same_in_every_view(event, tmp_path):
    """Plain lines and the log, the live screen, and the report in each of its forms."""
    told.run(tmp_path, told.usual())
    clock = told.Clock()
    clock.seconds = 1000.0
    with EventLog(tmp_path, clock, lambda event: None, seconds=lambda: clock.seconds) as log:
        for one in (RunStarted(run=told.RUN, mode="proxy", journal="j", vms=()), event):
            log(one)
        log(RunEnded(run=told.RUN, outstanding=0))
    history = run_history.tell(told.records(tmp_path), told.RUN, told.kept(tmp_path))
    said = str(wording(event))
    lines = Lines(quiet=True)
    lines.line(RunStarted(run=told.RUN, mode="proxy", journal="j", vms=()))
    assert str(lines.line(event)).startswith(said)
    if not isinstance(event, CapChanged | WindowChanged):  # they stand in the screen's header
        assert said in drawn(event)
    assert history.moments[-1].event == event
    assert data.story_json(history)["moments"][-1]["text"] == said
    assert " ".join(said.split()) in markdown.report(history).replace("\\", "")  # a cell has single blanks
    assert said.replace("'", "&#x27;").replace(">", "&gt;") in html.report(history, [])


def test_whoever_can_press_ctrl_c_again_sees_what_it_does():
    """On the screen and in the lines; a report is read when it is too late for that."""
    for event in (Interrupted(level=1), Interrupted(level=2), Interrupted(level=1, doing="changing")):
        text = f"{wording(event)}; {next_interrupt(event)}"
        assert Lines(quiet=True).line(event) == text
        assert text in drawn(event)
    assert next_interrupt(Interrupted(level=3)) is None


def test_what_is_no_news_has_no_line():
    """A hook that succeeded, a tag that was carried over, a pair that was not measured: a report lists them."""
    lines = Lines(quiet=True)
    assert lines.line(HookRan(point="after_vm", subject="vm/web1", status=0, seconds=1.0)) is None
    assert lines.line(Carried(vm="web1", kind="tag", name="gold", carried=True)) is None
    missed = PathMeasured(
        source="source/a", target="target/b", sent=0, received=0, rtt_ms=None, jitter_ms=None, loss=None, reason="no"
    )
    assert lines.line(missed) is None
    assert lines.line(Found(finding=FINDING)) is None, "before a run the plan shows it"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (document(active=True, config="/x.json", enabled=True), "active, config /x.json, enabled"),
        (document(listen_port=9000, port=8000, sources=["10.0.0.1", "10.0.0.2"]),
         "relay port 9000, TCP port 8000, from 10.0.0.1 10.0.0.2"),
        (document(content="a line\n"), "1 line, sha256 786e184927ec"),
        (Value("bool", data=True), "on"),
        (Value("bool", data=False), "off"),
        (Value("string", ""), '""'),
    ],
)  # fmt: skip
def test_a_value_reads_as_in_the_plan_when_it_is_set(value, said):
    """The event has the value as text already."""
    assert words.value(value) == said
    event = Changed(how="applied", target="relay/r", key="unit/x", prior="", value=value.brief(), done=1, total=1)
    assert wording(event) == f"[1/1] relay/r: unit x set: {said}"


def test_every_event_has_words():
    """But those that a view of their own shows: the end of a run or a restore, and who is next."""
    kinds = [kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, events.Event)]
    bare = {kind.__name__ for kind in kinds if wording(_any(kind)) is None}
    assert bare == {"Event", "RunEnded", "RestoreEnded", "Upcoming"}


def _any(kind: type[events.Event]) -> events.Event:
    """Return some event of *kind*."""
    some = {"str": "x", "int": 1, "float": 1.0, "bool": True, "Finding": FINDING, "MigrationState": "running"}
    given: dict[str, typing.Any] = {}
    for field in dataclasses.fields(kind):
        text = str(field.type)
        given[field.name] = "applied" if text.startswith("Literal") else some.get(text.split(" ", maxsplit=1)[0], ())
    if kind is Interrupted:
        given["doing"] = "moving"
    return kind(**given)
