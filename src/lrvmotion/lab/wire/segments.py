"""What a frame read from a TAP stands for, and how a super-packet with lost segments is cut: pure.

A frame is the 10-byte virtio-net header, then Ethernet. Offsets are those of IPv4 without a VLAN tag.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

VNET = 10
ETHERNET = 14
_IP = VNET + ETHERNET
_TCPV4 = 1
_FIN_PSH, _CWR = 0x09, 0x80
_H = struct.Struct("!H")
_I = struct.Struct("!I")


def shape(frame: bytes) -> tuple[int, int, int]:
    """Return (segments, headers, gso_size) of *frame*: headers in bytes from Ethernet on; one segment: gso_size 0."""
    if frame[1] & 0x7F != _TCPV4:
        return 1, len(frame) - VNET, 0
    size = frame[4] | frame[5] << 8
    t = _IP + ((frame[_IP] & 15) << 2)
    headers = t - VNET + (frame[t + 12] >> 4 << 2)
    payload = len(frame) - VNET - headers
    return max(1, -(-payload // size)), headers, size


def runs(count: int, lost: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the surviving runs [start, end) of *count* segments without those in *lost* (rising)."""
    start = 0
    for position in lost:
        if position > start:
            yield start, position
        start = position + 1
    if start < count:
        yield start, count


def cut(frame: bytes, headers: int, size: int, start: int, end: int, count: int) -> bytes:
    """Return the segments [*start*, *end*) of a TCPv4 super-packet of *count* segments of *size* bytes.

    As segmentation by a network card would have left them: ids, sequence numbers, flags and lengths.
    """
    body = VNET + headers
    offset = start * size
    payload = frame[body + offset : len(frame) if end == count else body + end * size]
    out = bytearray(frame[:body])
    ihl = (out[_IP] & 15) << 2
    t = _IP + ihl
    _H.pack_into(out, _IP + 2, headers - ETHERNET + len(payload))
    _H.pack_into(out, _IP + 4, (_H.unpack_from(out, _IP + 4)[0] + start) & 0xFFFF)
    _H.pack_into(out, _IP + 10, 0)
    _H.pack_into(out, _IP + 10, ~fold(out[_IP:t]) & 0xFFFF)
    _I.pack_into(out, t + 4, (_I.unpack_from(out, t + 4)[0] + offset) & 0xFFFFFFFF)
    if end != count:
        out[t + 13] &= ~_FIN_PSH & 0xFF
    if start != 0:
        out[t + 13] &= ~_CWR & 0xFF
    # Partial, not complemented: NEEDS_CSUM stays set, and only the length in the pseudo-header has changed.
    length = headers - ETHERNET - ihl + len(payload)
    pseudo = bytes(out[_IP + 12 : _IP + 20]) + struct.pack("!HH", 6, length)
    _H.pack_into(out, t + 16, fold(pseudo))
    if len(payload) <= size:
        out[1] = 0
        out[4:6] = b"\0\0"
    return bytes(out) + payload


def fold(data: bytes | bytearray) -> int:
    """Return the folded one's complement sum of *data* (an even number of bytes)."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total
