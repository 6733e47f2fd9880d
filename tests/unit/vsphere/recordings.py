"""Answers that real vCenters and ESXi hosts gave, as objects of pyVmomi; they lie beside the project, never in it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pyVmomi import SoapAdapter, VmomiSupport, vim, vmodl

from lrvmotion.vsphere.client import moref
from lrvmotion.vsphere.inventory import collect

FOLDER = Path(
    os.environ.get("LRVMOTION_RECORDINGS", Path(__file__).parents[3].parent / "shared" / "reference" / "recordings")
)
needed = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no recordings in {FOLDER} (LRVMOTION_RECORDINGS)")

# Properties by the path that they were recorded under, and under that which is asked for.
_ALIASES = {
    "summary.uuid": "uuid", "config.key": "key",
    "summary.runtime.host": "runtime.host", "summary.runtime.powerState": "runtime.powerState",
    "summary.runtime.connectionState": "runtime.connectionState",
    "summary.runtime.inMaintenanceMode": "runtime.inMaintenanceMode",
    "summary.config.template": "config.template", "summary.config.uuid": "config.uuid",
    "summary.config.memorySizeMB": "config.hardware.memoryMB",
}  # fmt: skip


def answer(name: str, kind: Any) -> Any:
    """Return the answer in the file *name* as the type *kind*."""
    stub = SoapAdapter.SoapStubAdapter(host="recorded", version=VmomiSupport.newestVersions.GetName("vim"))
    return SoapAdapter.SoapResponseDeserializer(stub).Deserialize((FOLDER / name).read_bytes(), kind)


def rows(name: str) -> list[tuple[Any, dict[str, Any]]]:
    """Return the objects in the file *name* with their properties."""
    found = answer(name, vmodl.query.PropertyCollector.RetrieveResult)
    return [
        (item.obj, {_ALIASES.get(prop.name, prop.name): prop.val for prop in item.propSet}) for item in found.objects
    ]


def row(name: str, kind: type = object) -> dict[str, Any]:
    """Return the properties of the one object of the type *kind* in the file *name*."""
    (found,) = [properties for item, properties in rows(name) if isinstance(item, kind)]
    return found


def document(name: str) -> Any:
    """Return the JSON document *name*."""
    return json.loads((FOLDER / name).read_text())


def session(site: str = "target") -> Any:
    """Return as much of a session as reading an inventory needs."""
    about = SimpleNamespace(instanceUuid="", version="", build="", apiVersion="")
    return SimpleNamespace(
        site=site, about=about, names={}, cards={}, stub=None, content=None, call=lambda _, function: function()
    )


def inventory(name: str, monkeypatch: pytest.MonkeyPatch, site: str = "target") -> Any:
    """Return the inventory of the vCenter in the file *name*, with the full properties of its VMs.

    Which networks a host has was not recorded: it has those of its datacenter, and the port groups that name it.
    """
    found = rows(name)
    centers = {moref(item): _center(item, {moref(one): each for one, each in found}) for item, _ in found}
    for item, properties in found:
        if isinstance(item, vim.HostSystem):
            properties["network"] = [
                other
                for other, about in found
                if isinstance(other, vim.Network)
                and centers[moref(other)] == centers[moref(item)]
                and ("host" not in about or moref(item) in [moref(host) for host in about["host"]])
            ]
            properties.setdefault("config.virtualNicManagerInfo.netConfig", ())
    vms = [(item, about) for item, about in found if isinstance(item, vim.VirtualMachine)]
    names = [(about["name"], moref(item)) for item, about in vms]
    monkeypatch.setattr(
        collect, "_everything", lambda _: ([one for one in found if not isinstance(one[0], vim.VirtualMachine)], names)
    )
    monkeypatch.setattr(collect, "retrieve", lambda *_: vms)
    monkeypatch.setattr(collect, "managed_object", lambda _, ref: ref)
    asked = session(site)
    return collect.collect_vms(asked, collect.collect_names(asked), [ref for _, ref in names])


def _center(item: Any, tree: dict[Any, dict[str, Any]]) -> Any:
    """Return the datacenter above *item*."""
    ref = moref(item)
    while ref.kind != "Datacenter" and tree.get(ref, {}).get("parent") is not None:
        ref = moref(tree[ref]["parent"])
    return ref
