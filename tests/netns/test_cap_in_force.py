"""A cap that somebody set on a running relay counts in the next forecast."""

from __future__ import annotations

import os

import pytest

from lab_client import Lab

pytestmark = pytest.mark.netns


def test_a_throttled_relay_bounds_the_forecast_of_the_next_plan(tmp_path):
    """Without it the interfaces do; once it is taken away the forecast is as before."""
    with Lab(tmp_path, name=f"cap{os.getpid()}") as lab:
        lab.json("migrate", "--mode", "proxy", "--yes", "vm1", "vm2")  # the same hosts: the relay goes on as it is

        def most():
            made = lab.json("plan", "--mode", "proxy", "vm3", "vm4")
            assert [change for change in made["changes"] if change["target"].startswith("relay/")] == []
            return made["forecast"]["modes"]["proxy"]["high"]

        free = most()
        assert free is None or free > 50
        assert lab.run("throttle", "50M").returncode == 0
        assert most() == 50
        assert lab.run("throttle", "off").returncode == 0
        assert most() == free
