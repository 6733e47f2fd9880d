"""Look at everything before anything is touched: vCenters, hosts, relay hosts, the path. It writes nothing anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from lrvmotion.checks import hosts as host_checks
from lrvmotion.checks import path as path_checks
from lrvmotion.checks import privileges, sites
from lrvmotion.checks import steering as steering_checks
from lrvmotion.config import name_check
from lrvmotion.config.schema import Config
from lrvmotion.errors import LrvmotionError
from lrvmotion.events import Observer
from lrvmotion.findings import Finding
from lrvmotion.journal import changes, effective_values, run_state
from lrvmotion.journal.records import Record
from lrvmotion.model.inventory import SITES, Host, Inventory, SiteName, VirtualMachine
from lrvmotion.model.mode import Mode
from lrvmotion.model.path_quality import Frames, PathQuality
from lrvmotion.model.place_names import SiteNames
from lrvmotion.model.setting import SettingKey
from lrvmotion.model.target_id import TargetId
from lrvmotion.model.vcenter import Clock, Sight
from lrvmotion.plan import settings
from lrvmotion.plan.modes import MODES, available
from lrvmotion.plan.placer import Placer
from lrvmotion.plan.vm_selection import Choice, MovedVm
from lrvmotion.run import path_survey
from lrvmotion.workflows import relay_survey, vm_choice
from lrvmotion.workflows.connections import Connections

_THREADS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyRequest:
    """What the user asked: *vms* narrow the hosts, *probes* pings measure each pair; *loaded*: a load report exists."""

    vms: Sequence[str] = ()
    probes: int = 100
    loaded: bool = False


@dataclass(slots=True, kw_only=True)
class Survey:
    """What was found and measured; *sites*, *hosts* and *relay_hosts* are JSON objects, one for each that was seen."""

    findings: list[Finding] = field(default_factory=list)
    path: list[PathQuality] = field(default_factory=list)
    frames: list[Frames] = field(default_factory=list)
    sites: dict[str, dict[str, Any]] = field(default_factory=dict)
    hosts: list[dict[str, Any]] = field(default_factory=list)
    relay_hosts: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class SurveyScope:
    """What a run would use: inventories, hosts by site, VMs, places at the target, and the modes it may have."""

    config: Config
    inventories: dict[SiteName, Inventory]
    hosts: dict[SiteName, list[Host]]
    vms: tuple[VirtualMachine, ...]
    places: privileges.Places
    modes: frozenset[Mode]

    @property
    def relayed(self) -> frozenset[Mode]:
        """Those of the modes that need a relay."""
        return frozenset(mode for mode in self.modes if MODES[mode].NEEDS_RELAY)


def survey(
    config: Config,
    connections: Connections,
    observer: Observer,
    asked: SurveyRequest,
    records: Sequence[Record],
    *,
    clock: Callable[[], str],
    step: Callable[[str, int, int], None],
) -> Survey:
    """Look at all that a run would use. *records* are the journal's, *clock* tells the time as ISO 8601 in UTC.

    *step* is told what is done: its name, how much of it, of how much. Raises TrustError or UnreachableError where a
    vCenter does not let us in, and UsageError for names that do not exist; all else is a finding.
    """
    for site in SITES:
        connections.session(site)
    with ThreadPoolExecutor(len(SITES)) as pool:
        source, target = pool.map(connections.inventory, SITES)
    name_check.verify(config, source, target)
    away = relay_survey.log_in(config, connections)  # before anything is drawn: it may ask for a password
    chosen = choose(config, connections, source, target, asked.vms, run_state.moved_by(records))
    found = Survey()
    step("vCenters", 0, 1)
    _vcenters(chosen, connections, clock, found)
    step("hosts", 0, 1)
    _hosts(chosen, connections, records, found)
    step("relay hosts", 0, 1)
    seen = relay_survey.look(
        config, connections, chosen.hosts, changes.runs(records), away, relayed=bool(chosen.relayed)
    )
    found.findings += seen.findings
    found.relay_hosts += seen.relay_hosts
    _path(chosen, connections, observer, asked, step, found)
    return found


def choose(
    config: Config,
    connections: Connections,
    source: Inventory,
    target: Inventory,
    names: Sequence[str],
    moved: Sequence[MovedVm] = (),
) -> SurveyScope:
    """Return what moving the VMs *names* would use; without VMs everything that the configuration names."""
    chosen = vm_choice.choose(config, connections, source, target, Choice(names=tuple(names)), moved)
    source, refs = chosen.source, chosen.refs
    placer = Placer(config, source, target)
    placed = [place for vm in source.vms if (place := placer.place(vm)[0]) is not None]
    here = {vm.host for vm in source.vms}
    sources = [host for host in source.hosts if host.ref in here] if refs else _all(source, config.source.hosts)
    targets = list(dict.fromkeys(place.host for place in placed)) or _all(target, config.target.hosts)
    if placed:
        places = privileges.Places(
            pools={place.pool for place in placed},
            folders={place.folder for place in placed},
            datastores={store for place in placed for store in place.datastores},
            networks={nic.network for place in placed for nic in place.nics},
        )
    else:
        stores = {ref for host in targets for ref in host.datastores}
        networks = {ref for host in targets for ref in host.networks}
        wanted = {host.pool for host in targets}
        said_there = SiteNames(target)
        mapped = {pool for said in config.mappings.pools.values() for pool in said_there.pools.find(said)}
        folders = {folder for said in config.mappings.folders.values() for folder in said_there.folders.find(said)}
        datacenters = {host.datacenter for host in targets}
        places = privileges.Places(
            pools=[pool for pool in target.pools if pool.ref in wanted or pool in mapped],
            folders=[
                folder
                for folder in target.folders
                if folder in folders or (not folder.path and folder.datacenter in datacenters)
            ],
            datastores=[store for store in target.datastores if store.ref in stores],
            networks=[network for network in target.networks if network.ref in networks],
        )
    modes = available(config) if config.mode is None or config.mode == "auto" else (config.mode,)
    return SurveyScope(
        config=config, inventories={"source": source, "target": target}, hosts={"source": sources, "target": targets},
        vms=source.vms, places=places, modes=frozenset(modes),
    )  # fmt: skip


def _all(inventory: Inventory, names: Iterable[str]) -> list[Host]:
    return [inventory.host(name) for name in names] or list(inventory.hosts)


def _vcenters(chosen: SurveyScope, connections: Connections, clock: Callable[[], str], found: Survey) -> None:
    from lrvmotion.vsphere import health

    clocks: dict[SiteName, Clock] = {}
    for site in SITES:
        session, inventory = connections.session(site), chosen.inventories[site]
        seen = health.clock(session, clock)
        clocks[site] = seen
        about: dict[str, Any] = {
            "vcenter": f"{session.host}:{session.port}", "account": session.username, "version": inventory.version,
            "build": inventory.build, "api": inventory.api_version,
            "clock_ahead_s": round(seen.ahead_s, 3), "clock_within_s": round(seen.within_s, 3),
        }  # fmt: skip
        found.sites[site] = about
        _privileges(site, chosen, session, about, found)
        names = {host.ref.value: host.name for host in chosen.hosts[site]}
        try:
            licences = health.licences(session, names)
            found.findings += sites.licences(site, licences)
            about["licences"] = sorted({item.name for item in licences})
        except LrvmotionError as error:
            found.findings += sites.licences(site, None, _short(error, f"{site}: licence"))
            about["licences"] = None
        try:
            clusters = health.drs(session, [host.cluster for host in chosen.hosts[site]])
            found.findings += sites.drs(site, clusters)
            about["clusters"] = [asdict(cluster) for cluster in clusters]
        except LrvmotionError as error:
            found.findings.append(sites.not_measured(site, "DRS", _short(error, f"{site}: clusters")))
    found.findings += sites.clocks(clocks["source"], clocks["target"])
    uuids = [chosen.inventories[site].instance_uuid for site in SITES]
    found.findings += sites.same_vcenter(*uuids)
    for site in SITES:
        sight = _sight(site, chosen, connections)
        found.findings += sites.sight(site, sight)
        found.sites[site]["reaches_other"] = sight.seen


def _privileges(site: SiteName, chosen: SurveyScope, session: Any, about: dict[str, Any], found: Survey) -> None:  # noqa: ANN401
    from lrvmotion.vsphere import health

    inventory = chosen.inventories[site]
    kinds = {kind for mode in chosen.modes for kind in MODES[mode].kinds(site)}
    wanted = privileges.on_hosts(site, kinds, chosen.hosts[site], inventory.networks)
    own = (
        privileges.at_source(chosen.vms, inventory.folders) if site == "source" else privileges.at_target(chosen.places)
    )
    try:
        lacking = health.lacking(session, {**wanted, **own})
        found.findings += sites.privileges(site, session.username, lacking)
        about["privileges_lacking"] = {item.subject: list(item.privileges) for item in lacking}
    except LrvmotionError as error:
        found.findings += sites.privileges(site, session.username, None, _short(error, f"{site}: privileges"))
        about["privileges_lacking"] = None


def _sight(site: SiteName, chosen: SurveyScope, connections: Connections) -> Sight:
    """Let the vCenter of *site* check a relocate of one of its VMs to the other one, whatever VM and place it is."""
    from lrvmotion.vsphere.sight import sight

    other: SiteName = "target" if site == "source" else "source"
    there = chosen.inventories[other]
    vms = [vm.ref for vm in chosen.vms] if site == "source" else []
    vms = vms or [ref for _, ref in chosen.inventories[site].vm_names]
    hosts = [host for host in chosen.hosts[other] if host.connection_state == "connected" and host.datastores]
    roots = [folder.ref for folder in there.folders if not folder.path]
    if not vms:
        return Sight(seen=None, detail=f"needs a VM at the {site}")
    if not hosts or not roots:
        return Sight(seen=None, detail=f"the {other} has no place to ask for: no connected host with a datastore")
    return sight(
        connections.session(site), connections.session(other), vms[0],
        host=hosts[0].ref, pool=hosts[0].pool, folder=roots[0],
        datastore=min(hosts[0].datastores),
    )  # fmt: skip


def _hosts(chosen: SurveyScope, connections: Connections, records: Sequence[Record], found: Survey) -> None:
    waiting, former = _waiting(records), _former(chosen, records)
    runs = changes.runs(records)
    held = {(item.target, item.key) for item in changes.outstanding(records)}
    for site in SITES:
        found.findings += sites.switches(site, connections.inventory(site).networks)
        for host in chosen.hosts[site]:
            name = TargetId.host(site, host.name)
            found.findings += host_checks.ready(site, host)
            found.findings += host_checks.foreign_runs(site, host, runs)
            found.findings += host_checks.foreign_routes(site, host, chosen.config.relay.addresses, held)
            found.findings += host_checks.congestion(site, host)
            found.findings += host_checks.vmknics(site, host)
            found.findings += host_checks.stacks(site, host)
            found.findings += host_checks.dhcp(site, host)
            found.findings += host_checks.reboot(site, host, waiting.get(name, ()), former.get(name, ()))
            if site == "source" and chosen.relayed:
                only = chosen.modes == chosen.relayed
                found.findings += steering_checks.off_subnet(host, chosen.hosts["target"], only=only)
    names = [(site, host) for site in SITES for host in chosen.hosts[site]]
    with ThreadPoolExecutor(_THREADS) as pool:
        for about, said in pool.map(lambda item: _options(item[0], item[1], chosen, connections), names):
            found.hosts.append(about)
            found.findings += said


def _options(
    site: SiteName, host: Host, chosen: SurveyScope, connections: Connections
) -> tuple[dict[str, Any], list[Finding]]:
    """Read the options that modes set and their bounds; what the host does not tell is a finding."""
    name = TargetId.host(site, host.name)
    about: dict[str, Any] = {
        "host": name, "version": host.version, "build": host.build, "cluster": host.cluster,
        "connection": host.connection_state, "maintenance": host.in_maintenance, "boot_time": host.boot_time,
        "reboot_required": host.reboot_required,
        "vmknics": [
            {
                "device": nic.device, "address": nic.address, "prefix_length": nic.prefix_length, "mtu": nic.mtu,
                "netstack": nic.netstack, "services": sorted(nic.services), "gateway": nic.gateway,
                "congestion_control": host.congestion_control.get(nic.netstack),
            }
            for nic in host.vmotion_vmknics
        ],
        "options": None,
    }  # fmt: skip
    if host.connection_state != "connected":
        return about, []
    try:
        target = connections.host(name)
        bounds = target.bounds(settings.KEYS)
        about["options"] = {
            key: {"value": target.read(SettingKey.of("option", key)).data, **asdict(limits)}
            for key, limits in bounds.items()
        }
    except LrvmotionError as error:
        return about, [sites.not_measured(name, "advanced options", _short(error, name))]
    modes = [mode for name, mode in MODES.items() if name in chosen.modes]
    wanted = [item for mode in modes for item in mode.options(chosen.config, site)]
    return about, list(host_checks.options(site, host, wanted, bounds))


def _waiting(records: Sequence[Record]) -> dict[TargetId, list[tuple[str, str]]]:
    """Return what we changed on each host that needs a reboot and is still outstanding, and when it was set last."""
    found: dict[TargetId, list[tuple[str, str]]] = {}
    for item in effective_values.pending(records):
        found.setdefault(item.target, []).append((item.key.name, item.at))
    return found


def _former(chosen: SurveyScope, records: Sequence[Record]) -> dict[TargetId, list[tuple[str, str]]]:
    """Return what we restored on each host that was started with our value, and when."""
    hosts = {TargetId.host(site, host.name): host.boot_time for site in SITES for host in chosen.hosts[site]}

    def booted(name: TargetId) -> datetime | None:
        at = hosts.get(name)
        return datetime.fromisoformat(at) if at else None

    found: dict[TargetId, list[tuple[str, str]]] = {}
    for item in effective_values.stale(records, booted):
        found.setdefault(item.host, []).append((item.key.name, item.since))
    return found


def _path(
    chosen: SurveyScope,
    connections: Connections,
    observer: Observer,
    asked: SurveyRequest,
    step: Callable[[str, int, int], None],
    found: Survey,
) -> None:
    limits = chosen.config.limits
    found.frames, found.path = path_survey.measure(
        chosen.hosts["source"], chosen.hosts["target"], connections, observer, probes=asked.probes, step=step
    )
    refused = {quality.source for quality in found.path if quality.reason is not None}  # said once, with the RTT
    for frames in found.frames:
        if frames.reason is None or frames.source not in refused:
            found.findings += path_checks.frames(frames)
    for quality in found.path:
        found.findings += path_checks.quality(quality, limit_rtt_ms=limits.rtt_ms, limit_loss=limits.loss)
    if not asked.loaded:
        found.findings += path_checks.idle_only(found.path)


def _short(error: LrvmotionError, subject: str) -> str:
    return error.message.removeprefix(f"{subject}: ")
