"""Measure what `lrvmotion plan` costs the client where each vCenter holds 10,000 VMs. No root; under 3 minutes.

Two simulated vCenters on loopback, as `lrvmotion lab up --no-net --vms N` makes them. Each plan is a process of its
own: CPU is user + system time of all of it, imports included; memory is its peak resident size. The vCenters count the
calls. Beside it the way of a simple script: six properties of every VM, read as attributes through pyVmomi.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import ssl
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench import scale
from bench.lanes import BenchError
from bench.table import bars_table

from lrvmotion.lab.client import ask

SITES = ("source", "target")
# Each is one Fetch. They are the cheapest answers that a script would want: no hardware, no file layout.
ATTRIBUTES = ("name", "parent", "runtime", "snapshot", "resourcePool", "overallStatus")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One `plan`: CPU and wall seconds, peak resident size in MB, calls by method of both vCenters together."""

    cpu_s: float
    wall_s: float
    mb: float
    calls: Counter[str]

    @property
    def waits(self) -> int:
        """Calls that wait for tasks: as many as the tasks take time."""
        return self.calls["WaitForUpdatesEx"]


class Lab:
    """Two vCenters of *vms* VMs each."""

    def __init__(self, folder: Path, vms: int) -> None:
        self.config = folder / "lab.toml"
        self.name = f"bench{os.getpid()}-{vms}"
        self.vms = vms
        self.directory = Path()

    def up(self) -> None:
        begun = time.monotonic()
        self.command("lab", "up", "--no-net", "--vms", str(self.vms), "--name", self.name, "--file", str(self.config))
        status = json.loads(self.command("lab", "status", "--name", self.name, "--output", "json").splitlines()[-1])
        self.directory = Path(status["directory"])
        say(f"{self.vms:,} VMs in each vCenter: up after {time.monotonic() - begun:.0f} s")

    def down(self) -> None:
        self.command("lab", "down", "--name", self.name)

    def command(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "lrvmotion", *words], capture_output=True, text=True, check=False, timeout=120
        )
        if done.returncode:
            message = f"lrvmotion {' '.join(words[:2])}: {done.stderr.strip()[-500:]}"
            raise BenchError(message)
        return done.stdout

    def calls(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for site in SITES:
            total.update(ask(self.directory / site / "control.sock", "calls")["calls"])
        return total

    def plan(self, count: int) -> Run:
        """Plan the move of *count* VMs from all over the source; BenchError where anything stands against it."""
        step = self.vms // count
        names = [f"vm{1 + number * step}" for number in range(count)]
        for site in SITES:
            ask(self.directory / site / "control.sock", "calls_reset")
        argv = [sys.executable, "-m", "lrvmotion", "--config", str(self.config), "plan", "--output", "json", *names]
        with tempfile.TemporaryFile() as out:
            begun = time.monotonic()
            child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
            # What it uses is its own, but for the peak, which begins with ours: this process has no pyVmomi yet.
            _, status, used = os.wait4(child.pid, 0)
            wall = time.monotonic() - begun
            child.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0)
            text = out.read().decode()
        if child.returncode or len(json.loads(text.splitlines()[-1])["migrations"]) != count:
            message = f"plan of {count} VMs ended with {child.returncode}: {text[-500:]}"
            raise BenchError(message)
        run = Run(cpu_s=used.ru_utime + used.ru_stime, wall_s=wall, mb=used.ru_maxrss * 1024 / 1e6, calls=self.calls())
        say(
            f"plan of {count:3} of {self.vms:,}: {run.cpu_s:5.2f} s CPU, {run.wall_s:5.2f} s, {run.mb:4.0f} MB,"
            f" {run.calls.total()} calls"
        )
        return run

    def naive(self, count: int) -> float:
        """Return the seconds that six attributes of every VM of both vCenters would take, from *count* of them."""
        from pyVim.connect import Disconnect, SmartConnect
        from pyVmomi import vim

        spec = json.loads((self.directory / "spec.json").read_text())
        spent = 0.0
        for site in SITES:
            about = json.loads((self.directory / site / "vcenter.json").read_text())
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.load_verify_locations(self.directory / site / "vcenter.pem")
            connection = SmartConnect(
                host=about["host"], port=about["port"], user=spec[site]["username"], pwd=spec[site]["password"],
                sslContext=context,
            )  # fmt: skip
            content = connection.content
            view = content.viewManager.CreateContainerView(content.rootFolder, [vim.VirtualMachine], True)
            machines = view.view[: count // len(SITES)]
            begun = time.monotonic()
            for machine in machines:
                for attribute in ATTRIBUTES:
                    getattr(machine, attribute)
            spent += (time.monotonic() - begun) * self.vms / len(machines)
            Disconnect(connection)
        say(f"six attributes of {count} VMs, one by one: {spent:.0f} s for all {self.vms * len(SITES):,}")
        return spent


@contextmanager
def lab(vms: int) -> Iterator[Lab]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        made = Lab(Path(folder), vms)
        made.up()
        try:
            yield made
        finally:
            made.down()


def measure(given: argparse.Namespace) -> dict[str, Any]:
    with lab(given.few) as small:
        few = {count: small.plan(count) for count in (5, given.many)}
    with lab(given.vms) as large:
        five = [large.plan(5) for _ in range(given.repeats)]
        many = [large.plan(given.many) for _ in range(given.repeats)]
        naive_s = large.naive(given.many)
    wall_s = median(run.wall_s for run in five)
    return {
        "vms": given.vms,
        "plan5_cpu_s": round(median(run.cpu_s for run in five), 2),
        "plan5_mb": round(max(run.mb for run in five)),
        "plan500_cpu_s": round(median(run.cpu_s for run in many), 2),
        "calls": five[-1].calls.total(),
        "naive_ratio": round(naive_s / wall_s, 1),
        "plan5_wall_s": round(wall_s, 2),
        "plan500_wall_s": round(median(run.wall_s for run in many), 2),
        "plan500_mb": round(max(run.mb for run in many)),
        "plan500_calls": many[-1].calls.total(),
        "naive_s": round(naive_s),
        "waits": five[-1].waits,
        "plan500_waits": many[-1].waits,
        "few": {
            "vms": given.few,
            "calls": few[5].calls.total(),
            "waits": few[5].waits,
            "plan500_calls": few[given.many].calls.total(),
            "plan500_waits": few[given.many].waits,
        },
        "by_method": {"plan5": dict(five[-1].calls.most_common()), "plan500": dict(many[-1].calls.most_common())},
        "repeats": given.repeats,
        "many": given.many,
        "machine": f"{os.cpu_count()} CPUs, {_model()}",
        "kernel": platform.release(),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", "Linux"),
        "python": platform.python_version(),
    }


def _model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vms", type=int, default=10_000, help="VMs in each vCenter")
    parser.add_argument("--few", type=int, default=1_000, help="VMs in each of the vCenters to compare the calls with")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="the shortest whole run: it shows that it runs, no more")
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    given.many = 500
    if given.smoke:
        given.vms, given.few, given.repeats, given.many = 40, 20, 1, 10
    try:
        document = measure(given)
    except BenchError as error:
        print(f"inventory: {error}", file=sys.stderr)
        return 1
    if given.json:
        given.json.write_text(json.dumps(document, indent=1) + "\n")
    print(scale.facts(document))
    print(scale.figures(document))
    print(bars_table(scale.bars(document)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
