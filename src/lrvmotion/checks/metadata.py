"""What does not follow a VM to another vCenter (vsphere.md 3.4; VMware KB 2106952)."""

from __future__ import annotations

from collections.abc import Iterator

from lrvmotion.checks.catalogue import Code
from lrvmotion.findings import Finding
from lrvmotion.model.inventory import VirtualMachine
from lrvmotion.model.placement import Placement
from lrvmotion.model.surroundings import ClusterBindings, PrecheckContext

_AGAIN = "set it again at the target after the move"
_CARRIED = "after the move they are set where the target knows them by name; the report lists what was not"


def bound(vm: VirtualMachine, around: PrecheckContext) -> Iterator[Finding]:
    """A cluster's rules for a VM and its own DRS and HA settings stay behind, in the source's cluster."""
    binding = (around.bindings or {}).get(vm.ref, ClusterBindings())
    if binding.rules:
        summary = f"is in DRS rules that do not follow: {', '.join(binding.rules)}"
        yield Code.VM_RULES.warning(f"vm/{vm.name}", summary, "make the rules again at the target after the move")
    if binding.overrides:
        summary = f"has cluster settings that do not follow it: {', '.join(binding.overrides)}"
        yield Code.VM_OVERRIDES.warning(f"vm/{vm.name}", summary, _AGAIN)


def in_vapp(vm: VirtualMachine, place: Placement) -> Iterator[Finding]:
    """A vApp is its vCenter's; the VM leaves it, and lands in the folder that stands for the vApp's."""
    if vm.vapp:
        there = place.folder.path or "its VM folder"
        summary = f"is in vApp {vm.vapp}, which does not follow, nor does its start order; it goes to folder {there}"
        yield Code.VM_VAPP.warning(f"vm/{vm.name}", summary, "make the vApp again at the target after the move")


def named(vm: VirtualMachine, around: PrecheckContext) -> Iterator[Finding]:
    """Permissions set on the VM and custom attributes are the vCenter's, not the VM's."""
    if vm.permissions:
        summary = f"has permissions that do not follow by themselves, of {', '.join(dict.fromkeys(vm.permissions))}"
        yield Code.VM_PERMISSIONS.warning(f"vm/{vm.name}", summary, _CARRIED)
    if vm.attributes:
        names = ", ".join(sorted(around.attributes.get(key, f"attribute {key}") for key in vm.attributes))
        summary = f"has custom attributes that do not follow by themselves: {names}"
        yield Code.VM_ATTRIBUTES.warning(f"vm/{vm.name}", summary, _CARRIED)


def unread(around: PrecheckContext) -> Iterator[Finding]:
    """Say once what is not read and would not follow."""
    if around.bindings is None:
        summary = "DRS rules and settings of single VMs are not read: none of them follows"
        yield Code.RULES_NOT_READ.warning("source", summary)
    summary = "tags and storage policies of the VMs are not read yet: migrate carries them over by name"
    hint = "create missing tags and policies at the target first; lrvmotion does not create them"
    yield Code.TAGS_NOT_READ.info("source", summary, hint)
