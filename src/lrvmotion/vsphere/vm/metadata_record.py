"""Read at the source, before its move, what does not follow a VM; what cannot be read is named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from pyVmomi import vim

from lrvmotion.errors import LrvmotionError
from lrvmotion.model.vm.vm_metadata import Kind, MetadataItem, Unread, VmMetadata
from lrvmotion.plan.plan import Migration
from lrvmotion.vsphere.client import managed_object
from lrvmotion.vsphere.inventory.vm_hardware import label
from lrvmotion.vsphere.session import Session
from lrvmotion.vsphere.vm import attributes
from lrvmotion.vsphere.vm.storage_policies import Policies
from lrvmotion.vsphere.vm.tags import Tagging


def record(source: Session, tags: Tagging, policies: Policies, migration: Migration) -> VmMetadata:
    """Return what the VM has; five calls, and a few more for names that are new.

    Raises LrvmotionError where the VM itself cannot be read.
    """
    vm = managed_object(source.stub, migration.ref)
    told = attributes.properties(source, f"vm/{migration.vm}", vm)
    had = attributes.read(source, migration, told)
    readers: dict[Kind, Callable[[], list[MetadataItem]]] = {
        "tag": lambda: [_tag(*names) for names in tags.of(migration.ref)],
        "policy": lambda: _policies(policies, migration, told.disks),
    }
    for kind, reader in readers.items():
        try:
            had = replace(had, things=(*had.things, *reader()))
        except LrvmotionError as error:
            had = replace(had, unread=(*had.unread, Unread(kind=kind, reason=error.message)))
    return had


def _tag(category: str, tag: str) -> MetadataItem:
    return MetadataItem(kind="tag", name=f"{category}/{tag}", data={"category": category, "tag": tag})


def _policies(
    policies: Policies, migration: Migration, disks: Mapping[int, vim.vm.device.VirtualDisk]
) -> list[MetadataItem]:
    return [
        MetadataItem(
            kind="policy",
            name=f"{'VM home' if key is None else label(disks[key])}: {policy}",
            data={"disk": key, "policy": policy},
        )
        for key, policy in policies.of(migration.ref, list(disks))
    ]
