"""What a plan would use: which VMs move where, over which hosts and relays, and what is to be read of those; pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from lrvmotion.checks import compatibility
from lrvmotion.checks import steering as steering_checks
from lrvmotion.checks import vms as vm_checks
from lrvmotion.config import waves
from lrvmotion.config.schema import Config, Relay
from lrvmotion.config.vm_csv import VmOverride
from lrvmotion.errors import UsageError
from lrvmotion.findings import Finding
from lrvmotion.model.host_option import Bounds
from lrvmotion.model.inventory import Host, Inventory, SiteName, VirtualMachine
from lrvmotion.model.mode import Mode
from lrvmotion.model.place_names import SiteNames, cluster, spellings
from lrvmotion.model.placement import Placement
from lrvmotion.model.setting import SettingKey, Value
from lrvmotion.model.target_id import TargetId, site_object
from lrvmotion.model.vm import vm_address
from lrvmotion.plan import settings, vm_selection
from lrvmotion.plan.modes import MODES
from lrvmotion.plan.placer import Placer
from lrvmotion.plan.plan import Migration, Theirs, Wanted
from lrvmotion.plan.steering import STEERING, assignment


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What a plan rests on besides the settings of hosts and relay hosts.

    *runs* are the runs of this journal; *reboot* allows reboots; *overrides* are of single VMs, by name
    (VirtualMachine.name); *held* are the settings that our journal has outstanding, (target, key); *theirs* are those
    of them that somebody else has changed since we did. *eject*: drives are emptied before their VMs move.
    """

    config: Config
    source: Inventory
    target: Inventory
    runs: Collection[str] = ()
    reboot: bool = False
    overrides: Mapping[str, VmOverride] = field(default_factory=dict)
    held: Collection[tuple[TargetId, SettingKey]] = ()
    theirs: Collection[Theirs] = ()
    eject: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayRole:
    """A relay host's part in a plan: whom it listens to, and where to it carries; of the far one *hosts* are none."""

    relay: Relay
    senders: tuple[str, ...]
    targets: tuple[str, ...]
    hosts: tuple[Host, ...] = ()

    @property
    def target(self) -> TargetId:
        """The relay host, as a target of settings."""
        return TargetId.relay(self.relay.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Which VMs move where, and over which hosts: all of them that are configured where no VM was chosen.

    *pairs* are the hosts between which VMs move.
    """

    inputs: Inputs
    mode: Mode
    migrations: tuple[Migration, ...]
    sources: tuple[Host, ...]
    targets: tuple[Host, ...]
    pairs: tuple[tuple[Host, Host], ...]
    findings: tuple[Finding, ...]

    @property
    def sides(self) -> tuple[tuple[SiteName, tuple[Host, ...]], ...]:
        """Both sites with their hosts."""
        return ("source", self.sources), ("target", self.targets)

    @property
    def tuned(self) -> tuple[tuple[SiteName, Host], ...]:
        """The hosts whose options and vmknics the mode sets, the target's first."""
        if not MODES[self.mode].CHANGES_SETTINGS:
            return ()
        return tuple(
            (site, host)
            for site, hosts in reversed(self.sides)
            for host in hosts
            if host.connection_state == "connected" and host.vmotion_vmknics
        )

    @property
    def relays(self) -> tuple[Relay, ...]:
        """The near relays that hosts could go through."""
        return tuple(self.inputs.config.relay.source) if MODES[self.mode].NEEDS_RELAY else ()

    def beyond(self, hosts: Collection[Host]) -> list[Host]:
        """Return the target hosts that VMs of the source *hosts* go to."""
        return [target for source, target in self.pairs if source in hosts]


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """What was read for a layout; nothing else is asked for a plan.

    *unusable* says why a relay cannot be used at all; *wanted* what each relay host is to have; *bounds* are hosts'
    OptionDefs; *values* the settings as they are now.
    """

    unusable: Mapping[str, str] = field(default_factory=dict)
    wanted: Mapping[str, Sequence[Wanted]] = field(default_factory=dict)
    bounds: Mapping[TargetId, Mapping[str, Bounds]] = field(default_factory=dict)
    values: Mapping[tuple[TargetId, SettingKey], Value] = field(default_factory=dict)


def lay_out(inputs: Inputs, mode: Mode, vms: Sequence[VirtualMachine]) -> Layout:
    """Return the layout of moving *vms* in *mode*; without VMs, of preparing all configured hosts."""
    findings: list[Finding] = []
    migrations = queued(_migrations(inputs, vms, findings))
    sources = _hosts(inputs, "source", [move.source_host for move in migrations], whole=not vms)
    targets = _hosts(inputs, "target", [move.placement.host.name for move in migrations], whole=not vms)
    return Layout(
        inputs=inputs,
        mode=mode,
        migrations=tuple(migrations),
        sources=tuple(sources),
        targets=tuple(targets),
        pairs=tuple(_pairs(migrations, sources, targets)),
        findings=tuple(findings),
    )


def roles(layout: Layout, unusable: Mapping[str, str]) -> tuple[tuple[RelayRole, ...], list[Finding]]:
    """Return the parts of the relay hosts, the far one first, and what was found; none where there is no relay.

    *unusable* relays are left out where others serve their hosts (assignment.assign).
    """
    if not layout.relays:
        return (), [steering_checks.no_relay()] if MODES[layout.mode].NEEDS_RELAY else []
    served, found = assignment.assign(layout.relays, layout.sources, unusable)
    near = [
        RelayRole(
            relay=relay,
            senders=tuple(assignment.addresses(served[relay.name])),
            targets=tuple(assignment.addresses(layout.beyond(served[relay.name]))),
            hosts=tuple(served[relay.name]),
        )
        for relay in layout.relays
        if relay.name in served
    ]
    far = layout.inputs.config.relay.far
    if far is None:
        return tuple(near), found
    ends = [target for _, target in layout.pairs]
    found += steering_checks.far(far, [role.relay for role in near], layout.sources, ends)
    senders = tuple(role.relay.address for role in near)
    return (RelayRole(relay=far, senders=senders, targets=tuple(assignment.addresses(ends))), *near), found


def steered(layout: Layout, role: RelayRole, host: Host) -> list[Wanted]:
    """Return the settings that steer the vMotion of *host*, one of those of *role*, into its relay."""
    beyond = assignment.addresses(layout.beyond([host]))
    return STEERING[layout.inputs.config.steer].settings(host, role.relay, beyond)


def gather(
    layout: Layout,
    *,
    unusable: Callable[[Relay], str | None],
    wanted: Callable[[RelayRole], Sequence[Wanted]],
    bounds: Callable[[TargetId], Mapping[str, Bounds]],
    read: Callable[[TargetId, SettingKey], Value],
) -> Readings:
    """Ask for all that the plan of *layout* needs, once each."""
    near = assignment.near(layout.relays, layout.sources)
    reasons = {relay.name: why for relay in near if len(near) > 1 and (why := unusable(relay)) is not None}
    parts, _ = roles(layout, reasons)
    boxes = {role.relay.name: wanted(role) for role in parts}
    limits = {TargetId.host(site, host.name): bounds(TargetId.host(site, host.name)) for site, host in layout.tuned}
    keys = dict.fromkeys(_keys(layout, parts, boxes, limits))
    return Readings(
        unusable=reasons, wanted=boxes, bounds=limits, values={(name, key): read(name, key) for name, key in keys}
    )


def _keys(
    layout: Layout,
    parts: Sequence[RelayRole],
    boxes: Mapping[str, Sequence[Wanted]],
    limits: Mapping[TargetId, Mapping[str, Bounds]],
) -> Iterator[tuple[TargetId, SettingKey]]:
    """Yield the settings whose present values count."""
    for site, host in layout.tuned:
        name = TargetId.host(site, host.name)
        for option in MODES[layout.mode].options(layout.inputs.config, site):
            if option.key in limits[name]:
                yield name, SettingKey.of("option", option.key)
    for role in parts:
        yield from ((role.target, key) for key, _, _ in boxes[role.relay.name])
        for host in role.hosts:
            yield from ((TargetId.host("source", host.name), key) for key, _, _ in steered(layout, role, host))
    for host in layout.sources:
        if host.connection_state == "connected":
            yield TargetId.host("source", host.name), SettingKey.of("option", settings.HELPERS)


def _migrations(inputs: Inputs, vms: Sequence[VirtualMachine], findings: list[Finding]) -> list[Migration]:
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
        findings += vm_checks.alone(vm, first_class_disks=inputs.config.limits.first_class_disks, eject=inputs.eject)
        if not vm_checks.known(vm):
            continue
        placement, found = placer.place(vm)
        findings += found
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
    findings += compatibility.alike(placed)
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


def _pairs(migrations: list[Migration], sources: list[Host], targets: list[Host]) -> list[tuple[Host, Host]]:
    """Return the pairs of hosts between which VMs move; all of them where no VM is named."""
    if not migrations:
        return [(source, target) for source in sources for target in targets]
    wanted = {(migration.source_host, migration.placement.host.name) for migration in migrations}
    return [(source, target) for source in sources for target in targets if (source.name, target.name) in wanted]
