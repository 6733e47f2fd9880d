"""LicenseManager and LicenseAssignmentManager: which licence each host has."""

# ruff: noqa: ANN401, N803 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pyVmomi import vim

from lrvmotion.lab.vcenter.managed_object import ManagedObject, Values

if TYPE_CHECKING:
    from lrvmotion.lab.vcenter.vcenter import Call, Vcenter

# unconfirmed: VMware's documents name Global.Licenses for looking at licences, pyVmomi's metadata System.View.
PRIVILEGE = "Global.Licenses"
EDITIONS = {
    "vSphere 7 Enterprise Plus": "esx.enterprisePlus.cpuPackageCoreLimited",
    "vSphere 7 Standard": "esx.standard.cpuPackageCoreLimited",
}


class LicenseManager(ManagedObject):
    """The way to the assignments; the licences themselves are not listed."""

    wsdl = "LicenseManager"
    values: ClassVar[Values] = {"licenseAssignmentManager": lambda self: self.assignments}
    __slots__ = ("assignments",)

    def __init__(self, vcenter: Vcenter, moid: str) -> None:
        super().__init__(vcenter, moid)
        self.assignments = LicenseAssignmentManager(vcenter, "LicenseAssignmentManager")
        vcenter.registry.add(self.assignments)


class LicenseAssignmentManager(ManagedObject):
    """Every host has the licence *name*; the keys are nobody's."""

    wsdl = "LicenseAssignmentManager"
    values: ClassVar[Values] = {}
    __slots__ = ("name",)

    def __init__(self, vcenter: Vcenter, moid: str) -> None:
        super().__init__(vcenter, moid)
        self.name = next(iter(EDITIONS))

    def QueryAssignedLicenses(self, call: Call, entityId: str | None) -> Any:
        """Return the licence of the entity with the moId *entityId*, of all hosts without one."""
        del call
        if PRIVILEGE in self.vcenter.denied:
            raise vim.fault.NoPermission(
                object=self.vcenter.root.ref, privilegeId=PRIVILEGE, msg="Permission to perform this operation denied."
            )
        info = vim.LicenseManager.LicenseInfo(
            licenseKey="00000-00000-00000-00000-00000", editionKey=EDITIONS[self.name], name=self.name, total=64,
            used=len(self.vcenter.hosts()), costUnit="cpuPackage",
        )  # fmt: skip
        return [
            vim.LicenseAssignmentManager.LicenseAssignment(
                entityId=host.moid, scope=self.vcenter.instance_uuid, entityDisplayName=host.name, assignedLicense=info
            )
            for host in self.vcenter.hosts()
            if entityId in {None, host.moid}
        ]
