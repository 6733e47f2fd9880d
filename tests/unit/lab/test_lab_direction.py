"""One direction of the wire against a clock that the test turns: rate, buffer, delay, loss."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrvmotion.lab.spec import WanSpec
from lrvmotion.lab.wire.connections import Connections
from lrvmotion.lab.wire.direction import Direction
from unit.lab.test_lab_segments import frame

MSS = 1448
WIRE = 1538  # 1448 + 66 of headers + 24 between frames
ARP = b"\0" * 10 + b"\xff" * 12 + b"\x08\x06" + b"\0" * 28


def direction(**changes) -> Direction:
    spec = WanSpec(**{"profile": "clean", "rate_bps": 8_000_000, "delay_ms": 10.0, **changes})
    return Direction(spec, 1, Connections())


def drain(line: Direction, start: float = 0.0, step: float = 0.0001, end: float = 20.0) -> list[tuple[float, bytes]]:
    found = []
    now = start
    while line.next_release is not None and now < end:
        now = max(now, line.next_release)
        while (data := line.due(now)) is not None:
            found.append((now, data))
        now += step
    return found


def test_a_frame_takes_its_time_on_the_wire_and_then_the_delay() -> None:
    """1538 bytes at 1 MB/s and 10 ms: 11.538 ms; the next one waits for the first."""
    line = direction()
    for _ in range(2):
        line.offer(frame(b"x" * MSS), 0.0)
    assert [now for now, _ in drain(line)] == pytest.approx([0.011538, 0.013076])


def test_a_super_packet_takes_the_time_of_its_segments_and_leaves_whole() -> None:
    """40 segments count as 40 frames with headers and gaps, and leave when the last one would."""
    line = direction()
    line.offer(frame(b"x" * MSS * 40), 0.0)
    ((now, data),) = drain(line)
    assert now == pytest.approx(0.010 + 40 * WIRE / 1e6)
    assert len(data) == 10 + 66 + MSS * 40
    assert line.counters.bytes_delivered == 40 * (WIRE - 24)
    assert line.counters.segments == 40


def test_what_would_wait_longer_than_the_buffer_is_dropped_from_the_tail() -> None:
    """With room for 10 frames, a burst of 40 segments keeps its first 11, in order."""
    line = direction(buffer_bytes=10 * WIRE)
    line.offer(frame(b"x" * MSS * 40), 0.0)
    assert line.counters.qdrop == 29
    line.offer(frame(b"y" * MSS), 0.0)
    assert line.counters.qdrop == 30
    ((now, data),) = drain(line)
    assert len(data) == 10 + 66 + MSS * 11
    assert now == pytest.approx(0.010 + 11 * WIRE / 1e6)
    assert line.counters.lost == 0


def test_without_a_rate_there_is_no_queue() -> None:
    """Rate 0: only the delay."""
    line = direction(rate_bps=0, buffer_bytes=1)
    for _ in range(50):
        line.offer(frame(b"x" * MSS * 40), 1.0)
    assert {now for now, _ in drain(line)} == {1.010}
    assert line.counters.qdrop == 0


def test_lost_segments_use_wire_time_and_survivors_keep_their_order() -> None:
    """Loss comes after the bottleneck: what is lost has used the line; what is left is never reordered."""
    line = direction(profile="uniform", loss=0.1, rate_bps=80_000_000, buffer_bytes=1 << 30)
    for number in range(100):
        line.offer(frame(b"x" * MSS * 20, seq=number * MSS * 20), 0.0)
    out = drain(line)
    times = [now for now, _ in out]
    sequence = [int.from_bytes(data[48:52], "big") for _, data in out]
    assert times == sorted(times)
    assert sequence == sorted(sequence)
    assert times[-1] == pytest.approx(0.010 + 2000 * WIRE / 1e7, abs=0.004)
    counters = line.counters
    assert counters.lost == pytest.approx(200, abs=60)
    assert counters.vmotion_bytes == counters.bytes_delivered == (2000 - counters.lost) * (WIRE - 24)
    assert counters.splits > 0
    assert line.report()["loss_ratio"] == counters.lost / 2000


def test_arp_is_never_lost() -> None:
    """A line that loses nearly everything still carries ARP, and nothing else by its size."""
    line = direction(profile="uniform", loss=0.999)
    for _ in range(200):
        line.offer(ARP, 0.0)
        line.offer(frame(b"", options=0), 0.0)
    assert len([data for _, data in drain(line) if data == ARP]) == 200
    assert line.counters.packets_out < 210


def test_the_field_profile_loses_more_on_a_fuller_line() -> None:
    """Nothing much at a tenth of the line rate, about 6 % at the full rate."""
    ratios = []
    for share in (0.1, 1.0):
        line = direction(profile="field", rate_bps=100_000_000, buffer_bytes=1 << 30)
        gap = 10 * WIRE * 8 / (100_000_000 * share)
        for number in range(4000):
            line.offer(frame(b"x" * MSS * 10), number * gap)
        ratios.append(line.report()["loss_ratio"])
    assert ratios[0] < 0.001
    assert ratios[1] == pytest.approx(0.06, rel=0.15)


@given(sizes=st.lists(st.integers(1, 60_000), max_size=30), loss=st.sampled_from([0.0, 0.02, 0.5]))
def test_every_segment_is_delivered_lost_or_dropped(sizes, loss) -> None:
    """Nothing vanishes and nothing is made up, and no packet leaves early."""
    line = direction(profile="uniform", loss=loss, buffer_bytes=100_000)
    for number, size in enumerate(sizes):
        line.offer(frame(b"x" * size), number * 0.001)
    segments = sum(max(1, -(-size // MSS)) for size in sizes)
    delivered = 0
    for _, data in drain(line):
        delivered += max(1, -(-(len(data) - 76) // MSS))
    assert line.counters.segments == segments == delivered + line.counters.lost + line.counters.qdrop
    assert line.lateness.report()["max_ms"] >= 0


def test_a_handshake_may_be_shorter_than_the_path() -> None:
    """A SYN of TCP port 8000 passes data that is under way; what follows takes the path's delay."""
    line = direction(syn_delay_ms=0.2)
    data = frame(b"x" * MSS)
    syn = frame(b"", flags=2)
    line.offer(data, 0.0)
    line.offer(syn, 0.001)
    line.offer(data, 0.001)
    times = [now for now, _ in drain(line)]
    assert times == pytest.approx([0.0012, 0.011538, 0.013157], abs=2e-4)
