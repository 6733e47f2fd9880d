"""Every benchmark of the network runs whole, however short; a run of a contender that fails is one thrown-away run."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from netns.relayd_world import requires_netns
from wire.benchmark_process import FOLDER, smoke

pytestmark = requires_netns

PATH_CONTENDERS = {"forwarding", "relayd", "socat", "haproxy", "haproxy-splice", "nginx", "floor"}
WAN_CONTENDERS = {"relayd", "bbr", "cubic", "native48", "stock", "socat"}


@pytest.fixture(scope="module")
def relay() -> Any:
    sys.path.insert(0, str(FOLDER))
    try:
        return importlib.import_module("relay")
    finally:
        sys.path.remove(str(FOLDER))


def test_the_relay_benchmark_runs_whole(tmp_path: Path) -> None:
    """Every contender with one and with five streams, or the reason why it could not run; what failed is named."""
    document = smoke("relay", tmp_path)
    assert document["path"].keys() == {"1", "5"}
    for streams, row in document["path"].items():
        failed = [one["contender"] for one in document["thrown_away"] if str(one["streams"]) == streams]
        absent = document["skipped"].keys() | {name for name in failed if failed.count(name) == 3}
        assert row.keys() == PATH_CONTENDERS - absent
        assert all(entry["gbps"] > 0 and entry["runs"] == 1 for entry in row.values())
    assert all(one["why"] for one in document["thrown_away"])
    assert all(document["skipped"].values())


def test_the_wan_benchmark_runs_whole(tmp_path: Path) -> None:
    """A cell with every contender, the far relay, a live cap and many connections."""
    document = smoke("wan", tmp_path)
    [cell] = document["cells"]
    kept = cell["runs"].keys() | cell["thrown_away"].keys()
    assert kept == WAN_CONTENDERS - document["skipped"].keys()
    assert {"near_mbps", "far_mbps", "ratio"} <= document["far"].keys()
    assert [step["cap_mbps"] for step in document["throttle"]["steps"]] == [300.0]
    assert document["connections"]["whole"] == document["connections"]["connections"]


def test_the_forecast_benchmark_runs_whole(tmp_path: Path) -> None:
    """The load probe of a circuit, its forecast, and moves of the lab's hosts in both modes."""
    document = smoke("forecast", tmp_path)
    assert {entry["mode"] for entry in document["cells"]} == {"native", "proxy"}
    for entry in document["cells"]:
        assert {"forecast_mbps", "low", "high", "limiter", "measured_mbps", "load", "line_mbps"} <= entry.keys()


class Stumbling:
    """Peers of which a contender fails a few times, then lets everything pass."""

    def __init__(self, failures: int, error: type[Exception]) -> None:
        self.left, self.error = failures, error

    @contextmanager
    def in_the_path(self, name: str, lanes: Any) -> Iterator[None]:
        if self.left:
            self.left -= 1
            message = "[Errno 111] Connection refused"
            raise self.error(message)
        yield None


@pytest.mark.parametrize("failures", [1, 3])
def test_a_run_that_fails_is_thrown_away_and_named(relay: Any, failures: int) -> None:
    """A peer that refuses once costs one run, which is made again; one that always does leaves its place empty."""
    lanes, failed = importlib.import_module("bench.lanes"), []
    peers = Stumbling(failures, lanes.BenchError)
    with lanes.lanes() as made:
        sample = relay.measured(made, peers, "nginx", 1, relay.SMOKE, failed)
    assert [(one["contender"], one["streams"]) for one in failed] == [("nginx", 1)] * failures
    assert all("refused" in one["why"] for one in failed)
    assert (sample is None) == (failures == relay.ATTEMPTS)
    assert sample is None or sample.size > 0


def test_quick_judges_cpu_by_five_runs_of_each_way(relay: Any) -> None:
    """relayd and both ways of HAProxy run five times with five streams, everything else three times."""
    runs = {(streams, name): relay.QUICK.of(streams, name) for streams in relay.STREAMS for name in relay.CONTENDERS}
    assert {pair for pair, count in runs.items() if count == 5} == {
        (5, "relayd"), (5, "haproxy"), (5, "haproxy-splice"),
    }  # fmt: skip
    assert set(runs.values()) == {3, 5}
