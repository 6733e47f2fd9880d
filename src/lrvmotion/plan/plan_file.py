"""A Plan as a file: versioned JSON with a SHA-256 over its content, and back; docs/plan-file.md has the schema."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from lrvmotion import files
from lrvmotion.config import validation_errors
from lrvmotion.config.vm_csv import VmOverride
from lrvmotion.errors import UsageError
from lrvmotion.model.inventory import MOREF, Datastore, Folder, Host, Inventory, MoRef, Network, Pool
from lrvmotion.model.placement import DiskMapping, NicMapping, Placement
from lrvmotion.plan.plan import Migration, Plan
from lrvmotion.plan.staleness import Subjects

SCHEMA = 2
OLD_KEYS = {  # of schema 1's plan, and what each is called now
    "mark": "owner_id",
    "proofs": "proof_paths",
    "fresh": "new_vmknics",
    "through": "relay_by_host",
    "ways": "data_paths",
    "after": "depends_on",
}
_AGAIN = "make it again: lrvmotion plan … -o FILE"
_MIGRATION = TypeAdapter(Migration)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Object(_Section):
    """An object of the target vCenter; *name* is its path where it is a pool or a folder."""

    ref: MoRef
    name: str


class _Card(_Section):
    key: int
    label: str
    source: str
    network: _Object


class _Disk(_Section):
    key: int
    label: str
    source: str
    datastore: _Object


class _Place(_Section):
    """*datastore* is that of the VM's home, and of disks that *disks* does not name."""

    host: _Object
    pool: _Object
    folder: _Object
    datastore: _Object
    nics: tuple[_Card, ...]
    disks: tuple[_Disk, ...] = ()


class _Move(_Section):
    """A migration with its placement by references; its other fields are those of plan.Migration."""

    model_config = ConfigDict(extra="allow", frozen=True)

    vm: str
    ref: MoRef
    instance_uuid: str = ""
    source_host: str
    placement: _Place
    wave: int = 1
    depends_on: tuple[str, ...] = ()
    source_datastores: tuple[str, ...] = ()
    source_folder: str = ""
    source_home: str = ""
    source_cluster: str = ""


class _Asked(_Section):
    """What the user asked for beside the VMs and the mode."""

    reboot_hosts: bool


class _Content(_Section):
    """The whole file, but for its SHA-256 and its schema's number."""

    written: str
    lrvmotion: str
    asked: _Asked
    plan: Plan
    migrations: tuple[_Move, ...]
    fingerprint: dict[str, str]


@dataclass(frozen=True, slots=True)
class Saved:
    """A plan that was read back. *content.plan* has no migrations: these name objects that *complete* looks up."""

    content: _Content

    @property
    def plan(self) -> Plan:
        """The plan without its migrations."""
        return self.content.plan

    @property
    def reboot_hosts(self) -> bool:
        """Whether settings that need a reboot were asked for."""
        return self.content.asked.reboot_hosts

    @property
    def fingerprint(self) -> Mapping[str, str]:
        """The facts that the plan rests on (basis.facts)."""
        return self.content.fingerprint

    @property
    def refs(self) -> list[MoRef]:
        """The VMs, in the order of the queue."""
        return [move.ref for move in self.content.migrations]

    @property
    def vms(self) -> list[str]:
        """What the plan calls them: their names when it was made, with what tells VMs of one name apart."""
        return [move.vm for move in self.content.migrations]

    @property
    def called(self) -> dict[MoRef, str]:
        """What the plan calls each of them, by reference."""
        return {move.ref: move.vm for move in self.content.migrations}

    def subjects(self) -> Subjects:
        """Return what the plan is about, without looking anything up."""
        bare = Subjects.of(self.plan)
        places = [move.placement for move in self.content.migrations]
        things = {(noun, item.name, item.ref) for place in places for noun, item in _objects(place)}
        return replace(
            bare,
            vms=tuple((move.vm, move.ref) for move in self.content.migrations),
            sources=tuple(sorted({*bare.sources, *(move.source_host for move in self.content.migrations)})),
            targets=tuple(sorted({*bare.targets, *(place.host.name for place in places)})),
            things=tuple(sorted(things)),
        )

    def overrides(self) -> dict[str, VmOverride]:
        """Return the saved places as overrides, so that planning again puts every VM where the plan does."""
        return {
            move.vm: VmOverride(
                vm=move.vm,
                target_host=move.placement.host.name,
                names={_typed(item): item.name for _, item in _objects(move.placement)},
                pool=_typed(move.placement.pool),
                folder=_typed(move.placement.folder),
                datastore=_typed(move.placement.datastore),
                networks=tuple((card.label, _typed(card.network)) for card in move.placement.nics),
                disks=tuple((disk.label, _typed(disk.datastore)) for disk in move.placement.disks),
                wave=move.wave,
                depends_on=move.depends_on,
            )
            for move in self.content.migrations
        }

    def complete(self, target: Inventory, *, under_way: bool = False) -> Plan:
        """Return the plan with its migrations, their places looked up in *target*; UsageError where one is not there.

        `basis.differences` is asked first: it names what is gone. *under_way*: the moves have begun, and are followed
        also where a place of theirs is gone by now: it is taken by its name and reference in the plan.
        """
        objects: dict[MoRef, Any] = {
            item.ref: item
            for items in (target.hosts, target.pools, target.folders, target.datastores, target.networks)
            for item in items
        }
        if under_way:
            for move in self.content.migrations:
                objects = {item.ref: _gone(noun, item) for noun, item in _objects(move.placement)} | objects
        found: list[Migration] = []
        for move in self.content.migrations:
            at = move.placement
            try:
                place = Placement(
                    host=objects[at.host.ref],
                    pool=objects[at.pool.ref],
                    folder=objects[at.folder.ref],
                    datastore=objects[at.datastore.ref],
                    nics=tuple(
                        NicMapping(
                            key=card.key, label=card.label, source=card.source, network=objects[card.network.ref]
                        )
                        for card in at.nics
                    ),
                    disks=tuple(
                        DiskMapping(
                            key=disk.key, label=disk.label, source=disk.source, datastore=objects[disk.datastore.ref]
                        )
                        for disk in at.disks
                    ),
                )
                rest = {**move.model_dump(), "placement": place}
                found.append(_MIGRATION.validate_python(rest))
            except (KeyError, ValidationError) as error:
                message = f"the saved plan's migration of {move.vm} does not fit: {_brief(error)}"
                raise UsageError(message, hint=_AGAIN) from None
        return replace(self.plan, migrations=tuple(found))


def text(plan: Plan, fingerprint: Mapping[str, str], *, reboot_hosts: bool, written: str, version: str) -> str:
    """Return the file of *plan*, without secrets; *written* is the time (ISO 8601, UTC), *version* this program's."""
    content = _Content(
        written=written,
        lrvmotion=version,
        asked=_Asked(reboot_hosts=reboot_hosts),
        plan=replace(plan, migrations=()),
        migrations=tuple(_Move.model_validate(_move(migration)) for migration in plan.migrations),
        fingerprint=dict(fingerprint),
    )
    document = {"schema": SCHEMA, **content.model_dump(mode="json")}
    return json.dumps({**document, "sha256": _digest(document)}, indent=1, ensure_ascii=False) + "\n"


def parse(given: str, where: str) -> Saved:
    """Read what *text* wrote; UsageError for anything else: no plan, truncated, edited, from a newer version."""
    try:
        document = json.loads(given)
    except (ValueError, RecursionError) as error:
        told = (
            f"line {error.lineno}: {error.msg}"
            if isinstance(error, json.JSONDecodeError)
            else "it is nested too deeply"
        )
        message = f"{where}: not a whole plan file: {told}"
        raise UsageError(message, hint=_AGAIN) from None
    if not isinstance(document, dict) or type(document.get("schema")) is not int or "sha256" not in document:
        message = f"{where}: not a plan file"
        raise UsageError(message, hint=_AGAIN)
    if document["schema"] > SCHEMA:
        message = f"{where}: written by a newer lrvmotion (schema {document['schema']}, this one reads {SCHEMA})"
        raise UsageError(message, hint="use that version, or plan again with this one")
    if document["schema"] < SCHEMA:
        old = ", ".join(f"{was} is now called {now}" for was, now in OLD_KEYS.items())
        message = (
            f"{where}: written by an older lrvmotion (schema {document['schema']}, this one reads {SCHEMA}): {old}"
        )
        raise UsageError(message, hint=_AGAIN)
    if document.pop("sha256") != _digest(document):
        message = f"{where}: the plan was changed after it was written: its SHA-256 does not fit"
        raise UsageError(message, hint=f"a plan is not edited; {_AGAIN}")
    del document["schema"]
    try:
        return Saved(_Content.model_validate(document))
    except ValidationError as error:
        message = f"{where}: not a plan of this version of lrvmotion: {_brief(error)}"
        raise UsageError(message, hint=_AGAIN) from None


def load(path: Path) -> Saved:
    """Read the plan file at *path*; UsageError where it cannot be read or is no plan."""
    try:
        return parse(files.decoded(path.read_bytes(), str(path), _AGAIN), str(path))
    except OSError as error:
        message = f"{path}: the plan cannot be read: {error.strerror or error}"
        raise UsageError(message, hint=_AGAIN) from None


def _objects(place: _Place) -> list[tuple[str, _Object]]:
    named = [("host", place.host), ("resource pool", place.pool), ("VM folder", place.folder)]
    stores = dict.fromkeys((place.datastore, *(disk.datastore for disk in place.disks)))
    return [
        *named,
        *(("datastore", store) for store in stores),
        *(("network", card.network) for card in place.nics),
    ]


def _gone(noun: str, item: _Object) -> Host | Pool | Folder | Datastore | Network:
    """Return the object as far as the plan knows it, which the target does not have any more."""
    match noun:
        case "host":
            return Host(
                ref=item.ref, name=item.name, connection_state="disconnected", in_maintenance=False,
                version="", build="", cluster="", pool=MoRef("ResourcePool", ""),
            )  # fmt: skip
        case "resource pool":
            return Pool(ref=item.ref, path=item.name, cluster="")
        case "VM folder":
            return Folder(ref=item.ref, path=item.name, datacenter="")
        case "datastore":
            return Datastore(ref=item.ref, name=item.name, capacity_bytes=0, free_bytes=0, accessible=False)
        case _:
            return Network(ref=item.ref, name=item.name, kind="standard")


def _typed(item: _Object) -> str:
    """Return how to say the object so that it means no other one, whatever has its name by now."""
    return f"{MOREF}{item.ref.value}"


def _move(migration: Migration) -> dict[str, Any]:
    place = migration.placement

    def named(ref: MoRef, name: str) -> dict[str, Any]:
        return {"ref": {"kind": ref.kind, "value": ref.value}, "name": name}

    placement = {
        "host": named(place.host.ref, place.host.name),
        "pool": named(place.pool.ref, place.pool.path),
        "folder": named(place.folder.ref, place.folder.path),
        "datastore": named(place.datastore.ref, place.datastore.name),
        "nics": [
            {"key": n.key, "label": n.label, "source": n.source, "network": named(n.network.ref, n.network.name)}
            for n in place.nics
        ],
        "disks": [
            {
                "key": d.key,
                "label": d.label,
                "source": d.source,
                "datastore": named(d.datastore.ref, d.datastore.name),
            }
            for d in place.disks
        ],
    }
    return {**_MIGRATION.dump_python(migration, mode="json", exclude={"placement"}), "placement": placement}


def _digest(document: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the canonical JSON of *document*: sorted keys, no spaces."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def _brief(error: KeyError | ValidationError) -> str:
    if isinstance(error, KeyError):
        return f"{error.args[0]} is not at the target"
    return validation_errors.lines(error, _Content, "")[0]
