"""The load: the source sends from a memfd, the target counts and throws away; each a process in its namespace."""

from __future__ import annotations

import argparse
import json
import os
import socket
import threading
import time
from pathlib import Path

CHUNK = 16 * 1024 * 1024
TICKS = os.sysconf("SC_CLK_TCK")


def stat_session(text: str) -> int:
    """Return the session's id from /proc/PID/stat."""
    return int(text.rpartition(")")[2].split()[3])


def stat_ticks(text: str) -> int:
    """Return user + system time in ticks from /proc/PID/stat, with that of children waited for."""
    fields = text.rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15])


def session_cpu_s(session: int) -> float:
    """Return the CPU seconds of every process of a session, children and threads included."""
    total = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text()
        except OSError:
            continue  # ended meanwhile
        if stat_session(text) == session:
            total += stat_ticks(text)
    return total / TICKS


def receive(address: str, port: int, streams: int, settle_s: float, window_s: float, session: int | None) -> None:
    """Accept *streams*, count over the window, print one JSON line: seconds, bytes, cpu_s of the relay's *session*."""
    counts = [0] * streams
    first = threading.Event()

    def count(index: int, connection: socket.socket) -> None:
        scratch = bytearray(4 * 1024 * 1024)
        while size := connection.recv_into(scratch, len(scratch), socket.MSG_TRUNC):
            counts[index] += size
            if not first.is_set():
                first.set()

    def accept(listener: socket.socket) -> None:
        for index in range(streams):
            connection, _ = listener.accept()
            threading.Thread(target=count, args=(index, connection), daemon=True).start()

    with socket.create_server((address, port), backlog=600) as listener:
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        if not first.wait(15):
            print(json.dumps({"error": "nothing arrived within 15 s"}), flush=True)
            return
        time.sleep(settle_s)
        cpu = session_cpu_s(session) if session else 0.0
        begun, before = time.monotonic(), sum(counts)
        each_before = list(counts)
        time.sleep(window_s)
        spent = (session_cpu_s(session) if session else 0.0) - cpu
        seconds, size = time.monotonic() - begun, sum(counts) - before
        still = sum(now == then for now, then in zip(counts, each_before, strict=True))
        print(json.dumps({"seconds": seconds, "bytes": size, "cpu_s": spent, "silent": still}), flush=True)
    # The threads still read; the process ends with them, and the source with the reset.
    os._exit(0)


def send(address: str, port: int, streams: int) -> None:
    """Open *streams* cubic connections and fill them until they break."""
    memory = os.memfd_create("load")
    for _ in range(16):
        os.write(memory, os.urandom(CHUNK // 16))

    def fill(connection: socket.socket) -> None:
        try:
            while True:
                os.sendfile(connection.fileno(), memory, 0, CHUNK)
        except OSError:
            connection.close()

    threads = []
    for _ in range(streams):
        connection = socket.socket()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
        connection.connect((address, port))
        threads.append(threading.Thread(target=fill, args=(connection,), daemon=True))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("send", "receive"))
    parser.add_argument("--address", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--streams", type=int, required=True)
    parser.add_argument("--settle", type=float, default=3, help="seconds from the first byte to the window")
    parser.add_argument("--window", type=float, default=20, help="seconds that are counted")
    parser.add_argument("--session", type=int, help="session of the relay, whose CPU time is read")
    given = parser.parse_args()
    if given.what == "send":
        send(given.address, given.port, given.streams)
    else:
        receive(given.address, given.port, given.streams, given.settle, given.window, given.session)


if __name__ == "__main__":
    main()
