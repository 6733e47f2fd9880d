"""What the circuit carried under load: the runs of a load probe between two boxes, and what they say of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Algorithm = Literal["reno", "cubic", "bbr"]
SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRun:
    """Some streams of one congestion control, at once, for *seconds* after a settling time.

    *mbps* is what the receiver counted, in sum, *stream_mbps* each stream's part of it. *retransmit_ratio* is bytes
    sent again over bytes sent (TCP_INFO, in sum), 0-1. *rtt_ms* is the mean of the streams' smoothed RTTs while it ran,
    *min_rtt_ms* the least that any stream saw. *window_limited* is the mean share of the time, 0-1, in which the peer's
    window was the limit.
    """

    algorithm: Algorithm
    streams: int
    seconds: float
    mbps: float
    retransmit_ratio: float
    rtt_ms: float
    min_rtt_ms: float
    stream_mbps: tuple[float, ...] = ()
    window_limited: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """One load probe from *near* to *far*, two boxes by name; *measured_at* is ISO 8601 in UTC, *mss* in bytes."""

    near: str
    far: str
    measured_at: str
    mss: int
    runs: tuple[LoadRun, ...]

    def run(self, algorithm: Algorithm, streams: int) -> LoadRun | None:
        """Return the run with exactly so many streams of *algorithm*, None where there was none."""
        found = (run for run in self.runs if (run.algorithm, run.streams) == (algorithm, streams))
        return next(found, None)

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
        rest = {key: document[key] for key in ("near", "far", "measured_at", "mss")}
        return cls(runs=runs, **rest)
