"""The plan on the screen: a line a change, each reason once, and what blocks it; or one JSON object."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from lrvmotion.findings import Finding, Severity, together
from lrvmotion.plan.modes import MODES
from lrvmotion.plan.plan import Plan
from lrvmotion.views.plan import forecast, plan_tree
from lrvmotion.views.text import console, units, words

MARKS = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.INFO: "dim"}


def plan(made: Plan, state: Path, *, stderr: bool = False) -> None:
    """Print the plan: changes as a diff by target, what is skipped, migrations, findings."""
    to = console.err() if stderr else console.out()
    streams = f"{words.count(made.vmknics, 'vmknic')} at the source, {words.count(made.streams, 'stream')} a move"
    to.print()
    to.print(Text(f"{made.mode} mode: {streams if made.migrations or made.changes else 'no VM moves'}", style="bold"))
    plan_tree.changes(to, made)
    _skipped(to, made)
    if not made.changes:
        to.print("No changes" + (": all settings already match" if MODES[made.mode].CHANGES_SETTINGS else ""))
    if made.migrations:
        to.print()
        to.print(_migrations(made))
        plan_tree.paths(to, made)
    if made.forecast is not None:
        forecast.show(to, made.forecast, made.mode)
    if made.refused:
        to.print()
        to.print(
            Text(f"refused, and left out of this plan ({words.count(len(made.refused_vms), 'VM')}):", style="bold")
        )
        _findings(to, made.refused)
    _findings(to, made.findings)
    to.print()
    to.print(Text(f"journal: {state / 'journal.jsonl'}", style="dim"), soft_wrap=True)


def saved(file: Path, migrate: str) -> None:
    """Print where the plan was written; *migrate* is the command that does it."""
    to = console.out()
    to.print("Plan saved. To run exactly this plan:")
    to.print(f"  {migrate} --plan {shlex.quote(str(file))}", soft_wrap=True, markup=False, style="bold")


def _skipped(to: Console, made: Plan) -> None:
    where: dict[tuple[str, str], list[str]] = {}
    for item in made.skipped:
        where.setdefault((item.key, item.reason), []).append(item.target)
    if where:
        to.print()
    for (key, reason), targets in where.items():
        text = Text(f"{words.setting(key)}: {reason} ({words.first_few(targets)})", style="dim")
        console.hang(to, Text("  . ", style="dim"), text)


def _migrations(made: Plan) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 1), pad_edge=False)
    waves = len({move.wave for move in made.migrations}) > 1
    numbers = {"wave", "vMotion", "NFC"}
    for name in (*(["wave"] if waves else []), "VM", "from", "to", "datastore", "networks", "vMotion", "NFC"):
        table.add_column(name, justify="right" if name in numbers else "left", overflow="fold")
    for move in made.migrations:
        place = move.placement
        networks = ", ".join(nic.network.name for nic in place.nics) or "-"
        stores = ", ".join(dict.fromkeys(store.name for store in place.datastores))
        number = [str(move.wave)] if waves else []
        table.add_row(
            *number, escape(move.vm), escape(move.source_host), escape(place.host.name), escape(stores),
            escape(networks), units.size(move.hot_bytes), units.size(move.cold_bytes),
        )  # fmt: skip
    return table


def _findings(to: Console, findings: Sequence[Finding]) -> None:
    """Print the findings, errors first; one that holds of many is told once."""
    found = together(sorted(findings, key=lambda item: list(Severity).index(item.severity)))
    if found:
        to.print()
    for one, names in found.items():
        said = f"{names[0]}: {one.summary}" if len(names) == 1 else f"{one.summary} ({words.first_few(names)})"
        text = Text(f"{one.severity}: ", style=MARKS[one.severity])
        text.append(said, style="not bold").append(f"  [{one.code}]", style="not bold dim")
        console.hang(to, Text(""), text)
        if one.hint:
            console.hang(to, Text("  "), Text(f"hint: {one.hint}", style="dim"))


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
                "vm": move.vm, "instance_uuid": move.instance_uuid, "ref": str(move.ref),
                "source_host": move.source_host, "target_host": move.placement.host.name,
                "pool": move.placement.pool.path, "folder": move.placement.folder.path,
                "datastore": move.placement.datastore.name,
                "disks": {disk.label: disk.datastore.name for disk in move.placement.disks},
                "networks": {nic.label: nic.network.name for nic in move.placement.nics},
                "hot_bytes": move.hot_bytes, "cold_bytes": move.cold_bytes,
                "wave": move.wave, "depends_on": list(move.depends_on),
            }
            for move in made.migrations
        ],
        "data_paths": [asdict(path) for path in made.data_paths],
        "forecast": forecast.document(made.forecast),
        "findings": [finding_json(finding) for finding in made.findings],
        "refused": [
            {"vm": vm, "reasons": [finding_json(one) for one in made.refused if one.subject == f"vm/{vm}"]}
            for vm in made.refused_vms
        ],
    }  # fmt: skip


def finding_json(finding: Finding) -> dict[str, Any]:
    """Return a finding as a JSON object."""
    return {
        "severity": str(finding.severity), "code": finding.code, "subject": finding.subject,
        "summary": finding.summary, "hint": finding.hint,
    }  # fmt: skip
