"""What the prechecks of VMs know besides the VMs: a bounded number of calls, however many VMs there are.

What cannot be read is None in the answer, never an error: the checks say that it was not read.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeVar

from pyVmomi import vim

from lrvmotion.errors import RefusedError
from lrvmotion.model.inventory import Inventory, MoRef, VirtualMachine
from lrvmotion.model.surroundings import ClusterBindings, PrecheckContext, TargetConflicts
from lrvmotion.plan.plan import Migration
from lrvmotion.vsphere.client import (
    container_view,
    filter_spec,
    in_view,
    managed_object,
    moref,
    properties_of,
    retrieve,
)
from lrvmotion.vsphere.inventory import lean_parser
from lrvmotion.vsphere.inventory.lean_parser import NS
from lrvmotion.vsphere.session import Session

T = TypeVar("T")

# vCenter numbers Ethernet cards from 4000 on, ten at most (configuration maximums 7.0 and 8.0). All hardware of 10,000
# VMs is some 60 MB; guest.net knows only running VMs with VMware Tools; SearchIndex has no MACs. So the cards alone are
# asked for, by key: a key that a VM does not have is no error. With the UUIDs, 10,000 VMs take 0.4 s of CPU here.
# SR-IOV cards were seen from 13000 on, with the unit numbers of PCI devices (vCenter 8.0.3).
_CARDS = tuple(f"config.hardware.device[{key}]" for key in (*range(4000, 4010), *range(13000, 13032)))
_UUIDS = ("config.instanceUuid", "config.uuid")


def read(
    source: Session,
    target: Session,
    here: Inventory,
    there: Inventory,
    migrations: Sequence[Migration],
) -> PrecheckContext:
    """Read what the prechecks of *migrations* need; *here* holds their VMs."""
    chosen = {migration.ref for migration in migrations}
    vms = [vm for vm in here.vms if vm.ref in chosen]
    hosts = {migration.placement.host.ref: migration.placement.host.compute for migration in migrations}
    encrypted = any(vm.key_provider is not None for vm in vms)
    attributes = any(vm.attributes for vm in vms)
    hardware = or_none(lambda: read_hardware(target, hosts))
    return PrecheckContext(
        taken=or_none(lambda: _taken(target, there, vms)),
        hardware=hardware or {},
        providers=or_none(lambda: read_providers(target)) if encrypted else None,
        bindings=or_none(lambda: _bindings(source, here, vms)),
        attributes=(or_none(lambda: read_attributes(source)) or {}) if attributes else {},
    )


def or_none(function: Callable[[], T]) -> T | None:
    """Return what *function* returns, None where the vCenter refuses; one that is away is still an error."""
    try:
        return function()
    except RefusedError:
        return None


def _taken(target: Session, there: Inventory, vms: Sequence[VirtualMachine]) -> TargetConflicts:
    names = {ref: name for name, ref in there.vm_names}
    macs: dict[str, str] = {}
    kinds: dict[str, dict[str, str]] = {path: {} for path in _UUIDS}
    wanted = {
        _UUIDS[0]: {vm.instance_uuid.lower() for vm in vms},
        _UUIDS[1]: {vm.bios_uuid.lower() for vm in vms},
    }
    wanted_macs = {nic.mac.lower() for vm in vms for nic in vm.nics}
    cards = 0

    def take(element: ET.Element) -> None:
        nonlocal cards
        for path, value in _values(element):
            if path in wanted:
                text = (value.text or "").lower()
                if text in wanted[path]:
                    kinds[path][text] = _named(element, names)
            else:
                cards += 1
                mac = value.findtext(f"{NS}macAddress", "").lower()
                if mac in wanted_macs:
                    macs[mac] = _named(element, names)

    read_macs = bool(wanted_macs)
    try:
        _each(target, [*_UUIDS, *(_CARDS if read_macs else ())], take)
    except RefusedError:
        if not read_macs:
            raise
        read_macs = False  # a vCenter that knows no key in a path
        _each(target, _UUIDS, take)
    if there.vm_names and not cards:
        read_macs = False  # one that knows no key in a path, and does not say so
    return TargetConflicts(
        names=_names(target, there, {vm.own_name for vm in vms}),
        instance_uuids=kinds[_UUIDS[0]],
        bios_uuids=kinds[_UUIDS[1]],
        macs=macs if read_macs or not wanted_macs else None,
    )


def _each(target: Session, paths: Sequence[str], take: lean_parser.Take) -> None:
    """Give *take* the *paths* of every VM at the target, one by one."""

    def ask() -> None:
        with container_view(target.content, [vim.VirtualMachine]) as view:
            spec = filter_spec([in_view(view)], {vim.VirtualMachine: paths})
            lean_parser.retrieve(target.stub, target.content, spec, "objects", take)

    target.call(f"{target.site}: UUIDs and MACs of all VMs", ask)


def _values(element: ET.Element) -> Iterator[tuple[str, ET.Element]]:
    for item in element.iterfind(f"{NS}propSet"):
        value = item.find(f"{NS}val")
        if value is not None:
            yield item.findtext(f"{NS}name", ""), value


def _named(element: ET.Element, names: Mapping[MoRef, str]) -> str:
    ref = lean_parser.subject(element)
    return names.get(ref) or ref.value


def _names(target: Session, there: Inventory, arriving: Collection[str]) -> dict[tuple[MoRef, str], str]:
    """Return the VMs and folders of the names that are *arriving*, by the folder that they are in."""
    alike = {ref: name for name, ref in there.vm_names if name in arriving}
    objects = [managed_object(target.stub, ref) for ref in alike]
    rows = target.call(
        f"{target.site}: folders of VMs", lambda: retrieve(target.content, {vim.VirtualMachine: ("parent",)}, objects)
    )
    found = {
        (moref(row["parent"]), alike[moref(item)]): alike[moref(item)]
        for item, row in rows
        if row.get("parent") is not None
    }
    paths = {(folder.datacenter, folder.path): folder.ref for folder in there.folders}
    for folder in there.folders:
        above, _, name = folder.path.rpartition("/")
        parent = paths.get((folder.datacenter, above))
        if name in arriving and parent is not None:
            found[parent, name] = name
    return found


def read_hardware(target: Session, hosts: Mapping[MoRef, MoRef | None]) -> dict[MoRef, frozenset[str]]:
    """Return the virtual hardware versions that each of *hosts* runs; one call for each of their clusters, and one.

    *hosts* are with their cluster. A descriptor without hosts applies to all of the cluster's.
    """
    clusters = sorted({cluster for cluster in hosts.values() if cluster is not None})
    objects = [managed_object(target.stub, ref) for ref in clusters]
    kinds = {vim.ComputeResource: ("environmentBrowser",)}
    subject = f"{target.site}: hardware versions"
    found: dict[MoRef, frozenset[str]] = {}
    for item, row in target.call(subject, lambda: retrieve(target.content, kinds, objects)):
        browser = row.get("environmentBrowser")
        if browser is None:
            continue
        descriptors = or_none(partial(target.call, subject, browser.QueryConfigOptionDescriptor))
        for host, cluster in hosts.items() if descriptors is not None else ():
            if cluster == moref(item):
                found[host] = frozenset(str(one.key) for one in descriptors or () if _runs(one, host))
    return found


def _runs(descriptor: vim.vm.ConfigOptionDescriptor, host: MoRef) -> bool:
    apart = [moref(item) for item in descriptor.host or ()]
    return descriptor.runSupported is not False and (not apart or host in apart)


def read_providers(target: Session) -> frozenset[str] | None:
    """Return the names of the target's key providers, standard and native ones."""
    manager = target.content.cryptoManager
    if manager is None:
        return None
    row = target.call(f"{target.site}: key providers", lambda: properties_of(target.content, manager, ["kmipServers"]))
    servers = row.get("kmipServers")
    return None if servers is None else frozenset(str(server.clusterId.id) for server in servers)


def read_attributes(source: Session) -> dict[int, str]:
    """Return the names of the source's custom attributes, by key."""
    manager = source.content.customFieldsManager
    if manager is None:
        return {}
    row = source.call(f"{source.site}: custom attributes", lambda: properties_of(source.content, manager, ["field"]))
    return {int(item.key): str(item.name) for item in row.get("field") or ()}


def _bindings(source: Session, here: Inventory, vms: Sequence[VirtualMachine]) -> dict[MoRef, ClusterBindings] | None:
    """Return what the clusters of *vms* know of them; one call for all clusters."""
    computes = {host.ref: host.compute for host in here.hosts}
    refs = {computes.get(vm.host) for vm in vms if vm.host is not None} - {None}
    objects = [managed_object(source.stub, ref) for ref in refs if ref is not None and ref.kind.startswith("Cluster")]
    kinds = {vim.ClusterComputeResource: ("configurationEx",)}
    rows = source.call(f"{source.site}: cluster rules", lambda: retrieve(source.content, kinds, objects))
    rules: dict[MoRef, list[str]] = defaultdict(list)
    overrides: dict[MoRef, list[str]] = defaultdict(list)
    for _, row in rows:
        config = row.get("configurationEx")
        if config is None:
            return None
        for ref, words in rules_of(config):
            rules[ref].append(words)
        for ref, words in overrides_of(config):
            overrides[ref].append(words)
    wanted = {vm.ref for vm in vms}
    return {
        ref: ClusterBindings(rules=tuple(rules[ref]), overrides=tuple(overrides[ref]))
        for ref in wanted
        if ref in rules or ref in overrides
    }


def rules_of(config: vim.cluster.ConfigInfoEx) -> Iterator[tuple[MoRef, str]]:
    """Give each VM's rules by name: of VMs that stay together or apart, and of groups of VMs and hosts."""
    groups: dict[str, list[MoRef]] = {
        str(group.name): [moref(vm) for vm in group.vm or ()]
        for group in getattr(config, "group", None) or ()
        if isinstance(group, vim.cluster.VmGroup)
    }
    for rule in getattr(config, "rule", None) or ():
        own = [moref(vm) for vm in getattr(rule, "vm", None) or ()]
        for name in ("vmGroupName", "vmGroup", "dependsOnVmGroup"):
            own += groups.get(str(getattr(rule, name, None)), [])
        for ref in dict.fromkeys(own):
            yield ref, str(rule.name)


def overrides_of(config: vim.cluster.ConfigInfoEx) -> Iterator[tuple[MoRef, str]]:
    """Give each VM's own DRS and HA settings, in words."""
    for item in getattr(config, "drsVmConfig", None) or ():
        yield moref(item.key), f"DRS {item.behavior if item.enabled is not False else 'off'}"
    for item in getattr(config, "dasVmConfig", None) or ():
        settings = item.dasSettings
        priority = getattr(settings, "restartPriority", None) or item.restartPriority
        yield moref(item.key), f"HA restart priority {priority}" if priority else "HA settings"
