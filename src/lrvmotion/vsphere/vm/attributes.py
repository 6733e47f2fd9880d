"""What a vCenter itself keeps of a VM: its note, custom attributes, permissions, folder, and its cluster's rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from pyVmomi import vim
from pyVmomi.VmomiSupport import ManagedObject

from lrvmotion.errors import LrvmotionError, RefusedError
from lrvmotion.model.inventory import MoRef
from lrvmotion.model.vm.vm_metadata import Kind, MetadataItem, Unread, VmMetadata
from lrvmotion.plan.plan import Migration
from lrvmotion.vsphere.client import mapped, moref, properties_of, required
from lrvmotion.vsphere.inventory.surroundings import overrides_of, rules_of
from lrvmotion.vsphere.session import Session
from lrvmotion.vsphere.tasks import finish

_PATHS = (
    "config.annotation", "config.hardware.device", "customValue", "permission", "parent", "runtime.host",
    "guest.toolsRunningStatus", "guest.ipAddress",
)  # fmt: skip
RUNNING = "guestToolsRunning"


@dataclass(frozen=True, slots=True, kw_only=True)
class VmProperties:
    """What a vCenter tells of a VM; *devices* None: not told. *values* are its custom attributes, by key."""

    note: str
    devices: Sequence[vim.vm.device.VirtualDevice] | None
    values: Mapping[int, str]
    permissions: Sequence[vim.AuthorizationManager.Permission]
    folder: str
    host: vim.HostSystem | None
    tools: bool
    address: str

    @property
    def disks(self) -> dict[int, vim.vm.device.VirtualDisk]:
        """The disks by their device key."""
        kind = vim.vm.device.VirtualDisk
        return {int(item.key): item for item in self.devices or () if isinstance(item, kind)}

    @property
    def cards(self) -> list[vim.vm.device.VirtualEthernetCard]:
        """The Ethernet cards."""
        return [item for item in self.devices or () if is_card(item)]


def properties(session: Session, subject: str, vm: vim.VirtualMachine) -> VmProperties:
    """Return what the vCenter tells of *vm*, in one call."""
    row = session.call(subject, lambda: properties_of(session.content, vm, _PATHS))
    return VmProperties(
        note=str(row.get("config.annotation") or ""),
        devices=row.get("config.hardware.device"),
        values={int(item.key): str(item.value) for item in row.get("customValue") or ()},
        permissions=row.get("permission") or (),
        folder=moid(row.get("parent")),
        host=row.get("runtime.host"),
        tools=str(row.get("guest.toolsRunningStatus")) == RUNNING,
        address=str(row.get("guest.ipAddress") or ""),
    )


def read(source: Session, migration: Migration, vm: VmProperties) -> VmMetadata:
    """Return what *vm* has: two calls, a third and fourth where it has the things.

    What is not told is named in it.
    """
    things: list[MetadataItem] = [_folder(migration)]
    unread: list[Unread] = []
    if vm.devices is None:
        unread.append(Unread(kind="note", reason="vCenter did not report the VM's configuration"))
    elif vm.note:
        things.append(MetadataItem(kind="note", name="note", data={"text": vm.note}))
    readers: dict[Kind, Callable[[], list[MetadataItem]]] = {
        "attribute": lambda: list(_attributes(source, vm)),
        "permission": lambda: list(_permissions(source, vm)),
        "rule": lambda: list(_bindings(source, migration.ref, vm)),
    }
    for kind, reader in readers.items():
        try:
            things += reader()
        except LrvmotionError as error:
            unread.append(Unread(kind=kind, reason=error.message))
    return VmMetadata(
        things=tuple(things),
        unread=tuple(unread),
        macs={int(card.key): str(card.macAddress or "").lower() for card in vm.cards},
        connected=frozenset(int(card.key) for card in vm.cards if linked(card)),
        start_connected=frozenset(int(card.key) for card in vm.cards if starts_linked(card)),
        tools=vm.tools,
        address=vm.address,
    )


def is_card(device: vim.vm.device.VirtualDevice) -> TypeGuard[vim.vm.device.VirtualEthernetCard]:
    """Whether *device* is an Ethernet card."""
    return isinstance(device, vim.vm.device.VirtualEthernetCard)


def linked(card: vim.vm.device.VirtualEthernetCard) -> bool:
    """Whether *card* is connected now, which none of a VM that is off is."""
    return card.connectable is not None and bool(card.connectable.connected)


def starts_linked(card: vim.vm.device.VirtualEthernetCard) -> bool:
    """Whether *card* is connected when its VM is powered on."""
    return card.connectable is not None and bool(card.connectable.startConnected)


def _folder(migration: Migration) -> MetadataItem:
    folder = migration.placement.folder
    return MetadataItem(kind="folder", name=folder.path or "vm", data={"ref": folder.ref.value})


def _attributes(session: Session, vm: VmProperties) -> Iterator[MetadataItem]:
    names = {key: name for name, key in fields(session).items()} if vm.values else {}
    for key, value in vm.values.items():
        if key in names:
            yield MetadataItem(kind="attribute", name=names[key], data={"value": value})


def fields(session: Session) -> dict[str, int]:
    """Return the keys of the custom attributes that a VM can have, by name; RefusedError where they are not told."""
    manager = session.content.customFieldsManager
    if manager is None:
        message = f"{session.site}: vCenter did not report its custom attributes"
        raise RefusedError(message)
    subject = f"{session.site}: custom attributes"
    row = session.call(subject, lambda: properties_of(session.content, manager, ("field",)))
    fitting = (vim.VirtualMachine, None)  # None: of any kind of object
    return {str(item.name): int(item.key) for item in row.get("field") or () if item.managedObjectType in fitting}


def _permissions(session: Session, vm: VmProperties) -> Iterator[MetadataItem]:
    known = roles(session) if vm.permissions else {}
    by_id = {number: (name, privileges) for name, (number, privileges) in known.items()}
    for item in vm.permissions:
        name, privileges = by_id.get(int(item.roleId), ("", ()))
        data = {
            "group": bool(item.group), "propagate": bool(item.propagate), "role": name, "privileges": list(privileges),
        }  # fmt: skip
        yield MetadataItem(kind="permission", name=str(item.principal), data=data)


def roles(session: Session) -> dict[str, tuple[int, tuple[str, ...]]]:
    """Return each role's id and privileges, sorted, by its name."""
    manager = required(session.content.authorizationManager)
    row = session.call(
        f"{session.site}: roles", lambda: properties_of(session.content, manager, ("roleList",))
    )  # fmt: skip
    return {
        str(item.name): (int(item.roleId), tuple(sorted(map(str, item.privilege or ()))))
        for item in row.get("roleList") or ()
    }


def _bindings(session: Session, ref: MoRef, vm: VmProperties) -> Iterator[MetadataItem]:
    """Give the DRS rules that name the VM, and its own DRS and HA settings."""
    host = vm.host
    if host is None:
        message = "vCenter did not report the VM's host"
        raise RefusedError(message)
    subject = f"{session.site}: cluster rules"
    parent = session.call(subject, lambda: properties_of(session.content, host, ("parent",))).get("parent")
    if not isinstance(parent, vim.ClusterComputeResource):
        return
    found = session.call(subject, lambda: properties_of(session.content, parent, ("configurationEx",)))
    config = found.get("configurationEx")
    if config is None:
        message = f"{subject} were not reported"
        raise RefusedError(message)
    yield from (MetadataItem(kind="rule", name=name) for own, name in rules_of(config) if own == ref)
    yield from (MetadataItem(kind="override", name=name) for own, name in overrides_of(config) if own == ref)


def write_note(session: Session, vm: vim.VirtualMachine, text: str) -> None:
    """Set the VM's note."""
    subject = f"{session.site}: note"
    task = session.call(subject, lambda: vm.ReconfigVM_Task(vim.vm.ConfigSpec(annotation=text)))
    finish(session, subject, task)


def write_attribute(session: Session, vm: vim.VirtualMachine, key: int, value: str) -> None:
    """Set the value of the custom attribute *key*."""
    manager = required(session.content.customFieldsManager)
    session.call(f"{session.site}: attribute {key}", lambda: manager.SetField(vm, key, value))


def write_permission(session: Session, vm: vim.VirtualMachine, role: int, thing: MetadataItem) -> None:
    """Give the VM a permission; those of others on it stay (API reference: "updates the permissions")."""
    permission = vim.AuthorizationManager.Permission(
        principal=thing.name, group=thing.data["group"], roleId=role, propagate=thing.data["propagate"]
    )
    manager = required(session.content.authorizationManager)
    with mapped(f"{session.site}: permission of {thing.name}"):
        manager.SetEntityPermissions(vm, [permission])


def moid(item: ManagedObject | None) -> str:
    """Return the id of a managed object, "" of none."""
    return moref(item).value if item is not None else ""
