"""The tables of the large inventory: what is asked, and when it holds."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = str(Path(__file__).parents[3] / "benchmarks")
DOCUMENT: dict[str, Any] = {
    "vms": 10_000, "plan5_cpu_s": 1.3, "plan5_mb": 60, "plan5_wall_s": 2.0, "plan500_cpu_s": 1.7, "plan500_mb": 70,
    "plan500_wall_s": 3.0, "calls": 57, "plan500_calls": 57, "naive_ratio": 27.2, "waits": 7,
    "plan500_waits": 9, "few": {"vms": 1_000, "calls": 57, "waits": 7, "plan500_calls": 52, "plan500_waits": 4},
}  # fmt: skip


@pytest.fixture(scope="module")
def scale() -> Any:
    sys.path.insert(0, FOLDER)
    try:
        return importlib.import_module("bench.scale")
    finally:
        sys.path.remove(FOLDER)


def test_five_bars_are_judged(scale):
    """CPU and memory of 5, CPU of 500, no call more for more VMs, and the ratio to the simple script."""
    assert [bar.held for bar in scale.bars(DOCUMENT)] == [True] * 5


@pytest.mark.parametrize(
    ("key", "value", "number"),
    [
        ("plan5_cpu_s", 2.6, 0),
        ("plan5_mb", 151, 1),
        ("plan500_cpu_s", 10.1, 2),
        ("calls", 58, 3),
        ("naive_ratio", 19, 4),
    ],
)
def test_a_bar_that_fails_is_shown_as_failed(scale, key, value, number):
    """One figure on the wrong side fails its own bar and no other."""
    held = [bar.held for bar in scale.bars({**DOCUMENT, key: value})]
    assert held == [index != number for index in range(5)]


def test_calls_are_shown_for_both_sizes(scale):
    """A line for each plan and each size of inventory; waits for tasks come and go with the time that these take."""
    lines = scale.figures(DOCUMENT).splitlines()
    assert lines[2] == "| 5 | 10,000 | 1.3 | 2.0 | 60 | 57 | 7 |"
    assert lines[5] == "| 500 | 1,000 |  |  |  | 52 | 4 |"
