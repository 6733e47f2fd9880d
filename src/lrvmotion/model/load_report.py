"""What the circuit carried under load: the runs of a load probe between two boxes, and what they say of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

CongestionControl = Literal["reno", "cubic", "bbr"]
SCHEMA = 1

NAMES: dict[CongestionControl, str] = {
    "reno": "newreno",
    "cubic": "cubic",
    "bbr": "BBR",
}  # Linux calls ESXi's newreno reno
WINDOW_SHARE = 0.5  # of the time in the peer's window: then that is the limit
HELD_SHARE = 0.8  # of N times one stream's rate, by N streams: then each is held by itself
EVEN_SHARE = 0.25  # streams of one policer differ by less, and no stream of any run goes past it by more
FULL_SHARE = 0.8  # of the best rate: then loss does not matter


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRun:
    """Some streams of one congestion control, at once, for *seconds* after a settling time.

    *mbps* is what the receiver counted, in sum, *stream_mbps* each stream's part of it. *retransmit_ratio* is bytes
    retransmitted over bytes sent (TCP_INFO, in sum), 0-1. *rtt_ms* is the mean of the streams' smoothed RTTs while it
    ran, *min_rtt_ms* the least that any stream saw. *window_limited* is the mean share of the time, 0-1, in which the
    peer's window was the limit.
    """

    algorithm: CongestionControl
    streams: int
    seconds: float
    mbps: float
    retransmit_ratio: float
    rtt_ms: float
    min_rtt_ms: float
    stream_mbps: tuple[float, ...] = ()
    window_limited: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NotRun:
    """A run that could not be made, and why."""

    algorithm: CongestionControl
    streams: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """One load probe from *near* to *far*, two boxes by name; *measured_at* is ISO 8601 in UTC, *mss* in bytes.

    *missing* are the runs that could not be made.
    """

    near: str
    far: str
    measured_at: str
    mss: int
    runs: tuple[LoadRun, ...]
    missing: tuple[NotRun, ...] = ()

    def run(self, algorithm: CongestionControl, streams: int) -> LoadRun | None:
        """Return the run with exactly so many streams of *algorithm*, None where there was none."""
        found = (run for run in self.runs if (run.algorithm, run.streams) == (algorithm, streams))
        return next(found, None)

    @property
    def bottleneck_mbps(self) -> float | None:
        """The most that any run carried: what the circuit is known to carry, Mbit/s of payload."""
        return max((run.mbps for run in self.runs), default=None)

    @property
    def min_rtt_ms(self) -> float | None:
        """The least RTT that any stream saw: the circuit without a queue."""
        return min((run.min_rtt_ms for run in self.runs), default=None)

    @property
    def queueing_ms(self) -> float | None:
        """By how much the worst run raised the RTT over the least one: the queue of the bottleneck."""
        least = self.min_rtt_ms
        return None if least is None else max(run.rtt_ms for run in self.runs) - least

    @property
    def policer_mbps(self) -> float | None:
        """What a policer lets a single stream have, Mbit/s; None where the streams show none.

        BBR streams that each carry alone what they carry side by side, all about the same, are held one by one; where
        their window is the limit it is not a policer.
        """
        alone, many = self._of("bbr", most=1), self._of("bbr", least=2)
        if alone is None or many is None or max(alone.window_limited, many.window_limited) > WINDOW_SHARE:
            return None
        apart = max((abs(rate / alone.mbps - 1) for rate in many.stream_mbps if alone.mbps), default=0.0)
        fastest = max((rate for run in self.runs for rate in (*run.stream_mbps, run.mbps / run.streams)), default=0.0)
        if apart > EVEN_SHARE or fastest > (1 + EVEN_SHARE) * alone.mbps:
            return None  # loss, or a line that many share: their streams differ
        return alone.mbps if many.mbps > HELD_SHARE * many.streams * alone.mbps else None

    @property
    def limiter(self) -> str:
        """What limits streams on this circuit, in one sentence."""
        best = max(self.runs, key=lambda run: run.mbps, default=None)
        if best is None:
            return "nothing could be measured under load"
        if (each := self.policer_mbps) is not None:
            return f"something on the way holds each stream at {each:.0f} Mbit/s: more streams carry more"
        if best.window_limited > WINDOW_SHARE:
            return f"the far relay's receive window limits even the fastest streams, at {best.mbps:.0f} Mbit/s"
        alone, lossy = self._of("reno", most=1) or self._of("cubic", most=1), self._of("reno", least=2)
        if alone is not None and alone.mbps > FULL_SHARE * best.mbps:
            name = NAMES[alone.algorithm]
            return f"the line limits: one {name} stream carries {alone.mbps:.0f} of {best.mbps:.0f} Mbit/s"
        slow = lossy or alone
        if slow is not None and slow.algorithm != best.algorithm and best.mbps > slow.mbps / FULL_SHARE:
            lost = f"{slow.retransmit_ratio:.2%} retransmitted"
            return (
                f"loss limits: {_streams(slow)} at {slow.mbps:.0f} Mbit/s ({lost}), where {_streams(best)}"
                f" {'carries' if best.streams == 1 else 'carry'} {best.mbps:.0f}"
            )
        if self._of("bbr") is None:
            rate = f"{_streams(best)} {'carries' if best.streams == 1 else 'carry'} {best.mbps:.0f} Mbit/s"
            return f"{rate}; whether loss or the line limits was not measured, since that takes BBR"
        return f"the line limits: {_streams(best)} {'carries' if best.streams == 1 else 'carry'} {best.mbps:.0f} Mbit/s"

    def _of(self, algorithm: CongestionControl, *, least: int = 1, most: int = 10**6) -> LoadRun | None:
        """Return the run of *algorithm* with the most streams from *least* to *most*."""
        found = [run for run in self.runs if run.algorithm == algorithm and least <= run.streams <= most]
        return max(found, key=lambda run: run.streams, default=None)

    def to_json(self) -> dict[str, Any]:
        """Return the report as it is kept in the state directory."""
        return {"schema": SCHEMA, **asdict(self)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> LoadReport:
        """Read what *to_json* wrote; ValueError for another schema."""
        if document.get("schema") != SCHEMA:
            message = f"schema {document.get('schema')!r} of a load probe is not {SCHEMA}"
            raise ValueError(message)
        runs = tuple(LoadRun(**{**run, "stream_mbps": tuple(run["stream_mbps"])}) for run in document["runs"])
        missing = tuple(NotRun(**run) for run in document["missing"])
        rest = {key: document[key] for key in ("near", "far", "measured_at", "mss")}
        return cls(runs=runs, missing=missing, **rest)


def _streams(run: LoadRun) -> str:
    name = NAMES[run.algorithm]
    return f"1 {name} stream" if run.streams == 1 else f"{run.streams} {name} streams"
