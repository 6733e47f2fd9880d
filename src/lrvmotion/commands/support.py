"""lrvmotion support: what somebody who helps needs to know of a run, in one archive without secrets."""

from __future__ import annotations

import contextlib
import tomllib
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lrvmotion.commands.context import Context, wall_clock
from lrvmotion.commands.report import Run, chosen
from lrvmotion.errors import ExitStatus, LrvmotionError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lrvmotion.journal.records import Connection


def support(
    context: typer.Context,
    run: Run = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            envvar="LRVMOTION_SUPPORT",
            help="The archive; default lrvmotion-RUN.tar.gz, here.",
        ),
    ] = None,
    anonymous: Annotated[
        bool,
        typer.Option("--anonymous", envvar="LRVMOTION_ANONYMOUS", help="Replace names and addresses, consistently."),
    ] = False,
    inventory: Annotated[
        bool,
        typer.Option(
            "--inventory",
            envvar="LRVMOTION_SUPPORT_INVENTORY",
            help="Also read both vCenters now and pack their inventory, names and addresses replaced.",
        ),
    ] = False,
) -> int:
    """Write the journal's records, plan, events, report and versions of a run into one archive, without secrets."""
    from lrvmotion import files, redaction
    from lrvmotion.journal import audit_log, event_log, run_state
    from lrvmotion.journal import journal as journals
    from lrvmotion.journal.records import Connection, RunPlan
    from lrvmotion.report import run_history
    from lrvmotion.workflows import connections as connect
    from lrvmotion.workflows import support_archive as archives

    own: Context = context.obj
    where = own.find_config()
    config = own.config() if where else None
    state = own.state(config)
    records = journals.read(state / "journal.jsonl").records
    caps = journals.read(state / f"{journals.THROTTLE}.jsonl").records
    name = chosen(records, run)
    entries = audit_log.entries(records, caps, name)
    numbers = {entry.seq for entry in entries}
    mine = [r for r in records if r.seq in numbers or (r.run == name and isinstance(r.body, RunPlan | Connection))]
    events = event_log.read(state, name)
    told = run_history.tell(records, name, events)
    given = tomllib.loads(files.decoded(where.read_bytes(), str(where))) if where else {}
    configuration = redaction.configuration(given)
    known = archives.names(mine, told, configuration) if anonymous else None
    known_now = connect.records(config).values() if config else ()
    known_then = [record.body for record in mine if isinstance(record.body, Connection)]
    read, words = _inventory(own) if inventory else (None, {})
    redactor = redaction.Redactor(_secrets(own, [*known_now, *known_then]), known, words)
    plan = run_state.all_runs(records)[name].plan
    contents = archives.files(
        told, mine, entries, events, plan, configuration, redactor, anonymous=anonymous, inventory=read
    )
    folder = f"lrvmotion-{name}"
    path = file or Path(f"{folder}.tar.gz")
    at = datetime.fromisoformat(wall_clock()).timestamp()
    files.save(path, archives.archive(folder, contents, at), "the archive")
    hidden = (
        "no secret is in it; names and addresses are replaced"
        if anonymous
        else ("no secret is in it; names and addresses are: --anonymous replaces them")
    )
    print(f"{path}: {', '.join(contents)}; {hidden}")  # noqa: T201
    return int(ExitStatus.OK)


def _inventory(own: Context) -> tuple[str, dict[str, str]]:
    """Return the anonymous inventory of both vCenters as a text, and what each name is called in it."""
    from lrvmotion.model import estate
    from lrvmotion.report import anonymous_estate
    from lrvmotion.views import checks
    from lrvmotion.views.events import lines
    from lrvmotion.workflows import estate_survey
    from lrvmotion.workflows.connections import Connections, records

    with (
        checks.Steps(quiet=False, doing="reading") as steps,
        Connections(records(own.config()), own.credentials(), lines.Lines(quiet=True)) as connections,
    ):
        found, words = anonymous_estate.with_words(estate_survey.read(connections, steps))
    return estate.text(found), words


def _secrets(own: Context, connections: Iterable[Connection]) -> list[str]:
    """Return every password that can be found, to be looked for in what is written: none should stand there."""
    from lrvmotion.run import credentials

    found = [text for name, text in own.environment.items() if name.startswith("LRVMOTION_") and "PASSWORD" in name]
    for connection in connections:
        if connection.password_file:
            with contextlib.suppress(LrvmotionError, UnicodeDecodeError):
                found.append(credentials.read_file(Path(connection.password_file)).reveal())
    return found
