"""One command over an SSH channel: input, output and error moved at the same time, bounded in time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import paramiko

_CHUNK = 64 * 1024
_MARK = 128  # bytes, more than the last mark has


class Exchange:
    """Standard input, output and error of one command, moved at the same time so that none blocks another.

    *is_done* tells from what one output printed, and where what is new of it starts, that no more of it is wanted: who
    still holds the output open is not waited for.
    """

    def __init__(
        self, channel: paramiko.Channel, stdin: bytes | None, is_done: Callable[[bytearray, int], bool]
    ) -> None:
        self._channel = channel
        self._is_done = is_done
        self._failures: list[Exception] = []
        self._out = bytearray()
        self._err = bytearray()
        self._threads = [
            threading.Thread(target=self._guarded, args=(work,), daemon=True)
            for work in (
                lambda: self._feed(stdin),
                lambda: self._drain(channel.recv, self._out),
                lambda: self._drain(channel.recv_stderr, self._err),
            )
        ]

    def finish(self, deadline: float) -> tuple[bytes, bytes]:
        """Return output and error once the command has ended; TimeoutError after *deadline* (monotonic).

        EOFError, or what broke it, where the connection ended first.
        """
        for thread in self._threads:
            thread.start()
        try:
            for thread in self._threads[1:]:
                thread.join(max(0.0, deadline - time.monotonic()))
                if thread.is_alive():
                    raise TimeoutError
            whole = self._is_done(self._out, 0) and self._is_done(self._err, 0)
            if not whole and not self._channel.status_event.wait(max(0.0, deadline - time.monotonic())):
                raise TimeoutError
        finally:
            self._channel.close()  # wakes whoever still waits
            for thread in self._threads:
                thread.join(5)
        if not whole and self._channel.recv_exit_status() < 0:  # a signal, or the connection
            if self._failures:
                raise self._failures[0]
            if not self._channel.get_transport().is_active():
                raise EOFError
        return bytes(self._out), bytes(self._err)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except (OSError, EOFError) as error:
            self._failures.append(error)

    def _feed(self, stdin: bytes | None) -> None:
        view = memoryview(stdin or b"")
        while view:
            # A command that does not read its input ends the channel: no failure of ours.
            view = view[self._channel.send(view[:_CHUNK].tobytes()) :]
        self._channel.shutdown_write()

    def _drain(self, receive: Callable[[int], bytes], into: bytearray) -> None:
        while chunk := receive(_CHUNK):
            start = max(0, len(into) - _MARK)  # the mark may lie across two chunks
            into += chunk
            if self._is_done(into, start):
                return
