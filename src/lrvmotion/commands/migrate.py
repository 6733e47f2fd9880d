"""lrvmotion migrate: change the hosts, move the VMs, say what is outstanding."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping
from contextlib import nullcontext
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lrvmotion.commands import migrate_request as orders
from lrvmotion.commands import options
from lrvmotion.commands.context import Context, Output, confirm, moment, wall_clock
from lrvmotion.errors import UsageError

if TYPE_CHECKING:
    from lrvmotion.config.schema import Config
    from lrvmotion.journal.run_state import UnfinishedMove
    from lrvmotion.plan.plan import Plan


class OnFailure(StrEnum):
    """What a failed VM means for the rest of the queue."""

    STOP = "stop"
    CONTINUE = "continue"


def migrate(
    context: typer.Context,
    vms: Annotated[list[str] | None, typer.Argument(metavar="VM", help=f"{options.NAMED}.")] = None,
    select: options.Select = None,
    csv: options.Csv = None,
    skip_refused: options.SkipRefused = False,
    eject: options.Eject = False,
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
            help=f"{options.MODES}; required unless configured.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", envvar="LRVMOTION_YES", help="Do not ask.")] = False,
    restore: Annotated[
        bool,
        typer.Option(
            "--restore",
            envvar="LRVMOTION_RESTORE",
            help="Restore every setting at the end.",
        ),
    ] = False,
    unproven: Annotated[
        bool,
        typer.Option(
            "--unproven",
            envvar="LRVMOTION_UNPROVEN",
            help="Migrate even if the path cannot be verified.",
        ),
    ] = False,
    reboot_hosts: Annotated[
        bool,
        typer.Option(
            "--reboot-hosts",
            envvar="LRVMOTION_REBOOT_HOSTS",
            help="Also set what takes effect at a reboot, and reboot these hosts, one at a time.",
        ),
    ] = False,
    max_failures: Annotated[
        int | None,
        typer.Option(
            min=0, envvar="LRVMOTION_MAX_FAILURES", help="Start no more VMs once more than this many have failed."
        ),
    ] = None,
    on_failure: Annotated[
        OnFailure | None,
        typer.Option(envvar="LRVMOTION_ON_FAILURE", help="stop: start no more VMs once one has failed."),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            envvar="LRVMOTION_RESUME",
            help="Resume the last unfinished run, or the one given by --run; nothing moves twice.",
        ),
    ] = False,
    run_id: Annotated[
        str | None,
        typer.Option(
            "--run", metavar="RUN", envvar="LRVMOTION_RUN", help="The run to resume; the beginning of its id is enough."
        ),
    ] = None,
    reverse: Annotated[
        str | None,
        typer.Option(
            "--reverse",
            metavar="RUN",
            envvar="LRVMOTION_REVERSE",
            help="Bring back the VMs that RUN moved, or those that are named.",
        ),
    ] = None,
    output: options.Events = Output.TEXT,
) -> int:
    """Change ESXi and relay hosts for the mode, move the VMs, and list the settings that remain changed."""
    from lrvmotion.journal import event_log, load_report_store, move_history
    from lrvmotion.journal import journal as journals
    from lrvmotion.notify import prometheus, webhook
    from lrvmotion.plan import plan_file
    from lrvmotion.report.run_result import Report
    from lrvmotion.run import hooks
    from lrvmotion.run.fanout import Fanout
    from lrvmotion.views import results
    from lrvmotion.views.events import lines, log, ndjson
    from lrvmotion.views.live import screen as live
    from lrvmotion.views.plan import plan as plans
    from lrvmotion.views.text import console
    from lrvmotion.workflows import migrate_run, plan_run, restore_run
    from lrvmotion.workflows.connections import Connections, records

    own: Context = context.obj
    config, now = own.config(), moment()
    config.windows.require(now)
    state = own.state(config)
    journal_file = state / "journal.jsonl"
    if run_id is not None and not resume:
        message = "--run needs --resume: it names the run to resume"
        raise UsageError(message, hint="use --resume --run RUN")
    if resume:
        _alone(context, "--resume", "vms", "select", "csv", "plan", "mode", "reverse", "reboot_hosts", "eject")
        order = orders.to_resume(config, records(config), journal_file, run_id)
    elif reverse is not None:
        _alone(context, "--reverse", "select", "csv", "plan", "reboot_hosts")
        order = orders.to_reverse(config, records(config), journal_file, reverse, options.known_mode(mode), vms or [])
    else:
        order = _order(context, config, vms or [], select, csv, plan, options.known_mode(mode), yes=yes)
    config = order.config
    load = None if order.back else load_report_store.latest(state)
    if on_failure is not None:
        max_failures = 0 if on_failure is OnFailure.STOP else None
    elif max_failures is None:
        max_failures = config.limits.max_failures
    saved = order.saved if order.progress is None or order.resumes else None
    run_options = plan_run.RunOptions(
        load=load,
        load_age_s=None if load is None else load_report_store.age_s(load, wall_clock()),
        past=move_history.recorded(state, move_history.circuit(config)),
        mode=plan_run.resolve(config.at(now), order.mode, load),
        now=now,
        unproven=unproven,
        skip_refused=skip_refused,
        eject=eject if saved is None else saved.plan.eject,
        reboot_hosts=reboot_hosts if saved is None else saved.reboot_hosts,
        max_failures=max_failures,
        restore_command=own.command("restore-defaults"),
        resume_command=f"{own.command('migrate')} --resume",
    )
    report = Report()
    plain = lines.Lines(quiet=output is not Output.TEXT)
    fan = Fanout(report.take, plain)
    if output is Output.NDJSON:
        fan.add(ndjson.Ndjson(wall_clock))
    called = hooks.Hooks(
        commands=config.hooks.commands,
        timeout_s=config.hooks.timeout_s,
        environment=hooks.without_secrets(own.environment),
        observer=fan,
    )
    called.verify()
    if config.hooks.metrics is not None:
        fan.add(prometheus.Metrics(config.hooks.metrics, lambda: moment().timestamp(), fan))
    url = own.environment.get("LRVMOTION_WEBHOOK") or (
        config.hooks.webhook.get_secret_value() if config.hooks.webhook is not None else None
    )
    interrupts = own.process.interrupts
    ndjson_told = output is Output.NDJSON

    def ended() -> None:
        own.process.told = ndjson_told

    with (
        nullcontext() if url is None else webhook.Webhook(url, fan) as chat,
        journals.Journal(state, wall_clock) as journal,
        event_log.EventLog(state, wall_clock, fan) as events,
        log.Log(state, wall_clock, fan) as text,
    ):
        journal.say = fan
        fan.add(text)
        fan.add(events)
        if chat is not None:
            fan.add(chat)

        def show(error: BaseException | None) -> None:
            """Show what the run came to, whatever ended it, on stdout and in its log."""
            if not report.run:
                return
            with io.StringIO() as page:
                results.report(report, state, run_options.restore_command, to=console.page(page))
                text.write(page.getvalue())
            if output is Output.TEXT:
                results.report(report, state, run_options.restore_command)
            elif output is Output.JSON:
                failed = None if error is None else migrate_run.told(error)
                results.document(results.report_json(report, state, failed))
                own.process.told = True

        waiting: list[str] = []  # what a resumed run has not come to, once what was on its way has ended
        try:
            with (
                Connections(order.known, own.credentials(), fan) as connections,
                migrate_run.Closing(
                    journal=journal, observer=fan, options=run_options, interrupts=interrupts, told=ended,
                    unmoved=lambda: (
                        *report.unmoved, *(vm for vm in waiting if vm not in report.vms),
                        *(report.refused if order.resumes else ()),
                    ),
                ) as closing,
            ):  # fmt: skip

                def put_back() -> None:
                    restore_run.restore(
                        journal, connections, fan, wait_s=config.limits.restore_wait_s, limits=config.limits,
                        reboot_hosts=run_options.reboot_hosts, who=own.who(), interrupts=interrupts.count,
                    )  # fmt: skip

                def go(made: Plan, *, begun: Mapping[str, UnfinishedMove]) -> None:
                    # Each change is in the journal by itself, as it is made, files and all.
                    kept_plan = dataclasses.replace(made, changes=())
                    document = plan_file.text(
                        kept_plan, {}, reboot_hosts=run_options.reboot_hosts, written=wall_clock(),
                        version=version("lrvmotion"),
                    )  # fmt: skip
                    recorder = move_history.Recorder(state, move_history.circuit(config), made, wall_clock)
                    fan.add(recorder)
                    fan.elsewhere = str(event_log.log_path(state, made.run))
                    with interrupts.counted(), live.screen(made, quiet=output is not Output.TEXT) as screen:
                        fan.replace(plain, screen)
                        try:
                            migrate_run.Migrating(
                                config, connections, journal, fan, made, run_options, document, moment, closing,
                                interrupts.count, begun, order.back, own.who(), called,
                            ).go()  # fmt: skip
                        finally:
                            fan.replace(screen, plain)
                            fan.remove(recorder)

                orders.refuse_other_way(journal, connections)
                closing.restore = put_back if restore else None
                if order.resumes:
                    with interrupts.counted():
                        restore_run.release(journal, connections, fan, config.limits, own.who(), interrupts.count)
                seen_since = restore_run.settle(journal, connections, fan, own.who())
                if order.begun():
                    go(order.on_the_way(connections), begun=order.begun())
                    order = order.after(journal)
                    waiting += order.waiting
                    seen_since = restore_run.settle(journal, connections, fan, own.who())
                if not (order.resumes and order.done) and not report.interrupted:
                    made = order.plan(connections, journal, fan, run_options, seen_since.theirs)
                    plan_run.refuse(made)
                    if not unproven:
                        plan_run.refuse_unproven(made)
                    if output is Output.TEXT:
                        plans.plan(made, state, stderr=True)
                    hint = "use --yes to skip the confirmation"
                    confirm(_question(made), yes=yes, refused="nothing was changed", hint=hint)
                    waiting.clear()
                    go(made, begun={})
        except BaseException as error:
            show(error)
            raise
        show(None)
    fan.verify()
    return int(report.status)


def _order(
    context: typer.Context,
    config: Config,
    vms: list[str],
    select: str | None,
    csv: Path | None,
    plan: Path | None,
    mode: str | None,
    *,
    yes: bool,
) -> orders.MigrateRequest:
    """Return the order of chosen VMs, or of the plan in a file: that leaves no room for what would make another."""
    from lrvmotion.plan import plan_file
    from lrvmotion.plan.vm_selection import Choice
    from lrvmotion.workflows.connections import records

    if plan is not None:
        _alone(context, "--plan", "vms", "mode", "select", "csv", "skip_refused", "reboot_hosts", "eject")
        saved = plan_file.load(plan)
        return orders.MigrateRequest(
            config=config, known=records(config), choice=Choice(), saved=saved, mode=saved.plan.mode
        )
    if options.is_standard_input(csv) and not yes:
        message = "--csv - leaves no terminal to confirm on"
        raise UsageError(message, hint="add --yes, or name a file")
    choice = options.choice(vms, select, csv)
    if not choice:
        message = "no VM is named"
        raise UsageError(message, hint="name VMs, or give --select EXPR, --csv FILE or --plan FILE")
    if mode is None and config.mode is None:
        message = f"--mode is required: {options.MODES}"
        raise UsageError(message, hint="name it, or set `mode` in the configuration; `plan` compares them")
    return orders.MigrateRequest(config=config, known=records(config), choice=choice, mode=mode)


def _alone(context: typer.Context, option: str, *others: str) -> None:
    """Raise UsageError where *option* stands beside what it leaves no room for."""
    if found := options.given(context, *others):
        if option == "--resume" and "names of VMs" in found:
            message = "--resume takes no VM names: it continues the whole run"
            raise UsageError(message, hint="leave them out; a new 'lrvmotion migrate' moves single VMs")
        message = f"{', '.join(found)} cannot be combined with {option}, which already sets it"
        again = "use them with 'lrvmotion plan -o FILE', or " if option == "--plan" else ""
        raise UsageError(message, hint=f"{again}leave them out")


def _question(plan: Plan) -> str:
    from lrvmotion.views.text.words import count

    changes = f"Change {count(len(plan.changes), 'setting')} and m" if plan.changes else "M"
    refused = f" ({count(len(plan.refused_vms), 'VM')} refused and left out)" if plan.refused else ""
    return f"{changes}ove {count(len(plan.migrations), 'VM')}{refused}?"
