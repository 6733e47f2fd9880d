"""Whether the target can take a VM: CPU, hardware version, keys, what another VM there has, and what vCenter says."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from lrvmotion.checks.catalogue import Code
from lrvmotion.findings import Finding
from lrvmotion.model.inventory import Host, MoRef, Network, VirtualMachine
from lrvmotion.model.placement import Placement
from lrvmotion.model.relocation import RelocateCheck
from lrvmotion.model.surroundings import PrecheckContext

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
    subject = f"vm/{vm.name}"
    offered = host.evc_mode or host.max_evc_mode
    if vm.power_state == "poweredOff" or not vm.evc_mode:
        return
    matches = fits(vm.evc_mode, offered) if offered else None
    if matches is None:
        summary = f"needs EVC mode {vm.evc_mode}; {host.name} offers {offered or 'none that it tells'}: not compared"
        yield Code.VM_EVC_UNKNOWN.warning(subject, summary)
    elif not matches:
        what = "its cluster's EVC mode" if host.evc_mode else "the highest EVC mode of its CPU"
        summary = f"needs EVC mode {vm.evc_mode}; of {host.name} {what} is {offered}"
        hint = "power it off to move it, choose another host, or raise the target cluster's EVC mode"
        yield Code.VM_EVC.error(subject, summary, hint)


def hardware(vm: VirtualMachine, host: Host, around: PrecheckContext) -> Iterator[Finding]:
    """The virtual hardware version must be one that the target runs (QueryConfigOptionDescriptor)."""
    subject = f"vm/{vm.name}"
    known = around.hardware.get(host.ref)
    if known is None:
        summary = f"whether {host.name} runs its hardware version {vm.hardware} is not read"
        yield Code.VM_HARDWARE_UNREAD.warning(subject, summary)
    elif vm.hardware and vm.hardware not in known:
        newest = max(known, key=_number, default="none")
        summary = f"has hardware version {vm.hardware}; {host.name} runs up to {newest}"
        yield Code.VM_HARDWARE.error(subject, summary, "choose a newer host: it cannot be lowered")


def switches(vm: VirtualMachine, place: Placement, networks: Mapping[MoRef, Network]) -> Iterator[Finding]:
    """From a distributed switch a card goes to one of the same version only; *networks* are the source's.

    vCenter checks it ("vMotion from a distributed switch to a standard switch", "between distributed switches of
    different versions": VMware docs 6.0-8.0, "Network Compatibility Checks During vMotion Between vCenter Server
    Instances"); an advanced setting of it lets versions differ.
    """
    subject = f"vm/{vm.name}"
    at = {nic.key: networks.get(nic.network_ref) for nic in vm.nics if nic.network_ref is not None}
    for nic in place.nics:
        here, there = at.get(nic.key), nic.network
        if here is None or here.kind != "distributed":
            continue
        if there.kind == "standard":
            summary = f"{nic.label} is on distributed port group {here.name} and would go to standard {there.name}"
            hint = "map its network to a distributed port group of the target"
            yield Code.VM_SWITCH_KIND.error(subject, summary, hint)
        elif "" not in (here.switch_version, there.switch_version) and here.switch_version != there.switch_version:
            versions = f"{here.switch_version} to one of version {there.switch_version}"
            summary = f"{nic.label} goes from a distributed switch of version {versions}"
            yield Code.VM_SWITCH_VERSION.warning(subject, summary, "upgrade the older of the two switches")


def encryption(vm: VirtualMachine, host: Host, around: PrecheckContext) -> Iterator[Finding]:
    """An encrypted VM needs its key provider at the target: without it, it fails near the end (KB 378053, 386333)."""
    subject = f"vm/{vm.name}"
    if vm.key_provider is not None:
        what = "has a virtual TPM" if any(device.kind == "tpm" for device in vm.devices) else "is encrypted"
        named = f" by key provider {vm.key_provider!r}" if vm.key_provider else ""
        hint = "add the same key provider, of the same name, to the target vCenter"
        if around.providers is None or not vm.key_provider:
            summary = f"{what}: which key providers the target has is not read, and its own{named} must be there"
            yield Code.VM_KEY_UNREAD.warning(subject, summary, hint)
        elif vm.key_provider not in around.providers:
            has = ", ".join(sorted(around.providers)) or "none"
            summary = f"{what}: its key provider {vm.key_provider!r} is not at the target, which has {has}"
            yield Code.VM_KEY_PROVIDER.error(subject, summary, hint)
    if vm.migrate_encryption == "required" and vm.power_state == "poweredOn":
        if host.encrypted_vmotion is False:
            summary = f"requires encrypted vMotion, which {host.name} does not have"
            yield Code.VM_ENCRYPTED_VMOTION.error(subject, summary, "choose another host")
        else:
            summary = "requires encrypted vMotion: memory and disks are encrypted by the hosts, which costs them CPU"
            yield Code.VM_ENCRYPTED_VMOTION.warning(subject, summary)


def alike(placed: Iterable[tuple[VirtualMachine, Placement]]) -> Iterator[Finding]:
    """Two VMs of one name cannot arrive in one folder."""
    first: dict[tuple[MoRef, str], VirtualMachine] = {}
    for vm, place in placed:
        other = first.setdefault((place.folder.ref, vm.own_name), vm)
        if other is not vm:
            folder = place.folder.path or "its VM folder"
            summary = f"{other.name!r} of this run arrives in {folder} with the same name"
            yield Code.VM_NAME_CLASH.error(f"vm/{vm.name}", summary, "rename one of the two, or map to another folder")


def clashes(vm: VirtualMachine, place: Placement, around: PrecheckContext) -> Iterator[Finding]:
    """A name is there once in a folder, and an instance UUID once in a vCenter; MAC and BIOS UUID should be."""
    subject = f"vm/{vm.name}"
    taken = around.taken
    if taken is None:
        summary = "the names, UUIDs and MACs of the target's VMs are not read: not compared"
        yield Code.VM_CLASH_UNREAD.warning(subject, summary)
        return
    if (place.folder.ref, vm.own_name) in taken.names:
        summary = f"the target already has a VM or folder of this name in {place.folder.path or 'its VM folder'}"
        yield Code.VM_NAME_CLASH.error(subject, summary, "rename one of the two, or map to another folder")
    hint = "find out which of the two is wanted"
    if (other := taken.instance_uuids.get(vm.instance_uuid.lower())) is not None:
        summary = f"the target's VM {other} has the same instance UUID: one is a copy of the other"
        yield Code.VM_INSTANCE_UUID.error(subject, summary, hint)
    if (other := taken.bios_uuids.get(vm.bios_uuid.lower())) is not None:
        summary = f"the target's VM {other} has the same BIOS UUID: one is a copy of the other"
        yield Code.VM_BIOS_UUID.warning(subject, summary, hint)
    if taken.macs is None:
        yield Code.VM_MAC_UNREAD.warning(subject, "the MACs of the target's VMs are not read")
    for nic in vm.nics:
        other = (taken.macs or {}).get(nic.mac.lower()) if nic.mac else None
        if other is not None:
            summary = f"{nic.label} has the MAC {nic.mac}, as has the target's VM {other}"
            yield Code.VM_MAC.warning(subject, summary, "give one of them another MAC")


def relocates(check: RelocateCheck, ejected: Collection[str] = ()) -> Iterator[Finding]:
    """What vCenter itself would refuse, or warns of (CheckRelocate_Task).

    What it says of devices of the VMs *ejected* is left out: they are emptied before their move, and checks of our own
    name what else is connected.
    """
    for fault in check.faults:
        if fault.of_device and fault.vm in ejected:
            continue
        if fault.refuses:
            summary = f"vCenter would refuse the move: {fault.cause}"
            yield Code.RELOCATE_REFUSED.error(f"vm/{fault.vm}", summary, fault.hint)
        else:
            summary = f"vCenter warns of the move: {fault.cause}"
            yield Code.RELOCATE_WARNING.warning(f"vm/{fault.vm}", summary, fault.hint)
    if check.no_way is not None:
        summary = f"the source vCenter cannot work with the target's: {check.no_way.cause}"
        yield Code.RELOCATE_WAY.error("vcenters", summary, check.no_way.hint)
    if check.reason is not None:
        summary = f"what vCenter itself says of the moves is not measured: {check.reason}"
        hint = "CheckRelocate_Task did not answer for all VMs: only the checks of our own were made"
        yield Code.RELOCATE_NOT_MEASURED.warning("source", summary, hint)


def _number(version: str) -> int:
    digits = version.rpartition("-")[2]
    return int(digits) if digits.isdigit() else 0
