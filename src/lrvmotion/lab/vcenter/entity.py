"""ManagedEntity: what folders, hosts, VMs and networks have in common; folders, datacenters, pools, clusters."""

# ruff: noqa: ANN401 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from pyVmomi import vim

from lrvmotion.lab.vcenter.environment_browser import EnvironmentBrowser
from lrvmotion.lab.vcenter.managed_object import ManagedObject, Values

if TYPE_CHECKING:
    from lrvmotion.lab.vcenter.vcenter import Vcenter


def escaped(name: str) -> str:
    """Return *name* as vCenter tells it: %, / and backslash in it escaped (API reference, ManagedEntity.name)."""
    return name.replace("%", "%25").replace("/", "%2f").replace("\\", "%5c")


COMMON: dict[str, Any] = {
    "name": lambda self: escaped(self.name),
    "parent": lambda self: self.parent,
    "recentTask": lambda self: self.vcenter.tasks.recent(self),
    "overallStatus": lambda _: "green",
    "configStatus": lambda _: "green",
    "effectiveRole": lambda _: [-1],
    "disabledMethod": lambda _: [],
    "permission": lambda _: [],
    "tag": lambda _: [],
    "customValue": lambda _: [],
    "value": lambda _: [],
    "availableField": lambda _: [],
    "declaredAlarmState": lambda _: [],
    "triggeredAlarmState": lambda _: [],
    "alarmActionsEnabled": lambda _: True,
    "configIssue": lambda _: [],
}


class Entity(ManagedObject):
    """A named object in the inventory tree."""

    values: ClassVar[Values] = COMMON
    prefix: ClassVar[str] = "group"
    __slots__ = ("name", "parent")

    def __init__(self, vcenter: Vcenter, name: str, parent: Any, moid: str | None = None) -> None:
        super().__init__(vcenter, moid or vcenter.registry.new_id(self.prefix))
        self.name = name
        self.parent = parent
        vcenter.registry.add(self)

    def contained(self) -> list[Any]:
        """Return what a container view finds directly below this object."""
        return []


class Folder(Entity):
    """A folder; *kinds* are the types that may be in it."""

    wsdl = "Folder"
    values: ClassVar[Values] = {
        **COMMON,
        "childEntity": lambda self: [item for item in self.children.values() if getattr(item, "vapp", None) is None],
        "childType": lambda self: [vim.VirtualMachine if k is None else k for k in self.kinds],
    }
    __slots__ = ("children", "kinds")

    def __init__(self, vcenter: Vcenter, name: str, parent: Any, kinds: list[Any], prefix: str) -> None:
        self.children: dict[str, Any] = {}
        self.kinds = kinds
        super().__init__(vcenter, name, parent, vcenter.registry.new_id(prefix))
        if isinstance(parent, Folder):
            parent.put(self)

    def put(self, item: Any) -> None:
        """Take *item* in."""
        self.children[item.moid] = item
        item.parent = self
        self.vcenter.registry.restructure(self, item)

    def drop(self, item: Any) -> None:
        """Let *item* go."""
        self.children.pop(item.moid, None)
        self.vcenter.registry.restructure(self)

    def child(self, name: str) -> Any:
        """Return the child called *name*, or None."""
        return next((item for item in self.children.values() if item.name == name), None)

    def contained(self) -> list[Any]:
        """Return the children."""
        return list(self.children.values())

    def tree(self) -> Iterator[Folder]:
        """Give this folder and those below it."""
        yield self
        for item in self.children.values():
            if isinstance(item, Folder):
                yield from item.tree()

    def leaves(self) -> Iterator[Any]:
        """Give what is in this folder and in those below it, without the folders."""
        for item in self.children.values():
            if isinstance(item, Folder):
                yield from item.leaves()
            else:
                yield item


class Datacenter(Entity):
    """A datacenter and its four folders."""

    wsdl = "Datacenter"
    prefix = "datacenter"
    values: ClassVar[Values] = {
        **COMMON,
        "vmFolder": lambda self: self.folders["vm"],
        "hostFolder": lambda self: self.folders["host"],
        "networkFolder": lambda self: self.folders["network"],
        "datastoreFolder": lambda self: self.folders["datastore"],
        "datastore": lambda self: list(self.folders["datastore"].leaves()),
        "network": lambda self: [
            item for item in self.folders["network"].leaves() if issubclass(item.vim_type(), vim.Network)
        ],
    }
    __slots__ = ("folders",)

    def __init__(self, vcenter: Vcenter, name: str, parent: Folder) -> None:
        super().__init__(vcenter, name, parent)
        types: dict[str, list[Any]] = {
            "vm": [vim.Folder, vim.VirtualMachine],
            "host": [vim.Folder, vim.ComputeResource],
            "network": [vim.Folder, vim.Network, vim.DistributedVirtualSwitch],
            "datastore": [vim.Folder, vim.Datastore],
        }
        self.folders = {kind: Folder(vcenter, kind, self, kinds, f"group-{kind[0]}") for kind, kinds in types.items()}
        parent.put(self)

    def contained(self) -> list[Any]:
        """Return the folders."""
        return list(self.folders.values())


class ClusterComputeResource(Entity):
    """A cluster; its DRS is what *drs* says, None is off, and moves nothing: the lab has none of its own."""

    wsdl = "ClusterComputeResource"
    prefix = "domain-c"
    values: ClassVar[Values] = {
        **COMMON,
        "host": lambda self: self.hosts,
        "resourcePool": lambda self: self.pool,
        "datastore": lambda self: [
            store
            for store in self.datacenter.folders["datastore"].leaves()
            if any(host in self.hosts for host in store.mounting())
        ],
        "network": lambda self: _unique(net for host in self.hosts for net in host.networks()),
        "summary": lambda self: self.summary(),
        "configurationEx": lambda self: self.configuration(),
        "environmentBrowser": lambda self: self.browser,
    }
    __slots__ = ("browser", "datacenter", "drs", "ha", "hosts", "overrides", "pool", "rules")

    def __init__(self, vcenter: Vcenter, name: str, datacenter: Datacenter) -> None:
        self.drs: str | None = None
        self.ha = False
        super().__init__(vcenter, name, datacenter.folders["host"])
        self.datacenter = datacenter
        self.hosts: list[Any] = []
        self.pool = ResourcePool(vcenter, "Resources", self)
        self.pool.owner = self
        self.rules: list[Any] = []
        self.overrides: dict[str, dict[str, str]] = {}  # by a VM's moId: drs, ha
        self.browser = EnvironmentBrowser(self, f"envbrowser-{self.moid.rpartition('c')[2]}")
        vcenter.registry.add(self.browser)
        datacenter.folders["host"].put(self)

    def summary(self) -> Any:
        """Return how many hosts there are and how many work."""
        usable = [host for host in self.hosts if host.connection == "connected" and not host.maintenance]
        return vim.ClusterComputeResource.Summary(
            numHosts=len(self.hosts),
            numEffectiveHosts=len(usable),
            overallStatus="green",
        )

    def configuration(self) -> Any:
        """Return the cluster's DRS switch and level."""
        return vim.cluster.ConfigInfoEx(
            drsConfig=vim.cluster.DrsConfigInfo(enabled=self.drs is not None, defaultVmBehavior=self.drs or "manual"),
            dasConfig=vim.cluster.DasConfigInfo(enabled=self.ha),
            rule=self.rules,
            drsVmConfig=[
                vim.cluster.DrsVmConfigInfo(key=vim.VirtualMachine(moid), enabled=True, behavior=own["drs"])
                for moid, own in self.overrides.items()
                if "drs" in own
            ],
            dasVmConfig=[
                vim.cluster.DasVmConfigInfo(
                    key=vim.VirtualMachine(moid), dasSettings=vim.cluster.DasVmSettings(restartPriority=own["ha"])
                )
                for moid, own in self.overrides.items()
                if "ha" in own
            ],
        )

    def contained(self) -> list[Any]:
        """Return the hosts and the root pool."""
        return [*self.hosts, self.pool]


class ComputeResource(ClusterComputeResource):
    """What a host that is in no cluster is in: without DRS, HA and rules."""

    wsdl = "ComputeResource"
    prefix = "domain-s"
    values: ClassVar[Values] = {**ClusterComputeResource.values, "configurationEx": lambda _: None}
    __slots__ = ()

    def summary(self) -> Any:
        """Return how many hosts there are and how many work."""
        made = super().summary()
        return vim.ComputeResource.Summary(
            numHosts=made.numHosts, numEffectiveHosts=made.numEffectiveHosts, overallStatus="green"
        )


class ResourcePool(Entity):
    """A resource pool: a cluster's root one, or one in another."""

    wsdl = "ResourcePool"
    prefix = "resgroup"
    values: ClassVar[Values] = {
        **COMMON,
        "owner": lambda self: self.owner,
        "resourcePool": lambda self: self.pools,
        "vm": lambda self: [vm for vm in self.machines.values() if vm.vapp in {None, self}],
    }
    __slots__ = ("machines", "owner", "pools")

    def __init__(self, vcenter: Vcenter, name: str, parent: Any) -> None:
        self.machines: dict[str, Any] = {}
        self.pools: list[ResourcePool] = []  # vApps too
        inside = isinstance(parent, ResourcePool)
        self.owner: Any = parent.owner if inside else parent
        super().__init__(vcenter, name, parent)
        if inside:
            parent.pools.append(self)

    def contained(self) -> list[Any]:
        """Return the pool's pools, vApps and VMs."""
        return [*self.pools, *self.machines.values()]


class VirtualApp(ResourcePool):
    """A vApp: a resource pool with a place in a VM folder, and an order in which its VMs start.

    *folder* is that place, None for one in another vApp.
    """

    wsdl = "VirtualApp"
    prefix = "resgroup-v"
    values: ClassVar[Values] = {
        **ResourcePool.values,
        "parentFolder": lambda self: self.folder,
        "vm": lambda self: list(self.machines.values()),
    }
    __slots__ = ("folder",)

    def __init__(self, vcenter: Vcenter, name: str, pool: ResourcePool, folder: Folder | None) -> None:
        super().__init__(vcenter, name, pool)
        self.folder = folder
        if folder is not None:
            folder.children[self.moid] = self
            vcenter.registry.restructure(pool, folder)


def _unique(items: Any) -> list[Any]:
    return list({item.moid: item for item in items}.values())
