"""The witness: which vMotion connections crossed the wire, seen from their own SYN, FIN and RST."""

from __future__ import annotations

from lrvmotion.lab.wire.segments import ETHERNET, VNET

_IP = VNET + ETHERNET
FIN, SYN, RST, ACK = 1, 2, 4, 16
PORT = 8000


def tcp(frame: bytes) -> int:
    """Return the offset of the TCP header of a first-fragment IPv4 frame of TCP port 8000, else 0."""
    if (
        len(frame) < _IP + 40
        or frame[_IP - 2] != 8
        or frame[_IP - 1] != 0
        or frame[_IP + 9] != 6
        or (frame[_IP + 6] & 0x1F) | frame[_IP + 7]
    ):
        return 0
    t = _IP + ((frame[_IP] & 15) << 2)
    if (frame[t + 2] << 8 | frame[t + 3]) == PORT or (frame[t] << 8 | frame[t + 1]) == PORT:
        return t
    return 0


class Connections:
    """Counts distinct connections and how many were open at once."""

    def __init__(self) -> None:
        self._open: dict[bytes, int] = {}  # key -> which sides have sent FIN: 1 client, 2 server
        self.distinct = 0
        self.peak = 0

    @property
    def open(self) -> int:
        """How many are open now."""
        return len(self._open)

    def reset(self) -> None:
        """Count from now on; what is open stays open."""
        self.distinct = 0
        self.peak = len(self._open)

    def see(self, frame: bytes, t: int) -> None:
        """Take note of a frame with SYN, FIN or RST; *t* as `tcp` gave it."""
        flags = frame[t + 13]
        from_client = (frame[t + 2] << 8 | frame[t + 3]) == PORT
        client, server = (
            frame[_IP + 12 : _IP + 16] + frame[t : t + 2],
            frame[_IP + 16 : _IP + 20] + frame[t + 2 : t + 4],
        )
        key = client + server if from_client else server + client
        if flags & RST:
            self._open.pop(key, None)
        elif flags & SYN:
            if from_client and not flags & ACK and key not in self._open:
                self._open[key] = 0
                self.distinct += 1
                self.peak = max(self.peak, len(self._open))
        elif flags & FIN and key in self._open:
            self._open[key] |= 1 if from_client else 2
            if self._open[key] == 3:
                del self._open[key]
