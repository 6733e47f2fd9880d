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


def receive(given: argparse.Namespace) -> None:
    """Accept the streams, count over the window, print a JSON line: seconds, bytes, cpu_s of the relay's session.

    With --announce a line `{"begun": s}` at the window's begin; with --sample the bytes at each moment, as
    [monotonic seconds, bytes], in `samples`.
    """
    counts = [0] * given.streams
    first = threading.Event()

    def count(index: int, connection: socket.socket) -> None:
        scratch = bytearray(4 * 1024 * 1024)
        while size := connection.recv_into(scratch, len(scratch), socket.MSG_TRUNC):
            counts[index] += size
            if not first.is_set():
                first.set()

    def accept(listener: socket.socket) -> None:
        for index in range(given.streams):
            connection, _ = listener.accept()
            threading.Thread(target=count, args=(index, connection), daemon=True).start()

    with socket.create_server((given.address, given.port), backlog=600) as listener:
        if given.receive_buffer:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, given.receive_buffer)
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        if not first.wait(15):
            print(json.dumps({"error": "nothing arrived within 15 s"}), flush=True)
            return
        time.sleep(given.settle)
        cpu = session_cpu_s(given.session) if given.session else 0.0
        begun, before = time.monotonic(), sum(counts)
        each_before = list(counts)
        if given.announce:
            print(json.dumps({"begun": begun}), flush=True)
        samples = []
        while given.sample and time.monotonic() < begun + given.window:
            samples.append((time.monotonic(), sum(counts)))
            time.sleep(given.sample)
        time.sleep(max(begun + given.window - time.monotonic(), 0))
        spent = (session_cpu_s(given.session) if given.session else 0.0) - cpu
        seconds, size = time.monotonic() - begun, sum(counts) - before
        still = sum(now == then for now, then in zip(counts, each_before, strict=True))
        found = {"seconds": seconds, "bytes": size, "cpu_s": spent, "silent": still}
        print(json.dumps({**found, "samples": samples} if given.sample else found), flush=True)
    # The threads still read; the process ends with them, and the source with the reset.
    os._exit(0)


def send(address: str, port: int, streams: int, congestion: str) -> None:
    """Open *streams* connections with that congestion control and fill them until they break."""
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
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion.encode())
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
    parser.add_argument("--congestion", default="cubic", help="the source's congestion control")
    parser.add_argument("--receive-buffer", type=int, help="bytes asked for with SO_RCVBUF, in place of autotuning")
    parser.add_argument("--announce", action="store_true", help="say when the window begins")
    parser.add_argument("--sample", type=float, help="seconds between samples of what has arrived")
    given = parser.parse_args()
    if given.what == "send":
        send(given.address, given.port, given.streams, given.congestion)
    else:
        receive(given)


if __name__ == "__main__":
    main()
