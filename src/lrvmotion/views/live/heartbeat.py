"""A line a minute off a terminal: how the run stands, also while nothing happens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Self

from lrvmotion.events import Event
from lrvmotion.views.events import lines
from lrvmotion.views.events.wording import wording
from lrvmotion.views.live.state import State
from lrvmotion.views.text import units, words

HEARTBEAT_S = 60.0


class Heartbeat:
    """An observer that tells *lines* every event, and every *every_s* seconds how the run stands while VMs move.

    A context manager: a thread of its own beats where no event comes. *clock* is monotonic, in seconds.
    """

    def __init__(
        self, to: lines.Lines, *, every_s: float = HEARTBEAT_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._lines, self._every_s, self._clock = to, every_s, clock
        self._state = State()
        self._last: float | None = None
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def __call__(self, event: Event) -> None:
        """Take one event."""
        with self._lock:
            self._state.take(event, self._clock())
            self._lines(event)

    def _watch(self) -> None:
        while not self._over.wait(min(self._every_s, 1.0)):
            self.beat()

    def beat(self) -> None:
        """Say how the run stands where that is due."""
        with self._lock:
            now = self._clock()
            self._state.tick(now)
            if not self._state.vms or self._state.ended:
                return
            if self._last is None:
                self._last = now
            elif now - self._last >= self._every_s:
                self._last = now
                self._lines.say(status_line(self._state, now))


def status_line(state: State, now: float) -> str:
    """Return how the run stands at *now*, in one line."""
    bps, left = state.bps(now), state.left_s(now)
    parts = [
        f"{words.count(len(state.vms), 'VM')}: {words.counts(state.counts)}",
        f"{units.size(state.carried(now))} of {units.size(state.total)}",
        units.rate(bps) if bps else "no traffic seen",
        " · ".join([f"{'-' if left is None else units.clock(left)} left", *against(state, now, left)]),
        *(str(wording(sample)) for at, sample in state.relays.values() if sample.streams),
    ]
    return "; ".join(parts)


def against(state: State, now: float, left: float | None) -> list[str]:
    """Return what the whole queue comes to as it goes now, and its forecast; nothing without one."""
    if state.forecast_s is None:
        return []
    text = f"forecast {units.clock(state.forecast_s)}"
    moving = state.moving_s(now)
    if moving is None or left is None:
        return [text]
    late = moving + left - state.forecast_s
    difference = f"{'+' if late >= 0 else '-'}{units.clock(abs(late))}"
    return [f"total {units.clock(moving + left)}", f"{text} ({difference})"]
