"""A hundred VMs through a bad night: random faults, a relay that is killed; all end moved or reported, none lost.

    python -m crash.fleet [--vms N] [--kills N] [--json FILE]

Needs root. The lab's field profile, small VMs; one VM in ten meets a random fault of the reference's lists; meanwhile
the relay process is killed, five times. Prints what came of it, and exits with 1 where a VM was lost, moved twice, or
not restored.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from crash import lab as labs
from lrvmotion.lab.netns import box_namespace
from lrvmotion.lab.spec import MIB, VmSpec, WanSpec

PASSING = ("vim.fault.Timedout", "vim.fault.ResourceInUse", "vmodl.fault.HostCommunication", "vmodl.fault.SystemError")
LASTING = ("vim.fault.CpuIncompatible", "vim.fault.CannotAccessNetwork", "vim.fault.NoDiskSpace")
BETWEEN_S = 8.0  # two deaths of the relay


def relay_pids(namespace: str) -> list[int]:
    """Return the relay's processes in the box's network namespace."""
    wanted = Path("/run/netns", namespace).stat()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            there = (folder / "ns" / "net").stat()
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if (there.st_dev, there.st_ino) == (wanted.st_dev, wanted.st_ino) and any(b"relayd" in word for word in words):
            found.append(int(folder.name))
    return found


def kill_relays(namespace: str, kills: int, ended: threading.Event, done: list[float]) -> None:
    """Kill the relay so often, while VMs move."""
    began = time.monotonic()
    while len(done) < kills and not ended.wait(BETWEEN_S):
        for pid in relay_pids(namespace):
            os.kill(pid, 9)
            done.append(round(time.monotonic() - began, 1))
            break


def make(folder: Path, count: int) -> labs.Lab:
    """Return the lab with *count* small VMs on the field profile."""
    made = labs.Lab(folder, net=True, name=f"fleet{os.getpid()}")
    vms = tuple(
        VmSpec(name=f"vm{n}", host=f"esx-a{1 + n % 2}", memory_bytes=16 * MIB, disk_bytes=32 * MIB)
        for n in range(1, count + 1)
    )
    made.spec = replace(made.spec, wan=WanSpec(), source=replace(made.spec.source, vms=vms))
    return made


def trial(lab: labs.Lab, count: int, kills: int, seed: int) -> dict[str, Any]:
    """Run it; return what came of it."""
    rng = random.Random(seed)
    names = [f"vm{n}" for n in range(1, count + 1)]
    faulty = {vm: rng.choice((*PASSING, *LASTING)) for vm in rng.sample(names, max(count // 10, 1))}
    for vm, fault in faulty.items():
        rule = {"method": "RelocateVM_Task", "object": vm, "fault": fault, "in_task": rng.random() < 0.7}
        lab.control("source", "fault_add", rule=rule)
    state = lab.folder / "state"
    lab.config.write_text("limits.retry_wait_s = 1.0\nlimits.max_attempts = 6\n" + lab.config.read_text())
    ended, dead = threading.Event(), []
    killer = threading.Thread(
        target=kill_relays, args=(box_namespace(lab.spec, "source", "relay-a"), kills, ended, dead), daemon=True
    )
    killer.start()
    began = time.monotonic()
    done = lab.product(state, "migrate", "--mode", "proxy", *names, "--yes", "--output", "json")
    seconds = time.monotonic() - began
    ended.set()
    killer.join()
    moves = labs.last_json(done).get("moves", {})
    restored = lab.product(state, "restore-defaults", "--output", "json")
    sides = Counter(vm for site in labs.SITES for vm in lab.vms(site))
    at_target = set(lab.vms("target"))
    return {
        "vms": count, "seconds": round(seconds, 1), "status": done.returncode, "restore": restored.returncode,
        "faults": Counter(faulty.values()), "relay_kills": dead,
        "states": Counter(move["state"] for move in moves.values()),
        "lost": [vm for vm in names if sides[vm] == 0],
        "twice": [vm for vm in names if sides[vm] > 1],
        "unreported": [vm for vm in names if vm not in at_target and not (moves.get(vm) or {}).get("reason")],
        "said_wrongly": [vm for vm in names if (vm in at_target) != ((moves.get(vm) or {}).get("state") == "success")],
        "reasons": Counter((move.get("reason") or "")[:90] for move in moves.values() if move["state"] != "success"),
        "not_restored": [line for line in lab.wrong() if "times" not in line],
        "error": done.stderr[-800:] if not moves else "",
    }  # fmt: skip


def main() -> int:
    """Run the trial, print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vms", type=int, default=100)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    labs.ENDS_S = 1800.0
    with tempfile.TemporaryDirectory(prefix="lrv-fleet-", dir="/tmp") as folder, make(Path(folder), given.vms) as lab:
        found = trial(lab, given.vms, given.kills, given.seed)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")
    bad = [name for name in ("lost", "twice", "unreported", "said_wrongly", "not_restored", "error") if found[name]]
    failures = f"failures: {', '.join(bad)}" if bad else "0 failures"
    end = f"fleet: {found['vms']} VMs, {len(found['relay_kills'])} relay kills, {failures}"
    sys.stdout.write(f"{json.dumps(found, indent=1)}\n{end}\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
