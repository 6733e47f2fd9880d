"""Socket options of the simulated vMotion: congestion control, buffers, bindings, the measured RTT."""

from __future__ import annotations

import contextlib
import socket
import struct

# linux/tcp.h, asm-generic/socket.h; the socket module of Python 3.11 names only some of them
SO_SNDBUFFORCE = 32
SO_RCVBUFFORCE = 33
TCP_INFO_RTT = 68  # offset of tcpi_rtt, microseconds

LATENCY_MODE_RTT_S = 0.004  # ESXi Migrate.NetLatencyModeThreshold, default 4 ms
BUFFER_BYTES = 562_540  # ESXi Migrate.SndBufSize and RcvBufSize, default
BUFFER_MAX = 512 * 1024 * 1024
NOTSENT_BYTES = 128 * 1024

_ALGORITHMS = {"newreno": "reno", "reno": "reno", "cubic": "cubic"}


def set_congestion_control(sock: socket.socket, name: str) -> None:
    """Give *sock* the ESXi algorithm *name* (newreno or cubic) and read it back.

    Raises OSError where the kernel refuses or gives another one: a namespace inherits the machine's default, and a
    simulated old host must never run BBR unnoticed.
    """
    try:
        wanted = _ALGORITHMS[name]
    except KeyError:
        message = f"congestion control {name!r}: an ESXi netstack knows newreno and cubic"
        raise OSError(message) from None
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, wanted.encode())
    except OSError as error:
        message = f"this kernel refuses TCP congestion control {wanted}: {error}"
        raise OSError(message) from error
    got = congestion_control(sock)
    if got != wanted:
        message = f"TCP congestion control is {got}, not {wanted}"
        raise OSError(message)


def congestion_control(sock: socket.socket) -> str:
    """Return the name of the congestion control that *sock* runs."""
    raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
    return raw.split(b"\0", 1)[0].decode()


def rtt(sock: socket.socket) -> float:
    """Return the smoothed round trip of a connected TCP *sock*, in seconds."""
    raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return float(struct.unpack_from("=I", raw, TCP_INFO_RTT)[0]) / 1e6


def buffer_bytes(line_rate: int, rtt_s: float) -> int:
    """Return the socket buffer that ESXi would use: rate x RTT in latency mode, else the fixed size.

    *line_rate* is NetExpectedLineRateMBps in bytes/s. Inferred from the options' names and defaults, unconfirmed on
    hardware.
    """
    if rtt_s < LATENCY_MODE_RTT_S:
        return BUFFER_BYTES
    return min(max(BUFFER_BYTES, int(line_rate * rtt_s)), BUFFER_MAX)


def set_send_buffer(sock: socket.socket, size: int) -> None:
    """Let *sock* hold *size* bytes not yet acknowledged; without CAP_NET_ADMIN the kernel may cut it."""
    _force(sock, SO_SNDBUFFORCE, socket.SO_SNDBUF, size)
    # Without this a large buffer swallows the work at once, and slow streams sit on what faster ones could send.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOTSENT_BYTES)


def set_receive_buffer(sock: socket.socket, size: int) -> None:
    """Let *sock* offer a window of about *size* bytes; without CAP_NET_ADMIN the kernel may cut it."""
    _force(sock, SO_RCVBUFFORCE, socket.SO_RCVBUF, size)
    clamp_window(sock, size)


def clamp_window(sock: socket.socket, size: int) -> None:
    """Hold the offered window of *sock* to *size* bytes.

    To be repeated: the kernel widens the clamp whenever it learns how much memory the arriving packets really take.
    """
    if sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_WINDOW_CLAMP) != size:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_WINDOW_CLAMP, size)


def set_timeouts(sock: socket.socket, seconds: float) -> None:
    """Let blocking calls on *sock* return after *seconds*, so that its thread can be told to stop."""
    whole = int(seconds)
    value = struct.pack("@ll", whole, int((seconds - whole) * 1e6))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)


def reset(sock: socket.socket) -> None:
    """Close *sock* so that the peer sees a reset, never an orderly end."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def _force(sock: socket.socket, forced: int, plain: int, size: int) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, forced, size)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, plain, size)
