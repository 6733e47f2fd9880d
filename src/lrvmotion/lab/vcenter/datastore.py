"""Datastore: capacity and what the VMs leave of it."""

# ruff: noqa: ANN401 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from pyVmomi import VmomiSupport, vim

from lrvmotion.lab.vcenter.entity import COMMON, Datacenter, Entity, Folder
from lrvmotion.lab.vcenter.managed_object import Values

if TYPE_CHECKING:
    from lrvmotion.lab.vcenter.vcenter import Vcenter

CAPACITY = 1 << 46  # 64 TiB, the lab's own figure: VMFS-6's largest volume
LONG: Any = VmomiSupport.vmodlTypes["long"]


class StoragePod(Folder):
    """A datastore cluster: a folder of datastores. Its Storage DRS moves nothing and places nothing here."""

    wsdl = "StoragePod"
    values: ClassVar[Values] = {
        **Folder.values,
        "summary": lambda self: vim.StoragePod.Summary(
            name=self.name,
            capacity=LONG(CAPACITY * len(self.children)),
            freeSpace=LONG(sum(store.free() for store in self.contained())),
        ),
    }
    __slots__ = ()


class Datastore(Entity):
    """A datastore: *hosts* mount it, None: every host of its datacenter; those of *read_only* may only read it."""

    wsdl = "Datastore"
    prefix = "datastore"
    values: ClassVar[Values] = {
        **COMMON,
        "summary": lambda self: self.summary(),
        "summary.name": lambda self: self.name,
        "summary.capacity": lambda _: CAPACITY,
        "summary.freeSpace": lambda self: self.free(),
        "summary.accessible": lambda self: self.accessible,
        "summary.maintenanceMode": lambda self: self.maintenance,
        "info": lambda self: self.info(),
        "host": lambda self: self.mounts(),
        "vm": lambda self: list(self.machines.values()),
        "capability": lambda _: vim.Datastore.Capability(
            directoryHierarchySupported=True,
            rawDiskMappingsSupported=True,
            perFileThinProvisioningSupported=True,
        ),
    }
    __slots__ = ("accessible", "datacenter", "held", "hosts", "machines", "maintenance", "read_only")

    def __init__(self, vcenter: Vcenter, name: str, datacenter: Datacenter, folder: Folder | None = None) -> None:
        self.machines: dict[str, Any] = {}
        self.accessible = True
        self.held = 0  # bytes that something else takes
        self.datacenter = datacenter
        self.hosts: list[Any] | None = None
        self.read_only: list[Any] = []
        self.maintenance = "normal"
        folder = folder or datacenter.folders["datastore"]
        super().__init__(vcenter, name, folder)
        folder.put(self)

    def free(self) -> int:
        """Return the bytes that are free."""
        return CAPACITY - self.held - sum(vm.bytes_on(self) for vm in self.machines.values())

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
            maintenanceMode=self.maintenance,
        )

    def info(self) -> Any:
        """Return the DatastoreInfo."""
        return vim.Datastore.Info(name=self.name, url=f"ds:///vmfs/volumes/{self.moid}/", freeSpace=LONG(self.free()))

    def mounting(self) -> list[Any]:
        """Return the hosts that mount it."""
        if self.hosts is not None:
            return self.hosts
        return [host for host in self.vcenter.hosts() if host.datacenter is self.datacenter]

    def mounts(self) -> list[Any]:
        """Return how each host mounts it."""
        return [
            vim.Datastore.HostMount(
                key=host.ref,
                mountInfo=vim.host.MountInfo(
                    accessMode="readOnly" if host in self.read_only else "readWrite", mounted=True, accessible=True
                ),
            )
            for host in self.mounting()
        ]


def mounted(host: Any) -> list[Datastore]:
    """Return the datastores that *host* mounts: of its datacenter, as a datastore of two of them is not simulated."""
    stores: Iterator[Datastore] = host.datacenter.folders["datastore"].leaves()
    return [store for store in stores if host in store.mounting()]
