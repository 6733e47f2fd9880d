"""A VM of an estate: disks on several datastores, cards on several networks, devices, and what is told of it."""

# ruff: noqa: ANN401 - the managed objects' types are made at run time
from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any, ClassVar, Self

from lrvmotion.lab.estate.form import Row, moid_of
from lrvmotion.lab.vcenter import estate_vm_data, vm_traits
from lrvmotion.lab.vcenter.entity import VirtualApp
from lrvmotion.lab.vcenter.managed_object import Values, Written
from lrvmotion.lab.vcenter.virtual_machine import VirtualMachine

_ADRIFT = {"orphaned", "inaccessible", "invalid"}  # states of a VM's own; the others follow from its host


class EstateVirtualMachine(VirtualMachine):
    """A VM with an *estate*: what a plain VM of the lab has no place for, as JSON, with moIds of this vCenter."""

    values: ClassVar[Values] = {**VirtualMachine.values, **estate_vm_data.VALUES}
    written: ClassVar[Written] = {}
    __slots__ = ("estate",)

    def __init__(self, vcenter: Any, *, document: Row, **more: Any) -> None:
        self.estate: Row = deepcopy(document["estate"])
        super().__init__(vcenter, document=document, **more)

    @classmethod
    def of_row(
        cls,
        vcenter: Any,
        row: Row,
        *,
        folder: Any,
        host: Any,
        pool: Any,
        dirty_bps: int,
        attributes: list[str],
        told: dict[str, bool],
    ) -> Self:
        """Return the VM of an estate's *row*; *told* is what its vCenter tells of where it is: host, parent, pool."""
        registry = vcenter.registry
        home = row.get("home") or next((disk["datastore"] for disk in row["disks"] if disk["datastore"]), None)
        stores = [registry.find(moid_of(home))] if home else host.mounted() or list(registry.of_type("Datastore"))
        nics = [{**nic, "network": _network(vcenter, host, nic)} for nic in row["nics"]]
        first = next((nic["network"] for nic in nics if nic["network"]), None)
        networks = [registry.find(first)] if first else [*host.networks(), *registry.of_type("Network"), None]
        estate = {
            "disks": [{**disk, "datastore": disk["datastore"] and moid_of(disk["datastore"])} for disk in row["disks"]],
            "nics": nics,
            "devices": row["devices"],
            "change_version": row.get("change_version") or "",
            "pool": pool.moid if pool is not None else None,
            "told": {**told, "home": row.get("home") is not None or "home" not in row},
        }
        made = cls(
            vcenter,
            name=row["name"],
            folder=folder,
            host=host,
            datastore=stores[0],
            network=networks[0],
            document={
                "memory_bytes": row["memory_bytes"],
                "disk_bytes": row["storage_bytes"],
                "dirty_bps": dirty_bps,
                "powered_on": row["power_state"] == "poweredOn",
                "uuid": row["bios_uuid"],
                "instance_uuid": row["instance_uuid"],
                "mac": nics[0]["mac"] if nics else "",
                "iso": next((one["backing"] for one in row["devices"] if one["kind"] == "iso"), None),
                "snapshots": row["snapshots"],
                "traits": traits(row, attributes),
                "estate": estate,
            },
        )
        made.change_version = 1  # of which the estate's own is told
        return made

    def place(self, host: Any, datastore: Any) -> None:
        """Put the VM on *host* and *datastore*, its disks where they are."""
        super().place(host, datastore)
        pool = self.vcenter.registry.find(self.estate["pool"] or "")
        self.vapp = pool if isinstance(pool, VirtualApp) else None
        if pool is not None and pool.owner is host.parent:
            self.pool.machines.pop(self.moid, None)
            self.pool = pool
            pool.machines[self.moid] = self
        for store in self.stores():
            store.machines[self.moid] = self

    def unplace(self) -> None:
        """Take the VM off its host and datastores."""
        super().unplace()
        for store in self.stores():
            store.machines.pop(self.moid, None)

    def stores(self) -> list[Any]:
        """Return the datastores of home and disks."""
        found = [
            self.datastore,
            *(self.vcenter.registry.find(disk["datastore"] or "") for disk in self.estate["disks"]),
        ]
        return list({store.moid: store for store in found if store is not None}.values())

    def networks(self) -> Iterator[Any]:
        """Give the networks of its cards."""
        for moid in dict.fromkeys(nic["network"] for nic in self.estate["nics"]):
            network = self.vcenter.registry.find(moid or "")
            if network is not None:
                yield network

    def bytes_on(self, store: Any) -> int:
        """Return what it takes on *store*: the files of a disk are with it, all others at home."""
        others = {
            moid: sum(disk["used_bytes"] or 0 for disk in self.estate["disks"] if disk["datastore"] == moid)
            for moid in (one.moid for one in self.stores() if one is not self.datastore)
        }
        if sum(others.values()) > self.disk_bytes:  # the document's figures do not add up: all of it is at home
            return self.disk_bytes if store is self.datastore else 0
        return others.get(store.moid, self.disk_bytes - sum(others.values()) if store is self.datastore else 0)

    def apart(self) -> dict[str, str]:
        """Return the moIds of the datastores of disks that have another than the home, by the disks' keys."""
        at = {str(disk["key"]): disk["datastore"] for disk in self.estate["disks"] if disk["datastore"]}
        return {key: moid for key, moid in at.items() if moid != self.datastore.moid}

    def sizes(self) -> dict[str, int]:
        """Return the bytes of each disk by its key, as far as the estate tells."""
        return {str(disk["key"]): disk["used_bytes"] or 0 for disk in self.estate["disks"]}

    def document(self) -> Row:
        """Return what makes the VM the same VM elsewhere."""
        return {**super().document(), "estate": self.estate}

    def hardware(self) -> list[Any]:
        """Return its virtual devices."""
        return estate_vm_data.devices(self)

    def cards(self) -> dict[int, str]:
        """Return the names of the networks that its Ethernet cards are on, by the cards' keys."""
        found = {nic["key"]: self.vcenter.registry.find(nic["network"] or "") for nic in self.estate["nics"]}
        return {key: network.name for key, network in found.items() if network is not None}

    def arrive(
        self, host: Any, datastore: Any, networks: dict[str, Any], *, disks: dict[str, str], pool: Any = None
    ) -> None:
        """Be on *host* and *datastore* after a move, cards on *networks* and *disks* on datastores, by their keys."""
        self.unplace()
        for disk in self.estate["disks"]:
            disk["datastore"] = disks.get(str(disk["key"]), datastore.moid)
        for nic in self.estate["nics"]:
            network = networks.get(str(nic["key"]))
            nic["network"] = network.moid if network is not None else None
        self.network = next((network for network in networks.values() if network is not None), self.network)
        self.estate["pool"] = pool.moid if pool is not None else None
        self.estate["told"] = dict.fromkeys(self.estate["told"], True)
        self.estate["change_version"] = None
        self.place(host, datastore)


def traits(row: Row, attributes: list[str]) -> Row:
    """Return the traits of an estate's *row*: what moves of it are refused for."""
    kinds = {device["kind"]: device for device in row["devices"]}
    rdm = {"virtual": "virtualMode", "physical": "physicalMode"}
    modes = [disk.get("mode") or "persistent" for disk in row["disks"]]
    state = row.get("connection_state") or ""
    return {
        "version": row.get("hardware") or "vmx-07",
        "suspended": row["power_state"] == "suspended",
        "template": bool(row.get("template")),
        "evc": row.get("evc_mode") or "",
        "tools_installer": bool(row.get("tools_installer")),
        "fault_tolerant": bool(row.get("fault_tolerance")),
        "key_provider": row.get("key_provider"),
        "migrate_encryption": row.get("migrate_encryption") or "",
        "reserved_bytes": row.get("reserved_bytes") or 0,
        "disk_mode": next((mode for mode in modes if mode != "persistent"), "persistent"),
        "rdm": next((rdm[disk["rdm"]] for disk in row["disks"] if disk.get("rdm")), None),
        "multi_writer": any(disk.get("multi_writer") for disk in row["disks"]),
        "bus": kinds["shared-bus"]["backing"] if "shared-bus" in kinds else "noSharing",
        "disks": len(row["disks"]),
        "plugged": sorted(set(kinds) & set(vm_traits.PLUGS)),
        "permissions": list(row.get("permissions") or ()),
        "attributes": [[name, "set"] for name in attributes],
        "no_host": row["host"] is None,
        "question": row.get("question") or "",
        "managed_by": row.get("managed_by") or "",
        "disabled": ["RelocateVM_Task"] if row.get("relocate_disabled") else [],
        "consolidate": bool(row.get("consolidation")),
        "first_class": next((disk["first_class"] for disk in row["disks"] if disk.get("first_class")), ""),
        "connection": state if state in _ADRIFT else "",
    }


def _network(vcenter: Any, host: Any, nic: Row) -> str | None:
    """Return the moId of the network that *nic* is on: by its reference, or its name, the host's before others."""
    if nic.get("network_ref"):
        return moid_of(nic["network_ref"])
    order = ("DistributedVirtualPortgroup", "Network", "OpaqueNetwork")
    for networks in (host.networks, lambda: list(vcenter.registry.of_type("Network"))):
        found = [network for network in networks() if network.name == nic["network"]]
        if found:
            return str(min(found, key=lambda network: order.index(network.wsdl)).moid)
    return None
