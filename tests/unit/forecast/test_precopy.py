"""How long a move takes: pre-copy as a geometric series, and the end of a queue."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrvmotion.forecast.precopy import transfer

MB = 1_000_000


def test_a_quiet_vm_takes_its_size() -> None:
    """1000 MB at 800 Mbit/s (100 MB/s): 10 s, one round, no standing still."""
    found = transfer(400 * MB, 600 * MB, 0, 800)
    assert (found.seconds, found.rounds, found.switchover_s) == (10, 1, 0)
    assert found.converges


def test_rounds_by_hand() -> None:
    """1000 MB at 100 MB/s, 50 MB/s dirty: 10 s, 500 MB, 250, 125, 62.5, then 31.25 in 0.3125 s of standing still."""
    found = transfer(500 * MB, 500 * MB, 50 * MB, 800)
    assert found.rounds == 5
    assert found.switchover_s == pytest.approx(0.3125)
    assert found.seconds == pytest.approx(10 + 5 + 2.5 + 1.25 + 0.625 + 0.3125)


def test_a_guest_that_writes_faster_than_the_circuit_must_be_slowed() -> None:
    """200 MB/s dirty at 100 MB/s: half of its writing must go, and that is said."""
    found = transfer(500 * MB, 500 * MB, 200 * MB, 800)
    assert not found.converges
    assert found.slowed == pytest.approx(0.5)
    assert found.seconds == pytest.approx(20.5)


@given(st.floats(0, 1e11), st.floats(1, 1e12), st.floats(0, 1e8), st.floats(1, 1e4), st.floats(1, 1e4))
def test_a_faster_circuit_is_never_slower(memory: float, disk: float, dirty: float, one: float, other: float) -> None:
    """Nor does a move ever send less than the VM; it stands still no longer than the goal."""
    slow, fast = (transfer(memory, disk, dirty, mbps) for mbps in sorted((one, other)))
    if slow.converges:
        assert fast.seconds <= slow.seconds * (1 + 1e-9)
    assert slow.sent_bytes >= memory + disk
    assert slow.switchover_s <= 0.5 + 1e-9
