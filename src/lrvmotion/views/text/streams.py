"""The standard streams as a run needs them: whatever becomes of a terminal, pipe or disk, writing never raises."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from contextlib import suppress
from typing import IO, Any

_NAMES = {0: "stdin", 1: "stdout", 2: "stderr"}


class Sink(io.FileIO):
    """A descriptor that takes all that is written to it; *lost* is why what was written is gone, None while it is not.

    The first error ends it: what is written afterwards goes nowhere. *label* is the stream's name for people.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.label = _NAMES[descriptor]
        self.lost: OSError | None = None

    def write(self, data: Any) -> int:  # noqa: ANN401 - any buffer
        """Write all of *data*, waiting where the descriptor does not block; return its size."""
        view = memoryview(data)
        size = len(view)
        while view and self.lost is None:
            try:
                done = super().write(view)
            except OSError as error:
                self.lost = error
            else:
                if done is None:  # not blocking (O_NONBLOCK is shared with whoever set it), and full
                    select.select([], [self], [])
                view = view[done or 0 :]
        return size


def guard() -> None:
    """Make stdout and stderr streams that never raise, in the encoding they had; what it lacks is replaced.

    A descriptor that was closed by who started us is taken first: the next file would get its number, and what is
    meant for a screen would land in it.
    """
    for descriptor in _NAMES:
        try:
            os.fstat(descriptor)
        except OSError:
            # Wrong way round on purpose: whoever reads or writes it is told EBADF, as with the closed one.
            os.open(os.devnull, os.O_RDONLY if descriptor else os.O_WRONLY)
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    sys.stdout = _guarded(1, sys.stdout)
    sys.stderr = _guarded(2, sys.stderr)


def _guarded(descriptor: int, before: IO[str] | None) -> IO[str]:
    encoding = getattr(before, "encoding", None) or "utf-8"
    if before is not None:
        with suppress(OSError, ValueError):
            before.flush()
    lines = descriptor == 2 or os.isatty(descriptor)
    return io.TextIOWrapper(
        io.BufferedWriter(Sink(descriptor)), encoding=encoding, errors="replace", line_buffering=lines
    )


def lost(stream: IO[str]) -> OSError | None:
    """Return why what was written to *stream* did not get where it should, None where it did."""
    sink = _sink(stream)
    with suppress(OSError, ValueError):
        stream.flush()
    return None if sink is None else sink.lost


def check(stream: IO[str]) -> None:
    """Raise the OSError that ended *stream*, its name as the file's."""
    if (error := lost(stream)) is not None:
        sink = _sink(stream)
        raise OSError(error.errno, error.strerror, sink.label if sink else None)


def left(error: OSError) -> bool:
    """Return whether *error* says that a reader has left, as `head` does: it has what it wanted."""
    return error.errno == errno.EPIPE


def _sink(stream: IO[str]) -> Sink | None:
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw if isinstance(raw, Sink) else None
