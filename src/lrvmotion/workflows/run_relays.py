"""The relays of a run: watched while VMs move, waited for where one restarts, bypassed where a relay host is lost."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from lrvmotion.config.schema import Config
from lrvmotion.errors import LrvmotionError, UnreachableError
from lrvmotion.events import Message, Observer, RelaySample
from lrvmotion.journal.journal import Journal
from lrvmotion.model.counted import counted
from lrvmotion.model.target_id import TargetId
from lrvmotion.plan.plan import Migration, Plan
from lrvmotion.run.apply import apply
from lrvmotion.run.drift import drifted, forgotten
from lrvmotion.run.relays.bypass_detector import BypassDetector
from lrvmotion.run.relays.bypass_detector import Connections as Pairs
from lrvmotion.run.relays.failover import LOST_S, Detour
from lrvmotion.run.relays.flow import Flow, Load, Patience
from lrvmotion.run.relays.monitor import SAMPLE_S, Watch, naming
from lrvmotion.workflows.connections import Connections

if TYPE_CHECKING:
    from lrvmotion.relay.status import RelayStatus

VMOTION = 8000  # TCP
ROUNDED_S = 0.5  # how exact the uptime is that a relay tells
PEERS = 4  # of each side that are asked whether they answer


@dataclass(slots=True)
class Relays:
    """The near relays of *plan* and its far one; entered, they are watched. *restarted* hears of one that restarted.

    Without a relay all of it is harmless.
    """

    config: Config
    connections: Connections
    journal: Journal
    observer: Observer
    plan: Plan
    interrupts: Callable[[], int]
    restarted: Callable[[str], None] = lambda _: None
    watch: Watch = field(init=False)
    detour: Detour = field(init=False)
    bypass: BypassDetector = field(init=False)
    flows: dict[str, Flow] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)  # relays that carry nothing, as was said
    patience: Patience = field(default_factory=Patience)
    steered: float = 0.0
    began: dict[str, float] = field(default_factory=dict)  # when each relay began at the latest, monotonic seconds
    restarts: set[str] = field(default_factory=set)
    forgetful: set[str] = field(default_factory=set)  # relays that restarted: with their hosts, perhaps
    given_up: dict[str, str] = field(default_factory=dict)
    reloads: dict[str, int] = field(default_factory=dict)
    unwell: dict[str, str] = field(default_factory=dict)  # relays in trouble, as was said
    notices: list[str] = field(default_factory=list)  # of the watching threads, to be told

    def __enter__(self) -> Self:
        plan = self.plan
        self.watch = Watch(watched(plan), self._sample, self._alive)
        near = {box.name: box.address for box in self.config.relay.source if box.name in plan.relays}
        self.detour = Detour(near, self.watch, self.journal, self.connections.target, self.observer, plan.run)
        self.bypass = BypassDetector(
            {move.vm: move for move in plan.migrations}, dict(plan.relay_by_host), self._connections, self._streams,
            self.config.limits.in_path_s,
        )  # fmt: skip
        for relay in watched(plan):
            hosts = {host for host, name in plan.relay_by_host if relay in {name, plan.far}}
            paths = [path for path in (*plan.proof_paths, *plan.paths) if path.source_host in hosts]
            here = tuple(dict.fromkeys(path.source_address for path in paths))[:PEERS]
            there = tuple(dict.fromkeys(path.target_address for path in paths))[:PEERS]
            self.flows[relay] = Flow(functools.partial(self._silent, relay), here, there)
        self.watch.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.watch.__exit__()

    def settle(self) -> None:
        """At the end of the run: put the routes back that were taken from a lost box, if it is back."""
        self.detour.settle(self.interrupts, self._stalled)

    def look(self, running: Mapping[str, int | None]) -> Collection[str]:
        """Tell the relays' samples; return the source hosts from which nothing may start for now.

        *running* are the VMs that move, with the percent of their tasks, None: not known, or not begun.
        """
        if not self.plan.relays:
            return ()
        for sample in self.watch.news():
            self.observer(sample)
            self.given_up.pop(sample.relay, None)
        while self.notices:
            self.observer(Message(text=self.notices.pop(0)))
        while self.restarts:
            self.restarted(self.restarts.pop())
        for host in self.bypass.look(running):
            self.observer(Message(text=f"{self.bypass.past[host]}; its other VMs are held"))
        now = time.monotonic()
        if now - self.steered >= SAMPLE_S:
            self.steered = now
            self._steer({m.source for m in self.plan.migrations if m.vm in running})
        return self._barred(now, idle=not running)

    def _steer(self, moving: Collection[TargetId]) -> None:
        """Lead hosts around relays in trouble and back, but those in *moving*; tell of relays that carry nothing."""
        stalled = self._stalled()
        for relay, why in stalled.items():
            if relay not in self.told:
                self.observer(Message(text=f"relay {relay} {why}; no further move starts through it"))
        for relay in self.told.keys() - stalled.keys():
            self.observer(Message(text=f"relay {relay} is well again"))
        self.told = stalled
        now = time.monotonic()
        long = {relay: why for relay, why in stalled.items() if now - (self.flows[relay].since or now) >= LOST_S}
        self.detour.restore_direct_routes(moving, long)
        self.detour.come_back(moving, stalled)

    def _stalled(self) -> dict[str, str]:
        """Return the relays that carry nothing, each with the reason."""
        return {relay: reason for relay, flow in self.flows.items() if (reason := flow.reason) is not None}

    def _barred(self, now: float, *, idle: bool) -> frozenset[str]:
        """Return the source hosts whose relay is waited for; none once that was too long."""
        hosts = frozenset(host for host, _ in self.plan.relay_by_host if self._waits(host) is not None)
        self.patience.take(now, waits=bool(hosts), idle=idle)
        return frozenset() if self.patience.over else hosts

    def _waits(self, host: str) -> str | None:
        """Return why nothing may start from the source host called *host* for now."""
        stalled = self._stalled()
        for relay in self._of(host):
            if relay in stalled:
                return f"relay {relay} {stalled[relay]}"
        if TargetId.host("source", host) in self.detour.away:
            return f"{host} uses its direct route, for its relay carried nothing, and is not switched back yet"
        return None

    def _of(self, host: str) -> list[str]:
        """Return the relays that carry the moves from the source host called *host*."""
        far = [] if self.plan.far is None else [self.plan.far]
        return [*(relay for name, relay in self.plan.relay_by_host if name == host), *far]

    def hold(self, migration: Migration) -> list[str]:
        """Return why *migration* may not start now.

        Its host goes past its relay, a relay is not healthy, or a setting is not as applied.
        """
        if (past := self.bypass.past.get(migration.source_host)) is not None:
            return [past]
        if (stays := self.detour.stays.get(migration.source)) is not None:
            return [stays]
        if self.patience.over and (waits := self._waits(migration.source_host)) is not None:
            return [waits]
        relays = self._of(migration.source_host)
        if reasons := [reason for relay in relays if (reason := self._unhealthy(relay)) is not None]:
            return reasons
        for relay in relays:
            self._remind(relay)
        mine = {migration.source, migration.target}
        mine |= {TargetId.relay(relay) for relay in relays}
        return drifted(
            self.journal.outstanding(),
            mine,
            self.plan.theirs,
            lambda name, key: self.connections.target(name).read(key),
        )

    def _remind(self, relay: str) -> None:
        """Set again what the host of *relay* forgot, where it was rebooted since the run began."""
        if relay not in self.forgetful:
            return
        box = self.connections.target(TargetId.relay(relay))
        changes = forgotten(self.journal.outstanding(), box.name, box.read)
        apply(changes, {box.name: box}, self.journal, self.plan.run, self.observer)
        self.forgetful.discard(relay)

    def cap(self, relay: str, bps: int | None) -> None:
        """Set the cap of *relay*, bit/s, None: none; raises LrvmotionError where it does not take it."""
        from lrvmotion.relay.status import limit

        limit(self.connections.shell(TargetId.relay(relay)), self.plan.owner_id, bps)

    def _sample(self, relay: str) -> RelaySample:
        """Return what *relay* counts now; in its watching thread."""
        from lrvmotion.relay.status import health

        asked = time.monotonic()
        try:
            status = health(self.connections.shell(TargetId.relay(relay)), self.plan.owner_id)
        except UnreachableError as error:
            if self.unwell.get(relay) != error.message:
                self.unwell[relay] = error.message
                self.notices.append(naming(relay, error.message))
            raise
        self.unwell.pop(relay, None)
        if status.reloads > self.reloads.get(relay, 0):
            times = counted(status.reloads, "time")
            self.notices.append(
                f"relay {relay}: somebody flushed or changed the packet filter; the redirect was loaded again "
                f"({times} since the relay started), and streams that sent meanwhile were reset"
            )
        self.reloads[relay] = status.reloads
        if asked - status.uptime_s > self.began.get(relay, asked) + ROUNDED_S:
            self.restarts.add(relay)
            self.forgetful.add(relay)
        self.began[relay] = time.monotonic() - status.uptime_s
        stalls = self._flow(relay, status)
        return RelaySample(
            relay=relay, streams=status.streams, bps=status.bps, rtt_ms=status.rtt_ms,
            retransmits=status.retransmits, limiter=stalls or status.limiter, bytes=status.bytes,
            cap_bps=status.limit_bps,
        )  # fmt: skip

    def _flow(self, relay: str, status: RelayStatus) -> str | None:
        """Return why *relay* carries nothing, None where it is well; in its watching thread."""
        from lrvmotion.relay.link import link

        config = self.config.relay
        address = next(box.address for box in (*config.source, config.target) if box is not None and box.name == relay)
        load = Load(streams=status.streams, carried=status.bytes, waiting=status.waiting, ends=status.ends)
        flow = self.flows[relay]
        flow.take(time.monotonic(), load, link(self.connections.shell(TargetId.relay(relay)), address))
        return flow.reason

    def _silent(self, relay: str, peers: Sequence[str]) -> list[str]:
        """Return which of *peers* do not answer a ping from the box of *relay*; in its watching thread."""
        from lrvmotion.relay.link import silent

        return silent(self.connections.shell(TargetId.relay(relay)), peers)

    def _connections(self, name: str) -> Pairs:
        """Return the established connections of the source host *name* to vMotion vmknics of the target site."""
        from lrvmotion.vsphere.host.esxcli import connections

        host = self.connections.inventory("source").host(name)
        targets = {nic.address for other in self.connections.inventory("target").hosts for nic in other.vmotion_vmknics}
        targets |= {address for target, address in self.plan.new_vmknics if target.site == "target"}
        goals = {f"{address}:{VMOTION}" for address in targets}
        stacks = dict.fromkeys(nic.netstack for nic in host.vmotion_vmknics)
        session = self.connections.session("source")
        return frozenset(pair for stack in stacks for pair in connections(session, host.ref, stack) if pair[1] in goals)

    def _streams(self, relay: str) -> tuple[frozenset[str], int]:
        """Return where the streams of *relay* come from now ("ADDRESS:PORT"), and the bytes it has carried."""
        from lrvmotion.relay.status import health

        status = health(self.connections.shell(TargetId.relay(relay)), self.plan.owner_id)
        return frozenset(status.sources), status.bytes

    def _alive(self, relay: str) -> bool:
        try:
            return self.connections.shell(TargetId.relay(relay)).run(["true"], timeout_s=5.0).ok
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
