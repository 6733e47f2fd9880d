"""lrvmotion check: look at vCenters, hosts, relay boxes and the path; nothing is written anywhere."""

from __future__ import annotations

from typing import Annotated

import typer

from lrvmotion.commands.context import Context, Output, wall_clock
from lrvmotion.errors import ExitStatus

PROBES = 100
DEEP_PROBES = 2000  # resolves half a percent of loss (reference 7.3)


def check(
    context: typer.Context,
    vms: Annotated[
        list[str] | None,
        typer.Argument(metavar="[VM]...", help="Names of VMs at the source: only their hosts are looked at."),
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
    output: Annotated[
        Output, typer.Option(envvar="LRVMOTION_OUTPUT", help="text for people, json for programs.")
    ] = Output.TEXT,
) -> int:
    """Look at both vCenters, the hosts, the relay boxes and the path; nothing is written anywhere.

    Exits with 3 where a finding is an error.
    """
    from lrvmotion import journal
    from lrvmotion.connect import Connections, records
    from lrvmotion.findings import errors
    from lrvmotion.survey import Asked, survey
    from lrvmotion.views import checks, lines, tables

    own: Context = context.obj
    config = own.config()
    state = own.state(config)
    before = journal.read(state / "journal.jsonl").records
    asked = Asked(vms=vms or (), probes=probes or (DEEP_PROBES if deep else PROBES))
    quiet = output is not Output.TEXT
    with (
        Connections(records(config), own.credentials(), lines.Lines(quiet=quiet)) as world,
        checks.Steps(quiet=quiet) as steps,
    ):
        done = survey(config, world, lines.Lines(quiet=True), asked, before, clock=wall_clock, step=steps)
    if quiet:
        tables.document(
            checks.document(done.findings, done.path, done.frames, sites=done.sites, hosts=done.hosts, boxes=done.boxes)
        )
    else:
        checks.show(done.findings, done.path, done.frames, checks.seen(done.sites, done.hosts, done.boxes))
    return int(ExitStatus.REFUSED if errors(done.findings) else ExitStatus.OK)
