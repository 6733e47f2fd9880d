"""Runs over the circuit: one contender in one cell, the far relay, a live cap, hundreds of connections."""

from __future__ import annotations

import json
import os
import resource
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from bench import cells, load, whole
from bench.circuit import BOX_CIRCUIT, FAR_CIRCUIT, Circuit
from bench.lanes import BOX_LAN, PORT, SOURCE, TARGET, BenchError, Lanes, wait_for_listener
from bench.peers import Peers
from bench.relaying import relaying
from lrvmotion.relay import relayd

TARGET_BUFFER = 256 * 1024
CONNECTIONS = 500
FAR_PORT = 9001
SYSTEM_PYTHON = "/usr/bin/python3"  # an unprivileged user may not enter the folder of ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Seconds from the first byte to the counting, and of counting."""

    settle_s: float
    window_s: float


def _line(process: subprocess.Popen[str], seconds: float, what: str) -> dict[str, Any]:
    """Return the next JSON line of *process*; BenchError where none comes in time."""
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    if not select.select([process.stdout], [], [], seconds)[0]:
        message = f"{what}: the receiver hangs"
        raise BenchError(message)
    found: dict[str, Any] = json.loads(process.stdout.readline() or '{"error": "the receiver died"}')
    if "error" in found:
        message = f"{what}: {found['error']}"
        raise BenchError(message)
    return found


@contextmanager
def _loaded(
    lanes: Lanes, streams: int, congestion: str, window: Window, *words: str
) -> Iterator[subprocess.Popen[str]]:
    """Run receiver and sender until the block ends; yields the receiver."""
    common = [sys.executable, str(Path(load.__file__))]
    ends = ["--address", TARGET, "--port", str(PORT), "--streams", str(streams)]
    times = ["--settle", str(window.settle_s), "--window", str(window.window_s)]
    with lanes.running("target", *common, "receive", *ends, *times, *words) as receiver:
        wait_for_listener(receiver, PORT)
        with lanes.running("source", *common, "send", *ends, "--congestion", congestion):
            yield receiver


def run_loaded(
    circuit: Circuit,
    streams: int,
    congestion: str,
    window: Window,
    what: str,
    *words: str,
    later: tuple[float, dict[str, Any]] | None = None,
) -> cells.Run:
    """Load the circuit with whatever is in the box; count receiver and wire over the same window.

    *later*: so many seconds after the load began the wire is changed, under what is on its way.
    """
    with _loaded(circuit.lanes, streams, congestion, window, "--announce", *words) as receiver:
        if later is not None:
            time.sleep(later[0])
            circuit.change(**later[1])
        _line(receiver, window.settle_s + 30, what)
        circuit.reset()
        received = _line(receiver, window.window_s + 30, what)
        report = circuit.report()
    return cells.run_of(received, report)


def run_contender(circuit: Circuit, peers: Peers, name: str, window: Window, cell: cells.Cell) -> cells.Run:
    """Run one of `cells.CONTENDERS` once in *cell*, which the wire is set to."""
    streams, congestion, box = cells.CONTENDERS[name]
    window = replace(window, settle_s=max(window.settle_s, cell.settle_s))
    with peers.in_the_path(box, circuit.lanes):
        return run_loaded(circuit, streams, congestion, window, name, later=cell.later)


@contextmanager
def _relayd(
    lanes: Lanes,
    folder: Path,
    role: str = "box",
    **changes: Any,  # noqa: ANN401 - as `relaying` takes it
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run relayd in the box or the far relay host until the block ends; yields it and its control socket."""
    at = {"address": BOX_LAN} if role == "box" else {"address": FAR_CIRCUIT, "port": FAR_PORT, "redirected": False}
    with relaying(lanes, folder, role=role, source=SOURCE, target=TARGET, **at, **changes) as running:
        yield running


def _unprivileged(folder: Path, user: str) -> list[str]:
    """Return the command of a relay as in the unit: an account of its own, CAP_NET_ADMIN and nothing else."""
    script = folder / "relayd.py"
    shutil.copy(relayd.__file__, script)
    script.chmod(0o644)
    caps = ["--bounding-set=-all,+net_admin", "--inh-caps=-all,+net_admin", "--ambient-caps=-all,+net_admin"]
    words = ["prlimit", f"--nofile={_files()}", "setpriv", f"--reuid={user}", "--clear-groups", "--no-new-privs"]
    return [*words, *caps, SYSTEM_PYTHON, str(script)]


def _files() -> int:
    """Return the unit's LimitNOFILE, or what this machine allows of it."""
    return min(65536, resource.getrlimit(resource.RLIMIT_NOFILE)[1])


def measure_far(circuit: Circuit, folder: Path, window: Window, repeats: int) -> dict[str, Any]:
    """Hold the target's buffer at 256 KiB a stream, 55 ms, no loss: the near relay alone beside near and far."""
    circuit.set(delay_ms=27.5, profile="clean", loss=0.0)
    words = ("--receive-buffer", str(TARGET_BUFFER // 2))  # the kernel doubles what is asked: SO_RCVBUF reads 256 KiB
    near: list[cells.Run] = []
    far: list[cells.Run] = []
    for _ in range(repeats):
        with _relayd(circuit.lanes, folder, "box"):
            near.append(run_loaded(circuit, 5, "cubic", window, "near relay", *words))
        circuit.drain()
        with (
            _relayd(circuit.lanes, folder, "far", accept_proxy_from=[BOX_CIRCUIT]),
            _relayd(circuit.lanes, folder, "box", forward={"address": FAR_CIRCUIT, "port": FAR_PORT}),
        ):
            far.append(run_loaded(circuit, 5, "cubic", window, "far relay", *words))
        circuit.drain()
    medians = [median(run.mbps for run in runs) for runs in (near, far)]
    return {
        "rtt_ms": 55,
        "target_buffer_bytes": TARGET_BUFFER,
        "streams": 5,
        "near_mbps": round(medians[0], 1),
        "far_mbps": round(medians[1], 1),
        "ratio": round(medians[1] / medians[0], 2),
        "near_range": _range(near),
        "far_range": _range(far),
        "late": round(max(run.late for run in near + far), 4),
    }


def _range(runs: list[cells.Run]) -> list[float]:
    return [round(min(run.mbps for run in runs), 1), round(max(run.mbps for run in runs), 1)]


def measure_throttle(circuit: Circuit, folder: Path, caps_mbps: tuple[float, ...], hold_s: float) -> dict[str, Any]:
    """Set a cap on 5 live streams, 55 ms, 0.1 % loss, one after the other; judge what arrives.

    What is judged is seen at the target, so half an RTT and what the circuit still queues are in the time it takes.
    """
    circuit.set(delay_ms=27.5, profile="uniform", loss=0.001)
    each_s = hold_s + 3.0
    window = Window(settle_s=3.0, window_s=each_s * len(caps_mbps) + 1.0)
    set_at = []
    with (
        _relayd(circuit.lanes, folder, "box") as (_, control),
        _loaded(circuit.lanes, 5, "cubic", window, "--announce", "--sample", "0.05") as receiver,
    ):
        begun = _line(receiver, 30, "throttle")["begun"]
        for index, cap in enumerate(caps_mbps):
            time.sleep(max(begun + 0.5 + index * each_s - time.monotonic(), 0))
            set_at.append(time.monotonic())
            subprocess.run(
                [sys.executable, relayd.__file__, "--limit", control, str(round(cap * 1e6))],
                check=True, stdout=subprocess.DEVNULL,
            )  # fmt: skip
        samples = [(at, size) for at, size in _line(receiver, window.window_s + 30, "throttle")["samples"]]
    steps = []
    for cap, begin in zip(caps_mbps, set_at, strict=True):
        part = [sample for sample in samples if sample[0] <= begin + each_s - 0.5]
        found = cells.hold(part, begin, cap, hold_s)
        steps.append({
            "cap_mbps": cap,
            "after_s": None if found.after_s is None else round(found.after_s, 2),
            "mean_error": round(found.mean_error, 4),
            "worst_error": round(found.worst_error, 4),
        })  # fmt: skip
    return {"rtt_ms": 55, "loss": 0.001, "streams": 5, "steps": steps}


def measure_connections(circuit: Circuit, folder: Path, count: int = CONNECTIONS) -> dict[str, Any]:
    """Carry *count* connections at once as an unprivileged user; every byte hashed."""
    circuit.set(delay_ms=5.0, profile="clean", loss=0.0)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < 8 * count or shutil.which("setpriv") is None or not Path(SYSTEM_PYTHON).exists():
        message = f"{count} connections need setpriv, {SYSTEM_PYTHON} and {8 * count} files; RLIMIT_NOFILE is {hard}"
        raise BenchError(message)
    common = [sys.executable, str(Path(whole.__file__))]
    ends = ["--address", TARGET, "--port", str(PORT), "--connections", str(count)]
    place = folder / "unprivileged"
    place.mkdir(exist_ok=True)
    os.chown(place, 65534, 65534)
    folder.chmod(0o755)  # the unprivileged user walks through it
    with (
        _relayd(circuit.lanes, place, command=_unprivileged(place, "nobody")) as (relay, control),
        circuit.lanes.running("target", *common, "answer", *ends) as server,
    ):
        wait_for_listener(server, PORT)
        with circuit.lanes.running("source", *common, "ask", *ends) as client:
            found = _line(client, 120, f"{count} connections")
        said = subprocess.run(
            [sys.executable, relayd.__file__, "--status", control], check=True, capture_output=True, text=True
        ).stdout
        memory = Path(f"/proc/{relay.pid}/status").read_text()
    fields = {line.split(":")[0]: line.split() for line in memory.splitlines()}
    status = json.loads(said)
    return {
        "connections": count,
        "at_once": status["peak"],
        "whole": found["whole"],
        "bytes_each": 256 * 1024,
        "rss_mib": round(int(fields["VmRSS"][1]) / 1024, 2),
        "peak_rss_mib": round(int(fields["VmHWM"][1]) / 1024, 2),
        "user": int(fields["Uid"][1]),
    }
