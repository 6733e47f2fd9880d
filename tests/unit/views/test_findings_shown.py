"""A finding on the screen has its code: `lrvmotion explain` and docs/checks.md are asked for it."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from lrvmotion.events import Found, RunStarted
from lrvmotion.findings import Finding, Severity
from lrvmotion.plan.plan import Plan
from lrvmotion.views import checks
from lrvmotion.views.events import lines
from lrvmotion.views.plan import plan as plans
from lrvmotion.views.text import console

FOUND = (
    Finding(severity=Severity.WARNING, code="host-drs", subject="source/a1", summary="DRS is fully automated"),
    Finding(severity=Severity.WARNING, code="host-drs", subject="source/a2", summary="DRS is fully automated"),
    Finding(severity=Severity.ERROR, code="vm-usb", subject="vm/web1", summary="has a USB device", hint="remove it"),
)


def test_check_shows_the_code_behind_each_finding(capsys):
    """Once for what holds of several."""
    checks.show(FOUND, (), (), ())
    out = capsys.readouterr().out
    assert "warning: DRS is fully automated  [host-drs]\n" in out
    assert "error: has a USB device  [vm-usb]\n" in out
    assert out.count("host-drs") == 1


def test_plan_shows_the_code_behind_each_finding(capsys):
    """As check does."""
    plans.plan(Plan(run="abcdef", owner_id="abcdef", mode="stock", findings=FOUND), Path("/state"))
    out = capsys.readouterr().out
    assert "warning: DRS is fully automated (source/a1, source/a2)  [host-drs]\n" in out
    assert "error: vm/web1: has a USB device  [vm-usb]\n" in out


def test_a_run_shows_the_code_of_what_it_finds():
    """Before the run has started the plan shows its findings: they are not told twice."""
    plain = lines.Lines(quiet=True)
    assert plain.line(Found(finding=FOUND[2])) is None
    plain.line(RunStarted(run="abcdef", mode="stock", journal="j", vms=("web1",)))
    assert plain.line(Found(finding=FOUND[2])) == "error: vm/web1: has a USB device  [vm-usb]"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_code_is_whole_on_a_terminal_of_any_width(monkeypatch, width):
    """Behind a summary that fills its lines it stands on the next one, and is never broken at its hyphens."""
    long = [
        Finding(severity=Severity.WARNING, code="vm-disk-independent", subject="vm/web1", summary="x" * n, hint="h")
        for n in range(20, 120, 7)
    ]
    out = io.StringIO()
    to = Console(width=width, file=out, force_terminal=True, color_system=None)
    monkeypatch.setattr(console, "out", lambda: to)
    checks.show(long, (), (), ())
    plans.plan(Plan(run="abcdef", owner_id="abcdef", mode="stock", findings=tuple(long)), Path("/state"))
    drawn = out.getvalue().splitlines()
    assert max(map(len, drawn)) <= max(width, len("journal: /state/journal.jsonl"))
    assert sum(line.count("[vm-disk-independent]") for line in drawn) == 2 * len(long)
