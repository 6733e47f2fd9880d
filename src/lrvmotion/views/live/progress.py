"""How far a move is and when it ends, between two percent steps and from the relay's own count."""

from __future__ import annotations

from collections import deque

from lrvmotion.events import Move
from lrvmotion.model.migration_state import MigrationState

WINDOW_S = 20.0  # the rate is that of the last steps, not of the slow start
LEAST_S = 2.0


class Progress:
    """One VM's move; times are seconds of one monotonic clock. bit/s and bytes are of what was planned to be sent."""

    def __init__(self, move: Move, now: float) -> None:
        self.move = move
        self.seen = now  # when the last event came
        self._steps: deque[tuple[float, float]] = deque([(now, self._step())])

    def take(self, move: Move, now: float) -> None:
        """Take the next event of the same VM; a new attempt starts over."""
        if move.attempts != self.move.attempts or (
            self.move.state != MigrationState.RUNNING and move.state == MigrationState.RUNNING
        ):
            self._steps.clear()
        self.move, self.seen = move, now
        if not self._steps or self._step() > self._steps[-1][1]:
            self._steps.append((now, self._step()))
        while len(self._steps) > 2 and now - self._steps[0][0] > WINDOW_S:
            self._steps.popleft()

    def elapsed(self, now: float) -> float:
        """Return for how long it has run, s."""
        running = self.move.state == MigrationState.RUNNING
        return self.move.elapsed_s + (now - self.seen if running else 0.0)

    def rate(self, now: float | None = None) -> float | None:
        """Return bit/s over the last steps, else since the start; None where nothing can be said.

        At *now* it is not more than the next percent would make of it: a move that stands still is seen to slow down.
        """
        if self.move.state == MigrationState.SUCCESS:
            return self.move.bytes_total * 8 / self.move.elapsed_s if self.move.elapsed_s > 0 else None
        first, last = self._steps[0], self._steps[-1]
        if last[0] - first[0] < LEAST_S:
            return self._mean(self.move.elapsed_s)
        bps = (last[1] - first[1]) * 8 / (last[0] - first[0])
        if now is None or now <= last[0] or self.move.percent >= 99:
            return bps
        return min(bps, self.move.bytes_total / 100 * 8 / (now - last[0]))

    def carried(self, now: float, bps: float | None) -> float:
        """Return bytes so far: the last step and what *bps* added since, less than the next step."""
        if self.move.state == MigrationState.SUCCESS:
            return float(self.move.bytes_total)
        if self.move.state != MigrationState.RUNNING:
            return self._step()
        since = (bps or 0.0) / 8 * (now - self._steps[-1][0])
        return min(self._step() + min(since, self.move.bytes_total * 0.0099), float(self.move.bytes_total))

    def _step(self) -> float:
        return self.move.bytes_total * self.move.percent / 100

    def _mean(self, seconds: float) -> float | None:
        return self._step() * 8 / seconds if seconds >= 1 and self.move.percent else None


def left(total: float, carried: float, bps: float | None) -> float | None:
    """Return the seconds that the rest takes at *bps*; None where that is not known."""
    return (total - carried) * 8 / bps if bps and total else None
