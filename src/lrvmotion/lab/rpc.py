"""JSON lines over a Unix socket: how the lab's processes talk to each other.

A request is `{"op": NAME, ...arguments}`, an answer `{"ok": RESULT}` or `{"error": MESSAGE, "kind": KIND}`, one a line.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

Json = Any  # whatever JSON can hold
Kind = Literal["invalid", "exists", "missing", "unsupported", "failed"]
Handler = Callable[[str, dict[str, Json]], Any]

_PATH_MAX = 100  # sun_path holds 108 bytes, the terminating zero included
_IDLE_POLL_S = 0.5


class RpcError(Exception):
    """A request was refused or failed; *kind* is one of `Kind`."""

    def __init__(self, *, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind: Kind = kind
        self.message = message


class Client:
    """One connection to a server; not for use by several threads at once."""

    def __init__(self, path: Path, *, timeout: float | None = 60.0) -> None:
        """Connect to the socket at *path*; *timeout* in seconds holds for each call. Raises OSError."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(timeout)
            with _short(path) as name:
                self._socket.connect(name)
            self._file = self._socket.makefile("rb")
        except BaseException:
            self._socket.close()
            raise

    def call(self, op: str, **arguments: Json) -> Json:
        """Send one request and return its result. Raises RpcError, OSError."""
        self._socket.sendall(json.dumps({"op": op, **arguments}).encode() + b"\n")
        line = self._file.readline()
        if not line:
            message = "the process closed the connection without an answer"
            raise ConnectionResetError(message)
        answer = json.loads(line)
        if "error" in answer:
            raise RpcError(kind=answer.get("kind", "failed"), message=answer["error"])
        return answer["ok"]

    def close(self) -> None:
        """Close the connection."""
        self._file.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def call(path: Path, op: str, *, timeout: float | None = 60.0, **arguments: Json) -> Json:
    """Connect, send one request, return its result. Raises RpcError, OSError."""
    with Client(path, timeout=timeout) as client:
        return client.call(op, **arguments)


def wait(path: Path, *, timeout: float, alive: Callable[[], bool]) -> bool:
    """Wait up to *timeout* seconds until somebody answers at *path*; give up when *alive* says no."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline and alive():
        try:
            Client(path, timeout=1.0).close()
        except OSError:
            time.sleep(0.02)
        else:
            return True
    return False


class Server:
    """Answers requests at *path*: a thread for each connection, its requests in order."""

    def __init__(self, path: Path, handler: Handler) -> None:
        """Listen at *path*, whose older socket is replaced. Raises OSError."""
        self._handler = handler
        self._path = path
        self._stop = threading.Event()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        path.unlink(missing_ok=True)
        with _short(path) as name:
            self._socket.bind(name)
        self._socket.listen(64)
        self._socket.settimeout(_IDLE_POLL_S)

    def run(self) -> None:
        """Serve until `stop` is called or the socket is removed."""
        while not self._stop.is_set():
            try:
                connection, _ = self._socket.accept()
            except TimeoutError:
                if not self._path.exists():  # the lab's folder was removed: nobody can reach us any longer
                    break
                continue
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()
        self._socket.close()
        self._path.unlink(missing_ok=True)

    def stop(self) -> None:
        """Let `run` return within half a second; safe in a signal handler."""
        self._stop.set()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rwb") as stream, contextlib.suppress(OSError):
            for line in stream:
                stream.write(json.dumps(self._answer(line)).encode() + b"\n")
                stream.flush()

    def _answer(self, line: bytes) -> Mapping[str, Any]:
        try:
            request = json.loads(line)
            op = request.pop("op")
        except (ValueError, KeyError, AttributeError, TypeError):
            return {"error": "not a request: a JSON object with op is expected", "kind": "invalid"}
        try:
            return {"ok": self._handler(op, request)}
        except RpcError as error:
            return {"error": error.message, "kind": error.kind}
        except (KeyError, TypeError, ValueError) as error:
            return {"error": f"{op}: {type(error).__name__}: {error}", "kind": "invalid"}
        except OSError as error:
            return {"error": f"{op}: {error}", "kind": "failed"}


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """Yield a name for *path* that fits sun_path, by way of a descriptor of its folder if needed."""
    if len(os.fsencode(path)) <= _PATH_MAX:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
