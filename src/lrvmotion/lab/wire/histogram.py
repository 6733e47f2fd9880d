"""How late frames left: a histogram in steps of 50 microseconds."""

from __future__ import annotations

from typing import Any

_STEPS_PER_S = 20_000
_STEPS = 4000  # 0.2 s; later ones share the last step


class Histogram:
    """Lateness of frames."""

    def __init__(self) -> None:
        self._counts = [0] * (_STEPS + 1)
        self._max = 0.0

    def add(self, seconds: float) -> None:
        """Count a frame that left *seconds* after its time."""
        step = int(seconds * _STEPS_PER_S)
        self._counts[min(_STEPS, step)] += 1
        self._max = max(self._max, seconds)

    def report(self) -> dict[str, Any]:
        """Return frames, p50, p99 and maximum in ms, and the shares that were more than 1 and 5 ms late."""
        total = sum(self._counts)
        return {
            "frames": total,
            "p50_ms": self._quantile(0.50, total),
            "p99_ms": self._quantile(0.99, total),
            "max_ms": round(self._max * 1000, 3),
            "over_1_ms": self._share(1.0, total),
            "over_5_ms": self._share(5.0, total),
        }

    def _quantile(self, share: float, total: int) -> float:
        seen = 0
        for step, count in enumerate(self._counts):
            seen += count
            if count and seen >= share * total:
                return (step + 1) * 1000 / _STEPS_PER_S
        return 0.0

    def _share(self, milliseconds: float, total: int) -> float:
        first = int(milliseconds * _STEPS_PER_S / 1000)
        return sum(self._counts[first:]) / total if total else 0.0
