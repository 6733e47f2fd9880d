"""Ping samples to PathQuality: RTT, jitter, loss with its confidence interval, bandwidth-delay product."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

FULL = 1472  # bytes of a ping that fills a packet of 1,500: 28 are headers
JUMBO = 8972
Arrival = Literal["passed", "too-long", "lost"]  # too-long: the host itself, or what it knows of the path, refused it


@dataclass(frozen=True, slots=True, kw_only=True)
class PathQuality:
    """One measured pair; times in ms, *loss* a ratio 0-1 with its 95 % interval. None: not measured."""

    source: str
    target: str
    sent: int
    received: int
    rtt_ms: float | None = None
    rtt_min_ms: float | None = None
    jitter_ms: float | None = None
    reason: str | None = None

    @property
    def loss(self) -> float | None:
        """The share of probes without an answer."""
        return None if self.sent == 0 else 1 - self.received / self.sent

    @property
    def loss_interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the loss ratio (Wilson's score interval)."""
        return None if self.sent == 0 else wilson(self.sent - self.received, self.sent)


def bdp_bytes(rate_bps: float, rtt_ms: float) -> float:
    """Return the bandwidth-delay product in bytes: what must be in flight to fill the path."""
    return rate_bps / 8 * rtt_ms / 1000


def wilson(hits: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """Return Wilson's score interval of hits/trials (E. B. Wilson, J. Am. Stat. Assoc. 22, 1927), 95 % by default."""
    share = hits / trials
    scale = 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / scale
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / scale
    return max(0.0, centre - half), min(1.0, centre + half)


def jitter(rtts_ms: Sequence[float]) -> float | None:
    """Return the mean absolute difference of consecutive round trips (RFC 3393's IPDV), None below two."""
    if len(rtts_ms) < 2:
        return None
    steps = [abs(b - a) for a, b in pairwise(rtts_ms)]
    return sum(steps) / len(steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """What became of pings with DF over one pair: of 1,472 bytes (*full*), 8,972 (*jumbo*), and 56 without (*plain*).

    *reason* is set where the host did not run them; what was then not measured is None. MTUs are the vmknics' own.
    """

    source: str
    target: str
    source_mtu: int
    target_mtu: int
    plain: Arrival | None = None
    full: Arrival | None = None
    jumbo: Arrival | None = None
    reason: str | None = None
