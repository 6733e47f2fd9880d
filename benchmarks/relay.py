"""Measure relayd beside socat, HAProxy, nginx and plain forwarding on an unimpaired path, interleaved in one run.

Needs root (network namespaces) and about six minutes with --quick, 26 otherwise. Traffic stays in namespaces.
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
from pathlib import Path
from typing import Any

from bench import load, table
from bench.lanes import PORT, TARGET, BenchError, Lanes, lanes, wait_for_listener
from bench.peers import CONTENDERS, Peers

STREAMS = (1, 5, 48)


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
    if counted["silent"]:
        print(f"  {name}, {streams} streams: {counted['silent']} delivered nothing in the window", file=sys.stderr)
    return table.Sample(size=counted["bytes"], seconds=counted["seconds"], cpu_s=counted["cpu_s"])


def facts(peers: Peers, given: argparse.Namespace, repeats: int, settle_s: float, window_s: float) -> dict[str, Any]:
    """Return what a reader needs to know of the machine and the run."""
    models = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
              if line.startswith("model name")]  # fmt: skip
    return {
        "quick": given.quick,
        "window_s": window_s,
        "settle_s": settle_s,
        "repeats": repeats,
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
    repeats, settle_s, window_s = (3, 1.0, 3.0) if given.quick else (5, 3.0, 20.0)
    begun = time.monotonic()
    samples: dict[tuple[int, str], list[table.Sample]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        peers = Peers(Path(scratch))
        about = facts(peers, given, repeats, settle_s, window_s)
        with lanes(given.congestion) as made:
            for repeat in range(repeats):
                for streams in given.streams:
                    for name in given.contenders:
                        sample = measure(made, peers, name, streams, settle_s, window_s)
                        samples.setdefault((streams, name), []).append(sample)
                        print(
                            f"{repeat + 1}/{repeats}  {streams:2} streams  {name:10}  {sample.gbps:6.2f} Gbit/s"
                            f"  {sample.cpu_s_per_gib:.3f} relay CPU-s/GiB",
                            file=sys.stderr, flush=True,
                        )  # fmt: skip
    cells: dict[int, dict[str, table.Cell]] = {}
    for (streams, name), runs in samples.items():
        cells.setdefault(streams, {})[name] = table.summarise(runs)
    about["took_s"] = round(time.monotonic() - begun)
    text = table.cells_table(cells)
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
    parser.add_argument("--quick", action="store_true", help="windows of 3 s, 3 repeats, every contender and count")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables as Markdown")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="draw them, if matplotlib is installed")
    parser.add_argument("--streams", type=int, nargs="+", default=STREAMS, metavar="N", help="stream counts")
    parser.add_argument("--congestion", default="bbr", help="the box's default, so that of every peer (bbr, reno)")
    parser.add_argument("--contenders", nargs="+", default=CONTENDERS, choices=CONTENDERS, help="who runs")
    return parser.parse_args()


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
