"""Measure what moving 500 VMs over 16 + 16 hosts costs the client, and what the vCenters saw. No root.

Two simulated vCenters and their hosts on loopback; every VM carries its memory and disk as real bytes. The client is
`lrvmotion migrate --mode stock` as a process of its own, looked at every second in /proc: once with its events in a
file, once with its live screen on a terminal. Which moves ran when, and on which hosts and datastores, is the vCenter's
own task log.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import platform
import pty
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import fleets
from bench.lanes import BenchError
from bench.table import bars_table

from lrvmotion.lab import standard, world
from lrvmotion.lab.client import ask
from lrvmotion.lab.spec import MIB, LabSpec

SITES = ("source", "target")
# In a process of its own: the lab's processes outlive the one that starts them, as with `lab up`.
UP = """
import sys
from pathlib import Path
from lrvmotion.lab import world
from lrvmotion.lab.spec import LabSpec
spec = LabSpec.read(Path(sys.argv[1]))
world.up(spec, Path(sys.argv[2]), world.Owner.of({}), print)
"""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def fleet(vms: int, hosts: int, stores: int, mib: int) -> LabSpec:
    """Return the lab: every VM on a host and a datastore of the source, the target empty."""
    spec = standard.standard("fleet", net=False, passwords=world.new_passwords(), hosts=hosts, vms=vms)
    names = tuple(f"datastore{number + 1}" for number in range(stores))
    machines = tuple(
        replace(
            vm, datastore=names[number // hosts % stores], memory_bytes=mib // 2 * MIB, disk_bytes=(mib + 1) // 2 * MIB,
            dirty_bps=0,
        )
        for number, vm in enumerate(spec.source.vms)
    )  # fmt: skip
    source = replace(spec.source, vms=machines, datastores=names)
    return replace(spec, source=source, target=replace(spec.target, vms=(), datastores=names))


@contextmanager
def lab(spec: LabSpec) -> Iterator[tuple[Path, Path]]:
    """Bring the lab up; its directory and the configuration of the client, each source host to its own target host."""
    with tempfile.TemporaryDirectory(prefix="fleet", dir="/tmp") as folder:  # short: Unix sockets lie in it
        directory, config = Path(folder, "lab"), Path(folder, "lab.toml")
        spec.write(Path(folder, "spec.json"))
        begun = time.monotonic()
        try:
            done = subprocess.run(
                [sys.executable, "-c", UP, Path(folder, "spec.json"), directory],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode:
                message = f"the lab did not come up: {done.stderr.strip()[-500:]}"
                raise BenchError(message)
            say(
                f"{len(spec.source.vms)} VMs, {len(spec.source.hosts)} hosts: up after {time.monotonic() - begun:.0f} s"
            )
            pairs = zip(spec.source.hosts, spec.target.hosts, strict=True)
            mappings = "\n".join(f'"{source.name}" = "{target.name}"' for source, target in pairs)
            config.write_text(world.configuration(spec, directory) + f"\n[mappings.hosts]\n{mappings}\n")
            yield directory, config
        finally:
            if directory.exists():
                world.down(directory)


def control(directory: Path, site: str, op: str) -> dict[str, Any]:
    answer: dict[str, Any] = ask(directory / site / "control.sock", op, within_s=60.0)
    return answer


class Client:
    """The client's process, what it has used, and how far the source's task log says that it has come.

    With *screen* it has a terminal of 120 x 40 and shows its live screen there, else it writes its events to a file.
    """

    def __init__(self, directory: Path, config: Path, names: list[str], *, screen: bool) -> None:
        argv = [sys.executable, "-m", "lrvmotion", "--config", str(config), "migrate", "--mode", "stock", "--yes"]
        argv += [*names] if screen else ["--output", "ndjson", *names]
        self.out = directory.parent / "client.out"
        self.begun = time.monotonic()
        self._directory = directory
        with self.out.open("wb") as out, self.out.with_suffix(".err").open("wb") as errors:
            if screen:
                ours, theirs = pty.openpty()
                fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
                environment = {**os.environ, "TERM": "xterm-256color"}
                self.child = subprocess.Popen(
                    argv, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environment
                )
                os.close(theirs)
                threading.Thread(target=_drain, args=(ours, self.out), daemon=True).start()
            else:
                self.child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=errors)

    def sample(self) -> fleets.Sample:
        """Look at the process and at the task log."""
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()
        pages = int(Path(f"/proc/{self.child.pid}/statm").read_text().split()[1])
        at_s, ended = (
            time.monotonic() - self.begun,
            [task["completed"] is not None for task in relocates(self._directory)],
        )
        return fleets.Sample(
            at_s=at_s,
            cpu_s=(int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
            mb=pages * os.sysconf("SC_PAGE_SIZE") / 1e6,
            running=ended.count(False),
            ended=ended.count(True),
        )

    def said(self) -> str:
        """Return the end of what it wrote."""
        texts = [path.read_text(errors="replace") for path in (self.out, self.out.with_suffix(".err"))]
        return "\n".join(text[-1500:] for text in texts)


def _drain(terminal: int, out: Path) -> None:
    """Copy what is shown on *terminal* to *out* until its other end is closed."""
    with out.open("wb") as file, contextlib.suppress(OSError):
        while data := os.read(terminal, 65536):
            file.write(data)
    os.close(terminal)


def relocates(directory: Path) -> list[dict[str, Any]]:
    """Return the relocates in the source's task log."""
    tasks = control(directory, "source", "tasks")["tasks"]
    return [task for task in tasks if task["description"] == "VirtualMachine.relocate"]


def follow(client: Client, vms: int, limit_s: float, every_s: float = 1.0) -> list[fleets.Sample]:
    """Return a sample every *every_s* until the client ends; BenchError where that takes too long."""
    samples: list[fleets.Sample] = []
    while client.child.poll() is None:
        samples.append(client.sample())
        now = samples[-1]
        if len(samples) % 30 == 0:
            come = f"{now.running} move, {now.ended} of {vms} ended"
            say(f"{now.at_s:5.0f} s: {come}, {now.cpu_s:.1f} s CPU, {now.mb:.0f} MB")
        if now.at_s > limit_s:
            client.child.terminate()
            client.child.wait()
            message = f"{vms - now.ended} VMs are left after {limit_s:.0f} s"
            raise BenchError(message)
        time.sleep(max(0.0, client.begun + len(samples) * every_s - time.monotonic()))
    return samples


def run(given: argparse.Namespace, *, screen: bool) -> dict[str, Any]:
    """Move the fleet once, in a lab of its own, and return what it cost and what the vCenters saw."""
    spec = fleet(given.vms, given.hosts, given.stores, given.mib)
    with lab(spec) as (directory, config):
        for site in SITES:
            control(directory, site, "calls_reset")
        client = Client(directory, config, [vm.name for vm in spec.source.vms], screen=screen)
        samples = follow(client, given.vms, given.limit, 0.1 if given.smoke else 1.0)
        counts = {site: control(directory, site, "calls") for site in SITES}
        tasks = relocates(directory)
        moved = set(control(directory, "target", "state")["vms"]) & {vm.name for vm in spec.source.vms}
        if client.child.returncode:
            say(f"the client ended with {client.child.returncode}: {client.said()}")
    used = fleets.cost(fleets.moving(samples, given.vms), least=3 if given.smoke else fleets.LEAST)
    calls: Counter[str] = sum((Counter(count["calls"]) for count in counts.values()), Counter())
    done = [task for task in tasks if task["completed"]]
    return {
        **used,
        "moved": len(moved),
        "exit_status": client.child.returncode,
        "vms_a_minute": round(given.vms / used["seconds"] * 60, 1),
        "most_waiting": max(count["most_waiting"] for count in counts.values()),
        "host_most": max(fleets.most_at_once(done, "hosts").values()),
        "datastore_most": max(fleets.most_at_once(done, "datastores").values()),
        "vm_most": max(Counter(task["entity"] for task in tasks).values()),
        "calls": calls.total(),
        "by_method": dict(calls.most_common()),
    }


def measure(given: argparse.Namespace) -> dict[str, Any]:
    return {
        "vms": given.vms,
        "hosts": given.hosts,
        "stores": given.stores,
        "mib": given.mib,
        "runs": {name: run(given, screen=name == "screen") for name in given.runs},
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
    parser.add_argument("--vms", type=int, default=500)
    parser.add_argument("--hosts", type=int, default=16, help="hosts of each site")
    parser.add_argument("--stores", type=int, default=4, help="datastores of each site")
    parser.add_argument("--mib", type=int, default=2048, help="memory and disk of a VM together")
    parser.add_argument("--limit", type=float, default=1800.0, help="seconds that the run may take")
    parser.add_argument("--quick", action="store_true", help="48 VMs over 4 + 4 hosts, two minutes")
    parser.add_argument("--smoke", action="store_true", help="the shortest whole run: it shows that it runs, no more")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--runs", nargs="+", choices=("events", "screen"), default=["events", "screen"])
    given = parser.parse_args()
    if given.quick:
        given.vms, given.hosts = 48, 4
    if given.smoke:
        given.vms, given.hosts, given.stores, given.mib = 4, 2, 2, 64
    try:
        document = measure(given)
    except (BenchError, ValueError) as error:
        print(f"fleet: {error}", file=sys.stderr)
        return 1
    if given.json:
        given.json.write_text(json.dumps(document, indent=1) + "\n")
    print(fleets.facts(document))
    print(fleets.figures(document))
    print(bars_table(fleets.bars(document)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
