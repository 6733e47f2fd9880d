"""Load the circuit with TCP streams and measure what it carries: given to a box's Python on standard input.

    python3 - receive JSON     listen, count what arrives in the window, print one JSON line
    python3 - send JSON        open the streams, fill them, print one JSON line

Standard library, and relayd.py, which is given along with it (`circuit.script`); Python 3.9 or newer, Linux. Nothing is
written on the box and no kernel module is loaded. Both ends give up by themselves: after a time, and once nobody reads
their standard output (the SSH channel is closed).
JSON: address, port (of the receiver), token, streams, algorithm (TCP_CONGESTION), settle_s, window_s, peer (the only
address that the receiver takes connections from). One stream is one connection that begins with the token.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import struct
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, List, Optional, Tuple

from lrvmotion.relay import relayd
from lrvmotion.relay.relayd import MIB, tcp_info

CHUNK = 4 * MIB
ALL_BUFFERS = 512 * MIB  # for all streams of an end together; of memory that is used only where it is needed
SO_SNDBUFFORCE = 32
# Of the box's TCP memory (tcp_mem), beside what is in flight: enough for few fast streams, little for many slow ones.
UNSENT_ALL, UNSENT_LEAST = 16 * MIB, MIB
CONNECT_S = 15.0  # until the receiver listens and all streams stand
SAMPLE_S = 0.1
# At least so many round trips pass before anything is counted. Out of slow start a newreno stream comes some ten times
# too wide for its loss, and each halving needs a loss: 10 RTTs up, and then about 30 until the window is its own.
SETTLE_RTTS = 40
LONGEST_SETTLE_S = 15.0
LONGEST_S = 40.0  # beside settling time and window: then an end is over whatever happens


def buffers(connection: socket.socket, forced: int, streams: int) -> None:
    """Give *connection* a buffer that a long circuit needs, past the box's limits.

    Where that is not allowed the kernel's autotuning is left alone: what it reaches is more than SO_RCVBUF may.
    """
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, forced, min(32 * MIB, ALL_BUFFERS // streams))


def new_socket(address: str) -> socket.socket:
    """Return a TCP socket of the family of *address*."""
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    # What is not sent at the end is dropped with a reset, instead of being carried on when nobody measures any longer.
    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return made


# --- the far end ------------------------------------------------------------------------------------------------


def receive(asked: Dict[str, Any]) -> Dict[str, Any]:
    """Count each stream's bytes over the window, which begins *settle_s* or 40 RTTs after the first byte."""
    streams = asked["streams"]
    token = asked["token"].encode()
    counts = [0] * streams
    first = threading.Event()
    with new_socket(asked["address"]) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        buffers(listener, relayd.SO_RCVBUFFORCE, streams)
        listener.bind((asked["address"], asked["port"]))
        listener.listen(2 * streams + 8)
        listener.settimeout(1)
        taken = accept(listener, asked["peer"], token, streams)
        settling = settling_s(taken, asked["settle_s"])
        for index, connection in enumerate(taken):
            threading.Thread(target=count, args=(connection, counts, index, first), daemon=True).start()
        if not first.wait(CONNECT_S):
            message = "no stream sent anything"
            raise RuntimeError(message)
        time.sleep(settling)
        begun, before = time.monotonic(), list(counts)
        time.sleep(asked["window_s"])
        seconds, after = time.monotonic() - begun, list(counts)
    return {"seconds": seconds, "bytes": [now - then for now, then in zip(after, before)]}


def accept(listener: socket.socket, peer: str, token: bytes, streams: int) -> List[socket.socket]:
    """Return *streams* connections from *peer* that began with *token*; whoever else comes is sent away."""
    taken: List[socket.socket] = []
    end = time.monotonic() + CONNECT_S + 5
    while len(taken) < streams:
        if time.monotonic() > end:
            message = "{} of {} streams came from {}".format(len(taken), streams, peer)
            raise RuntimeError(message)
        try:
            connection, (came_from, *_) = listener.accept()
        except (socket.timeout, TimeoutError):
            continue
        if came_from == peer and shows(connection, token):
            taken.append(connection)
        else:
            connection.close()
    return taken


def shows(connection: socket.socket, token: bytes) -> bool:
    """Whether what the other end sends begins with the token."""
    connection.settimeout(5)
    try:
        shown = b""
        while len(shown) < len(token):  # MSG_WAITALL does not wait where there is a time-out
            piece = connection.recv(len(token) - len(shown))
            if not piece:
                return False
            shown += piece
        connection.settimeout(None)
    except OSError:
        return False
    return shown == token


def count(connection: socket.socket, counts: List[int], index: int, first: threading.Event) -> None:
    """Count what comes and throw it away in the kernel."""
    scratch = bytearray(MIB)
    with contextlib.suppress(OSError):
        while True:
            size = connection.recv_into(scratch, len(scratch), socket.MSG_TRUNC)
            if not size:
                return
            counts[index] += size
            first.set()


# --- the near end -----------------------------------------------------------------------------------------------


def send(asked: Dict[str, Any]) -> Dict[str, Any]:
    """Fill the streams for the settling time and the window; return what TCP_INFO said over the window."""
    check_algorithm(asked["algorithm"])
    with ThreadPoolExecutor(16) as pool:  # one after the other they would take a round trip each
        connections = list(pool.map(connect, [asked] * asked["streams"]))
    began = time.monotonic()
    memory = os.memfd_create("load")
    os.write(memory, os.urandom(CHUNK))  # zeros would be compressed by a WAN optimizer
    for connection in connections:
        threading.Thread(target=fill, args=(connection, memory), daemon=True).start()
    half_rtt_s = max(info.get("rtt_us", 0) for info in map(tcp_info, connections)) / 2e6
    opens = began + half_rtt_s + settling_s(connections, asked["settle_s"])
    settle(connections, opens, is_bbr=asked["algorithm"] == "bbr")
    before = [tcp_info(connection) for connection in connections]
    rtts: List[float] = []
    last: List[Dict[str, int]] = before
    closes = opens + asked["window_s"]
    while time.monotonic() < closes:
        time.sleep(min(SAMPLE_S, max(closes - time.monotonic(), 0)))
        now = [tcp_info(connection) for connection in connections]
        if not all(now):
            break  # the receiver has ended
        last = now
        rtts += [info["rtt_us"] / 1000 for info in now if info.get("rtt_us")]
    sent = difference(before, last, "bytes_sent")
    again = difference(before, last, "bytes_retrans")
    limited = difference(before, last, "rwnd_limited_us")
    return {
        "mss": min(info.get("snd_mss", 0) for info in last),
        "rtt_ms": sum(rtts) / len(rtts) if rtts else None,
        "min_rtt_ms": min((info["min_rtt_us"] / 1000 for info in last if info.get("min_rtt_us")), default=None),
        "retransmit_ratio": None if sent is None or again is None else again / max(sent, 1),
        "window_limited": None if limited is None else limited / 1e6 / asked["window_s"] / len(connections),
    }


def settling_s(connections: List[socket.socket], least_s: float) -> float:
    """Return for how long the streams settle: by the RTT of their handshakes, which both ends measured."""
    measured = [info["rtt_us"] / 1e6 for info in map(tcp_info, connections) if info.get("rtt_us")]
    return max(least_s, min(SETTLE_RTTS * min(measured, default=0.0), LONGEST_SETTLE_S))


def settle(connections: List[socket.socket], until: float, *, is_bbr: bool) -> None:
    """Wait; meanwhile do with BBR what the relay does."""
    streams = [Starting(connection) for connection in connections]
    while time.monotonic() < until:
        time.sleep(min(relayd.TICK_S, max(until - time.monotonic(), 0)))
        for stream in streams if is_bbr else ():
            stream.look(time.monotonic())


class Starting:
    """A BBR stream in its first seconds."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.seen = (time.monotonic(), tcp_info(connection))
        self.startup = relayd.Startup(self.seen[0])

    def look(self, now: float) -> None:
        """Sample it, and begin another BBR STARTUP where that is due."""
        (then, before), info = self.seen, tcp_info(self.connection)
        self.seen = (now, info)
        seconds = max(now - then, 1e-6)
        rate = (info.get("bytes_acked", 0) - before.get("bytes_acked", 0)) / seconds
        verdict, _ = relayd.judge(before, info, seconds, rate, None)
        if self.startup.ended_early(info, verdict, relayd.bbr_gain(self.connection), rate, now):
            relayd.restart_bbr(self.connection)


def difference(before: List[Dict[str, int]], after: List[Dict[str, int]], name: str) -> Optional[int]:
    """Return by how much the field *name* grew over all streams; None where this kernel does not count it."""
    if not all(name in info for info in before + after):
        return None
    return sum(now[name] - then[name] for now, then in zip(after, before))


def connect(asked: Dict[str, Any]) -> socket.socket:
    """Return a connection to the receiver with the congestion control that is asked for; wait until it listens."""
    goal: Tuple[str, int] = (asked["address"], asked["port"])
    unsent = max(UNSENT_LEAST, UNSENT_ALL // asked["streams"])
    end = time.monotonic() + CONNECT_S
    while True:
        connection = new_socket(goal[0])
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, asked["algorithm"].encode())
            buffers(connection, SO_SNDBUFFORCE, asked["streams"])
            connection.setsockopt(socket.IPPROTO_TCP, relayd.TCP_NOTSENT_LOWAT, unsent)
            connection.bind((asked["peer"], 0))
            connection.settimeout(5)
            connection.connect(goal)
            connection.settimeout(None)
            connection.sendall(asked["token"].encode())
        except ConnectionRefusedError:
            connection.close()
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        except BaseException:
            connection.close()
            raise
        else:
            return connection


def check_algorithm(name: str) -> None:
    """Raise RuntimeError where the kernel has not got *name* yet: to ask for it as root would load its module."""
    with open("/proc/sys/net/ipv4/tcp_available_congestion_control", encoding="ascii") as file:  # noqa: PTH123
        if name not in file.read().split():
            message = "the kernel has no {0} ('modprobe tcp_{0}' on the relay host loads it)".format(name)
            raise RuntimeError(message)


def fill(connection: socket.socket, memory: int) -> None:
    """Send until the receiver ends."""
    with contextlib.suppress(OSError):
        while True:
            os.sendfile(connection.fileno(), memory, 0, CHUNK)


def end_without_reader() -> None:
    """End the process once nobody reads its standard output."""
    poll = select.poll()
    poll.register(1, 0)  # errors and hang-ups are told without being asked for
    while not poll.poll():
        pass
    os._exit(1)


def main(words: List[str]) -> int:
    """Do what the command line says; print the result, or {"error": why}."""
    asked: Dict[str, Any] = json.loads(words[1])
    signal.alarm(int(asked["settle_s"] + asked["window_s"] + LONGEST_S))
    threading.Thread(target=end_without_reader, daemon=True).start()
    try:
        found = {"receive": receive, "send": send}[words[0]](asked)
    except (OSError, RuntimeError) as error:
        found = {"error": getattr(error, "strerror", None) or str(error)}
    print(json.dumps(found), flush=True)
    os._exit(0)  # threads that still send or receive end with us


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
