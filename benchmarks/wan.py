"""Measure relayd over an emulated circuit beside direct BBR, direct cubic and the field report's socat, interleaved.

Needs root (network namespaces, TAP devices). --quick takes under 6 minutes, the whole grid some five hours: it can be
interrupted, and goes on with --resume from the finished cells in the file of --json. --circuits N measures N cells side
by side: a circuit that is too late for want of CPU has its run thrown away, as ever. Traffic stays in namespaces.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from bench import cells, table
from bench.circuit import LINE_BPS, Circuit, circuit
from bench.lanes import BenchError
from bench.peers import Peers
from bench.wan_runs import CONNECTIONS, Window, measure_connections, measure_far, measure_throttle, run_contender

from lrvmotion import files

SECTIONS = ("cells", "far", "throttle", "connections")
ATTEMPTS = 8  # of one run, before its place in the cell stays empty


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def measure_cell(
    made: Circuit,
    peers: Peers,
    cell: cells.Cell,
    contenders: list[str],
    repeats: int,
    window: Window,
    ending: threading.Event,
    attempts: int = ATTEMPTS,
) -> dict[str, Any]:
    """Run every contender in turn, *repeats* times; what the wire spoilt is thrown away, counted and run again."""
    measured = cells.Measured(cell=cell, line_mbps=LINE_BPS / 1e6)
    for repeat in range(repeats):
        for name in contenders:
            for _ in range(attempts):
                if ending.is_set():
                    message = f"{cell.name}: given up"
                    raise BenchError(message)
                made.set(**cell.wan, seed=1 + repeat, burst=10.0, rate_bps=LINE_BPS)
                run = run_contender(made, peers, name, window, cell)
                fit = run.fit(cells.CONTENDERS[name][0])
                verdict = "" if fit else "  thrown away"
                say(
                    f"{cell.name:17} {repeat + 1}/{repeats}  {name:9} {run.mbps:7.1f} Mbit/s"
                    f"  loss {run.loss * 100:5.2f} %  late {run.late * 100:4.1f} %  TAP drops {run.drops}{verdict}"
                )
                if fit:
                    measured.runs.setdefault(name, []).append(run)
                    break
                measured.thrown[name] = measured.thrown.get(name, 0) + 1
    return measured.document()


def facts(peers: Peers, given: argparse.Namespace, window: Window) -> dict[str, Any]:
    """Return what a reader needs to know of the machine and the run."""
    models = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
              if line.startswith("model name")]  # fmt: skip
    return {
        "line_mbps": LINE_BPS / 1e6,
        "quick": given.quick,
        "circuits": given.circuits,
        "settle_s": window.settle_s,
        "window_s": window.window_s,
        "machine": f"{len(models)} CPUs, {models[0] if models else platform.machine()}",
        "kernel": platform.release(),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", "Linux"),
        "python": platform.python_version(),
        "versions": peers.versions(),
        "skipped": peers.missing,
    }


def begin(given: argparse.Namespace, about: dict[str, Any]) -> dict[str, Any]:
    """Return the document to go on with: a new one, or with --resume what the file has of the same kind of run."""
    if not given.resume or not given.json.exists():
        return {"cells": [], **about}
    document: dict[str, Any] = json.loads(given.json.read_text())
    for name in ("settle_s", "window_s", "line_mbps", "kernel", "machine"):
        if document.get(name) != about[name]:
            message = f"{given.json} was measured with {name} {document.get(name)!r}, not {about[name]!r}: begin anew"
            raise BenchError(message)
    return document


def save(document: dict[str, Any], path: Path | None) -> None:
    """Write the document in place of the old one, whole or not at all."""
    if path is not None:
        files.replace(path, json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def bench(given: argparse.Namespace) -> int:
    """Run what is asked for, print the tables. Returns 0, bars held or not: it only measures."""
    window = Window(settle_s=given.settle, window_s=given.window)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        folder = Path(scratch)
        peers = Peers(folder)
        skipped = {name: why for name in given.contenders if (why := peers.missing.get(cells.CONTENDERS[name][2]))}
        for name, why in skipped.items():
            say(f"{name} is not measured: {why}")
        given.contenders = [name for name in given.contenders if name not in skipped]
        document = begin(given, facts(peers, given, window))
        if "cells" in given.sections:
            done = {cells.key(entry): entry["mbps"] for entry in document["cells"]}
            wanted = [
                (cell, [name for name in given.contenders if name not in done.get(cell, {})]) for cell in given.cells
            ]
            measure_cells(
                [(cell, names) for cell, names in wanted if names],
                given,
                window,
                folder,
                lambda entry: _keep(document, entry, given.json),
            )
        with circuit(folder) as made:
            for name in given.sections:
                if name == "cells" or name in document:
                    continue
                if name == "far":
                    document[name] = measure_far(made, folder, window, given.repeats or 3)
                elif name == "throttle":
                    caps = (300.0,) if given.quick or given.smoke else (300.0, 600.0)
                    document[name] = measure_throttle(made, folder, caps, 1.0 if given.smoke else 10.0)
                else:
                    document[name] = measure_connections(made, folder, 20 if given.smoke else CONNECTIONS)
                say(f"{name}: {json.dumps(document[name])}")
                save(document, given.json)
    document["took_s"] = round(document.get("took_s", 0) + time.monotonic() - begun)
    save(document, given.json)
    text = "\n".join(filter(None, (cells.cells_table(document), cells.extras_table(document))))
    if judged := cells.bars(document):
        text += "\n" + table.bars_table(judged)
    print(text)
    if given.markdown:
        given.markdown.write_text(text)
    if given.plots:
        plot(document, given.plots)
    return 0


_KEEPING = threading.Lock()


def _keep(document: dict[str, Any], entry: dict[str, Any], path: Path | None) -> None:
    """Put the cell *entry* into the document, or what it has of new contenders into the cell that is there."""
    with _KEEPING:
        there = [one for one in document["cells"] if cells.key(one) == cells.key(entry)]
        for one in there:
            document["cells"].remove(one)
        document["cells"].append(cells.merged(there[0], entry) if there else entry)
        document["cells"].sort(key=lambda one: (one["profile"] != "field", one["loss"], one["profile"], one["rtt_ms"]))
        save(document, path)


def measure_cells(
    wanted: Sequence[tuple[cells.Cell, list[str]]],
    given: argparse.Namespace,
    window: Window,
    folder: Path,
    keep: Callable[[dict[str, Any]], None],
) -> None:
    """Measure every cell, each with its contenders, on whichever of the circuits is free."""
    left = list(wanted)
    ending = threading.Event()

    def work(number: int) -> None:
        own = folder / f"circuit{number}"
        own.mkdir()
        peers = Peers(own)
        with circuit(own, number) as made:
            while left:
                cell, contenders = left.pop(0)
                repeats = given.repeats or (5 if cell.profile == "field" and not given.quick else 3)
                attempts = 1 if given.smoke else ATTEMPTS
                keep(measure_cell(made, peers, cell, contenders, repeats, window, ending, attempts))

    if given.circuits == 1:
        work(0)
        return
    with ThreadPoolExecutor(given.circuits) as pool:
        working = [pool.submit(work, number) for number in range(min(given.circuits, len(left)))]
        try:
            for one in as_completed(working):
                one.result()
        finally:  # also when interrupted: the others end with the run that they are in
            ending.set()


def plot(document: dict[str, Any], folder: Path) -> None:
    """Draw rate over loss, a panel for each profile and RTT, if matplotlib is there."""
    try:
        from matplotlib import pyplot as plt
    except ImportError:
        say("no plot: matplotlib is not installed")
        return
    folder.mkdir(parents=True, exist_ok=True)
    field = [entry for entry in document["cells"] if entry["profile"] == "field"]
    if field:
        figure, axis = plt.subplots(figsize=(6, 4))
        rates = field[0]["mbps"]
        axis.bar(list(rates), [rate / document["line_mbps"] * 100 for rate in rates.values()])
        axis.set(title="field profile, 55 ms", ylabel="% of the circuit")
        figure.tight_layout()
        figure.savefig(folder / "wan-field.png")
    plain = [entry for entry in document["cells"] if entry["profile"] in cells.GRID_PROFILES]
    if not plain:
        return
    rtts = sorted({entry["rtt_ms"] for entry in plain})
    figure, axes = plt.subplots(2, len(rtts), squeeze=False, figsize=(3.5 * len(rtts), 7), sharey=True)
    for row, profile in zip(axes, ("uniform", "bursty"), strict=True):
        for axis, rtt in zip(row, rtts, strict=True):
            there = [e for e in plain if e["rtt_ms"] == rtt and (e["profile"] == profile or e["loss"] == 0)]
            there.sort(key=lambda entry: entry["loss"])
            for name in cells.CONTENDERS:
                points = [(e["loss"] * 100, e["mbps"][name]) for e in there if name in e["mbps"]]
                if points:
                    axis.plot(*zip(*points, strict=True), marker="o", label=name)
            axis.set(title=f"{profile}, {rtt} ms", xlabel="loss, %", ylabel="Mbit/s", yscale="log")
    axes[0][0].legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(folder / "wan-grid.png")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two cells, 3 repeats, windows of 3 s")
    parser.add_argument("--smoke", action="store_true", help="the shortest whole run: it shows that it runs, no more")
    parser.add_argument(
        "--cells",
        type=cells.parse_cell,
        nargs="+",
        metavar="CELL",
        help="such as uniform:55:0.5 field:55 short-handshake:55:0.05",
    )
    parser.add_argument("--contenders", nargs="+", default=list(cells.CONTENDERS), choices=list(cells.CONTENDERS))
    parser.add_argument("--sections", nargs="+", default=SECTIONS, choices=SECTIONS, help="what to measure")
    parser.add_argument("--repeats", type=int, help="of every run (default 3, in full 5 on the field profile)")
    parser.add_argument("--circuits", type=int, default=1, metavar="N", help="so many cells side by side (default 1)")
    parser.add_argument("--settle", type=float, help="seconds from the first byte to the window (default 3, quick 2.5)")
    parser.add_argument("--window", type=float, help="seconds that are counted (default 20, quick 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON, after every cell")
    parser.add_argument("--resume", action="store_true", help="keep the finished cells in FILE and go on")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables as Markdown")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="draw them, if matplotlib is installed")
    given = parser.parse_args()
    if given.resume and not given.json:
        parser.error("--resume needs --json FILE: it holds the finished cells")
    given.cells = given.cells or (cells.SMOKE if given.smoke else cells.QUICK if given.quick else cells.grid())
    if given.smoke:
        given.settle, given.window, given.repeats = 0.2, 0.5, 1
    given.settle = given.settle if given.settle is not None else (2.5 if given.quick else 3.0)
    given.window = given.window if given.window is not None else (3.0 if given.quick else 20.0)
    return given


def interrupted(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


def main() -> int:
    given = arguments()
    if os.geteuid() != 0:
        say("the benchmark makes network namespaces: run it as root")
        return 2
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # under nohup it goes on without its terminal
            signal.signal(number, interrupted)
    try:
        return bench(given)
    except BenchError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted: what is finished is in the JSON file" if given.json else "interrupted")
        return 130


if __name__ == "__main__":
    sys.exit(main())
