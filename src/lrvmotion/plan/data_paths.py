"""Which vmknics carry a migration's bytes: vMotion's on both sides, and those that NFC uses for what is cold."""

from __future__ import annotations

from lrvmotion.model.inventory import Host, Inventory
from lrvmotion.model.target_id import TargetId
from lrvmotion.plan.plan import DataPath, Plan

PROVISIONING = "vSphereProvisioning"


def find(plan: Plan, source: Inventory, target: Inventory) -> tuple[DataPath, ...]:
    """Return the way of every pair of hosts between which *plan* moves VMs.

    Cold data goes by NFC over the vmknics with the provisioning service, else over those of management
    (KB 342209, KB 340170); Net.ProvisioningVmknics, which may name others, is not read.
    """
    sources = {host.name: host for host in source.hosts}
    targets = {host.name: host for host in target.hosts}
    relays = dict(plan.relay_by_host)
    pairs = dict.fromkeys((move.source_host, move.placement.host.name) for move in plan.migrations)
    return tuple(
        DataPath(
            source_host=here,
            target_host=there,
            vmotion_from=_vmotion(plan, TargetId.host("source", here), sources[here]),
            vmotion_to=_vmotion(plan, TargetId.host("target", there), targets[there]),
            nfc_from=_nfc(sources[here]),
            nfc_to=_nfc(targets[there]),
            relay=relays.get(here),
        )
        for here, there in pairs
    )


def _vmotion(plan: Plan, target: TargetId, host: Host) -> tuple[str, ...]:
    present = [f"{nic.device} {nic.address}" for nic in host.vmotion_vmknics]
    return (*present, *(f"new {address}" for at, address in plan.new_vmknics if at == target))


def _nfc(host: Host) -> tuple[str, ...]:
    chosen = [nic for nic in host.vmknics if PROVISIONING in nic.services or nic.netstack == PROVISIONING]
    chosen = chosen or [nic for nic in host.vmknics if "management" in nic.services]
    return tuple(f"{nic.device} {nic.address}" for nic in chosen)
