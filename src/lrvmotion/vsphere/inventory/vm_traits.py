"""The traits of all VMs that --select looks at: one call and the lean parser, however many VMs there are."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from typing import Any

from pyVmomi import vim

from lrvmotion.model.inventory import Inventory, MoRef
from lrvmotion.plan.vm_filter import Traits
from lrvmotion.vsphere.client import container_view, filter_spec, in_view, name_of
from lrvmotion.vsphere.inventory import lean_parser
from lrvmotion.vsphere.inventory.lean_parser import NS
from lrvmotion.vsphere.session import Session

_PATHS = (
    "name",
    "parent",
    "runtime.host",
    "runtime.powerState",
    "config.template",
    "config.managedBy",
    "datastore",
    "network",
)


_VALUES = "customValue"
_SIZES = ("summary.storage.committed", "summary.config.memorySizeMB")


def traits(
    session: Session, inventory: Inventory, attributes: Mapping[int, str] | None = None, *, sizes: bool = False
) -> list[tuple[MoRef, Traits]]:
    """Return the traits of every VM, names instead of references out of *inventory*.

    *attributes* are the custom attributes whose values are read, by their keys; none otherwise; nor *sizes*.
    """
    paths = (*_PATHS, *((_VALUES,) if attributes else ()), *(_SIZES if sizes else ()))
    rows: list[tuple[MoRef, dict[str, Any]]] = []
    kind = vim.VirtualMachine

    def ask() -> None:
        rows.clear()
        with container_view(session.content, [kind]) as view:
            spec = filter_spec([in_view(view)], {kind: paths})
            lean_parser.retrieve(session.stub, session.content, spec, "objects", lambda item: rows.append(_row(item)))

    session.call(f"{session.site}: VMs", ask)
    tables: dict[str, Mapping[MoRef, Any]] = {
        "host": {host.ref: host for host in inventory.hosts},
        "folder": {folder.ref: folder for folder in inventory.folders},
        "store": {store.ref: store.name for store in inventory.datastores},
        "network": {network.ref: network.name for network in inventory.networks},
    }
    return [(ref, _traits(row, tables, attributes or {})) for ref, row in rows]


def _row(element: ET.Element) -> tuple[MoRef, dict[str, Any]]:
    """Return what one <objects> element says: references for what refers, else text."""
    row: dict[str, Any] = {}
    for prop in element.findall(f"{NS}propSet"):
        value = prop.find(f"{NS}val")
        name = prop.findtext(f"{NS}name", "")
        if value is None:
            continue
        if name in {"datastore", "network"}:
            row[name] = [MoRef(item.get("type", ""), item.text or "") for item in value]
        elif name == _VALUES:
            row[name] = [(item.findtext(f"{NS}key", ""), item.findtext(f"{NS}value", "")) for item in value]
        elif name == "config.managedBy":
            row[name] = f"{value.findtext(f'{NS}extensionKey', '')}/{value.findtext(f'{NS}type', '')}"
        elif name in {"parent", "runtime.host"}:
            row[name] = MoRef(value.get("type", ""), value.text or "")
        else:
            row[name] = value.text or ""
    return lean_parser.subject(element), row


def _traits(row: Mapping[str, Any], tables: Mapping[str, Mapping[MoRef, Any]], attributes: Mapping[int, str]) -> Traits:
    host = tables["host"].get(row["runtime.host"]) if "runtime.host" in row else None
    folder = tables["folder"].get(row["parent"]) if "parent" in row else None
    return Traits(
        name=name_of(row),
        cluster=host.cluster if host is not None else "",
        host=host.name if host is not None else "",
        folder=folder.path if folder is not None else "",
        datacenter=folder.datacenter if folder is not None else "",
        datastores=tuple(_named(row.get("datastore", ()), tables["store"])),
        networks=tuple(_named(row.get("network", ()), tables["network"])),
        power=row.get("runtime.powerState", ""),
        template=row.get("config.template") == "true",
        managed_by=row.get("config.managedBy", ""),
        size_bytes=_number(row, _SIZES[0]),
        memory_bytes=None if (found := _number(row, _SIZES[1])) is None else found << 20,
        attributes={
            attributes[int(key)]: value
            for key, value in row.get(_VALUES, ())
            if key.isdecimal() and int(key) in attributes
        },
    )


def _number(row: Mapping[str, Any], path: str) -> int | None:
    """Return the number at *path*, None where it is not told."""
    text = row.get(path, "")
    return int(text) if text.isdecimal() else None


def _named(refs: list[MoRef], names: Mapping[MoRef, str]) -> Iterator[str]:
    return (names[ref] for ref in refs if ref in names)
