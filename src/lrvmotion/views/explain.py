"""Explanations of findings, exit statuses, keys and options: one in full, several a line each, or one JSON document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from rich.console import Console
from rich.text import Text

from lrvmotion.findings import Severity
from lrvmotion.views.plan.plan import MARKS
from lrvmotion.views.text import console

_PAD = 24  # columns of a name in a list; a longer one is followed by two spaces


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One thing by its *name*. *remedy* is what helps, *severities* are a finding's, *part* is where lists have it.

    *default* is a key's or an option's, *required* a key that must be set; *modes* says of an option what each mode
    sets, and why.
    """

    name: str
    kind: Literal["finding", "exit status", "configuration key", "host option"]
    part: str
    meaning: str
    remedy: str = ""
    default: str = ""
    required: bool = False
    severities: tuple[Severity, ...] = ()
    modes: tuple[str, ...] = ()


def show(found: Sequence[Explanation]) -> None:
    """Print one in full, several as a list by their parts."""
    to = console.out()
    if len(found) == 1:
        _whole(to, found[0])
        return
    part = ""
    for one in found:
        if one.part != part:
            if part:
                to.print()
            part = one.part
            to.print(Text(part, style="bold"))
        head = Text("  ").append(one.name.ljust(_PAD)).append("  ")
        console.hang(to, head, _severities(one, ", ").append(one.meaning))


def _whole(to: Console, one: Explanation) -> None:
    head = Text(one.name, style="bold").append(f": {one.kind}", style="not bold")
    if one.default or one.required:
        head.append(f", default {one.default}" if one.default else ", must be set", style="not bold")
    if one.severities:
        head.append(", ", style="not bold").append_text(_severities(one, " or ", end=""))
    console.hang(to, Text(), head)
    for text in (one.meaning, *one.modes):
        console.hang(to, Text("  "), Text(text))
    if one.remedy:
        console.hang(to, Text("  "), Text("what helps: ", style="dim").append(one.remedy, style="not dim"))


def _severities(one: Explanation, between: str, end: str = ": ") -> Text:
    text = Text(between).join(Text(str(severity), style=MARKS[severity]) for severity in one.severities)
    return text.append(end) if one.severities else text


def document(found: Sequence[Explanation]) -> dict[str, Any]:
    """Return them as a JSON object."""
    return {"schema": 1, "explanations": [asdict(one) for one in found]}
