"""One outgoing vMotion: connect, pre-copy, switchover, every byte accounted for by the target."""

from __future__ import annotations

import os
import select
import threading
import time
from collections import Counter
from typing import Any, Literal

from lrvmotion.lab.hostd.precopy import Precopy
from lrvmotion.lab.hostd.stream import Pair, Settings, Stream, StreamError
from lrvmotion.lab.hostd.work import Work, pages

Phase = Literal["connect", "precopy", "switchover", "done", "failed", "cancelled"]

_TICK_S = 0.05
_RATE_FLOOR = 1.0  # bytes/s: a rate to divide by while nothing has arrived


class Migration:
    """Runs in threads of its own from construction on; `progress` and `cancel` may be called from any thread."""

    def __init__(self, *, pairs: list[Pair], settings: Settings, precopy: Precopy) -> None:
        """Start moving: one stream for each of *pairs*."""
        self.phase: Phase = "connect"
        self._precopy = precopy
        self._work = Work(len(pairs))
        self._pages = pages()
        self._streams = [Stream(number, pair, settings, self._pages) for number, pair in enumerate(pairs)]
        self._lock = threading.Lock()
        self._cancelled = False
        self._total = 0
        self._streams_peak = 0
        self._started = time.monotonic()
        self._ended: float | None = None
        self._stun_from: float | None = None
        self._stun_s: float | None = None
        self._round_from = self._started
        self._round_arrived = 0
        self._failure: StreamError | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def progress(self) -> dict[str, Any]:
        """Return the counters that the contract names; times are this process's monotonic clock, seconds."""
        pairs = Counter((stream.source_address, stream.pair.target) for stream in self._streams)
        arrived = self._arrived()
        return {
            "phase": self.phase,
            "round": self._precopy.round,
            "bytes_total": self._total or self._precopy.first(),
            "bytes_sent": sum(stream.sent for stream in self._streams),
            "bytes_arrived": arrived,
            "remaining_bytes": (self._total or self._precopy.first()) - arrived,
            "streams_open": self._open(),
            "streams_peak": self._streams_peak,
            "pairs": [[source, target, count] for (source, target), count in pairs.items()],
            "started_s": self._started,
            "ended_s": self._ended,
            "stun_s": self._stun_s,
            "error": None if self._failure is None else str(self._failure),
            "reason": None if self._failure is None else self._failure.reason,
        }

    def open(self) -> list[tuple[Pair, int]]:
        """Return the pair and the local port of each stream that is open."""
        return [(stream.pair, stream.local_port) for stream in self._streams if stream.state == "open"]

    def cancel(self) -> bool:
        """Ask the move to stop; False when it is past that: in switchover or ended."""
        with self._lock:
            if self.phase not in ("connect", "precopy"):
                return False
            self._cancelled = True
            return True

    def join(self, timeout: float | None = None) -> None:
        """Wait until every thread of the move has ended."""
        self._thread.join(timeout)

    @property
    def ended(self) -> bool:
        """Whether the move is over, for better or worse."""
        return self.phase in ("done", "failed", "cancelled")

    def _run(self) -> None:
        threads = [threading.Thread(target=stream.run, args=(self._work,), daemon=True) for stream in self._streams]
        for thread in threads:
            thread.start()
        outcome: Phase = "failed"
        try:
            outcome = self._carry()
        except StreamError as failure:
            self._failure = failure
        finally:
            for stream in self._streams:
                stream.stop()
            for thread in threads:
                thread.join()
            if self._stun_from is not None:
                self._stun_s = time.monotonic() - self._stun_from
            for stream in self._streams:
                stream.close()
            os.close(self._pages)
            self._ended = time.monotonic()
            self.phase = outcome

    def _carry(self) -> Phase:
        with select.epoll() as epoll:
            if not self._await_streams(epoll):
                return "cancelled"
            self._enter("precopy")
            self._begin_round(self._precopy.first())
            while self.phase == "precopy":
                if self._cancelled:
                    return "cancelled"
                self._poll(epoll)
                if not self._work.left and not self._next_round():
                    return "cancelled"
            while any(stream.state != "ended" for stream in self._streams):
                self._poll(epoll)
            return "done"

    def _await_streams(self, epoll: select.epoll) -> bool:
        while not self._cancelled:
            self._check()
            if all(stream.state == "open" for stream in self._streams):
                for stream in self._streams:
                    epoll.register(stream.fileno(), select.EPOLLIN)
                return True
            time.sleep(_TICK_S / 10)
        return False

    def _poll(self, epoll: select.epoll) -> None:
        by_descriptor = {stream.fileno(): stream for stream in self._streams}
        for descriptor, _ in epoll.poll(_TICK_S):
            stream = by_descriptor[descriptor]
            stream.read_counts()
            if stream.state != "open":
                epoll.unregister(descriptor)
        self._check()
        # Counts come about ten times a second for each stream; more wake-ups would only cost time.
        if self.phase == "precopy":
            time.sleep(_TICK_S / 5)

    def _check(self) -> None:
        now = time.monotonic()
        self._streams_peak = max(self._streams_peak, self._open())
        for stream in self._streams:
            stream.check(now)
            if stream.failure is not None:
                raise stream.failure

    def _next_round(self) -> bool:
        """Decide once a round has been handed over; False when the move was cancelled in the last moment."""
        now = time.monotonic()
        arrived = self._arrived()
        elapsed = now - self._round_from
        rate = max(_RATE_FLOOR, (arrived - self._round_arrived) / max(elapsed, 1e-3))
        outstanding = self._total - arrived
        step = self._precopy.step(elapsed_s=elapsed, rate=rate, outstanding=outstanding)
        if step == "round":
            self._begin_round(self._precopy.dirty(elapsed))
        elif step == "switchover":
            if not self._enter("switchover"):
                return False
            self._stun_from = time.monotonic()
            rest = self._precopy.dirty(self._stun_from - self._round_from)
            self._total += rest
            self._work.add(rest, last=True)
        return True

    def _begin_round(self, size: int) -> None:
        self._round_from = time.monotonic()
        self._round_arrived = self._arrived()
        self._total += size
        self._work.add(size)

    def _enter(self, phase: Phase) -> bool:
        with self._lock:
            if self._cancelled:
                return False
            self.phase = phase
            return True

    def _arrived(self) -> int:
        return sum(stream.arrived for stream in self._streams)

    def _open(self) -> int:
        return sum(stream.state == "open" for stream in self._streams)
