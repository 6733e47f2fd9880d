"""What a simulated vCenter keeps over a kill and a start: FOLDER/database.jsonl, as VCDB does for a real one.

A line is {"object": moId, "kept": {…}}, the last one of an object counts; "kept" null: the object is gone. A line is in
the page cache before the call that it follows from is answered, so a process that dies loses nothing it has told. What
a vpxd that restarts has forgotten is forgotten here, too: sessions, tasks, filters; scripted trouble as well.

The lab's own choice, for a relocate to the other vCenter whose end falls into a death: the VM is in exactly one
inventory. It is the target's once that has recorded it, unless the source has gone on to say that the move failed.
"""

# ruff: noqa: ANN401 - the managed objects' types are made at run time
from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyVmomi import vim

from lrvmotion.lab.vcenter.custom_fields_manager import CustomFieldsManager
from lrvmotion.lab.vcenter.datastore import Datastore
from lrvmotion.lab.vcenter.entity import ClusterComputeResource
from lrvmotion.lab.vcenter.estate_vm import EstateVirtualMachine
from lrvmotion.lab.vcenter.host_state import Netstack, PortGroup, Vmknic
from lrvmotion.lab.vcenter.host_system import HostSystem
from lrvmotion.lab.vcenter.network import Network
from lrvmotion.lab.vcenter.tagging import Category
from lrvmotion.lab.vcenter.virtual_machine import Snapshot, VirtualMachine
from lrvmotion.lab.vcenter.vm_traits import Traits

if TYPE_CHECKING:
    from lrvmotion.lab.vcenter.vcenter import Vcenter

FILE = "database.jsonl"
_VCENTER = "vcenter"  # the key of what belongs to no object of its own
_HOST = ("maintenance", "evc", "max_evc", "most_disks", "encrypted_vmotion", "hardware", "boot_s", "held")
_VM = ("arrived", "leaving", "memory_bytes", "disk_bytes", "dirty_bps", "powered_on", "uuid", "instance_uuid", "mac",
       "iso", "name", "change_version", "disk_at", "disk_sizes")  # fmt: skip


class Database:
    """The file of one vCenter, open for appending once *load* has brought the model up to it."""

    def __init__(self, vcenter: Vcenter) -> None:
        self.vcenter = vcenter
        self.path = vcenter.folder / FILE
        self._file: int | None = None
        self._written: dict[str, str] = {}

    def load(self) -> None:
        """Bring the model, just built from the spec, up to what the file says; then keep what changes."""
        rows = read(self.path)
        with self.vcenter.lock:
            for moid, kept in rows.items():
                if moid == _VCENTER and kept is not None:
                    _restore_vcenter(self.vcenter, kept)
            for moid, kept in rows.items():
                if moid != _VCENTER:
                    self._restore(moid, kept)
            self._settle()
            for moid, kept in self._all():
                self._written[moid] = json.dumps(kept)
            self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self.vcenter.registry.database = self
            for moid, kept in rows.items():
                text = self._written.get(moid, "null")
                if text != json.dumps(kept):
                    self._append(moid, text)

    def note(self, items: Iterable[Any]) -> None:
        """Write what has changed of *items*, and of the vCenter's own; called with the model's lock held."""
        for moid, kept in [(_VCENTER, _kept_vcenter(self.vcenter)), *_kept(items)]:
            text = json.dumps(kept)
            if self._written.get(moid) != text:
                self._append(moid, text)

    def gone(self, moid: str) -> None:
        """Write that the object *moid* is no more."""
        if self._written.pop(moid, None) is not None:
            self._append(moid, "null")

    def _append(self, moid: str, text: str) -> None:
        assert self._file is not None  # noqa: S101 - load opened it
        os.write(self._file, f'{{"object": {json.dumps(moid)}, "kept": {text}}}\n'.encode())
        if text != "null":
            self._written[moid] = text

    def _all(self) -> Iterator[tuple[str, dict[str, Any]]]:
        yield _VCENTER, _kept_vcenter(self.vcenter)
        for kind in ("HostSystem", "VirtualMachine", "Datastore", "Network", "ClusterComputeResource"):
            yield from _kept(self.vcenter.registry.of_type(kind))

    def _restore(self, moid: str, kept: dict[str, Any] | None) -> None:
        item: Any = self.vcenter.registry.find(moid)
        if kept is None:
            if item is not None:
                item.delete()
        elif isinstance(item, HostSystem):
            _restore_host(item, kept)
        elif isinstance(item, Datastore | Network):
            for key, value in kept.items():
                setattr(item, key, value)
        elif isinstance(item, ClusterComputeResource):
            _restore_cluster(item, kept)
        else:
            _restore_vm(self.vcenter, item, moid, kept)

    def _settle(self) -> None:
        """Leave a VM that a death caught between two inventories in one of them."""
        there: dict[str, dict[str, Any]] = {}
        for path in self.vcenter.lab.glob(f"*/{FILE}"):
            if path != self.path:
                rows = [row for row in read(path).values() if row is not None and "instance_uuid" in row]
                there |= {row["instance_uuid"]: row for row in rows}
        for vm in self.vcenter.machines():
            other = there.get(vm.instance_uuid)
            if other is not None and (vm.leaving or (vm.arrived and not other["leaving"])):
                vm.delete()
            vm.leaving = False


def read(path: Path) -> dict[str, dict[str, Any] | None]:
    """Return the last line of every object in the file at *path*, in the order of first lines; none without a file."""
    rows: dict[str, dict[str, Any] | None] = {}
    if not path.exists():
        return rows
    for line in path.read_bytes().splitlines():
        try:
            row = json.loads(line)
        except ValueError:  # the line that its writer died in: nobody was told of it
            continue
        rows[row["object"]] = row["kept"]
    return rows


def _kept(items: Iterable[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for item in items:
        match item:
            case HostSystem():
                yield item.moid, _kept_host(item)
            case VirtualMachine():
                yield item.moid, _kept_vm(item)
            case Datastore():
                yield item.moid, {"name": item.name, "accessible": item.accessible, "held": item.held}
            case Network():
                yield item.moid, {"name": item.name}
            case ClusterComputeResource():
                yield item.moid, _kept_cluster(item)
            case _:  # nothing of it outlives the process
                pass


def _kept_host(host: HostSystem) -> dict[str, Any]:
    return {
        **{key: getattr(host, key) for key in _HOST},
        "boot_time": host.boot_time.isoformat(),
        "options": host.options.values_now,
        "effective": host.options.effective,
        "network": host.network.document(),
    }


def _restore_host(host: HostSystem, kept: dict[str, Any]) -> None:
    for key in _HOST:
        setattr(host, key, kept[key])
    host.boot_time = datetime.fromisoformat(kept["boot_time"])
    host.options.values_now = kept["options"]
    host.options.effective = kept["effective"]
    network = kept["network"]
    host.network.portgroups = {name: PortGroup(**row) for name, row in network["portgroups"].items()}
    host.network.vmknics = {name: Vmknic(**row) for name, row in network["vmknics"].items()}
    host.network.netstacks = {
        name: Netstack(**{**row, "routes": [(prefix, gateway) for prefix, gateway in row["routes"]]})
        for name, row in network["netstacks"].items()
    }
    host.network.selected = {service: set(devices) for service, devices in network["services"].items()}


def _kept_vm(vm: VirtualMachine) -> dict[str, Any]:
    return {
        **{key: getattr(vm, key) for key in _VM},
        "boot_time": vm.boot_time.isoformat() if vm.boot_time else None,
        "traits": asdict(vm.traits),
        "snapshots": [[item.name, item.moid, item.created.isoformat()] for item in vm.snapshots],
        **{key: getattr(vm, key).moid for key in ("host", "datastore")},
        "network": vm.network.moid if vm.network is not None else "",
        "folder": vm.parent.moid,
        **({"estate": vm.estate} if isinstance(vm, EstateVirtualMachine) else {}),
    }


def _restore_vm(vcenter: Vcenter, vm: Any, moid: str, kept: dict[str, Any]) -> None:
    host, datastore, network, folder = (
        vcenter.registry.find(kept[key]) for key in ("host", "datastore", "network", "folder")
    )
    if vm is not None:
        vm.delete()
    made = (EstateVirtualMachine if kept.get("estate") else VirtualMachine)(
        vcenter, name=kept["name"], folder=folder, host=host, datastore=datastore, network=network,
        document={**kept, "snapshots": 0}, moid=moid,
    )  # fmt: skip
    made.traits = Traits.of(kept["traits"])
    made.snapshots = [
        Snapshot(name=name, moid=own, created=datetime.fromisoformat(created))
        for name, own, created in kept["snapshots"]
    ]
    for key in ("arrived", "leaving", "change_version"):
        setattr(made, key, kept[key])


def _kept_cluster(cluster: ClusterComputeResource) -> dict[str, Any]:
    rules = [
        {
            "key": rule.key,
            "name": rule.name,
            "apart": isinstance(rule, vim.cluster.AntiAffinityRuleSpec),
            "vms": [vm._moId for vm in rule.vm],  # noqa: SLF001 - pyVmomi's own name for the moId
        }
        for rule in cluster.rules
    ]
    return {"drs": cluster.drs, "ha": cluster.ha, "overrides": cluster.overrides, "rules": rules}


def _restore_cluster(cluster: ClusterComputeResource, kept: dict[str, Any]) -> None:
    cluster.drs, cluster.ha, cluster.overrides = kept["drs"], kept["ha"], kept["overrides"]
    cluster.rules = [
        (vim.cluster.AntiAffinityRuleSpec if rule["apart"] else vim.cluster.AffinityRuleSpec)(
            key=rule["key"], name=rule["name"], enabled=True, vm=[vim.VirtualMachine(moid) for moid in rule["vms"]]
        )
        for rule in kept["rules"]
    ]


def _kept_vcenter(vcenter: Vcenter) -> dict[str, Any]:
    people = vcenter.content.managers["authorizationManager"]
    return {
        "next": vcenter.registry.last_id,
        "fields": _fields(vcenter).keys,
        "categories": {key: asdict(item) for key, item in vcenter.rest.categories.items()},
        "policies": vcenter.pbm.policies,
        "roles": {name: [number, privileges] for name, (number, privileges) in people.roles.items()},
        "strangers": sorted(people.strangers),
        "key_providers": vcenter.key_providers,
        "licence": vcenter.content.managers["licenseManager"].assignments.name,
        "settings": vcenter.content.managers["setting"].settings,
    }


def _restore_vcenter(vcenter: Vcenter, kept: dict[str, Any]) -> None:
    people = vcenter.content.managers["authorizationManager"]
    vcenter.registry.last_id = max(vcenter.registry.last_id, kept["next"])
    _fields(vcenter).keys.update(kept["fields"])
    vcenter.rest.categories = {key: Category(**row) for key, row in kept["categories"].items()}
    vcenter.pbm.policies = kept["policies"]
    people.roles = {name: (number, privileges) for name, (number, privileges) in kept["roles"].items()}
    people.strangers = set(kept["strangers"])
    vcenter.key_providers = kept["key_providers"]
    vcenter.content.managers["licenseManager"].assignments.name = kept["licence"]
    vcenter.content.managers["setting"].settings = kept["settings"]


def _fields(vcenter: Vcenter) -> CustomFieldsManager:
    manager: CustomFieldsManager = vcenter.content.managers["customFieldsManager"]
    return manager
