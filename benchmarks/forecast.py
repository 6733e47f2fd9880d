"""Measure how far the forecast is off: of each circuit the load probe, its forecast, then moves of the lab's hosts.

Needs root (network namespaces, TAP devices). The forecast sees nothing but the probe of that circuit. --quick takes
two cells and some three minutes, the whole grid of 40 about an hour: --resume goes on from the file of --json.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import cells, forecasts, probing, table
from bench.site import FAR, NEAR, Measured, Site, site

from lrvmotion import files
from lrvmotion.model.load_report import CongestionControl, LoadReport
from lrvmotion.relay.load_test_runner import RUNS
from lrvmotion.relay.loadprobe import SETTLE_RTTS

FIELD_MBPS = 1000  # the field profile's two parameters belong to this line rate
BUFFER_S = 0.067  # of the bottleneck: 8 MiB at 1 Gbit/s
# A run with a larger share of packets over 5 ms late says more of the machine than of TCP: it is made again, once; so
# is one whose rate is not steady.
LATE_MAX = 0.30
ATTEMPTS = 2
# What the forecasts of native and proxy mode rest on; --whole-probe makes the other runs of the product's probe too.
JUDGED: tuple[tuple[CongestionControl, int], ...] = (("reno", 48), ("bbr", 5))


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def measure(made: Site, cell: cells.Cell, given: argparse.Namespace) -> list[dict[str, Any]]:
    """Probe the circuit of *cell*, then move in each mode."""
    line = FIELD_MBPS if cell.profile == "field" else given.line_mbps
    wan = {**cell.wan, "burst": 10.0, "rate_bps": line * 1_000_000, "buffer_bytes": int(line * 1e6 / 8 * BUFFER_S)}
    settle = max(given.settle, cell.rtt_ms / 1000 * SETTLE_RTTS)
    report, late = _probed(made, cell, wan, RUNS if given.whole_probe else JUDGED, 1 if given.smoke else ATTEMPTS)
    found: dict[str, Measured] = {}
    for number, mode in enumerate(forecasts.SENDERS):
        for attempt in range(1 if given.smoke else ATTEMPTS):
            made.set(**wan, seed=2 + number + 2 * attempt)
            one = made.move(mode, settle, given.window)
            verdict = "" if one.steady else "  unsteady"
            say(f"{cell.name:17} {mode:6} {one.mbps:7.1f} Mbit/s  loss {one.loss:.2%}  late {one.late:.1%}{verdict}")
            if mode not in found or (one.steady, -one.late) > (found[mode].steady, -found[mode].late):
                found[mode] = one
            if one.steady and one.late <= LATE_MAX:
                break
    entries = forecasts.entries(cell, report, {mode: asdict(one) for mode, one in found.items()})
    return [{**entry, "line_mbps": line, "probe_late": round(late, 4)} for entry in entries]


def _probed(
    made: Site, cell: cells.Cell, wan: dict[str, Any], runs: Sequence[tuple[CongestionControl, int]], attempts: int
) -> tuple[LoadReport, float]:
    """Return the load probe of the circuit, and how late the wire was while it ran; a late one is made again."""
    found = []
    for attempt in range(attempts):
        made.set(**wan, seed=1 + 100 * attempt)
        made.reset()
        report = probing.probe(made.lanes, NEAR, FAR, runs)
        late = max(way["lateness"]["over_5_ms"] for way in made.report()["directions"].values())
        for run in report.runs:
            say(f"{cell.name:17} probe  {run.algorithm:5} {run.streams:2} {run.mbps:7.1f} Mbit/s  late {late:.1%}")
        found.append((report, late))
        if late <= LATE_MAX:
            break
    return min(found, key=lambda one: one[1])


def save(document: dict[str, Any], path: Path | None) -> None:
    """Write the document in place of the old one, whole or not at all."""
    if path is not None:
        files.replace(path, json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def plot(document: dict[str, Any], path: Path) -> None:
    """Draw forecast over measured, a point for each cell and mode, if matplotlib is there."""
    try:
        from matplotlib import pyplot as plt
    except ImportError:
        say("no plot: matplotlib is not installed")
        return
    figure, axis = plt.subplots(figsize=(5, 5))
    for mode, marker in (("native", "o"), ("proxy", "s")):
        for held, fill in ((False, "none"), (True, "full")):
            of = [one for one in document["cells"] if (one["mode"], one["held_out"]) == (mode, held)]
            axis.plot(
                [one["measured_mbps"] for one in of], [one["forecast_mbps"] for one in of], marker, fillstyle=fill,
                color="tab:blue" if mode == "native" else "tab:orange",
                label=f"{mode}{', held out' if held else ''}",
            )  # fmt: skip
    ends = [min(one["measured_mbps"] for one in document["cells"]) * 0.7, 1300]
    axis.fill_between(ends, [end * 0.7 for end in ends], [end * 1.3 for end in ends], alpha=0.15, label="±30 %")
    axis.set(xscale="log", yscale="log", xlabel="measured, Mbit/s", ylabel="forecast, Mbit/s")
    axis.legend(fontsize="small")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)


def bench(given: argparse.Namespace) -> int:
    """Measure what is asked for and not there yet, print the tables. Returns 0, bars held or not: it only measures."""
    document: dict[str, Any] = {"cells": []}
    if given.resume and given.json.exists():
        document = json.loads(given.json.read_text())
    done = {cells.key(entry) for entry in document["cells"]}
    wanted = [cell for cell in forecasts.mixed(given.cells) if cell not in done]
    if wanted:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder, site(Path(folder)) as made:
            for cell in wanted:
                begun = time.monotonic()
                document["cells"] += measure(made, cell, given)
                document["cells"] = forecasts.refreshed(document["cells"])
                save(document, given.json)
                say(f"{cell.name}: {time.monotonic() - begun:.0f} s")
    document["cells"] = forecasts.refreshed(document["cells"])
    save(document, given.json)
    print(forecasts.cells_table(document["cells"]))
    print(table.bars_table(forecasts.bars(document["cells"])))
    if given.plots:
        plot(document, given.plots / "forecast.png")
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two cells")
    parser.add_argument("--smoke", action="store_true", help="the shortest whole run: it shows that it runs, no more")
    parser.add_argument("--cells", type=cells.parse_cell, nargs="+", metavar="CELL", help="such as uniform:55:0.5")
    parser.add_argument("--settle", type=float, default=3.0, help="seconds before counting, at least 40 RTTs (3)")
    parser.add_argument("--window", type=float, default=10.0, help="seconds of a move that are counted (10)")
    parser.add_argument("--whole-probe", action="store_true", help="make all runs of the probe, not only those judged")
    parser.add_argument("--line-mbps", type=int, default=500, help="the circuit's rate but in the field profile (500)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON, after every cell")
    parser.add_argument("--resume", action="store_true", help="keep the finished cells in FILE and go on")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="draw them, if matplotlib is installed")
    given = parser.parse_args()
    if given.resume and not given.json:
        parser.error("--resume needs --json FILE: it holds the finished cells")
    given.cells = given.cells or (
        forecasts.SMOKE if given.smoke else forecasts.QUICK if given.quick else forecasts.grid()
    )
    if given.smoke:
        given.settle, given.window, given.line_mbps = 0.2, 0.4, 50
    return given


def interrupted(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, interrupted)
    sys.exit(bench(arguments()))
