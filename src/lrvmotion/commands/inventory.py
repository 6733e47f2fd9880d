"""lrvmotion inventory: both vCenters as one document, to rehearse on and to hand on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from lrvmotion.commands.context import Context
from lrvmotion.errors import ExitStatus


def inventory(
    context: typer.Context,
    file: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE", envvar="LRVMOTION_INVENTORY", help="Where to; default standard output."
        ),
    ] = None,
    anonymous: Annotated[
        bool,
        typer.Option("--anonymous", envvar="LRVMOTION_ANONYMOUS", help="Replace names and addresses, consistently."),
    ] = False,
) -> int:
    """Write what a plan could need of both vCenters into one JSON document; nothing is changed.

    'lrvmotion lab up --estate FILE' builds simulated vCenters with exactly that.
    """
    from lrvmotion import files
    from lrvmotion.model import estate
    from lrvmotion.report import anonymous_estate
    from lrvmotion.views import checks
    from lrvmotion.views.events import lines
    from lrvmotion.views.text import console, words
    from lrvmotion.workflows import estate_survey
    from lrvmotion.workflows.connections import Connections, records

    own: Context = context.obj
    if file is not None:
        files.writable(file, "an inventory")
    config = own.config()
    with (
        checks.Steps(quiet=False, doing="reading") as steps,
        Connections(records(config), own.credentials(), lines.Lines(quiet=True)) as connections,
    ):
        found = estate_survey.read(connections, steps)
    if anonymous:
        found = anonymous_estate.anonymous(found)
    text = estate.text(found)
    if file is None:
        sys.stdout.write(text)
        return int(ExitStatus.OK)
    files.save(file, text, "the inventory")
    told = " and ".join(
        f"{words.count(len(site.inventory.vms), 'VM')} on {words.count(len(site.inventory.hosts), 'host')} ({name})"
        for name, site in (("source", found.source), ("target", found.target))
    )
    names = "names and addresses are replaced" if anonymous else "it has your names and addresses: --anonymous does not"
    console.out().print(f"{file}: {told}; no secret is in it; {names}", soft_wrap=True, markup=False, highlight=False)
    return int(ExitStatus.OK)
