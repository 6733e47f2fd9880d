"""Ping samples to PathQuality: RTT, jitter, loss with its confidence interval, bandwidth-delay product."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from lrvmotion.findings import Finding, Severity

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


def judge(quality: PathQuality, *, limit_rtt_ms: float, limit_loss: float) -> list[Finding]:
    """Return what blocks moving VMs over this pair; loss counts only where even its lower bound is too high."""
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


def judge_frames(frames: Frames) -> list[Finding]:
    """Return what the frames' sizes say: a vMotion over a path that drops full frames hangs (KB 417889)."""
    subject = f"{frames.source} -> {frames.target}"

    def found(severity: Severity, code: str, summary: str, hint: str) -> Finding:
        return Finding(severity=severity, code=code, subject=subject, summary=summary, hint=hint)

    if frames.reason is not None:
        summary = f"reachability and MTU not measured: {frames.reason}"
        return [Finding(severity=Severity.WARNING, code="path-not-measured", subject=subject, summary=summary)]
    if frames.full == "lost" and frames.plain != "passed":
        hint = "check the vMotion vmknics' addresses, VLANs and routes on both sides"
        return [found(Severity.ERROR, "path-unreachable", "no ping was answered, whatever its size", hint)]
    said = []
    if frames.full == "lost":
        summary = f"pings of {FULL} bytes with DF are lost, small ones pass: full frames are dropped without a word"
        hint = "raise the MTU along the path to 1500, or let ICMP 'fragmentation needed' through"
        said.append(found(Severity.ERROR, "path-mtu", summary, hint))
    elif frames.full == "too-long":
        summary = f"the path takes no {FULL + 28}-byte packets; TCP must send smaller segments, which loss slows more"
        said.append(found(Severity.WARNING, "path-mtu", summary, "raise the MTU along the path to 1500"))
    if frames.source_mtu != frames.target_mtu:
        summary = f"the vmknics' MTUs differ: {frames.source_mtu} and {frames.target_mtu}"
        said.append(found(Severity.WARNING, "mtu-mismatch", summary, "give both the same MTU, and the switches too"))
    least = min(frames.source_mtu, frames.target_mtu)
    if least >= JUMBO + 28 and frames.jumbo == "lost":
        summary = f"both vmknics have MTU {least}, and pings of {JUMBO} bytes with DF are lost: a vMotion would hang"
        said.append(found(Severity.ERROR, "path-jumbo", summary, "raise the path's MTU to 9000, or lower the vmknics'"))
    elif least >= JUMBO + 28 and frames.jumbo == "too-long":
        summary = f"both vmknics have MTU {least}, and the path takes no {JUMBO + 28}-byte packets"
        said.append(
            found(Severity.WARNING, "path-jumbo", summary, "raise the path's MTU to 9000, or lower the vmknics'")
        )
    elif least < JUMBO + 28 and frames.jumbo == "passed":
        summary = f"the path carries {JUMBO + 28}-byte packets, and the vmknics' MTU is {least}"
        hint = "vmknics and switches with MTU 9000 make each stream several times as fast where loss limits it (Mathis)"
        said.append(found(Severity.INFO, "path-jumbo-unused", summary, hint))
    return said
