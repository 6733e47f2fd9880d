"""make crash-matrix: death in memory, death by kill -9 in a lab, and everything as before after each.

    python -m crash [--memory | --kills] [--no-net] [--every N] [--share F] [--only TEXT] [--json FILE] [--keep FOLDER]

Ends with "histories M in memory, L in the lab", "kills K, journal deaths J" and "crash matrix: N points, 0 failures";
exit status 1 where something failed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, replace
from multiprocessing import active_children
from pathlib import Path
from typing import TextIO

from crash import histories
from crash.kills import Executioner, Killed, Scenario
from crash.lab import Lab
from crash.memory import Matrix, Result
from crash.worlds import worlds

SCENARIOS = (
    Scenario(mode="proxy", kills=90),
    Scenario(mode="proxy", restore=True, kills=20),
    Scenario(mode="native", kills=35),
    Scenario(mode="native", restore=True, kills=10),
    Scenario(mode="proxy", over="native", kills=6),
)
HISTORIES = 20_000  # in memory
CHUNK = 500
LAB_HISTORIES = 60
NO_NET = (
    Scenario(mode="native", kills=30, options=("--unproven",)),
    Scenario(mode="native", restore=True, kills=10, options=("--unproven",)),
)


def say(text: str, to: TextIO = sys.stderr) -> None:
    """Write a line at once: whoever waits for half an hour wants to see it."""
    to.write(text + "\n")
    to.flush()


def main() -> int:
    """Run what was asked for and return the exit status."""
    parser = argparse.ArgumentParser(prog="crash", description=__doc__.splitlines()[0])
    parser.add_argument("--memory", action="store_true", help="only the deaths in memory")
    parser.add_argument("--kills", action="store_true", help="only the real deaths in a lab")
    parser.add_argument("--no-net", action="store_true", help="a lab on loopback: native mode, without root")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only each N-th death in memory")
    parser.add_argument("--share", type=float, default=1.0, metavar="F", help="only this share of the real deaths")
    parser.add_argument("--only", default="", metavar="TEXT", help="only real deaths whose scenario or point has it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every point and what came of it")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep journals of failed points there")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the lab goes, too
    began = time.monotonic()
    memory, lived, killed = Result(), 0, []
    with labs(asked) as real_deaths:  # they wait most of the time: what is computed goes on beside them
        if not asked.kills:
            memory = deaths(asked.every)
            lived = tell_histories(HISTORIES // asked.every, memory)
        killed = real_deaths()
    failures = [*memory.failures, *(f"{one.scenario}, {one.point}: {wrong}" for one in killed for wrong in one.wrong)]
    real = sum(one.died + one.again for one in killed)
    if asked.json:
        document = {
            "schema": 1, "kills": real,
            "points_not_reached": sum(not one.died for one in killed), "resumed": sum(one.resumed for one in killed),
            "histories": lived, "lab_histories": sum(one.history for one in killed),
            "journal_deaths": memory.journal_bytes, "memory_deaths": memory.deaths, "failures": failures,
            "seconds": round(time.monotonic() - began), "points": [asdict(one) for one in killed],
        }  # fmt: skip
        asked.json.write_text(json.dumps(document, indent=1) + "\n")
    for line in failures:
        say(f"FAILED {line}", sys.stdout)
    say(f"histories {lived} in memory, {sum(one.history for one in killed)} in the lab", sys.stdout)
    say(f"kills {real}, journal deaths {memory.journal_bytes}", sys.stdout)
    say(f"crash matrix: {real + memory.deaths + lived} points, {len(failures)} failures", sys.stdout)
    return 1 if failures else 0


def deaths(every: int) -> Result:
    """Die in memory, a world a process."""
    total = Result()
    made = worlds()
    with beside() as pool:
        for world, result in zip(made, pool.map(_deaths, range(len(made)), [every] * len(made)), strict=True):
            say(f"memory, {world.name}: {result.deaths} deaths, {len(result.failures)} failures")
            total.add(result)
    return total


def _deaths(number: int, every: int) -> Result:
    shared = Path("/dev/shm")  # fsync costs nothing there
    with tempfile.TemporaryDirectory(prefix="lrv-crash-", dir=shared if shared.is_dir() else None) as folder:
        return Matrix(worlds()[number], Path(folder), every=every, seed=number).run()


def tell_histories(count: int, result: Result) -> int:
    """Live through so many histories in memory; failures are added to *result*; return how many were lived."""
    chunks = [min(CHUNK, count - at) for at in range(0, count, CHUNK)]
    lived = died = 0
    with beside() as pool:
        for number, (done, dead, wrong) in enumerate(pool.map(_histories, chunks, range(len(chunks)))):
            lived, died = lived + done, died + dead
            result.failures += [f"histories of seed {number}: {wrong}"] if wrong else []
    say(f"histories in memory: {lived}, with {died} deaths")
    return lived


def _histories(count: int, number: int) -> tuple[int, int, str]:
    try:
        return *histories.run(count, number), ""
    except Exception as error:
        text = "".join(traceback.format_exception(error))
        return histories.Histories.count, histories.Histories.died, text[-3000:]


def beside() -> ProcessPoolExecutor:
    """Return processes that compute on all cores and leave them to whoever waits for a deadline."""
    return ProcessPoolExecutor(max_workers=os.cpu_count(), initializer=os.nice, initargs=(10,))


@contextmanager
def labs(asked: argparse.Namespace) -> Iterator[Callable[[], list[Killed]]]:
    """Die for real: at chosen points in one lab, and beside it in histories in another; yield what waits for them."""
    if asked.memory:
        yield list
        return
    with ProcessPoolExecutor(max_workers=2) as pool:
        try:
            parts = [pool.submit(in_lab, asked, part) for part in (_chosen, _lab_histories)]
            yield lambda: [one for part in parts for one in part.result()]
        except BaseException:
            for child in active_children():
                child.terminate()  # its lab goes, too
            raise


def in_lab(asked: argparse.Namespace, part: Callable[..., Iterator[Killed]]) -> list[Killed]:
    """Build a lab and return what came of *part* in it."""
    found: list[Killed] = []
    with tempfile.TemporaryDirectory(prefix="lrv-crash-") as scratch:
        folder = (asked.keep or Path(scratch)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        say("kills: building a lab")
        with Lab(Path(scratch), net=not asked.no_net, name=f"crash{os.getpid()}") as lab:
            killer = Executioner(lab, folder, resume=_resumes(), only=asked.only)
            for one in part(killer, asked):
                found.append(one)
                say(_line(len(found), one))
    return found


def _chosen(killer: Executioner, asked: argparse.Namespace) -> Iterator[Killed]:
    for scenario in NO_NET if asked.no_net else SCENARIOS:
        yield from killer.run(replace(scenario, kills=max(1, round(scenario.kills * asked.share))), say)


def _lab_histories(killer: Executioner, asked: argparse.Namespace) -> Iterator[Killed]:
    yield from killer.histories(round(LAB_HISTORIES * asked.share), say)


def _line(number: int, one: Killed) -> str:
    how = ("killed" if one.died else "not reached") + (", resumed" if one.resumed else "")
    how += ", restore killed too" if one.again else ""
    end = "FAILED: " + "; ".join(one.wrong) if one.wrong else "as before"
    return f"{number:3d} {one.seconds:5.1f} s  {one.scenario}: {one.point}: {how}: {end}"


def _resumes() -> bool:
    """Return whether this version can take a run up again."""
    words = [sys.executable, "-m", "lrvmotion", "migrate", "--help"]
    return "--resume" in subprocess.run(words, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    raise SystemExit(main())
