"""Look single VMs up: what they can be named by, and which have an instance UUID; a call or two, however many VMs."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Collection, Sequence
from functools import partial

from pyVmomi import vim

from lrvmotion.model.inventory import Inventory, MoRef
from lrvmotion.model.vm.vm_address import VmIdentity
from lrvmotion.vsphere.client import (
    container_view,
    filter_spec,
    in_view,
    managed_object,
    moref,
    name_of,
    required,
    retrieve,
)
from lrvmotion.vsphere.inventory import lean_parser
from lrvmotion.vsphere.inventory.lean_parser import NS
from lrvmotion.vsphere.session import Session

SINGLE = 16  # UUIDs that are asked for one by one; of more, one call reads all that there are
_PATHS = ("name", "parent", "config.instanceUuid")
_UUID = "config.instanceUuid"


class VmLookup:
    """Looks VMs up at the vCenter of *session*, whose *inventory* has its folders (vm_selection.Lookup)."""

    def __init__(self, session: Session, inventory: Inventory) -> None:
        self._session = session
        self._folders = {folder.ref: folder for folder in inventory.folders}

    def identities(self, refs: Sequence[MoRef]) -> list[VmIdentity]:
        """Return what each of the VMs *refs* can be named by; RefusedError where one is gone meanwhile."""
        session = self._session
        objects = [managed_object(session.stub, ref) for ref in refs]
        wanted = {vim.VirtualMachine: _PATHS}
        rows = session.call(f"{session.site}: VMs", lambda: retrieve(session.content, wanted, objects))
        found = []
        for item, row in rows:
            parent = row.get("parent")  # unset for a VM in a vApp, whose parentVApp is set instead (API reference)
            folder = self._folders.get(moref(parent)) if parent is not None else None
            found.append(
                VmIdentity(
                    ref=moref(item),
                    name=name_of(row),
                    instance_uuid=str(row.get(_UUID) or ""),
                    folder=folder.path if folder is not None else None,
                    datacenter=folder.datacenter if folder is not None else "",
                )
            )
        return found

    def by_instance_uuid(self, uuids: Collection[str]) -> dict[str, MoRef]:
        """Return the VMs that have one of *uuids* (lower case), by it."""
        if len(uuids) > SINGLE:
            return dict(self._read(_UUID, uuids))
        session = self._session
        index = required(session.content.searchIndex)
        found: dict[str, MoRef] = {}
        for uuid in uuids:
            vm = session.call(f"{session.site}: VM {uuid}", partial(index.FindByUuid, None, uuid, True, True))
            if vm is not None:
                found[uuid] = moref(vm)
        return found

    def by_bios_uuid(self, uuids: Collection[str]) -> dict[str, list[MoRef]]:
        """Return the VMs that have one of *uuids* (lower case) as their BIOS's, by it: copies may share one."""
        found: dict[str, list[MoRef]] = {}
        for uuid, ref in self._read("config.uuid", uuids):
            found.setdefault(uuid, []).append(ref)
        return found

    def _read(self, path: str, uuids: Collection[str]) -> list[tuple[str, MoRef]]:
        """Return the VMs that have one of *uuids* at *path*, of all that there are, in one call."""
        wanted = frozenset(uuids)
        found: list[tuple[str, MoRef]] = []
        session, kind = self._session, vim.VirtualMachine

        def take(element: ET.Element) -> None:
            uuid = element.findtext(f"{NS}propSet/{NS}val", "").lower()
            if uuid in wanted:
                found.append((uuid, lean_parser.subject(element)))

        def ask() -> None:
            found.clear()
            with container_view(session.content, [kind]) as view:
                spec = filter_spec([in_view(view)], {kind: (path,)})
                lean_parser.retrieve(session.stub, session.content, spec, "objects", take)

        session.call(f"{session.site}: UUIDs of VMs", ask)
        return found
