"""The bytes still to be sent, shared by all streams of a move so that each takes what it can carry."""

from __future__ import annotations

import os
import threading

CHUNK_MAX = 1024 * 1024
CHUNK_MIN = 32 * 1024
PAGES_BYTES = 8 * 1024 * 1024


class Work:
    """A counter of bytes that threads take chunks from, smaller ones towards the end: no slow stream comes last."""

    def __init__(self, streams: int) -> None:
        self._streams = streams
        self._condition = threading.Condition()
        self._left = 0
        self._closed = False

    def add(self, size: int, *, last: bool = False) -> None:
        """Put *size* bytes in; after *last*, `take` returns 0 once all is taken."""
        with self._condition:
            self._left += size
            self._closed = self._closed or last
            self._condition.notify_all()

    @property
    def left(self) -> int:
        """Bytes that no stream has taken."""
        return self._left

    def take(self, timeout: float) -> int | None:
        """Take a chunk: its size, 0 when nothing will ever come again, None when nothing came in *timeout* seconds."""
        with self._condition:
            if not self._left and not self._closed:
                self._condition.wait(timeout)
            if not self._left:
                return 0 if self._closed else None
            share = self._left // (2 * self._streams)
            size = min(self._left, max(CHUNK_MIN, min(CHUNK_MAX, share)))
            self._left -= size
            return size


def pages() -> int:
    """Return the descriptor of a memfd of random bytes to send from; the caller closes it."""
    descriptor = os.memfd_create("lrvmotion-pages", os.MFD_CLOEXEC)
    for _ in range(PAGES_BYTES // CHUNK_MAX):
        os.write(descriptor, os.urandom(CHUNK_MAX))
    return descriptor
