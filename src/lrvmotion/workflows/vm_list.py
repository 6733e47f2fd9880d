"""List the VMs of the source with what a plan would say of each alone, and those that runs have moved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from lrvmotion.checks import vms as vm_checks
from lrvmotion.config import name_check
from lrvmotion.config.schema import Config
from lrvmotion.model.inventory import Host, Inventory, MoRef, VirtualMachine, natural
from lrvmotion.model.listed_vm import ListedVm
from lrvmotion.model.vm import vm_address
from lrvmotion.model.vm.vm_address import VmIdentity
from lrvmotion.plan.placer import Placer
from lrvmotion.plan.vm_filter import Filter, Traits
from lrvmotion.plan.vm_selection import MovedVm
from lrvmotion.workflows import plan_run, vm_choice
from lrvmotion.workflows.connections import Connections

CHUNK = 200  # VMs whose full properties are read at once: what pyVmomi makes of 10,000 takes gigabytes


def listed(
    config: Config,
    connections: Connections,
    test: Filter | None,
    moved: Sequence[MovedVm],
    step: Callable[[str, int, int], None],
) -> list[ListedVm]:
    """Return the VMs that *test* holds of, all without one: those of the source, then those that runs *moved*.

    *step* is told how many are read, of how many.
    """
    from lrvmotion.vsphere.inventory.vm_lookup import VmLookup

    source, target = plan_run.inventories(connections)
    name_check.verify(config, source, target)
    known = vm_choice.traits_of(connections, source, [test] if test is not None else [])
    addresses = vm_address.labels([_identity(ref, one) for ref, one in known])
    order = {ref: natural(one.name) for ref, one in known if test is None or test(one)}
    refs = sorted(order, key=lambda ref: (order[ref], ref))
    serving = vm_choice.served_by(config, connections)
    placer = Placer(config, source, target)
    hosts = {host.ref: host for host in source.hosts}
    found: list[ListedVm] = []
    for vm in _read(connections, source, refs, lambda done: step("VMs", done, len(refs))):
        findings = vm_checks.alone(
            replace(vm, serves=serving.get(vm.ref, "")), first_class_disks=config.limits.first_class_disks
        )
        findings += placer.alone(vm) if vm_checks.known(vm) else []
        found.append(replace(_line(vm, hosts, addresses[vm.ref]), findings=tuple(findings)))
    runs = {one.instance_uuid: one.run for one in moved if one.instance_uuid}
    there = VmLookup(connections.session("target"), target)
    uuids = {one.instance_uuid.lower() for one in found if one.instance_uuid}
    at_target = there.by_instance_uuid(uuids | runs.keys()) if uuids or runs else {}
    found = [
        replace(one, at_target=True, run=runs.get(uuid, ""))
        if (uuid := one.instance_uuid.lower()) in at_target
        else one
        for one in found
    ]
    gone = [ref for uuid, ref in at_target.items() if uuid in runs and uuid not in uuids]
    return [*found, *_moved(connections, target, gone, test, runs)]


def _moved(
    connections: Connections, target: Inventory, refs: Sequence[MoRef], test: Filter | None, runs: Mapping[str, str]
) -> Iterator[ListedVm]:
    """Give the VMs *refs* of the *target* that *test* holds of."""
    if refs and test is not None:
        fitting = {ref for ref, one in vm_choice.traits_of(connections, target, [test]) if test(one)}
        refs = [ref for ref in refs if ref in fitting]
    hosts = {host.ref: host for host in target.hosts}
    for vm in sorted(_read(connections, target, refs, lambda _: None), key=lambda vm: natural(vm.name)):
        line = _line(vm, hosts, vm.instance_uuid)
        yield replace(line, at_target=True, run=runs.get(vm.instance_uuid.lower(), ""))


def _read(
    connections: Connections, there: Inventory, refs: Sequence[MoRef], done: Callable[[int], None]
) -> Iterator[VirtualMachine]:
    from lrvmotion.vsphere.inventory.collect import collect_vms

    session = connections.session("source" if there.site == "source" else "target")
    for start in range(0, len(refs), CHUNK):
        yield from collect_vms(session, there, refs[start : start + CHUNK]).vms
        done(min(start + CHUNK, len(refs)))


def _identity(ref: MoRef, one: Traits) -> VmIdentity:
    folder = one.folder if one.datacenter else None
    return VmIdentity(ref=ref, name=one.name, folder=folder, datacenter=one.datacenter)


def _line(vm: VirtualMachine, hosts: Mapping[MoRef, Host], address: str) -> ListedVm:
    host = hosts.get(vm.host) if vm.host is not None else None
    return ListedVm(
        address=address,
        name=vm.own_name,
        path=vm_address.identity(vm).whole_path or "",
        instance_uuid=vm.instance_uuid,
        ref=str(vm.ref),
        host=host.name if host is not None else "",
        cluster=host.cluster if host is not None else "",
        power=vm.power_state,
        storage_bytes=vm.storage_bytes,
        memory_bytes=vm.memory_bytes,
    )
