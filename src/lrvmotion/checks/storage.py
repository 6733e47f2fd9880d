"""What blocks moving a VM's disks."""

from __future__ import annotations

from collections.abc import Iterator

from lrvmotion.findings import Finding, Severity
from lrvmotion.model.inventory import Host, VirtualMachine


def raw(vm: VirtualMachine) -> Iterator[Finding]:
    """A raw device mapping is a LUN, which the target's hosts do not have (API: RDMNotSupported, RDMNotPreserved)."""
    for disk in vm.disks:
        if disk.rdm is not None:
            summary = f"{disk.label} is a raw device mapping ({disk.rdm} mode): the LUN does not move"
            hint = "turn it into a virtual disk at the source, or move the LUN's data by other means"
            yield _finding(Severity.ERROR, "vm-rdm", vm, summary, hint)


def shared(vm: VirtualMachine) -> Iterator[Finding]:
    """A multi-writer disk is open in other VMs too: its storage cannot be moved (VMware KB 1034165)."""
    for disk in vm.disks:
        if disk.multi_writer:
            summary = f"{disk.label} may be written by several VMs at once: it cannot be moved"
            yield _finding(
                Severity.ERROR, "vm-multi-writer", vm, summary, "set its sharing to none, if only it uses it"
            )


def modes(vm: VirtualMachine) -> Iterator[Finding]:
    """Storage moves with a running VM only from disks in persistent mode (VMware docs, "Storage vMotion Requirements").

    Of an independent persistent disk no snapshot is made; it moves all the same.
    """
    for disk in vm.disks:
        if disk.mode == "independent_persistent":
            summary = f"{disk.label} is independent: snapshots leave it out, before and after the move"
            yield _finding(Severity.WARNING, "vm-disk-independent", vm, summary, None)
        elif disk.mode not in {"persistent", ""}:
            summary = f"{disk.label} is in mode {disk.mode}: what was written since power-on would be lost"
            yield _finding(Severity.ERROR, "vm-disk-mode", vm, summary, "set it to persistent")


def count(vm: VirtualMachine, host: Host) -> Iterator[Finding]:
    """A host moves only so many disks of a running VM (HostCapability.maxNumDisksSVMotion)."""
    if vm.power_state == "poweredOn" and host.most_disks is not None and len(vm.disks) > host.most_disks:
        summary = f"has {len(vm.disks)} disks; {host.name} moves at most {host.most_disks} with a running VM"
        yield _finding(Severity.ERROR, "vm-disk-count", vm, summary, "power it off to move it")


def _finding(severity: Severity, code: str, vm: VirtualMachine, summary: str, hint: str | None) -> Finding:
    return Finding(severity=severity, code=code, subject=f"vm/{vm.name}", summary=summary, hint=hint)
