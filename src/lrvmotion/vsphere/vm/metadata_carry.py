"""Give a VM at the target what did not follow it, as far as it exists there by name, and see that it has it.

Nothing is made at the target: no tag, attribute, role or policy; and what a VM has there already is never overwritten.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pyVmomi import vim

from lrvmotion.errors import LrvmotionError, RefusedError
from lrvmotion.events import Carried
from lrvmotion.journal.records import MetadataWrite
from lrvmotion.model.target_id import site_object
from lrvmotion.model.vm.vm_metadata import Kind, MetadataItem, Unread, VmMetadata
from lrvmotion.plan.plan import Migration
from lrvmotion.ports.mover import RecordWrite
from lrvmotion.vsphere.client import moref
from lrvmotion.vsphere.session import Session
from lrvmotion.vsphere.vm import attributes
from lrvmotion.vsphere.vm import storage_policies as policies
from lrvmotion.vsphere.vm.attributes import VmProperties
from lrvmotion.vsphere.vm.storage_policies import Policies
from lrvmotion.vsphere.vm.tags import Tagging

_LEFT = {
    "rule": "rules are the cluster's: make it again at the target once all of its VMs are there",
    "override": "settings of single VMs are the cluster's: set it again at the target",
}


@dataclass(slots=True)
class MetadataWriter:
    """Gives one VM (*vm*, at the target) its things; *record* is told of each write before it is made."""

    target: Session
    migration: Migration
    vm: vim.VirtualMachine
    record: RecordWrite
    tags: Tagging
    policies: Policies
    _own_policies: list[tuple[int | None, str]] | None = field(default=None, init=False)
    _own_tags: list[tuple[str, str]] | None = field(default=None, init=False)
    _fields: dict[str, int] | None = field(default=None, init=False)
    _roles: dict[str, tuple[int, tuple[str, ...]]] | None = field(default=None, init=False)

    def all(self, metadata: VmMetadata) -> list[Carried]:
        """Return what became of each thing, having looked."""
        refused = self._give_all(metadata)
        self._own_tags = self._own_policies = None  # read again
        try:
            now = self._now()
        except LrvmotionError as error:
            return [self._said(item, None, f"not looked at the target: {error.message}") for item in metadata.things]
        return [self._outcome(item, now, refused.get(id(item))) for item in metadata.things]

    def _give_all(self, metadata: VmMetadata) -> dict[int, str]:
        """Give the VM what it lacks; return why not, by the thing."""
        refused: dict[int, str] = {}
        try:
            now = self._now()
        except LrvmotionError as error:
            return {id(item): error.message for item in metadata.things}
        for item in metadata.things:
            try:
                if not self._has(item, now):
                    self._give(item, now)
            except LrvmotionError as error:
                refused[id(item)] = error.message if error.hint is None else f"{error.message}; {error.hint}"
        return refused

    def _now(self) -> VmProperties:
        return attributes.properties(self.target, f"vm/{self.migration.vm} at the target", self.vm)

    def _outcome(self, item: MetadataItem, now: VmProperties, refused: str | None) -> Carried:
        if item.kind in _LEFT:
            return self._said(item, False, _LEFT[item.kind])
        try:
            if self._has(item, now):
                return self._said(item, True)
        except LrvmotionError as error:
            return self._said(item, None, f"not looked at the target: {error.message}")
        return self._said(item, False, refused or "it was written, and is not there")

    def _said(self, item: MetadataItem, carried: bool | None, reason: str | None = None) -> Carried:
        return told(self.migration, item.kind, item.name, carried, reason)

    def _has(self, item: MetadataItem, now: VmProperties) -> bool:
        match item.kind:
            case "note":
                return now.note == str(item.data["text"])
            case "folder":
                return now.folder == str(item.data["ref"])
            case "attribute":
                return self._value(item, now) == str(item.data["value"])
            case "permission":
                return self._permission(item, now)
            case "tag":
                if self._own_tags is None:
                    self._own_tags = self.tags.of(moref(self.vm))
                return (item.data["category"], item.data["tag"]) in self._own_tags
            case "policy":
                if self._own_policies is None:
                    self._own_policies = self.policies.of(moref(self.vm), list(now.disks))
                return (item.data["disk"], item.data["policy"]) in self._own_policies
            case _:
                return False

    def _give(self, item: MetadataItem, now: VmProperties) -> None:
        """Write one thing, recorded before; raises LrvmotionError where it cannot be."""
        match item.kind:
            case "note":
                if now.note:
                    raise RefusedError(_other("note", now.note))
                self._write(
                    item, item.data["text"], lambda: attributes.write_note(self.target, self.vm, self._text(item))
                )
            case "attribute":
                key = self.fields.get(item.name)
                if key is None:
                    message = f"there is no attribute {item.name} at the target"
                    raise RefusedError(message, hint="make it there, then set it")
                if value := self._value(item, now):
                    raise RefusedError(_other("value", value))
                value = str(item.data["value"])
                self._write(item, value, lambda: attributes.write_attribute(self.target, self.vm, key, value))
            case "permission":
                role = self._role(item)
                said = f"{item.data['role']}{', propagated' if item.data['propagate'] else ''}"
                self._write(item, said, lambda: attributes.write_permission(self.target, self.vm, role, item))
            case "tag":
                found = self.tags.find(item.data["category"], item.data["tag"])
                if found is None:
                    message = f"there is no tag {item.name} at the target"
                    raise RefusedError(message, hint="make it there, then attach it")
                self._write(item, "attached", lambda: self.tags.attach(found, moref(self.vm)))
            case "policy":
                policy = self.policies.find(item.data["policy"])
                if policy is None:
                    message = f"there is no storage policy {item.data['policy']} at the target"
                    raise RefusedError(message, hint="make it there, then assign it")
                disk = now.disks.get(item.data["disk"])
                if disk is None and item.data["disk"] is not None:
                    message = "the disk is not there at the target"
                    raise RefusedError(message)
                self._write(item, item.data["policy"], lambda: policies.assign(self.target, self.vm, disk, policy))
            case "folder":
                message = "it is in another folder"
                raise RefusedError(message, hint="move it there")
            case _:
                pass

    def _text(self, item: MetadataItem) -> str:
        return str(item.data["text"])

    def _write(self, item: MetadataItem, planned: str, write: Callable[[], None]) -> None:
        place = site_object(self.target.site, self.migration.vm)
        key = f"{item.kind}/{item.name}"
        self.record(MetadataWrite(target=place, vm=self.migration.vm, key=key, planned=planned))
        write()

    @property
    def fields(self) -> dict[str, int]:
        """The custom attributes that the target knows, read once."""
        if self._fields is None:
            self._fields = attributes.fields(self.target)
        return self._fields

    def _value(self, item: MetadataItem, now: VmProperties) -> str:
        key = self.fields.get(item.name)
        return "" if key is None else now.values.get(key, "")

    @property
    def roles(self) -> dict[str, tuple[int, tuple[str, ...]]]:
        """The roles that the target knows, read once."""
        if self._roles is None:
            self._roles = attributes.roles(self.target)
        return self._roles

    def _role(self, item: MetadataItem) -> int:
        """Return the id of the role of the same name and privileges: another one might give more than was meant."""
        name = item.data["role"]
        number, privileges = self.roles.get(name, (0, ()))
        if name not in self.roles:
            message = f"there is no role {name or 'of its kind'} at the target"
            raise RefusedError(message, hint="make it there, then give the permission")
        if list(privileges) != list(item.data["privileges"]):
            message = f"the role {name} has other privileges at the target"
            raise RefusedError(message, hint="give the permission with the role that you mean")
        return number

    def _permission(self, item: MetadataItem, now: VmProperties) -> bool:
        own = [found for found in now.permissions if str(found.principal) == item.name]
        role, _ = self.roles.get(item.data["role"], (None, ()))
        return any(
            int(found.roleId) == role
            and bool(found.propagate) == item.data["propagate"]
            and bool(found.group) == item.data["group"]
            for found in own
        )


def unlooked(migration: Migration, unread: Unread) -> Carried:
    """Return what is said of a kind that could not be read before the move."""
    name = _NOUNS.get(unread.kind, unread.kind)
    return told(migration, unread.kind, name, None, f"not read: {unread.reason}")


def told(migration: Migration, kind: str, name: str, carried: bool | None, reason: str | None) -> Carried:
    """Return what is said of one thing of a VM."""
    return Carried(
        vm=migration.vm, kind=kind, name=name, carried=carried, reason=reason, instance_uuid=migration.instance_uuid,
        source_ref=str(migration.ref),
    )  # fmt: skip


_NOUNS: dict[Kind, str] = {
    "tag": "tags", "attribute": "custom attributes", "permission": "permissions", "policy": "storage policies",
    "rule": "DRS rules and settings",
}  # fmt: skip


def _other(noun: str, text: str) -> str:
    return f"it has another {noun} at the target: {text[:60]!r}"
