"""The relays of a run: watched while VMs move, waited for where one starts anew, gone round where a box is lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Self

from lrvmotion.config import Config
from lrvmotion.connect import Connections
from lrvmotion.detour import LOST_S, Detour
from lrvmotion.errors import LrvmotionError
from lrvmotion.events import Message, Observer, RelaySample
from lrvmotion.inpath import Connections as Pairs
from lrvmotion.inpath import InPath
from lrvmotion.journal import Journal
from lrvmotion.plan import Migration, Plan
from lrvmotion.settle import standing
from lrvmotion.watch import SAMPLE_S, Watch

VMOTION = 8000  # TCP


@dataclass(slots=True)
class Relays:
    """The near relays of *plan* and its far one; entered, they are watched. *restarted* hears of one that began anew.

    Without a relay all of it is harmless.
    """

    config: Config
    world: Connections
    journal: Journal
    observer: Observer
    plan: Plan
    interrupts: Callable[[], int]
    restarted: Callable[[str], None] = lambda _: None
    watch: Watch = field(init=False)
    detour: Detour = field(init=False)
    in_path: InPath = field(init=False)
    steered: float = 0.0
    uptimes: dict[str, float] = field(default_factory=dict)
    anew: set[str] = field(default_factory=set)
    given_up: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> Self:
        plan = self.plan
        self.watch = Watch(watched(plan), self._sample, self._alive)
        near = {box.name: box.address for box in self.config.relay.source if box.name in plan.relays}
        self.detour = Detour(near, self.watch, self.journal, self.world.target, self.observer, plan.run)
        self.in_path = InPath(
            {move.vm: move for move in plan.migrations}, dict(plan.through), self._connections, self._streams,
            self.config.limits.in_path_s,
        )  # fmt: skip
        self.watch.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.watch.__exit__()

    def settle(self) -> None:
        """At the end of the run: put the routes back that were taken from a lost box, if it is back."""
        self.detour.settle(self.interrupts)

    def look(self, running: Mapping[str, int | None]) -> Collection[str]:
        """Tell the relays' samples; return the source hosts from which nothing may start for now.

        *running* are the VMs that move, with the percent of their tasks, None: not known, or not begun.
        """
        if not self.plan.relays:
            return ()
        for sample in self.watch.news():
            self.observer(sample)
            self.given_up.pop(sample.relay, None)
        while self.anew:
            self.restarted(self.anew.pop())
        for host in self.in_path.look(running):
            self.observer(Message(text=f"{self.in_path.past[host]}; its other VMs are held"))
        now = time.monotonic()
        if now - self.steered >= SAMPLE_S:
            self.steered = now
            self.detour.go_round({f"source/{m.source_host}" for m in self.plan.migrations if m.vm in running})
        return ()

    def hold(self, migration: Migration) -> list[str]:
        """Return why *migration* may not start now.

        Its host goes past its relay, a relay is not healthy, or a setting is not as applied.
        """
        if (past := self.in_path.past.get(migration.source_host)) is not None:
            return [past]
        relays = [relay for host, relay in self.plan.through if host == migration.source_host]
        if self.plan.far is not None:
            relays.append(self.plan.far)
        if reasons := [reason for relay in relays if (reason := self._unhealthy(relay)) is not None]:
            return reasons
        mine = {f"source/{migration.source_host}", f"target/{migration.placement.host.name}"}
        mine |= {f"box/{relay}" for relay in relays}
        return standing(
            self.journal.outstanding(), mine, self.plan.theirs, lambda name, key: self.world.target(name).read(key)
        )

    def cap(self, relay: str, bps: int | None) -> None:
        """Set the cap of *relay*, bit/s, None: none; raises LrvmotionError where it does not take it."""
        from lrvmotion.relay.status import limit

        limit(self.world.shell(f"box/{relay}"), self.plan.mark, bps)

    def _sample(self, relay: str) -> RelaySample:
        """Return what *relay* counts now; in its watching thread."""
        from lrvmotion.relay.status import health

        status = health(self.world.shell(f"box/{relay}"), self.plan.mark)
        if status.uptime_s < self.uptimes.get(relay, 0.0):
            self.anew.add(relay)
        self.uptimes[relay] = status.uptime_s
        return RelaySample(
            relay=relay, streams=status.streams, bps=status.bps, rtt_ms=status.rtt_ms,
            retransmits=status.retransmits, limiter=status.limiter, bytes=status.bytes,
            cap_bps=status.limit_bps,
        )  # fmt: skip

    def _connections(self, name: str) -> Pairs:
        """Return the established connections of the source host *name* to vMotion vmknics of the target site."""
        from lrvmotion.vsphere.esxcli import connections

        host = self.world.inventory("source").host(name)
        targets = {nic.address for other in self.world.inventory("target").hosts for nic in other.vmotion_vmknics}
        targets |= {address for target, address in self.plan.fresh if target.startswith("target/")}
        goals = {f"{address}:{VMOTION}" for address in targets}
        stacks = dict.fromkeys(nic.netstack for nic in host.vmotion_vmknics)
        session = self.world.session("source")
        return frozenset(pair for stack in stacks for pair in connections(session, host.ref, stack) if pair[1] in goals)

    def _streams(self, relay: str) -> tuple[frozenset[str], int]:
        """Return where the streams of *relay* come from now ("ADDRESS:PORT"), and the bytes it has carried."""
        from lrvmotion.relay.status import health

        status = health(self.world.shell(f"box/{relay}"), self.plan.mark)
        return frozenset(status.sources), status.bytes

    def _alive(self, relay: str) -> bool:
        try:
            return self.world.shell(f"box/{relay}").run(["true"], timeout_s=5.0).ok
        except LrvmotionError:
            return False

    def _unhealthy(self, relay: str) -> str | None:
        """Return why nothing may start through *relay*; one that starts again is waited for, but once."""
        if relay in self.given_up:
            return self.given_up[relay]
        if (lost := self.detour.lost(relay)) is not None:
            return lost
        before = self.interrupts()
        until = time.monotonic() + LOST_S
        while (reason := self.watch.trouble(relay, SAMPLE_S)) is not None:
            if time.monotonic() > until or self.interrupts() > before:
                self.given_up[relay] = reason
                break
            time.sleep(0.5)
        return reason


def watched(plan: Plan) -> tuple[str, ...]:
    """Return the names of the relays that are watched: near and far."""
    return (*plan.relays, *([plan.far] if plan.far else []))
