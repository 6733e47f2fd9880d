"""A finding on the screen has its code: docs/checks.md is looked up by it."""

from __future__ import annotations

from pathlib import Path

from lrvmotion.findings import Finding, Severity
from lrvmotion.plan.plan import Plan
from lrvmotion.views import checks
from lrvmotion.views import plan as plans

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
