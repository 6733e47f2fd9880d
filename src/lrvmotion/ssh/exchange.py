"""One command over an SSH channel: input, output and error moved at the same time, bounded in time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import paramiko

_CHUNK = 64 * 1024


class Exchange:
    """Standard input, output and error of one command, moved at the same time so that none blocks another."""

    def __init__(self, channel: paramiko.Channel, stdin: bytes | None) -> None:
        self._channel = channel
        self._failures: list[Exception] = []
        self._out: list[bytes] = []
        self._err: list[bytes] = []
        self._threads = [
            threading.Thread(target=self._guarded, args=(work,), daemon=True)
            for work in (
                lambda: self._feed(stdin),
                lambda: self._drain(channel.recv, self._out),
                lambda: self._drain(channel.recv_stderr, self._err),
            )
        ]

    def finish(self, deadline: float) -> tuple[int, bytes, bytes]:
        """Return status, output and error once the command has ended; TimeoutError after *deadline* (monotonic)."""
        for thread in self._threads:
            thread.start()
        try:
            for thread in self._threads[1:]:
                thread.join(max(0.0, deadline - time.monotonic()))
                if thread.is_alive():
                    raise TimeoutError
            if not self._channel.status_event.wait(max(0.0, deadline - time.monotonic())):
                raise TimeoutError
        finally:
            self._channel.close()  # wakes whoever still waits
            for thread in self._threads:
                thread.join(5)
        status = self._channel.recv_exit_status()
        if status < 0:  # ended without a status: a signal, or the connection
            if self._failures:
                raise self._failures[0]
            if not self._channel.get_transport().is_active():
                raise EOFError
            status = 255
        return status, b"".join(self._out), b"".join(self._err)

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

    @staticmethod
    def _drain(receive: Callable[[int], bytes], into: list[bytes]) -> None:
        while chunk := receive(_CHUNK):
            into.append(chunk)
