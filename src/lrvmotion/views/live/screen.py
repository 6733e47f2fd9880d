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
from lrvmotion.views.live import heartbeat, rows
from lrvmotion.views.live.state import State
from lrvmotion.views.text import console, streams, units, words

FRAMES = 4  # a second
CHANGES = 7  # lines of the last changes, before the first move
BLOCKS = " ▁▂▃▄▅▆▇█"
KEYS = "Ctrl-C: finish running moves, then stop · twice: cancel them"
SAID_S = 15.0  # so long a message is shown


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
    # stdout is for results: redirected by Live, events would land on the screen instead.
    with (
        console.no_echo(),
        Live(
            view,
            console=terminal,
            refresh_per_second=FRAMES,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
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
        self._done: list[str] = []

    def __call__(self, event: Event) -> None:
        """Take one event."""
        with self._lock:
            now = self._clock()
            self._state.take(event, now)
            match event:
                case RunStarted():
                    self._tell("changing hosts and relay hosts" if self._plan.changes else "starting", now)
                case Move() if event.state == MigrationState.RUNNING and not self._state.history:
                    self._note = ""
                case Changed(done=done, total=total):
                    self._tell(f"{'changed' if event.how == 'applied' else 'restored'} {done} of {total}", now)
                    self._say(f"{event.target}  {words.setting(event.key)}  {event.value}")
                case Proven():
                    self._tell("proving that the traffic takes the new way", now)
                    self._say(f"{event.subject}: {event.detail}")
                case Rebooting(host=host, phase=phase):
                    self._tell(f"{host}: {words.reboot(phase)}", now)
                    self._say(self._note)
                case Waiting(subject=subject, reason=reason):
                    self._tell(f"waiting for {subject}: {reason}", now)
                case Left(target=target, key=key):
                    self._say(f"left: {target} {words.setting(key)}")
                case Message(text=text):
                    self._tell(text, now)
                case Found(finding=finding):
                    self._tell(lines.found(finding), now)
                case HookRan() | Carried() if (said := lines.failing(event)) is not None:
                    self._tell(said, now)
                case Interrupted():
                    self._interrupted = lines.interrupted(event)
                case _:
                    pass

    def _tell(self, text: str, now: float) -> None:
        self._note, self._noted = text, now

    def _say(self, text: str) -> None:
        self._done = [*self._done, lines.short(text, 200)][-CHANGES:]

    def __rich_console__(self, to: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it as wide and as high as the terminal is now."""
        with self._lock:
            now = self._clock()
            self._state.tick(now)
            drawn = [*self._header(now, options.max_width)]
            if self._state.vms:
                drawn += self._vms(now, options.max_width, max(to.height - 2 - len(drawn), 2))
            else:
                drawn += [_line(f"  {text}", "dim") for text in self._done]
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
            cap = "" if (bps := state.caps.get(name)) is None else f", cap {units.rate(bps)}"
            said = lines.relay(at[1]).removeprefix("relay ") if at else f"{name}: not asked yet"
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
        carried, total = state.carried(now), state.total
        text = f"{units.size(carried)} of {units.size(total)}"
        left = state.left_s(now)
        text += f" · {'-' if left is None else units.clock(left)} left"
        yield _line(f"{text}{heartbeat.against(state, now, left)}", "")

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
