"""Where things are in a simulated vCenter: datacenters in folders, clusters, and folders of every kind, by path."""

from __future__ import annotations

from typing import Any

from pyVmomi import vim

from lrvmotion.lab.spec import HostSpec
from lrvmotion.lab.vcenter.datastore import Datastore, StoragePod
from lrvmotion.lab.vcenter.entity import ClusterComputeResource, Datacenter, Folder
from lrvmotion.lab.vcenter.network import (
    DistributedVirtualPortgroup,
    Network,
    OpaqueNetwork,
    VmwareDistributedVirtualSwitch,
)
from lrvmotion.lab.vcenter.vcenter import Vcenter

_KINDS: dict[str, list[Any]] = {
    "vm": [vim.Folder, vim.VirtualMachine],
    "network": [vim.Folder, vim.Network, vim.DistributedVirtualSwitch],
    "datastore": [vim.Folder, vim.Datastore],
}


class Places:
    """Makes the places of one vCenter when they are first asked for; *datacenters* is by path, "" the site's own."""

    def __init__(self, vcenter: Vcenter) -> None:
        self._vcenter = vcenter
        self.datacenters: dict[str, Datacenter] = {}
        self._clusters: dict[tuple[str, str], ClusterComputeResource] = {}

    def datacenter(self, path: str) -> Datacenter:
        """Return the datacenter at *path* below the root folder."""
        path = "" if path == self._vcenter.site.datacenter else path
        if path not in self.datacenters:
            above, _, name = (path or self._vcenter.site.datacenter).rpartition("/")
            kinds = [vim.Folder, vim.Datacenter]
            self.datacenters[path] = Datacenter(self._vcenter, name, self._folder(self._vcenter.root, above, kinds))
        return self.datacenters[path]

    def cluster(self, host: HostSpec) -> ClusterComputeResource:
        """Return the cluster that *host* is in."""
        datacenter = self.datacenter(host.datacenter)
        name = host.cluster or self._vcenter.site.cluster
        key = (datacenter.moid, name)
        if key not in self._clusters:
            self._clusters[key] = ClusterComputeResource(self._vcenter, name, datacenter)
        return self._clusters[key]

    def vm_folder(self, datacenter: Datacenter, path: str) -> Folder:
        """Return the VM folder at *path* of *datacenter*."""
        return self._folder(datacenter.folders["vm"], path, _KINDS["vm"], "group-v")

    def datastores(self) -> None:
        """Make the datastores that not every host has."""
        for spec in self._vcenter.site.more_datastores:
            datacenter = self.datacenter(spec.datacenter)
            folder = self._folder(datacenter.folders["datastore"], spec.folder, _KINDS["datastore"], "group-s")
            if spec.pod:
                folder = folder.child(spec.pod) or StoragePod(
                    self._vcenter, spec.pod, folder, [vim.Datastore], "group-p"
                )
            store = Datastore(self._vcenter, spec.name, datacenter, folder)
            if spec.hosts:
                store.hosts = self._hosts(datacenter, spec.hosts)
            store.read_only = self._hosts(datacenter, spec.read_only)
            if spec.free_bytes is not None:
                store.held = store.free() - spec.free_bytes

    def networks(self) -> None:
        """Make the networks that not every host has."""
        for spec in self._vcenter.site.more_networks:
            datacenter = self.datacenter(spec.datacenter)
            folder = self._folder(datacenter.folders["network"], spec.folder, _KINDS["network"], "group-n")
            hosts = self._hosts(datacenter, spec.hosts) if spec.hosts else self._hosts(datacenter)
            if spec.kind == "distributed":
                switch = self._switch(datacenter, spec.switch)
                network: Network = DistributedVirtualPortgroup(self._vcenter, spec.name, datacenter, switch, folder)
                hosts = switch.hosts
            else:
                kind = OpaqueNetwork if spec.kind == "opaque" else Network
                network = kind(self._vcenter, spec.name, datacenter, folder)
            for host in hosts:
                host.vm_networks.append(network)

    def _switch(self, datacenter: Datacenter, name: str) -> VmwareDistributedVirtualSwitch:
        switches = (
            item
            for item in datacenter.folders["network"].leaves()
            if isinstance(item, VmwareDistributedVirtualSwitch) and item.name == name
        )
        return next(switches)

    def _hosts(self, datacenter: Datacenter, names: tuple[str, ...] | None = None) -> list[Any]:
        hosts = [host for host in self._vcenter.hosts() if host.datacenter is datacenter]
        return hosts if names is None else [host for host in hosts if host.name in names]

    def _folder(self, root: Folder, path: str, kinds: list[Any], prefix: str = "group-d") -> Folder:
        for name in path.strip("/").split("/") if path.strip("/") else ():
            root = root.child(name) or Folder(self._vcenter, name, root, kinds, prefix)
        return root
