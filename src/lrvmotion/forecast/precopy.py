"""How long a VM takes: pre-copy as a geometric series, whether it converges, and the end of a whole queue."""

from __future__ import annotations

import math
from dataclasses import dataclass

SWITCHOVER_S = 0.5  # Migrate.PreCopySwitchoverTimeGoal, 500 ms by default: how long the VM may stand still


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """A move's arithmetic: *seconds* in all, *sent_bytes* over the wire, *rounds* of pre-copy (the first included).

    *switchover_s* is how long the VM stands still at the end. *slowed*: where the guest dirties memory faster than it
    can be sent, the share of its writing, 0-1, that must go at least (Migrate.SdpsEnabled 2 slows its vCPUs); else 0.
    *seconds* is then the least: nobody has published how far ESXi slows a guest.
    """

    seconds: float
    sent_bytes: float
    rounds: int
    switchover_s: float
    converges: bool
    slowed: float


def transfer(
    memory_bytes: float,
    disk_bytes: float,
    dirty_bytes_s: float,
    mbps: float,
    *,
    switchover_s: float = SWITCHOVER_S,
) -> Transfer:
    """Return how a running VM moves at *mbps* (above 0): all of it, then again what was dirtied meanwhile, and so on.

    Round n + 1 sends what was written during round n, so with q = dirty rate / rate the rounds are V, V*q, V*q^2, …: a
    geometric series (Clark et al.: Live Migration of Virtual Machines, NSDI 2005). The first repeat is at most the VM
    itself, since a page that is written twice is sent once. The VM is switched over once what is left fits into
    *switchover_s*.
    """
    rate = mbps * 1e6 / 8
    whole = memory_bytes + disk_bytes
    first_s = whole / rate
    left = min(whole, dirty_bytes_s * first_s)
    ratio = dirty_bytes_s / rate
    if left <= rate * switchover_s:
        sent = whole + left
        return Transfer(
            seconds=sent / rate, sent_bytes=sent, rounds=1, switchover_s=left / rate, converges=True, slowed=0.0
        )
    if ratio >= 1:
        # Held to the rate itself, the guest dirties in each round what the round sends: one more round and a last rest.
        sent = whole + left + rate * switchover_s
        return Transfer(
            seconds=sent / rate, sent_bytes=sent, rounds=2, switchover_s=switchover_s, converges=False,
            slowed=1 - 1 / ratio,
        )  # fmt: skip
    repeats = max(math.ceil(math.log(rate * switchover_s / left) / math.log(ratio)), 1)
    rest = left * ratio**repeats
    sent = whole + left * (1 - ratio**repeats) / (1 - ratio) + rest
    return Transfer(
        seconds=sent / rate, sent_bytes=sent, rounds=1 + repeats, switchover_s=rest / rate, converges=True, slowed=0.0
    )
