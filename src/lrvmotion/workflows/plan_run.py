"""Make the plan of a run: connect, collect, probe, plan; nothing is written anywhere."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lrvmotion.checks import compatibility, devices, metadata, placement, privileges, reboot, relay_hosts, sites, window
from lrvmotion.checks import path as path_checks
from lrvmotion.checks import vms as vm_checks
from lrvmotion.checks.catalogue import LOCKED, Code
from lrvmotion.config import name_check
from lrvmotion.config.schema import Config, Relay
from lrvmotion.config.vm_csv import VmOverride
from lrvmotion.errors import LrvmotionError, RefusedError, UnreachableError
from lrvmotion.events import Found, Observer
from lrvmotion.findings import Finding, errors, first_few, together
from lrvmotion.model.inventory import SITES, Inventory, MoRef
from lrvmotion.model.load_report import LoadReport
from lrvmotion.model.mode import Mode
from lrvmotion.model.relay.relay_spec import RelaySpec
from lrvmotion.model.setting import ABSENT, SettingKey
from lrvmotion.model.target_id import TargetId
from lrvmotion.plan import data_paths, plan_forecast, planner, refusals, staleness
from lrvmotion.plan.layout import Inputs, Layout, Readings, RelayRole, gather, lay_out
from lrvmotion.plan.modes import MODES, available
from lrvmotion.plan.plan import Migration, Plan, Theirs, Wanted, reboots
from lrvmotion.plan.settings import KEYS
from lrvmotion.plan.staleness import Subjects
from lrvmotion.plan.vm_selection import Choice, MovedVm
from lrvmotion.ports import pinger
from lrvmotion.run import path_probe
from lrvmotion.workflows import vm_choice
from lrvmotion.workflows.connections import Connections

if TYPE_CHECKING:
    from lrvmotion.vsphere.session import Session

_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


def new_run() -> str:
    """Return a fresh run id: six letters and digits, fit for port group and nft table names."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(6))


def resolve(config: Config, mode: str | None, load: LoadReport | None = None) -> Mode:
    """Return the mode to use: asked, configured, else the one with the best forecast from the load probe *load*.

    Without a probe: the available one that changes most, proxy where a relay is configured, else native.
    """
    wanted = mode or config.mode or "auto"
    if wanted == "auto":
        if load is not None and (best := plan_forecast.choose(config, load)) is not None:
            return best
        return available(config)[-1]
    return next(name for name in MODES if name == wanted)


@dataclass(slots=True, kw_only=True)
class RunOptions:
    """What the user asked of one run; *load* is the latest load probe, *load_age_s* how old it is.

    *past* are recorded moves over the same circuit: (mode, Mbit/s). The forecast has the relays' cap of *now*; None:
    the one that they start with.
    """

    mode: Mode
    now: datetime | None = None
    load: LoadReport | None = None
    load_age_s: float | None = None
    past: Sequence[tuple[Mode, float]] = ()
    unproven: bool = False
    skip_refused: bool = False
    reboot_hosts: bool = False
    eject: bool = False
    max_failures: int | None = None
    restore_command: str = "lrvmotion restore-defaults"
    resume_command: str = "lrvmotion migrate --resume"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A plan, and the facts that it rests on (basis.facts)."""

    plan: Plan
    facts: dict[str, str]


def prepare(
    config: Config,
    connections: Connections,
    observer: Observer,
    choice: Choice,
    options: RunOptions,
    *,
    runs: Collection[str] = (),
    owner_id: str | None = None,
    held: Collection[tuple[TargetId, SettingKey]] = (),
    theirs: Collection[Theirs] = (),
    moved: Sequence[MovedVm] = (),
) -> Prepared:
    """Return the plan of moving the chosen VMs, with everything measured and found; nothing is written anywhere.

    *runs* are the runs of the journal, *owner_id* the id that what is outstanding carries, None where nothing is;
    *held* is what is outstanding, (target, key), *theirs* what somebody else has changed of that; *moved* are the
    VMs that runs of the journal moved (run_state.moved_by).
    """
    source, target = inventories(connections)
    name_check.verify(config, source, target)
    chosen = vm_choice.choose(config, connections, source, target, choice, moved)
    source, refs, wanted = chosen.source, chosen.refs, chosen.wanted
    run = new_run()
    plan = planned(
        config, connections, observer, source, refs, wanted, options,
        runs=runs, run=run, owner_id=owner_id or run, held=held, theirs=theirs, noticed=chosen.findings,
    )  # fmt: skip
    return Prepared(plan=plan, facts=rests_on(Subjects.of(plan), plan.mode, config, source, target, owner_id))


def inventories(connections: Connections) -> tuple[Inventory, Inventory]:
    """Return the source's and the target's inventory."""
    for site in SITES:
        connections.session(site)
    with ThreadPoolExecutor(len(SITES)) as pool:  # each vCenter takes its time to look through what it has
        source, target = pool.map(connections.inventory, SITES)
    return source, target


def rests_on(
    subjects: Subjects, mode: Mode, config: Config, source: Inventory, target: Inventory, owner_id: str | None
) -> dict[str, str]:
    """Return the facts; a mode that changes nothing rests on nothing that is outstanding."""
    held = owner_id if MODES[mode].CHANGES_SETTINGS else None
    return staleness.facts(subjects, config, source, target, held)


def planned(
    config: Config,
    connections: Connections,
    observer: Observer,
    source: Inventory,
    refs: Sequence[MoRef],
    wanted: Mapping[str, VmOverride],
    options: RunOptions,
    *,
    runs: Collection[str],
    run: str,
    owner_id: str,
    held: Collection[tuple[TargetId, SettingKey]] = (),
    theirs: Collection[Theirs] = (),
    noticed: Sequence[Finding] = (),
) -> Plan:
    """Make the plan, check its moves, measure its paths and try its addresses; *noticed* was found on the way to it.

    With *options.skip_refused* it is made again without the VMs that have errors of their own, unless that is all.
    """
    from lrvmotion.vsphere.inventory.write_rates import written

    chosen = {vm.ref: vm for vm in source.vms}
    found: list[Finding] = []
    inputs = Inputs(
        config=config,
        source=source,
        target=connections.inventory("target"),
        runs={*runs, owner_id},
        reboot=options.reboot_hosts,
        overrides=wanted,
        held=held,
        theirs=theirs,
        eject=options.eject,
    )
    left = [chosen[ref] for ref in refs]
    refused: list[Finding] = []
    while True:
        found[:] = noticed
        layout = lay_out(inputs, options.mode, left)
        plan = planner.make(layout, read(layout, connections, owner_id, runs, found), run, owner_id=owner_id)
        found += prechecks(
            connections.session("source"), connections.session("target"), source, inputs.target, plan.migrations,
            eject=options.eject,
        )  # fmt: skip
        found += _lacking(connections, source, plan)
        own = refusals.own_errors([*plan.findings, *found], [vm.name for vm in left], plan.migrations)
        if not (options.skip_refused and own) or len(own) == len(left):
            break
        refused += [finding for errors in own.values() for finding in errors]
        left = [vm for vm in left if vm.name not in own]
    plan = replace(plan, refused=tuple(refused), data_paths=data_paths.find(plan, source, inputs.target))
    qualities = path_probe.measure(plan.paths, connections, observer, probes=config.limits.probes)
    for quality in qualities:
        found += path_checks.quality(quality, limit_rtt_ms=config.limits.rtt_ms, limit_loss=config.limits.loss)
    found += _answering(plan, connections)
    found += _reaching(plan, connections, config)
    found += reboot.order([connections.rebooter(host).readiness() for host in reboots(plan.changes)])
    running = {move.ref: move.vm for move in plan.migrations if move.power_state == "poweredOn"}
    dirty = {running[ref]: rate for ref, rate in written(connections.session("source"), list(running)).items()}
    made = plan_forecast.make(
        plan, _in_force(plan, config, options.now, connections), source.hosts, qualities,
        load=options.load, age_s=options.load_age_s, past=options.past, dirty=dirty,
        targets=inputs.target.hosts, relay_nics=_relay_nics(plan, config, connections),
    )  # fmt: skip
    if options.now is not None:
        found += window.fits(config.windows, options.now, {vm.vm: vm.seconds for vm in made.vms})
    plan = replace(plan, findings=(*plan.findings, *found), forecast=made)
    for finding in (*plan.refused, *plan.findings):
        observer(Found(finding=finding))
    return plan


def read(
    layout: Layout, connections: Connections, owner_id: str, runs: Collection[str], found: list[Finding]
) -> Readings:
    """Read what the plan of *layout* needs of hosts and relay hosts; *found* gets what is found on relay hosts."""
    return gather(
        layout,
        unusable=lambda relay: _relay_unusable_reason(connections, relay, owner_id, runs),
        wanted=lambda role: _box_desired(layout.inputs.config, connections, role, owner_id, runs, found),
        bounds=lambda name: connections.host(name).bounds(KEYS),
        read=lambda name, key: connections.target(name).read(key),
    )


def prechecks(
    source: Session,
    target: Session,
    here: Inventory,
    there: Inventory,
    migrations: Sequence[Migration],
    *,
    eject: bool = False,
) -> list[Finding]:
    """Return what blocks *migrations*, by our own checks and by vCenter's; nothing is written anywhere.

    *eject*: their drives are emptied before they move.
    """
    from lrvmotion.vsphere.inventory import surroundings
    from lrvmotion.vsphere.vm.precheck import check_relocate

    if not migrations:
        return []
    around = surroundings.read(source, target, here, there, migrations)
    vms = {vm.ref: vm for vm in here.vms}
    found = [finding for one in migrations for finding in vm_checks.placed(vms[one.ref], one.placement, around)]
    networks = {network.ref: network for network in here.networks}
    for one in migrations:
        found += compatibility.switches(vms[one.ref], one.placement, networks)
    ejected = {one.vm for one in migrations if eject and devices.ejectable(vms[one.ref])}
    said = compatibility.relocates(check_relocate(source, target, migrations), ejected)
    return [*found, *metadata.unread(around), *said]


def _lacking(connections: Connections, source: Inventory, plan: Plan) -> list[Finding]:
    """Return which privileges the account lacks for what is changed at the VMs themselves."""
    from lrvmotion.vsphere import health

    vms = {vm.ref: vm for vm in source.vms}
    wanted = privileges.to_eject(vms[one.ref] for one in plan.migrations) if plan.eject else {}
    if not wanted:
        return []
    session = connections.session("source")
    try:
        lacking = health.lacking(session, wanted)
    except LrvmotionError as error:
        return [*sites.privileges("source", session.username, None, error.message)]
    return [*sites.privileges("source", session.username, lacking)]


def _in_force(plan: Plan, config: Config, now: datetime | None, connections: Connections) -> Config:
    """Return *config* with the cap of *now*: a timetable's, else what the relays have that go on as they are.

    Somebody may have throttled them.
    """
    from lrvmotion.relay.status import health

    if config.relay.timetable is not None:
        return config if now is None else config.at(now)
    changed = {change.target for change in plan.changes}
    caps: list[int | None] = []
    for relay in plan.relays:
        if TargetId.relay(relay) not in changed:
            with suppress(LrvmotionError):  # one that does not answer is told by its own finding
                caps.append(health(connections.shell(TargetId.relay(relay)), plan.owner_id).limit_bps)
    return config.limited(min((cap for cap in caps if cap is not None), default=None)) if caps else config


def _relay_nics(plan: Plan, config: Config, connections: Connections) -> dict[str, int]:
    """Return the link of each near relay's interface, Mbit/s, where its box tells."""
    found = {}
    for relay in config.relay.source:
        if relay.name in plan.relays:
            seen = connections.facts(TargetId.relay(relay.name))
            device = seen.interface_of(relay.address)
            speed = next((speed for link, _, speed in seen.links if link == device), None)
            if speed:
                found[relay.name] = speed
    return found


def _box_desired(
    config: Config,
    connections: Connections,
    role: RelayRole,
    owner_id: str,
    runs: Collection[str],
    found: list[Finding],
) -> list[Wanted]:
    from lrvmotion.relay import install
    from lrvmotion.relay.packet_filter import rules

    relay, seen = role.relay, connections.facts(role.target)
    far = config.relay.far
    if far is not None and relay.name == far.name:  # its senders are the near relays
        sources = [nic.address for host in connections.inventory("source").hosts for nic in host.vmotion_vmknics]
        roles: dict[str, Any] = {"sources": tuple(sources), "accept_proxy_from": role.senders}
    else:
        forward = None if far is None else (far.address, far.listen_port)
        roles = {"sources": role.senders, "forward": forward, "limit_bps": config.relay.cap_bps}
    spec = RelaySpec(
        name=relay.name,
        run=owner_id,
        address=relay.address,
        listen_port=relay.listen_port,
        service_port=8000,
        targets=role.targets,
        **roles,
        congestion_control="bbr" if seen.bbr else "cubic",
    )
    standing = relay_hosts.usable(seen, spec, runs)
    found += standing
    if errors(standing):
        return []
    view = rules.look(connections.shell(role.target), seen, spec)
    cures = rules.commands(view, seen, spec)
    found += relay_hosts.packet_filter(view, spec, cures, opened=relay.open_firewall)
    opened = rules.openings(view, seen, spec, owner_id) if relay.open_firewall else ()
    return install.desired(spec, seen, opened=opened)


def _relay_unusable_reason(connections: Connections, relay: Relay, owner_id: str, runs: Collection[str]) -> str | None:
    """Return why *relay* cannot be used at all: its box does not answer, or a check refuses it."""

    try:
        seen = connections.facts(TargetId.relay(relay.name))
    except (UnreachableError, RefusedError) as error:
        return error.message
    spec = RelaySpec(
        name=relay.name, run=owner_id, address=relay.address, listen_port=relay.listen_port, sources=(), targets=()
    )
    standing = errors(relay_hosts.usable(seen, spec, runs))
    return standing[0].summary if standing else None


def _reaching(plan: Plan, connections: Connections, config: Config) -> list[Finding]:
    """Try the way from every near relay's box to a far relay that does not run yet: nothing listens, but it answers."""
    from lrvmotion.relay.far_reach import reach

    far = config.relay.far
    if far is None:
        return []
    box = TargetId.relay(far.name)
    starts = [c for c in plan.changes if c.target == box and c.key.kind.name in {"unit", "process"}]
    if not starts or starts[0].prior != ABSENT:
        return []
    found: list[Finding] = []
    for relay in config.relay.source:
        if relay.name in plan.relays:
            name = TargetId.relay(relay.name)
            spec = RelaySpec(
                name=relay.name, run=plan.owner_id, address=relay.address, sources=(), targets=(),
                forward=(far.address, far.listen_port),
            )  # fmt: skip
            found += relay_hosts.way_to_far(spec, reach(connections.shell(name), connections.facts(name), spec))
    return found


def _answering(plan: Plan, connections: Connections) -> list[Finding]:
    """Ping every new address from a present vmknic of its host: an address that answers is somebody else's."""
    found = []
    for target, address in plan.new_vmknics:
        nic = connections.inventory(target.connection).host(target.name).vmotion_vmknics[0]
        request = pinger.PingRequest(
            netstack=nic.netstack, source=nic.address, address=address, count=2, interval_s=0.2
        )  # fmt: skip
        try:
            pings = connections.ping(target, request)
        except pinger.PingRefused:
            continue  # the path's own finding says that nothing can be pinged
        if pings.received:
            found.append(placement.address_in_use(target, address))
    return found


def refuse(plan: Plan) -> None:
    """Raise for the error findings of *plan*: locked by another run, or refused by a check."""
    bad = errors(list(plan.findings))
    if not bad:
        return
    message = "\n".join(_told(bad))
    hint = bad[0].hint if len(bad) == 1 else None
    own = refusals.own_errors(bad, {finding.subject.removeprefix("vm/"): None for finding in bad})
    if not refusals.others(bad, own) and (rest := [move for move in plan.migrations if move.vm not in own]):
        more = "--skip-refused goes on with " + ("the other VM" if len(rest) == 1 else f"the other {len(rest)} VMs")
        hint = f"{hint}; {more}" if hint else more
    if any(finding.code in LOCKED for finding in bad):
        raise UnreachableError(message, hint=hint)
    raise RefusedError(message, hint=hint)


def _told(bad: Sequence[Finding]) -> Iterator[str]:
    """Yield the lines that say the errors *bad*: one in a sentence, several in a list, each with what helps it."""
    if len(bad) == 1:
        yield f"{bad[0].subject}: {bad[0].summary}  [{bad[0].code}]"
        return
    yield f"{len(bad)} errors refuse the plan"
    for one, subjects in together(bad).items():
        yield f"  {first_few(subjects)}: {one.summary}  [{one.code}]"
        if one.hint:
            yield f"    hint: {one.hint}"


def refuse_unproven(plan: Plan) -> None:
    """Raise RefusedError where it is known before anything is changed that the path cannot be verified."""
    unmeasured = [finding for finding in plan.findings if finding.code == Code.PATH_NOT_MEASURED]
    if MODES[plan.mode].CHANGES_SETTINGS and unmeasured:
        message = f"the path cannot be verified: {unmeasured[0].subject}: {unmeasured[0].summary}; nothing was changed"
        raise RefusedError(message, hint=f"--unproven moves in {plan.mode} mode all the same")
