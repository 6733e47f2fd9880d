"""Results on stdout: plan, report, restore and status, as tables for people or one JSON document."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from lrvmotion.events import Move
from lrvmotion.findings import Finding, Severity
from lrvmotion.journal import Outstanding, Record
from lrvmotion.plan import ABSENT, Change, Plan
from lrvmotion.report import Report
from lrvmotion.views import console, units

MARKS = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.INFO: "dim"}


def document(content: dict[str, Any]) -> None:
    """Print *content* as one JSON document, the last line of stdout."""
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()


def plan(made: Plan, state: Path, *, stderr: bool = False) -> None:
    """Print the plan: changes as a diff by target, what is skipped, migrations, findings."""
    to = console.err() if stderr else console.out()
    to.print(Text(f"mode {made.mode}: {made.vmknics} vmknic(s) at the source, {made.streams} stream(s) a move"))
    target = ""
    for change in made.changes:
        if change.target != target:
            target = change.target
            to.print(Text(target, style="bold"))
        to.print(_change(change), soft_wrap=True)
    for skipped in made.skipped:
        to.print(Text(f"  . {skipped.target} {skipped.key}: {skipped.reason}", style="dim"), soft_wrap=True)
    if not made.changes and made.mode != "stock":
        to.print("nothing to change: every setting is as wanted")
    if made.migrations:
        to.print(_migrations(made))
    _findings(to, made.findings)
    to.print(Text(f"journal: {state / 'journal.jsonl'}", style="dim"), soft_wrap=True)


def _change(change: Change) -> Text:
    mark, style = (
        ("+", "green") if change.prior == ABSENT else ("-", "red") if change.planned == ABSENT else ("~", "yellow")
    )
    text = Text(f"  {mark} ", style=style)
    text.append(f"{change.key}: ")
    if change.prior != ABSENT:
        text.append(f"{change.prior.brief()} → ")
    text.append(change.planned.brief(), style=style)
    text.append(f"  {change.reason}", style="dim")
    return text


def _migrations(made: Plan) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 1))
    for name in ("VM", "from", "to", "datastore", "networks", "vMotion", "NFC"):
        table.add_column(name, justify="right" if name in {"vMotion", "NFC"} else "left", overflow="fold")
    for move in made.migrations:
        place = move.placement
        networks = ", ".join(nic.network.name for nic in place.nics) or "-"
        table.add_row(
            escape(move.vm), escape(move.source_host), escape(place.host.name), escape(place.datastore.name),
            escape(networks), units.size(move.hot_bytes), units.size(move.cold_bytes),
        )  # fmt: skip
    return table


def _findings(to: Console, findings: Sequence[Finding]) -> None:
    for finding in sorted(findings, key=lambda item: list(Severity).index(item.severity)):
        text = Text(f"{finding.severity}: ", style=MARKS[finding.severity])
        text.append(f"{finding.subject}: {finding.summary}")
        to.print(text, soft_wrap=True)
        if finding.hint:
            to.print(Text(f"  hint: {finding.hint}", style="dim"), soft_wrap=True)


def plan_json(made: Plan, state: Path) -> dict[str, Any]:
    """Return the plan as a JSON object."""
    return {
        "schema": 1,
        "run": made.run,
        "mode": made.mode,
        "applyable": made.applyable,
        "streams": made.streams,
        "vmknics": made.vmknics,
        "journal": str(state / "journal.jsonl"),
        "changes": [
            {
                "target": change.target, "key": change.key, "prior": change.prior.to_json(),
                "planned": change.planned.to_json(), "reason": change.reason, "reboot": change.reboot,
            }
            for change in made.changes
        ],
        "skipped": [{"target": item.target, "key": item.key, "reason": item.reason} for item in made.skipped],
        "migrations": [
            {
                "vm": move.vm, "instance_uuid": move.instance_uuid, "source_host": move.source_host,
                "target_host": move.placement.host.name, "pool": move.placement.pool.path,
                "folder": move.placement.folder.path, "datastore": move.placement.datastore.name,
                "networks": {nic.label: nic.network.name for nic in move.placement.nics},
                "hot_bytes": move.hot_bytes, "cold_bytes": move.cold_bytes,
            }
            for move in made.migrations
        ],
        "findings": [finding_json(finding) for finding in made.findings],
    }  # fmt: skip


def finding_json(finding: Finding) -> dict[str, Any]:
    """Return a finding as a JSON object."""
    return {
        "severity": str(finding.severity), "code": finding.code, "subject": finding.subject,
        "summary": finding.summary, "hint": finding.hint,
    }  # fmt: skip


def report(done: Report, state: Path) -> None:
    """Print what a run came to."""
    to = console.out()
    if done.moves:
        table = Table(box=None, header_style="dim", padding=(0, 1))
        for name in ("VM", "result", "from", "to", "time", "rate", "reason"):
            table.add_column(name, justify="right" if name in {"time", "rate"} else "left", overflow="fold")
        for move in done.moves.values():
            table.add_row(
                escape(move.vm), move.state, escape(move.source_host), escape(move.target_host),
                units.duration(move.elapsed_s) if move.elapsed_s else "-", mean_rate(move), escape(move.reason or ""),
            )  # fmt: skip
        to.print(table)
    to.print(f"run {done.run}: {done.applied} settings changed, {done.reverted} put back")
    _outstanding(to, done, state)


def mean_rate(move: Move) -> str:
    """Return the mean rate of a move that succeeded."""
    if move.state != "success" or move.elapsed_s <= 0:
        return "-"
    return units.rate(move.bytes_total * 8 / move.elapsed_s)


def _outstanding(to: Console, done: Report, state: Path) -> None:
    for left in done.left:
        to.print(Text(f"left: {left.target}: {left.key}: {left.reason}", style="bold red"), soft_wrap=True)
    if done.outstanding:
        to.print(f"{done.outstanding} settings are still changed; put them back with: lrvmotion restore-defaults")
    to.print(Text(f"journal: {state / 'journal.jsonl'}", style="dim"), soft_wrap=True)


def report_json(done: Report, state: Path) -> dict[str, Any]:
    """Return what a run came to as a JSON object."""
    return {
        "schema": 1,
        "run": done.run,
        "mode": done.mode,
        "status": int(done.status),
        "moves": {
            move.vm: {
                "state": move.state, "source_host": move.source_host, "target_host": move.target_host,
                "seconds": round(move.elapsed_s, 3), "bytes": move.bytes_total, "reason": move.reason,
            }
            for move in done.moves.values()
        },
        **restored_json(done, [], state),
    }  # fmt: skip


def restored(done: Report, recognised: Sequence[str], state: Path) -> None:
    """Print what a restore came to."""
    to = console.out()
    for item in recognised:
        to.print(f"recognised, not in this journal: {item}", soft_wrap=True, markup=False)
    if done.reverted:
        to.print(f"{done.reverted} settings put back")
    elif not done.left and not recognised:
        to.print("nothing to put back: nothing is outstanding")
    _outstanding(to, done, state)


def restored_json(done: Report, recognised: Sequence[str], state: Path) -> dict[str, Any]:
    """Return what a restore came to as a JSON object."""
    return {
        "settings_changed": done.applied,
        "settings_restored": done.reverted,
        "left": [{"target": left.target, "key": left.key, "reason": left.reason} for left in done.left],
        "outstanding": done.outstanding,
        "recognised": list(recognised),
        "journal": str(state / "journal.jsonl"),
    }


def status(records: Sequence[Record], items: Sequence[Outstanding], relays: dict[str, str], state: Path) -> None:
    """Print the runs, what is outstanding where, and the relays."""
    to = console.out()
    table = Table(box=None, header_style="dim", padding=(0, 1))
    for name in ("run", "began", "mode", "VMs", "moved"):
        table.add_column(name, overflow="fold")
    for run in runs(records):
        table.add_row(run["run"], run["began"], run["mode"], str(run["vms"]), str(run["moved"]))
    to.print(table if table.row_count else "no run yet")
    by_target: dict[str, list[str]] = {}
    for item in items:
        by_target.setdefault(item.target, []).append(item.key)
    for target, keys in by_target.items():
        to.print(Text(f"{target}: {len(keys)} settings outstanding", style="bold"))
        for key in keys:
            to.print(f"  {key}", markup=False, soft_wrap=True)
    for name, text in relays.items():
        to.print(f"{name}: {text}", markup=False, soft_wrap=True)
    if not items:
        to.print("nothing is outstanding")
    to.print(Text(f"journal: {state / 'journal.jsonl'}", style="dim"), soft_wrap=True)


def runs(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Return one object for every run in the journal."""
    found: dict[str, dict[str, Any]] = {}
    for record in records:
        if record.kind == "run":
            found[record.run] = {
                "run": record.run, "began": record.at, "mode": record.body["mode"],
                "vms": len(record.body["vms"]), "moved": 0,
            }  # fmt: skip
        elif record.kind == "moved" and record.body["state"] == "success" and record.run in found:
            found[record.run]["moved"] += 1
    return list(found.values())


def status_json(
    records: Sequence[Record], items: Sequence[Outstanding], relays: dict[str, str], state: Path
) -> dict[str, Any]:
    """Return the status as a JSON object."""
    return {
        "schema": 1,
        "runs": runs(records),
        "outstanding": [
            {
                "target": i.target,
                "key": i.key,
                "prior": i.prior.to_json(),
                "planned": i.planned[-1].to_json(),
                "run": i.run,
            }
            for i in items
        ],
        "relays": relays,
        "journal": str(state / "journal.jsonl"),
    }
