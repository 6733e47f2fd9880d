"""VMs that are part of the infrastructure, and no load that moves: what each is, by what vCenter tells of it; pure.

vCLS: `config.managedBy` is set for external vCLS VMs (com.vmware.vim.eam, cluster-agent) and for the embedded ones of
8.0 U3 (VirtualCenter, vcls-entity); Broadcom KB 370219. Any other VM that has it belongs to an extension, which is
"responsible for the life-cycle of the entity" (API reference, ManagedByInfo). Which VM a vCenter or a relay host runs
in is told by addresses.
"""

from __future__ import annotations

from enum import StrEnum

_VCLS = frozenset({"com.vmware.vim.eam/cluster-agent", "VirtualCenter/vcls-entity"})


class VmRole(StrEnum):
    """What a VM is that --select leaves out, in words."""

    VCLS = "vCLS VM"
    VCENTER = "vCenter appliance"
    RELAY_HOST = "relay host"
    MANAGED = "managed VM"
    TEMPLATE = "template"


VCENTERS = ("source vCenter", "target vCenter")


def serves(whose: str) -> VmRole | None:
    """Return what a VM is that is said to serve *whose*: one of VCENTERS, "relay host r1", "" for nobody."""
    return VmRole.VCENTER if whose in VCENTERS else VmRole.RELAY_HOST if whose else None


def role(*, managed_by: str = "", serves: VmRole | None = None, template: bool = False) -> VmRole | None:
    """Return what a VM is, None for one that may move; *managed_by* is "extension/type", *serves* by its address."""
    if managed_by in _VCLS:
        return VmRole.VCLS
    if serves is not None:
        return serves
    if managed_by:
        return VmRole.MANAGED
    return VmRole.TEMPLATE if template else None
