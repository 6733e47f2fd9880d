"""The product's own load probe between the two boxes of the lab, through a Runner that enters their namespaces."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from bench.lanes import BenchError, Lanes
from lrvmotion.model.load_report import CongestionControl, LoadReport
from lrvmotion.ports.shell import Completed
from lrvmotion.relay.load_test_runner import End, load


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceShell:
    """Satisfies shell.Runner, in one role of *lanes*."""

    lanes: Lanes
    role: str

    @property
    def name(self) -> str:
        return self.role

    def run(self, argv: Sequence[str], *, stdin: bytes | None = None, timeout_s: float = 30.0) -> Completed:
        done = subprocess.run(
            self.lanes.inside(self.role, *argv), input=stdin, capture_output=True, timeout=timeout_s, check=False
        )
        return Completed(
            argv=tuple(argv), status=done.returncode, stdout=done.stdout.decode(), stderr=done.stderr.decode()
        )


def probe(lanes: Lanes, near: str, far: str, runs: Sequence[tuple[CongestionControl, int]]) -> LoadReport:
    """Load the circuit from the near relay host to the far one with *runs*; BenchError where one could not be made."""
    ends = [
        End(name=role, address=address, python=sys.executable, shell=NamespaceShell(lanes=lanes, role=role))
        for role, address in (("box", near), ("far", far))
    ]
    report = load(ends[0], ends[1], lambda *_: None, clock=_now, runs=runs)
    if report.missing:
        raise BenchError("; ".join(f"{run.streams} {run.algorithm}: {run.reason}" for run in report.missing))
    return report


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")  # noqa: TID251 - a benchmark has the clock
