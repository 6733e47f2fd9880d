"""lrvmotion plan: what would change, what would move, and what stands against it."""

from __future__ import annotations

from typing import Annotated

import typer

from lrvmotion.commands.context import Context, Output
from lrvmotion.errors import ExitStatus, LrvmotionError


def plan(
    context: typer.Context,
    vms: Annotated[list[str] | None, typer.Argument(metavar="[VM]...", help="Names of VMs at the source.")] = None,
    mode: Annotated[
        str | None,
        typer.Option(
            envvar="LRVMOTION_MODE", help="native, proxy, stock or auto; default from the configuration, else auto."
        ),
    ] = None,
    output: Annotated[
        Output, typer.Option(envvar="LRVMOTION_OUTPUT", help="text for people, json for programs.")
    ] = Output.TEXT,
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
    """Show what would change, what would move and what stands against it; nothing is written anywhere."""
    from lrvmotion import journal, prepare
    from lrvmotion.connect import Connections, records
    from lrvmotion.views import lines, plans, tables, trouble

    own: Context = context.obj
    config = own.config()
    options = prepare.Options(mode=prepare.resolve(config, known_mode(mode)), reboot_hosts=reboot_hosts)
    state = own.state(config)
    records_now = journal.read(state / "journal.jsonl").records
    runs, mark = journal.runs(records_now), journal.mark(records_now)
    observer = lines.Lines(quiet=output is not Output.TEXT)
    with Connections(records(config), own.credentials(), observer) as world:
        made = prepare.prepare(config, world, observer, vms or [], options, runs=runs, mark=mark)
    if output is Output.TEXT:
        plans.plan(made, state)
        prepare.refuse(made)
    else:
        document = plans.plan_json(made, state)
        try:
            prepare.refuse(made)
        except LrvmotionError as error:  # one document: the plan, with what stands against it
            refused = trouble.document(error.message, error.hint, error.status)
            tables.document({**document, "error": refused})
            trouble.show(error.message, error.hint)
            return int(error.status)
        tables.document(document)
    if detailed_exitcode and (made.changes or made.migrations):
        return int(ExitStatus.PENDING)
    return int(ExitStatus.OK)


def known_mode(mode: str | None) -> str | None:
    """Return *mode* where it is one; UsageError for anything else."""
    from lrvmotion.errors import UsageError
    from lrvmotion.inventory import near

    modes = ("native", "proxy", "stock", "auto")
    if mode is not None and mode not in modes:
        message = f"there is no mode {mode!r}"
        raise UsageError(message, hint=near(mode, modes))
    return mode
