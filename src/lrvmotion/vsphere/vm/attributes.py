"""What a vCenter itself keeps of a VM: its note, custom attributes, permissions, folder, and its cluster's rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeGuard

from pyVmomi import vim
from pyVmomi.VmomiSupport import ManagedObject

from lrvmotion.errors import LrvmotionError, RefusedError
from lrvmotion.model.inventory import MoRef
from lrvmotion.model.vm_metadata import Kind, MetadataItem, Unread, VmMetadata
from lrvmotion.plan.plan import Migration
from lrvmotion.vsphere.client import mapped, moref, properties_of, required
from lrvmotion.vsphere.inventory.surroundings import overrides_of, rules_of
from lrvmotion.vsphere.session import Session
from lrvmotion.vsphere.tasks import finish

PATHS = (
    "config.annotation", "config.hardware.device", "customValue", "permission", "runtime.host",
    "guest.toolsRunningStatus", "guest.ipAddress",
)  # fmt: skip
RUNNING = "guestToolsRunning"


def read(source: Session, migration: Migration, row: Mapping[str, Any]) -> VmMetadata:
    """Return what the VM has, whose properties PATHS are *row*: two calls, a third and fourth where it has the things.

    What is not told is named in it.
    """
    things: list[MetadataItem] = [_folder(migration)]
    unread: list[Unread] = []
    if "config.hardware.device" not in row:
        unread.append(Unread(kind="note", reason="vCenter did not report the VM's configuration"))
    elif text := str(row.get("config.annotation") or ""):
        things.append(MetadataItem(kind="note", name="note", data={"text": text}))
    readers: dict[Kind, Callable[[], list[MetadataItem]]] = {
        "attribute": lambda: list(_attributes(source, row)),
        "permission": lambda: list(_permissions(source, row)),
        "rule": lambda: list(_bindings(source, migration.ref, row)),
    }
    for kind, reader in readers.items():
        try:
            things += reader()
        except LrvmotionError as error:
            unread.append(Unread(kind=kind, reason=error.message))
    cards = (item for item in row.get("config.hardware.device") or () if is_card(item))
    return VmMetadata(
        things=tuple(things),
        unread=tuple(unread),
        macs={int(card.key): str(card.macAddress or "").lower() for card in cards},
        tools=str(row.get("guest.toolsRunningStatus")) == RUNNING,
        address=str(row.get("guest.ipAddress") or ""),
    )


def is_card(device: vim.vm.device.VirtualDevice) -> TypeGuard[vim.vm.device.VirtualEthernetCard]:
    """Whether *device* is an Ethernet card."""
    return isinstance(device, vim.vm.device.VirtualEthernetCard)


def _folder(migration: Migration) -> MetadataItem:
    folder = migration.placement.folder
    return MetadataItem(kind="folder", name=folder.path or "vm", data={"ref": folder.ref.value})


def _attributes(session: Session, row: Mapping[str, Any]) -> Iterator[MetadataItem]:
    values = row.get("customValue") or ()
    names = {key: name for name, key in fields(session).items()} if values else {}
    for item in values:
        if int(item.key) in names:
            yield MetadataItem(kind="attribute", name=names[int(item.key)], data={"value": str(item.value)})


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


def _permissions(session: Session, row: Mapping[str, Any]) -> Iterator[MetadataItem]:
    own = row.get("permission") or ()
    known = roles(session) if own else {}
    by_id = {number: (name, privileges) for name, (number, privileges) in known.items()}
    for item in own:
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


def _bindings(session: Session, vm: MoRef, row: Mapping[str, Any]) -> Iterator[MetadataItem]:
    """Give the DRS rules that name the VM, and its own DRS and HA settings."""
    host = row.get("runtime.host")
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
    yield from (MetadataItem(kind="rule", name=name) for ref, name in rules_of(config) if ref == vm)
    yield from (MetadataItem(kind="override", name=name) for ref, name in overrides_of(config) if ref == vm)


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
