"""What is wrong with a VM after its move: where it is, its power, host, disks, networks, MAC addresses, its guest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from lrvmotion.checks.catalogue import Code
from lrvmotion.findings import Finding
from lrvmotion.model.inventory import Network
from lrvmotion.model.placement import Placement
from lrvmotion.model.relocation import ArrivedNic, ArrivedVm, LateGuest
from lrvmotion.model.vm.vm_metadata import VmMetadata


def lost(vm: str, where: Literal["source", "target", "both", "neither"]) -> Finding:
    """A VM whose task succeeded, and which is not at the target alone."""
    subject = f"vm/{vm}"
    if where == "both":
        summary = "the task succeeded, and both vCenters have the VM"
        hint = "look which of the two runs before you power on or remove either"
        return Code.VM_AT_BOTH.error(subject, summary, hint)
    if where == "source":
        summary = "the task succeeded, and the VM is still at the source"
        return Code.VM_AT_SOURCE.error(subject, summary, "look at the task's events there")
    summary = "the task succeeded, and neither vCenter finds the VM by its instance UUID"
    hint = f"look for {vm} by name at the target: its instance UUID may have changed there"
    return Code.VM_AT_NEITHER.error(subject, summary, hint)


def half_made(vm: str, ref: str, folder: str) -> Finding:
    """A VM of the name of one that is at the source, *ref* in the target *folder*, where none was before the move."""
    summary = f"its move failed, and the target has a VM of this name since ({ref} in {folder or 'its VM folder'})"
    hint = "look at it, and remove it there if it has no data: another attempt may fail because of it"
    return Code.VM_HALF_MADE.warning(f"vm/{vm}", summary, hint)


def as_planned(vm: str, power_state: str, place: Placement, seen: ArrivedVm) -> Iterator[Finding]:
    """Whether the VM has the *power_state* that it had, and is where *place* says."""
    subject = f"vm/{vm}"
    if seen.power_state != power_state:
        summary = f"is {seen.power_state} at the target, and was {power_state}"
        yield Code.VM_POWER.error(subject, summary, "look at the VM's events there")
    if seen.connection_state != "connected":
        yield Code.VM_CONNECTION.error(subject, f"is {seen.connection_state} at the target")
    if seen.host != place.host.ref.value:
        # A warning: DRS may have moved it on as soon as it was there.
        there = seen.host or "a host that vCenter did not report"
        summary = f"is not on {place.host.name} at the target, but on {there}"
        yield Code.VM_OTHER_HOST.warning(subject, summary, "see whether DRS or somebody moved it on")
    astray: dict[str, list[str]] = {}
    if seen.home is not None and seen.home != place.datastore.name:
        astray[place.datastore.name] = ["the .vmx file"]
    wanted = {disk.key: disk.datastore for disk in place.disks}
    for key, label, ref in seen.disks:
        store = wanted.get(key, place.datastore)
        if ref != store.ref.value:
            astray.setdefault(store.name, []).append(label)
    for name, things in astray.items():
        summary = f"{' and '.join(things)} {'is' if len(things) == 1 else 'are'} not on datastore {name} at the target"
        yield Code.VM_OTHER_DATASTORE.error(subject, summary, "look where its files are")
    cards = {card.key: card for card in seen.nics}
    for nic in place.nics:
        card = cards.get(nic.key)
        if card is None:
            yield Code.VM_NIC_GONE.error(subject, f"{nic.label} is not there at the target")
        elif not _is_on(card, nic.network):
            summary = f"{nic.label} is not on network {nic.network.name} at the target"
            yield Code.VM_OTHER_NETWORK.error(subject, summary, "connect it to that network")


def same_macs(vm: str, before: Mapping[int, str], seen: ArrivedVm) -> Iterator[Finding]:
    """Whether each network card has the MAC address of *before*, by device key."""
    cards = {card.key: card for card in seen.nics}
    for key, mac in before.items():
        card = cards.get(key)
        if card is not None and card.mac != mac:
            summary = f"{card.label} has the MAC address {card.mac or '(none)'} at the target, and had {mac}"
            hint = "set the old one by hand if the guest or a licence depends on it"
            yield Code.VM_OTHER_MAC.error(f"vm/{vm}", summary, hint)


def same_links(vm: str, power_state: str, before: VmMetadata, seen: ArrivedVm) -> Iterator[Finding]:
    """Whether each network card that was connected *before* is connected, now and when the VM is powered on.

    A card of a VM that is off is not connected: that of one whose *power_state* is another now says nothing.
    """
    hint = "connect it in vCenter; look at the port group's free ports and its security policy"
    for card in seen.nics:
        if card.key in before.connected and not card.connected and seen.power_state == power_state:
            summary = f"{card.label} is disconnected at the target, and was connected"
        elif card.key in before.start_connected and not card.start_connected:
            summary = f"{card.label} is not connected when the VM is powered on, and was before the move"
        else:
            continue
        yield Code.VM_NIC_DISCONNECTED.error(f"vm/{vm}", summary, hint)


def late(guest: LateGuest) -> Finding:
    """A guest that is not back in time."""
    what = "VMware Tools and the guest's address are" if guest.had_address else "VMware Tools are"
    summary = f"{what} not back {guest.limit_s:.0f} s after the move"
    return Code.VM_TOOLS.warning(f"vm/{guest.vm}", summary, "look at the guest's console and network")


def _is_on(card: ArrivedNic, network: Network) -> bool:
    if card.portgroup_key is not None:
        return card.portgroup_key == network.portgroup_key
    if card.opaque:
        return network.kind == "opaque"  # its id is not among what the plan knows
    return card.network_name == network.name
