"""What blocks moving a VM: of the VM alone, and of the VM with the place that it goes to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lrvmotion.checks import compatibility, devices, metadata
from lrvmotion.checks.catalogue import Code
from lrvmotion.findings import Finding
from lrvmotion.model.inventory import VirtualMachine, VmConnection, natural
from lrvmotion.model.placement import Placement
from lrvmotion.model.surroundings import PrecheckContext
from lrvmotion.model.vm import vm_role
from lrvmotion.model.vm.vm_role import VmRole

_MOST_SHOWN = 5


def alone(vm: VirtualMachine, *, first_class_disks: bool = False, eject: bool = False) -> list[Finding]:
    """Return what the VM's own state says; *first_class_disks*: one that has such disks may be moved.

    *eject*: what its drives hold is ejected first.
    """
    return [
        *movable(vm),
        *infrastructure(vm),
        *reachable(vm),
        *cold_data(vm),
        *busy(vm),
        *devices.connected(vm, eject=eject),
        *devices.passed_through(vm),
        *devices.shared_bus(vm),
        *devices.raw(vm),
        *devices.shared(vm),
        *devices.first_class(vm, allowed=first_class_disks),
        *devices.modes(vm),
    ]


def placed(vm: VirtualMachine, place: Placement, around: PrecheckContext) -> list[Finding]:
    """Return what *place* and the *around* say."""
    return [
        *devices.count(vm, place.host),
        *compatibility.cpu(vm, place.host),
        *compatibility.hardware(vm, place.host, around),
        *compatibility.encryption(vm, place.host, around),
        *compatibility.clashes(vm, place, around),
        *metadata.in_vapp(vm, place),
        *metadata.bound(vm, around),
        *metadata.named(vm, around),
    ]


def movable(vm: VirtualMachine) -> Iterator[Finding]:
    """A template, a suspended VM and one without a host cannot be moved live."""
    subject = f"vm/{vm.name}"
    if vm.template:
        yield Code.VM_TEMPLATE.error(subject, "is a template", "convert it to a VM first")
    if vm.host is None:
        yield Code.VM_NO_HOST.error(subject, "is on no host")
    if vm.power_state == "suspended":
        yield Code.VM_SUSPENDED.error(subject, "is suspended", "power it on or off first")


def infrastructure(vm: VirtualMachine) -> Iterator[Finding]:
    """A VM that other things rest on, or that another product owns, is no load to move."""
    subject = f"vm/{vm.name}"
    match vm_role.role(managed_by=vm.managed_by, serves=vm_role.serves(vm.serves)):
        case VmRole.VCLS:
            summary = "is a vCLS VM of its cluster: vCenter removes it, and makes one at the target, as needed"
            yield Code.VM_VCLS.error(subject, summary, "leave it out")
        case VmRole.VCENTER:
            yield Code.VM_VCENTER.error(subject, f"the {vm.serves} runs in it", "leave it out; it cannot move itself")
        case VmRole.RELAY_HOST:
            yield Code.VM_RELAY_HOST.error(subject, f"the {vm.serves} runs in it", "leave it out; the moves pass it")
        case VmRole.MANAGED:
            summary = f"is managed by an extension of vCenter ({vm.managed_by}), which would lose it"
            yield Code.VM_MANAGED.error(subject, summary, "move it by means of that product")
        case _:
            pass


def left_out(names: Mapping[VmRole, Sequence[str]]) -> Iterator[Finding]:
    """Give what an expression or a pattern matches and leaves out, by what it is."""
    for role, called in names.items():
        more = len(called) - _MOST_SHOWN
        shown = ", ".join(called[:_MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")
        noun = role if len(called) == 1 else f"{role}s"
        yield Code.VM_LEFT_OUT.info(
            "plan", f"{len(called)} {noun} left out: {shown}", "named one by one each is refused"
        )


def of_other_vcenters(others: Mapping[str, int], file: str) -> Iterator[Finding]:
    """Say how many rows of the export *file* are of *others* than the source's vCenter."""
    if others:
        count = sum(others.values())
        names = [repr(name[:80]) for name in sorted(others, key=natural)]
        more = f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
        noun = "VM" if count == 1 else "VMs"
        yield Code.VM_LEFT_OUT.info(
            "plan",
            f"{count} {noun} of {file} left out, of another vCenter: {', '.join(names[:_MOST_SHOWN])}{more}",
            "a run moves the VMs of one source vCenter",
        )


# What vCenter means by a VM's state (API reference, VirtualMachineConnectionState): code, summary, hint.
_STATES: dict[VmConnection, tuple[Code, str, str]] = {
    "orphaned": (
        Code.VM_ORPHANED,
        "is orphaned: vCenter lists it, and its host no longer has it",
        "register its .vmx on a host, or remove it from the inventory",
    ),
    "inaccessible": (
        Code.VM_INACCESSIBLE,
        "is inaccessible: its host cannot read its files",
        "bring its datastore back, or register the VM again",
    ),
    "invalid": (
        Code.VM_INACCESSIBLE,
        "is invalid: its configuration cannot be read",
        "repair its .vmx, or register the VM again",
    ),
    "disconnected": (
        Code.VM_DISCONNECTED,
        "is disconnected: vCenter has no connection to its host",
        "bring the host back, or choose other VMs",
    ),
}


def reachable(vm: VirtualMachine) -> Iterator[Finding]:
    """A VM is moved only while its host has it and vCenter is connected to that host."""
    if vm.connection_state in _STATES:
        code, summary, hint = _STATES[vm.connection_state]
        yield code.error(f"vm/{vm.name}", summary, hint)


def known(vm: VirtualMachine) -> bool:
    """Whether vCenter knows what the VM consists of; of others it tells no disks, cards or files."""
    return vm.connection_state in {"connected", "disconnected"}


def cold_data(vm: VirtualMachine) -> Iterator[Finding]:
    """What lies below a topmost disk, and all disks of a powered-off VM, go by NFC (TCP 902) (vsphere.md 6).

    The disks' chains say so: an independent disk has no part in a snapshot, and a backup may leave a chain without one.
    """
    subject = f"vm/{vm.name}"
    if vm.power_state == "poweredOff":
        summary = "is powered off: its disks go by NFC (TCP 902) at about 1.3 Gbit/s at best, past streams and relay"
        yield Code.VM_POWERED_OFF.warning(subject, summary, "power it on to move it over vMotion")
    elif vm.snapshots and not (vm.disks and all(disk.mode.startswith("independent") for disk in vm.disks)):
        noun = "snapshot" if vm.snapshots == 1 else "snapshots"
        summary = f"has {vm.snapshots} {noun}: all but its topmost disks go by NFC (TCP 902), past streams and relay"
        yield Code.VM_SNAPSHOTS.warning(subject, summary, "delete the snapshots before the move")
    yield from devices.chains(vm)
    if vm.consolidation:
        hint = "consolidate its disks before the move"
        yield Code.VM_CONSOLIDATION.warning(subject, "needs its disks consolidated, as vCenter says", hint)


def busy(vm: VirtualMachine) -> Iterator[Finding]:
    """What vCenter does with the VM just now, or always, that blocks a move."""
    subject = f"vm/{vm.name}"
    if vm.fault_tolerance:
        summary = "is fault tolerant: its two copies cannot be moved to another vCenter"
        yield Code.VM_FAULT_TOLERANCE.error(subject, summary, "turn fault tolerance off first")
    if vm.relocate_disabled:
        summary = "moves of it are disabled (disabledMethod has RelocateVM_Task), by a backup product mostly"
        hint = "let the backup end; if it ended long ago, have its product release the VM"
        yield Code.VM_RELOCATE_DISABLED.error(subject, summary, hint)
    if vm.question:
        yield Code.VM_QUESTION.error(subject, waits(vm.question), "answer it in vCenter")
    if vm.tools_installer:
        summary = "has the VMware Tools installer mounted"
        yield Code.VM_TOOLS_INSTALLER.error(subject, summary, "unmount the installer in the VM")


def waits(question: str) -> str:
    """Say that a VM waits for an answer to *question*."""
    return f"waits for an answer: {question!r}"


def gone(vm: str, told: str | None = None) -> Finding:
    """A VM of a run that is resumed or brought back, which is not at the source; *told* is where it is, if known."""
    summary = told or "is no longer at the source: it was moved or removed since"
    return Code.VM_GONE.warning(f"vm/{vm}", summary, "look for it at the target")


def depends_on_refused(vm: str, before: str) -> Finding:
    """A VM that would wait for one that is refused."""
    summary = f"depends on {before!r}, which is refused"
    return Code.VM_DEPENDS_REFUSED.error(f"vm/{vm}", summary, "mend that one, or take the dependency away")


def reverse_mode(mode: str, lacking: Sequence[str]) -> Finding:
    """A way back in *mode*, for there is no relay host at the site that sends then, which *lacking* modes need."""
    needs = f"{', '.join(lacking)} mode needs a relay at the site that sends ([relay.target])"
    return Code.REVERSE_MODE.info("plan", f"the way back goes in {mode} mode: {needs}")
