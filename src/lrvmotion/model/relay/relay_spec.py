"""RelaySpec: the relay that is wanted on a host."""

from __future__ import annotations

from dataclasses import dataclass

STREAM_BUFFER_BYTES = 16 * 1024 * 1024  # what a stalled stream may hold in a near relay's box
# The far relay's incoming leg is the long one: its window is about half of what a stream may hold.
FAR_BUFFER_BYTES = 128 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class RelaySpec:
    """A relay of one run. *address* is the box's on the vMotion LAN, *listen_port* the relay's own port there.

    *sources* and *targets* are vMotion addresses or networks: connections from the one to *service_port* of the other
    are relayed, and no others. *limit_bps*: cap in bits per second, None: none.
    *forward*: address and port of the far relay. *accept_proxy_from*: addresses of the near relays.
    """

    name: str
    run: str
    address: str
    listen_port: int = 9000
    service_port: int = 8000
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    limit_bps: int | None = None
    congestion_control: str = "bbr"
    forward: tuple[str, int] | None = None
    accept_proxy_from: tuple[str, ...] = ()

    @property
    def dials(self) -> tuple[tuple[str, int], ...]:
        """Whom a near relay itself connects to, with the port: the far relay, else the targets, networks too."""
        if self.forward is not None:
            return (self.forward,)
        return () if self.far else tuple((target, self.service_port) for target in self.targets)

    @property
    def far(self) -> bool:
        """Whether this is a far relay: near relays bring it connections, nothing is redirected to it."""
        return bool(self.accept_proxy_from)
