"""Measure relayd beside socat, HAProxy, nginx and plain forwarding on an unimpaired path, interleaved in one run.

Needs root (network namespaces) and under six minutes with --quick, 26 otherwise. Traffic stays in namespaces. A run
of a contender that fails is thrown away, named and made again; a peer that cannot be had is left out, and named too.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import load, table
from bench.lanes import PORT, TARGET, BenchError, Lanes, lanes, wait_for_listener
from bench.peers import CONTENDERS, Peers
from bench.table import HAPROXIES

STREAMS = (1, 5, 48)
ATTEMPTS = 3  # of one run, before its place stays empty
# CPU is compared with five streams, relayd's with the better of HAProxy's two ways: that takes more runs than rates do.
JUDGED_BY_CPU = (5, ("relayd", *HAPROXIES))


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """How long a run of the benchmark is: repeats, of those *judged* by their CPU, seconds to settle and to count."""

    repeats: int
    judged: int
    settle_s: float
    window_s: float

    def of(self, streams: int, name: str) -> int:
        """Return how often *name* runs with so many streams."""
        return self.judged if streams == JUDGED_BY_CPU[0] and name in JUDGED_BY_CPU[1] else self.repeats


FULL = Length(repeats=5, judged=5, settle_s=3.0, window_s=20.0)
QUICK = Length(repeats=3, judged=5, settle_s=1.0, window_s=2.5)
SMOKE = Length(repeats=1, judged=1, settle_s=0.1, window_s=0.3)


def measure(made: Lanes, peers: Peers, name: str, streams: int, settle_s: float, window_s: float) -> table.Sample:
    """Run one contender once."""
    common = [sys.executable, str(Path(load.__file__))]
    ends = ["--address", TARGET, "--port", str(PORT), "--streams", str(streams)]
    with peers.in_the_path(name, made) as session:
        words = [*common, "receive", *ends, "--settle", str(settle_s), "--window", str(window_s)]
        if session is not None:
            words += ["--session", str(session)]
        with made.running("target", *words) as receiver:
            wait_for_listener(receiver, PORT)
            with made.running("source", *common, "send", *ends):
                try:
                    printed, _ = receiver.communicate(timeout=settle_s + window_s + 60)
                except subprocess.TimeoutExpired:
                    message = f"{name}, {streams} streams: the receiver hangs"
                    raise BenchError(message) from None
    counted: dict[str, Any] = json.loads(printed or '{"error": "the receiver died"}')
    if "error" in counted:
        message = f"{name}, {streams} streams: {counted['error']}"
        raise BenchError(message)
    if not counted["bytes"]:
        message = f"{name}, {streams} streams: nothing arrived in the window"
        raise BenchError(message)
    if counted["silent"]:
        print(f"  {name}, {streams} streams: {counted['silent']} delivered nothing in the window", file=sys.stderr)
    return table.Sample(size=counted["bytes"], seconds=counted["seconds"], cpu_s=counted["cpu_s"])


def measured(
    made: Lanes, peers: Peers, name: str, streams: int, length: Length, thrown: list[dict[str, Any]]
) -> table.Sample | None:
    """Run one contender once, again where it fails; what failed goes to *thrown*. None where it always does."""
    for _ in range(ATTEMPTS):
        try:
            return measure(made, peers, name, streams, length.settle_s, length.window_s)
        except BenchError as error:
            thrown.append({"contender": name, "streams": streams, "why": str(error)})
            print(f"     {streams:2} streams  {name:14}  thrown away: {error}", file=sys.stderr, flush=True)
    return None


def facts(peers: Peers, given: argparse.Namespace, length: Length) -> dict[str, Any]:
    """Return what a reader needs to know of the machine and the run."""
    models = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
              if line.startswith("model name")]  # fmt: skip
    return {
        "quick": given.quick,
        "smoke": given.smoke,
        "window_s": length.window_s,
        "settle_s": length.settle_s,
        "repeats": length.repeats,
        "box_congestion": given.congestion,
        "machine": f"{len(models)} CPUs, {models[0] if models else platform.machine()}",
        "kernel": platform.release(),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", "Linux"),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
        "versions": peers.versions(),
    }


def plot(cells: dict[int, dict[str, table.Cell]], folder: Path) -> None:
    """Draw the rates as bars with their ranges, if matplotlib is there."""
    try:
        from matplotlib import pyplot as plt  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        print("no plot: matplotlib is not installed", file=sys.stderr)
        return
    folder.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(1, len(cells), squeeze=False, figsize=(4 * len(cells), 4))
    for axis, (streams, row) in zip(axes[0], sorted(cells.items()), strict=True):
        rates = [cell.gbps for cell in row.values()]
        below = [cell.gbps - cell.low for cell in row.values()]
        above = [cell.high - cell.gbps for cell in row.values()]
        axis.bar(list(row), rates, yerr=[below, above])
        axis.set(title=f"{streams} streams", ylabel="Gbit/s")
        axis.tick_params(axis="x", rotation=45)
    figure.tight_layout()
    figure.savefig(folder / "relay.png")


def bench(given: argparse.Namespace) -> int:
    """Run everything interleaved, print the tables. Returns 0, bars held or not: it only measures."""
    length = SMOKE if given.smoke else QUICK if given.quick else FULL
    begun = time.monotonic()
    samples: dict[tuple[int, str], list[table.Sample]] = {}
    thrown: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        peers = Peers(Path(scratch))
        about = facts(peers, given, length)
        about["skipped"] = {name: peers.missing[name] for name in given.contenders if name in peers.missing}
        for name, why in about["skipped"].items():
            print(f"{name} is not measured: {why}", file=sys.stderr)
        with lanes(given.congestion) as made:
            for repeat in range(max(length.repeats, length.judged)):
                for streams in given.streams:
                    for name in given.contenders:
                        if name in peers.missing or repeat >= length.of(streams, name):
                            continue
                        sample = measured(made, peers, name, streams, length, thrown)
                        if sample is None:
                            continue
                        samples.setdefault((streams, name), []).append(sample)
                        print(
                            f"{repeat + 1}/{length.of(streams, name)}  {streams:2} streams  {name:14}"
                            f"  {sample.gbps:6.2f} Gbit/s  {sample.cpu_s_per_gib:.3f} relay CPU-s/GiB",
                            file=sys.stderr, flush=True,
                        )  # fmt: skip
    about["thrown_away"] = thrown
    cells: dict[int, dict[str, table.Cell]] = {}
    for (streams, name), runs in samples.items():
        cells.setdefault(streams, {})[name] = table.summarise(runs)
    about["took_s"] = round(time.monotonic() - begun)
    text = table.cells_table(cells)
    if said := table.thrown_text(about):
        text += f"\n{said}\n"
    if judged := table.bars(cells):
        text += "\n" + table.bars_table(judged)
    print(text)
    if given.markdown:
        given.markdown.write_text(text)
    if given.json:
        given.json.write_text(json.dumps(table.document(cells, about), indent=1, ensure_ascii=False) + "\n")
    if given.plots:
        plot(cells, given.plots)
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="windows of 2.5 s, 3 repeats, 5 where CPU is judged; every contender, count",
    )
    parser.add_argument("--smoke", action="store_true", help="the shortest whole run: it shows that it runs, no more")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables as Markdown")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="draw them, if matplotlib is installed")
    parser.add_argument("--streams", type=int, nargs="+", metavar="N", help="stream counts (1 5 48, smoke: 1 5)")
    parser.add_argument("--congestion", default="bbr", help="the box's default, so that of every peer (bbr, reno)")
    parser.add_argument("--contenders", nargs="+", default=CONTENDERS, choices=CONTENDERS, help="who runs")
    given = parser.parse_args()
    given.streams = given.streams or (STREAMS[:2] if given.smoke else STREAMS)
    return given


def interrupted(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


def main() -> int:
    given = arguments()
    if os.geteuid() != 0:
        print("the benchmark makes network namespaces: run it as root", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, interrupted)
    try:
        return bench(given)
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
