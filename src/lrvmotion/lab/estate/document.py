"""Read an estate and refuse one that is of a newer schema, cut off, of another form, or that contradicts itself.

The form is that of docs/schemas/inventory.schema.json; what the lab does not know of it is passed over.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path
from typing import Any, NoReturn
from uuid import UUID

from lrvmotion.lab.errors import LabError

SCHEMA = 1
FILE = "estate.json"
SITES = ("source", "target")
WHOLE = "write it again: lrvmotion inventory -o FILE"
Row = dict[str, Any]

TEXT, NUMBER, TRUTH, LIST, OBJECT, REF = "a text", "a whole number", "true or false", "a list", "an object", "reference"
_WORDS = {REF: 'a reference such as "HostSystem:host-12"'}
_TYPES: dict[str, type] = {TEXT: str, NUMBER: int, TRUTH: bool, LIST: list, OBJECT: dict}
# What the lab needs of each record; "?" before a kind: it may be null.
_SITE = {"inventory": OBJECT, "tree": LIST}
_OBJECTS = {"options": OBJECT, "hardware": OBJECT, "clusters": OBJECT, "bindings": OBJECT, "attributes": OBJECT,
            "write_kib_s": OBJECT}  # fmt: skip
_INVENTORY = {"instance_uuid": TEXT, "version": TEXT, "build": TEXT, "api_version": TEXT}
_LISTS: dict[str, dict[str, str]] = {
    "hosts": {
        "name": TEXT, "connection_state": TEXT, "in_maintenance": TRUTH, "version": TEXT, "build": TEXT,
        "compute": REF, "vmknics": LIST, "portgroups": LIST, "datastores": LIST, "networks": LIST,
        "memory_bytes": NUMBER, "used_bytes": NUMBER, "uplinks": OBJECT, "routes": OBJECT, "congestion_control": OBJECT,
    },
    "datastores": {"name": TEXT, "capacity_bytes": NUMBER, "free_bytes": NUMBER},
    "networks": {"name": TEXT, "kind": TEXT},
    "pools": {},
    "folders": {},
    "vms": {
        "name": TEXT, "instance_uuid": TEXT, "bios_uuid": TEXT, "power_state": TEXT, "host": "?" + REF,
        "memory_bytes": NUMBER, "storage_bytes": NUMBER, "snapshots": NUMBER, "disks": LIST, "nics": LIST,
        "devices": LIST,
    },
}  # fmt: skip
_PARTS: dict[str, dict[str, str]] = {
    "vmknics": {"device": TEXT, "address": TEXT, "prefix_length": NUMBER, "mtu": NUMBER, "mac": TEXT,
                "portgroup": TEXT, "netstack": TEXT, "services": LIST},
    "portgroups": {"name": TEXT, "vswitch": TEXT, "vlan_id": NUMBER},
    "disks": {"key": NUMBER, "label": TEXT, "capacity_bytes": NUMBER, "datastore": "?" + REF},
    "nics": {"key": NUMBER, "label": TEXT, "mac": TEXT, "network": "?" + TEXT},
    "devices": {"kind": TEXT, "label": TEXT, "backing": TEXT},
}  # fmt: skip
# The API's own words where it takes no other.
_CHOICES: dict[str, tuple[str, ...]] = {
    "connection_state": ("connected", "disconnected", "notResponding", "orphaned", "inaccessible", "invalid"),
    "power_state": ("poweredOn", "poweredOff", "suspended"),
    "drs": ("manual", "partiallyAutomated", "fullyAutomated"),
    "sharing": ("noSharing", "physicalSharing", "virtualSharing"),
}
_KINDS = (
    "Datacenter", "Folder", "ComputeResource", "ClusterComputeResource", "ResourcePool", "VirtualApp", "HostSystem",
    "Datastore", "StoragePod", "Network", "OpaqueNetwork", "DistributedVirtualPortgroup",
    "VmwareDistributedVirtualSwitch", "VirtualMachine",
)  # fmt: skip


class EstateError(LabError):
    """The document cannot be built: where in it, and what to write there."""


def read(path: Path) -> Row:
    """Return the estate at *path*; EstateError where it is none, or one that cannot be."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        message = f"{path}: the estate cannot be read: {error.strerror or error}"
        raise EstateError(message, "'lrvmotion inventory -o FILE' writes one") from None
    except UnicodeDecodeError:
        message = f"{path}: the estate is not UTF-8"
        raise EstateError(message, WHOLE) from None
    return parse(text, str(path))


def parse(text: str, where: str) -> Row:
    """Return the estate that *text* is; *where* names it in a message."""
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        ends = error.pos >= len(text.rstrip()) - 1
        told = f"it ends in line {error.lineno}" if ends else f"line {error.lineno}: {error.msg}"
        message = f"{where}: not a whole estate: {told}"
        raise EstateError(message, WHOLE) from None
    except RecursionError:
        message = f"{where}: not an estate: it is nested too deeply"
        raise EstateError(message, WHOLE) from None
    if not isinstance(document, dict) or type(document.get("schema")) is not int or "source" not in document:
        message = f"{where}: not an estate: $.schema and $.source are missing"
        raise EstateError(message, WHOLE)
    if document["schema"] > SCHEMA:
        message = f"{where}: $.schema is {document['schema']}, this lrvmotion reads {SCHEMA}: a newer one wrote it"
        raise EstateError(message, "use that version, or write the inventory again with this one")
    try:
        for site in SITES:
            _Site(_field(document, "$", site, OBJECT), f"$.{site}").check()
    except EstateError as error:
        message = f"{where}: {error}"
        raise EstateError(message, error.hint or WHOLE) from None
    return document


def _refuse(path: str, found: str, cure: str) -> NoReturn:
    message = f"{path} {found}: {cure}"
    raise EstateError(message, "")


def _field(row: Row, path: str, name: str, kind: str) -> Any:  # noqa: ANN401 - any JSON
    """Return the field *name* of *row*, which is at *path*; EstateError where it is not of that *kind*."""
    plain = kind.removeprefix("?")
    word = _WORDS.get(plain, plain)
    if name not in row:
        _refuse(f"{path}.{name}", "is missing", f"write {word}")
    value = row[name]
    if value is None and kind != plain:
        return None
    fits = isinstance(value, _TYPES.get(plain, str)) and (plain == TRUTH or not isinstance(value, bool))
    if plain == REF:
        fits = fits and bool(kind_of(value)) and bool(moid_of(value))
    if not fits:
        cure = f"write {word}" + (" or null" if kind != plain else "")
        _refuse(f"{path}.{name}", f"is {json.dumps(value)[:60]}", cure)
    return value


def _choice(path: str, value: Any, kind: str) -> None:  # noqa: ANN401 - any JSON
    if value not in _CHOICES[kind]:
        _refuse(path, f"is {json.dumps(value)[:60]}", f"write {', '.join(_CHOICES[kind])}")


def kind_of(ref: str) -> str:
    """Return the type of the object that *ref* means: "HostSystem" of "HostSystem:host-12"."""
    return ref.partition(":")[0]


def moid_of(ref: str) -> str:
    """Return the moId of the object that *ref* means: "host-12" of "HostSystem:host-12"."""
    return ref.partition(":")[2]


class _Site:
    """One vCenter of the document while it is looked at."""

    def __init__(self, site: Row, path: str) -> None:
        self.site = site
        self.path = path
        self.at: dict[str, str] = {}  # where each object of the tree stands
        self.tree: dict[str, Row] = {}

    def check(self) -> None:
        """Raise EstateError for the first thing that cannot be."""
        for name, kind in _SITE.items():
            _field(self.site, self.path, name, kind)
        for name, kind in _OBJECTS.items():
            _field({name: {}, **self.site}, self.path, name, kind)
        inventory = self.site["inventory"]
        for name, kind in _INVENTORY.items():
            _field(inventory, f"{self.path}.inventory", name, kind)
        try:
            UUID(inventory["instance_uuid"])
        except ValueError:
            _refuse(f"{self.path}.inventory.instance_uuid", f"is {inventory['instance_uuid']!r}", "write a UUID")
        self._check_tree()
        for name, wanted in _LISTS.items():
            self._check_list(inventory, name, wanted)
        for path, host in self._rows("hosts"):
            self._check_host(path, host)
        for path, vm in self._rows("vms"):
            self._check_vm(path, vm)
        for ref, cluster in self.site.get("clusters", {}).items():
            if cluster.get("drs") is not None:
                _choice(f"{self.path}.clusters[{json.dumps(ref)}].drs", cluster["drs"], "drs")
        for name in ("options", "hardware", "clusters", "bindings", "write_kib_s"):
            for ref in self.site.get(name, {}):
                self._there(f"{self.path}.{name}", ref)

    def _rows(self, name: str) -> Iterator[tuple[str, Row]]:
        for number, row in enumerate(self.site["inventory"].get(name, ())):
            yield f"{self.path}.inventory.{name}[{number}]", row

    def _there(self, path: str, ref: str, *kinds: str) -> None:
        """Raise EstateError where nothing in the tree is *ref*, or it is of none of *kinds*."""
        if ref not in self.tree:
            _refuse(path, f"names {ref}, which is not there", f"write one of {self.path}.tree, or add it there")
        if kinds and kind_of(ref) not in kinds:
            _refuse(path, f"names {ref}", f"write a {' or '.join(kinds)}")

    def _check_tree(self) -> None:
        for number, entity in enumerate(self.site["tree"]):
            path = f"{self.path}.tree[{number}]"
            if not isinstance(entity, dict):
                _refuse(path, "is no object", 'write {"ref": …, "name": …, "parent": …}')
            ref = _field(entity, path, "ref", REF)
            _field(entity, path, "name", TEXT)
            if kind_of(ref) not in _KINDS:
                _refuse(f"{path}.ref", f"is a {kind_of(ref)}, which a lab does not build", "take it out")
            if ref in self.tree:
                _refuse(f"{path}.ref", f"is {ref}, as is {self.at[ref]}.ref", "leave one of the two")
            self.tree[ref], self.at[ref] = entity, path
        for ref, entity in self.tree.items():
            for name in ("parent", "pool", "folder"):
                above = entity.get(name)
                if above is not None:
                    self._there(f"{self.at[ref]}.{name}", _field(entity, self.at[ref], name, REF))
        roots = [ref for ref, entity in self.tree.items() if entity.get("parent") is None and kind_of(ref) == "Folder"]
        if len(roots) != 1:
            found = f"has {len(roots)} folders without a parent"
            _refuse(f"{self.path}.tree", found, "write exactly one, the root folder")
        for ref in self.tree:
            self._check_above(ref)

    def _check_above(self, ref: str) -> None:
        seen = {ref}
        above = self.tree[ref].get("parent")
        while above is not None:
            if above in seen:
                _refuse(f"{self.at[ref]}.parent", f"leads back to {above}", "write what it is in")
            seen.add(above)
            above = self.tree[above].get("parent")

    def _check_list(self, inventory: Row, name: str, wanted: dict[str, str]) -> None:
        _field(inventory, f"{self.path}.inventory", name, LIST)
        seen: dict[str, str] = {}
        for path, row in self._rows(name):
            if not isinstance(row, dict):
                _refuse(path, "is no object", "write one as the others are")
            ref = _field(row, path, "ref", REF)
            if ref in seen and name == "hosts" and row.get("compute") != self._row_at(seen[ref]).get("compute"):
                clusters = f"{self._row_at(seen[ref]).get('compute')} and {row.get('compute')}"
                _refuse(path, f"puts {ref} into two clusters, {clusters}", f"leave it or {seen[ref]} out")
            if ref in seen:
                _refuse(f"{path}.ref", f"is {ref}, as is {seen[ref]}.ref", "leave one of the two")
            seen[ref] = path
            self._there(f"{path}.ref", ref)
            for field, kind in wanted.items():
                _field(row, path, field, kind)
            for field in ("connection_state", "power_state"):
                if field in row:
                    _choice(f"{path}.{field}", row[field], field)
            for part, fields in _PARTS.items():
                for number, item in enumerate(row[part] if wanted.get(part) == LIST else ()):
                    inner = f"{path}.{part}[{number}]"
                    if not isinstance(item, dict):
                        _refuse(inner, "is no object", "write one as the others are")
                    for field, kind in fields.items():
                        _field(item, inner, field, kind)

    def _row_at(self, path: str) -> Row:
        name, _, number = path.removeprefix(f"{self.path}.inventory.").rstrip("]").partition("[")
        row: Row = self.site["inventory"][name][int(number)]
        return row

    def _check_host(self, path: str, host: Row) -> None:
        compute = host["compute"]
        self._there(f"{path}.compute", compute, "ComputeResource", "ClusterComputeResource")
        parent = self.tree[host["ref"]].get("parent")
        if parent != compute:
            at = f"{self.at[host['ref']]}.parent"
            _refuse(f"{path}.compute", f"is {compute}, and {at} is {parent}", "write the same cluster in both")
        for name in ("datastores", "networks"):
            for number, ref in enumerate(host[name]):
                self._there(f"{path}.{name}[{number}]", ref)
        keys = {(net.get("switch_uuid"), net.get("portgroup_key")) for _, net in self._rows("networks")}
        for number, nic in enumerate(host["vmknics"]):
            inner = f"{path}.vmknics[{number}]"
            try:
                IPv4Address(nic["address"])
            except AddressValueError:
                _refuse(f"{inner}.address", f"is {nic['address']!r}", "write an IPv4 address")
            if not 0 <= nic["prefix_length"] <= 32:
                _refuse(f"{inner}.prefix_length", f"is {nic['prefix_length']}", "write a number from 0 to 32")
            port = (nic.get("switch_uuid"), nic.get("portgroup_key"))
            if port != (None, None) and port not in keys:
                _refuse(f"{inner}.portgroup_key", f"is {port[1]}, and no network has it", "write that of a network")

    def _check_vm(self, path: str, vm: Row) -> None:
        if vm["host"] is not None:
            hosts = {host["ref"] for _, host in self._rows("hosts")}
            if vm["host"] not in hosts:
                there = f"write one of {self.path}.inventory.hosts, or null"
                _refuse(f"{path}.host", f"is {vm['host']}, which is not there", there)
        for number, device in enumerate(vm["devices"]):
            if device["kind"] == "shared-bus":
                _choice(f"{path}.devices[{number}].backing", device["backing"], "sharing")
        for number, disk in enumerate(vm["disks"]):
            if disk["datastore"] is not None:
                self._there(f"{path}.disks[{number}].datastore", disk["datastore"], "Datastore")
        for name in ("hosts", "datastores", "networks"):
            if not self.site["inventory"][name]:
                _refuse(f"{self.path}.inventory.{name}", "is empty", "write at least one: VMs need it")
