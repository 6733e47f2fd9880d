"""A lab with a network built from an inventory: its hosts have their vmknics, and settings are changed and restored."""

from __future__ import annotations

import os

import pytest

from lab_client import Lab

pytestmark = pytest.mark.netns


def test_an_estate_with_a_network_is_measured_moved_in_and_restored(tmp_path):
    """Native mode adds vmknics and port groups to the estate's hosts; afterwards the lab's witness finds none of it."""
    document = tmp_path / "estate.json"
    with Lab(tmp_path, "--no-net", "--vms", "1", name=f"e{os.getpid()}") as original:
        done = original.run("inventory", "-o", str(document))
        assert done.returncode == 0, done.stderr
    with Lab(tmp_path, "--estate", str(document), name=f"n{os.getpid()}") as lab:
        before = lab.state()
        found = lab.json("check")
        assert all(pair["rtt_ms"] > 50 for pair in found["path"])
        moved = lab.run("migrate", "--mode", "native", "--yes", "vm1")
        assert moved.returncode == 0, moved.stderr
        restored = lab.run("restore-defaults")
        assert restored.returncode == 0, restored.stderr
        after = lab.state()
        assert {name: after[name] for name in after if "vms" not in name} == {
            name: before[name] for name in before if "vms" not in name
        }
