"""One TCP stream of a move, and the thread that feeds it."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from dataclasses import dataclass
from typing import Literal

from lrvmotion.lab.hostd import protocol, sockets
from lrvmotion.lab.hostd.work import CHUNK_MAX, PAGES_BYTES, Work

TCP_CLOSE = 7  # linux/tcp_states.h: after a reset; after a FIN of the other side it is CLOSE_WAIT
State = Literal["connecting", "open", "ended", "failed"]
Reason = Literal["connect", "timeout", "reset", "congestion-control", "short"]

_POLL_S = 0.25  # how soon a blocked thread notices that the move was cancelled


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """From where to where a stream goes; *device* None: not bound; *mark* chooses the netstack of unbound traffic."""

    source: str
    target: str
    device: str | None
    bind: str | None
    mark: int
    endpoint: tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the host's options and netstack say about every stream; *line_rate* in bytes/s, *timeout_s* NetTimeout."""

    migration: str
    congestion_control: str
    line_rate: int
    timeout_s: float


class StreamError(Exception):
    """The stream, and so the move, has failed."""

    def __init__(self, *, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason


class Stream:
    """A connection to the target; `run` is its thread, the counters may be read by others at any time."""

    def __init__(self, number: int, pair: Pair, settings: Settings, pages: int) -> None:
        self.number = number
        self.pair = pair
        self.state: State = "connecting"
        self.failure: StreamError | None = None
        self.handed = 0  # taken from the work
        self.sent = 0  # accepted by the kernel
        self.arrived = 0  # counted by the target
        self.progress_s = time.monotonic()  # when a byte last arrived, or when there was first one to send
        self.source_address = pair.source
        self._settings = settings
        self._pages = pages
        self._stop = threading.Event()
        self._socket: socket.socket | None = None
        self._counts = protocol.Counts()

    def run(self, work: Work) -> None:
        """Connect, wait until the target has accepted, send until the work is done. Never raises."""
        try:
            connection = self._connect()
            self.state = "open"
            self._send(connection, work)
        except StreamError as failure:
            self._fail(failure)
        except TimeoutError as error:
            self._fail(StreamError(reason="connect", message=f"{self}: {error}"))
        except OSError as error:
            reason: Reason = "connect" if self.state == "connecting" else "reset"
            self._fail(StreamError(reason=reason, message=f"{self}: {error.strerror or error}"))

    def stop(self) -> None:
        """Let `run` return within a quarter of a second."""
        self._stop.set()

    def close(self) -> None:
        """Close the connection, with a reset unless it ended whole; only once `run` has returned."""
        if self._socket is None:
            return
        if self.state == "ended":
            self._socket.close()
        else:
            sockets.reset(self._socket)

    def fileno(self) -> int:
        """Return the connection's descriptor, -1 before it is connected."""
        return -1 if self._socket is None else self._socket.fileno()

    @property
    def local_port(self) -> int:
        """The port that the connection comes from, 0 before it is connected."""
        return 0 if self._socket is None else int(self._socket.getsockname()[1])

    def read_counts(self) -> None:
        """Take what the target reports, without blocking; ends or fails the stream at its last word."""
        if self._socket is None or self.state != "open":
            return
        try:
            data = self._socket.recv(65536, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(StreamError(reason="reset", message=f"{self}: {error.strerror or error}"))
            return
        count = self._counts.feed(data)
        if count is not None and count > self.arrived:
            self.arrived = count
            self.progress_s = time.monotonic()
        if data:
            return
        if self._finished and self.arrived == self.handed:
            self.state = "ended"
        elif not self._finished and self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == TCP_CLOSE:
            # A reset is an error once only: where the sending thread has it, this one sees an end of file. Once
            # nothing is sent any longer it cannot have it, and the state is that after both ends' FIN.
            self._fail(StreamError(reason="reset", message=f"{self}: reset by the target"))
        else:
            text = f"{self}: ended by the target after {self.arrived} of {self.handed} bytes"
            self._fail(StreamError(reason="short", message=text))

    def check(self, now: float) -> None:
        """Fail the stream if it had something to carry and nothing arrived for the time-out."""
        idle = self.handed == self.arrived and not self._finished
        if self.state == "open" and not idle and now - self.progress_s > self._settings.timeout_s:
            text = f"{self}: no progress for {self._settings.timeout_s:g} s"
            self._fail(StreamError(reason="timeout", message=text))

    def __str__(self) -> str:
        return f"stream {self.number} {self.source_address} -> {self.pair.target}"

    _finished = False

    def _connect(self) -> socket.socket:
        pair, settings = self.pair, self._settings
        self._socket = connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        connection.settimeout(settings.timeout_s)
        try:
            sockets.set_congestion_control(connection, settings.congestion_control)
        except OSError as error:
            reason: Reason = "congestion-control"
            raise StreamError(reason=reason, message=f"{self}: {error}") from error
        if pair.mark:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, pair.mark)
        if pair.device is not None:
            name = pair.device.encode()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name)
        if pair.bind is not None:
            connection.bind((pair.bind, 0))
        connection.connect(pair.endpoint)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        size = sockets.buffer_bytes(settings.line_rate, sockets.rtt(connection))
        sockets.set_send_buffer(connection, size)
        connection.sendall(protocol.header(settings.migration, self.number))
        first = b""
        while len(first) < protocol.COUNT.size:
            data = connection.recv(protocol.COUNT.size - len(first))
            if not data:
                text = f"{self}: closed by the target before it was accepted"
                raise StreamError(reason="connect", message=text)
            first += data
        # Blocking again, with a time-out of the kernel's: sendfile then sleeps there, not here.
        connection.settimeout(None)
        sockets.set_timeouts(connection, _POLL_S)
        return connection

    def _send(self, connection: socket.socket, work: Work) -> None:
        offset = self.number * CHUNK_MAX % PAGES_BYTES
        while not self._stop.is_set():
            size = work.take(_POLL_S)
            if size is None:
                continue
            if size == 0:
                self.progress_s = time.monotonic()
                self._finished = True
                connection.shutdown(socket.SHUT_WR)
                return
            if self.handed == self.arrived:
                self.progress_s = time.monotonic()
            self.handed += size
            offset = 0 if offset + size > PAGES_BYTES else offset
            while size and not self._stop.is_set() and self.state == "open":
                with contextlib.suppress(BlockingIOError):  # the quarter of a second is over
                    count = os.sendfile(connection.fileno(), self._pages, offset, size)
                    self.sent += count
                    offset += count
                    size -= count

    def _fail(self, failure: StreamError) -> None:
        if self.failure is None:
            self.failure = failure
        self.state = "failed"
