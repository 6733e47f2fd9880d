"""Read an estate and refuse one that is of a newer schema, cut off, of another form, or that contradicts itself.

The form is that of docs/schemas/inventory.schema.json; what the lab does not know of it is passed over.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import NoReturn
from uuid import UUID

from lrvmotion.lab.errors import LabError
from lrvmotion.lab.estate import form
from lrvmotion.lab.estate.form import Row, Wrong, kind_of, told

SCHEMA = 1
FILE = "estate.json"
SITES = ("source", "target")
WHOLE = "write it again: lrvmotion inventory -o FILE"
DEEPEST = 100  # levels of the tree: vSphere has far fewer

# The API's own words where it takes no other.
_CHOICES: dict[str, tuple[str, ...]] = {
    "connection_state": ("connected", "disconnected", "notResponding", "orphaned", "inaccessible", "invalid"),
    "power_state": ("poweredOn", "poweredOff", "suspended"),
    "drs": ("manual", "partiallyAutomated", "fullyAutomated"),
    "sharing": ("noSharing", "physicalSharing", "virtualSharing"),
    "rdm": ("virtual", "physical"),
}
_COMPUTE = ("ComputeResource", "ClusterComputeResource")
_POOLS = ("ResourcePool", "VirtualApp")
_NETWORKS = ("Network", "OpaqueNetwork", "DistributedVirtualPortgroup")
# What each object is in; a VM's folder is not told where the account may not see it.
_PARENTS: dict[str, tuple[str, ...]] = {
    "Datacenter": ("Folder",),
    "Folder": ("Folder", "Datacenter"),
    "ComputeResource": ("Folder",),
    "ClusterComputeResource": ("Folder",),
    "ResourcePool": (*_COMPUTE, *_POOLS),
    "VirtualApp": (*_COMPUTE, *_POOLS),
    "HostSystem": _COMPUTE,
    "Datastore": ("Folder", "StoragePod"),
    "StoragePod": ("Folder", "StoragePod"),
    "Network": ("Folder",),
    "OpaqueNetwork": ("Folder",),
    "DistributedVirtualPortgroup": ("Folder",),
    "VmwareDistributedVirtualSwitch": ("Folder",),
    "VirtualMachine": ("Folder", "VirtualApp"),
}
_ANYWHERE = ("Folder", "Datacenter")  # which need not be in a datacenter
_TOPS = ("vm", "host", "network", "datastore")  # the folders of a datacenter
# What the lists of the inventory hold.
_LISTS: dict[str, tuple[str, ...]] = {
    "hosts": ("HostSystem",),
    "datastores": ("Datastore",),
    "networks": _NETWORKS,
    "pools": _POOLS,
    "folders": ("Folder",),
    "vms": ("VirtualMachine",),
}


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
        said = f"it ends in line {error.lineno}" if ends else f"line {error.lineno}: {error.msg}"
        message = f"{where}: not a whole estate: {said}"
        raise EstateError(message, WHOLE) from None
    except RecursionError:
        message = f"{where}: not an estate: it is nested too deeply"
        raise EstateError(message, WHOLE) from None
    except ValueError:  # of more digits than Python reads
        message = f"{where}: not an estate: a number in it is too long"
        raise EstateError(message, WHOLE) from None
    if not isinstance(document, dict) or type(document.get("schema")) is not int or "source" not in document:
        message = f"{where}: not an estate: $.schema and $.source are missing"
        raise EstateError(message, WHOLE)
    if document["schema"] > SCHEMA:
        message = (
            f"{where}: $.schema is {told(document['schema'])}, this lrvmotion reads {SCHEMA}: a newer one wrote it"
        )
        raise EstateError(message, "use that version, or write the inventory again with this one")
    try:
        form.check(document, "$", form.record(dict.fromkeys(SITES, form.SITE)))
        for site in SITES:
            _Site(document[site], f"$.{site}").check()
    except Wrong as wrong:
        message = f"{where}: {wrong}"
        raise EstateError(message, WHOLE) from None
    return document


def _refuse(path: str, found: str, cure: str) -> NoReturn:
    raise Wrong(path, found, cure)


def _choice(path: str, value: str, kind: str) -> None:
    if value not in _CHOICES[kind]:
        _refuse(path, f"is {told(value)}", f"write {', '.join(_CHOICES[kind])}")


def _readable(path: str, value: str | None, read_as: Callable[[str], object], cure: str) -> None:
    """Raise Wrong where *value* is not what *read_as* reads."""
    if value is not None:
        try:
            read_as(value)
        except ValueError:
            _refuse(path, f"is {told(value)}", cure)


def _instant(value: str) -> None:
    if datetime.fromisoformat(value).tzinfo is None:
        raise ValueError


class _Site:
    """One vCenter of the document, whose form is right, while it is looked at."""

    def __init__(self, site: Row, path: str) -> None:
        self.site = site
        self.path = path
        self.at: dict[str, str] = {}  # where each object of the tree stands
        self.tree: dict[str, Row] = {}
        self.listed: dict[str, str] = {}  # where each object of the inventory's lists stands

    def check(self) -> None:
        """Raise Wrong for the first thing that cannot be."""
        inventory = self.site["inventory"]
        _readable(f"{self.path}.inventory.instance_uuid", inventory["instance_uuid"], UUID, "write a UUID")
        self._check_tree()
        for name in _LISTS:
            self._check_list(name)
        for path, host in self._rows("hosts"):
            self._check_host(path, host)
        for path, store in self._rows("datastores"):
            for number, ref in enumerate(store.get("barred", ())):
                self._built(f"{path}.barred[{number}]", ref, "HostSystem")
        for path, vm in self._rows("vms"):
            self._check_vm(path, vm)
        self._check_rest()

    def _rows(self, name: str) -> Iterator[tuple[str, Row]]:
        for number, row in enumerate(self.site["inventory"][name]):
            yield f"{self.path}.inventory.{name}[{number}]", row

    def _there(self, path: str, ref: str, *kinds: str) -> None:
        """Raise Wrong where nothing in the tree is *ref*, or it is of none of *kinds*."""
        if ref not in self.tree:
            _refuse(path, f"names {ref}, which is not there", f"write one of {self.path}.tree, or add it there")
        if kinds and kind_of(ref) not in kinds:
            _refuse(path, f"names {ref}", f"write a {' or '.join(kinds)}")

    def _built(self, path: str, ref: str, *kinds: str) -> None:
        """Raise Wrong where *ref* is not in a list of the inventory, too."""
        self._there(path, ref, *kinds)
        if ref not in self.listed:
            names = [name for name, listed in _LISTS.items() if kind_of(ref) in listed]
            cure = f"write one of {self.path}.inventory.{names[0]}, or add it there" if names else "take it out"
            _refuse(path, f"names {ref}, which has no properties", cure)

    def _check_tree(self) -> None:
        for number, entity in enumerate(self.site["tree"]):
            path, ref = f"{self.path}.tree[{number}]", entity["ref"]
            if kind_of(ref) not in _PARENTS:
                _refuse(f"{path}.ref", f"is a {kind_of(ref)}, which a lab does not build", "take it out")
            if ref in self.tree:
                _refuse(f"{path}.ref", f"is {ref}, as is {self.at[ref]}.ref", "leave one of the two")
            self.tree[ref], self.at[ref] = entity, path
        roots = [ref for ref, entity in self.tree.items() if entity.get("parent") is None and kind_of(ref) == "Folder"]
        if len(roots) != 1:
            found = f"has {len(roots)} folders without a parent"
            _refuse(f"{self.path}.tree", found, "write exactly one, the root folder")
        moids: dict[str, str] = {}
        for ref in self.tree:
            if (other := moids.setdefault(form.moid_of(ref), ref)) != ref:
                _refuse(f"{self.at[ref]}.ref", f"has the id of {self.at[other]}.ref", "write one that no other has")
            self._way(ref)
        for ref in self.tree:
            self._check_place(ref, root=roots[0])

    def _check_place(self, ref: str, *, root: str) -> None:
        """Raise Wrong where the object is in what it cannot be in."""
        entity, path, kind = self.tree[ref], self.at[ref], kind_of(ref)
        above = entity.get("parent")
        if above is not None:
            self._there(f"{path}.parent", above, *_PARENTS[kind])
        elif ref != root and kind != "VirtualMachine":
            _refuse(f"{path}.parent", "is null", f"write a {' or '.join(_PARENTS[kind])}")
        if kind == "Folder" and above is not None and kind_of(above) == "Datacenter" and entity["name"] not in _TOPS:
            _refuse(f"{path}.name", f"is {told(entity['name'])} right below a datacenter", f"write {', '.join(_TOPS)}")
        for name, kinds in (("pool", _POOLS), ("folder", ("Folder",))):
            if entity.get(name) is not None:
                self._there(f"{path}.{name}", entity[name], *kinds)
                self._in_datacenter(f"{path}.{name}", entity[name])
        if above is not None and kind not in _ANYWHERE:
            self._in_datacenter(f"{path}.parent", ref)

    def _way(self, ref: str) -> list[str]:
        """Return *ref* and what it is in, up to the top; Wrong where that is a circle, or has no end."""
        way = [ref]
        while (above := self.tree[way[-1]].get("parent")) is not None:
            self._there(f"{self.at[way[-1]]}.parent", above)
            if above in way:
                _refuse(f"{self.at[ref]}.parent", f"leads back to {above}", "write what it is in")
            if len(way) == DEEPEST:
                _refuse(f"{self.at[ref]}.parent", f"is more than {DEEPEST} levels below the top", "write a higher one")
            way.append(above)
        return way

    def _in_datacenter(self, path: str, ref: str) -> None:
        if not any(kind_of(one) == "Datacenter" for one in self._way(ref)):
            _refuse(path, "leads through no datacenter", "write what it is in")

    def _check_list(self, name: str) -> None:
        seen: dict[str, Row] = {}
        for path, row in self._rows(name):
            ref = row["ref"]
            if ref in seen and name == "hosts" and row["compute"] != seen[ref]["compute"]:
                clusters = f"{seen[ref]['compute']} and {row['compute']}"
                _refuse(path, f"puts {ref} into two clusters, {clusters}", f"leave it or {self.listed[ref]} out")
            if ref in seen:
                _refuse(f"{path}.ref", f"is {ref}, as is {self.listed[ref]}.ref", "leave one of the two")
            self._there(f"{path}.ref", ref, *_LISTS[name])
            seen[ref], self.listed[ref] = row, path
            for field in ("connection_state", "power_state"):
                if field in row and (row[field] or name == "hosts"):
                    _choice(f"{path}.{field}", row[field], field)

    def _check_host(self, path: str, host: Row) -> None:
        compute = host["compute"]
        self._there(f"{path}.compute", compute, *_COMPUTE)
        parent = self.tree[host["ref"]].get("parent")
        if parent != compute:
            at = f"{self.at[host['ref']]}.parent"
            _refuse(f"{path}.compute", f"is {compute}, and {at} is {parent}", "write the same cluster in both")
        for name, kinds in (("datastores", ("Datastore",)), ("networks", _NETWORKS)):
            for number, ref in enumerate(host[name]):
                self._there(f"{path}.{name}[{number}]", ref, *kinds)
        _readable(f"{path}.boot_time", host.get("boot_time") or None, _instant, "write a time with its zone, or null")
        for key, gateway in host["routes"].items():
            at = f"{path}.routes[{told(key)}]"
            _readable(at, key.partition("/")[2], IPv4Network, "write netstack/network, as defaultTcpipStack/10.0.0.0/8")
            _readable(at, gateway, IPv4Address, "write an IPv4 address")
        keys = {(net.get("switch_uuid"), net.get("portgroup_key")) for _, net in self._rows("networks")}
        for number, nic in enumerate(host["vmknics"]):
            inner = f"{path}.vmknics[{number}]"
            for name in ("address", "gateway"):
                _readable(f"{inner}.{name}", nic.get(name), IPv4Address, "write an IPv4 address")
            port = (nic.get("switch_uuid"), nic.get("portgroup_key"))
            if port != (None, None) and port not in keys:
                _refuse(
                    f"{inner}.portgroup_key", f"is {told(port[1])}, and no network has it", "write that of a network"
                )

    def _check_vm(self, path: str, vm: Row) -> None:
        for name in ("hosts", "datastores", "networks"):
            if not self.site["inventory"][name]:
                _refuse(f"{self.path}.inventory.{name}", "is empty", "write at least one: VMs need it")
        if vm["host"] is not None and (kind_of(vm["host"]) != "HostSystem" or vm["host"] not in self.listed):
            there = f"write one of {self.path}.inventory.hosts, or null"
            _refuse(f"{path}.host", f"is {vm['host']}, which is not there", there)
        if vm.get("home") is not None:
            self._there(f"{path}.home", vm["home"], "Datastore")
        for number, device in enumerate(vm["devices"]):
            if device["kind"] == "shared-bus":
                _choice(f"{path}.devices[{number}].backing", device["backing"], "sharing")
        for number, disk in enumerate(vm["disks"]):
            if disk["datastore"] is not None:
                self._there(f"{path}.disks[{number}].datastore", disk["datastore"], "Datastore")
            if disk.get("rdm") is not None:
                _choice(f"{path}.disks[{number}].rdm", disk["rdm"], "rdm")
        for number, nic in enumerate(vm["nics"]):
            if nic.get("network_ref") is not None:
                self._there(f"{path}.nics[{number}].network_ref", nic["network_ref"], *_NETWORKS)

    def _check_rest(self) -> None:
        """Check what is told by object."""
        for name, kind in (
            ("options", "HostSystem"),
            ("bindings", "VirtualMachine"),
            ("write_kib_s", "VirtualMachine"),
        ):
            for ref in self.site.get(name, {}):
                self._built(f"{self.path}.{name}", ref, kind)
        for ref, versions in self.site.get("hardware", {}).items():
            self._built(f"{self.path}.hardware", ref, "HostSystem")
            for version in versions:
                path = f"{self.path}.hardware[{told(ref)}]"
                _readable(path, version, lambda text: int(text.removeprefix("vmx-")), 'write versions such as "vmx-19"')
        for ref, cluster in self.site.get("clusters", {}).items():
            self._there(f"{self.path}.clusters", ref, "ClusterComputeResource")
            if cluster.get("drs") is not None:
                _choice(f"{self.path}.clusters[{json.dumps(ref)}].drs", cluster["drs"], "drs")
        for key in self.site.get("attributes", {}):
            _readable(f"{self.path}.attributes[{told(key)}]", key, int, "write the number of a custom attribute")
