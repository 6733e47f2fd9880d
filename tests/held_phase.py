"""A phase of a run that goes on until the test says so, and the run's streams: read, left, or on a full disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

HELD = {  # the call of each phase that the lab does not answer until it is told to
    "planning": {"method": "CheckRelocate_Task"},
    "applying": {"method": "UpdateOptions"},
    "moving": {"method": "RelocateVM_Task", "in_task": True},
    "restoring": {"method": "UpdateOptions"},
}
DEADLINE_S = 180.0  # for one step of a busy machine
# lrvmotion in a process whose disk gets full at SIGUSR1: from then on the kernel itself says ENOSPC.
FILLED = """
import os, pathlib, signal, sys
mark = pathlib.Path(sys.argv.pop(1))
def fill(*_):
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, 1)
    os.dup2(full, 2)
    mark.touch()
signal.signal(signal.SIGUSR1, fill)
from lrvmotion.__main__ import main
main()
"""


def until(true: Callable[[], object], what: str) -> None:
    """Return once *true*; a machine that is busy may take its time."""
    deadline = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < deadline, f"not within {DEADLINE_S:.0f} s: {what}"
        time.sleep(0.05)


def delayed(lab, method: str) -> int:
    return lab.control("source", "calls")["delayed"].get(method, 0)


def hold(lab, phase: str) -> None:
    lab.control("source", "fault_add", rule={**HELD[phase], "delay_s": 600.0, "count": 1})


def go_on(lab) -> None:
    lab.control("source", "fault_clear")


@dataclass
class Run:
    """A command whose streams are read as they come, until the test closes them."""

    process: subprocess.Popen
    out: list[bytes] = field(default_factory=list)
    err: list[bytes] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)
    left: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        for stream, kept in ((self.process.stdout, self.out), (self.process.stderr, self.err)):
            self.threads.append(threading.Thread(target=self._read, args=(stream, kept), daemon=True))
            self.threads[-1].start()

    def _read(self, stream, kept: list[bytes]) -> None:
        """Read *stream* to its end, or until the reader leaves: its end of the pipe is closed then."""
        os.set_blocking(stream.fileno(), False)
        while not self.left.is_set():
            piece = stream.read()
            if piece == b"":
                break
            if piece is None:
                time.sleep(0.02)
            else:
                kept.append(piece)
        stream.close()

    def leave(self) -> None:
        """Close both pipes, and return once they are."""
        self.left.set()
        for thread in self.threads:
            thread.join(DEADLINE_S)

    def end(self) -> int:
        """Return the exit status."""
        status = self.process.wait(DEADLINE_S)
        for thread in self.threads:
            thread.join(DEADLINE_S)
        return status

    @property
    def stdout(self) -> str:
        return b"".join(self.out).decode()

    @property
    def stderr(self) -> str:
        return b"".join(self.err).decode()


def begin(lab, tmp_path, *arguments: str) -> Run:
    """Start lrvmotion as FILLED does."""
    argv = [sys.executable, "-c", FILLED, str(tmp_path / "full"), *lab.argv(*arguments)[3:]]
    return Run(
        subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, cwd=lab.folder)
    )


def strike(run: Run, event: str, tmp_path) -> None:
    """Let *event* happen to *run*, and return once it has."""
    if event == "the reader leaves":
        run.leave()
    elif event == "the disk is full":
        run.process.send_signal(signal.SIGUSR1)
        until((tmp_path / "full").exists, "the process has a full disk")
    else:
        run.process.send_signal(getattr(signal, event))
