"""lrvmotion explain: what a finding, an exit status, a configuration key or a host's option means, and what helps."""

from __future__ import annotations

from typing import Annotated

import typer

from lrvmotion.commands import options
from lrvmotion.commands.context import Output
from lrvmotion.errors import ExitStatus


def _complete(incomplete: str) -> list[tuple[str, str]]:
    """Return what a shell may complete *incomplete* to, each with what it means."""
    from lrvmotion.workflows import explanations

    known = explanations.everything()
    return [(one.name, one.meaning) for one in known if one.name.casefold().startswith(incomplete.casefold())]


def explain(
    word: Annotated[
        str | None,
        typer.Argument(
            metavar="CODE",
            autocompletion=_complete,
            help="A finding's code, an exit status, a configuration key, a host's advanced option, or how some begin.",
        ),
    ] = None,
    output: options.OneDocument = Output.TEXT,
) -> int:
    """Explain a finding, an exit status or a setting and say what helps; without CODE, list everything."""
    from lrvmotion.views import explain as views
    from lrvmotion.views import results
    from lrvmotion.workflows import explanations

    known = explanations.everything()
    found = known if word is None else explanations.find(word, known)
    if output is Output.TEXT:
        views.show(found)
    else:
        results.document(views.document(found))
    return int(ExitStatus.OK)
