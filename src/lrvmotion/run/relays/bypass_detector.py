"""Whether moves go past the relay of their host: the sign is a connection that the host has and the relay has not.

A relocate without a stream at the relay is no sign: it may be queued, be prepared, or carry cold data (NFC, TCP 902).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice

from lrvmotion.errors import LrvmotionError, RefusedError
from lrvmotion.plan.plan import Migration

POINTS = 10  # so much of a move's progress without a byte at the relay is a sign where the host lists no connections
SHOWN = 3  # connections named in a message

Connections = frozenset[tuple[str, str]]


@dataclass(slots=True)
class BypassDetector:
    """Looks after hosts whose moves should have hot bytes on the way for *wait_s* seconds.

    *relay_by_host* is which near relay carries which source host. *connections* returns a host's established
    connections to vMotion at the target, (local, foreign), each "ADDRESS:PORT"; RefusedError where the host does not
    list them. *streams* returns where the streams that a relay carries now come from ("ADDRESS:PORT"), and how many
    bytes it has carried; both raise LrvmotionError. *past* are the hosts whose moves go past their relay, with the
    reason.
    """

    migrations: Mapping[str, Migration]
    relay_by_host: Mapping[str, str]
    connections: Callable[[str], Connections]
    streams: Callable[[str], tuple[frozenset[str], int]]
    wait_s: float
    clock: Callable[[], float] = time.monotonic
    past: dict[str, str] = field(default_factory=dict)
    _since: dict[str, float] = field(default_factory=dict)  # VM: when its hot bytes began to flow
    _percent: dict[str, int] = field(default_factory=dict)
    _carried: set[str] = field(default_factory=set)  # VMs whose connections are the relay's
    _next: dict[str, float] = field(default_factory=dict)  # host: when to look again
    _strays: dict[str, Connections] = field(default_factory=dict)  # host: what the relay did not have at the last look
    _before: dict[str, tuple[int, int]] = field(default_factory=dict)  # VM: percent, the relay's bytes

    def look(self, running: Mapping[str, int | None]) -> list[str]:
        """Return the hosts that are found to go past their relay now.

        *running* are the VMs that move, with the percent of their tasks, None: vCenter has the task in its queue, or
        nothing is known of it.
        """
        now = self.clock()
        for vm in [vm for vm in self._since if vm not in running]:
            del self._since[vm]
            self._carried.discard(vm)
            self._before.pop(vm, None)
        for vm, percent in running.items():
            if percent is not None:
                self._percent[vm] = percent
                if flows(self.migrations[vm], percent):
                    self._since.setdefault(vm, now)
        due: dict[str, list[str]] = {}
        for vm, since in self._since.items():
            host = self.migrations[vm].source_host
            open_ = host in self.relay_by_host and host not in self.past and vm not in self._carried
            if open_ and now - since >= self.wait_s and now >= self._next.get(host, 0.0):
                due.setdefault(host, []).append(vm)
        return [host for host, vms in due.items() if self._look_at(host, vms, now)]

    def _look_at(self, host: str, vms: list[str], now: float) -> bool:
        self._next[host] = now + self.wait_s / 4
        relay = self.relay_by_host[host]
        try:
            reason = self._by_connections(host, relay, vms)
        except RefusedError:
            reason = self._by_bytes(relay, vms)
        except LrvmotionError:
            return False  # host or relay does not answer now
        if reason is not None:
            self.past[host] = f"not in the path: {reason}"
        return reason is not None

    def _by_connections(self, host: str, relay: str, vms: list[str]) -> str | None:
        """Return why *host* goes past *relay*: connections that it had at two looks, and the relay at neither.

        One look is not enough: the relay may be dialling, a connection may have just ended.
        """
        there = self.connections(host)
        carried, _ = self.streams(relay)
        strays = frozenset(pair for pair in there if pair[0] not in carried)
        before, self._strays[host] = self._strays.get(host, frozenset()), strays
        if there and not strays:
            self._carried.update(vms)
        if not (sure := sorted(strays & before)):
            return None
        shown = ", ".join(f"{local} -> {foreign}" for local, foreign in islice(sure, SHOWN))
        more = f" and {len(sure) - SHOWN} more" if len(sure) > SHOWN else ""
        return f"{host} has vMotion connections that relay {relay} does not carry: {shown}{more}"

    def _by_bytes(self, relay: str, vms: list[str]) -> str | None:
        """Return why moves go past *relay*: they progress, and not a byte is carried."""
        try:
            carried, total = self.streams(relay)
        except LrvmotionError:
            return None
        for vm in vms:
            percent, before = self._before.setdefault(vm, (self._percent[vm], total))
            if carried or total != before:
                self._before[vm] = (self._percent[vm], total)
            elif self._percent[vm] - percent >= POINTS:
                rose = f"{vm} went from {percent} to {self._percent[vm]} %"
                return f"{rose}, and relay {relay} has carried nothing meanwhile"
        return None


def flows(migration: Migration, percent: int) -> bool:
    """Return whether hot bytes of *migration* should be on the way at *percent*, its cold ones going first."""
    whole = migration.hot_bytes + migration.cold_bytes
    return migration.hot_bytes > 0 and percent > 0 and percent * whole > 100 * migration.cold_bytes
