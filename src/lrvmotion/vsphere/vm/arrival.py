"""The proof after a move: at the target, powered and placed as planned, its networks and MAC addresses, its guest."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from pyVmomi import vim

from lrvmotion.errors import RefusedError
from lrvmotion.findings import Finding, Severity
from lrvmotion.model.inventory import Network
from lrvmotion.model.vm_metadata import VmMetadata
from lrvmotion.plan.plan import Migration
from lrvmotion.vsphere.client import Row, properties_of, retrieve
from lrvmotion.vsphere.inventory.vm_hardware import label
from lrvmotion.vsphere.session import Session
from lrvmotion.vsphere.vm.attributes import RUNNING, is_card, moid

LOOK_S = 5.0  # between two looks at guests
_PATHS = (
    "runtime.powerState", "runtime.connectionState", "runtime.host", "config.hardware.device",
)  # fmt: skip
_GUEST = ("guest.toolsRunningStatus", "guest.ipAddress")


def proof(target: Session, vm: Any, migration: Migration, before: VmMetadata | None) -> list[Finding]:  # noqa: ANN401
    """Return what of *vm*, found at the target, is not as planned or as *before* (None: that is not known).

    Raises LrvmotionError where the target does not tell.
    """
    row = target.call(f"vm/{migration.vm}", lambda: properties_of(target.content, vm, _PATHS))
    return [*_state(migration, row), *_place(migration, row), *_cards(migration, row, before)]


def _state(migration: Migration, row: Mapping[str, Any]) -> Iterator[Finding]:
    power = str(row.get("runtime.powerState", "(not reported)"))
    if power != migration.power_state:
        summary = f"is {power} at the target, and was {migration.power_state}"
        yield finding(Severity.ERROR, "vm-power", migration, summary, "look at the VM's events there")
    connection = str(row.get("runtime.connectionState", "(not reported)"))
    if connection != "connected":
        yield finding(Severity.ERROR, "vm-connection", migration, f"is {connection} at the target")


def _place(migration: Migration, row: Mapping[str, Any]) -> Iterator[Finding]:
    place = migration.placement
    host = moid(row.get("runtime.host"))
    if host != place.host.ref.value:
        # A warning: DRS may have moved it on as soon as it was there.
        summary = f"is not on {place.host.name} at the target, but on {host or 'a host that vCenter did not report'}"
        yield finding(Severity.WARNING, "vm-other-host", migration, summary, "see whether DRS or somebody moved it on")
    for device in row.get("config.hardware.device") or ():
        store = getattr(getattr(device, "backing", None), "datastore", None)
        if isinstance(device, vim.vm.device.VirtualDisk) and moid(store) != place.datastore.ref.value:
            summary = f"{label(device)} is not on datastore {place.datastore.name} at the target"
            yield finding(Severity.ERROR, "vm-other-datastore", migration, summary, "look where its files are")


def _cards(migration: Migration, row: Mapping[str, Any], before: VmMetadata | None) -> Iterator[Finding]:
    cards = {int(item.key): item for item in row.get("config.hardware.device") or () if is_card(item)}
    for nic in migration.placement.nics:
        card = cards.get(nic.key)
        if card is None:
            yield finding(Severity.ERROR, "vm-nic-gone", migration, f"{nic.label} is not there at the target")
        elif not _on(card.backing, nic.network):
            summary = f"{nic.label} is not on network {nic.network.name} at the target"
            yield finding(Severity.ERROR, "vm-other-network", migration, summary, "connect it to that network")
    for key, mac in (before.macs if before is not None else {}).items():
        now = str(cards[key].macAddress or "").lower() if key in cards else mac
        if now != mac:
            summary = f"{label(cards[key])} has the MAC address {now or '(none)'} at the target, and had {mac}"
            hint = "set the old one by hand if the guest or a licence depends on it"
            yield finding(Severity.ERROR, "vm-other-mac", migration, summary, hint)


def _on(backing: Any, network: Network) -> bool:  # noqa: ANN401
    card = vim.vm.device.VirtualEthernetCard
    if isinstance(backing, card.DistributedVirtualPortBackingInfo):
        return str(backing.port.portgroupKey) == network.portgroup_key
    if isinstance(backing, card.OpaqueNetworkBackingInfo):
        return network.kind == "opaque"  # its id is not among what the plan knows
    return str(getattr(backing, "deviceName", "")) == network.name


class Guests:
    """VMs whose VMware Tools ran before their move and that must come back within *limit_s*; asked about together."""

    def __init__(self, target: Session, limit_s: float) -> None:
        self._target = target
        self._limit_s = limit_s
        self._waiting: dict[str, tuple[Any, Migration, bool, float]] = {}  # by the VM's id at the target
        self._looked = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    def expect(self, vm: Any, migration: Migration, before: VmMetadata) -> None:  # noqa: ANN401
        """Wait for the guest of *vm* from now on, where its Tools ran and it is on."""
        if before.tools and migration.power_state == "poweredOn":
            until = time.monotonic() + self._limit_s
            self._waiting[moid(vm)] = (vm, migration, bool(before.address), until)

    def late(self) -> list[Finding]:
        """Return a warning for each guest that is not back in time; one call for all, every LOOK_S at most.

        Raises LrvmotionError where the target does not answer.
        """
        now = time.monotonic()
        if not self._waiting or now < self._looked + LOOK_S:
            return []
        self._looked = now
        for vm, row in self._rows([vm for vm, *_ in self._waiting.values()]):
            _, _, address, _ = self._waiting[moid(vm)]
            runs = str(row.get("guest.toolsRunningStatus")) == RUNNING
            if runs and (row.get("guest.ipAddress") or not address):
                del self._waiting[moid(vm)]
        over = [key for key, (*_, until) in self._waiting.items() if now >= until]
        return [self._warning(*self._waiting.pop(key)[1:3]) for key in over]

    def _rows(self, vms: list[Any]) -> list[Row]:
        """Return what is told of the guests; where one VM has gone, the others one by one."""
        content = self._target.content
        subject = f"{self._target.site}: guests"
        try:
            return self._target.call(subject, lambda: retrieve(content, {vim.VirtualMachine: _GUEST}, vms))
        except RefusedError:
            return [row for vm in vms for row in self._rows([vm])] if len(vms) > 1 else []

    def _warning(self, migration: Migration, address: bool) -> Finding:
        what = "VMware Tools and the guest's address are" if address else "VMware Tools are"
        summary = f"{what} not back {self._limit_s:.0f} s after the move"
        return finding(Severity.WARNING, "vm-tools", migration, summary, "look at the guest's console and network")


def finding(severity: Severity, code: str, migration: Migration, summary: str, hint: str | None = None) -> Finding:
    """Return a finding about the VM."""
    return Finding(severity=severity, code=code, subject=f"vm/{migration.vm}", summary=summary, hint=hint)
