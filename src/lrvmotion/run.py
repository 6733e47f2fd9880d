"""The migrate command joined up: connect, collect, probe, plan, apply, prove, move, put back."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from lrvmotion import planner, probe, select
from lrvmotion.apply import WAYS, Restored, Target, apply, revert
from lrvmotion.config import Config, Relay
from lrvmotion.connect import Connections
from lrvmotion.errors import LrvmotionError, NotRestoredError, RefusedError, UnreachableError
from lrvmotion.events import Found, Interrupted, Message, Observer, Proven, RelaySample, RunEnded, RunStarted
from lrvmotion.findings import Finding, Severity, errors
from lrvmotion.inventory import SiteName
from lrvmotion.journal import Journal, Outstanding
from lrvmotion.migrate import Hooks, drive
from lrvmotion.path import judge
from lrvmotion.plan import Migration, Mode, Plan, Value
from lrvmotion.schedule import Schedule
from lrvmotion.settings import KEYS
from lrvmotion.watch import SAMPLE_S, Watch

PROOF_PINGS = 3
IN_PATH_S = 15.0  # a first move that shows no stream at the relay by then goes past it
LOST_S = 10.0  # a box that has not answered for so long is lost: the routes through it go back
SETTLE_S = 120.0  # so long the end of a run waits for somebody else's relocate on a host whose box is lost
LOCKED = frozenset({"host-locked", "box-locked"})
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


def new_run() -> str:
    """Return a fresh run id: six letters and digits, fit for port group and nft table names."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(6))


def resolve(config: Config, mode: str | None) -> Mode:
    """Return the mode to use: asked, configured, else proxy where a relay is configured, else native."""
    wanted = mode or config.mode or "auto"
    if wanted == "auto":
        return "proxy" if config.relay.source else "native"
    table: dict[str, Mode] = {"stock": "stock", "native": "native", "proxy": "proxy"}
    return table[wanted]


@dataclass(slots=True, kw_only=True)
class Options:
    """What the user asked of one run."""

    mode: Mode
    unproven: bool = False
    reboot_hosts: bool = False
    max_failures: int | None = None


def prepare(
    config: Config,
    world: Connections,
    observer: Observer,
    names: Sequence[str],
    options: Options,
    *,
    runs: Collection[str] = (),
    mark: str | None = None,
) -> Plan:
    """Return the plan of moving the VMs *names*, with everything measured and found; nothing is written anywhere.

    *runs* are the runs of the journal, *mark* the id that what is outstanding carries, None where nothing is.
    """
    from lrvmotion.vsphere.collect import collect_vms

    run = new_run()
    mark = mark or run
    for site in _SITES:
        world.session(site)
    source, target = world.inventory("source"), world.inventory("target")
    refs = select.by_name(source, names)
    if refs:
        source = collect_vms(world.session("source"), source, refs)
    chosen = {vm.ref: vm for vm in source.vms}
    found: list[Finding] = []
    inputs = planner.Inputs(
        config=config,
        source=source,
        target=target,
        read=lambda name, key: world.target(name).read(key),
        bounds=lambda name: world.host(name).bounds(KEYS),
        box=lambda relay, senders, targets: _box_desired(config, world, relay, senders, targets, mark, runs, found),
        unusable=lambda relay: _unusable(world, relay, mark, runs),
        runs={*runs, mark},
        reboot=options.reboot_hosts,
    )
    plan = planner.make(inputs, options.mode, run, [chosen[ref] for ref in refs], mark=mark)
    qualities = probe.measure(plan.paths, world, observer, probes=config.limits.probes)
    for quality in qualities:
        found += judge(quality, limit_rtt_ms=config.limits.rtt_ms, limit_loss=config.limits.loss)
    found += _answering(plan, world)
    plan = replace(plan, findings=(*plan.findings, *found))
    for finding in plan.findings:
        observer(Found(finding=finding))
    return plan


_SITES: tuple[SiteName, SiteName] = ("source", "target")


def _box_desired(
    config: Config,
    world: Connections,
    relay: Relay,
    senders: Sequence[str],
    targets: Sequence[str],
    mark: str,
    runs: Collection[str],
    found: list[Finding],
) -> list[tuple[str, Value, str]]:
    from lrvmotion.relay import facts, install
    from lrvmotion.relay.spec import RelaySpec

    seen = facts.facts(world.shell(f"box/{relay.name}"))
    far = config.relay.far
    if far is not None and relay.name == far.name:  # *senders* are the near relays
        sources = [nic.address for host in world.inventory("source").hosts for nic in host.vmotion_vmknics]
        roles: dict[str, Any] = {"sources": tuple(sources), "accept_proxy_from": tuple(senders)}
    else:
        forward = None if far is None else (far.address, far.listen_port)
        roles = {"sources": tuple(senders), "forward": forward, "limit_bps": config.relay.cap_bps}
    spec = RelaySpec(
        name=relay.name,
        run=mark,
        address=relay.address,
        listen_port=relay.listen_port,
        service_port=8000,
        targets=tuple(targets),
        **roles,
        congestion_control="bbr" if seen.bbr else "cubic",
    )
    standing = facts.findings(seen, spec, runs)
    found += standing
    return [] if errors(standing) else install.desired(spec, seen)


def _unusable(world: Connections, relay: Relay, mark: str, runs: Collection[str]) -> str | None:
    """Return why *relay* cannot be used at all: its box does not answer, or a check stands against it."""
    from lrvmotion.relay import facts
    from lrvmotion.relay.spec import RelaySpec

    try:
        seen = facts.facts(world.shell(f"box/{relay.name}"))
    except UnreachableError as error:
        return error.message
    spec = RelaySpec(
        name=relay.name, run=mark, address=relay.address, listen_port=relay.listen_port, sources=(), targets=()
    )
    standing = errors(facts.findings(seen, spec, runs))
    return standing[0].summary if standing else None


def _answering(plan: Plan, world: Connections) -> list[Finding]:
    """Ping every new address from a present vmknic of its host: an address that answers is somebody else's."""
    found = []
    for target, address in plan.fresh:
        site: SiteName = "source" if target.startswith("source/") else "target"
        nic = world.inventory(site).host(target.partition("/")[2]).vmotion_vmknics[0]
        try:
            pings = world.ping(target, nic.netstack, nic.address, address, count=2, interval_s=0.2)
        except probe.PingRefused:
            continue  # the path's own finding says that nothing can be pinged
        if pings.received:
            summary = f"{address} of the address pool answers a ping: something else has it"
            hint = f"take it out of {site}.vmotion.addresses"
            found.append(
                Finding(severity=Severity.ERROR, code="address-in-use", subject=target, summary=summary, hint=hint)
            )
    return found


def refuse(plan: Plan) -> None:
    """Raise for the error findings of *plan*: locked by another run, or refused by a check."""
    bad = errors(list(plan.findings))
    if not bad:
        return
    message = "; ".join(f"{finding.subject}: {finding.summary}" for finding in bad)
    hint = next((finding.hint for finding in bad if finding.hint), None)
    if any(finding.code in LOCKED for finding in bad):
        raise UnreachableError(message, hint=hint)
    raise RefusedError(message, hint=hint)


class _Interrupted(Exception):  # noqa: N818 - no error: the user's wish
    """Ctrl-C before any VM moved."""


@dataclass(slots=True)
class Migrating:
    """One run of `migrate`, from a plan without errors to its end."""

    config: Config
    world: Connections
    journal: Journal
    observer: Observer
    plan: Plan
    options: Options
    interrupts: Callable[[], int] = lambda: 0
    watch: Watch | None = None
    started: float | None = None
    steered: float = 0.0
    seen_streams: bool = False
    given_up: dict[str, str] = field(default_factory=dict)
    bypassed: set[tuple[str, str]] = field(default_factory=set)

    def go(self) -> None:
        """Apply the plan, prove it, move the VMs.

        What was changed stays, but for an error before the first move: then it is put back. Ctrl-C before the first
        move changes nothing more. However it ends, RunEnded says what is outstanding.
        """
        plan = self.plan
        self.journal.append("run", plan.run, {"schema": 1, "mode": plan.mode, "vms": [m.vm for m in plan.migrations]})
        for name in ("source", "target", *self._boxes()):
            self.journal.append("connection", plan.run, self.world.pinned(name))
        vms = tuple(migration.vm for migration in plan.migrations)
        self._quiet()
        self.observer(RunStarted(run=plan.run, mode=plan.mode, journal=str(self.journal.path), vms=vms))
        try:
            self._change()
            self._move()
        except _Interrupted:
            self.observer(Interrupted(level=min(self.interrupts(), 3)))
        finally:
            left = len(self.journal.outstanding())
            restore = "lrvmotion restore-defaults" if left else None
            self.observer(RunEnded(run=plan.run, outstanding=left, restore=restore))

    def _boxes(self) -> list[str]:
        """Return the boxes that the moves need."""
        return [f"box/{name}" for name in self._watched()]

    def _change(self) -> None:
        try:
            targets = {change.target: self.world.target(change.target) for change in self.plan.changes}
            apply(self.plan.changes, targets, self.journal, self.plan.run, self.observer, self._proceed)
            self._prove()
        except LrvmotionError as error:
            self._take_back(error)

    def _proceed(self) -> None:
        if self.interrupts():
            raise _Interrupted

    def _quiet(self) -> None:
        """Refuse to write to a host on which a relocate runs, DRS's own included."""
        for name in dict.fromkeys(change.target for change in self.plan.changes):
            running = self.world.target(name).busy()
            if running:
                message = f"{name}: {', '.join(running)}; nothing was changed"
                raise UnreachableError(message, hint="wait until it has ended, then run this again")

    def _take_back(self, error: LrvmotionError) -> NoReturn:
        """Put back what this run changed and raise *error*, or NotRestoredError where something is left."""
        run = self.plan.run
        restored = revert(self.journal, self.world.target, self.observer, run=run, only=lambda item: item.run == run)
        if restored.left:
            message = f"{error.message}; and {len(restored.left)} settings could not be put back"
            raise NotRestoredError(message, hint="lrvmotion restore-defaults") from error
        message = f"{error.message}; everything was put back"
        raise type(error)(message, hint=error.hint) from error

    def _prove(self) -> None:
        """Walk every planned pair before the first move; in proxy mode the relay must have forwarded these probes."""
        plan = self.plan
        before = {relay: self._echoes(relay) for relay in plan.relays}
        sent = 0
        for path in plan.proofs:
            self._proceed()
            try:
                pings = self.world.ping(
                    f"source/{path.source_host}", path.netstack, path.source_address, path.target_address,
                    count=PROOF_PINGS, interval_s=0.1,
                )  # fmt: skip
            except probe.PingRefused as refused:
                self._impossible(str(path), refused.message)
                return
            sent += pings.sent
            ok = pings.received > 0
            self.observer(Proven(subject=str(path), ok=ok, detail=f"{pings.received} of {pings.sent} answered"))
            if not ok:
                message = f"{path}: none of {pings.sent} pings was answered"
                raise RefusedError(message, hint="check the VLAN and the route of the new vMotion vmknics")
        if plan.relays:
            seen = sum(self._echoes(relay) - before[relay] for relay in plan.relays)
            detail = f"{seen} of {sent} probes went through the relay"
            self.observer(Proven(subject="relay " + ", ".join(plan.relays), ok=seen == sent, detail=detail))
            if seen != sent:
                message = f"the relay is not in the path: {detail}"
                raise RefusedError(message, hint="check that the hosts' routes point at the relay's address")

    def _impossible(self, subject: str, reason: str) -> None:
        self.observer(Proven(subject=subject, ok=None, detail=f"not possible: {reason}"))
        if not self.options.unproven and self.plan.mode != "stock":
            message = f"the path cannot be proven: {reason}"
            raise RefusedError(message, hint=f"--unproven moves in {self.plan.mode} mode all the same")

    def _echoes(self, relay: str) -> int:
        from lrvmotion.relay.status import counters

        return counters(self.world.shell(f"box/{relay}"), self.plan.mark).echo

    def _move(self) -> None:
        from lrvmotion.vsphere.relocate import RelocateMover

        plan = self.plan
        if not plan.migrations:
            return
        schedule = Schedule(
            plan.migrations, per_host=self.config.limits.per_host, max_failures=self.options.max_failures
        )
        hooks = Hooks(
            interrupts=self.interrupts,
            watch=self._watch,
            hold=self._hold,
            record=self._record,
            clock=time.monotonic,
        )
        with (
            Watch(self._watched(), self._sample, self._alive) as self.watch,
            RelocateMover(self.world.session("source"), self.world.session("target")) as mover,
        ):
            try:
                drive(plan.migrations, schedule, mover, self.observer, hooks)
            except LrvmotionError as error:
                left = len(self.journal.outstanding())
                message = f"{error.message}; {left} settings are still changed"
                raise type(error)(
                    message, hint="lrvmotion restore-defaults waits for the moves and puts them back"
                ) from error
            self._settle()

    def _record(self, kind: str, body: dict[str, str]) -> None:
        self.journal.append(kind, self.plan.run, body)

    def _sample(self, relay: str) -> RelaySample:
        """Return what *relay* counts now; in its watching thread."""
        from lrvmotion.relay.status import health

        status = health(self.world.shell(f"box/{relay}"), self.plan.mark)
        self.seen_streams = self.seen_streams or status.streams > 0 or status.peak_streams > 0
        return RelaySample(
            relay=relay, streams=status.streams, bps=status.bps, rtt_ms=status.rtt_ms,
            retransmits=status.retransmits, limiter=status.limiter, bytes=status.bytes,
        )  # fmt: skip

    def _alive(self, relay: str) -> bool:
        try:
            return self.world.shell(f"box/{relay}").run(["true"], timeout_s=5.0).ok
        except LrvmotionError:
            return False

    def _watch(self, running: list[str]) -> str | None:
        """Tell the relays' samples; return why no further VM may start."""
        if self.watch is None or not self.plan.relays:
            return None
        for sample in self.watch.news():
            self.observer(sample)
            self.given_up.pop(sample.relay, None)
        now = time.monotonic()
        if self.started is None and running:
            self.started = now
        if now - self.steered >= SAMPLE_S:
            self.steered = now
            moving = {f"source/{m.source_host}" for m in self.plan.migrations if m.vm in running}
            self._go_round(moving)
        if self.bypassed:
            relay = min(self.bypassed)[0]
            return f"box/{relay} did not answer for {LOST_S:.0f} s; the routes through it were put back"
        late = self.started is not None and now - self.started > IN_PATH_S
        if running and late and not self.seen_streams:
            return "not in the path: the relay has seen no stream of the running move"
        return None

    def _go_round(self, moving: Collection[str]) -> None:
        """Put back the ways through boxes that are lost, but on hosts in *moving*.

        A lost box cuts off what is routed to it, and no relocate may run while a host is written.
        """
        for relay in self.config.relay.source:
            if relay.name not in self.plan.relays or self.watch is None or self.watch.silent_s(relay.name) < LOST_S:
                continue
            for host in self._led_by(relay):
                try:
                    if host in moving or self.world.target(host).busy():
                        continue
                    text = f"box/{relay.name} has not answered for {LOST_S:.0f} s: {host} no longer sends through it"
                    self.observer(Message(text=text))
                    self.bypassed.add((relay.name, host))
                    ways = {item.seq for item in self._ways(relay) if item.target == host}
                    self._revert(ways)
                except LrvmotionError:
                    continue  # the vCenter does not answer either: at the next look

    def _revert(self, numbers: Collection[int]) -> None:
        """Put back the outstanding settings with these sequence *numbers*."""
        run = self.plan.run
        revert(self.journal, self.world.target, self.observer, run=run, only=lambda item: item.seq in numbers)

    def _ways(self, relay: Relay) -> list[Outstanding]:
        """Return the outstanding settings that send a host's traffic to *relay*."""
        return [
            item
            for item in self.journal.outstanding()
            if item.target.startswith("source/")
            and item.key.startswith(WAYS)
            and item.planned[-1].data == str(relay.address)
        ]

    def _led_by(self, relay: Relay) -> list[str]:
        """Return the hosts that send through *relay* and have not been tried."""
        hosts = dict.fromkeys(item.target for item in self._ways(relay))
        return [host for host in hosts if (relay.name, host) not in self.bypassed]

    def _settle(self) -> None:
        """Before the end: find out whether a box is lost, and put the ways through it back; Ctrl-C ends it."""
        before = self.interrupts()
        relays = [relay for relay in self.config.relay.source if relay.name in self.plan.relays and self._led_by(relay)]
        for relay in relays:
            watch = self.watch
            if watch is None or watch.trouble(relay.name, SAMPLE_S) is None:
                continue
            began = time.monotonic()
            while self._led_by(relay) and (asked_s := time.monotonic() - began) < SETTLE_S:
                if watch.silent_s(relay.name) < asked_s or self.interrupts() > before:
                    break  # the box has answered since, its relay or not
                self._go_round(())
                time.sleep(0.5)

    def _watched(self) -> tuple[str, ...]:
        """Return the names of the relays that are watched: near and far."""
        return (*self.plan.relays, *([self.plan.far] if self.plan.far else []))

    def _hold(self, migration: Migration) -> list[str]:
        """Return why *migration* may not start now: a relay that is not healthy, or a setting not as applied."""
        if reasons := [reason for relay in self._watched() if (reason := self._unhealthy(relay)) is not None]:
            return reasons
        mine = {f"source/{migration.source_host}", f"target/{migration.placement.host.name}"}
        mine |= set(self._boxes())
        for item in self.journal.outstanding():
            if item.target in mine:
                now = self.world.target(item.target).read(item.key)
                if now != item.planned[-1]:
                    reasons.append(f"{item.target}: {item.key} is {now.brief()}, {item.planned[-1].brief()} was set")
        return reasons

    def _unhealthy(self, relay: str) -> str | None:
        """Return why nothing may start through *relay*; one that starts again is waited for, but once."""
        if self.watch is None or relay in self.given_up:
            return self.given_up.get(relay)
        before = self.interrupts()
        until = time.monotonic() + LOST_S
        while (reason := self.watch.trouble(relay, SAMPLE_S)) is not None:
            if time.monotonic() > until or self.interrupts() > before:
                self.given_up[relay] = reason
                break
            time.sleep(0.5)
        return reason


def restore(
    journal: Journal,
    world: Connections,
    observer: Observer,
    *,
    force: bool = False,
    cancel: bool = False,
    wait_s: float = 14_400.0,
) -> Restored:
    """Put back everything that the journal says is outstanding, newest first, waiting while relocates run."""
    deadline = time.monotonic() + wait_s
    cancelled: set[str] = set()

    def wait(target: Target, running: list[str]) -> None:
        if time.monotonic() > deadline:
            message = f"{target.name}: {', '.join(running)}"
            raise UnreachableError(message, hint="run this again when they have ended, or with --cancel")
        if cancel and target.name not in cancelled:
            cancelled.add(target.name)
            world.host(target.name).cancel_running()
        time.sleep(2.0)

    try:
        return revert(journal, world.target, observer, run=new_run(), force=force, wait=wait)
    except KeyboardInterrupt:
        left = len(journal.outstanding())
        observer(Message(text=f"{left} settings are still changed: run restore-defaults again"))
        raise
