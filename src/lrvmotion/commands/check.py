"""lrvmotion check: look at vCenters, hosts, relay hosts and the path; nothing is written anywhere."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated

import typer

from lrvmotion.commands import options
from lrvmotion.commands.context import Context, Output, confirm, wall_clock
from lrvmotion.errors import ExitStatus

PROBES = 100
DEEP_PROBES = 2000  # resolves half a percent of loss (vsphere.md 7.3)


def check(
    context: typer.Context,
    vms: Annotated[
        list[str] | None,
        typer.Argument(metavar="VM", help=f"{options.NAMED}; only their hosts are checked."),
    ] = None,
    probes: Annotated[
        int | None,
        typer.Option(
            envvar="LRVMOTION_PROBES", min=1, max=20_000, help=f"Pings for each measured pair; default {PROBES}."
        ),
    ] = None,
    deep: Annotated[
        bool,
        typer.Option("--deep", envvar="LRVMOTION_DEEP", help=f"{DEEP_PROBES} pings for each: shows loss of 0.5 %."),
    ] = False,
    load: Annotated[
        bool,
        typer.Option(
            "--load",
            envvar="LRVMOTION_LOAD",
            help="Also fill the circuit for a minute, from a relay host to the far one.",
        ),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", envvar="LRVMOTION_YES", help="Do not ask before the circuit is filled.")
    ] = False,
    output: options.OneDocument = Output.TEXT,
) -> int:
    """Check both vCenters, the hosts, the relay hosts and the path; nothing is changed.

    Exit status 3 if a finding is an error.
    """
    from lrvmotion.checks import path
    from lrvmotion.findings import errors
    from lrvmotion.journal import journal, load_report_store
    from lrvmotion.views import checks, results
    from lrvmotion.views import load_report as loads
    from lrvmotion.views.events import lines
    from lrvmotion.workflows import load_test
    from lrvmotion.workflows.connections import Connections, records
    from lrvmotion.workflows.site_survey import SurveyRequest, survey

    own: Context = context.obj
    config = own.config()
    state = own.state(config)
    report = None if load else load_report_store.latest(state)  # one that cannot be read does not block a new one
    if load:
        load_test.ends(config)
        confirm(
            "Fill the circuit with TCP for about a minute?", yes=yes, refused="nothing was measured",
            hint="use --yes to skip the confirmation",
        )  # fmt: skip
    before = journal.read(state / "journal.jsonl").records
    asked = SurveyRequest(
        vms=vms or (), probes=probes or (DEEP_PROBES if deep else PROBES), loaded=load or bool(report)
    )
    quiet = output is not Output.TEXT
    with (
        journal.Journal(state, wall_clock) if load else nullcontext(),  # never while VMs move, nor the other way round
        checks.Steps(quiet=quiet) as steps,
        Connections(records(config), own.credentials(), lines.Lines(quiet=quiet)) as connections,
    ):
        done = survey(config, connections, lines.Lines(quiet=True), asked, before, clock=wall_clock, step=steps)
        if load:
            report = load_test.load(config, connections, state, steps, clock=wall_clock)
    age_s = 0.0
    if report is not None:
        done.findings += path.load(report)
        age_s = load_report_store.age_s(report, wall_clock())
    if quiet:
        seen: dict[str, object] = {"sites": done.sites, "hosts": done.hosts, "relay_hosts": done.relay_hosts}
        seen["load"] = None if report is None else loads.document(report, age_s)
        results.document(checks.document(done.findings, done.path, done.frames, **seen))
    else:
        if report is not None:
            loads.show(report, age_s)
        checks.show(done.findings, done.path, done.frames, checks.seen(done.sites, done.hosts, done.relay_hosts))
    return int(ExitStatus.REFUSED if errors(done.findings) else ExitStatus.OK)
