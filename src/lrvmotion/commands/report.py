"""lrvmotion report: what became of a run, who wrote what, and whether the journal is as it was written."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lrvmotion.commands.context import Context
from lrvmotion.errors import ExitStatus, UsageError

if TYPE_CHECKING:
    from lrvmotion.journal.records import Record

Run = Annotated[
    str | None,
    typer.Argument(metavar="RUN", help="A run's id, or the beginning of it; the last run without it."),
]


class Format(StrEnum):
    """How the report is written."""

    MD = "md"
    HTML = "html"
    CSV = "csv"
    JSON = "json"


def report(
    context: typer.Context,
    run: Run = None,
    form: Annotated[
        Format, typer.Option("--format", envvar="LRVMOTION_REPORT_FORMAT", help="html has plots; csv is a line a VM.")
    ] = Format.MD,
    file: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            envvar="LRVMOTION_REPORT",
            help="Write there, readable for you alone, not to stdout.",
        ),
    ] = None,
    audit: Annotated[
        bool,
        typer.Option("--audit", envvar="LRVMOTION_AUDIT", help="Every write of the run: who, when, what, prior, new."),
    ] = False,
    settings: Annotated[
        bool,
        typer.Option(
            "--settings",
            envvar="LRVMOTION_REPORT_SETTINGS",
            help="List every setting on a terminal, not only those that are not restored; a file has them all.",
        ),
    ] = False,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            envvar="LRVMOTION_VERIFY",
            help="Check that no record of the journal was altered; exit 2 where one was.",
        ),
    ] = False,
) -> int:
    """Show the result of a run: VMs, times, rates, faults, settings before and after, tags and permissions."""
    from lrvmotion.journal import audit_log as audits
    from lrvmotion.journal import event_log
    from lrvmotion.journal import journal as journals
    from lrvmotion.report import run_history
    from lrvmotion.views import results
    from lrvmotion.views.report import data, html, markdown
    from lrvmotion.views.text import console

    own: Context = context.obj
    state = own.state(own.config() if own.find_config() else None)
    if verify:
        return _verify(state)
    records = journals.read(state / "journal.jsonl").records
    caps = journals.read(state / f"{journals.THROTTLE}.jsonl").records
    name = chosen(records, run)
    entries = audits.entries(records, caps, name)
    if form is Format.HTML and file is None and sys.stdout.isatty():
        message = "a report in HTML is not for a terminal"
        raise UsageError(message, hint="name a file for it: -o report.html")
    drawn = form is Format.MD and file is None and sys.stdout.isatty()
    if audit:
        made = {
            Format.MD: lambda: markdown.audit(entries),
            Format.HTML: lambda: html.audit(entries, name),
            Format.CSV: lambda: data.audit_csv(entries),
            Format.JSON: lambda: results.text(data.audit_json(entries, name)),
        }[form]()
    else:
        told = run_history.tell(records, name, event_log.read(state, name))
        made = {
            Format.MD: lambda: markdown.report(
                told, width=console.out().width if drawn else None, folded=drawn and not settings
            ),
            Format.HTML: lambda: html.report(told, entries),
            Format.CSV: lambda: data.vms_csv(told),
            Format.JSON: lambda: results.text(data.story_json(told)),
        }[form]()
    if drawn:
        from lrvmotion.views.report import terminal

        terminal.show(console.out(), made)
    else:
        write(made, file)
    return int(ExitStatus.OK)


def chosen(records: list[Record], run: str | None) -> str:
    """Return the id of *run*, or of the last one without it; UsageError where there is none."""
    from lrvmotion.journal import run_state

    found = run_state.all_runs(records)
    if run is None and found:
        return list(found)[-1]
    return run_state.chosen(records, run).run


def write(content: str, file: Path | None) -> None:
    """Write *content* to *file*, whole or not at all, or to stdout."""
    from lrvmotion import files

    if file is None:
        sys.stdout.write(content)
        sys.stdout.flush()
        return
    files.save(file, content, "the report")


def _verify(state: Path) -> int:
    """Say what the chain of each journal came to; reading an altered one has raised."""
    from lrvmotion.journal import journal as journals
    from lrvmotion.views.report import wording

    path, caps = state / "journal.jsonl", state / f"{journals.THROTTLE}.jsonl"
    opened, beside = journals.read(path), journals.read(caps)
    if not opened.records:
        message = f"{path}: there is no record to verify"
        raise UsageError(message, hint="--state-dir names another state directory")
    for where, one in ((path, opened), *([(caps, beside)] if beside.records else [])):
        print("\n".join(wording.verified(str(where), one)))  # noqa: T201
    return int(ExitStatus.OK)
