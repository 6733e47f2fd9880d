"""The vApps that VMs are in, and the folders of these: a VM in a vApp has no folder of its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pyVmomi import vim

from lrvmotion.model.inventory import MoRef
from lrvmotion.vsphere.client import Row, moref, moref_or_none, name_of, retrieve
from lrvmotion.vsphere.session import Session

# parentFolder: "Only set for a root vApp" (API reference, VirtualApp); one in another is below that in its pools.
_PATHS = ("name", "parent", "parentFolder")


@dataclass(frozen=True, slots=True, kw_only=True)
class VApp:
    """A vApp by the names of those around it and its own, "OUTER/INNER"; *folder* is the outermost's, where told."""

    path: str
    folder: vim.Folder | None


def read(session: Session, apps: Iterable[vim.VirtualApp]) -> dict[MoRef, VApp]:
    """Return each of *apps*; one call for all of them, and one for each that lies around others."""
    rows: dict[MoRef, Row] = {}
    wanted = {moref(app): app for app in apps}
    while wanted:
        found = _ask(session, list(wanted.values()))
        rows |= {moref(item): (item, row) for item, row in found}
        around = [row["parent"] for _, row in found if isinstance(row.get("parent"), vim.VirtualApp)]
        wanted = {moref(app): app for app in around if moref(app) not in rows}
    return {ref: _vapp(ref, rows) for ref in rows}


def _ask(session: Session, apps: list[vim.VirtualApp]) -> list[Row]:
    kinds = {vim.VirtualApp: _PATHS}
    return session.call(f"{session.site}: vApps", lambda: retrieve(session.content, kinds, apps))


def _vapp(ref: MoRef, rows: dict[MoRef, Row]) -> VApp:
    names: list[str] = []
    folder = None
    at: MoRef | None = ref
    while at is not None and at in rows:
        row = rows[at][1]
        names.insert(0, name_of(row))
        folder = row.get("parentFolder") or folder
        at = moref_or_none(row.get("parent"))
    return VApp(path="/".join(names), folder=folder)
