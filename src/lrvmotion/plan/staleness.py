"""What a plan rests on, as named facts, and in what two readings of them differ: a stale plan is refused by these."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lrvmotion.config.schema import Config
from lrvmotion.model.inventory import Host, Inventory, MoRef, SiteName, VirtualMachine
from lrvmotion.model.placement import Placement
from lrvmotion.model.setting import SettingKey, Value
from lrvmotion.model.target_id import TargetId
from lrvmotion.plan.plan import Change, Plan

# What of a VM's places the target must still have: (noun, name, reference).
Thing = tuple[str, str, MoRef]
_GONE = "gone"
_STATE = "connection state"  # of a VM that is not connected
_WHERE = ("at the source", "in the inventory")
# Where things are and what they become; how we log in, what is tolerated and where our files are is no part of it.
_SITE = {"vcenter", "port", "hosts", "vmotion"}
_RELAY = {"name", "host", "port", "address", "listen_port", "forward"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subjects:
    """What a plan is about: VMs, the hosts of both sides by name, places at the target, new vmknic addresses."""

    vms: tuple[tuple[str, MoRef], ...]
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    things: tuple[Thing, ...]
    new_vmknics: tuple[tuple[TargetId, str], ...]

    @classmethod
    def of(cls, plan: Plan) -> Subjects:
        """Return the subjects of *plan*."""
        things = [thing for move in plan.migrations for thing in _things(move.placement)]
        touched = [change.target for change in plan.changes]
        paths = (*plan.paths, *plan.proof_paths)
        sources = [*(move.source_host for move in plan.migrations), *(path.source_host for path in paths)]
        targets = [*(move.placement.host.name for move in plan.migrations), *(path.target_host for path in paths)]
        sources += [target.name for target in touched if target.site == "source"]
        targets += [target.name for target in touched if target.site == "target"]
        return cls(
            vms=tuple((move.vm, move.ref) for move in plan.migrations),
            sources=tuple(sorted(set(sources))),
            targets=tuple(sorted(set(targets))),
            things=tuple(sorted(set(things))),
            new_vmknics=plan.new_vmknics,
        )


def facts(
    subjects: Subjects, config: Config, source: Inventory, target: Inventory, owner_id: str | None
) -> dict[str, str]:
    """Return the facts as {"vm/web1: host": "esx-a1", …}.

    *source* holds the full properties of the VMs; *owner_id* is the id that what is outstanding carries. The settings'
    prior values are in the plan's changes (`settings_differ`).
    """
    found = dict(_configuration(config))
    found["journal: run whose settings remain changed"] = owner_id or "none"
    for site, inventory in (("source", source), ("target", target)):
        found[f"{site}: vCenter instance"] = inventory.instance_uuid
    machines = {vm.ref: vm for vm in source.vms}
    for name, ref in subjects.vms:
        found.update({f"vm/{name}: {what}": value for what, value in _vm(machines.get(ref), source)})
    sides: tuple[tuple[SiteName, Inventory, tuple[str, ...]], ...] = (
        ("source", source, subjects.sources),
        ("target", target, subjects.targets),
    )
    for side, inventory, names in sides:
        hosts = {host.name: host for host in inventory.hosts}
        for name in names:
            found.update({f"{TargetId.host(side, name)}: {what}": value for what, value in _host(hosts.get(name))})
    there = set(_all_things(target))
    down = {store.ref for store in target.datastores if not store.accessible}
    alike = Counter((noun, name) for noun, name, _ in subjects.things)
    for noun, name, ref in subjects.things:
        state = "not accessible" if ref in down else "there" if (noun, name, ref) in there else _GONE
        which = f" ({ref.value})" if alike[noun, name] > 1 else ""  # of two datacenters
        found[f"target: {noun} {name or 'vm'}{which}"] = state
    for at, address in subjects.new_vmknics:
        inventory = source if at.site == "source" else target
        owner = next((h.name for h in inventory.hosts for nic in h.vmknics if nic.address == address), None)
        found[f"{at.site}: address {address}"] = f"on {owner}" if owner else "free"
    return found


def differences(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return a sentence for every fact that is not as it was: "vm/web1: host is esx-a2, the plan has esx-a1"."""
    gone = {fact.partition(": ")[0] for fact, value in now.items() if value == _GONE}
    away = {fact.partition(": ")[0] for fact in now if fact.endswith(f": {_STATE}")}
    lines = []
    for fact in dict.fromkeys([*then, *now]):
        before, after = then.get(fact, "none"), now.get(fact, "none")
        subject = fact.partition(": ")[0]
        if before == after or (subject in gone and after != _GONE):  # what is gone is said once
            continue
        if subject in away:  # of a VM without connection nothing else is known, or it is old
            if fact == f"{subject}: {_STATE}":
                lines.append(f"{subject}: is {after}")
            continue
        if fact == f"{subject}: name":  # of an older plan: a VM is told by reference and UUID, its name is for people
            continue
        if after == _GONE:
            what = fact.removeprefix(f"{subject}: ")
            lines.append(f"{subject}: is no longer {what}" if what in _WHERE else f"{fact} no longer exists")
        else:
            lines.append(f"{fact} is {after}, the plan has {before}")
    return lines


def settings_differ(saved: Plan, made: Plan, read: Callable[[TargetId, SettingKey], Value]) -> list[str]:
    """Return a sentence for every change that planning again, with the same places, does not come to; *read* says why.

    So what the relay hosts and the hosts' own bounds have to say is part of what a plan rests on.
    """
    before = {(change.target, change.key): change for change in saved.changes}
    after = {(change.target, change.key): change for change in made.changes}
    lines: list[str] = []
    for target, key in dict.fromkeys([*before, *after]):
        lines += _setting(before.get((target, key)), after.get((target, key)), read)
    moves = {move.vm: move for move in made.migrations}
    for move in saved.migrations:
        again = moves.get(move.vm)
        if again is not None and list(_things(again.placement)) != list(_things(move.placement)):
            lines.append(f"vm/{move.vm}: planned again, it goes elsewhere")
    if not lines and (saved.relay_by_host, saved.far) != (made.relay_by_host, made.far):
        lines.append("relay: planned again, other relays carry the hosts")
    return lines


def _setting(saved: Change | None, made: Change | None, read: Callable[[TargetId, SettingKey], Value]) -> Iterator[str]:
    if saved is not None and made is None:
        now = read(saved.target, saved.key)
        yield f"{saved.target}: {saved.key.words} is {now.brief()}, the plan has {saved.prior.brief()}"
    elif made is not None and saved is None:
        yield f"{made.target}: {made.key.words} is {made.prior.brief()}, the plan has {made.planned.brief()}"
    elif saved is not None and made is not None:
        if saved.prior != made.prior:
            yield f"{saved.target}: {saved.key.words} is {made.prior.brief()}, the plan has {saved.prior.brief()}"
        elif saved.planned != made.planned:
            wanted = made.planned.brief()
            yield f"{saved.target}: {saved.key.words} would become {wanted}, the plan has {saved.planned.brief()}"


def _vm(vm: VirtualMachine | None, source: Inventory) -> Iterator[tuple[str, str]]:
    """Yield a VM's facts. config.changeVersion is none of them: a note that a backup writes changes it too."""
    if vm is None:
        yield "at the source", _GONE
        return
    names = {host.ref: host.name for host in source.hosts}
    stores = {store.ref: store.name for store in source.datastores}
    yield "at the source", "there"
    if vm.connection_state != "connected":
        yield _STATE, vm.connection_state
        return
    yield "instance UUID", vm.instance_uuid
    yield "host", names.get(vm.host, "none") if vm.host is not None else "none"
    yield "power state", vm.power_state
    yield "number of snapshots", str(vm.snapshots)
    yield "memory", f"{vm.memory_bytes // 2**20} MiB"
    for disk in vm.disks:
        where = stores.get(disk.datastore, "") if disk.datastore is not None else ""
        yield f"disk {disk.key}", f"{disk.label}, {disk.capacity_bytes // 2**20} MiB on {where}"
    for nic in vm.nics:
        yield f"NIC {nic.key}", f"{nic.label} on {nic.network}"
    yield "device that is connected", ", ".join(vm.connected_devices) or "none"


def _host(host: Host | None) -> Iterator[tuple[str, str]]:
    if host is None:
        yield "in the inventory", _GONE
        return
    yield "in the inventory", "there"
    yield "reference", str(host.ref)
    yield "connection", host.connection_state
    yield "maintenance mode", "on" if host.in_maintenance else "off"
    yield "version", f"{host.version} build {host.build}"
    for nic in host.vmotion_vmknics:
        yield f"vMotion {nic.device}", f"{nic.address}/{nic.prefix_length}, MTU {nic.mtu}, stack {nic.netstack}"


def _things(place: Placement) -> Iterator[Thing]:
    yield "host", place.host.name, place.host.ref
    yield "resource pool", place.pool.path, place.pool.ref
    yield "VM folder", place.folder.path, place.folder.ref
    for store in place.datastores:
        yield "datastore", store.name, store.ref
    for nic in place.nics:
        yield "network", nic.network.name, nic.network.ref


def _all_things(target: Inventory) -> Iterator[Thing]:
    yield from (("host", host.name, host.ref) for host in target.hosts)
    yield from (("resource pool", pool.path, pool.ref) for pool in target.pools)
    yield from (("VM folder", folder.path, folder.ref) for folder in target.folders)
    yield from (("datastore", store.name, store.ref) for store in target.datastores)
    yield from (("network", network.name, network.ref) for network in target.networks)


def _configuration(config: Config) -> Iterator[tuple[str, str]]:
    content = config.model_dump(
        mode="json",
        include={
            "source": _SITE, "target": _SITE, "mappings": True, "settings": True, "steer": True,
            "relay": {"source": {"__all__": _RELAY}, "target": _RELAY, "limit": True, "circuit_rate": True},
        },
    )  # fmt: skip
    for key, value in _leaves(content, ""):
        yield f"configuration: {key}", value


def _leaves(value: Any, key: str) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - any JSON
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{key}.{name}" if key else name)
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for number, inner in enumerate(value):
            yield from _leaves(inner, f"{key}[{number}]")
    elif value not in (None, [], ""):
        yield key, " ".join(map(str, value)) if isinstance(value, list) else str(value)
