"""Results on stdout: report, restore and status, as tables for people or one JSON document."""

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

from lrvmotion.events import Error, Move
from lrvmotion.journal import run_state
from lrvmotion.journal.changes import Outstanding
from lrvmotion.journal.records import Record
from lrvmotion.model.counted import remain_changed
from lrvmotion.model.migration_state import MigrationState
from lrvmotion.model.setting import ABSENT
from lrvmotion.report.run_result import Report
from lrvmotion.views import errors
from lrvmotion.views.relays import relays as show_relays
from lrvmotion.views.text import console, units, words

STYLES = {
    MigrationState.SUCCESS: "green",
    MigrationState.ERROR: "bold red",
    MigrationState.HELD: "yellow",
    MigrationState.CANCELLED: "yellow",
    MigrationState.RUNNING: "cyan",
}


def document(content: dict[str, Any]) -> None:
    """Print *content* as one JSON document, the last line of stdout."""
    sys.stdout.write(text(content))
    sys.stdout.flush()


def text(content: dict[str, Any]) -> str:
    """Return *content* as one line of JSON."""
    return json.dumps(content) + "\n"


def report(done: Report, state: Path, restore: str, to: Console | None = None) -> None:
    """Print what a run came to, *to* stdout by default; *restore* is the command for what remains changed."""
    to = to or console.out()
    moves = list(done.moves.values())
    if moves:
        to.print(_moves(moves))
        for move in moves:
            if move.reason:
                hint = f" (hint: {move.hint})" if move.hint else ""
                console.hang(to, Text(f"{move.vm}: "), Text(f"{move.reason}{hint}", style=STYLES.get(move.state, "")))
        moved = [move for move in moves if move.state == MigrationState.SUCCESS]
        size = units.size(sum(move.bytes_total for move in moved))
        to.print(f"{len(moved)} of {words.count(len(moves), 'VM')} moved, {size}")
    if done.refused:
        text = f"{words.count(len(done.refused), 'VM')} refused and left out: {words.first_few(done.refused)}"
        console.hang(to, Text(""), Text(text, style="yellow"))
    put_back = f", {done.reverted} restored" if done.reverted else ""
    to.print(f"run {done.run}, {done.mode} mode: {words.count(done.applied, 'setting')} changed{put_back}")
    if done.resume is not None:
        have = "VM has" if len(done.unmoved) == 1 else "VMs have"
        text = f"{len(done.unmoved)} {have} not moved: {words.first_few(done.unmoved)}. To go on with the run:"
        to.print(text, soft_wrap=True, markup=False)
        to.print(f"  {done.resume}", soft_wrap=True, markup=False, style="bold")
    _outstanding(to, done, state, restore)


def _moves(moves: Sequence[Move]) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 1), pad_edge=False)
    for name in ("VM", "result", "from", "to", "size", "time", "mean rate"):
        right = name in {"size", "time", "mean rate"}
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for move in moves:
        result = "not started" if move.state == MigrationState.QUEUED else words.state(move.state)
        table.add_row(
            escape(move.vm), Text(result, style=STYLES.get(move.state, "")), escape(move.source_host),
            escape(move.target_host), units.size(move.bytes_total) if move.bytes_total else "-",
            units.duration(move.elapsed_s) if move.elapsed_s else "-", mean_rate(move),
        )  # fmt: skip
    return table


def mean_rate(move: Move) -> str:
    """Return the mean rate of a move that succeeded."""
    if move.state != MigrationState.SUCCESS or move.elapsed_s <= 0:
        return "-"
    return units.rate(move.bytes_total * 8 / move.elapsed_s)


def _outstanding(to: Console, done: Report, state: Path, restore: str) -> None:
    for left in done.left:
        text = Text(f"{left.target}: {words.setting(left.key)}: {left.reason}", style="bold red")
        console.hang(to, Text("left: ", style="bold red"), text)
    if done.left:
        to.print(f"look at what is left; then '{restore}', or with --force", soft_wrap=True, markup=False)
    elif done.outstanding:
        kept = " for the next VMs" if done.moves else ""
        them = "it" if done.outstanding == 1 else "them"
        to.print(f"{remain_changed(done.outstanding)}{kept}. To restore {them}:")
        to.print(f"  {restore}", soft_wrap=True, markup=False, style="bold")
    to.print(Text(f"journal: {state / 'journal.jsonl'}", style="dim"), soft_wrap=True)


def report_json(done: Report, state: Path, error: Error | None = None) -> dict[str, Any]:
    """Return what a run came to as a JSON object; *error* is what ended it."""
    return {
        "run": done.run,
        "mode": done.mode,
        "status": int(done.status) if error is None else error.status,
        "unmoved": list(done.unmoved),
        "refused": list(done.refused),
        "resume": done.resume,
        "restore": done.restore,
        "moves": {
            move.vm: {
                "state": move.state, "source_host": move.source_host, "target_host": move.target_host,
                "seconds": round(move.elapsed_s, 3), "bytes": move.bytes_total, "reason": move.reason,
                "instance_uuid": move.instance_uuid, "source_ref": move.source_ref,
            }
            for move in done.moves.values()
        },
        **restored_json(done, [], state, error),
    }  # fmt: skip


def restored(
    done: Report,
    recognised: Sequence[str],
    state: Path,
    restore: str,
    *,
    recorded: bool,
    to: Console | None = None,
) -> None:
    """Print what a restore came to, *to* stdout by default; *restore* is its command.

    *recorded*: a run was, in *state*. Where none was, a wrong --state-dir is no sign that nothing was changed.
    """
    to = to or console.out()
    for item in recognised:
        to.print(f"recognised, not in this journal: {item}", soft_wrap=True, markup=False)
    if done.reverted:
        whole = "" if done.left or done.outstanding else "; hosts and relay hosts are as before"
        to.print(f"{words.count(done.reverted, 'setting')} restored{whole}")
    elif not done.left and not done.outstanding and not recognised:
        nothing = "nothing is outstanding" if recorded else f"no run was recorded in {state}; --state-dir names another"
        to.print(f"nothing to restore: {nothing}", soft_wrap=True, markup=False)
    _outstanding(to, done, state, restore)


def restored_json(done: Report, recognised: Sequence[str], state: Path, error: Error | None = None) -> dict[str, Any]:
    """Return what a restore came to as a JSON object; *error* is what ended it."""
    failed = {} if error is None else {"error": errors.document(error.message, error.hint, error.status)}
    return {
        "schema": 1,
        **failed,
        "settings_changed": done.applied,
        "settings_restored": done.reverted,
        "left": [{"target": left.target, "key": left.key, "reason": left.reason} for left in done.left],
        "outstanding": done.outstanding,
        "recognised": list(recognised),
        "journal": str(state / "journal.jsonl"),
    }


def status(
    records: Sequence[Record],
    items: Sequence[Outstanding],
    relays: dict[str, dict[str, Any]],
    state: Path,
    restore: str,
) -> None:
    """Print the runs, what is outstanding where, and the relays; *restore* is the command that puts it back."""
    to = console.out()
    table = Table(box=None, header_style="dim", padding=(0, 1), pad_edge=False)
    for name in ("run", "began (UTC)", "mode", "VMs", "moved"):
        table.add_column(name, overflow="fold", justify="right" if name in {"VMs", "moved"} else "left")
    for run in runs(records):
        began = run["began"][:19].replace("T", " ")
        table.add_row(run["run"], began, run["mode"], str(run["vms"]), str(run["moved"]))
    to.print(table if table.row_count else "no run yet")
    by_target: dict[str, list[Outstanding]] = {}
    for item in items:
        by_target.setdefault(item.target, []).append(item)
    for target, there in by_target.items():
        to.print()
        to.print(Text(target, style="bold").append(f"  {len(there)} outstanding", style="not bold dim"))
        for item in there:
            text = Text(f"{words.setting(item.key)}  ")
            fresh = item.prior == ABSENT
            before = "" if fresh else f"{words.value(item.prior)} → "
            text.append(f"{before}{words.value(item.planned[-1])}", style="dim")
            console.hang(to, Text("  + " if fresh else "  ~ ", style="green" if fresh else "yellow"), text)
    if relays:
        to.print()
    show_relays(to, relays)
    if items:
        to.print(Text(f"\n{words.count(len(items), 'setting')} not restored yet. To restore:"))
        to.print(f"  {restore}", soft_wrap=True, markup=False, style="bold")
    else:
        to.print("nothing is outstanding")
    to.print(Text(f"journal: {state / 'journal.jsonl'}", style="dim"), soft_wrap=True)


def runs(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Return one object for every run in the journal; *left* VMs have neither moved nor are on their way."""
    return [
        {
            "run": run.run, "began": run.began, "mode": run.mode, "vms": len(run.vms), "moved": len(run.moved),
            "open": len(run.open), "left": len(run.left),
        }
        for run in run_state.all_runs(records).values()
    ]  # fmt: skip


def status_json(
    records: Sequence[Record], items: Sequence[Outstanding], relays: dict[str, dict[str, Any]], state: Path
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
