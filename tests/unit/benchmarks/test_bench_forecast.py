"""The forecast benchmark's arithmetic: which cells are held out, how far off a forecast is, when a bar holds."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from lrvmotion.model.load_report import LoadReport, LoadRun

FOLDER = str(Path(__file__).parents[3] / "benchmarks")


@pytest.fixture(scope="module")
def forecasts() -> Any:
    sys.path.insert(0, FOLDER)
    try:
        return importlib.import_module("bench.forecasts")
    finally:
        sys.path.remove(FOLDER)


def report(native: float, proxy: float) -> LoadReport:
    runs = tuple(
        LoadRun(algorithm=a, streams=n, seconds=6, mbps=mbps, retransmit_ratio=0.005, rtt_ms=55, min_rtt_ms=55)
        for a, n, mbps in (("reno", 48, native), ("bbr", 5, proxy))
    )  # fmt: skip
    return LoadReport(near="a", far="b", measured_at="2026-01-01T00:00:00Z", mss=1448, runs=runs)


def entries(
    forecasts: Any, cell: Any, said: tuple[float, float], measured: tuple[float, float]
) -> list[dict[str, Any]]:
    found = {
        mode: {"mbps": mbps, "loss": 0.005, "late": 0.0, "drops": 0}
        for mode, mbps in zip(("native", "proxy"), measured, strict=True)
    }
    return forecasts.refreshed(forecasts.entries(cell, report(*said), found))  # type: ignore[no-any-return]


def test_a_third_of_the_grid_is_held_out_by_a_fixed_rule(forecasts):
    """Every third cell, whatever was run or in which order; a cell that is not of the grid is."""
    cells = forecasts.grid()
    assert len(cells) == len(set(cells)) == 40
    assert [forecasts.held_out(cell) for cell in cells] == [number % 3 == 2 for number in range(len(cells))]
    assert sorted(forecasts.mixed(cells)) == sorted(cells)
    assert {cell.profile for cell in cells} == {"field", "uniform", "bursty"}
    assert forecasts.held_out(forecasts.Cell(profile="uniform", rtt_ms=77, loss=0.01))


def test_the_document_has_what_was_promised(forecasts):
    """One entry a mode, with forecast and measured Mbit/s; the forecast is from the probe in the entry."""
    found = entries(forecasts, forecasts.grid()[0], (100, 900), (80, 910))
    wanted = {"rtt_ms", "loss", "profile", "mode", "forecast_mbps", "measured_mbps", "held_out"}
    assert all(wanted <= entry.keys() for entry in found)
    assert [(entry["mode"], entry["forecast_mbps"], entry["measured_mbps"]) for entry in found] == [
        ("native", 100, 80), ("proxy", 900, 910)
    ]  # fmt: skip


def test_bars(forecasts):
    """Within 30 % counts; the mode counts where one leads by more than 15 %."""
    first, second, third = forecasts.grid()[:3]
    found = [
        *entries(forecasts, first, (100, 900), (80, 910)),
        *entries(forecasts, second, (100, 900), (60, 910)),
        *entries(forecasts, third, (900, 890), (900, 800)),
    ]
    judged = {bar.text: bar.value for bar in forecasts.bars(found)}
    assert judged["native, 3 of all cells: share within ±30 %"] == pytest.approx(2 / 3)
    assert judged["proxy, 3 of all cells: share within ±30 %"] == 1
    assert judged["native, 1 of held out: share within ±30 %"] == 1
    assert judged["best mode right, of 2 cells where it leads"] == 1
    assert "| field, 20 ms |" in forecasts.cells_table(found)
