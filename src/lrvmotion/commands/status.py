"""lrvmotion status: runs, what is outstanding where, live relay counters."""

from __future__ import annotations

from typing import Any

import typer

from lrvmotion.commands import options
from lrvmotion.commands.context import Context, Output
from lrvmotion.errors import ExitStatus, LrvmotionError


def status(
    context: typer.Context,
    output: options.OneDocument = Output.TEXT,
) -> int:
    """Show runs, settings not yet restored, and relay statistics."""
    from lrvmotion.journal import changes
    from lrvmotion.journal import journal as journals
    from lrvmotion.relay.status import ask
    from lrvmotion.views import results as shown
    from lrvmotion.views.events import lines
    from lrvmotion.workflows.connections import Connections, all_known

    own: Context = context.obj
    config = own.config() if own.find_config() else None
    state = own.state(config)
    opened = journals.read(state / "journal.jsonl")
    items = changes.outstanding(opened.records)
    known = all_known(config, changes.connections(opened.records))
    relays: dict[str, dict[str, Any]] = {}
    owner_id = changes.owner_id(opened.records)
    with Connections(known, own.credentials(), lines.Lines(quiet=True)) as connections:
        for name in dict.fromkeys(item.target for item in items if item.target.is_relay and item.target.run is None):
            try:
                relays[name] = ask(connections.shell(name), owner_id or "")
            except LrvmotionError as error:
                relays[name] = {"error": error.message}
    if output is Output.TEXT:
        shown.status(opened.records, items, relays, state, own.command("restore-defaults"))
    else:
        shown.document(shown.status_json(opened.records, items, relays, state))
    return int(ExitStatus.OK)
