"""Several near relays: every host through its own, and through another where its own is down; all comes back."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

from lab_client import Lab
from lrvmotion.lab import witness
from lrvmotion.lab.box import machine, record
from lrvmotion.lab.spec import BoxSpec, LabSpec
from netns.box_world import requires_box
from netns.spec_lab import SpecLab

pytestmark = requires_box


class TwoRelays(SpecLab):
    """The standard lab with a second relay host beside the source hosts, and none at the target."""

    def __init__(self, folder: Path, *, name: str) -> None:
        super().__init__(folder, two_relays, name=name)


def two_relays(spec: LabSpec) -> LabSpec:
    boxes = (*spec.source.boxes, BoxSpec(name="relay-c", address="10.88.0.2"))
    return replace(spec, source=replace(spec.source, boxes=boxes), target=replace(spec.target, boxes=()))


def routes(lab: Lab) -> dict[str, set[str]]:
    """Return the relays' addresses that each source host sends through, by what is outstanding."""
    found: dict[str, set[str]] = {}
    for item in lab.json("status")["outstanding"]:
        if item["key"].startswith("route/"):
            found.setdefault(item["target"], set()).add(item["planned"]["data"])
    return found


def test_hosts_are_spread_over_the_relays_and_move_to_another_when_one_is_down(tmp_path):
    """Both relays carry; with one switched off the next migration goes through the other, and says so."""
    with TwoRelays(tmp_path, name=f"two{os.getpid()}") as lab:
        before = lab.state()
        done = lab.json("migrate", "--mode", "proxy", "--yes", "vm1", "vm2")
        assert {move["state"] for move in done["moves"].values()} == {"success"}
        assert routes(lab) == {"source/esx-a1": {"10.88.0.1"}, "source/esx-a2": {"10.88.0.2"}}
        relays = lab.json("status")["relays"]
        assert all(relays[f"relay/{name}"]["bytes_to_target"] > 2**28 for name in ("relay-a", "relay-c"))
        machine.power_off(record.read(record.record_path(lab.directory, "relay-c")))
        try:
            plan = lab.json("plan", "--mode", "proxy", "vm3", "vm4")
            (said,) = [finding for finding in plan["findings"] if finding["code"] == "relay-left-out"]
            assert (said["severity"], said["subject"]) == ("warning", "relay/relay-c")
            assert said["summary"].endswith("its hosts go through relay-a")
            done = lab.json("migrate", "--mode", "proxy", "--yes", "vm3", "vm4")
            assert {move["state"] for move in done["moves"].values()} == {"success"}
            assert routes(lab) == {"source/esx-a1": {"10.88.0.1"}, "source/esx-a2": {"10.88.0.1"}}
        finally:
            machine.power_on(record.read(record.record_path(lab.directory, "relay-c")))
        assert lab.json("restore-defaults")["left"] == []
        assert witness.differences(before, lab.state()) == []


def test_a_box_that_dies_costs_only_what_is_routed_to_it(tmp_path):
    """Power off one of two boxes under a move: its VM is tried no more, nor the next one; others move."""
    with TwoRelays(tmp_path, name=f"one{os.getpid()}") as lab:
        before = lab.state()
        child = lab.spawn("migrate", "--mode", "proxy", "--yes", "--output", "ndjson", *(f"vm{n}" for n in range(1, 5)))
        with child.stdout, child.stderr:
            for line in child.stdout:
                event = json.loads(line)
                if (event["type"], event.get("vm"), event.get("state")) == ("move", "vm2", "running"):
                    break
            machine.power_off(record.read(record.record_path(lab.directory, "relay-c")))
            try:
                out, err = child.communicate(timeout=180)
                states = {
                    event["vm"]: event["state"]
                    for event in map(json.loads, out.splitlines())
                    if event["type"] == "move"
                }
            finally:
                machine.power_on(record.read(record.record_path(lab.directory, "relay-c")))
        assert "Traceback" not in err
        assert child.returncode == 6
        assert states == {"vm1": "success", "vm2": "held", "vm3": "success", "vm4": "held"}
        assert lab.json("restore-defaults")["left"] == []
        assert witness.differences(before, lab.state()) == []
