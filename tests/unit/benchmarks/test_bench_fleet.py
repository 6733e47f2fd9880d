"""The tables of a fleet's run: what is asked, and that a task log is read right."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = str(Path(__file__).parents[3] / "benchmarks")
RUN: dict[str, Any] = {
    "cpu_percent": 6.1, "cpu_percent_median": 5.0, "cpu_percent_most": 31.0, "mb_early": 81.0, "mb_late": 84.5,
    "mb_peak": 85.0, "seconds": 420.5, "vms_a_minute": 71.3, "most_waiting": 1, "host_most": 1, "datastore_most": 4,
    "vm_most": 1, "moved": 500, "calls": 12345,
}  # fmt: skip


def document(**worse: Any) -> dict[str, Any]:
    return {"vms": 500, "runs": {"events": RUN, "screen": {**RUN, **worse}}}


@pytest.fixture(scope="module")
def fleets() -> Any:
    sys.path.insert(0, FOLDER)
    try:
        return importlib.import_module("bench.fleets")
    finally:
        sys.path.remove(FOLDER)


def task(begin: int, end: int, source: str, target: str) -> dict[str, Any]:
    return {
        "queued": f"2026-11-23T13:00:{begin:02}",
        "completed": f"2026-11-23T13:00:{end:02}",
        "hosts": [source, target],
    }


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cpu_percent", 15.1),
        ("mb_late", 86.1),
        ("most_waiting", 2),
        ("host_most", 2),
        ("datastore_most", 9),
        ("moved", 499),
    ],
)
def test_a_bar_that_fails_is_shown_as_failed(fleets, key, value):
    """One figure of one run on the wrong side fails its own bar and no other."""
    assert all(bar.held for bar in fleets.bars(document()))
    assert sum(not bar.held for bar in fleets.bars(document(**{key: value}))) == 1


def test_every_run_has_a_line(fleets):
    """What the client shows is part of what it costs."""
    lines = fleets.figures(document(cpu_percent=9.9)).splitlines()
    assert lines[2] == "| events in a file | 420.5 | 71.3 | 6.1 | 5.0 | 31.0 | 81.0 | 84.5 | 85.0 | 12,345 |"
    assert lines[3].startswith("| live screen, 120 x 40 | 420.5 | 71.3 | 9.9 |")


def test_moves_at_once_are_counted_by_site_from_the_log(fleets):
    """One that ends as another begins is not at once with it; a queued one holds its hosts already."""
    log = [task(0, 10, "a1", "b1"), task(10, 20, "a1", "b2"), task(5, 12, "a2", "b1"), task(11, 15, "b1", "a1")]
    most = fleets.most_at_once(log, "hosts")
    assert most == {"source a1": 1, "source a2": 1, "source b1": 1, "target a1": 1, "target b1": 2, "target b2": 1}


def test_every_datastore_that_a_vm_is_on_is_held(fleets):
    """Of home and disks: two moves on different homes may share that of a disk."""
    log = [
        {**task(0, 10, "a1", "b1"), "datastores": [["home1", "data"], ["gold"]]},
        {**task(5, 12, "a2", "b2"), "datastores": [["home2", "data"], ["gold", "silver"]]},
    ]
    most = fleets.most_at_once(log, "datastores")
    assert most == {
        "source home1": 1, "source home2": 1, "source data": 2, "target gold": 2, "target silver": 1,
    }  # fmt: skip


def test_cost_is_of_the_time_in_which_vms_move(fleets):
    """Planning before and ending after are not part of it."""
    samples = [
        fleets.Sample(
            at_s=float(second), cpu_s=cpu, mb=80.0 + second / 10, running=1 if 10 <= second < 50 else 0, ended=ended
        )
        for second, cpu, ended in [
            (second, 5.0 if second < 10 else 5.0 + (second - 10) * 0.1, 2 if second >= 50 else 0)
            for second in range(60)
        ]
    ]
    made = fleets.cost(fleets.moving(samples, 2))
    assert (made["seconds"], made["cpu_percent"], made["cpu_percent_median"]) == (39.0, 10.0, 10.0)
    assert made["mb_late"] > made["mb_early"]
    with pytest.raises(ValueError, match="too few"):
        fleets.cost(samples[:5])
