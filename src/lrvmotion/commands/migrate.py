"""lrvmotion migrate: change the hosts, move the VMs, say what is outstanding."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

import typer

from lrvmotion.commands import choose
from lrvmotion.commands.context import Context, Output, confirm, fan, moment, wall_clock
from lrvmotion.commands.plan import known_mode
from lrvmotion.errors import UsageError

if TYPE_CHECKING:
    from types import FrameType

    from lrvmotion.plan import Plan
    from lrvmotion.planfile import Saved


def migrate(
    context: typer.Context,
    vms: Annotated[list[str] | None, typer.Argument(metavar="[VM]...", help="Names of VMs at the source.")] = None,
    select: choose.Select = None,
    csv: choose.Csv = None,
    plan: Annotated[
        Path | None,
        typer.Option(
            "--plan",
            metavar="FILE",
            envvar="LRVMOTION_PLAN",
            help="Do exactly what 'plan -o FILE' planned; a stale plan is refused.",
        ),
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(
            envvar="LRVMOTION_MODE",
            help="native, proxy, stock or auto; required unless configured.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", envvar="LRVMOTION_YES", help="Do not ask.")] = False,
    restore: Annotated[
        bool,
        typer.Option(
            "--restore",
            envvar="LRVMOTION_RESTORE",
            help="Put everything back at the end.",
        ),
    ] = False,
    unproven: Annotated[
        bool,
        typer.Option(
            "--unproven",
            envvar="LRVMOTION_UNPROVEN",
            help="Move though the path cannot be proven.",
        ),
    ] = False,
    reboot_hosts: Annotated[
        bool,
        typer.Option(
            "--reboot-hosts",
            envvar="LRVMOTION_REBOOT_HOSTS",
            help="Also set what needs a reboot of the host (not active before it).",
        ),
    ] = False,
    max_failures: Annotated[
        int | None,
        typer.Option(min=0, envvar="LRVMOTION_MAX_FAILURES", help="Start nothing more after this many failures."),
    ] = None,
    output: Annotated[
        Output,
        typer.Option(envvar="LRVMOTION_OUTPUT", help="text for people; json: one document; ndjson: one event a line."),
    ] = Output.TEXT,
) -> int:
    """Change the hosts and boxes for the mode, move the VMs, and say what is outstanding."""
    from lrvmotion import again, measured, past, prepare, run
    from lrvmotion import journal as journals
    from lrvmotion.connect import Connections, records
    from lrvmotion.report import Report
    from lrvmotion.select import Choice
    from lrvmotion.views import lines, live, ndjson, plans, tables

    own: Context = context.obj
    config, now = own.config(), moment()
    config.windows.require(now)
    saved = _saved(context, plan)
    choice = choose.choice(vms or [], select, csv) if saved is None else Choice()
    if saved is None and not choice:
        message = "no VM is named"
        raise UsageError(message, hint="name VMs, or give --select EXPR, --csv FILE or --plan FILE")
    if saved is None and known_mode(mode) is None and config.mode is None:
        message = "--mode is required: native, proxy, stock or auto"
        raise UsageError(message, hint='name it, or set mode = "proxy" in the configuration; `plan` compares them')
    state = own.state(config)
    load = measured.latest(state)
    options = prepare.Options(
        load=load,
        load_age_s=None if load is None else measured.age_s(load, wall_clock()),
        past=past.recorded(state, past.circuit(config)),
        mode=prepare.resolve(config.at(now), mode, load) if saved is None else saved.plan.mode,
        now=now,
        unproven=unproven,
        reboot_hosts=reboot_hosts if saved is None else saved.reboot_hosts,
        max_failures=config.limits.max_failures if max_failures is None else max_failures,
        restore_command=own.command("restore-defaults"),
    )
    report = Report()
    events = ndjson.Ndjson() if output is Output.NDJSON else None
    plain = lines.Lines(quiet=output is not Output.TEXT)
    before = fan(report.take, plain, *([events] if events else []))
    with (
        journals.Journal(state, wall_clock) as journal,
        Connections(records(config), own.credentials(), before) as world,
    ):
        runs, mark = journals.runs(journal.records), journals.mark(journal.records)
        if saved is None:
            made = prepare.prepare(config, world, before, choice, options, runs=runs, mark=mark).plan
        else:
            made = again.again(config, world, before, saved, options, runs=runs, mark=mark)
        prepare.refuse(made)
        if not unproven:
            prepare.refuse_unproven(made)
        if output is Output.TEXT:
            plans.plan(made, state, stderr=True)
        confirm(_question(made), yes=yes, undone="nothing was changed", hint="say --yes to go on without being asked")
        with live.screen(made, quiet=output is not Output.TEXT) as screen, Interrupts() as interrupts:
            recorder = past.Recorder(state, past.circuit(config), made, wall_clock)
            observer = fan(report.take, screen, recorder, *([events] if events else []))
            world.observe(observer)
            job = run.Migrating(config, world, journal, observer, made, options, moment, interrupts.count)
            job.go()
        if restore:
            restored = run.restore(journal, world, before, wait_s=config.limits.restore_wait_s)
            report.outstanding = len(restored.left)
    if output is Output.TEXT:
        tables.report(report, state, own.command("restore-defaults"))
    elif output is Output.JSON:
        tables.document(tables.report_json(report, state))
    return int(report.status)


def _saved(context: typer.Context, file: Path | None) -> Saved | None:
    """Return the plan in *file*, None for no file; it leaves no room for what would make another plan."""
    if file is None:
        return None
    if others := choose.given(context, "vms", "mode", "select", "csv", "reboot_hosts"):
        message = f"--plan excludes {', '.join(others)}: the plan says it"
        raise UsageError(message, hint="plan again with them, or leave them out")
    from lrvmotion import planfile

    return planfile.load(file)


def _question(plan: Plan) -> str:
    from lrvmotion.views.words import count

    changes = f"Change {count(len(plan.changes), 'setting')} and m" if plan.changes else "M"
    return f"{changes}ove {count(len(plan.migrations), 'VM')}?"


class Interrupts:
    """Counts Ctrl-C (and SIGTERM as one) while it is entered, in place of the interpreter's own handling."""

    def __init__(self) -> None:
        self._seen = 0
        self._before: list[tuple[int, object]] = []

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before.append((number, signal.signal(number, self._take)))
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before:
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _take(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._seen += 1

    def count(self) -> int:
        """Return how often it was pressed."""
        return self._seen
