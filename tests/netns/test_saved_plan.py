"""A saved plan of proxy mode, in the lab with a network: done exactly, refused where the relay host has changed."""

from __future__ import annotations

import json
import os

from lab_client import Lab
from lrvmotion.config.schema import load
from lrvmotion.lab import witness
from lrvmotion.model.target_id import TargetId
from lrvmotion.run.credentials import Credentials
from lrvmotion.workflows.connections import Connections, records
from netns.box_world import requires_box

pytestmark = requires_box

KEY = "net.ipv4.tcp_mtu_probing"


def sysctl(lab: Lab, value: str | None = None) -> str:
    """Return the box's value of KEY, after setting *value* as its administrator would."""
    config = load(lab.config)
    with Connections(records(config), Credentials(dict(os.environ), None), lambda event: None) as world:
        shell = world.shell(TargetId.relay("relay-a"))
        if value is not None:
            assert shell.run(["sysctl", "-qw", f"{KEY}={value}"]).ok
        return shell.run(["sysctl", "-n", KEY]).stdout.strip()


def test_a_saved_plan_of_proxy_mode_is_done_exactly_and_rests_on_the_box(tmp_path):
    """What the relay host is like is part of it; what is made carries the plan's mark, and all comes back."""
    with Lab(tmp_path, name=f"sav{os.getpid()}") as lab:
        before = lab.state()
        done = lab.run("plan", "--mode", "proxy", "vm1", "-o", "plan.json")
        assert done.returncode == 0, done.stderr
        assert lab.state() == before
        saved = json.loads((tmp_path / "plan.json").read_text())
        was = sysctl(lab)
        sysctl(lab, "2")
        done = lab.run("migrate", "--plan", "plan.json", "--yes")
        assert (done.returncode, f"relay/relay-a: sysctl {KEY} is 2, the plan has {was}" in done.stderr) == (9, True), (
            done.stderr
        )
        sysctl(lab, was)
        moved = lab.json("migrate", "--plan", "plan.json", "--yes")
        assert moved["moves"]["vm1"]["state"] == "success"
        assert moved["settings_changed"] == len(saved["plan"]["changes"])
        assert lab.json("status")["relays"]["relay/relay-a"]["bytes_to_target"] > 2**27
        outstanding = {(item["target"], item["key"]) for item in lab.json("status")["outstanding"]}
        assert outstanding == {(change["target"], change["key"]) for change in saved["plan"]["changes"]}
        again = lab.json("migrate", "--mode", "proxy", "--yes", "vm2")
        assert again["moves"]["vm2"]["state"] == "success"
        assert lab.json("restore-defaults")["left"] == []
        assert witness.differences(before, lab.state()) == []
