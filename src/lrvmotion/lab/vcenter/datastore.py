"""Datastore: capacity and what the VMs leave of it."""

# ruff: noqa: ANN401 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pyVmomi import VmomiSupport, vim

from lrvmotion.lab.vcenter.entity import COMMON, Datacenter, Entity
from lrvmotion.lab.vcenter.managed_object import Values

if TYPE_CHECKING:
    from lrvmotion.lab.vcenter.vcenter import Vcenter

CAPACITY = 1 << 46  # 64 TiB, the lab's own figure: VMFS-6's largest volume
LONG: Any = VmomiSupport.vmodlTypes["long"]


class Datastore(Entity):
    """A datastore that every host of its site mounts."""

    wsdl = "Datastore"
    prefix = "datastore"
    values: ClassVar[Values] = {
        **COMMON,
        "summary": lambda self: self.summary(),
        "summary.name": lambda self: self.name,
        "summary.capacity": lambda _: CAPACITY,
        "summary.freeSpace": lambda self: self.free(),
        "summary.accessible": lambda self: self.accessible,
        "info": lambda self: self.info(),
        "host": lambda self: self.mounts(),
        "vm": lambda self: list(self.machines.values()),
        "capability": lambda _: vim.Datastore.Capability(
            directoryHierarchySupported=True,
            rawDiskMappingsSupported=True,
            perFileThinProvisioningSupported=True,
        ),
    }
    __slots__ = ("accessible", "datacenter", "held", "machines")

    def __init__(self, vcenter: Vcenter, name: str, datacenter: Datacenter) -> None:
        self.machines: dict[str, Any] = {}
        self.accessible = True
        self.held = 0  # bytes that something else takes
        self.datacenter = datacenter
        folder = datacenter.folders["datastore"]
        super().__init__(vcenter, name, folder)
        folder.put(self)

    def free(self) -> int:
        """Return the bytes that are free."""
        return CAPACITY - self.held - sum(vm.disk_bytes for vm in self.machines.values())

    def summary(self) -> Any:
        """Return the DatastoreSummary."""
        return vim.Datastore.Summary(
            datastore=self.ref,
            name=self.name,
            url=f"ds:///vmfs/volumes/{self.moid}/",
            capacity=LONG(CAPACITY),
            freeSpace=LONG(self.free()),
            accessible=self.accessible,
            multipleHostAccess=True,
            type="VMFS",
            maintenanceMode="normal",
        )

    def info(self) -> Any:
        """Return the DatastoreInfo."""
        return vim.Datastore.Info(name=self.name, url=f"ds:///vmfs/volumes/{self.moid}/", freeSpace=LONG(self.free()))

    def mounts(self) -> list[Any]:
        """Return the hosts that mount it."""
        return [
            vim.Datastore.HostMount(
                key=host.ref,
                mountInfo=vim.host.MountInfo(accessMode="readWrite", mounted=True, accessible=True),
            )
            for host in self.vcenter.hosts()
        ]
