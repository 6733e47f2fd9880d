"""Measure what moving 500 VMs over 16 + 16 hosts costs the client, and what the vCenters saw. No root.

Two simulated vCenters and their hosts on loopback; every VM carries its memory and disk as real bytes. The client is
`lrvmotion migrate --mode stock` as a process of its own, looked at every second in /proc. Which moves ran when, and on
which hosts and datastores, is the vCenter's own task log.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
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
ENDED = {"success", "error", "cancelled", "held"}
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
    """The client's process, and how far the events in *out* say that it has come."""

    def __init__(self, config: Path, out: Path, names: list[str]) -> None:
        argv = [sys.executable, "-m", "lrvmotion", "--config", str(config), "migrate", "--mode", "stock", "--yes"]
        self.begun = time.monotonic()
        self._rest = b""
        with out.open("wb") as stdout, out.with_suffix(".err").open("wb") as stderr:
            self.child = subprocess.Popen(
                [*argv, "--output", "ndjson", *names], stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr
            )
        self._out = out.open("rb")
        self.states: dict[str, str] = {}
        self.reasons: Counter[str] = Counter()

    def sample(self) -> fleets.Sample:
        """Look at the process and read its news."""
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()
        pages = int(Path(f"/proc/{self.child.pid}/statm").read_text().split()[1])
        self._read()
        count = Counter(self.states.values())
        return fleets.Sample(
            at_s=time.monotonic() - self.begun,
            cpu_s=(int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
            mb=pages * os.sysconf("SC_PAGE_SIZE") / 1e6,
            running=count["running"],
            ended=sum(count[state] for state in ENDED),
        )

    def _read(self) -> None:
        *lines, self._rest = (self._rest + self._out.read()).split(b"\n")
        for line in lines:
            event = json.loads(line)
            if event.get("type") == "move":
                self.states[event["vm"]] = event["state"]
                if event["state"] in ENDED - {"success"}:
                    self.reasons[str(event["reason"])] += 1

    def close(self) -> None:
        self._read()
        self._out.close()


def follow(client: Client, vms: int, limit_s: float) -> list[fleets.Sample]:
    """Return a sample a second until the client ends; BenchError where that takes too long."""
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
        time.sleep(max(0.0, client.begun + len(samples) - time.monotonic()))
    client.close()
    return samples


def measure(given: argparse.Namespace) -> dict[str, Any]:
    spec = fleet(given.vms, given.hosts, given.stores, given.mib)
    with lab(spec) as (directory, config):
        for site in SITES:
            control(directory, site, "calls_reset")
        client = Client(config, directory.parent / "events.ndjson", [vm.name for vm in spec.source.vms])
        samples = follow(client, given.vms, given.limit)
        if given.samples:
            given.samples.write_text(json.dumps([{n: getattr(s, n) for n in s.__slots__} for s in samples]))
        counts = {site: control(directory, site, "calls") for site in SITES}
        tasks = [task for task in control(directory, "source", "tasks")["tasks"] if "relocate" in task["description"]]
        moved = set(control(directory, "target", "state")["vms"]) & {vm.name for vm in spec.source.vms}
        errors = (directory.parent / "events.err").read_text()
    if client.child.returncode:
        for reason, count in client.reasons.most_common(5):
            say(f"{count} VMs: {reason}")
        say(errors[-2000:])
    used = fleets.cost(fleets.moving(samples, given.vms))
    calls: Counter[str] = sum((Counter(count["calls"]) for count in counts.values()), Counter())
    done = [task for task in tasks if task["completed"]]
    return {
        **used,
        "vms": given.vms,
        "hosts": given.hosts,
        "stores": given.stores,
        "mib": given.mib,
        "moved": len(moved),
        "exit_status": client.child.returncode,
        "vms_a_minute": round(given.vms / used["seconds"] * 60, 1),
        "most_waiting": max(count["most_waiting"] for count in counts.values()),
        "host_most": max(fleets.most_at_once(done, "hosts").values()),
        "datastore_most": max(fleets.most_at_once(done, "datastores").values()),
        "vm_most": max(Counter(task["entity"] for task in tasks).values()),
        "calls": calls.total(),
        "by_method": dict(calls.most_common()),
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
    parser.add_argument("--quick", action="store_true", help="48 VMs over 4 + 4 hosts, half a minute")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--samples", type=Path, metavar="FILE", help="every second's sample, as JSON")
    given = parser.parse_args()
    if given.quick:
        given.vms, given.hosts = 48, 4
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
