"""An estate: all that a plan could need of both vCenters, as one document; inventory.schema.json has its form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

from lrvmotion.model.host_option import Bounds
from lrvmotion.model.inventory import Inventory, MoRef, SiteName, natural
from lrvmotion.model.surroundings import ClusterBindings

SCHEMA = 1
LEFT_OUT = {("Inventory", "vm_names"), ("Inventory", "site")}  # what all VMs in full, and the document's own keys, say


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """An object by its name and its place in the vCenter's tree.

    *name* is as people see it, without vCenter's escapes; *pool* the resource pool or vApp of a VM, *folder* the VM
    folder of a vApp, *uuid* that of a distributed switch. A VM in a vApp has no folder above it.
    """

    ref: MoRef
    name: str
    parent: MoRef | None = None
    pool: MoRef | None = None
    folder: MoRef | None = None
    uuid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HostOption:
    """An advanced option that a mode may set, as it is now on one host, and within what bounds."""

    value: int
    bounds: Bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """What a cluster does by itself: *drs* is its DRS level (None: off), *ha* whether it restarts VMs."""

    drs: str | None = None
    ha: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EstateSite:
    """One vCenter; what is by object is by its reference, "HostSystem:host-12". None: it could not be read.

    *hardware* are the virtual hardware versions that a host runs, *attributes* the names of custom attributes by key,
    *write_kib_s* what a VM writes to memory and disks, KiB a second.
    """

    inventory: Inventory
    tree: tuple[Entity, ...] = ()
    options: Mapping[str, Mapping[str, HostOption] | None] = field(default_factory=dict)
    hardware: Mapping[str, frozenset[str]] = field(default_factory=dict)
    clusters: Mapping[str, ClusterSettings] = field(default_factory=dict)
    bindings: Mapping[str, ClusterBindings] = field(default_factory=dict)
    key_providers: frozenset[str] | None = None
    attributes: Mapping[int, str] = field(default_factory=dict)
    write_kib_s: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estate:
    """Both vCenters; *anonymous*: names and addresses are replaced."""

    anonymous: bool = False
    source: EstateSite
    target: EstateSite

    def site(self, name: SiteName) -> EstateSite:
        """Return the site called *name*."""
        return self.source if name == "source" else self.target


def document(estate: Estate) -> dict[str, Any]:
    """Return *estate* as JSON: the same estate is the same text, in whatever order a vCenter told it."""
    return {"schema": SCHEMA, **_plain(in_order(estate))}


def text(estate: Estate) -> str:
    """Return *estate* as a file has it."""
    return json.dumps(document(estate), indent=1, ensure_ascii=False) + "\n"


def in_order(estate: Estate) -> Estate:
    """Return *estate* with all objects by their references."""
    found: Estate = _ordered(estate)
    return found


def _ordered(value: Any) -> Any:  # noqa: ANN401 - any field's value
    if is_dataclass(value) and not isinstance(value, type | MoRef):
        return replace(value, **{item.name: _ordered(getattr(value, item.name)) for item in fields(value)})
    if isinstance(value, tuple):
        found = [_ordered(item) for item in value]
        return tuple(sorted(found, key=lambda item: _order(item.ref)) if found and hasattr(found[0], "ref") else found)
    return value


def _order(ref: MoRef) -> tuple[Any, ...]:
    """Sort references as people do: host-2 before host-10."""
    return ref.kind, natural(ref.value), ref.value


def _plain(value: Any) -> Any:  # noqa: ANN401 - any field's value
    if isinstance(value, MoRef):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        kind = type(value).__name__
        told = [item.name for item in fields(value) if (kind, item.name) not in LEFT_OUT]
        return {name: _plain(getattr(value, name)) for name in told}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in sorted(value.items(), key=lambda pair: str(pair[0]))}
    if isinstance(value, frozenset):
        refs = value and isinstance(next(iter(value)), MoRef)
        return [_plain(item) for item in sorted(value, key=_order if refs else None)]
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value
