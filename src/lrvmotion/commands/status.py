"""lrvmotion status: runs, what is outstanding where, live relay counters."""

from __future__ import annotations

from typing import Annotated

import typer

from lrvmotion.commands.context import Context, Output
from lrvmotion.errors import ExitStatus, LrvmotionError


def status(
    context: typer.Context,
    output: Annotated[
        Output, typer.Option(envvar="LRVMOTION_OUTPUT", help="text for people, json for programs.")
    ] = Output.TEXT,
) -> int:
    """Show the runs of the journal, what is outstanding on which host, and the relays' live counters."""
    from lrvmotion import journal as journals
    from lrvmotion.connect import Connections, records
    from lrvmotion.relay.status import health
    from lrvmotion.views import lines, units
    from lrvmotion.views import tables as shown
    from lrvmotion.views.words import count

    own: Context = context.obj
    config = own.config() if own.find_config() else None
    state = own.state(config)
    opened = journals.read(state / "journal.jsonl")
    items = journals.outstanding(opened.records)
    known = {**(records(config) if config else {}), **journals.connections(opened.records)}
    relays: dict[str, str] = {}
    mark = journals.mark(opened.records)
    with Connections(known, own.credentials(), lines.Lines(quiet=True)) as world:
        for name in dict.fromkeys(item.target for item in items if item.target.startswith("box/")):
            try:
                seen = health(world.shell(name), mark or "")
                cap = f", cap {units.rate(seen.limit_bps)}" if seen.limit_bps else ""
                relays[name] = f"{count(seen.streams, 'stream')}, {units.rate(seen.bps)}{cap}; {seen.limiter}"
            except LrvmotionError as error:
                relays[name] = error.message
    if output is Output.TEXT:
        shown.status(opened.records, items, relays, state, own.command("restore-defaults"))
    else:
        shown.document(shown.status_json(opened.records, items, relays, state))
    return int(ExitStatus.OK)
