"""Make a Plan of a layout, by what was read for it; pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from lrvmotion.checks import hosts as host_checks
from lrvmotion.checks import path as path_checks
from lrvmotion.checks import placement as placement_checks
from lrvmotion.checks import steering as steering_checks
from lrvmotion.config.address_pool import take
from lrvmotion.errors import RefusedError
from lrvmotion.findings import Finding
from lrvmotion.model.inventory import DEFAULT_STACK, Host, SiteName, Vmknic
from lrvmotion.model.place_names import spellings
from lrvmotion.model.setting import ABSENT, SettingKey, Value, document, string
from lrvmotion.model.target_id import TargetId
from lrvmotion.plan import settings
from lrvmotion.plan.layout import Layout, Readings, RelayRole, roles, steered
from lrvmotion.plan.modes import MODES
from lrvmotion.plan.plan import Change, Path, Plan, Skipped, Theirs, Wanted, diff
from lrvmotion.plan.steering import STEERING


@dataclass(slots=True, kw_only=True)
class _Draft:
    findings: list[Finding]
    boxes: list[Change] = field(default_factory=list)
    hosts: list[Change] = field(default_factory=list)
    routes: list[Change] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    new_vmknics: list[tuple[TargetId, str]] = field(default_factory=list)
    vmotion: dict[TargetId, list[tuple[str, str, bool]]] = field(default_factory=dict)  # (address, stack, new)
    astray: set[str] = field(default_factory=set)  # source hosts that still send through a relay that is left out


def make(layout: Layout, readings: Readings, run: str, *, owner_id: str | None = None) -> Plan:
    """Return the plan of *layout*, by what was read for it."""
    owner_id = owner_id or run
    inputs = layout.inputs
    draft = _Draft(findings=list(layout.findings))
    for site, host in ((site, host) for site, hosts in layout.sides for host in hosts):
        draft.findings += host_checks.ready(site, host)
        draft.findings += host_checks.foreign_runs(site, host, inputs.runs)
        draft.findings += host_checks.foreign_routes(site, host, inputs.config.relay.addresses, inputs.held)
        draft.findings += host_checks.congestion(site, host)
        draft.findings += host_checks.stacks(site, host)
        present = [(nic.address, nic.netstack, False) for nic in host.vmotion_vmknics]
        draft.vmotion[TargetId.host(site, host.name)] = present
    changes_settings = MODES[layout.mode].CHANGES_SETTINGS
    if changes_settings:
        for site, hosts in reversed(layout.sides):
            draft.findings += [finding for host in hosts for finding in host_checks.dhcp(site, host)]
    for site, host in layout.tuned:
        _vmknics(layout, site, host, owner_id, draft)
        _options(layout, readings, site, host, draft)
    parts, found = roles(layout, readings.unusable)
    draft.findings += found
    _relays(layout, readings, parts, draft)
    _leave(inputs.theirs, draft)
    far = inputs.config.relay.far
    return Plan(
        run=run,
        owner_id=owner_id,
        mode=layout.mode,
        changes=(*draft.boxes, *draft.hosts, *draft.routes),
        skipped=tuple(draft.skipped),
        migrations=layout.migrations,
        findings=tuple(draft.findings),
        paths=tuple(_paths(draft, layout.pairs, new=False)),
        proof_paths=tuple(_paths(draft, layout.pairs, new=True)) if changes_settings else (),
        new_vmknics=tuple(draft.new_vmknics),
        relays=tuple(role.relay.name for role in parts if role.hosts),
        far=far.name if far is not None and parts else None,
        relay_by_host=tuple((host.name, role.relay.name) for role in parts for host in role.hosts),
        streams=_streams(layout, readings, draft),
        vmknics=max((len(draft.vmotion[TargetId.host("source", host.name)]) for host in layout.sources), default=0),
        theirs=tuple(inputs.theirs),
        eject=inputs.eject,
    )


def _vmknics(layout: Layout, site: SiteName, host: Host, owner_id: str, draft: _Draft) -> None:
    """Plan the missing vMotion vmknics of *host*, each a clone of the present one in all but its address."""
    inputs, mode = layout.inputs, layout.mode
    present = host.vmotion_vmknics
    missing = MODES[mode].vmknics(inputs.config, site) - len(present)
    if missing <= 0:
        return
    target = TargetId.host(site, host.name)
    model = next((nic for nic in present if host.can_clone(nic)), None)
    if model is None:
        draft.findings.append(host_checks.vmknic_without_portgroup(target, present[0], mode))
        return
    ours = {key.name for name, key in inputs.held if name == target and key.kind.name == "vmknic"}
    if shared := [*host_checks.shared_subnet(target, host, model, ours)]:
        draft.findings += shared
        return
    vmotion = (inputs.config.source if site == "source" else inputs.config.target).vmotion
    own = next((vmotion.hosts[said] for said in spellings(host) if said in vmotion.hosts), None)
    # Both sites': their vMotion networks reach each other, so that an address of one is no good in the other.
    nics = [nic for there in (inputs.source, inputs.target) for other in there.hosts for nic in other.vmknics]
    used = {at for nic in nics for at in (nic.address, nic.gateway) if at} | {at for _, at in draft.new_vmknics}
    subnet = f"{model.address}/{model.prefix_length}"
    try:
        pool = own.addresses if own and own.addresses else vmotion.addresses
        addresses = take(pool, missing, used, subnet, target)
    except RefusedError as error:
        draft.findings.append(placement_checks.pool_too_small(target, error.message, error.hint))
        return
    reason = f"{mode} mode spreads streams over {len(present) + missing} vmknics"
    taken = {group.name for group in host.portgroups}
    numbers = (n for n in range(1, 1000) if f"lrvmotion-{owner_id}-{n}" not in taken)
    for address in addresses:
        wanted = _vmknic(model, host, address, f"lrvmotion-{owner_id}-{next(numbers)}", reason)
        draft.hosts += diff(target, {}, wanted)
        draft.new_vmknics.append((target, address))
        draft.vmotion[target].append((address, model.netstack, True))


def _vmknic(model: Vmknic, host: Host, address: str, name: str, reason: str) -> list[Wanted]:
    """Return what makes one new vMotion vmknic at *address*: port group (standard switch), vmknic, service, gateway."""
    wanted: list[Wanted] = []
    portgroup: str | None = None
    if model.switch_uuid is None:
        group = next(group for group in host.portgroups if group.name == model.portgroup)
        portgroup = name
        content = document(
            vswitch=group.vswitch, vlan_id=group.vlan_id, active=list(group.active), standby=list(group.standby)
        )
        why = f"a standard port group takes one vmknic; clone of {group.name}"
        wanted.append((SettingKey.of("portgroup", name), content, why))
    content = document(
        portgroup=portgroup,
        switch_uuid=model.switch_uuid,
        portgroup_key=model.portgroup_key,
        netstack=model.netstack,
        prefix_length=model.prefix_length,
        mtu=model.mtu,
    )
    wanted.append((SettingKey.of("vmknic", address), content, reason))
    if model.netstack == DEFAULT_STACK:
        wanted.append((SettingKey.of("vmotion-service", address), Value("bool", data=True), reason))
    if model.gateway is not None:
        wanted.append((SettingKey.of("gateway", address), string(model.gateway), f"as {model.device} has it"))
    return wanted


def _options(layout: Layout, readings: Readings, site: SiteName, host: Host, draft: _Draft) -> None:
    target = TargetId.host(site, host.name)
    bounds = readings.bounds[target]
    for wanted in MODES[layout.mode].options(layout.inputs.config, site):
        key = SettingKey.of("option", wanted.key)
        limits = bounds.get(wanted.key)
        if limits is None:
            draft.findings.append(host_checks.option_missing(target, wanted.key))
            continue
        value = min(max(wanted.value, limits.minimum), limits.maximum)
        if value != wanted.value:
            draft.findings.append(host_checks.option_clamped(target, wanted, limits, value))
        now = readings.values[target, key]
        planned = Value(limits.type, value)
        if now == planned or (wanted.at_least and isinstance(now.data, int) and now.data >= value):
            continue
        if limits.reboot and not layout.inputs.reboot:
            reason = f"{now} → {value} needs a reboot of the host: not changed without --reboot-hosts"
            draft.skipped.append(Skipped(target=target, key=key, reason=reason))
            continue
        draft.hosts.append(
            Change(target=target, key=key, prior=now, planned=planned, reason=wanted.reason, reboot=limits.reboot)
        )


def _relays(layout: Layout, readings: Readings, parts: Sequence[RelayRole], draft: _Draft) -> None:
    """Plan the relay hosts, the far one first, and what steers the source hosts' vMotion into them: that comes last."""
    config = layout.inputs.config
    left_out = readings.unusable.keys() - {role.relay.name for role in parts}
    away = {relay.address: relay.name for relay in layout.relays if relay.name in left_out}
    for role in parts:
        wanted = readings.wanted[role.relay.name]
        draft.boxes += diff(role.target, {key: readings.values[role.target, key] for key, _, _ in wanted}, wanted)
        for host in role.hosts:
            draft.findings += steering_checks.off_subnet(host, layout.beyond([host]))
            draft.findings += steering_checks.relay_beside(host, role.relay.name, role.relay.address)
            draft.findings += STEERING[config.steer].findings(host)
            target = TargetId.host("source", host.name)
            ways = steered(layout, role, host)
            now = {key: readings.values[target, key] for key, _, _ in ways}
            draft.routes += diff(target, now, ways)
            if lost := {away[str(value.data)] for value in now.values() if str(value.data) in away}:
                draft.astray.add(host.name)
                draft.findings.append(path_checks.astray(target, lost))


def _streams(layout: Layout, readings: Readings, draft: _Draft) -> int:
    """Return how many TCP streams a migration will have: helpers planned, else set now (0: automatic, one)."""
    counts = []
    for host in layout.sources:
        target = TargetId.host("source", host.name)
        key = SettingKey.of("option", settings.HELPERS)
        planned = [change.planned for change in draft.hosts if (change.target, change.key) == (target, key)]
        value = planned[0] if planned else readings.values.get((target, key), ABSENT)
        counts.append(int(value.data or 0))
    return max([*counts, 1])


def _paths(draft: _Draft, pairs: Sequence[tuple[Host, Host]], *, new: bool) -> list[Path]:
    """Return what to probe: without *new* one pair of present vmknics for a pair of hosts, with it all that will be."""
    paths = []
    for source, target in pairs:
        if source.name in draft.astray and not new:
            continue
        found = [
            Path(
                source_host=source.name,
                source_address=address,
                netstack=stack,
                target_host=target.name,
                target_address=other,
                new=new_vmknics or other_fresh,
            )
            for address, stack, new_vmknics in draft.vmotion[TargetId.host("source", source.name)]
            for other, _, other_fresh in draft.vmotion[TargetId.host("target", target.name)]
        ]
        paths += found if new else [path for path in found if not path.new][:1]
    return paths


def _leave(theirs: Collection[Theirs], draft: _Draft) -> None:
    """Leave and name what somebody else changed since we set it; a way through a relay that is needed is an error."""
    taken = {(one.target, one.key) for one in theirs}
    ways = {(change.target, change.key) for change in draft.routes}
    for changes in (draft.boxes, draft.hosts, draft.routes):
        changes[:] = [change for change in changes if (change.target, change.key) not in taken]
    for one in theirs:
        draft.findings.append(
            host_checks.changed_by_others(
                one.target, one.key, run=one.run, now=one.now.brief(), ours=one.ours.brief(), prior=one.prior.brief(),
                needed=(one.target, one.key) in ways,
            )
        )  # fmt: skip
