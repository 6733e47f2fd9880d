"""Many connections at once, each hashed: the source sends and half-closes, the target answers with what it hashed."""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import resource
import socket
import threading

SERVED = threading.Semaphore(32)  # so many are read at once: the rest waits in the relay, as it would


def answer(address: str, port: int, connections: int) -> None:
    """Hash what each connection brings to its end, answer with the digest."""
    threading.stack_size(256 * 1024)

    def serve(connection: socket.socket) -> None:
        with connection, SERVED:
            digest = hashlib.sha256()
            while data := connection.recv(65536):
                digest.update(data)
            connection.sendall(digest.digest())

    with socket.create_server((address, port), backlog=2 * connections) as listener:
        threads = []
        for _ in range(connections):
            connection, _ = listener.accept()
            threads.append(threading.Thread(target=serve, args=(connection,)))
        for thread in threads:  # only now: nobody ends before all are open
            thread.start()
        for thread in threads:
            thread.join()


def ask(address: str, port: int, connections: int, size: int) -> None:
    """Open all; send *size* bytes on each at once, half-close, compare digests; print how many agreed."""
    threading.stack_size(256 * 1024)
    opened = [socket.create_connection((address, port), timeout=60) for _ in range(connections)]
    whole: list[int] = []

    def send(index: int, connection: socket.socket) -> None:
        data = random.Random(index).randbytes(size)  # noqa: S311 - repeatable
        with connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            found = b""
            while more := connection.recv(64):
                found += more
        if found == hashlib.sha256(data).digest():
            whole.append(index)

    threads = [threading.Thread(target=send, args=pair) for pair in enumerate(opened)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"whole": len(whole)}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("answer", "ask"))
    parser.add_argument("--address", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--size", type=int, default=256 * 1024, help="bytes on each")
    given = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if given.what == "answer":
        answer(given.address, given.port, given.connections)
    else:
        ask(given.address, given.port, given.connections, given.size)


if __name__ == "__main__":
    main()
