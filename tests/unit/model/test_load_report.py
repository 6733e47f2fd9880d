"""What the runs of a load probe say: bottleneck, queue, policer, and the limiter in one sentence."""

from __future__ import annotations

from typing import Any

import pytest

from lrvmotion.errors import UsageError
from lrvmotion.journal import load_report_store
from lrvmotion.model.load_report import CongestionControl, LoadReport, LoadRun, NotRun


def run(algorithm: CongestionControl, streams: int, mbps: float, **changes: Any) -> LoadRun:
    values: dict[str, Any] = {"retransmit_ratio": 0.0, "rtt_ms": 56.0, "min_rtt_ms": 55.0, **changes}
    return LoadRun(algorithm=algorithm, streams=streams, seconds=6.0, mbps=mbps, **values)


def report(*runs: LoadRun) -> LoadReport:
    return LoadReport(near="a", far="b", measured_at="2026-01-02T03:04:05.000+00:00", mss=1448, runs=runs)


def test_loss_limits_what_backs_off_from_it() -> None:
    """48 reno streams carry a quarter of what 5 BBR streams do: the sentence says loss, and both figures."""
    found = report(
        run("reno", 1, 40, retransmit_ratio=0.001),
        run("reno", 48, 230, retransmit_ratio=0.0021),
        run("bbr", 1, 720, rtt_ms=60.0),
        run("bbr", 5, 880, rtt_ms=63.0),
    )
    assert found.bottleneck_mbps == 880
    assert found.queueing_ms == pytest.approx(8.0)
    assert found.policer_mbps is None
    assert (
        found.limiter
        == "loss limits: 48 newreno streams at 230 Mbit/s (0.21% retransmitted), where 5 BBR streams carry 880"
    )


def test_a_policer_holds_every_stream_alone() -> None:
    """One BBR stream at 100, five at 490: each is held, and more streams carry more."""
    found = report(run("reno", 1, 60), run("bbr", 1, 100), run("bbr", 5, 490))
    assert found.policer_mbps == 100
    assert found.limiter == "something on the way holds each stream at 100 Mbit/s: more streams carry more"


def test_streams_that_differ_are_not_policed() -> None:
    """Five times as much in sum, but unevenly, or a stream of another run went further: loss, not a policer."""
    even, uneven = (98.0, 97.0, 99.0, 98.0, 98.0), (30.0, 60.0, 190.0, 110.0, 100.0)
    policed = (run("reno", 1, 60), run("bbr", 1, 100))
    assert report(*policed, run("bbr", 5, 490, stream_mbps=even)).policer_mbps == 100
    assert report(*policed, run("bbr", 5, 490, stream_mbps=uneven)).policer_mbps is None
    assert report(*policed, run("cubic", 1, 300), run("bbr", 5, 490, stream_mbps=even)).policer_mbps is None
    assert report(run("bbr", 1, 0), run("bbr", 5, 0)).policer_mbps is None


def test_a_window_is_not_a_policer() -> None:
    """The same rates, but the peer's window was the limit: named as such."""
    held = (run("bbr", 1, 100, window_limited=0.9), run("bbr", 5, 490, window_limited=0.9))
    assert report(*held).policer_mbps is None
    assert "receive window" in report(*held).limiter


def test_a_line_that_one_stream_fills_is_the_limit() -> None:
    """Without loss one reno stream carries what five BBR streams do."""
    found = report(run("reno", 1, 930), run("reno", 48, 940), run("bbr", 1, 925), run("bbr", 5, 938))
    assert found.limiter == "the line limits: one newreno stream carries 930 of 940 Mbit/s"


def test_without_bbr_nobody_knows_the_line() -> None:
    """48 newreno streams carry 165 Mbit/s of who knows what: neither loss nor the line is claimed."""
    found = report(run("reno", 1, 4), run("cubic", 1, 4), run("reno", 48, 165))
    rest = "whether loss or the line limits was not measured, since that takes BBR"
    assert found.limiter == f"48 newreno streams carry 165 Mbit/s; {rest}"
    assert report(run("reno", 1, 900), run("reno", 48, 940)).limiter.startswith("the line limits: one newreno stream")


def test_nothing_measured_is_said() -> None:
    """No run: no figure, and a sentence that says so."""
    found = report()
    assert (found.bottleneck_mbps, found.queueing_ms, found.policer_mbps) == (None, None, None)
    assert found.limiter == "nothing could be measured under load"


def test_the_latest_report_is_kept_whole_and_aged(tmp_path) -> None:
    """What is written is read back, the newer one wins, and its age is known."""
    first = report(run("bbr", 5, 880))
    second = LoadReport(
        near="a", far="b", measured_at="2026-01-02T04:04:05.000+00:00", mss=1448, runs=(),
        missing=(NotRun(algorithm="bbr", streams=1, reason="no such file"),),
    )  # fmt: skip
    assert load_report_store.latest(tmp_path / "state") is None
    load_report_store.keep(tmp_path / "state", first)
    assert load_report_store.latest(tmp_path / "state") == first
    load_report_store.keep(tmp_path / "state", second)
    assert load_report_store.latest(tmp_path / "state") == second
    assert load_report_store.age_s(first, "2026-01-02T04:04:05.000+00:00") == 3600
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["load.json"]


def test_a_report_that_cannot_be_kept_is_one_sentence(tmp_path) -> None:
    """The state directory is a file: named, with another way."""
    (tmp_path / "state").write_text("")
    with pytest.raises(UsageError, match=r"load\.json: the load probe cannot be kept there: .+") as caught:
        load_report_store.keep(tmp_path / "state", report())
    assert "--state-dir" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"schema": 2}', '{"schema": 1}', '{"schema": 1, "runs": [{}]}']
)
def test_a_report_that_cannot_be_read_is_one_sentence(tmp_path, text) -> None:
    """Truncated, of a newer schema, or another document: it is named, with what to do."""
    (tmp_path / "load.json").write_text(text)
    with pytest.raises(UsageError, match=r"load\.json: .+") as caught:
        load_report_store.latest(tmp_path)
    assert "check --load" in (caught.value.hint or "")
