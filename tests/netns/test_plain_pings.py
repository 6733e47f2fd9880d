"""Hosts whose esxcli refuses a ping with a fraction of a second as its interval."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from netns.spec_lab import SpecLab

pytestmark = pytest.mark.netns


def whole_intervals(spec):
    def site(of):
        return replace(of, hosts=tuple(replace(host, whole_intervals=True) for host in of.hosts))

    return replace(spec, source=site(spec.source), target=site(spec.target))


def test_the_path_is_measured_and_proven_by_pings_a_second_apart(tmp_path):
    """As many of them, in more calls; a run in native mode needs no --unproven."""
    with SpecLab(tmp_path, whole_intervals, name=f"plain{os.getpid()}") as lab:
        seen = lab.json("check", "--probes", "20")
        assert {(one["sent"], one["reason"]) for one in seen["path"]} == {(20, None)}
        assert all(54 < one["rtt_ms"] < 200 for one in seen["path"])
        done = lab.json("migrate", "--mode", "native", "--restore", "--yes", "vm1")
        assert done["moves"]["vm1"]["state"] == "success"
