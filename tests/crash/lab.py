"""The one lab that all real deaths happen in: two sites, a relay host, a clean circuit, small VMs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from lrvmotion.lab import standard, witness, world
from lrvmotion.lab.client import ask
from lrvmotion.lab.spec import MIB, LabSpec, VmSpec, WanSpec

VMS = 4
# What only takes time in a plan: every ping of a circuit that loses nothing, every new address that is asked whether it
# is taken. There is still one vmknic more on each host.
CONFIG = """\
limits.probes = 2
settings.source_vmknics = 2
settings.target_vmknics = 2

"""
ENDS_S = 300.0  # a command that takes longer hangs
SITES = ("source", "target")
PATHS = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
# A VM takes a second or two: long enough to die in the middle of its move.
CIRCUIT = WanSpec(rate_bps=200_000_000, delay_ms=2.0, profile="clean")
# In a process of its own: the lab's processes outlive the one that starts them, as with `lab up`.
UP = """
import sys
from pathlib import Path
from lrvmotion.lab import world
from lrvmotion.lab.spec import LabSpec
spec, directory, owner = LabSpec.read(Path(sys.argv[1])), Path(sys.argv[2]), world.Owner.of({})
world.up(spec, directory, owner, lambda _: None)
world.write_configuration(spec, directory, Path(sys.argv[3]), owner)
"""


class Lab:
    """A lab that is up while it is entered; the product's command line against it; what its witness sees."""

    def __init__(self, folder: Path, *, net: bool, name: str) -> None:
        self.net = net
        self.folder = folder
        self.directory = world.home(dict(os.environ)) / name
        self.config = folder / "lab.toml"
        spec = standard.standard(name, net=net, passwords=world.new_passwords())
        vms = tuple(
            VmSpec(name=f"vm{number}", host=f"esx-a{1 + (number - 1) % 2}", memory_bytes=8 * MIB, disk_bytes=8 * MIB)
            for number in range(1, VMS + 1)
        )
        self.spec: LabSpec = replace(spec, wan=CIRCUIT, source=replace(spec.source, vms=vms))

    def __enter__(self) -> Self:
        self.spec.write(self.folder / "spec.json")
        words = [self.folder / "spec.json", self.directory, self.config]
        done = subprocess.run([sys.executable, "-c", UP, *words], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr[-1000:])
        self.config.write_text(CONFIG + self.config.read_text())
        self.before = witness.state(self.spec, self.directory)
        self.digest = witness.digest(self.before)
        self._relocates = len(self._tasks())
        self._machines = {vm: about["instance_uuid"] for vm, about in self.vms("source").items()}
        return self

    def __exit__(self, *_: object) -> None:
        world.down(self.directory)

    def control(self, site: str, op: str, **arguments: Any) -> Any:
        return ask(self.directory / site / "control.sock", op, **arguments)

    def vms(self, site: str) -> dict[str, Any]:
        return self.control(site, "state")["vms"]

    def product(
        self, state: Path, *arguments: str, mortal: tuple[str, ...] | None = None, config: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run lrvmotion with the journal in *state*; *mortal*: how it records its points, or dies.

        Without *config* it has the journal alone.
        """
        module = ["lrvmotion"] if mortal is None else ["crash.mortal", *mortal, "--"]
        words = [*(["--config", str(self.config)] if config else []), "--state-dir", str(state), *arguments]
        return subprocess.run(
            [sys.executable, "-m", *module, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL,
            check=False, cwd=self.folder, timeout=ENDS_S,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(PATHS)},
        )  # fmt: skip

    def quiet(self) -> bool:
        """Wait until no VM is being relocated; return whether that came."""
        deadline = time.monotonic() + ENDS_S
        while any(about["relocating"] for site in SITES for about in self.vms(site).values()):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    def wrong(self) -> list[str]:
        """Return how the lab differs from before, one line each: settings, VMs not on exactly one side."""
        found = [] if self.quiet() else ["a relocate does not end"]
        sides: dict[str, list[str]] = {uuid: [] for uuid in self._machines.values()}
        for site in SITES:
            for about in self.vms(site).values():
                sides.setdefault(about["instance_uuid"], []).append(site)
        names = {uuid: vm for vm, uuid in self._machines.items()}
        for uuid, where in sides.items():
            if len(where) != 1:
                found.append(f"{names.get(uuid, uuid)} is on {len(where)} sides")
        asked = Counter(task["entity"] for task in self._tasks()[self._relocates :])
        found += [f"{vm} was relocated {count} times" for vm, count in asked.items() if count > 1]
        now = witness.state(self.spec, self.directory)
        if witness.digest(now) != self.digest:
            found += witness.differences(self.before, now)
        return found

    def _tasks(self) -> list[dict[str, Any]]:
        """Return every relocate that the source vCenter was ever asked for."""
        tasks = self.control("source", "tasks")["tasks"]
        return [task for task in tasks if task["description"] == "VirtualMachine.relocate"]

    def there(self, vms: tuple[str, ...]) -> list[str]:
        """Return which of *vms* are not at the target."""
        at = self.vms("target")
        return [vm for vm in vms if vm not in at]

    def home(self) -> None:
        """Bring every VM back to the host where it was, by the lab's own means, at once."""
        hosts = {vm.name: vm.host for vm in self.spec.source.vms}
        for vm in self.vms("target"):
            document = self.control("target", "vm_leave", vm=vm)
            self.control("source", "vm_arrive", host=hosts[vm], document=document)
        self._relocates = len(self._tasks())


def last_json(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return the document that the command printed last; {} where it printed none."""
    lines = done.stdout.strip().splitlines()
    try:
        found: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    except ValueError:
        return {}
    return found
