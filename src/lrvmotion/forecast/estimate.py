"""The forecast: Mbit/s of stock, native and proxy mode, each with what limits it and where the equation is from."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import stdev
from typing import Literal

from lrvmotion.forecast import tcp_model
from lrvmotion.model.load_report import CongestionControl, LoadReport, LoadRun
from lrvmotion.model.mode import MODE_NAMES, Mode
from lrvmotion.model.path_quality import wilson

SPREAD = 0.10  # the least half-width of a range, as a share: a few seconds of one run say no more
INTERPOLATED = 0.15  # what is added where so many streams were not measured
CLOSE = 0.05  # modes this near each other count as equal: the one that changes less is better
RISING = 3.0  # so many times as much is another loss, and no chance of a few seconds
FULL = 0.85  # so near to the most that was ever measured, it is the line that limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """What a mode sends with over the circuit: *window_bytes* is one stream's, None where it is not known.

    *relayed*: a relay sends, and not the hosts themselves.
    """

    streams: int
    law: CongestionControl
    window_bytes: float | None = None
    relayed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What no move of a mode can be faster than, Mbit/s of payload, why in a sentence, and where that is from."""

    mbps: float
    limiter: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What probes measured of the path: idle pings, *lost* of *sent*, and the load probe where one ran.

    *relay_mbps* is a relay's cap, None without one. *bounds* are what is known of NICs and circuit.
    """

    rtt_ms: float | None
    sent: int = 0
    lost: int = 0
    mss: int = 1448
    load: LoadReport | None = None
    relay_mbps: float | None = None
    bounds: Mapping[Mode, Sequence[Bound]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """One mode's rate, Mbit/s of payload for one move alone, between *low* and *high*; None: not known.

    *limiter* is a sentence, *source* where its equation is from. *past* recorded moves have changed it by the factor
    *corrected*.
    """

    mode: Mode
    mbps: float | None
    low: float
    high: float | None
    limiter: str
    source: str
    past: int = 0
    corrected: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class VmTime:
    """How long one VM takes in the plan's mode (transfer.Transfer); *seconds* None where the rate is not known.

    *measured*: whether its dirty rate was; else the rounds after the first are left out, and *seconds* is the least.
    """

    vm: str
    seconds: float | None
    rounds: int = 1
    switchover_s: float = 0.0
    converges: bool = True
    slowed: float = 0.0
    measured: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """The forecast of a plan: each mode's estimate, each VM's time in the plan's own, the end of the whole queue.

    *basis* is a sentence: what it rests on and how old that is. *concurrent_moves* share the circuit; *queue_s* is
    None where nothing moves or the rate is not known. *line_mbps* is the most that a probe brought across the circuit.
    """

    basis: str
    estimates: tuple[Estimate, ...]
    vms: tuple[VmTime, ...] = ()
    concurrent_moves: int = 1
    queue_s: float | None = None
    line_mbps: float | None = None


def estimates(measured: Measured, senders: Mapping[Mode, Sending]) -> tuple[Estimate, ...]:
    """Return an estimate for each of *senders*, from the load probe if there is one, else a range from the pings."""
    found = []
    for mode in MODE_NAMES:
        if mode not in senders:
            continue
        sending = senders[mode]
        estimate = None if measured.load is None else _from_load(mode, sending, measured.load)
        estimate = estimate or _from_pings(mode, sending, measured)
        found.append(_capped(estimate, sending, measured))
    return tuple(found)


def best(found: Sequence[Estimate], available: Collection[Mode]) -> Mode | None:
    """Return the fastest of the *available* modes; of those within 5 % of it, the one that changes least.

    None where no available mode has a rate.
    """
    rates = {e.mode: e.mbps for e in found if e.mode in available and e.mbps is not None}
    most = max(rates.values(), default=0.0)
    return next((mode for mode in MODE_NAMES if mode in rates and rates[mode] >= most * (1 - CLOSE)), None)


def _from_load(mode: Mode, sending: Sending, load: LoadReport) -> Estimate | None:
    """Return the estimate from the runs of the load probe, None where none of them says anything of *mode*."""
    if sending.law == "bbr":
        return _bbr(mode, sending.streams, load)
    runs = [run for run in load.runs if run.algorithm != "bbr" and run.mbps > 0]
    if not runs:
        return None
    line = load.bottleneck_mbps or math.inf
    exact = load.run(sending.law, sending.streams)
    if exact is not None and exact.mbps > 0:
        rate, spread, like = exact.mbps, _sampling(exact, load.mss), exact
    else:
        runs.sort(key=lambda run: run.algorithm == sending.law)  # of two with as many streams the mode's own counts
        loss, like = _felt_loss(runs, load.mss, sending.streams)
        rate = sending.streams * tcp_model.loss_limited(sending.law, load.mss, like.rtt_ms, loss)
        rate, spread = min(rate, line), _sampling(like, load.mss) + INTERPOLATED
    each = rate / sending.streams
    name = "newreno" if sending.law == "reno" else "cubic"
    if rate >= FULL * line:
        limiter = f"the circuit itself: {line:.0f} Mbit/s is the most that any probe brought across"
        return _ranged(mode, rate, spread, None, limiter, tcp_model.LINE)
    felt = tcp_model.effective_loss(sending.law, load.mss, like.rtt_ms, each)
    number = f"{sending.streams} {name} streams" if sending.streams > 1 else f"one {name} stream"
    limiter = (
        f"{number} \N{MULTIPLICATION SIGN} {each:.3g} Mbit/s, limited by {felt:.2%} loss"
        f"{_kind(runs, like, felt, load.mss)} at {like.rtt_ms:.0f} ms"
    )
    return _ranged(mode, rate, spread, line, limiter, _law_source(sending.law, load.mss, like.rtt_ms, felt))


def _felt_loss(runs: Sequence[LoadRun], mss: int, streams: int) -> tuple[float, LoadRun]:
    """Return the loss that so many streams would feel, and the run that is most like them.

    Of each run the loss is found by the inverted equation; between two it is interpolated, logarithms over logarithms:
    where loss rises with the load as a power of it (as a busy circuit's does), that is exact.
    """
    points: dict[int, tuple[float, LoadRun]] = {}
    for run in runs:
        points[run.streams] = (_felt(run, mss), run)
    below = max((n for n in points if n <= streams), default=None)
    above = min((n for n in points if n >= streams), default=None)
    if below is None or above is None or below == above:
        return points[min(points, key=lambda n: abs(math.log(n / streams)))]
    share = math.log(streams / below) / math.log(above / below)
    loss = math.exp(math.log(points[below][0]) * (1 - share) + math.log(points[above][0]) * share)
    return loss, points[above if share > 0.5 else below][1]


def _felt(run: LoadRun, mss: int) -> float:
    law: Literal["reno", "cubic"] = "reno" if run.algorithm == "reno" else "cubic"
    return tcp_model.effective_loss(law, mss, run.rtt_ms, run.mbps / run.streams)


def _kind(runs: Sequence[LoadRun], like: LoadRun, felt: float, mss: int) -> str:
    """Return what the runs say of the loss: that it rises with the load, that it comes in bursts, or nothing."""
    few, many = min(runs, key=lambda run: run.streams), max(runs, key=lambda run: run.streams)
    least, most = _felt(few, mss), _felt(many, mss)
    if many.streams > few.streams and most > RISING * least:
        return f" that rises with the load ({least:.2%} with {few.streams}, {most:.2%} with {many.streams})"
    return " in bursts" if like.retransmit_ratio > RISING * felt else ""


def _bbr(mode: Mode, streams: int, load: LoadReport) -> Estimate | None:
    """Return the estimate of BBR streams: as measured, between two counts interpolated over the logarithm."""
    by_streams = {run.streams: run for run in load.runs if run.algorithm == "bbr" and run.mbps > 0}
    if not by_streams:
        return None
    few, many = by_streams[min(by_streams)], by_streams[max(by_streams)]
    each, exact = load.policer_mbps, by_streams.get(streams)
    if exact is not None:
        rate = exact.mbps
    elif each is not None:
        rate = each * streams
    elif few.streams < streams < many.streams:
        share = math.log(streams / few.streams) / math.log(many.streams / few.streams)
        rate = few.mbps + (many.mbps - few.mbps) * share
    else:
        rate = many.mbps if streams > many.streams else few.mbps * min(streams / few.streams, 1.0)
    spread = SPREAD + (0.0 if exact is not None else INTERPOLATED)
    if each is not None:
        limiter = f"something on the way holds each stream at {each:.0f} Mbit/s, and there are {streams}"
        return _ranged(mode, rate, spread, None, limiter, "measured: the rate is in proportion to the streams")
    limiter = (
        f"the circuit: {many.streams} BBR streams carry {many.mbps:.0f} Mbit/s, "
        f"{many.retransmit_ratio:.1%} retransmitted"
    )
    return _ranged(mode, rate, spread, None, limiter, tcp_model.BBR)


def _from_pings(mode: Mode, sending: Sending, measured: Measured) -> Estimate:
    """Return a range from RTT and the 95 % interval of the idle loss; its middle takes the loss (lost+½)/(sent+1).

    Idle pings say nothing of the line's rate nor of loss under load: what depends on these stays open.
    """
    if measured.rtt_ms is None or measured.sent == 0:
        return Estimate(mode=mode, mbps=None, low=0.0, high=None, limiter="the path was not measured", source="none")
    if sending.law == "bbr":
        limiter = "the circuit's rate, which nothing has measured: BBR reaches it up to some 15 % of loss"
        return Estimate(mode=mode, mbps=None, low=0.0, high=None, limiter=limiter, source=tcp_model.BBR)
    least, most = wilson(measured.lost, measured.sent)
    middle = (measured.lost + 0.5) / (measured.sent + 1)
    low, rate, high = (
        sending.streams * tcp_model.loss_limited(sending.law, measured.mss, measured.rtt_ms, loss)
        for loss in (most, middle, least)
    )
    limiter = (
        f"limited by loss: {measured.sent} idle pings put it between {least:.2%} and {most:.2%}, and a busy circuit "
        "may lose more"
    )
    source = _law_source(sending.law, measured.mss, measured.rtt_ms, middle)
    return Estimate(
        mode=mode, mbps=rate, low=low, high=None if math.isinf(high) else high, limiter=limiter, source=source
    )


def _capped(estimate: Estimate, sending: Sending, measured: Measured) -> Estimate:
    """Return *estimate* held to the windows' rate, to what is known of NICs and circuit, and to the relays' cap."""
    rtt = (measured.load.min_rtt_ms if measured.load is not None else None) or measured.rtt_ms
    if sending.window_bytes is not None and rtt:
        most = sending.streams * tcp_model.window(sending.window_bytes, rtt)
        limiter = f"the receive window: {sending.window_bytes / 2**20:.1f} MiB a stream at {rtt:.0f} ms"
        estimate = _held(estimate, most, limiter, tcp_model.WINDOW)
    for bound in measured.bounds.get(estimate.mode, ()):
        estimate = _held(estimate, bound.mbps, bound.limiter, bound.source)
    if sending.relayed and measured.relay_mbps is not None:
        limiter = f"the relay's cap of {measured.relay_mbps:.0f} Mbit/s"
        estimate = _held(estimate, measured.relay_mbps, limiter, "the configuration")
    return estimate


def _held(estimate: Estimate, most: float, limiter: str, source: str) -> Estimate:
    high = most if estimate.high is None else min(estimate.high, most)
    low = min(estimate.low, most)
    if estimate.mbps is None or estimate.mbps <= most:
        return replace(estimate, low=low, high=high)
    return replace(estimate, mbps=most, low=low, high=high, limiter=limiter, source=source)


def _ranged(mode: Mode, rate: float, spread: float, line: float | None, limiter: str, source: str) -> Estimate:
    high = rate * (1 + spread) if line is None else max(min(rate * (1 + spread), line), rate)
    return Estimate(mode=mode, mbps=rate, low=rate / (1 + spread), high=high, limiter=limiter, source=source)


def _sampling(run: LoadRun, mss: int) -> float:
    """Return how uncertain a run's rate is, as a share: 95 % by how far its streams differ, of few by its losses."""
    if len(run.stream_mbps) >= 5:
        mean = sum(run.stream_mbps) / len(run.stream_mbps)
        error = stdev(run.stream_mbps) / mean / math.sqrt(len(run.stream_mbps)) if mean else 1.0
    else:
        lost = run.retransmit_ratio * run.mbps * 1e6 / 8 * run.seconds / mss
        error = 0.5 / math.sqrt(max(lost, 1.0))  # the rate goes with 1/sqrt(p), and p with the count of losses
    return min(max(1.96 * error, SPREAD), 1.0)


def _law_source(law: CongestionControl, mss: int, rtt_ms: float, loss: float) -> str:
    """Return which equation says what *law* does at *loss*: CUBIC's own only where it is above Reno's."""
    if law == "cubic" and tcp_model.cubic(mss, rtt_ms, loss) > tcp_model.mathis(mss, rtt_ms, loss):
        return tcp_model.CUBIC
    return tcp_model.MATHIS
