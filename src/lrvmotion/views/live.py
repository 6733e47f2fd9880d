"""The live screen of a run: a header with the relay, a line a VM; plain lines off a terminal."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lrvmotion.events import Changed, Event, Interrupted, Left, Move, Proven, RelaySample, RunStarted, Waiting
from lrvmotion.plan import Plan
from lrvmotion.views import console, lines, units

SHOWN = 12
STYLES = {"success": "green", "error": "bold red", "held": "yellow", "cancelled": "yellow", "running": "cyan"}


@contextmanager
def screen(plan: Plan, *, quiet: bool) -> Iterator[Callable[[Event], None]]:
    """Yield an observer that shows the run of *plan*: live on a terminal, else plain lines, nothing if *quiet*."""
    terminal = console.err()
    if not terminal.is_terminal:
        yield lines.Lines(quiet=quiet)
        return
    view = Screen(plan)
    with Live(view, console=terminal, refresh_per_second=4, transient=False):
        yield view


class Screen:
    """What the live screen knows, drawn anew four times a second."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._lock = threading.Lock()
        self._moves: dict[str, Move] = {}
        self._relays: dict[str, RelaySample] = {}
        self._note = "connecting"

    def __call__(self, event: Event) -> None:
        """Take one event."""
        with self._lock:
            match event:
                case Move():
                    self._moves[event.vm] = event
                    self._note = ""
                case RelaySample():
                    self._relays[event.relay] = event
                case RunStarted(run=run):
                    self._note = f"run {run}"
                case Changed(done=done, total=total):
                    verb = "changing" if event.how == "applied" else "putting back"
                    self._note = f"{verb} {done}/{total}: {event.target} {event.key}"
                case Proven():
                    self._note = f"proving: {event.subject}: {event.detail}"
                case Waiting(subject=subject, reason=reason):
                    self._note = f"waiting for {subject}: {reason}"
                case Left(target=target, key=key):
                    self._note = f"left: {target} {key}"
                case Interrupted(level=level):
                    self._note = lines.interrupted(level)
                case _:
                    pass

    def __rich__(self) -> Group:
        with self._lock:
            rows: list[Text | Table] = [self._header()]
            rows += [Text(lines.relay(sample), style="magenta") for sample in self._relays.values()]
            if self._note:
                rows.append(Text(self._note, style="dim", no_wrap=True, overflow="ellipsis"))
            if self._moves:
                rows.append(self._table())
            return Group(*rows)

    def _header(self) -> Text:
        states = [move.state for move in self._moves.values()]
        counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(sorted(states)))
        plan = self._plan
        text = f"{plan.mode} · {plan.vmknics} vmknic(s), {plan.streams} stream(s) a move"
        return Text(f"{text} · {counts}" if counts else text, style="bold")

    def _table(self) -> Table:
        table = Table(box=None, padding=(0, 1), expand=False, header_style="dim")
        for name in ("VM", "state", "to", "", "%", "rate", "ETA"):
            justify = "right" if name in {"%", "rate", "ETA"} else "left"
            table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
        order = ["running", "error", "held", "cancelled", "queued", "success"]
        moves = sorted(self._moves.values(), key=lambda move: order.index(move.state))
        for move in moves[:SHOWN]:
            table.add_row(
                escape(lines.short(move.vm, 24)),
                Text(move.state, style=STYLES.get(move.state, "")),
                escape(lines.short(move.target_host, 18)),
                ProgressBar(total=100, completed=move.percent, width=14),
                str(move.percent),
                rate_of(move),
                eta_of(move),
            )
        if len(moves) > SHOWN:
            table.add_row(f"and {len(moves) - SHOWN} more", "", "", "", "", "", "")
        return table


def rate_of(move: Move) -> str:
    """Return the mean rate since the start: percent of the planned bytes over the time."""
    if move.elapsed_s < 1 or not move.percent or not move.bytes_total:
        return "-"
    return units.rate(move.bytes_total * 8 * move.percent / 100 / move.elapsed_s)


def eta_of(move: Move) -> str:
    """Return the time left at the mean rate; what has ended shows how long it took."""
    if move.state == "success":
        return units.duration(move.elapsed_s)
    if move.state != "running" or move.percent < 2:
        return "-"
    return units.duration(move.elapsed_s * (100 - move.percent) / move.percent)
