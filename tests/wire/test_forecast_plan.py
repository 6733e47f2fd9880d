"""lrvmotion plan forecasts from the latest load probe and from what the VMs write, against a lab without a network."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab_client import Lab
from lrvmotion.journal import load_report_store
from lrvmotion.model.load_report import LoadReport, LoadRun

LOAD = LoadReport(
    near="relay-a", far="relay-b", measured_at="2026-01-01T00:00:00+00:00", mss=1448,
    runs=tuple(
        LoadRun(algorithm=a, streams=n, seconds=6, mbps=mbps, retransmit_ratio=0.005, rtt_ms=55, min_rtt_ms=55)
        for a, n, mbps in (("reno", 1, 3.6), ("reno", 48, 165.0), ("bbr", 1, 857.0), ("bbr", 5, 943.0))
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab"), "--no-net", name=f"fp{os.getpid()}") as up:
        yield up


def test_without_any_measurement_there_is_no_forecast(lab):
    """No pings, no load probe: every mode is null, and the basis says why."""
    made = lab.json("plan", "--mode", "stock", "vm1")["forecast"]
    assert {mode["mbps"] for mode in made["modes"].values()} == {None}
    assert "nothing was measured" in made["basis"]
    assert made["queue_s"] is None


def test_the_latest_load_probe_is_the_forecast_and_auto_follows_it(lab):
    """Native without a relay; each VM takes its bytes over 165 Mbit/s, and what it writes was measured."""
    first = lab.json("plan", "--mode", "stock", "vm1", "vm2")
    load_report_store.keep(Path(first["journal"]).parent, LOAD)
    made = lab.json("plan", "--mode", "auto", "vm1", "vm2")
    assert made["mode"] == "native"
    found = made["forecast"]
    assert (found["modes"]["native"]["mbps"], found["modes"]["proxy"]["mbps"]) == (165, 943)
    assert "old" in found["basis"]
    for vm, move in zip(found["vms"], made["migrations"], strict=True):
        assert vm["measured"]
        assert vm["converges"]
        assert vm["seconds"] == pytest.approx(move["hot_bytes"] * 8 / 165e6, rel=0.1)
        assert vm["seconds"] > move["hot_bytes"] * 8 / 165e6  # 512 KiB/s are written meanwhile
    shown = lab.run("plan", "--mode", "native", "vm1", "vm2")
    assert "█" in shown.stdout
    assert "2 VMs in" in shown.stdout


def test_a_load_probe_that_cannot_be_read_is_a_clear_error(lab):
    """Status 2 and how to get rid of it."""
    state = Path(lab.json("plan", "--mode", "stock", "vm1")["journal"]).parent
    (state / load_report_store.NAME).write_text("{")
    done = lab.run("plan", "--mode", "stock", "vm1")
    assert done.returncode == 2
    assert "load.json" in done.stderr
    (state / load_report_store.NAME).unlink()
