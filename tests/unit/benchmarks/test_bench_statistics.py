"""The benchmark's arithmetic: medians, ranges, ratios, what a relay's CPU costs, and when a bar holds."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = str(Path(__file__).parents[3] / "benchmarks")


@pytest.fixture(scope="module")
def table() -> Any:
    sys.path.insert(0, FOLDER)
    try:
        return importlib.import_module("bench.table")
    finally:
        sys.path.remove(FOLDER)


@pytest.fixture(scope="module")
def load() -> Any:
    sys.path.insert(0, FOLDER)
    try:
        return importlib.import_module("bench.load")
    finally:
        sys.path.remove(FOLDER)


def cell(table: Any, gbps: float, cpu: float) -> Any:
    size = round(gbps * 1e9 / 8)
    return table.summarise([table.Sample(size=size, seconds=1.0, cpu_s=cpu * size / table.GIB)])


def row(table: Any, **changes: tuple[float, float]) -> dict[str, Any]:
    figures = {"relayd": (20, 0.2), "socat": (4, 4.0), "haproxy": (10, 0.4), "nginx": (12, 0.6), **changes}
    return {name: cell(table, *pair) for name, pair in figures.items()}


def test_a_rate_is_what_arrived_by_the_time_it_took(table: Any) -> None:
    """Gbit/s are 10^9 bits a second; CPU is by GiB of 2^30 bytes."""
    sample = table.Sample(size=2**30, seconds=2.0, cpu_s=0.5)
    assert sample.gbps == pytest.approx(2**30 * 8 / 2e9)
    assert sample.cpu_s_per_gib == pytest.approx(0.5)


def test_a_cell_is_the_median_and_its_range(table: Any) -> None:
    """One outlier moves the range, not the figure."""
    runs = [table.Sample(size=size * 125_000_000, seconds=1.0, cpu_s=0) for size in (9, 10, 90)]
    made = table.summarise(runs)
    assert (made.gbps, made.low, made.high) == pytest.approx((10, 9, 90))


@pytest.mark.parametrize("sizes", [[], [0], [5, 0]])
def test_nothing_delivered_is_no_figure(table: Any, sizes: list[int]) -> None:
    """No run, or a run without a byte, is an error and not a zero."""
    with pytest.raises(ValueError, match="delivered"):
        table.summarise([table.Sample(size=size, seconds=1.0, cpu_s=0) for size in sizes])


def test_bars_hold_on_the_bound(table: Any) -> None:
    """Every bar at five streams is held where each ratio is on its right side."""
    judged = table.bars({5: row(table)})
    assert len(judged) == 4
    assert all(bar.held for bar in judged)


@pytest.mark.parametrize(
    ("peer", "figures", "broken"),
    [
        ("socat", (5.1, 4.0), "rate / socat's"),
        ("nginx", (15.5, 0.6), "rate / the better"),
        ("haproxy", (10, 0.25), "CPU per GiB / HAProxy's"),
        ("socat", (4, 2.0), "CPU per GiB / socat's"),
    ],
)
def test_a_bar_that_is_missed_is_said(table: Any, peer: str, figures: tuple[float, float], broken: str) -> None:
    """A ratio on the wrong side breaks its own bar and no other, and the table shows it."""
    judged = table.bars({5: row(table, **{peer: figures})})
    missed = [bar for bar in judged if not bar.held]
    assert [broken in bar.text for bar in missed] == [True]
    assert table.bars_table(judged).count("**no**") == 1


@pytest.mark.parametrize(("best", "held"), [(21.0, True), (21.2, False)])
def test_other_stream_counts_are_compared_with_the_best_peer(table: Any, best: float, held: bool) -> None:
    """At 1 and 48 streams 0.95 of the best peer is asked, whichever it is."""
    for streams in (1, 48):
        (bar,) = table.bars({streams: row(table, socat=(best, 1.0))})
        assert bar.held is held


def test_haproxy_counts_at_its_best(table: Any) -> None:
    """Where haproxy ran in two ways, rate and CPU are compared with the better of each."""
    judged = table.bars({5: row(table, **{"haproxy-splice": (16, 0.25)})})
    assert [bar.held for bar in judged] == [True, False, False, True]


def test_bars_need_every_contender(table: Any) -> None:
    """A run without one of the peers is not judged."""
    some = row(table)
    del some["nginx"]
    assert table.bars({5: some}) == []


def test_the_document_has_the_agreed_shape(table: Any) -> None:
    """path, streams as text, contender, gbps, relay_cpu_s_per_gib and range."""
    made = json.loads(json.dumps(table.document({5: row(table)}, {"kernel": "6"})))
    assert made["kernel"] == "6"
    assert made["path"]["5"]["relayd"]["gbps"] == pytest.approx(20)
    assert made["path"]["5"]["relayd"]["relay_cpu_s_per_gib"] == pytest.approx(0.2)
    assert made["path"]["5"]["relayd"]["range"] == pytest.approx([20, 20])


def test_the_table_gives_each_contender_its_ratio_to_relayd(table: Any) -> None:
    """A peer's line says how many times faster relayd is; plain forwarding costs no relay CPU."""
    lines = table.cells_table({5: row(table, forwarding=(40, 0.0))}).splitlines()
    assert "| 5 | socat | 4.00 (4.00-4.00) | 5.00 | 4.000 (4.000-4.000) | 0.050 |" in lines
    assert "| 5 | forwarding | 40.00 (40.00-40.00) | 0.50 | none | - |" in lines


def test_a_process_name_cannot_upset_the_count(load: Any) -> None:
    """/proc/PID/stat is read from the last bracket on: user, system and waited-for children, and the session."""
    text = "77 (a) b (c) S 1 70 69 0 -1 4194560 1 2 3 4 100 20 3 4 20 0 1 0 55 0 0"
    assert load.stat_session(text) == 69
    assert load.stat_ticks(text) == 127


def test_what_was_written_can_be_read_back(table: Any) -> None:
    """Tables made from the JSON are those that the run itself printed."""
    cells = {5: row(table, forwarding=(40, 0.0))}
    again = table.cells_of(json.loads(json.dumps(table.document(cells, {}))))
    assert table.cells_table(again) == table.cells_table(cells)
    assert table.bars_table(table.bars(again)) == table.bars_table(table.bars(cells))


def test_a_page_is_filled_between_its_markers_only(table: Any) -> None:
    """Filling twice leaves what filling once did; the text around stays."""
    page = "a\n<!-- x -->\nold\n<!-- /x -->\nb\n"
    once = table.fill(page, "x", "new\n")
    assert once == "a\n<!-- x -->\n\nnew\n\n<!-- /x -->\nb\n"
    assert table.fill(once, "x", "new\n") == once


@pytest.mark.parametrize("page", ["", "<!-- /x -->\n<!-- x -->\n", "<!-- x -->\n<!-- x -->\n<!-- /x -->\n"])
def test_a_page_without_its_markers_is_left_alone(table: Any, page: str) -> None:
    """Missing, turned round or doubled: said, not guessed."""
    with pytest.raises(ValueError, match="no place for x"):
        table.fill(page, "x", "new")
