"""The forecast corrected by what moves of past runs reached on the same path."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from lrvmotion.forecast.estimate import Estimate, Sending
from lrvmotion.model.mode import Mode

PAST_SPREAD = 0.20  # how far one move is from the next on the same path, one standard deviation of its logarithm


def corrected(
    found: Sequence[Estimate], past: Sequence[tuple[Mode, float]], senders: Mapping[Mode, Sending]
) -> tuple[Estimate, ...]:
    """Return *found* corrected by the *past* moves on the same path, each (mode, Mbit/s above 0).

    Estimate and moves are joined by their precision (inverse variance, of logarithms): a wide range gives way to one
    move, a narrow one to many. Those of *senders* that no relay sends for share the loss, so that a move of one
    corrects the others half as much.
    """
    moved = {mode for mode, _ in past}
    direct = [mode for mode, sending in senders.items() if not sending.relayed]
    result = []
    for estimate in found:
        own = [math.log(rate) for mode, rate in past if mode == estimate.mode]
        if own:
            result.append(_joined(estimate, sum(own) / len(own), PAST_SPREAD / math.sqrt(len(own)), len(own)))
            continue
        siblings = [mode for mode in direct if mode in moved] if estimate.mode in direct else []
        sibling = next(iter(siblings), None)
        other = next((e for e in found if e.mode == sibling), None)
        moves = [math.log(rate) for mode, rate in past if mode == sibling]
        if not moves or other is None or other.mbps is None or estimate.mbps is None:
            result.append(estimate)
            continue
        shifted = math.log(estimate.mbps) + sum(moves) / len(moves) - math.log(other.mbps)
        result.append(_joined(estimate, shifted, 2 * PAST_SPREAD, len(moves)))
    return tuple(result)


def _joined(estimate: Estimate, past: float, spread: float, count: int) -> Estimate:
    """Return *estimate* joined with the mean logarithm *past* of recorded rates, whose deviation is *spread*."""
    if estimate.mbps is None:
        mean, deviation, factor = past, spread, 1.0
        moves = "one past move; its bottleneck was" if count == 1 else f"{count} past moves; their bottleneck was"
        estimate = replace(estimate, limiter=f"from {moves} not measured", source="recorded moves")
    else:
        low, high = max(estimate.low, 1e-3), estimate.high
        own = math.log((high or estimate.mbps * (estimate.mbps / low)) / low) / (2 * 1.96)
        weights = (1 / max(own, 1e-3) ** 2, 1 / spread**2)
        mean = (math.log(estimate.mbps) * weights[0] + past * weights[1]) / sum(weights)
        deviation, factor = 1 / math.sqrt(sum(weights)), math.exp(mean) / estimate.mbps
    rate, width = math.exp(mean), math.exp(1.96 * deviation)
    return replace(
        estimate, mbps=rate, low=rate / width, high=rate * width, past=estimate.past + count, corrected=factor
    )
