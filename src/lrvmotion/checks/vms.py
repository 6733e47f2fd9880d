"""What blocks moving a VM, and what it should be known for."""

from __future__ import annotations

from collections.abc import Iterator

from lrvmotion.findings import Finding, Severity
from lrvmotion.model.inventory import VirtualMachine


def movable(vm: VirtualMachine) -> Iterator[Finding]:
    """A template, a suspended VM and one without a host cannot be moved live."""
    subject = f"vm/{vm.name}"
    if vm.template:
        yield _finding(Severity.ERROR, "vm-template", subject, "is a template", "convert it to a VM first")
    if vm.host is None:
        yield _finding(Severity.ERROR, "vm-no-host", subject, "is on no host")
    if vm.power_state == "suspended":
        yield _finding(Severity.ERROR, "vm-suspended", subject, "is suspended", "power it on or off first")


def cold_data(vm: VirtualMachine) -> Iterator[Finding]:
    """Snapshots and the disks of a powered-off VM go by NFC (TCP 902), which neither mode speeds up (vsphere.md 6)."""
    subject = f"vm/{vm.name}"
    if vm.power_state == "poweredOff":
        summary = "is powered off: its disks go by NFC (TCP 902) at about 1.3 Gbit/s at best, past streams and relay"
        yield _finding(Severity.WARNING, "vm-powered-off", subject, summary, "power it on to move it over vMotion")
    elif vm.snapshots:
        noun = "snapshot" if vm.snapshots == 1 else "snapshots"
        summary = f"has {vm.snapshots} {noun}: all but its topmost disks go by NFC (TCP 902), past streams and relay"
        yield _finding(Severity.WARNING, "vm-snapshots", subject, summary, "delete the snapshots before the move")


def busy(vm: VirtualMachine) -> Iterator[Finding]:
    """What vCenter does with the VM just now, or always, that blocks a move."""
    subject = f"vm/{vm.name}"
    if vm.fault_tolerance:
        summary = "is fault tolerant: its two copies cannot be moved to another vCenter"
        yield _finding(Severity.ERROR, "vm-fault-tolerance", subject, summary, "turn fault tolerance off first")
    if vm.tools_installer:
        summary = "has the VMware Tools installer mounted"
        yield _finding(Severity.ERROR, "vm-tools-installer", subject, summary, "unmount the installer in the VM")


def _finding(severity: Severity, code: str, subject: str, summary: str, hint: str | None = None) -> Finding:
    return Finding(severity=severity, code=code, subject=subject, summary=summary, hint=hint)
