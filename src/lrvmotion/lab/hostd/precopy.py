"""When pre-copy goes on, and when the VM is stunned: pure arithmetic."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

# Unconfirmed: where ESXi gives up. It would slow the guest down first (SDPS), which the lab does not.
ROUNDS_MAX = 16
ROUNDS_WITHOUT_GAIN = 3

Step = Literal["wait", "round", "switchover"]


@dataclass(slots=True, kw_only=True)
class Precopy:
    """The rounds of one move: round 0 carries disk and memory, each later one what was dirtied meanwhile.

    *dirty_bps* is bytes a second, *switchover_s* how long the VM may stand still.
    """

    memory_bytes: int
    disk_bytes: int
    dirty_bps: int
    switchover_s: float
    round: int = 0
    _previous: int = field(init=False)
    _without_gain: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._previous = self.memory_bytes

    def first(self) -> int:
        """Return the bytes of round 0."""
        return self.memory_bytes + self.disk_bytes

    def dirty(self, elapsed_s: float) -> int:
        """Return the bytes dirtied in *elapsed_s* seconds; never more than the memory."""
        return min(self.memory_bytes, int(self.dirty_bps * elapsed_s))

    def step(self, *, elapsed_s: float, rate: float, outstanding: int) -> Step:
        """Say what to do once a round has been handed to the streams *elapsed_s* seconds after it began.

        *rate* is arrived bytes a second, *outstanding* bytes sent and not yet arrived.
        """
        if outstanding > rate * self.switchover_s / 2:
            return "wait"
        dirty = self.dirty(elapsed_s)
        if dirty + outstanding <= rate * self.switchover_s or not dirty:
            return "switchover"
        gain = dirty < self._previous * 0.95
        without_gain = 0 if gain else self._without_gain + 1
        if self.round + 1 >= ROUNDS_MAX or without_gain >= ROUNDS_WITHOUT_GAIN:
            return "switchover"
        self._without_gain, self._previous = without_gain, dirty
        self.round += 1
        return "round"
