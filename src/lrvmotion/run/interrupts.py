"""Ctrl-C, SIGTERM and SIGHUP: each ends a command in good order; while VMs move and hosts change they are counted."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ALWAYS = 1 << 30


class Interrupted(KeyboardInterrupt):
    """An interrupt, raised.

    A class of its own: where KeyboardInterrupt itself passes an exec(), as dataclasses call it while a module is
    imported, CPython ends the process by SIGINT whatever its exit status was to be.
    """


class Interrupts:
    """What was pressed or sent so far. Outside of *counted* an interrupt raises KeyboardInterrupt where we are.

    A hangup counts as one Ctrl-C, and not beside another one: a terminal that closes, or a service manager that stops
    us, sends several signals for one wish. Where it was ignored when we were started (nohup), it stays ignored.
    """

    def __init__(self) -> None:
        self._seen = 0
        self._raises_at = 0
        self._numbers: list[signal.Signals] = []

    def take(self) -> None:
        """Take the signals from now on; a thread other than the main one cannot."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._taken)
                self._numbers.append(number)

    def over(self) -> None:
        """Let no further one change the exit status: it is decided, and the process ends."""
        for number in self._numbers:
            signal.signal(number, signal.SIG_IGN)

    @contextmanager
    def counted(self, patience: int = _ALWAYS) -> Iterator[None]:
        """Count while this is entered; more than *patience* further interrupts raise all the same."""
        before, self._raises_at = self._raises_at, self._seen + patience
        try:
            yield
        finally:
            self._raises_at = before

    @contextmanager
    def raising(self) -> Iterator[None]:
        """Raise while this is entered, at once where there were interrupts before: they were counted until here."""
        before, self._raises_at = self._raises_at, 0
        try:
            if self._seen:
                raise Interrupted
            yield
        finally:
            self._raises_at = before

    def count(self) -> int:
        """Return how many there were."""
        return self._seen

    def _taken(self, number: int, frame: FrameType | None) -> None:
        del frame
        if number == signal.SIGHUP and self._seen:
            return
        self._seen += 1
        if self._seen > self._raises_at:
            raise Interrupted
