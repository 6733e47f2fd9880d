"""The demo: the three modes over one bad circuit, everything restored, witnessed by the lab."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lrvmotion.lab import standard, witness, world
from lrvmotion.lab.client import ask
from lrvmotion.lab.errors import LabError
from lrvmotion.lab.netns import lab_id
from lrvmotion.lab.spec import MIB, WanSpec

MODES = tuple(standard.DEMO_SIZES)
FIELD = WanSpec()
MODE_S = 150.0


@dataclass(slots=True, kw_only=True)
class Measured:
    """What the lab saw of one mode: wire bytes of TCP port 8000, first to last of their frames, streams, vmknics."""

    bytes: int
    seconds: float
    streams: int
    vmknics: int

    @property
    def mbps(self) -> float:
        """Mbit/s: bytes over seconds."""
        return self.bytes * 8 / self.seconds / 1e6 if self.seconds else 0.0


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What the demo came to."""

    modes: dict[str, Measured] = field(default_factory=dict)
    link_mbps: float = FIELD.rate_bps / 1e6
    changed: int = 0
    restored: int = 0
    sha: dict[str, str] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)
    left_behind: list[str] = field(default_factory=list)
    wire: dict[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return the one JSON document of `lab demo --output json`."""
        return {
            "modes": {
                mode: {
                    "mbps": round(seen.mbps, 1), "streams": seen.streams, "vmknics": seen.vmknics,
                    "bytes": seen.bytes, "seconds": round(seen.seconds, 2),
                }
                for mode, seen in self.modes.items()
            },
            "link_mbps": round(self.link_mbps),
            "settings_changed": self.changed,
            "settings_restored": self.restored,
            "state_sha": self.sha,
            "left_behind": self.left_behind,
        }  # fmt: skip


def run(name: str, owner: world.Owner, environment: dict[str, str], say: Callable[[str], None]) -> Outcome:
    """Build a lab, move one VM in each mode, restore, take the lab down; LabError where a step fails."""
    directory = world.home(environment) / name
    spec = standard.demo(name, world.new_passwords())
    outcome = Outcome()
    machine = witness.machine(lab_id(spec), directory)
    say("building the lab")
    world.up(spec, directory, owner, say)
    try:
        config = directory / "lab.toml"
        world.write_configuration(spec, directory, config, owner)
        before = witness.state(spec, directory)
        outcome.sha["before"] = witness.digest(before)
        for mode in MODES:
            seen = outcome.modes[mode] = _move(mode, config, directory, outcome, say)
            say(
                f"{mode}: {seen.mbps:.0f} Mbit/s, {seen.mbps / outcome.link_mbps:.0%} of the link, {seen.seconds:.0f} s"
            )
            if mode != MODES[0]:
                outcome.sha["during"] = witness.digest(witness.state(spec, directory))
                say(f"{mode}: restoring all settings")
                _product(config, outcome, "restore-defaults", "--output", "json")
        after = witness.state(spec, directory)
        outcome.sha["after"] = witness.digest(after)
        outcome.differences = witness.differences(before, after)
        outcome.wire = ask(directory / "wire.sock", "report")
    finally:
        say("taking the lab down")
        world.down(directory)
    outcome.left_behind = witness.left_behind(machine, witness.machine(lab_id(spec), directory))
    return outcome


def _move(mode: str, config: Path, directory: Path, outcome: Outcome, say: Callable[[str], None]) -> Measured:
    size = standard.DEMO_SIZES[mode] / MIB
    say(f"{mode}: moving {mode}-vm ({size:.0f} MiB) over the circuit")
    wire = directory / "wire.sock"
    ask(wire, "reset")
    _product(config, outcome, "migrate", "--mode", mode, "--yes", "--output", "ndjson", f"{mode}-vm")
    seen = ask(wire, "report")["vmotion"]
    hosts = ask(directory / "source" / "control.sock", "state")["hosts"].values()
    return Measured(
        bytes=seen["bytes"],
        seconds=seen["last_s"] - seen["first_s"],
        streams=seen["connections_peak"],
        vmknics=max(_vmotion_vmknics(host) for host in hosts),
    )


def _vmotion_vmknics(host: dict[str, Any]) -> int:
    """Count a host's vmknics that carry vMotion: selected for the service, or on the vMotion netstack."""
    selected = set(host["services"].get("vmotion", []))
    return len(selected | {name for name, nic in host["vmknics"].items() if nic["netstack"] == "vmotion"})


def _product(config: Path, outcome: Outcome, *arguments: str) -> None:
    """Run the real CLI as a child, its screen on our stderr, and count what its events and results say."""
    argv = [sys.executable, "-m", "lrvmotion", "--config", str(config), *arguments]
    child = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None  # noqa: S101 - PIPE
    last: dict[str, Any] = {}
    try:
        with child.stdout as lines:
            for line in lines:
                last = json.loads(line)
                if last.get("type") == "changed" and last.get("how") == "applied":
                    outcome.changed += 1
    except BaseException:  # interrupted: the lab goes, and with it all that the child could still restore
        child.kill()
        child.wait()
        raise
    if child.wait(timeout=MODE_S) != 0:
        message = f"'lrvmotion {' '.join(arguments)}' ended with exit status {child.returncode}"
        raise LabError(message, "its own message is above")
    if arguments[0] == "restore-defaults":
        outcome.restored += int(last["settings_restored"])
