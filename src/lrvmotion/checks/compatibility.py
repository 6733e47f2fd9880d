"""Whether the target can take a VM: CPU, hardware version, keys, and what another VM there already has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from lrvmotion.checks.surroundings import PrecheckContext
from lrvmotion.findings import Finding, Severity
from lrvmotion.model.inventory import Host, VirtualMachine
from lrvmotion.model.placement import Placement

# EVC mode keys by vendor, each a superset of the one before (VMware KB 1003212, "EVC and CPU Compatibility FAQ").
LADDERS: tuple[tuple[str, ...], ...] = (
    (
        "intel-merom", "intel-penryn", "intel-nehalem", "intel-westmere", "intel-sandybridge", "intel-ivybridge",
        "intel-haswell", "intel-broadwell", "intel-skylake", "intel-cascadelake", "intel-icelake",
        "intel-sapphirerapids",
    ),
    (
        "amd-rev-e", "amd-rev-f", "amd-greyhound-no3dnow", "amd-greyhound", "amd-bulldozer", "amd-piledriver",
        "amd-steamroller", "amd-zen", "amd-zen2", "amd-zen3", "amd-zen4",
    ),
)  # fmt: skip


def fits(needed: str, offered: str) -> bool | None:
    """Whether a CPU of EVC mode *offered* runs what needs *needed*; None where either key is not known."""
    if needed == offered:
        return True
    ladders = {key: (number, rung) for number, ladder in enumerate(LADDERS) for rung, key in enumerate(ladder)}
    if needed not in ladders or offered not in ladders:
        vendors = {key.partition("-")[0] for key in (needed, offered)}
        return False if vendors == {"amd", "intel"} else None
    return ladders[needed][0] == ladders[offered][0] and ladders[needed][1] <= ladders[offered][1]


def cpu(vm: VirtualMachine, host: Host) -> Iterator[Finding]:
    """A running VM moves only to a host whose CPU, or whose cluster's EVC mode, has all that it started with.

    Without EVC a host offers what its CPU has; the highest EVC mode of it is the nearest that vCenter tells.
    """
    offered = host.evc_mode or host.max_evc_mode
    if vm.power_state == "poweredOff" or not vm.evc_mode:
        return
    matches = fits(vm.evc_mode, offered) if offered else None
    if matches is None:
        summary = f"needs EVC mode {vm.evc_mode}; {host.name} offers {offered or 'none that it tells'}: not compared"
        yield _finding(Severity.WARNING, "vm-evc-unknown", vm, summary, None)
    elif not matches:
        what = "its cluster's EVC mode" if host.evc_mode else "the highest EVC mode of its CPU"
        summary = f"needs EVC mode {vm.evc_mode}; of {host.name} {what} is {offered}"
        hint = "power it off to move it, choose another host, or raise the target cluster's EVC mode"
        yield _finding(Severity.ERROR, "vm-evc", vm, summary, hint)


def hardware(vm: VirtualMachine, host: Host, around: PrecheckContext) -> Iterator[Finding]:
    """The virtual hardware version must be one that the target runs (QueryConfigOptionDescriptor)."""
    known = around.hardware.get(host.ref)
    if known is None:
        summary = f"whether {host.name} runs its hardware version {vm.hardware} is not read"
        yield _finding(Severity.WARNING, "vm-hardware-unread", vm, summary, None)
    elif vm.hardware and vm.hardware not in known:
        newest = max(known, key=_number, default="none")
        summary = f"has hardware version {vm.hardware}; {host.name} runs up to {newest}"
        yield _finding(Severity.ERROR, "vm-hardware", vm, summary, "choose a newer host: it cannot be lowered")


def encryption(vm: VirtualMachine, host: Host, around: PrecheckContext) -> Iterator[Finding]:
    """An encrypted VM needs its key provider at the target: without it, it fails near the end (KB 378053, 386333)."""
    if vm.key_provider is not None:
        what = "has a virtual TPM" if any(device.kind == "tpm" for device in vm.devices) else "is encrypted"
        named = f" by key provider {vm.key_provider!r}" if vm.key_provider else ""
        hint = "add the same key provider, of the same name, to the target vCenter"
        if around.providers is None or not vm.key_provider:
            summary = f"{what}: which key providers the target has is not read, and its own{named} must be there"
            yield _finding(Severity.WARNING, "vm-key-unread", vm, summary, hint)
        elif vm.key_provider not in around.providers:
            has = ", ".join(sorted(around.providers)) or "none"
            summary = f"{what}: its key provider {vm.key_provider!r} is not at the target, which has {has}"
            yield _finding(Severity.ERROR, "vm-key-provider", vm, summary, hint)
    if vm.migrate_encryption == "required" and vm.power_state == "poweredOn":
        if host.encrypted_vmotion is False:
            summary = f"requires encrypted vMotion, which {host.name} does not have"
            yield _finding(Severity.ERROR, "vm-encrypted-vmotion", vm, summary, "choose another host")
        else:
            summary = "requires encrypted vMotion: memory and disks are encrypted by the hosts, which costs them CPU"
            yield _finding(Severity.WARNING, "vm-encrypted-vmotion", vm, summary, None)


def clashes(vm: VirtualMachine, place: Placement, around: PrecheckContext) -> Iterator[Finding]:
    """A name is there once in a folder, and an instance UUID once in a vCenter; MAC and BIOS UUID should be."""
    taken = around.taken
    if taken is None:
        summary = "the names, UUIDs and MACs of the target's VMs are not read: not compared"
        yield _finding(Severity.WARNING, "vm-clash-unread", vm, summary, None)
        return
    if (place.folder.ref, vm.name) in taken.names:
        summary = f"the target already has a VM or folder of this name in {place.folder.path or 'its VM folder'}"
        yield _finding(Severity.ERROR, "vm-name-clash", vm, summary, "rename one of the two, or map to another folder")
    rows: tuple[tuple[Severity, Literal["instance", "BIOS"], str, str | None], ...] = (
        (Severity.ERROR, "instance", "vm-instance-uuid", taken.instance_uuids.get(vm.instance_uuid.lower())),
        (Severity.WARNING, "BIOS", "vm-bios-uuid", taken.bios_uuids.get(vm.bios_uuid.lower())),
    )
    for severity, kind, code, other in rows:
        if other is not None:
            summary = f"the target's VM {other} has the same {kind} UUID: one is a copy of the other"
            yield _finding(severity, code, vm, summary, "find out which of the two is wanted")
    if taken.macs is None:
        yield _finding(Severity.WARNING, "vm-mac-unread", vm, "the MACs of the target's VMs are not read", None)
    for nic in vm.nics:
        other = (taken.macs or {}).get(nic.mac.lower()) if nic.mac else None
        if other is not None:
            summary = f"{nic.label} has the MAC {nic.mac}, as has the target's VM {other}"
            yield _finding(Severity.WARNING, "vm-mac", vm, summary, "give one of them another MAC")


def _number(version: str) -> int:
    digits = version.rpartition("-")[2]
    return int(digits) if digits.isdigit() else 0


def _finding(severity: Severity, code: str, vm: VirtualMachine, summary: str, hint: str | None) -> Finding:
    return Finding(severity=severity, code=code, subject=f"vm/{vm.name}", summary=summary, hint=hint)
