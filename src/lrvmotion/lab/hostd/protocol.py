"""What one vMotion stream of the lab carries: a header, then bytes; counts come back on it.

The lab's own format: the real one is not published. A header is the magic, the length of a JSON object in four bytes,
and the object: migration id and stream number. The receiver answers with the number of payload bytes that it has
taken so far, eight bytes each time: 0 at once when it accepts the stream, then about ten times a second, and a last
one after the sender's half-close.
"""

from __future__ import annotations

import json
import struct
from typing import Any

PORT = 8000
NFC_PORT = 902
MAGIC = b"LRVSTRM1"
HEAD = struct.Struct("!8sI")
COUNT = struct.Struct("!Q")
HEADER_MAX = 4096  # bytes of JSON: an id and a number need far less
COUNT_INTERVAL_S = 0.1


def header(migration: str, stream: int) -> bytes:
    """Return the bytes that open stream number *stream* of *migration*."""
    document = json.dumps({"id": migration, "stream": stream}).encode()
    return HEAD.pack(MAGIC, len(document)) + document


def parse_header(data: bytes) -> tuple[dict[str, Any], int] | int:
    """Return (object, length of the header), or how many bytes are needed before it can be read.

    Raises ValueError, KeyError or TypeError where *data* is not the start of a stream.
    """
    if not data.startswith(MAGIC[: len(data)]):
        message = "not a vMotion stream"
        raise ValueError(message)
    if len(data) < HEAD.size:
        return HEAD.size
    length = int(HEAD.unpack_from(data)[1])
    if length > HEADER_MAX:
        message = f"a header of {length} bytes"
        raise ValueError(message)
    end = HEAD.size + length
    if len(data) < end:
        return end
    document: dict[str, Any] = json.loads(data[HEAD.size : end])
    if not isinstance(document["id"], str):
        message = "a header without an id"
        raise ValueError(message)  # noqa: TRY004 - the bytes are wrong, not the caller
    return document, end


class Counts:
    """Takes the eight-byte counts out of a byte stream that may be split anywhere."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> int | None:
        """Return the newest whole count in *data*, or None."""
        self._rest += data
        whole = len(self._rest) // COUNT.size * COUNT.size
        if not whole:
            return None
        (count,) = COUNT.unpack_from(self._rest, whole - COUNT.size)
        self._rest = self._rest[whole:]
        return int(count)
