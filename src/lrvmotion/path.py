"""Ping samples to PathQuality: RTT, jitter, loss with its confidence interval, bandwidth-delay product."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from lrvmotion.findings import Finding, Severity


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


def judge(quality: PathQuality, *, limit_rtt_ms: float, limit_loss: float) -> list[Finding]:
    """Return what stands against moving VMs over this pair; loss counts only where even its lower bound is too high."""
    subject = f"{quality.source} -> {quality.target}"
    if quality.reason is not None:
        summary = f"RTT and loss not measured: {quality.reason}"
        return [Finding(severity=Severity.WARNING, code="path-not-measured", subject=subject, summary=summary)]
    if quality.received == 0:
        summary = f"none of {quality.sent} pings was answered"
        hint = "check the vMotion vmknics' addresses, VLANs and routes on both sides"
        return [Finding(severity=Severity.ERROR, code="path-unreachable", subject=subject, summary=summary, hint=hint)]
    found = []
    if quality.rtt_ms is not None and quality.rtt_ms > limit_rtt_ms:
        summary = f"RTT is {quality.rtt_ms:.1f} ms, the limit is {limit_rtt_ms:g} ms"
        hint = "vMotion is supported up to 150 ms; limits.rtt_ms sets the limit"
        found.append(Finding(severity=Severity.ERROR, code="path-rtt", subject=subject, summary=summary, hint=hint))
    interval = quality.loss_interval
    if interval is not None and interval[0] > limit_loss:
        summary = f"{quality.loss:.1%} of {quality.sent} pings were lost (95 %: {interval[0]:.1%} to {interval[1]:.1%})"
        hint = f"the limit limits.loss is {limit_loss:.1%}; idle loss this high is a broken circuit, not a busy one"
        found.append(Finding(severity=Severity.ERROR, code="path-loss", subject=subject, summary=summary, hint=hint))
    return found
