"""What does not follow a VM to another vCenter (vsphere.md 3.4; VMware KB 2106952)."""

from __future__ import annotations

from collections.abc import Iterator

from lrvmotion.checks.surroundings import ClusterBindings, PrecheckContext
from lrvmotion.findings import Finding, Severity
from lrvmotion.model.inventory import VirtualMachine

_AGAIN = "set it again at the target after the move"
_CARRIED = "after the move they are set where the target knows them by name; the report lists what was not"


def bound(vm: VirtualMachine, around: PrecheckContext) -> Iterator[Finding]:
    """A cluster's rules for a VM and its own DRS and HA settings stay behind, in the source's cluster."""
    binding = (around.bindings or {}).get(vm.ref, ClusterBindings())
    if binding.rules:
        summary = f"is in DRS rules that do not follow: {', '.join(binding.rules)}"
        yield _finding("vm-rules", vm, summary, "make the rules again at the target after the move")
    if binding.overrides:
        summary = f"has cluster settings that do not follow it: {', '.join(binding.overrides)}"
        yield _finding("vm-overrides", vm, summary, _AGAIN)


def named(vm: VirtualMachine, around: PrecheckContext) -> Iterator[Finding]:
    """Permissions set on the VM and custom attributes are the vCenter's, not the VM's."""
    if vm.permissions:
        summary = f"has permissions that do not follow by themselves, of {', '.join(dict.fromkeys(vm.permissions))}"
        yield _finding("vm-permissions", vm, summary, _CARRIED)
    if vm.attributes:
        names = ", ".join(sorted(around.attributes.get(key, f"attribute {key}") for key in vm.attributes))
        summary = f"has custom attributes that do not follow by themselves: {names}"
        yield _finding("vm-attributes", vm, summary, _CARRIED)


def unread(around: PrecheckContext) -> Iterator[Finding]:
    """Say once what is not read and would not follow."""
    if around.bindings is None:
        summary = "DRS rules and settings of single VMs are not read: none of them follows"
        yield Finding(severity=Severity.WARNING, code="rules-not-read", subject="source", summary=summary)
    yield Finding(
        severity=Severity.INFO,
        code="tags-not-read",
        subject="source",
        summary="tags and storage policies of the VMs are not read yet: migrate carries them over by name",
        hint="create missing tags and policies at the target first; lrvmotion does not create them",
    )


def _finding(code: str, vm: VirtualMachine, summary: str, hint: str) -> Finding:
    return Finding(severity=Severity.WARNING, code=code, subject=f"vm/{vm.name}", summary=summary, hint=hint)
