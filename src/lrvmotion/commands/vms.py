"""lrvmotion vms: which VMs the source has, what they are, and which can move."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from lrvmotion.commands import options
from lrvmotion.commands.context import Context
from lrvmotion.errors import ExitStatus


class Form(StrEnum):
    """What goes to stdout."""

    TEXT = "text"
    JSON = "json"
    CSV = "csv"


def vms(
    context: typer.Context,
    select: options.Select = None,
    output: Annotated[
        Form,
        typer.Option(
            envvar="LRVMOTION_VMS_OUTPUT",
            help="text for people, json for programs; csv: those that can move, as a file for --csv.",
        ),
    ] = Form.TEXT,
) -> int:
    """List the VMs of the source with path, size, power and host, and whether each can move; nothing is changed."""
    from lrvmotion.journal import journal, run_state
    from lrvmotion.plan import vm_filter
    from lrvmotion.views import checks, results
    from lrvmotion.views import vms as view
    from lrvmotion.views.events import lines
    from lrvmotion.views.text import console, words
    from lrvmotion.workflows import vm_list
    from lrvmotion.workflows.connections import Connections, records

    own: Context = context.obj
    test = None if select is None else vm_filter.parse(select)
    config = own.config()
    moved = run_state.moved_by(journal.read(own.state(config) / "journal.jsonl").records)
    quiet = output is not Form.TEXT
    with (
        checks.Steps(quiet=quiet, doing="reading") as steps,
        Connections(records(config), own.credentials(), lines.Lines(quiet=True)) as connections,
    ):
        found = vm_list.listed(config, connections, test, moved, steps)
    match output:
        case Form.TEXT:
            view.show(found)
        case Form.JSON:
            results.document(view.document(found))
        case Form.CSV:
            sys.stdout.write(view.template(found))
            if out := sum(not vm.can_move for vm in found):
                text = f"{words.count(out, 'VM')} left out: 'lrvmotion vms' says why"
                console.err().print(text, soft_wrap=True, markup=False)
    return int(ExitStatus.OK)
