"""Load the circuit from a near relay host to a far one, run by run; report what it carried; nothing is left there."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from lrvmotion.errors import LrvmotionError, printable
from lrvmotion.model.counted import counted
from lrvmotion.model.load_report import CongestionControl, LoadReport, LoadRun, NotRun
from lrvmotion.model.target_id import TargetId
from lrvmotion.ports.shell import Completed, Runner
from lrvmotion.relay import answers

# One stream and many of what an ESXi stack sends (newreno, cubic), and of what a relay sends.
RUNS: tuple[tuple[CongestionControl, int], ...] = (("reno", 1), ("cubic", 1), ("reno", 48), ("bbr", 1), ("bbr", 5))
SETTLE_S, WINDOW_S = 4.0, 6.0
SPARE_S = 45.0  # for logging in, starting Python and opening the streams of one run
_RECEIVED = {"seconds": float, "bytes": [int]}
_SENT = {
    "mss": int, "retransmit_ratio": float, "rtt_ms": float, "min_rtt_ms": (float, None),
    "window_limited": (float, None),
}  # fmt: skip
_PORTS = range(20000, 30000)  # below net.ipv4.ip_local_port_range, so that no client of the box has it


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """A box of the circuit: its *name*, the *address* on its site's vMotion network, its Python and a shell on it."""

    name: str
    address: str
    python: str
    shell: Runner


def load(
    near: End,
    far: End,
    step: Callable[[str, int, int], None],
    *,
    clock: Callable[[], str],
    runs: Sequence[tuple[CongestionControl, int]] = RUNS,
    settle_s: float = SETTLE_S,
    window_s: float = WINDOW_S,
) -> LoadReport:
    """Fill the circuit from *near* to *far* with each of *runs* (congestion control, streams), one after the other.

    Each takes *settle_s* (or 40 RTTs, where those are longer) + *window_s* seconds and a little more. *step* is told
    what runs, how many are done, of how many; *clock* gives ISO 8601 in UTC. A run that could not be made is in the
    report's `missing`, with the reason.
    """
    done: list[LoadRun] = []
    missing: list[NotRun] = []
    mss = 0
    silent: str | None = None
    for number, (algorithm, streams) in enumerate(runs):
        if silent is not None:
            missing.append(NotRun(algorithm=algorithm, streams=streams, reason=silent))
            continue
        step(counted(streams, f"{algorithm} stream"), number, len(runs))
        asked = {
            "address": far.address, "peer": near.address, "port": secrets.choice(_PORTS),
            "token": secrets.token_hex(16), "streams": streams, "algorithm": algorithm,
            "settle_s": settle_s, "window_s": window_s,
        }  # fmt: skip
        received, sent = _both(near, far, asked, settle_s + window_s + SPARE_S)
        reason = received.get("error") if "refused" in str(sent.get("error")) else None  # why nothing listened
        reason = reason or sent.get("error") or received.get("error")
        if reason is not None or sent.get("retransmit_ratio") is None or sent.get("rtt_ms") is None:
            why = reason or "the near relay host's kernel does not count retransmissions (Linux 4.19 or newer does)"
            missing.append(NotRun(algorithm=algorithm, streams=streams, reason=why))
            if not done and ("timed out" in why or "route" in why):  # so it would be for all others, half a minute each
                silent = why
            continue
        try:
            done.append(_run(algorithm, streams, received, sent))
        except answers.GarbledError as error:
            missing.append(NotRun(algorithm=algorithm, streams=streams, reason=error.message))
            continue
        mss = max(mss, sent["mss"])
    step("done", len(runs), len(runs))
    return LoadReport(
        near=near.name, far=far.name, measured_at=clock(), mss=mss, runs=tuple(done), missing=tuple(missing)
    )


def _run(algorithm: CongestionControl, streams: int, received: dict[str, Any], sent: dict[str, Any]) -> LoadRun:
    """Return the run that both ends told of; answers.GarbledError where one of them is of another shape."""
    answers.check(received, _RECEIVED, "the counters of the far relay host")
    answers.check(sent, _SENT, "the counters of the near relay host")
    with answers.understood("the counters of the relay hosts"):
        each = tuple(round(size * 8 / received["seconds"] / 1e6, 3) for size in received["bytes"])
        return LoadRun(
            algorithm=algorithm, streams=streams, seconds=received["seconds"], mbps=round(sum(each), 3),
            retransmit_ratio=sent["retransmit_ratio"], rtt_ms=sent["rtt_ms"],
            min_rtt_ms=sent["min_rtt_ms"] or sent["rtt_ms"], stream_mbps=each,
            window_limited=min(sent["window_limited"] or 0.0, 1.0),
        )  # fmt: skip


def _both(near: End, far: End, asked: dict[str, Any], timeout_s: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run both ends at once; return what the receiver and the sender said, {"error": why} where one failed."""

    def run(end: End, role: str) -> dict[str, Any]:
        argv = [end.python, "-", role, json.dumps(asked)]
        try:
            return _said(end, end.shell.run(argv, stdin=script(), timeout_s=timeout_s))
        except LrvmotionError as error:
            return {"error": error.message}

    with ThreadPoolExecutor(2) as pool:
        receiver = pool.submit(run, far, "receive")
        sender = pool.submit(run, near, "send")
        return receiver.result(), sender.result()


def _said(end: End, done: Completed) -> dict[str, Any]:
    try:
        said: dict[str, Any] = answers.read(done.stdout, {"error?": str}, "its answer")
    except answers.GarbledError as error:
        last = done.stderr.strip().rpartition("\n")[2] or (error.message if done.ok else f"exit status {done.status}")
        return {"error": f"{TargetId.relay(end.name)}: {printable(last)}"}
    if "error" in said:
        return {"error": f"{TargetId.relay(end.name)}: {said['error']}"}
    return said


# What loadprobe.py imports is made known under its name before it runs.
_LOADER = """
import sys, types
for name in "lrvmotion", "lrvmotion.relay", "lrvmotion.relay.relayd":
    sys.modules[name] = types.ModuleType(name)
relayd = sys.modules["lrvmotion.relay"].relayd = sys.modules["lrvmotion.relay.relayd"]
exec(compile({relayd!r}, "relayd.py", "exec"), relayd.__dict__)
exec(compile({loadprobe!r}, "loadprobe.py", "exec"))
"""


@cache
def script() -> bytes:
    """Return what a box's Python is given: the load probe, with the parts of the relay that it calls."""
    sources = {name: files("lrvmotion.relay").joinpath(f"{name}.py").read_text() for name in ("relayd", "loadprobe")}
    return _LOADER.format(**sources).encode()
