"""The target's end of vMotion: listens on the chosen vmknics, counts what arrives, resets what it does not expect."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from dataclasses import dataclass, field

from lrvmotion.lab.hostd import protocol, sockets

_BACKLOG = 512
_TAKE = 4 * 1024 * 1024
_COALESCE_S = 0.001  # bytes gather meanwhile: fewer wake-ups, and far less than any buffer holds
_LISTEN_BUFFER = 64 * 1024 * 1024  # decides the window scale; each connection's own size is set after accept


@dataclass(slots=True, kw_only=True)
class Expectation:
    """A migration that is on its way here; *line_rate* in bytes/s."""

    line_rate: int
    idle_timeout_s: float
    bytes: int = 0
    streams_open: int = 0
    streams_peak: int = 0
    eof: int = 0
    resets: int = 0
    last_s: float = field(default_factory=time.monotonic)


@dataclass(slots=True, kw_only=True, eq=False)
class _Connection:
    socket: socket.socket
    since: float
    head: bytes = b""
    expected: Expectation | None = None
    window: int = 0
    count: int = 0
    reported: int = 0


class Receiver:
    """One thread serves all listeners and streams; the public methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._epoll = select.epoll()
        self._listeners: dict[str, socket.socket] = {}
        self._connections: dict[int, _Connection] = {}
        self._expected: dict[str, Expectation] = {}
        self._buffer = bytearray(_TAKE)  # never touched: MSG_TRUNC drops the bytes in the kernel
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def listen(self, wanted: dict[str, tuple[str | None, str, int]]) -> dict[str, tuple[str, int]]:
        """Listen on exactly these vmknics: name -> (device to bind to, address, port); return where. Raises OSError."""
        with self._lock:
            for name in [name for name in self._listeners if name not in wanted]:
                self._unlisten(name)
            for name, (device, address, port) in wanted.items():
                listener = self._listeners.get(name)
                if listener is not None and listener.getsockname()[0] != address:
                    self._unlisten(name)
                    listener = None
                if listener is None:
                    self._listeners[name] = _listener(device, address, port)
                    self._epoll.register(self._listeners[name].fileno(), select.EPOLLIN)
            return {name: sock.getsockname() for name, sock in self._listeners.items()}

    def unlisten(self, name: str) -> None:
        """Listen no more on the vmknic *name*, if it was listened on; connections stay."""
        with self._lock:
            if name in self._listeners:
                self._unlisten(name)

    def expect(self, migration: str, expectation: Expectation) -> bool:
        """Accept the streams of *migration* from now on; False if it is expected already."""
        with self._lock:
            return self._expected.setdefault(migration, expectation) is expectation

    def expected(self, migration: str) -> Expectation | None:
        """Return what is known of *migration*."""
        return self._expected.get(migration)

    def forget(self, migration: str) -> bool:
        """Drop the record of *migration* and reset its open streams; False where there is none."""
        with self._lock:
            expectation = self._expected.pop(migration, None)
            for connection in list(self._connections.values()):
                if expectation is not None and connection.expected is expectation:
                    self._end(connection, whole=False)
            return expectation is not None

    def close(self) -> None:
        """Close every listener and connection and end the thread."""
        self._stop.set()
        self._thread.join()
        for name in list(self._listeners):
            self._unlisten(name)
        for connection in list(self._connections.values()):
            self._end(connection, whole=False)
        self._epoll.close()

    def _unlisten(self, name: str) -> None:
        listener = self._listeners.pop(name)
        self._epoll.unregister(listener.fileno())
        listener.close()

    def _run(self) -> None:
        report_at = 0.0
        while not self._stop.is_set():
            events = self._epoll.poll(protocol.COUNT_INTERVAL_S)
            now = time.monotonic()
            with self._lock:
                listeners = {sock.fileno(): sock for sock in self._listeners.values()}
                for descriptor, _ in events:
                    if descriptor in listeners:
                        self._accept(listeners[descriptor], now)
                    elif descriptor in self._connections:
                        self._serve(self._connections[descriptor], now)
                if now >= report_at:
                    report_at = now + protocol.COUNT_INTERVAL_S
                    self._report(now)
            if events:
                time.sleep(_COALESCE_S)

    def _accept(self, listener: socket.socket, now: float) -> None:
        try:
            accepted, _ = listener.accept()
        except OSError:
            return  # the peer has gone already
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections[accepted.fileno()] = _Connection(socket=accepted, since=now)
        self._epoll.register(accepted.fileno(), select.EPOLLIN)

    def _serve(self, connection: _Connection, now: float) -> None:
        expected = connection.expected
        try:
            if expected is None:
                self._read_header(connection)
                return
            size = connection.socket.recv_into(self._buffer, _TAKE, socket.MSG_TRUNC)
            if size:
                connection.count += size
                expected.bytes += size
                expected.last_s = now
                return
            self._answer(connection)
            self._end(connection, whole=True)
        except BlockingIOError:
            return
        except (OSError, ValueError, KeyError, TypeError):
            self._end(connection, whole=False)

    def _read_header(self, connection: _Connection) -> None:
        need = protocol.parse_header(connection.head)
        assert isinstance(need, int)  # noqa: S101 - a whole header is taken out below, at once
        data = connection.socket.recv(need - len(connection.head))
        if not data:
            message = "ended within the header"
            raise ValueError(message)
        connection.head += data
        parsed = protocol.parse_header(connection.head)
        if isinstance(parsed, int):
            return
        expected = self._expected.get(parsed[0]["id"])
        if expected is None:
            message = "a migration that nobody announced"
            raise ValueError(message)
        size = sockets.buffer_bytes(expected.line_rate, sockets.rtt(connection.socket))
        sockets.set_receive_buffer(connection.socket, size)
        connection.expected, connection.window = expected, size
        expected.streams_open += 1
        expected.streams_peak = max(expected.streams_peak, expected.streams_open)
        self._answer(connection)

    def _report(self, now: float) -> None:
        for connection in list(self._connections.values()):
            expected = connection.expected
            if expected is None:
                if now - connection.since > 20.0:  # Migrate.NetTimeout's default: no header by then
                    self._end(connection, whole=False)
            elif now - expected.last_s > expected.idle_timeout_s:
                self._end(connection, whole=False)
            elif connection.count != connection.reported:
                with contextlib.suppress(OSError):  # a reset shows up as an event of its own
                    self._answer(connection)
                    sockets.clamp_window(connection.socket, connection.window)

    def _answer(self, connection: _Connection) -> None:
        connection.socket.send(protocol.COUNT.pack(connection.count))
        connection.reported = connection.count

    def _end(self, connection: _Connection, *, whole: bool) -> None:
        descriptor = connection.socket.fileno()
        self._epoll.unregister(descriptor)
        del self._connections[descriptor]
        expected = connection.expected
        if expected is not None:
            expected.streams_open -= 1
            expected.eof += whole
            expected.resets += not whole
        if whole:
            connection.socket.close()
        else:
            sockets.reset(connection.socket)


def _listener(device: str | None, address: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if device is not None:  # answers leave where the question came in, whatever the routes say
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        with contextlib.suppress(PermissionError):
            listener.setsockopt(socket.SOL_SOCKET, sockets.SO_RCVBUFFORCE, _LISTEN_BUFFER)
        listener.bind((address, port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener
