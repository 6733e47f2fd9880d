"""lrvmotion plan: what would change, what would move, and what blocks it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lrvmotion.commands import migrate_request, options
from lrvmotion.commands.context import Context, Output, moment, wall_clock
from lrvmotion.errors import ExitStatus, LrvmotionError

if TYPE_CHECKING:
    from lrvmotion.workflows.plan_run import Prepared


def plan(
    context: typer.Context,
    vms: Annotated[list[str] | None, typer.Argument(metavar="VM", help=f"{options.NAMED}.")] = None,
    select: options.Select = None,
    csv: options.Csv = None,
    skip_refused: options.SkipRefused = False,
    eject: options.Eject = False,
    mode: Annotated[
        str | None,
        typer.Option(envvar="LRVMOTION_MODE", help=f"{options.MODES}; default from the configuration, else auto."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            envvar="LRVMOTION_OUT",
            help="Save the plan to this file, for migrate --plan.",
        ),
    ] = None,
    output: options.OneDocument = Output.TEXT,
    reboot_hosts: Annotated[
        bool,
        typer.Option(
            "--reboot-hosts", envvar="LRVMOTION_REBOOT_HOSTS", help="Also plan settings that need a reboot of the host."
        ),
    ] = False,
    detailed_exitcode: Annotated[
        bool,
        typer.Option(
            "--detailed-exitcode", envvar="LRVMOTION_DETAILED_EXITCODE", help="Exit with 10 where changes are pending."
        ),
    ] = False,
) -> int:
    """Show what would change, what would move, and problems; nothing is changed."""
    from lrvmotion import files
    from lrvmotion.journal import changes, journal, load_report_store, move_history, run_state
    from lrvmotion.run import drift
    from lrvmotion.views import errors, results
    from lrvmotion.views.events import lines
    from lrvmotion.views.plan import plan as plans
    from lrvmotion.workflows import plan_run
    from lrvmotion.workflows.connections import Connections, records

    own: Context = context.obj
    choice = options.choice(vms or [], select, csv)
    if out is not None:
        files.writable(out, "a plan")
    config, now = own.config(), moment()
    config.windows.require(now)
    state = own.state(config)
    load = load_report_store.latest(state)
    run_options = plan_run.RunOptions(
        mode=plan_run.resolve(config.at(now), options.known_mode(mode), load),
        now=now,
        load=load,
        load_age_s=None if load is None else load_report_store.age_s(load, wall_clock()),
        past=move_history.recorded(state, move_history.circuit(config)),
        reboot_hosts=reboot_hosts,
        skip_refused=skip_refused,
        eject=eject,
    )
    records_now = journal.read(state / "journal.jsonl").records
    observer = lines.Lines(quiet=output is not Output.TEXT)
    with Connections(records(config), own.credentials(), observer) as connections:
        same = not migrate_request.other_place(records_now, connections)  # else migrate refuses
        seen = drift.look(
            changes.outstanding(records_now) if same else (), lambda at, key: connections.target(at).read(key)
        )
        runs, owner_id = changes.runs(records_now), changes.owner_id(drift.closed(records_now, seen))
        prepared = plan_run.prepare(
            config, connections, observer, choice, run_options, runs=runs, owner_id=owner_id, theirs=seen.theirs,
            held={(item.target, item.key) for item in changes.outstanding(records_now)},
            moved=run_state.moved_by(records_now),
        )  # fmt: skip
    made = prepared.plan
    if output is Output.TEXT:
        plans.plan(made, state)
        plan_run.refuse(made)
        if out is not None:
            _save(prepared, out, reboot_hosts=reboot_hosts)
            plans.saved(out, own.command("migrate"))
    else:
        document = plans.plan_json(made, state)
        try:
            plan_run.refuse(made)
        except LrvmotionError as error:  # one document: the plan, with what blocks it
            refused = errors.document(error.message, error.hint, error.status)
            results.document({**document, "error": refused})
            errors.show(error.message, error.hint)
            return int(error.status)
        if out is not None:
            _save(prepared, out, reboot_hosts=reboot_hosts)
        results.document({**document, "file": None if out is None else str(out)})
    if detailed_exitcode and (made.changes or made.migrations):
        return int(ExitStatus.PENDING)
    return int(ExitStatus.OK)


def _save(prepared: Prepared, out: Path, *, reboot_hosts: bool) -> None:
    from importlib.metadata import version

    from lrvmotion import files
    from lrvmotion.plan import plan_file

    written, ours = wall_clock(), version("lrvmotion")
    content = plan_file.text(prepared.plan, prepared.facts, reboot_hosts=reboot_hosts, written=written, version=ours)
    files.save(out, content, "the plan")
