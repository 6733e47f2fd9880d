"""The live screen of a run: a header, a line a relay, a line a VM, all of them in sum; plain lines off a terminal."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lrvmotion.events import (
    Changed,
    Event,
    Interrupted,
    Left,
    Move,
    Proven,
    Rebooting,
    RelaySample,
    RunStarted,
    Waiting,
)
from lrvmotion.plan import Plan
from lrvmotion.views import console, lines, units, words
from lrvmotion.views.progress import Progress, left
from lrvmotion.views.tables import STYLES

FRESH_S = 6.0  # a relay's sample older than this says nothing about now
ORDER = ("running", "error", "held", "cancelled", "queued", "success")
CHANGES = 7  # lines of the last changes, before the first move


@contextmanager
def screen(plan: Plan, *, quiet: bool) -> Iterator[Callable[[Event], None]]:
    """Yield an observer that shows the run of *plan*: live on a terminal, else plain lines, none of them if *quiet*.

    With *quiet*, stdout carries a document or events; where that is the same terminal, nothing else is drawn on it.
    """
    terminal = console.err()
    if not console.live(terminal) or (quiet and sys.stdout.isatty()):
        yield lines.Lines(quiet=quiet)
        return
    view = Screen(plan, time.monotonic)
    # stdout is for results: redirected by Live, events would land on the screen instead.
    with (
        console.unechoed(),
        Live(
            view, console=terminal, refresh_per_second=4, transient=True, redirect_stdout=False, redirect_stderr=False
        ),
    ):
        yield view


class Screen:
    """What the live screen knows, drawn anew four times a second; *clock* is monotonic, in seconds."""

    def __init__(self, plan: Plan, clock: Callable[[], float]) -> None:
        self._plan = plan
        self._clock = clock
        self._began = clock()
        self._lock = threading.Lock()
        self._moves: dict[str, Progress] = {}
        self._relays: dict[str, tuple[float, RelaySample]] = {}
        self._note = ""
        self._interrupted = ""
        self._done: list[str] = []

    def __call__(self, event: Event) -> None:
        """Take one event."""
        with self._lock:
            now = self._clock()
            match event:
                case Move():
                    self._note = ""
                    if event.vm in self._moves:
                        self._moves[event.vm].take(event, now)
                    else:
                        self._moves[event.vm] = Progress(event, now)
                case RelaySample():
                    self._relays[event.relay] = (now, event)
                case RunStarted():
                    self._note = "changing hosts and boxes" if self._plan.changes else "starting"
                case Changed(done=done, total=total):
                    self._note = f"{'changed' if event.how == 'applied' else 'put back'} {done} of {total}"
                    self._say(f"{event.target}  {words.setting(event.key)}  {event.value}")
                case Proven():
                    self._note = "proving that the traffic takes the new way"
                    self._say(f"{event.subject}: {event.detail}")
                case Rebooting(host=host, phase=phase):
                    self._note = f"{host}: {words.reboot(phase)}"
                    self._say(self._note)
                case Waiting(subject=subject, reason=reason):
                    self._note = f"waiting for {subject}: {reason}"
                case Left(target=target, key=key):
                    self._say(f"left: {target} {words.setting(key)}")
                case Interrupted(level=level):
                    self._interrupted = lines.interrupted(level)
                case _:
                    pass

    def _say(self, text: str) -> None:
        self._done = [*self._done, lines.short(text, 200)][-CHANGES:]

    def __rich_console__(self, to: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it as wide and as high as the terminal is now."""
        with self._lock:
            now = self._clock()
            yield _line(self._header(now), "bold")
            for name in self._plan.relays:
                sample = self._relays[name][1] if name in self._relays else None
                yield _line(lines.relay(sample) if sample else f"relay {name}: not asked yet", "magenta")
                yield _line(f"  {sample.limiter}" if sample else "", "dim")
            if self._moves:
                yield self._table(now, options.max_width, max(to.height - 7 - 2 * len(self._plan.relays), 1))
            else:
                yield Group(*[_line(f"  {text}", "dim") for text in self._done])
            note = self._note or "Ctrl-C: start nothing more; twice: cancel what runs"
            yield _line(self._interrupted or note, "yellow" if self._interrupted else "dim")

    def _header(self, now: float) -> str:
        plan = self._plan
        text = f"{plan.mode} mode · run {plan.run} · {units.clock(now - self._began)}"
        states = [progress.move.state for progress in self._moves.values()]
        counts = [f"{states.count(state)} {words.state(state)}" for state in reversed(ORDER) if state in states]
        return f"{text} · {', '.join(counts)}" if counts else text

    def _table(self, now: float, width: int, rows: int) -> Table:
        spare = max(width - 80, 0)
        widths = {
            "VM": 15 + min(spare // 4, 17), "state": 9, "to": 12 + min(spare // 6, 12),
            "progress": 10 + min(spare // 3, 30), "%": 4, "rate": 11, "left": 7,
        }  # fmt: skip
        table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
        for name, size in widths.items():
            justify = "right" if name in {"%", "rate", "left"} else "left"
            table.add_column(name, justify=justify, width=size, no_wrap=True, overflow="ellipsis")  # type: ignore[arg-type]
        moves = sorted(self._moves.values(), key=lambda progress: ORDER.index(progress.move.state))
        total = carried = sum_bps = longest = 0.0
        for number, progress in enumerate(moves):
            bps = self._rate(progress, now)
            done = progress.carried(now, bps)
            total, carried = total + progress.move.bytes_total, carried + done
            running = progress.move.state == "running"
            sum_bps += (bps or 0.0) if running else 0.0
            longest = max(longest, (left(progress.move.bytes_total, done, bps) or 0.0) if running else 0.0)
            if number < rows:
                table.add_row(*_row(progress, now, bps, done, widths["progress"]))
        if len(moves) > rows:
            table.add_row(f"and {len(moves) - rows} more")
        if len(moves) > 1:
            rest = left(total, carried, sum_bps)
            percent = carried / total * 100 if total else 0.0
            table.add_row(
                Text("all", style="bold"), "", "", _bar(percent, widths["progress"]), str(int(percent)),
                units.rate(sum_bps) if sum_bps else "-", "-" if rest is None else units.clock(max(rest, longest)),
            )  # fmt: skip
        return table

    def _rate(self, progress: Progress, now: float) -> float | None:
        """Return bit/s of a move: what the relays carry where it is the only one that runs, else by its percent."""
        running = [other for other in self._moves.values() if other.move.state == "running"]
        if running == [progress]:
            fresh = [sample.bps for at, sample in self._relays.values() if now - at < FRESH_S and sample.streams]
            if sum(fresh) > 0:
                return sum(fresh)
        return progress.rate()


def _row(progress: Progress, now: float, bps: float | None, carried: float, bar: int) -> list[RenderableType]:
    """Return a VM's cells; what has ended shows how long it took."""
    move = progress.move
    name, state = escape(move.vm), Text(words.state(move.state), style=STYLES.get(move.state, ""))
    if move.state not in {"running", "success"}:
        return [name, state, escape(move.target_host), "", "", "-", "-"]
    percent = carried / move.bytes_total * 100 if move.bytes_total else float(move.percent)
    rest: float | None = progress.elapsed(now)
    if move.state == "running":
        # The last percent is what the VM dirtied meanwhile, sent again: nobody knows how long that takes.
        rest = left(move.bytes_total, carried, bps) if percent < 99 else None
    return [
        name, state, escape(move.target_host), _bar(percent, bar), str(int(percent)),
        "-" if bps is None else units.rate(bps), "-" if rest is None else units.clock(rest),
    ]  # fmt: skip


def _bar(percent: float, width: int) -> ProgressBar:
    return ProgressBar(total=100, completed=percent, width=width)


def _line(text: str, style: str) -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")
