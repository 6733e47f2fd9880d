"""All of one vCenter that a plan could need, of every VM and host; in pages, with a word on how far it is."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from pyVmomi import vim

from lrvmotion.errors import RefusedError
from lrvmotion.model.estate import ClusterSettings, Entity, EstateSite
from lrvmotion.model.inventory import Inventory, MoRef
from lrvmotion.model.surroundings import ClusterBindings
from lrvmotion.vsphere.client import PAGE, container_view, moref, moref_or_none, name_of, retrieve, retrieve_in
from lrvmotion.vsphere.inventory import surroundings
from lrvmotion.vsphere.inventory.collect import collect_vms
from lrvmotion.vsphere.inventory.write_rates import written
from lrvmotion.vsphere.session import Session

# vCenter refuses a query of more than 64 counters (config.vpxd.stats.maxQueryMetrics); two are asked for of each VM.
_RATES = 30
_TREE: Mapping[Any, Sequence[str]] = {
    vim.Datacenter: ("name", "parent"),
    vim.Folder: ("name", "parent"),
    vim.ComputeResource: ("name", "parent"),
    vim.ResourcePool: ("name", "parent"),
    vim.VirtualApp: ("name", "parent", "parentFolder"),
    vim.HostSystem: ("name", "parent"),
    vim.Datastore: ("name", "parent"),
    vim.Network: ("name", "parent"),
    vim.DistributedVirtualSwitch: ("name", "parent", "uuid"),
    vim.VirtualMachine: ("name", "parent", "resourcePool"),
}
Step = Callable[[str, int, int], None]
T = TypeVar("T")


def read_site(session: Session, names: Inventory, step: Step) -> EstateSite:
    """Return the vCenter, *names* being its inventory without VMs; the hosts' options are not in it.

    *step* is told what is done: its name, how much of it, of how much. What the account may not read is left out.
    """
    step(f"{session.site}: folders and clusters", 0, 1)
    tree = _tree(session)
    inventory = replace(_vms(session, names, step), vm_names=())
    clusters, bindings = _clusters(session)
    hosts = {host.ref: host.compute for host in inventory.hosts}
    return EstateSite(
        inventory=inventory,
        tree=tree,
        hardware=_texts(surroundings.or_none(partial(surroundings.read_hardware, session, hosts)) or {}),
        clusters=_texts(clusters),
        bindings=_texts(bindings),
        key_providers=surroundings.or_none(partial(surroundings.read_providers, session)),
        attributes=surroundings.or_none(partial(surroundings.read_attributes, session)) or {},
        write_kib_s=_texts(_rates(session, inventory, step)),
    )


def _texts(by_ref: Mapping[MoRef, T]) -> dict[str, T]:
    return {str(ref): value for ref, value in by_ref.items()}


def _tree(session: Session) -> tuple[Entity, ...]:
    def ask() -> list[Any]:
        with container_view(session.content, list(_TREE)) as view:
            return [*retrieve(session.content, {vim.Folder: ("name",)}, [session.content.rootFolder]),
                    *retrieve_in(session.content, view, _TREE)]  # fmt: skip

    rows = session.call(f"{session.site}: tree", ask)
    return tuple(_entity(moref(item), row) for item, row in rows if "name" in row)  # else the account may not see it


def _entity(ref: MoRef, row: Mapping[str, Any]) -> Entity:
    return Entity(
        ref=ref,
        name=name_of(row),
        parent=moref_or_none(row.get("parent")),
        pool=moref_or_none(row.get("resourcePool")),
        folder=moref_or_none(row.get("parentFolder")),
        uuid=str(row["uuid"]) if "uuid" in row else None,
    )


def _vms(session: Session, names: Inventory, step: Step) -> Inventory:
    """Return the inventory with all of its VMs; one that was removed since its name was read is left out."""
    refs = [ref for _, ref in names.vm_names]
    found = names
    for start in range(0, len(refs), PAGE):
        step(f"{session.site}: VMs", start, len(refs))
        page = refs[start : start + PAGE]
        try:
            seen = collect_vms(session, names, page)
        except RefusedError:  # one of them is gone: look again who is there
            seen = collect_vms(session, names, [ref for ref in page if ref in _there(session)])
        found = replace(found, vms=(*found.vms, *seen.vms))
    return found


def _there(session: Session) -> set[MoRef]:
    kind = vim.VirtualMachine
    rows = session.call(f"{session.site}: VMs", lambda: retrieve(session.content, {kind: ("name",)}))
    return {moref(item) for item, _ in rows}


def _clusters(session: Session) -> tuple[dict[MoRef, ClusterSettings], dict[MoRef, ClusterBindings]]:
    """Return each cluster's DRS and HA, and what the clusters know of single VMs."""
    kind = vim.ClusterComputeResource
    rows = session.call(f"{session.site}: clusters", lambda: retrieve(session.content, {kind: ("configurationEx",)}))
    settings: dict[MoRef, ClusterSettings] = {}
    rules: dict[MoRef, list[str]] = defaultdict(list)
    overrides: dict[MoRef, list[str]] = defaultdict(list)
    for item, row in rows:
        config = row.get("configurationEx")
        if config is None:
            continue
        drs, das = getattr(config, "drsConfig", None), getattr(config, "dasConfig", None)
        level = str(drs.defaultVmBehavior or "") if drs is not None and drs.enabled else None
        settings[moref(item)] = ClusterSettings(drs=level, ha=bool(das is not None and das.enabled))
        for ref, words in surroundings.rules_of(config):
            rules[ref].append(words)
        for ref, words in surroundings.overrides_of(config):
            overrides[ref].append(words)
    bound = {
        ref: ClusterBindings(rules=tuple(sorted(rules[ref])), overrides=tuple(sorted(overrides[ref])))
        for ref in {*rules, *overrides}
    }
    return settings, bound


def _rates(session: Session, inventory: Inventory, step: Step) -> dict[MoRef, int]:
    running = [vm.ref for vm in inventory.vms if vm.power_state == "poweredOn"]
    found: dict[MoRef, float] = {}
    for start in range(0, len(running), _RATES):
        step(f"{session.site}: write rates of VMs", start, len(running))
        found |= written(session, running[start : start + _RATES])
    return {ref: math.ceil(rate / 1024) for ref, rate in found.items()}
