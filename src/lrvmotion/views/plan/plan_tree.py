"""What a plan changes, as a tree of hosts and boxes; and which vmknics its bytes take."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from lrvmotion.model.setting import ABSENT
from lrvmotion.plan.plan import Change, Plan
from lrvmotion.views.text import console, units, words


def changes(to: Console, made: Plan) -> None:
    """Print the changes by target: a tree on a terminal, else plain lines; each reason once, reboots last."""
    by_target: dict[str, list[Change]] = {}
    for change in made.changes:
        by_target.setdefault(change.target, []).append(change)
    told: set[str] = set()
    if to.is_terminal and made.changes:
        total = words.count(len(made.changes), "setting")
        tree = Tree(Text(f"{total} to change, on {words.count(len(by_target), 'machine')}"), guide_style="dim")
        for target, there in by_target.items():
            _branch(tree.add(_heading(target, there)), there, told)
        to.print()
        to.print(tree)
    else:
        for target, there in by_target.items():
            _lines(to, target, there, told)
    if waiting := [change for change in made.changes if change.reboot]:
        names = dict.fromkeys(words.setting(change.key) for change in waiting)
        hosts = dict.fromkeys(change.target for change in waiting)
        text = Text(
            f"{', '.join(names)}: takes effect only after a reboot of {words.first_few(list(hosts))}",
            style="bold yellow",
        )
        to.print()
        console.hang(to, Text("! ", style="bold yellow"), text)


def paths(to: Console, made: Plan) -> None:
    """Print what goes by vMotion and what by NFC between each pair of hosts, and over which vmknics."""
    for path in made.data_paths:
        moves = [
            move
            for move in made.migrations
            if (move.source_host, move.placement.host.name) == (path.source_host, path.target_host)
        ]
        hot, cold = sum(move.hot_bytes for move in moves), sum(move.cold_bytes for move in moves)
        here, there = path.source_host, path.target_host
        if hot:
            relay = f", through {path.relay}" if path.relay else ""
            text = f"{here} {words.first_few(path.vmotion_from)} → {there} {words.first_few(path.vmotion_to)}{relay}"
            console.hang(to, Text(f"vMotion {units.size(hot):>10}  "), Text(text, style="dim"))
        if cold:
            text = f"{here} {words.first_few(path.nfc_from)} → {there} {words.first_few(path.nfc_to)}, TCP 902"
            console.hang(to, Text(f"NFC     {units.size(cold):>10}  "), Text(text, style="dim"))


def _heading(target: str, there: Sequence[Change]) -> Text:
    heading = Text(target, style="bold")
    heading.append(f"  {words.count(len(there), 'change')}", style="not bold dim")
    if any(change.reboot for change in there):
        heading.append("  needs a reboot", style="bold yellow")
    return heading


def _branch(tree: Tree, there: Sequence[Change], told: set[str]) -> None:
    for change in there:
        mark, text = _change(change, 0)
        leaf = tree.add(Text.assemble(mark, text))
        if change.reason not in told:
            told.add(change.reason)
            leaf.add(Text(change.reason, style="dim"))


def _lines(to: Console, target: str, there: Sequence[Change], told: set[str]) -> None:
    to.print()
    to.print(_heading(target, there))
    pad = min(max(len(words.setting(change.key)) for change in there), 44)
    for change in there:
        mark, text = _change(change, pad)
        console.hang(to, Text("  ") + mark, text)
        if change.reason not in told:
            told.add(change.reason)
            console.hang(to, Text("      "), Text(change.reason, style="dim"))


def _change(change: Change, pad: int) -> tuple[Text, Text]:
    """Return the mark of *change* (+ new, - removed, ~ changed) and what it is, its name padded to *pad*."""
    mark, style = (
        ("+", "green") if change.prior == ABSENT else ("-", "red") if change.planned == ABSENT else ("~", "yellow")
    )
    text = Text(words.setting(change.key).ljust(pad))
    text.append("  ")
    if change.planned == ABSENT:
        text.append(words.value(change.prior), style=style)
    else:
        if change.prior != ABSENT:
            text.append(f"{words.value(change.prior)} → ")
        text.append(words.value(change.planned), style=style)
    if change.reboot:
        text.append("  after a reboot", style="bold yellow")
    return Text(f"{mark} ", style=style), text
