"""Builds the inventory from an estate: every object that its document names, with the moId that it has there."""

# ruff: noqa: ANN401 - the managed objects' types are made at run time
from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from pyVmomi import vim

from lrvmotion.lab.estate.form import Row, kind_of, moid_of
from lrvmotion.lab.estate.layout import host_spec
from lrvmotion.lab.vcenter.datastore import StoragePod
from lrvmotion.lab.vcenter.entity import (
    ClusterComputeResource,
    ComputeResource,
    Datacenter,
    Folder,
    ResourcePool,
    VirtualApp,
)
from lrvmotion.lab.vcenter.estate_datastore import EstateDatastore
from lrvmotion.lab.vcenter.estate_host import EstateHost
from lrvmotion.lab.vcenter.estate_vm import EstateVirtualMachine
from lrvmotion.lab.vcenter.network import (
    DistributedVirtualPortgroup,
    Network,
    OpaqueNetwork,
    VmwareDistributedVirtualSwitch,
)
from lrvmotion.lab.vcenter.vcenter import Vcenter

_TOPS = ("vm", "host", "network", "datastore")
_DATACENTER = [vim.Folder, vim.Datacenter]


def build(vcenter: Vcenter, site: Row) -> None:
    """Fill *vcenter*, whose single managers are there, with what *site* says."""
    _Builder(vcenter, site).build()


class _Builder:
    """One vCenter while it is built; *made* are its objects by their moIds."""

    def __init__(self, vcenter: Vcenter, site: Row) -> None:
        self.vcenter = vcenter
        self.site = site
        self.inventory: Row = site["inventory"]
        self.entities: dict[str, Row] = {entity["ref"]: entity for entity in site["tree"]}
        self.below: dict[str | None, list[str]] = {}
        for ref, entity in self.entities.items():
            self.below.setdefault(entity.get("parent"), []).append(ref)
        self.rows: dict[str, Row] = {
            row["ref"]: row for name in ("hosts", "datastores", "networks", "vms") for row in self.inventory[name]
        }
        self.made: dict[str, Any] = {}

    def build(self) -> None:
        self._renumber()
        root = next(ref for ref in self.below[None] if kind_of(ref) == "Folder")
        self.vcenter.root = self._new(Folder, root, None, _DATACENTER, "group-d")
        self._fill(root, None)
        for number, host in enumerate(self.inventory["hosts"], 1):
            self._host(number, host)
        self._mounts()
        for vm in self.inventory["vms"]:
            self._vm(vm)
        self._settings()

    def _renumber(self) -> None:
        """Let new objects have ids that nothing in the estate has."""
        numbers = [int(found[1]) for ref in self.entities if (found := re.search(r"(\d+)$", ref))]
        self.vcenter.registry.last_id = max([self.vcenter.registry.last_id, *numbers])

    def _new(self, make: Callable[..., Any], ref: str, *more: Any, ids: Iterable[str] = ()) -> Any:
        """Return a new object with the id of *ref*; *ids* are those of what it makes with itself, in that order."""
        self.vcenter.registry.given.extend([moid_of(ref), *map(moid_of, ids)])
        self.made[ref] = make(self.vcenter, self.entities[ref]["name"], *more)
        self.vcenter.registry.given.clear()
        return self.made[ref]

    def _fill(self, ref: str, datacenter: Any) -> None:
        """Make what is below *ref*; port groups after the switches that they are of."""
        order = sorted(self.below.get(ref, ()), key=lambda one: kind_of(one) == "DistributedVirtualPortgroup")
        for child in order:
            made = self._place(child, self.made[ref], datacenter)
            if made is not None:
                self._fill(child, made if isinstance(made, Datacenter) else datacenter)

    def _place(self, ref: str, above: Any, datacenter: Any) -> Any:
        """Make the object *ref* in *above*; None for what is made later, or with something else."""
        match kind_of(ref):
            case "Datacenter":
                return self._datacenter(ref, above)
            case "Folder":
                if ref not in self.made:
                    self._new(Folder, ref, above, above.kinds, "group-v")
            case "StoragePod":
                self._new(StoragePod, ref, above, [vim.Datastore], "group-p")
            case "ClusterComputeResource" | "ComputeResource" as kind:
                pools = [one for one in self.below.get(ref, ()) if kind_of(one) == "ResourcePool"]
                make = ClusterComputeResource if kind == "ClusterComputeResource" else ComputeResource
                cluster = self._new(make, ref, datacenter, ids=pools[:1])
                self._move(cluster, above)
                for pool in pools[:1]:
                    cluster.pool.name = self.entities[pool]["name"]
                    self.made[pool] = cluster.pool
            case "ResourcePool":
                if ref not in self.made:
                    self._new(ResourcePool, ref, above)
            case "VirtualApp":
                self._new(VirtualApp, ref, above, self._folder_of(ref, datacenter))
            case "Datastore":
                self._datastore(ref, datacenter, above)
            case "Network" | "OpaqueNetwork" | "DistributedVirtualPortgroup":
                self._network(ref, datacenter, above)
            case "VmwareDistributedVirtualSwitch":
                switch = self._new(VmwareDistributedVirtualSwitch, ref, datacenter)
                switch.uuid = self.entities[ref].get("uuid") or switch.uuid
                self._move(switch, above)
            case _:  # hosts and VMs
                return None
        return self.made[ref]

    def _datacenter(self, ref: str, above: Any) -> Any:
        """Make a datacenter with its four folders; one that the account could not see gets an id of its own."""
        tops: dict[str, str] = {}
        for child in self.below.get(ref, ()):
            tops.setdefault(self.entities[child]["name"], child)
        registry = self.vcenter.registry
        ids = [tops.get(name) or f"Folder:{registry.new_id(f'group-{name[0]}')}" for name in _TOPS]
        datacenter = self._new(Datacenter, ref, above, ids=ids)
        for name in _TOPS:
            if name in tops:
                self.made[tops[name]] = datacenter.folders[name]
        return datacenter

    def _folder_of(self, ref: str, datacenter: Any) -> Any:
        """Return the VM folder of the vApp *ref*, which is made after it; None where none is told."""
        told = self.entities[ref].get("folder")
        if told is None:
            return None
        self._make_folder(told, datacenter)
        return self.made[told]

    def _make_folder(self, ref: str, datacenter: Any) -> None:
        if ref not in self.made:
            above = self.entities[ref]["parent"]
            self._make_folder(above, datacenter)
            self._place(ref, self.made[above], datacenter)

    @staticmethod
    def _move(item: Any, folder: Any) -> None:
        """Put *item* into *folder*, in place of the datacenter's topmost one."""
        if item.parent is not folder:
            item.parent.drop(item)
            folder.put(item)

    def _datastore(self, ref: str, datacenter: Any, above: Any) -> None:
        store = self._new(EstateDatastore, ref, datacenter, above)
        row = self.rows.get(ref)
        if row is not None:
            store.capacity = row["capacity_bytes"]
            store.accessible = row.get("accessible", True)
            store.maintenance = "inMaintenance" if row.get("maintenance") else "normal"
        store.hosts = []

    def _network(self, ref: str, datacenter: Any, above: Any) -> None:
        row = self.rows.get(ref, {})
        if kind_of(ref) != "DistributedVirtualPortgroup":
            self._new(OpaqueNetwork if kind_of(ref) == "OpaqueNetwork" else Network, ref, datacenter, above)
            return
        uuid = row.get("switch_uuid")
        switches = self.vcenter.registry.of_type("VmwareDistributedVirtualSwitch")
        switch = next((one for one in switches if one.uuid == uuid), None)
        if switch is None:  # the account may not see it
            switch = VmwareDistributedVirtualSwitch(self.vcenter, f"unseen {moid_of(ref)}", datacenter)
            switch.uuid = uuid or switch.uuid
            self.vcenter.hidden.add(switch.name)
        group = self._new(DistributedVirtualPortgroup, ref, datacenter, switch, above)
        group.key = row.get("portgroup_key") or group.moid
        switch.version = row.get("switch_version") or ""

    def _host(self, number: int, row: Row) -> None:
        self.vcenter.registry.given.append(moid_of(row["ref"]))
        host = EstateHost(self.vcenter, host_spec(row), self.made[row["compute"]], number, row)
        self.vcenter.registry.given.clear()
        self.made[row["ref"]] = host
        host.vm_networks = [self.made[ref] for ref in row["networks"]]
        for switch in {net.switch for net in host.vm_networks if isinstance(net, DistributedVirtualPortgroup)}:
            switch.hosts.append(host)
            host.switch = host.switch or switch
        host.settle(self._options(row))

    def _options(self, row: Row) -> Row:
        return self.site.get("options", {}).get(row["ref"]) or {}

    def _mounts(self) -> None:
        for row in self.inventory["hosts"]:
            for ref in row["datastores"]:
                self.made[ref].hosts.append(self.made[row["ref"]])
        for row in self.inventory["datastores"]:
            store = self.made[row["ref"]]
            store.read_only = [self.made[ref] for ref in row.get("barred", ())]

    def _vm(self, row: Row) -> None:
        entity = self.entities[row["ref"]]
        host = self.made.get(row["host"]) or self._near(entity)
        above = self.made.get(entity.get("parent") or "")
        self.vcenter.registry.given.append(moid_of(row["ref"]))
        vm = EstateVirtualMachine.of_row(
            self.vcenter, row,
            folder=above or host.datacenter.folders["vm"], host=host, pool=self.made.get(entity.get("pool") or ""),
            dirty_bps=1024 * self.site.get("write_kib_s", {}).get(row["ref"], 0),
            attributes=[self.site.get("attributes", {}).get(str(key), f"attribute {key}") for key in row["attributes"]],
            told={"host": row["host"] is not None, "parent": above is not None, "pool": entity.get("pool") is not None},
        )  # fmt: skip
        self.vcenter.registry.given.clear()
        self.made[row["ref"]] = vm

    def _near(self, entity: Row) -> Any:
        """Return a host for a VM whose own is not told: one of its pool's cluster, else any."""
        pool = self.made.get(entity.get("pool") or "")
        hosts = list(self.vcenter.hosts())
        return next((host for host in hosts if pool is not None and host.parent is pool.owner), hosts[0])

    def _settings(self) -> None:
        """Settle what depends on all of it: free space, memory in use, rules, custom attributes, key providers."""
        for row in self.inventory["datastores"]:
            store = self.made[row["ref"]]
            store.held = store.free() - row["free_bytes"]
        for row in self.inventory["hosts"]:
            self.made[row["ref"]].hold_memory(row["used_bytes"])
        for ref, row in self.site.get("clusters", {}).items():
            self.made[ref].drs, self.made[ref].ha = row.get("drs"), bool(row.get("ha"))
        rules: dict[tuple[Any, str], list[Any]] = {}
        for ref, row in self.site.get("bindings", {}).items():
            vm = self.made[ref]
            for name in row.get("rules", ()):
                rules.setdefault((vm.host.parent, name), []).append(vm.ref)
            own = dict(filter(None, map(_override, row.get("overrides", ()))))
            if own:
                vm.host.parent.overrides[vm.moid] = own
        for number, ((cluster, name), vms) in enumerate(rules.items(), 1):
            cluster.rules.append(vim.cluster.AffinityRuleSpec(key=number, name=name, enabled=True, vm=vms))
        fields: dict[str, int] = self.vcenter.content.managers["customFieldsManager"].keys
        fields.update({name: int(key) for key, name in self.site.get("attributes", {}).items()})
        providers = self.site.get("key_providers")
        self.vcenter.key_providers = None if providers is None else list(providers)


def _override(words: str) -> tuple[str, str] | None:
    """Return a VM's own setting in its cluster out of the estate's words for it."""
    if words.startswith("DRS "):
        return "drs", words.removeprefix("DRS ")
    if words.startswith("HA restart priority "):
        return "ha", words.removeprefix("HA restart priority ")
    return None
