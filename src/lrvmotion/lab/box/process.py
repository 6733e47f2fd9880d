"""A process and its identity: a pid alone may have been given to another process meanwhile."""

from __future__ import annotations

import os
import select
import signal
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process as seen from the machine; *start* is its start time in clock ticks since boot."""

    pid: int
    start: int

    @property
    def alive(self) -> bool:
        """Whether it still runs (one that has ended but was not waited for does not)."""
        fields = _stat(self.pid)
        return fields is not None and int(fields[19]) == self.start and fields[0] not in "ZX"

    def end(self, number: int, wait_s: float) -> bool:
        """Send signal *number*, wait up to *wait_s* seconds; return whether it has ended."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        try:
            # The handle is taken first: what it holds cannot be replaced between check and signal.
            if not self.alive:
                return True
            try:
                signal.pidfd_send_signal(handle, number)
            except ProcessLookupError:
                return True
            poll = select.poll()
            poll.register(handle, select.POLLIN)
            return bool(poll.poll(wait_s * 1000))
        finally:
            os.close(handle)
            self._reap()

    def _reap(self) -> None:
        try:
            os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            return  # somebody else's child: its parent collects it


def identify(pid: int) -> Process | None:
    """Return the process that has *pid* now, None if there is none."""
    fields = _stat(pid)
    return None if fields is None else Process(pid=pid, start=int(fields[19]))


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat from the third (state) on; see proc(5)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()
