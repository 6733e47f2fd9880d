"""Which segments are lost: uniform, in bursts, or the more the fuller the line; all from one seeded generator."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from typing import Protocol

from lrvmotion.lab.spec import WanSpec

FIELD_SCALE, FIELD_POWER = 0.06, 2.3
LOAD_CAP = 1.3
LOAD_WINDOW_S = 0.1


class Loss(Protocol):
    """Draws losses for accepted segments, in order."""

    def lost(self, count: int, load: float) -> Sequence[int]:
        """Return which of the next *count* segments are lost (0-based, rising); *load* as a share of the line rate."""


class Clean:
    """Loses nothing."""

    def lost(self, count: int, load: float) -> Sequence[int]:  # noqa: ARG002
        """Return nothing."""
        return ()


class Gaps:
    """Loses the segment after each gap; a packet without loss costs one comparison."""

    def __init__(self, gaps: Iterator[int]) -> None:
        self._gaps = gaps
        self._left = next(gaps)

    def lost(self, count: int, load: float) -> Sequence[int]:  # noqa: ARG002
        """Return which are lost; the load does not matter."""
        if self._left >= count:
            self._left -= count
            return ()
        found = []
        position = self._left
        while position < count:
            found.append(position)
            position += 1 + next(self._gaps)
        self._left = position - count
        return found


class Field:
    """The field profile, p(u) = 0.06 u^2.3: drawn by hazard, so that p may change between packets."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._left = rng.expovariate(1.0)

    def lost(self, count: int, load: float) -> Sequence[int]:
        """Return which are lost at *load*."""
        hazard = -math.log1p(-field_loss(load))
        if self._left > hazard * count:
            self._left -= hazard * count
            return ()
        found = []
        for position in range(count):
            self._left -= hazard
            if self._left <= 0.0:
                found.append(position)
                self._left = self._rng.expovariate(1.0)
        return found


def field_loss(load: float) -> float:
    """Return the field profile's loss ratio at *load* (share of the line rate, capped at 1.3)."""
    return float(FIELD_SCALE * min(load, LOAD_CAP) ** FIELD_POWER)


def uniform(rng: random.Random, loss: float) -> Iterator[int]:
    """Yield gaps (segments that pass before the next lost one) of independent losses; 0 < *loss* < 1."""
    log_q = math.log1p(-loss)
    while True:
        yield int(math.log(1.0 - rng.random()) / log_q)


def gilbert(rng: random.Random, loss: float, burst: float) -> Iterator[int]:
    """Yield gaps of the simple Gilbert model: mean ratio *loss*, bursts of *burst* > 1 segments on average.

    The state moves on per segment, not per second: an idle path stays in its burst.
    """
    leave = 1.0 / burst
    enter = leave * loss / (1.0 - loss)
    good, bad = uniform(rng, enter), uniform(rng, leave)
    while True:
        yield 1 + next(good)  # at least one survivor separates two bursts
        for _ in range(next(bad)):
            yield 0


def make(spec: WanSpec, rng: random.Random) -> Loss:
    """Return the loss that *spec* describes. Raises ValueError where it makes no sense."""
    if spec.profile == "field":
        if not spec.rate_bps:
            message = "the field profile needs a rate: its loss depends on the load"
            raise ValueError(message)
        return Field(rng)
    if spec.profile == "clean" or spec.loss == 0:
        return Clean()
    if not 0.0 < spec.loss < 1.0:
        message = f"loss {spec.loss} is not a ratio between 0 and 1"
        raise ValueError(message)
    if spec.profile == "uniform":
        return Gaps(uniform(rng, spec.loss))
    if spec.burst <= 1.0 or spec.loss / (1.0 - spec.loss) >= spec.burst:
        message = f"bursts of {spec.burst} segments at a mean loss of {spec.loss}: not possible"
        raise ValueError(message)
    return Gaps(gilbert(rng, spec.loss, spec.burst))
