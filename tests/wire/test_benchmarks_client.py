"""Every benchmark that needs no root runs whole, however short, so that none breaks without anybody noticing."""

from __future__ import annotations

from pathlib import Path

from wire.benchmark_process import smoke


def test_the_fleet_benchmark_runs_whole(tmp_path: Path) -> None:
    """Both runs, events and live screen: every VM moved, every figure of the client and of the vCenters is there."""
    document = smoke("fleet", tmp_path)
    assert document["runs"].keys() == {"events", "screen"}
    for run in document["runs"].values():
        assert (run["moved"], run["exit_status"]) == (document["vms"], 0)
        assert {"seconds", "cpu_percent", "mb_peak", "calls", "by_method", "most_waiting"} <= run.keys()


def test_the_inventory_benchmark_runs_whole(tmp_path: Path) -> None:
    """Plans of few and of many VMs in small and large inventories, and the naive script beside them."""
    document = smoke("inventory", tmp_path)
    assert document["vms"] > document["few"]["vms"]
    assert {"plan5_cpu_s", "plan500_cpu_s", "calls", "naive_s", "waits", "by_method"} <= document.keys()
    assert document["calls"] > 0
