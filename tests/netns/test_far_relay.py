"""Near and far relay: no ESXi TCP stack on the long leg, and both boxes as before afterwards."""

from __future__ import annotations

import os

import pytest

from lab_client import Lab
from lrvmotion.lab import witness

pytestmark = pytest.mark.netns


def test_vms_move_through_both_relays_and_both_boxes_come_back(tmp_path):
    """The target host sees the far relay on its own LAN; restore takes both relays away."""
    with Lab(tmp_path, name=f"far{os.getpid()}") as lab:
        text = lab.config.read_text()
        assert "forward = false" in text
        lab.config.write_text(text.replace("forward = false", "forward = true"))
        before = lab.state()
        done = lab.json("migrate", "--mode", "proxy", "--yes", "vm1", "vm2")
        assert {move["state"] for move in done["moves"].values()} == {"success"}
        status = lab.json("status")
        assert sorted(status["relays"]) == ["relay/relay-a", "relay/relay-b"]
        boxes = {item["target"] for item in status["outstanding"] if item["target"].startswith("relay/")}
        assert boxes == {"relay/relay-a", "relay/relay-b"}
        back = lab.json("restore-defaults")
        assert back["left"] == []
        assert witness.differences(before, lab.state()) == []
