"""Problems with the path: reachability, RTT, loss and MTU as they were measured, and the circuit under load."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lrvmotion.checks.catalogue import Code
from lrvmotion.findings import Finding
from lrvmotion.model.load_report import LoadReport
from lrvmotion.model.path_quality import FULL, JUMBO, Frames, PathQuality
from lrvmotion.model.target_id import TargetId

_REACH = "check the vMotion vmknics' addresses, VLANs and routes on both sides"
_RAISE = "raise the path's MTU to 9000, or lower the vmknics'"


def quality(pair: PathQuality, *, limit_rtt_ms: float, limit_loss: float) -> Iterator[Finding]:
    """RTT and loss of one pair; loss counts only where even the lower bound of its 95 % interval is too high."""
    subject = f"{pair.source} -> {pair.target}"
    if pair.reason is not None:
        yield Code.PATH_NOT_MEASURED.warning(subject, f"RTT and loss not measured: {pair.reason}")
        return
    if pair.received == 0:
        yield Code.PATH_UNREACHABLE.error(subject, f"none of {pair.sent} pings was answered", _REACH)
        return
    if pair.rtt_ms is not None and pair.rtt_ms > limit_rtt_ms:
        summary = f"RTT is {pair.rtt_ms:.1f} ms, the limit is {limit_rtt_ms:g} ms"
        hint = "vMotion is supported up to 150 ms; limits.rtt_ms sets the limit"
        yield Code.PATH_RTT.error(subject, summary, hint)
    interval = pair.loss_interval
    if interval is not None and interval[0] > limit_loss:
        summary = f"{pair.loss:.1%} of {pair.sent} pings were lost (95 %: {interval[0]:.1%} to {interval[1]:.1%})"
        hint = f"the limit limits.loss is {limit_loss:.1%}; idle loss this high is a broken circuit, not a busy one"
        yield Code.PATH_LOSS.error(subject, summary, hint)


def frames(seen: Frames) -> Iterator[Finding]:
    """Which sizes pass: a vMotion over a path that drops full frames hangs (KB 417889)."""
    subject = f"{seen.source} -> {seen.target}"
    if seen.reason is not None:
        yield Code.PATH_NOT_MEASURED.warning(subject, f"reachability and MTU not measured: {seen.reason}")
        return
    if seen.full == "lost" and seen.plain != "passed":
        yield Code.PATH_UNREACHABLE.error(subject, "no ping was answered, whatever its size", _REACH)
        return
    if seen.full == "lost":
        summary = f"pings of {FULL} bytes with DF are lost, small ones pass: full frames are dropped without a word"
        hint = "raise the MTU along the path to 1500, or let ICMP 'fragmentation needed' through"
        yield Code.PATH_MTU.error(subject, summary, hint)
    elif seen.full == "too-long":
        summary = f"the path takes no {FULL + 28}-byte packets; TCP must send smaller segments, which loss slows more"
        yield Code.PATH_MTU.warning(subject, summary, "raise the MTU along the path to 1500")
    if seen.source_mtu != seen.target_mtu:
        summary = f"the vmknics' MTUs differ: {seen.source_mtu} and {seen.target_mtu}"
        yield Code.MTU_MISMATCH.warning(subject, summary, "give both the same MTU, and the switches too")
    least = min(seen.source_mtu, seen.target_mtu)
    if least >= JUMBO + 28 and seen.jumbo == "lost":
        summary = f"both vmknics have MTU {least}, and pings of {JUMBO} bytes with DF are lost: a vMotion would hang"
        yield Code.PATH_JUMBO.error(subject, summary, _RAISE)
    elif least >= JUMBO + 28 and seen.jumbo == "too-long":
        summary = f"both vmknics have MTU {least}, and the path takes no {JUMBO + 28}-byte packets"
        yield Code.PATH_JUMBO.warning(subject, summary, _RAISE)
    elif least < JUMBO + 28 and seen.jumbo == "passed":
        summary = f"the path carries {JUMBO + 28}-byte packets, and the vmknics' MTU is {least}"
        hint = "vmknics and switches with MTU 9000 make each stream several times as fast where loss limits it (Mathis)"
        yield Code.PATH_JUMBO_UNUSED.info(subject, summary, hint)


def idle_only(qualities: Iterable[PathQuality]) -> Iterator[Finding]:
    """Loss that no load probe was made for."""
    if any(pair.sent for pair in qualities):
        summary = "loss was measured on an idle circuit, which underestimates what a busy one loses"
        hint = "'lrvmotion check --load' measures it under load, from a relay host to a far one"
        yield Code.PATH_IDLE_ONLY.info("path", summary, hint)


def astray(target: str, relays: Iterable[str]) -> Finding:
    """A host, *target*, whose vMotion still goes through *relays* that are left out."""
    summary = f"it still sends through {', '.join(relays)}: its path is not measured before that is changed"
    return Code.PATH_ASTRAY.warning(target, summary)


def load(report: LoadReport) -> Iterator[Finding]:
    """What limits the circuit, a policer, a deep queue, and what could not be measured."""
    subject = f"{TargetId.relay(report.near)} -> relay/{report.far}"
    if report.runs:
        yield Code.LOAD_LIMITER.info(subject, report.limiter)
    if report.policer_mbps is not None:
        hint = "more streams help: native mode, or settings.proxy_stream_helpers"
        yield Code.LOAD_POLICER.warning(subject, f"each stream is held at {report.policer_mbps:.0f} Mbit/s", hint)
    queueing, least = report.queueing_ms, report.min_rtt_ms
    if queueing is not None and least is not None and queueing > least:
        summary = (
            f"under load the RTT grows from {least:.0f} to {least + queueing:.0f} ms: the bottleneck's queue is deep"
        )
        yield Code.LOAD_QUEUE.warning(subject, summary, "relay.circuit_rate or relay.limit keeps the queue short")
    for run in report.missing:
        streams = "1 stream" if run.streams == 1 else f"{run.streams} streams"
        summary = f"{run.algorithm}, {streams}: not measured: {run.reason}"
        yield Code.LOAD_NOT_MEASURED.warning(subject, summary)
