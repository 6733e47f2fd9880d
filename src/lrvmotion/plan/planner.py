"""Make a Plan from the configuration, both inventories and what the targets read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from lrvmotion.checks import compatibility
from lrvmotion.checks import hosts as host_checks
from lrvmotion.checks import path as path_checks
from lrvmotion.checks import placement as placement_checks
from lrvmotion.checks import steering as steering_checks
from lrvmotion.checks import vms as vm_checks
from lrvmotion.config import waves
from lrvmotion.config.address_pool import take
from lrvmotion.config.schema import Config, Relay
from lrvmotion.config.vm_csv import VmOverride
from lrvmotion.errors import RefusedError, UsageError
from lrvmotion.findings import Finding
from lrvmotion.model import host_option
from lrvmotion.model.inventory import DEFAULT_STACK, Host, Inventory, SiteName, VirtualMachine, Vmknic
from lrvmotion.model.mode import Mode
from lrvmotion.model.place_names import SiteNames, cluster, spellings
from lrvmotion.model.placement import Placement
from lrvmotion.model.setting import ABSENT, SettingKey, Value, document, string
from lrvmotion.model.target_id import TargetId, site_object
from lrvmotion.model.vm import vm_address
from lrvmotion.plan import settings, vm_selection
from lrvmotion.plan.modes import MODES
from lrvmotion.plan.placer import Placer
from lrvmotion.plan.plan import Change, Migration, Path, Plan, Skipped, Theirs, Wanted, diff
from lrvmotion.plan.steering import STEERING, assignment

Read = Callable[[TargetId, SettingKey], Value]
Bounds = Callable[[TargetId], Mapping[str, host_option.Bounds]]
BoxDesired = Callable[[Relay, Sequence[str], Sequence[str]], list[Wanted]]


@dataclass(slots=True, kw_only=True)
class Inputs:
    """What a plan rests on.

    *read* gives a setting's value now by (target, key); *bounds* a host's OptionDefs by target; *box* what a relay host
    wants for (relay, sources, targets; for the far relay the sources are the near ones), *unusable* why a relay cannot
    be used at all; *runs* are the runs of this journal; *reboot* allows reboots; *overrides* are of single VMs, by
    name (VirtualMachine.name); *held* are the settings that our journal has outstanding, (target, key); *theirs* are
    those of them that somebody else has changed since we did.
    """

    config: Config
    source: Inventory
    target: Inventory
    read: Read
    bounds: Bounds
    box: BoxDesired
    relay_unusable_reason: Callable[[Relay], str | None]
    runs: Collection[str] = ()
    reboot: bool = False
    overrides: Mapping[str, VmOverride] = field(default_factory=dict)
    held: Collection[tuple[TargetId, SettingKey]] = ()
    theirs: Collection[Theirs] = ()


@dataclass(slots=True)
class _Draft:
    boxes: list[Change] = field(default_factory=list)
    hosts: list[Change] = field(default_factory=list)
    routes: list[Change] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    new_vmknics: list[tuple[TargetId, str]] = field(default_factory=list)
    vmotion: dict[TargetId, list[tuple[str, str, bool]]] = field(default_factory=dict)  # (address, stack, new)
    astray: set[str] = field(default_factory=set)  # source hosts that still send through a relay that is left out


def make(inputs: Inputs, mode: Mode, run: str, vms: Sequence[VirtualMachine], *, owner_id: str | None = None) -> Plan:
    """Return the plan of moving *vms* in *mode*; without VMs, of preparing all configured hosts."""
    owner_id = owner_id or run
    draft = _Draft()
    migrations = queued(_migrations(inputs, vms, draft))
    sources = _hosts(inputs, "source", [m.source_host for m in migrations], whole=not vms)
    targets = _hosts(inputs, "target", [m.placement.host.name for m in migrations], whole=not vms)
    sides: tuple[tuple[SiteName, list[Host]], ...] = (("source", sources), ("target", targets))
    for site, hosts in sides:
        for host in hosts:
            draft.findings += host_checks.ready(site, host)
            draft.findings += host_checks.foreign_runs(site, host, inputs.runs)
            draft.findings += host_checks.foreign_routes(site, host, inputs.config.relay.addresses, inputs.held)
            draft.findings += host_checks.congestion(site, host)
            draft.findings += host_checks.stacks(site, host)
            present = [(nic.address, nic.netstack, False) for nic in host.vmotion_vmknics]
            draft.vmotion[TargetId.host(site, host.name)] = present
    pairs = _pairs(migrations, sources, targets)
    relay_by_host: tuple[tuple[str, str], ...] = ()
    if MODES[mode].CHANGES_SETTINGS:
        for site, hosts in reversed(sides):
            for host in hosts:
                draft.findings += host_checks.dhcp(site, host)
                if host.connection_state == "connected" and host.vmotion_vmknics:
                    _vmknics(inputs, mode, site, host, owner_id, draft)
                    _options(inputs, mode, site, host, draft)
    if MODES[mode].NEEDS_RELAY:
        relay_by_host = _relays(inputs, sources, pairs, draft)
    _leave(inputs.theirs, draft)
    streams = _streams(inputs, sources, draft)
    return Plan(
        run=run,
        owner_id=owner_id,
        mode=mode,
        changes=(*draft.boxes, *draft.hosts, *draft.routes),
        skipped=tuple(draft.skipped),
        migrations=tuple(migrations),
        findings=tuple(draft.findings),
        paths=tuple(_paths(draft, pairs, new=False)),
        proof_paths=tuple(_paths(draft, pairs, new=True)) if MODES[mode].CHANGES_SETTINGS else (),
        new_vmknics=tuple(draft.new_vmknics),
        relays=tuple(dict.fromkeys(relay for _, relay in relay_by_host)),
        far=inputs.config.relay.far.name if relay_by_host and inputs.config.relay.far else None,
        relay_by_host=relay_by_host,
        streams=streams,
        vmknics=max((len(draft.vmotion[TargetId.host("source", host.name)]) for host in sources), default=0),
        theirs=tuple(inputs.theirs),
    )


def _migrations(inputs: Inputs, vms: Sequence[VirtualMachine], draft: _Draft) -> list[Migration]:
    placer = Placer(inputs.config, inputs.source, inputs.target, inputs.overrides)
    numbers = waves.levels(inputs.config.wave)
    names = SiteNames(inputs.source)
    stores = {store.ref: names.stores.typed(store) for store in inputs.source.datastores}
    folders = {(one.datacenter, one.path): names.folders.typed(one) for one in inputs.source.folders}
    said = {vm.ref: vm_address.identity(vm) for vm in vms}
    depends_on = _depends_on(inputs, vms)
    placed: list[tuple[VirtualMachine, Placement]] = []
    migrations = []
    for vm in vms:
        draft.findings += vm_checks.alone(vm, first_class_disks=inputs.config.limits.first_class_disks)
        if not vm_checks.known(vm):
            continue
        placement, found = placer.place(vm)
        draft.findings += found
        if placement is None or vm.host is None:
            continue
        placed.append((vm, placement))
        hot, cold = _bytes(vm)
        override = inputs.overrides.get(vm.name) or VmOverride(vm=vm.name)
        source = inputs.source.host_by_ref(vm.host)
        migrations.append(
            Migration(
                vm=vm.name,
                ref=vm.ref,
                instance_uuid=vm.instance_uuid,
                source_host=source.name,
                placement=placement,
                hot_bytes=hot,
                cold_bytes=cold,
                power_state=vm.power_state,
                snapshots=vm.snapshots,
                change_version=vm.change_version,
                wave=override.wave or waves.number((vm.name, *said[vm.ref].forms), inputs.config.wave, numbers),
                depends_on=depends_on.get(vm.name, ()),
                source_datastores=tuple(
                    sorted({stores[ref] for ref in (vm.home, *(disk.datastore for disk in vm.disks)) if ref in stores})
                ),
                source_home=stores.get(vm.home, "") if vm.home is not None else "",
                source_cluster=spellings(cluster(source))[-1] if source.compute is not None else "",
                source_folder=folders.get((vm.datacenter, vm.folder), vm.folder),
                vmotion_networks=(*_networks("source", source), *_networks("target", placement.host)),
            )
        )
    draft.findings += compatibility.alike(placed)
    return migrations


def _depends_on(inputs: Inputs, vms: Sequence[VirtualMachine]) -> dict[str, tuple[str, ...]]:
    """Return the VMs that move before each, by the names that they have in this run; others keep what they are said by.

    What a CSV file says of a VM wins over the configuration.
    """
    said = vm_address.by_form(map(vm_address.identity, vms))
    names, refs = {vm.ref: vm.name for vm in vms}, {vm.name: vm.ref for vm in vms}

    def known(address: str) -> list[str]:
        return [names[ref] for ref in vm_selection.within(address, said, refs, "depends_on")]

    found = {name: before for address, before in inputs.config.depends_on.items() for name in known(address)}
    found |= {name: wish.depends_on for name, wish in inputs.overrides.items() if wish.depends_on is not None}
    return {
        name: tuple(dict.fromkeys(one for other in before for one in known(other) or [other]))
        for name, before in found.items()
    }


def _networks(site: SiteName, host: Host) -> list[str]:
    """Return the port groups of the vMotion vmknics of *host*; distributed ones by key, others by the vmknic."""
    groups = (nic.portgroup or nic.portgroup_key or nic.device for nic in host.vmotion_vmknics)
    return sorted({site_object(site, group) for group in groups})


def queued(migrations: Sequence[Migration]) -> list[Migration]:
    """Return *migrations* as they are queued: by wave, and within one the longest first, so that the end is even.

    Of those that are equal the order stays in which they were chosen.

    Raise UsageError where one would wait for ever.
    """
    turns = (waves.Turn(vm=move.vm, wave=move.wave, depends_on=move.depends_on) for move in migrations)
    if wrong := waves.mistakes(turns):
        raise UsageError("; ".join(wrong), hint="[[wave]] and [after] of the configuration and the CSV file say so")
    return sorted(migrations, key=lambda move: (move.wave, -(move.hot_bytes + move.cold_bytes)))


def _bytes(vm: VirtualMachine) -> tuple[int, int]:
    """Return what goes by vMotion and what by NFC: a VM that is off, and what lies below a topmost disk (KB 342209)."""
    if vm.power_state != "poweredOn":
        return 0, vm.storage_bytes
    cold = min(sum(disk.below_bytes or 0 for disk in vm.disks), vm.storage_bytes)
    return vm.storage_bytes - cold + vm.memory_bytes, cold


def _hosts(inputs: Inputs, site: SiteName, names: list[str], *, whole: bool) -> list[Host]:
    inventory = inputs.source if site == "source" else inputs.target
    if whole:
        chosen = inputs.config.source.hosts if site == "source" else inputs.config.target.hosts
        return [inventory.host(name) for name in chosen] if chosen else list(inventory.hosts)
    return [inventory.host(name) for name in dict.fromkeys(names)]


def _vmknics(inputs: Inputs, mode: Mode, site: SiteName, host: Host, owner_id: str, draft: _Draft) -> None:
    """Plan the missing vMotion vmknics of *host*, each a clone of the present one in all but its address."""
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


def _options(inputs: Inputs, mode: Mode, site: SiteName, host: Host, draft: _Draft) -> None:
    target = TargetId.host(site, host.name)
    bounds = inputs.bounds(target)
    for wanted in MODES[mode].options(inputs.config, site):
        key = SettingKey.of("option", wanted.key)
        limits = bounds.get(wanted.key)
        if limits is None:
            draft.findings.append(host_checks.option_missing(target, wanted.key))
            continue
        value = min(max(wanted.value, limits.minimum), limits.maximum)
        if value != wanted.value:
            draft.findings.append(host_checks.option_clamped(target, wanted, limits, value))
        now = inputs.read(target, key)
        planned = Value(limits.type, value)
        if now == planned or (wanted.at_least and isinstance(now.data, int) and now.data >= value):
            continue
        if limits.reboot and not inputs.reboot:
            reason = f"{now} -> {value} needs a reboot of the host: not changed without --reboot-hosts"
            draft.skipped.append(Skipped(target=target, key=key, reason=reason))
            continue
        draft.hosts.append(
            Change(target=target, key=key, prior=now, planned=planned, reason=wanted.reason, reboot=limits.reboot)
        )


def _pairs(migrations: list[Migration], sources: list[Host], targets: list[Host]) -> list[tuple[Host, Host]]:
    """Return the pairs of hosts between which VMs move; all of them where no VM is named."""
    if not migrations:
        return [(source, target) for source in sources for target in targets]
    wanted = {(migration.source_host, migration.placement.host.name) for migration in migrations}
    return [(source, target) for source in sources for target in targets if (source.name, target.name) in wanted]


def _relays(
    inputs: Inputs, sources: list[Host], pairs: list[tuple[Host, Host]], draft: _Draft
) -> tuple[tuple[str, str], ...]:
    """Plan the relay hosts, the far one first, and what steers the source hosts' vMotion into them: that comes last.

    Return which host goes through which relay.
    """
    config = inputs.config
    if not config.relay.source:
        draft.findings.append(steering_checks.no_relay())
        return ()
    served, found = assignment.assign(config.relay.source, sources, inputs.relay_unusable_reason)
    draft.findings += found
    relays = [relay for relay in config.relay.source if relay.name in served]
    left_out = {finding.subject for finding in found}
    away = {relay.address: relay.name for relay in config.relay.source if TargetId.relay(relay.name) in left_out}
    if config.relay.far is not None:
        draft.findings += steering_checks.far(config.relay.far, relays, sources, (target for _, target in pairs))
        remote = assignment.addresses(target for _, target in pairs)
        _box(inputs, config.relay.far, [relay.address for relay in relays], remote, draft)
    for relay in relays:
        hosts = served[relay.name]
        remote = assignment.addresses(target for source, target in pairs if source in hosts)
        _box(inputs, relay, assignment.addresses(hosts), remote, draft)
        for host in hosts:
            targets = [target for source, target in pairs if source is host]
            draft.findings += steering_checks.off_subnet(host, targets)
            draft.findings += steering_checks.relay_beside(host, relay.name, relay.address)
            draft.findings += STEERING[config.steer].findings(host)
            target = TargetId.host("source", host.name)
            wanted = STEERING[config.steer].settings(host, relay, assignment.addresses(targets))
            now = {key: inputs.read(target, key) for key, _, _ in wanted}
            draft.routes += diff(target, now, wanted)
            if lost := {away[str(value.data)] for value in now.values() if str(value.data) in away}:
                draft.astray.add(host.name)
                draft.findings.append(path_checks.astray(target, lost))
    return tuple((host.name, relay.name) for relay in relays for host in served[relay.name])


def _box(inputs: Inputs, relay: Relay, senders: Sequence[str], targets: Sequence[str], draft: _Draft) -> None:
    name = TargetId.relay(relay.name)
    wanted = inputs.box(relay, senders, targets)
    draft.boxes += diff(name, {key: inputs.read(name, key) for key, _, _ in wanted}, wanted)


def _streams(inputs: Inputs, sources: list[Host], draft: _Draft) -> int:
    """Return how many TCP streams a migration will have: helpers planned, else set now (0: automatic, one)."""
    counts = []
    for host in sources:
        target = TargetId.host("source", host.name)
        key = SettingKey.of("option", settings.HELPERS)
        planned = [change.planned for change in draft.hosts if (change.target, change.key) == (target, key)]
        value = planned[0] if planned else inputs.read(target, key) if host.connection_state == "connected" else ABSENT
        counts.append(int(value.data or 0))
    return max([*counts, 1])


def _paths(draft: _Draft, pairs: list[tuple[Host, Host]], *, new: bool) -> list[Path]:
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
