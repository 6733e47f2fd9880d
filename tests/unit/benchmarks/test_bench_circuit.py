"""The WAN benchmark's arithmetic: which cells, what a run amounts to, when a cap holds, and when a bar holds."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = str(Path(__file__).parents[3] / "benchmarks")


@pytest.fixture(scope="module")
def cells() -> Any:
    sys.path.insert(0, FOLDER)
    try:
        return importlib.import_module("bench.cells")
    finally:
        sys.path.remove(FOLDER)


def way(loss: float = 0.005, late: float = 0.01, drops: int = 0) -> dict[str, Any]:
    return {"loss_ratio": loss, "lateness": {"over_5_ms": late}, "tap_drops": drops}


def run(cells: Any, mbps: float, loss: float = 0.005, late: float = 0.01) -> Any:
    return cells.Run(mbps=mbps, loss=loss, late=late)


def entry(cells: Any, name: str, **mbps: float) -> dict[str, Any]:
    figures = {"relayd": 930, "bbr": 940, "cubic": 20, "native48": 170, "stock": 4, "socat": 920, **mbps}
    measured = cells.Measured(cell=cells.parse_cell(name), line_mbps=1000.0)
    measured.runs = {who: [run(cells, rate)] for who, rate in figures.items()}
    found: dict[str, Any] = measured.document()
    return found


def test_the_grid_is_every_rtt_and_loss_once(cells: Any) -> None:
    """Four RTTs; no loss once, four losses uniform and bursty; beside them the field profile and two that change."""
    grid = cells.grid()
    assert len(grid) == len(set(grid)) == 4 * (1 + 2 * 4) + 1 + 2
    assert set(cells.CHANGING) <= set(grid)
    assert set(cells.QUICK) <= set(grid)


def test_a_cell_is_named_as_it_is_asked_for(cells: Any) -> None:
    """What --cells takes is what is printed, for every cell of the grid."""
    assert [cells.parse_cell(cell.name) for cell in cells.grid()] == list(cells.grid())


@pytest.mark.parametrize(
    "text", ["", "uniform:55", "field:55:1", "bursty:55:0", "uniform:0:1", "uniform:55:60", "a:1:1"]
)
def test_a_cell_that_makes_no_sense_is_refused(cells: Any, text: str) -> None:
    """Unknown profiles, missing or impossible losses and RTTs."""
    with pytest.raises(ValueError, match=r"like uniform|RTT from"):
        cells.parse_cell(text)


def test_a_run_joins_receiver_and_wire(cells: Any) -> None:
    """Bytes are the receiver's, loss that towards the target, lateness the worse direction's, drops of both."""
    report = {"directions": {"source_to_target": way(drops=1), "target_to_source": way(loss=0.1, late=0.04, drops=2)}}
    assert cells.run_of({"bytes": 250_000_000, "seconds": 2.0}, report) == cells.Run(
        mbps=1000.0, loss=0.005, late=0.04, drops=3
    )


@pytest.mark.parametrize(
    ("late", "drops", "streams", "fit"),
    [(0.05, 0, 5, True), (0.051, 0, 5, False), (0.0, 1, 5, False), (0.05, 9, 48, True), (0.051, 0, 48, False)],
)
def test_a_late_wire_spoils_a_run(cells: Any, late: float, drops: int, streams: int, fit: bool) -> None:
    """Over 5 % of packets more than 5 ms late: thrown away; so is, of few streams, a loss outside the model."""
    assert cells.Run(mbps=900, loss=0.0, late=late, drops=drops).fit(streams) is fit


def test_a_cell_has_the_agreed_shape(cells: Any) -> None:
    """rtt_ms, loss, profile, mbps by contender, carry_mbps at the wire's own loss, late at its worst; runs counted."""
    measured = cells.Measured(cell=cells.parse_cell("uniform:55:0.5"), line_mbps=1000.0)
    measured.runs = {
        "relayd": [run(cells, 900, loss=0.004), run(cells, 930, loss=0.006, late=0.03), run(cells, 910)],
        "bbr": [run(cells, 940)],
    }
    measured.thrown = {"bbr": 2}
    made = json.loads(json.dumps(measured.document()))
    assert (made["rtt_ms"], made["loss"], made["profile"]) == (55, 0.005, "uniform")
    assert made["mbps"] == {"relayd": 910, "bbr": 940}
    assert made["carry_mbps"] == pytest.approx(1000 * 1448 / 1538 * 0.995, abs=0.06)
    assert made["late"] == 0.03
    assert made["range"]["relayd"] == [900, 930]
    assert made["thrown_away"] == {"bbr": 2}
    assert cells.key(made) == measured.cell


def test_the_field_profiles_loss_is_measured(cells: Any) -> None:
    """It depends on the load: the JSON gives what the wire measured under relayd, and still names the cell."""
    made = entry(cells, "field:55")
    assert made["loss"] == 0.005
    assert cells.key(made) == cells.FIELD


def test_bars_hold_on_the_bound_and_are_said_when_missed(cells: Any) -> None:
    """Median and least of the cells against BBR, every lossy cell against cubic."""
    good = [entry(cells, "uniform:55:0.5", relayd=97, bbr=100), entry(cells, "bursty:55:1", relayd=93, bbr=100)]
    assert [bar.held for bar in cells.bars({"cells": good[:1]})] == [True, True, True]
    judged = {bar.text.split(", ")[-1]: bar for bar in cells.bars({"cells": good})}
    assert judged["least: rate / direct BBR's"].held
    assert not judged["median: rate / direct BBR's"].held


def test_the_field_profile_is_judged_by_its_own_bars(cells: Any) -> None:
    """83 % of the circuit, 3 times native, 15 times stock; not against BBR."""
    document = {"cells": [entry(cells, "field:55", relayd=830, native48=276, stock=55, bbr=2000)], "line_mbps": 1000.0}
    assert [bar.held for bar in cells.bars(document)] == [True, True, True]


def steady(rate_mbps: float, begin: float, seconds: float) -> list[tuple[float, int]]:
    return [(begin + n / 20, round(n / 20 * rate_mbps * 1e6 / 8)) for n in range(round(seconds * 20) + 1)]


def test_a_cap_holds_from_the_first_second_within_it(cells: Any) -> None:
    """Half a second at the old rate, then the cap: it takes hold once a whole second is within 5 %."""
    before, after = steady(900, 10.0, 0.5), steady(300, 10.5, 12.0)
    samples = before + [(at, size + before[-1][1]) for at, size in after[1:]]
    found = cells.hold(samples, 10.0, 300.0, 10.0)
    assert 0.4 <= found.after_s <= 0.5
    assert abs(found.mean_error) < 0.01
    assert abs(found.worst_error) <= 0.05


def test_a_cap_that_never_holds_is_said(cells: Any) -> None:
    """No second within 5 %: no time, and the error of the whole."""
    found = cells.hold(steady(900, 0.0, 12.0), 0.0, 300.0, 10.0)
    assert found.after_s is None
    assert found.mean_error == pytest.approx(2.0)


def test_the_table_shows_each_cell_once(cells: Any) -> None:
    """The field profile first, then by loss; the ratio to direct BBR in its column; what is missing is a dash."""
    document = {"cells": [entry(cells, "bursty:20:1"), entry(cells, "field:55")]}
    del document["cells"][0]["mbps"]["socat"]
    lines = cells.cells_table(document).splitlines()
    assert lines[2].startswith("| field 0.5 % | 55 |")
    assert lines[3].startswith("| bursty 1.0 % | 20 |")
    assert "| 0.99 | 5.5 |" in lines[3]
    assert "| - |" in lines[3]
    assert len(lines) == 4


def test_a_cell_that_changes_says_when_and_has_a_bar_of_its_own(cells: Any) -> None:
    """A handshake shorter than the path; an RTT that grows after 3 s; 0.9 of plain BBR, apart from the grid's bars."""
    short, flap = cells.CHANGING
    assert (short.wan["delay_ms"], short.wan["syn_delay_ms"], short.later) == (27.5, 0.1, None)
    assert (flap.wan["delay_ms"], flap.wan["syn_delay_ms"], flap.later) == (0.2, None, (3.0, {"delay_ms": 10.0}))
    assert {short.wan["profile"], flap.wan["profile"]} == {"uniform"}
    judged = cells.bars({"line_mbps": 1000, "cells": [entry(cells, short.name, relayd=80, bbr=100)]})
    assert [(bar.text, bar.bound, bar.value) for bar in judged] == [
        ("short-handshake:55:0.05: rate / direct BBR's", 0.9, 0.8)
    ]
