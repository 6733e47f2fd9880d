"""The forecast: hand-computed figures, what must never happen, and the measured table that the formulas reproduce."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrvmotion.forecast import tcp_model
from lrvmotion.forecast.calibration import corrected
from lrvmotion.forecast.estimate import Estimate, Measured, Sending, best, estimates
from lrvmotion.model.load_report import CongestionControl, LoadReport, LoadRun
from lrvmotion.model.mode import Mode

STOCK = Sending(streams=1, law="reno")
NATIVE = Sending(streams=48, law="reno")
PROXY = Sending(streams=5, law="bbr", relayed=True)
SENDERS: dict[Mode, Sending] = {"stock": STOCK, "native": NATIVE, "proxy": PROXY}


def run(
    algorithm: CongestionControl, streams: int, mbps: float, *, loss: float = 0.005, rtt_ms: float = 55.0
) -> LoadRun:
    return LoadRun(
        algorithm=algorithm, streams=streams, seconds=5, mbps=mbps, retransmit_ratio=loss, rtt_ms=rtt_ms,
        min_rtt_ms=rtt_ms, stream_mbps=(mbps / streams,) * streams,
    )  # fmt: skip


def report(*runs: LoadRun) -> LoadReport:
    return LoadReport(near="a", far="b", measured_at="2026-01-01T00:00:00Z", mss=1448, runs=runs)


MEASURED = report(
    run("reno", 1, 3.6), run("reno", 48, 165), run("bbr", 1, 857), run("bbr", 5, 943)
)  # wan-and-relay.md 4: 0.5 % at 55 ms


def of(found: tuple[Estimate, ...], mode: Mode) -> Estimate:
    return next(estimate for estimate in found if estimate.mode == mode)


def known(value: float | None) -> float:
    assert value is not None
    return value


def test_mathis_by_hand() -> None:
    """MSS/RTT is 1448 * 8 / 0.055 s = 0.2106 Mbit/s; times 1.2247 over sqrt(0.001) = 0.03162: 8.157 Mbit/s."""
    assert tcp_model.mathis(1448, 55, 0.001) == pytest.approx(8.157, rel=1e-3)
    assert tcp_model.mathis(1448, 55, 0) == math.inf


def test_cubic_by_hand() -> None:
    """At 150 ms and 0.001 %: 1.054 (0.15/0.00001)^0.75 = 1428 segments a round trip of 0.07723 Mbit/s: 110.3."""
    assert tcp_model.cubic(1448, 150, 0.00001) == pytest.approx(110.3, rel=1e-2)
    assert tcp_model.cubic(1448, 55, 0.005) == tcp_model.mathis(1448, 55, 0.005)


@pytest.mark.parametrize(
    ("streams", "loss", "measured"),
    [(1, 0.001, 9), (1, 0.005, 4), (48, 0.001, 468), (48, 0.005, 165), (48, 0.01, 105)],
)
def test_the_formula_meets_the_measured_table(streams: int, loss: float, measured: float) -> None:
    """Reno and 48 cubic streams at 55 ms come out within 20 % (one stream at 1 % has too few losses to be steady)."""
    assert streams * tcp_model.mathis(1448, 55, loss) == pytest.approx(measured, rel=0.20)


def test_window_and_line_by_hand() -> None:
    """2 MiB at 55 ms carry 305 Mbit/s; of 1 Gbit/s of wire 941.5 are payload."""
    assert tcp_model.window(2 * 2**20, 55) == pytest.approx(305, rel=1e-3)
    assert tcp_model.line(1000) == pytest.approx(941.5, rel=1e-3)


@pytest.mark.parametrize(("loss", "share"), [(0, 1), (0.02, 0.98), (0.15, 0.85), (0.2, 0), (0.5, 0)])
def test_bbr_holds_until_loss_nears_its_gain(loss: float, share: float) -> None:
    """BBR delivers what is not lost up to 15 %, nothing from 20 % on."""
    assert tcp_model.bbr_share(loss) == pytest.approx(share, abs=1e-9)


@given(st.sampled_from(["reno", "cubic"]), st.floats(1, 300), st.floats(1e-6, 0.2), st.floats(1e-6, 0.2))
def test_more_loss_is_never_faster(law: CongestionControl, rtt_ms: float, one: float, other: float) -> None:
    """Nor is a longer way."""
    low, high = sorted((one, other))
    assert tcp_model.loss_limited(law, 1448, rtt_ms, high) <= tcp_model.loss_limited(law, 1448, rtt_ms, low)
    assert tcp_model.loss_limited(law, 1448, rtt_ms * 2, low) <= tcp_model.loss_limited(law, 1448, rtt_ms, low)
    assert tcp_model.bbr_share(high) <= tcp_model.bbr_share(low)


@given(st.sampled_from(["reno", "cubic"]), st.floats(1, 300), st.floats(1e-6, 0.5))
def test_the_loss_found_is_the_loss_that_was(law: CongestionControl, rtt_ms: float, loss: float) -> None:
    """The inverse gives back the loss that makes the rate."""
    rate = tcp_model.loss_limited(law, 1448, rtt_ms, loss)
    assert tcp_model.effective_loss(law, 1448, rtt_ms, rate) == pytest.approx(loss, rel=1e-6)


def test_what_was_measured_with_so_many_streams_is_the_forecast() -> None:
    """48 streams and 5 BBR streams measured: no equation is needed, each says what limits it."""
    found = estimates(Measured(rtt_ms=55, load=MEASURED), SENDERS)
    assert [known(estimate.mbps) for estimate in found] == [3.6, 165, 943]
    assert "loss" in of(found, "native").limiter
    assert of(found, "native").source == tcp_model.MATHIS
    assert of(found, "proxy").source == tcp_model.BBR
    assert all(estimate.low <= known(estimate.mbps) <= known(estimate.high) for estimate in found)


@given(st.integers(1, 112), st.integers(1, 112))
def test_more_streams_are_never_slower(one: int, other: int) -> None:
    """Between and beyond what was measured, where the loss does not rise with the load."""
    few, many = sorted((one, other))
    rates = [
        known(estimates(Measured(rtt_ms=55, load=MEASURED), {"native": Sending(streams=n, law="reno")})[0].mbps)
        for n in (few, many)
    ]
    assert rates[0] <= rates[1] * (1 + 1e-9)


def test_streams_between_are_interpolated_by_the_equation() -> None:
    """Loss 1.6 % at one stream and 4 times that at 16: 4 streams feel twice as much, so sqrt(2) slower each."""
    base = tcp_model.mathis(1448, 55, 0.002)
    load = report(run("reno", 1, base), run("reno", 16, 16 * base / 2), run("bbr", 5, 900))
    found = estimates(Measured(rtt_ms=55, load=load), {"native": Sending(streams=4, law="reno")})
    assert found[0].mbps == pytest.approx(4 * base / math.sqrt(2))


def test_another_congestion_control_is_reckoned_by_the_loss() -> None:
    """Measured with cubic, forecast for newreno: the same loss, the other law."""
    loss = 1e-5
    load = report(run("cubic", 48, 48 * tcp_model.cubic(1448, 100, loss), rtt_ms=100), run("bbr", 5, 9000, rtt_ms=100))
    found = estimates(Measured(rtt_ms=100, load=load), {"native": NATIVE})
    assert found[0].mbps == pytest.approx(48 * tcp_model.mathis(1448, 100, loss))


def test_a_limit_of_each_stream_is_seen() -> None:
    """5 streams get five times what one gets, and 10 would get ten times that."""
    load = report(run("bbr", 1, 100), run("bbr", 5, 495))
    found = estimates(Measured(rtt_ms=55, load=load), {"proxy": Sending(streams=10, law="bbr")})
    assert found[0].mbps == pytest.approx(1000)
    assert "each stream" in found[0].limiter


def test_window_and_cap_limit() -> None:
    """A window of 64 KiB at 55 ms carries 9.53 Mbit/s a stream; a relay's cap holds proxy mode."""
    window = Sending(streams=48, law="reno", window_bytes=65536 / 4)
    measured = Measured(rtt_ms=55, load=MEASURED, relay_mbps=500)
    found = estimates(measured, {"native": window, "proxy": PROXY})
    assert of(found, "native").mbps == pytest.approx(48 * 2.383, rel=1e-3)
    assert of(found, "native").source == tcp_model.WINDOW
    assert of(found, "proxy").mbps == 500
    assert "cap" in of(found, "proxy").limiter


def test_without_a_load_probe_it_is_a_range() -> None:
    """20 pings without a loss say: between 0 and 16.1 %; proxy mode's rate is not known at all."""
    found = estimates(Measured(rtt_ms=55, sent=20, lost=0), SENDERS)
    native = of(found, "native")
    assert native.low == pytest.approx(48 * tcp_model.mathis(1448, 55, 0.1611), rel=1e-2)
    assert native.high is None
    assert "20 idle pings" in native.limiter
    assert of(found, "proxy").mbps is None
    assert all(estimate.mbps is None for estimate in estimates(Measured(rtt_ms=None), SENDERS))


def test_one_recorded_move_narrows_a_range_and_says_by_how_much() -> None:
    """After one native move at 165 Mbit/s: near it, from a tenth of the range, and stock follows."""
    before = estimates(Measured(rtt_ms=55, sent=100, lost=1), SENDERS)
    after = corrected(before, [("native", 165.0)], SENDERS)
    was, now = of(before, "native"), of(after, "native")
    assert now.mbps == pytest.approx(165, rel=0.15)
    assert known(now.high) / now.low < known(was.high) / was.low / 2
    assert (now.past, now.corrected) == (1, pytest.approx(known(now.mbps) / known(was.mbps)))
    assert of(after, "stock").corrected != 1
    assert of(corrected(before, [("proxy", 800.0)], SENDERS), "proxy").mbps == pytest.approx(800)


def test_no_move_corrects_nothing() -> None:
    """Without a record the estimates stay as they are."""
    found = estimates(Measured(rtt_ms=55, load=MEASURED), SENDERS)
    assert corrected(found, [], SENDERS) == found


def test_the_best_mode_is_the_fastest_that_there_is() -> None:
    """Proxy without a relay is not; modes within 5 % are equal, and the one that changes less wins."""
    found = estimates(Measured(rtt_ms=55, load=MEASURED), SENDERS)
    assert best(found, ("stock", "native", "proxy")) == "proxy"
    assert best(found, ("stock", "native")) == "native"
    even = report(run("reno", 1, 910), run("reno", 48, 940), run("bbr", 5, 941))
    assert best(estimates(Measured(rtt_ms=5, load=even), SENDERS), ("native", "proxy")) == "native"
    assert best(estimates(Measured(rtt_ms=5, load=even), SENDERS), ("stock", "native", "proxy")) == "stock"
    assert best(estimates(Measured(rtt_ms=None), SENDERS), ("stock", "native", "proxy")) is None


def test_the_kind_of_loss_is_told_where_the_runs_show_it() -> None:
    """Ten times the loss at 48 streams rises with the load; much sent again and little felt comes in bursts."""
    one, ten = tcp_model.mathis(1448, 55, 0.0005), tcp_model.mathis(1448, 55, 0.005)
    rising = report(run("reno", 1, one), run("reno", 48, 48 * ten), run("bbr", 5, 900))
    bursty = report(run("reno", 1, one), run("reno", 48, 48 * one), run("bbr", 5, 900))
    assert "rises with the load" in estimates(Measured(rtt_ms=55, load=rising), {"native": NATIVE})[0].limiter
    assert "in bursts" in estimates(Measured(rtt_ms=55, load=bursty), {"native": NATIVE})[0].limiter
    plain = of(estimates(Measured(rtt_ms=55, load=MEASURED), SENDERS), "native").limiter
    assert plain.startswith("48 newreno streams")
    assert plain.endswith("limited by 0.56% loss at 55 ms")
