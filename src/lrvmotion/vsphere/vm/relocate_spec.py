"""The RelocateSpec of one cross-vCenter move: five places, the disks' own, the way to the target, the networks.

A spec holds the target's password and prints it (vsphere.md 3.2): it exists only while the call is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from pyVmomi import vim
from pyVmomi.VmomiSupport import ManagedObject

from lrvmotion.errors import RefusedError
from lrvmotion.model.inventory import MoRef, Network
from lrvmotion.plan.plan import Migration
from lrvmotion.vsphere.client import managed_object, properties_of
from lrvmotion.vsphere.session import Session

PEM_SINCE = (9, 0)  # ServiceLocator.sslCertificate; before, pyVmomi drops it without a word (vsphere.md 3.1)

Backing = vim.vm.device.VirtualDevice.BackingInfo


def network_backings(
    target: Session, migration: Migration, known: dict[MoRef, Backing] | None = None
) -> dict[int, Backing]:
    """Return the backing at the target of each NIC, by the device's key; *known* keeps them, by network."""
    kept: dict[MoRef, Backing] = {} if known is None else known
    for nic in migration.placement.nics:
        if nic.network.ref not in kept:
            kept[nic.network.ref] = _backing(target, nic.network)
    return {nic.key: kept[nic.network.ref] for nic in migration.placement.nics}


@contextmanager
def relocate_spec(
    source: Session,
    target: Session,
    migration: Migration,
    devices: Sequence[vim.vm.device.VirtualDevice],
    backings: Mapping[int, Backing],
) -> Iterator[vim.vm.RelocateSpec]:
    """Give the spec for one call and wipe the password from it afterwards.

    *devices* are the VM's, freshly read; raises RefusedError where a NIC or a disk has no place at the target.
    """
    place = migration.placement
    with service_locator(source, target) as service:
        spec = vim.vm.RelocateSpec(
            service=service,
            host=reference(place.host.ref),
            pool=reference(place.pool.ref),
            folder=reference(place.folder.ref),
            datastore=reference(place.datastore.ref),
            disk=_locators(migration, devices),
            deviceChange=_cards(migration.vm, devices, backings),
        )
        try:
            yield spec
        finally:
            spec.service = None


@contextmanager
def service_locator(source: Session, target: Session) -> Iterator[vim.ServiceLocator]:
    """Give the way from *source*'s vCenter to *target*'s for one call, and wipe the password from it afterwards."""
    credential = target.credential()
    uuid = str(target.about.instanceUuid)
    service = vim.ServiceLocator(instanceUuid=uuid, url=target.service_url, credential=credential)
    if source.wire_version >= PEM_SINCE:
        service.sslCertificate = target.pem
    else:
        service.sslThumbprint = target.thumbprint
    try:
        yield service
    finally:
        credential.password = ""


def reference(ref: MoRef) -> ManagedObject:
    """Return an object of the target for a call at the source: only its type and id are written, so no stub."""
    made: ManagedObject = managed_object(None, ref)
    return made


def _locators(
    migration: Migration, devices: Sequence[vim.vm.device.VirtualDevice]
) -> list[vim.vm.RelocateSpec.DiskLocator]:
    """Return the datastore of each disk; of those that *devices* have, where they have any: checks read cards alone."""
    disks = migration.placement.disks
    there = {int(one.key): one for one in devices if isinstance(one, vim.vm.device.VirtualDisk)}
    new = sorted(there.keys() - {disk.key for disk in disks})
    if disks and new:
        device = there[new[0]]
        label = device.deviceInfo.label if device.deviceInfo else new[0]
        message = f"vm/{migration.vm}: {label} was added since the plan"
        raise RefusedError(message, hint="plan again")
    return [
        vim.vm.RelocateSpec.DiskLocator(diskId=disk.key, datastore=reference(disk.datastore.ref))
        for disk in disks
        if not there or disk.key in there
    ]


def _cards(
    vm: str, devices: Sequence[vim.vm.device.VirtualDevice], backings: Mapping[int, Backing]
) -> list[vim.vm.device.VirtualDeviceSpec]:
    """Return an edit of every Ethernet card: the whole device, on its new backing (vsphere.md 3.1)."""
    edits = []
    for device in devices:
        if not isinstance(device, vim.vm.device.VirtualEthernetCard):
            continue
        if device.key not in backings:
            message = (
                f"vm/{vm}: {device.deviceInfo.label if device.deviceInfo else device.key} was added since the plan"
            )
            raise RefusedError(message, hint="plan again")
        device.backing = backings[device.key]
        edits.append(vim.vm.device.VirtualDeviceSpec(operation="edit", device=device))
    return edits


def _backing(target: Session, network: Network) -> Backing:
    card = vim.vm.device.VirtualEthernetCard
    if network.kind == "standard":
        return card.NetworkBackingInfo(deviceName=network.name)
    if network.kind == "distributed":
        if network.switch_uuid is None:
            message = f"target network {network.name}: its distributed switch cannot be read"
            raise RefusedError(message, hint="give the account the role Read-only on the distributed switch")
        port = vim.dvs.PortConnection(switchUuid=network.switch_uuid, portgroupKey=network.portgroup_key)
        return card.DistributedVirtualPortBackingInfo(port=port)
    opaque = managed_object(target.stub, network.ref)
    row = target.call(f"target network {network.name}", lambda: properties_of(target.content, opaque, ["summary"]))
    summary = row.get("summary")
    if summary is None:
        message = f"target network {network.name}: its opaque network id cannot be read"
        raise RefusedError(message)
    return card.OpaqueNetworkBackingInfo(
        opaqueNetworkId=summary.opaqueNetworkId, opaqueNetworkType=summary.opaqueNetworkType
    )
