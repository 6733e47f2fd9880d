"""Path quality: numbers from pings, and what they mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrvmotion.checks import path
from lrvmotion.findings import Severity
from lrvmotion.model.path_quality import PathQuality, bdp_bytes, jitter, wilson


def quality(**changes):
    return PathQuality(**{"source": "a", "target": "b", "sent": 100, "received": 100, "rtt_ms": 55.0, **changes})


def test_the_reports_circuit_needs_69_megabytes_in_flight():
    """10 Gbit/s at 55 ms, as the reference's table has it."""
    assert bdp_bytes(10e9, 55) == pytest.approx(68.75e6)


@given(st.integers(0, 500), st.integers(1, 500))
def test_the_interval_holds_the_ratio_and_stays_within_0_and_1(hits, trials):
    """Wilson's interval, also for 0 and for all."""
    hits = min(hits, trials)
    low, high = wilson(hits, trials)
    assert 0 <= low <= hits / trials + 1e-9
    assert hits / trials - 1e-9 <= high <= 1


def test_one_percent_of_2000_is_known_to_half_a_percent():
    """The reference's own figure: 0.6 to 1.5 %."""
    low, high = wilson(20, 2000)
    assert (round(low, 3), round(high, 3)) == (0.006, 0.015)


def test_jitter_needs_two_samples():
    """One sample says nothing of variation."""
    assert jitter([55.0]) is None
    assert jitter([55.0, 57.0, 56.0]) == 1.5


@pytest.mark.parametrize(
    ("sample", "code"),
    [
        (quality(), None),
        (quality(received=0, rtt_ms=None), "path-unreachable"),
        (quality(rtt_ms=151.0), "path-rtt"),
        (quality(received=80), "path-loss"),
        (quality(received=98), None),  # 2 of 100 may well be chance
        (quality(sent=0, received=0, rtt_ms=None, reason="the host refuses"), "path-not-measured"),
    ],
)
def test_a_path_is_judged_against_the_limits(sample, code):
    """Too far, too lossy, dead, or not measured."""
    found = list(path.quality(sample, limit_rtt_ms=150, limit_loss=0.02))
    assert [finding.code for finding in found] == ([code] if code else [])
    assert all((finding.severity is Severity.WARNING) == (code == "path-not-measured") for finding in found)
