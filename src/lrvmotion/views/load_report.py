"""What the circuit carried under load: a table of the load probe's runs, or one JSON object."""

from __future__ import annotations

from typing import Any

from rich.table import Table
from rich.text import Text

from lrvmotion.model.load_report import LoadReport
from lrvmotion.views.text import console

_NAMES = {"reno": "newreno, as ESXi's default", "cubic": "cubic", "bbr": "BBR, as the relay"}


def show(report: LoadReport, age_s: float) -> None:
    """Print the runs, how old they are, and what could not be measured."""
    to = console.out()
    to.print()
    to.print(Text(f"{report.near} → {report.far} under load, measured {age(age_s)}", style="bold"))
    table = Table(box=None, header_style="dim", padding=(0, 1), pad_edge=False)
    for name in ("streams", "congestion control", "Mbit/s", "retransmitted", "RTT, ms"):
        table.add_column(name, justify="left" if name.startswith("congestion") else "right")
    for run in report.runs:
        table.add_row(
            str(run.streams),
            _NAMES[run.algorithm],
            f"{run.mbps:.1f}",
            f"{run.retransmit_ratio:.2%}",
            f"{run.rtt_ms:.1f}",
        )
    to.print(table)
    console.hang(to, Text(), Text(report.limiter))


def document(report: LoadReport, age_s: float) -> dict[str, Any]:
    """Return the report as a JSON object, with its age and what it says."""
    return {
        **report.to_json(), "age_s": round(age_s, 1), "limiter": report.limiter,
        "bottleneck_mbps": report.bottleneck_mbps, "policer_mbps": report.policer_mbps,
        "queueing_ms": report.queueing_ms,
    }  # fmt: skip


def age(seconds: float) -> str:
    """Return an age for people: "just now", "5 min ago", "3 h ago", "2 days ago"."""
    for size, unit in ((172_800, "day"), (5400, "h"), (90, "min")):
        if seconds >= size:
            number = round(seconds / {"day": 86_400, "h": 3600, "min": 60}[unit])
            return f"{number} {unit}{'s' if unit == 'day' and number > 1 else ''} ago"
    return "just now"
