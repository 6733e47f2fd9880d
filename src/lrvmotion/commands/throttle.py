"""lrvmotion throttle: change the cap of the running relays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lrvmotion.commands import options
from lrvmotion.commands.context import Context, Output, wall_clock
from lrvmotion.errors import ExitStatus, UsageError

if TYPE_CHECKING:
    from lrvmotion.model.target_id import TargetId


def throttle(
    context: typer.Context,
    rate: Annotated[str, typer.Argument(help="Bit/s as 500M or 2G, shared by all streams of a relay; off: no cap.")],
    output: options.OneDocument = Output.TEXT,
) -> int:
    """Change the cap of every running relay, until restore-defaults, or the next time of a timetable in relay.limit."""
    from lrvmotion.config import rate_schedule
    from lrvmotion.journal import changes
    from lrvmotion.journal import journal as journals
    from lrvmotion.journal.records import Throttled
    from lrvmotion.relay.status import health, limit
    from lrvmotion.views import results
    from lrvmotion.views.events import lines
    from lrvmotion.views.text import words
    from lrvmotion.workflows.connections import Connections, all_known

    own: Context = context.obj
    try:
        bps = None if rate == "off" else rate_schedule.least_cap(rate_schedule.rate(rate))
    except ValueError as error:
        raise UsageError(str(error), hint="for example: lrvmotion throttle 2G, or: lrvmotion throttle off") from None
    config = own.config() if own.find_config() else None
    state = own.state(config)
    opened = journals.read(state / "journal.jsonl")
    changed = dict.fromkeys(item.target for item in changes.outstanding(opened.records))
    boxes = [target for target in changed if target.is_relay and target.run is None]
    owner_id = changes.owner_id(opened.records)
    if not boxes or owner_id is None:
        message = "no relay runs: the journal has none outstanding"
        raise UsageError(
            message, hint="'lrvmotion migrate --mode proxy' starts one; relay.limit caps it from the start"
        )
    known = all_known(config, changes.connections(opened.records))
    caps: dict[TargetId, int | None] = {}
    with (
        journals.Journal(state, wall_clock, name=journals.THROTTLE) as journal,  # a run holds the other one
        Connections(known, own.credentials(), lines.Lines(quiet=True)) as connections,
    ):
        for name in boxes:
            now = health(connections.shell(name), owner_id).limit_bps
            by: dict[str, str] = {name: connections.accounts()[name.connection]}
            journal.append(owner_id, Throttled(target=name, prior=now, planned=bps, who=own.who(), accounts=by))
            limit(connections.shell(name), owner_id, bps)
            caps[name] = health(connections.shell(name), owner_id).limit_bps
    if output is Output.TEXT:
        for relay, cap in caps.items():
            print(f"relay {relay.name}: {words.cap(cap)}")  # noqa: T201
    else:
        results.document({"schema": 1, "limit_bps": caps})
    return int(ExitStatus.OK)
