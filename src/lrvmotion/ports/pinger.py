"""Pinger: whoever can ping from a vmknic, and what a ping answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from lrvmotion.errors import LrvmotionError
from lrvmotion.model.target_id import TargetId

PING_SIZE = 56  # bytes of payload, as ping's own default


@dataclass(frozen=True, slots=True, kw_only=True)
class PingRequest:
    """*count* pings of *address*, *interval_s* apart, from the vmknic of *netstack* that has the address *source*.

    *size* is bytes of payload; *df*: a router may not fragment them.
    """

    netstack: str
    source: str
    address: str
    count: int
    interval_s: float
    size: int = PING_SIZE
    df: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pings:
    """The answer of one ping call; times in ms, *rtts_ms* in order where each is known."""

    sent: int
    received: int
    rtt_min_ms: float | None = None
    rtt_avg_ms: float | None = None
    rtts_ms: tuple[float, ...] = ()


class PingRefused(LrvmotionError):  # noqa: N818 - says what happened: the host does not run ping for us
    """The host does not run the ping at all: nothing is measured, which is not a failure of the path."""


class MessageTooLong(LrvmotionError):  # noqa: N818 - it is an answer: the path's MTU is smaller
    """A ping that may not be fragmented does not fit the interface, or what the stack knows of the path."""


class Pinger(Protocol):
    """Whoever can ping from a vmknic of a host of the source or target site."""

    def ping(self, target: TargetId, request: PingRequest) -> Pings:
        """Ping from the host *target*.

        Raises PingRefused where the host does not run it, MessageTooLong where *df* forbids to send.
        """
