"""The live screen of a run: the circuit, the relays, the queue, and a line a VM; plain lines off a terminal."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from lrvmotion.events import (
    Carried,
    Changed,
    Event,
    Found,
    HookRan,
    Interrupted,
    Left,
    Message,
    Move,
    Proven,
    Rebooting,
    RunStarted,
    Waiting,
)
from lrvmotion.model.migration_state import MigrationState
from lrvmotion.plan.plan import Plan
from lrvmotion.views.events import lines
from lrvmotion.views.events.wording import short, wording
from lrvmotion.views.live import heartbeat, rows
from lrvmotion.views.live.state import State
from lrvmotion.views.text import console, streams, units, words

FRAMES = 4  # a second
CHANGES = 7  # lines of what was told last, before the first move; the newest is at the foot
BLOCKS = " ▁▂▃▄▅▆▇█"
KEYS = "Ctrl-C: finish running moves, then stop · twice: cancel them"
SEPARATOR = " · "
SAID_S = 15.0  # so long a message is shown
_TOLD = Carried | Changed | Found | HookRan | Left | Message | Proven | Rebooting | Waiting


@contextmanager
def screen(plan: Plan, *, quiet: bool) -> Iterator[Callable[[Event], None]]:
    """Yield an observer that shows the run of *plan*: live on a terminal, else plain lines, none of them if *quiet*.

    It raises OSError once stderr is lost.

    With *quiet*, stdout carries a document or events; where that is the same terminal, nothing else is drawn on it.
    """
    terminal = console.err()
    if not console.live(terminal) or (quiet and sys.stdout.isatty()):
        with heartbeat.Heartbeat(lines.Lines(quiet=quiet)) as beating:
            yield beating
        return
    view = Screen(plan, time.monotonic)
    # On a screen of its own: resized, a terminal moves lines, and a frame drawn over the last would miss some.
    # stdout is for results: redirected by Live, events would land on the screen instead.
    with (
        console.no_echo(),
        Live(
            view,
            console=terminal,
            refresh_per_second=FRAMES,
            screen=True,
            redirect_stdout=False,
            redirect_stderr=False,
        ),
    ):

        def show(event: Event) -> None:
            view(event)
            streams.check(sys.stderr)

        yield show


class Screen:
    """What the live screen draws, redrawn a few times a second; *clock* is monotonic, in seconds."""

    def __init__(self, plan: Plan, clock: Callable[[], float]) -> None:
        self._plan = plan
        self._clock = clock
        self._began = clock()
        self._lock = threading.Lock()
        self._state = State()
        self._note = ""
        self._noted = 0.0
        self._interrupted = ""
        self._told: list[str] = []

    def __call__(self, event: Event) -> None:
        """Take one event."""
        with self._lock:
            now = self._clock()
            self._state.take(event, now)
            match event:
                case RunStarted():
                    self._note = "changing hosts and relay hosts" if self._plan.changes else "starting"
                case Move() if event.state == MigrationState.RUNNING and not self._state.history:
                    self._note = ""
                case Interrupted():
                    self._interrupted = lines.told(event) or ""
                case HookRan(status=0) | Carried(carried=True):
                    pass
                case _ if isinstance(event, _TOLD):
                    self._note, self._noted = wording(event) or "", now
                    self._told = [*self._told, short(self._note, 200)][-CHANGES - 1 :]
                case _:
                    pass

    def __rich_console__(self, to: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it as wide and as high as the terminal is now."""
        with self._lock:
            now = self._clock()
            self._state.tick(now)
            drawn = [*self._header(now, options.max_width)]
            if self._state.vms:
                drawn += self._vms(now, options.max_width, max(to.height - 2 - len(drawn), 2))
            else:
                above = self._told if self._interrupted else self._told[:-1]
                drawn += [_line(f"  {text}", "dim") for text in above[-CHANGES:]]
            drawn.append(self._foot(now))
        yield Text("\n", no_wrap=True, overflow="ellipsis").join(drawn)

    def _header(self, now: float, width: int) -> Iterator[Text]:
        plan, state = self._plan, self._state
        head = f"{plan.mode} mode · run {plan.run} · {units.clock(now - self._began)}"
        if state.window is not None:
            head += f" · {words.window(state.window.is_open, state.window.until)}"
        yield _line(head, "bold")
        if state.vms:
            counts = words.counts(state.counts)
            yield _line(f"{words.count(len(state.vms), 'VM')}: {counts}", "bold")
            yield from self._circuit(now, width)
        for name in plan.relays:
            at = state.relays.get(name)
            cap = "" if (bps := state.caps.get(name)) is None else f", {words.cap(bps)}"
            said = str(wording(at[1])).removeprefix("relay ") if at else f"{name}: not asked yet"
            yield _line(f"{said}{cap}", "magenta")
            if len(plan.relays) < 3:
                yield _line(f"  {at[1].limiter}" if at else "", "dim")

    def _circuit(self, now: float, width: int) -> Iterator[Text]:
        """Yield the circuit's rate over the last minutes and how far the queue is, against the forecast."""
        state = self._state
        bps = state.history[-1] if state.history else 0.0
        said = f" {units.rate(bps) if bps else '-'}, highest {units.rate(state.highest) if state.highest else '-'}"
        seconds = max(min(width - 40, 120), 10)
        graph = Text(sparkline(list(state.history)[-seconds:], seconds), style="green", no_wrap=True)
        yield graph.append(said, style="bold") if len(said) + seconds <= width else graph
        left = state.left_s(now)
        carried = f"{units.size(state.carried(now))} of {units.size(state.total)}"
        parts = [carried, f"{'-' if left is None else units.clock(left)} left", *heartbeat.against(state, now, left)]
        while len(SEPARATOR.join(parts)) > width and len(parts) > 2:  # half of a figure reads as another one
            del parts[2]
        yield _line(SEPARATOR.join(parts), "")

    def _vms(self, now: float, width: int, height: int) -> Iterator[Text]:
        state = self._state
        columns = rows.Columns.of(width, state)
        yield columns.head()
        shown = rows.chosen(state, height - 1 if len(state.vms) <= height - 1 else height - 2, now)
        for vm in shown:
            yield rows.row(state, vm, columns, now)
        if text := rows.more(state, shown):
            yield _line(text, "dim")

    def _foot(self, now: float) -> Text:
        if self._interrupted:
            return _line(self._interrupted, "yellow")
        said = self._note if not self._state.vms or now - self._noted < SAID_S else ""
        return _line(rows.clean(said) or KEYS, "dim")


def sparkline(values: list[float], width: int) -> str:
    """Return the last of *values* as blocks, the highest of them a full one, at the right of *width* cells."""
    top = max(values, default=0.0)
    steps = len(BLOCKS) - 1
    blocks = [
        BLOCKS[min(max(round(value / top * steps), 1 if value else 0), steps)] if top else " " for value in values
    ]
    return "".join(blocks[-width:]).rjust(width)


def _line(text: str, style: str) -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")
