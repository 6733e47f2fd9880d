"""A super-packet that loses segments is cut as if a network card had made it into packets first."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrvmotion.lab.wire.connections import Connections, tcp
from lrvmotion.lab.wire.segments import cut, fold, runs, shape

IP, ETH = 24, 10
FIN, SYN, RST, PSH, ACK, CWR = 1, 2, 4, 8, 16, 128


def frame(
    payload: bytes, *, size: int = 1448, seq: int = 1000, ident: int = 7, flags: int = ACK, options: int = 12,
    sport: int = 40000, dport: int = 8000, source: bytes = b"\x0a\x58\x00\x09", target: bytes = b"\x0a\x63\x00\x09",
) -> bytes:  # fmt: skip
    """Return what a TAP gives for a TCPv4 segment with a partial checksum."""
    thl = 20 + options
    gso = len(payload) > size
    vnet = struct.pack("=BBHHHH", 1, 1 if gso else 0, 14 + 20 + thl, size if gso else 0, 34, 16)
    total = 20 + thl + len(payload)
    ip = struct.pack("!BBHHHBBH", 0x45, 0, total, ident, 0x4000, 64, 6, 0) + source + target
    ip = ip[:10] + struct.pack("!H", ~fold(ip) & 0xFFFF) + ip[12:]
    tcp_header = struct.pack("!HHIIBBHHH", sport, dport, seq, 5, thl // 4 << 4, flags, 512, 0, 0) + b"\x01" * options
    pseudo = fold(source + target + struct.pack("!HH", 6, thl + len(payload)))
    tcp_header = tcp_header[:16] + struct.pack("!H", pseudo) + tcp_header[18:]
    return vnet + b"\x02" * 12 + b"\x08\x00" + ip + tcp_header + payload


@given(
    length=st.integers(2, 60_000), size=st.integers(500, 1460), seq=st.integers(0, 2**32 - 1),
    ident=st.integers(0, 65535), options=st.sampled_from([0, 12, 20]), data=st.data(),
)  # fmt: skip
def test_the_runs_carry_exactly_the_surviving_bytes(length, size, seq, ident, options, data) -> None:
    """Each surviving byte arrives once, at its own sequence number, under right lengths and checksums."""
    payload = (bytes(range(251)) * (length // 251 + 1))[:length]
    whole = frame(payload, size=size, seq=seq, ident=ident, options=options, flags=ACK | PSH | FIN | CWR)
    count, headers, gso_size = shape(whole)
    assert count == max(1, -(-length // size))
    if count == 1:
        return
    assert gso_size == size
    lost = sorted(data.draw(st.sets(st.integers(0, count - 1), min_size=1)))
    got: dict[int, bytes] = {}
    for start, end in runs(count, lost):
        part = cut(whole, headers, gso_size, start, end, count)
        t = IP + 20
        assert fold(part[IP : IP + 20]) == 0xFFFF
        total, part_id = struct.unpack_from("!HH", part, IP + 2)
        assert total == len(part) - 24
        assert part_id == (ident + start) & 0xFFFF
        part_seq = struct.unpack_from("!I", part, t + 4)[0]
        body = part[ETH + headers :]
        assert 0 < len(body) <= (end - start) * size
        pseudo = part[IP + 12 : IP + 20] + struct.pack("!HH", 6, total - 20)
        assert struct.unpack_from("!H", part, t + 16)[0] == fold(pseudo)
        assert bool(part[t + 13] & (FIN | PSH)) == (end == count)
        assert bool(part[t + 13] & CWR) == (start == 0)
        assert part[t + 13] & ACK
        super_packet = len(body) > size
        assert (part[1], int.from_bytes(part[4:6], "little")) == ((1, size) if super_packet else (0, 0))
        assert (part[0], part[2:4], part[6:10]) == (whole[0], whole[2:4], whole[6:10])
        got[(part_seq - seq) % 2**32] = body
    expected = bytearray()
    for number in range(count):
        if number not in lost:
            expected += payload[number * size : (number + 1) * size]
    assert b"".join(body for _, body in sorted(got.items())) == bytes(expected)
    assert all(payload[offset : offset + len(body)] == body for offset, body in got.items())


@given(count=st.integers(1, 60), data=st.data())
def test_runs_are_what_is_not_lost_in_order_and_never_touch(count, data) -> None:
    """Runs and losses together are all segments, each once."""
    lost = sorted(data.draw(st.sets(st.integers(0, count - 1))))
    found = list(runs(count, lost))
    assert sorted([*lost, *(n for start, end in found for n in range(start, end))]) == list(range(count))
    assert all(a[1] < b[0] for a, b in pairwise(found))


def test_a_packet_that_is_no_super_packet_is_one_segment() -> None:
    """Anything without GSO counts as one segment, headers and all."""
    small = frame(b"x" * 100)
    assert shape(small) == (1, len(small) - 10, 0)


@pytest.mark.parametrize(("sport", "dport", "seen"), [(40000, 8000, True), (8000, 40000, True), (8001, 443, False)])
def test_the_witness_sees_port_8000_on_either_side_and_nothing_else(sport, dport, seen) -> None:
    """vMotion is TCP port 8000, as source or destination."""
    assert bool(tcp(frame(b"", sport=sport, dport=dport))) is seen
    arp = b"\0" * 10 + b"\xff" * 12 + b"\x08\x06" + b"\0" * 46
    assert tcp(arp) == 0


def test_connections_are_counted_by_their_first_syn_and_end_with_both_fins_or_a_reset() -> None:
    """Retransmitted SYNs count once; half-closed is open; the peak is the most open at once."""
    seen = Connections()
    here, there = b"\x0a\x58\x00\x09", b"\x0a\x63\x00\x09"

    def client(port: int, flags: int) -> None:
        data = frame(b"", sport=port, flags=flags)
        seen.see(data, tcp(data))

    def server(port: int, flags: int) -> None:
        data = frame(b"", sport=8000, dport=port, source=there, target=here, flags=flags)
        seen.see(data, tcp(data))

    for port in (1, 2, 2, 3):
        client(port, SYN)
        server(port, SYN | ACK)
    assert (seen.distinct, seen.open, seen.peak) == (3, 3, 3)
    client(1, FIN | ACK)
    assert seen.open == 3
    server(1, FIN | ACK)
    server(2, RST)
    assert (seen.distinct, seen.open, seen.peak) == (3, 1, 3)
    seen.reset()
    client(4, SYN)
    assert (seen.distinct, seen.open, seen.peak) == (1, 2, 2)
