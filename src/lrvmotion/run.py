"""The migrate command joined up: connect, collect, probe, plan, apply, prove, move, put back."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

from lrvmotion import planner, probe, select
from lrvmotion.apply import Restored, Target, apply, revert
from lrvmotion.config import Config, Relay
from lrvmotion.connect import Connections
from lrvmotion.errors import LrvmotionError, NotRestoredError, RefusedError, UnreachableError
from lrvmotion.events import Found, Observer, Proven, RelaySample, RunEnded, RunStarted
from lrvmotion.findings import Finding, Severity, errors
from lrvmotion.inventory import SiteName
from lrvmotion.journal import Journal
from lrvmotion.migrate import Hooks, drive
from lrvmotion.path import judge
from lrvmotion.plan import Migration, Mode, Plan, Value
from lrvmotion.schedule import Schedule
from lrvmotion.settings import KEYS

PROOF_PINGS = 3
IN_PATH_S = 15.0  # a first move that shows no stream at the relay by then goes past it
SAMPLE_S = 2.0
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
    spec = RelaySpec(
        name=relay.name,
        run=mark,
        address=relay.address,
        listen_port=relay.listen_port,
        service_port=8000,
        sources=tuple(senders),
        targets=tuple(targets),
        limit_bps=config.relay.limit,
        congestion_control="bbr" if seen.bbr else "cubic",
    )
    standing = facts.findings(seen, spec, runs)
    found += standing
    return [] if errors(standing) else install.desired(spec, seen)


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
    started: float | None = None
    sampled: float = 0.0
    seen_streams: bool = False
    unhealthy: dict[str, str] = field(default_factory=dict)

    def go(self) -> None:
        """Apply the plan, prove it, move the VMs. What was changed stays, but for a proof that fails (exit 3)."""
        plan = self.plan
        self.journal.append("run", plan.run, {"schema": 1, "mode": plan.mode, "vms": [m.vm for m in plan.migrations]})
        for name in ("source", "target", *(f"box/{relay}" for relay in plan.relays)):
            self.journal.append("connection", plan.run, self.world.pinned(name))
        vms = tuple(migration.vm for migration in plan.migrations)
        self.observer(RunStarted(run=plan.run, mode=plan.mode, journal=str(self.journal.path), vms=vms))
        try:
            self._quiet()
            targets = {change.target: self.world.target(change.target) for change in plan.changes}
            apply(plan.changes, targets, self.journal, plan.run, self.observer)
            self._prove()
        except RefusedError as error:
            self._take_back(error)
        self._move()
        left = len(self.journal.outstanding())
        self.observer(RunEnded(run=plan.run, outstanding=left, restore="lrvmotion restore-defaults" if left else None))

    def _quiet(self) -> None:
        """Refuse to write to a host on which a relocate runs, DRS's own included."""
        for name in dict.fromkeys(change.target for change in self.plan.changes):
            running = self.world.target(name).busy()
            if running:
                message = f"{name}: {', '.join(running)}; nothing was changed"
                raise UnreachableError(message, hint="wait until it has ended, then run this again")

    def _take_back(self, error: RefusedError) -> None:
        run = self.plan.run
        restored = revert(self.journal, self.world.target, self.observer, run=run, only=lambda item: item.run == run)
        if restored.left:
            message = f"{error.message}; and {len(restored.left)} settings could not be put back"
            raise NotRestoredError(message, hint="lrvmotion restore-defaults") from error
        raise RefusedError(f"{error.message}; everything was put back", hint=error.hint) from error  # noqa: EM102

    def _prove(self) -> None:
        """Walk every planned pair before the first move; in proxy mode the relay must have forwarded these probes."""
        plan = self.plan
        before = {relay: self._echoes(relay) for relay in plan.relays}
        sent = 0
        for path in plan.proofs:
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
        with RelocateMover(self.world.session("source"), self.world.session("target")) as mover:
            drive(plan.migrations, schedule, mover, self.observer, hooks)

    def _record(self, kind: str, body: dict[str, str]) -> None:
        self.journal.append(kind, self.plan.run, body)

    def _watch(self, running: list[str]) -> str | None:
        """Sample the relays; return why no further VM may start."""
        if not self.plan.relays:
            return None
        now = time.monotonic()
        if self.started is None and running:
            self.started = now
        if now - self.sampled >= SAMPLE_S:
            self.sampled = now
            for relay in self.plan.relays:
                self._sample(relay)
        late = self.started is not None and now - self.started > IN_PATH_S
        if running and late and not self.seen_streams:
            return "not in the path: the relay has seen no stream of the running move"
        return None

    def _sample(self, relay: str) -> None:
        from lrvmotion.relay.status import health

        try:
            status = health(self.world.shell(f"box/{relay}"), self.plan.mark)
        except LrvmotionError as error:
            self.unhealthy[relay] = f"relay {relay}: {error.message}"
            return
        self.unhealthy.pop(relay, None)
        self.seen_streams = self.seen_streams or status.streams > 0 or status.peak_streams > 0
        self.observer(
            RelaySample(
                relay=relay, streams=status.streams, bps=status.bps, rtt_ms=status.rtt_ms,
                retransmits=status.retransmits, limiter=status.limiter, bytes=status.bytes,
            )
        )  # fmt: skip

    def _hold(self, migration: Migration) -> list[str]:
        """Return why *migration* may not start now: a setting not as applied, or a relay that is not healthy."""
        for relay in self.plan.relays:
            self._sample(relay)
        reasons = list(self.unhealthy.values())
        mine = {f"source/{migration.source_host}", f"target/{migration.placement.host.name}"}
        mine |= {f"box/{relay}" for relay in self.plan.relays}
        for item in self.journal.outstanding():
            if item.target in mine:
                now = self.world.target(item.target).read(item.key)
                if now != item.planned[-1]:
                    reasons.append(f"{item.target}: {item.key} is {now.brief()}, {item.planned[-1].brief()} was set")
        return reasons


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

    return revert(journal, world.target, observer, run=new_run(), force=force, wait=wait)
