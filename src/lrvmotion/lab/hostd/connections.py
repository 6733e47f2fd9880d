"""`esxcli network ip connection list` from the kernel's own table of TCP sockets."""

from __future__ import annotations

import socket
import struct
from collections.abc import Collection, Iterable

# include/net/tcp_states.h, in the words of ESXi's netstat (FreeBSD's)
_STATES = {
    1: "ESTABLISHED", 2: "SYN_SENT", 3: "SYN_RCVD", 4: "FIN_WAIT_1", 5: "FIN_WAIT_2", 6: "TIME_WAIT", 7: "CLOSED",
    8: "CLOSE_WAIT", 9: "LAST_ACK", 10: "LISTEN", 11: "CLOSING",
}  # fmt: skip


def parse(table: Iterable[str], addresses: Collection[str]) -> list[dict[str, str]]:
    """Return the sockets in the lines of /proc/net/tcp whose local address is one of *addresses*."""
    found = []
    for line in table:
        words = line.split()
        if len(words) < 4 or not words[0].rstrip(":").isdigit():
            continue  # the heading
        local, foreign = _endpoint(words[1]), _endpoint(words[2])
        if local.rpartition(":")[0] in addresses:
            found.append({"local": local, "foreign": foreign, "state": _STATES.get(int(words[3], 16), "")})
    return found


def _endpoint(text: str) -> str:
    """Return "10.88.0.9:8000" for the kernel's "0900580A:1F40": the address as one native number."""
    address, port = text.split(":")
    return f"{socket.inet_ntoa(struct.pack('=I', int(address, 16)))}:{int(port, 16)}"
