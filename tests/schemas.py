"""The JSON Schemas in docs/schemas, made of the types; `python -m schemas` writes them, a test compares them."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from lrvmotion import events
from lrvmotion.journal import records
from lrvmotion.model import estate
from lrvmotion.plan import plan_file
from lrvmotion.plan.plan import Migration

FOLDER = Path(__file__).parents[1] / "docs" / "schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
TEXT, TIME = {"type": "string"}, {"type": "string", "format": "date-time"}
KINDS = {name: kind for name, kind in events._KINDS.items() if kind is not events.Event}
SHA256 = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
Schema = dict[str, Any]


def documents() -> dict[str, Schema]:
    """Return every schema, by the name of its file."""
    return {
        "inventory.schema.json": inventory(),
        "journal.schema.json": journal(),
        "ndjson.schema.json": ndjson(),
        "plan-file.schema.json": plan(),
    }


def text(document: Schema) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def ndjson() -> Schema:
    """A line of --output ndjson, or of the events that are kept of a run (these have *t*)."""
    defs: Schema = {"version": _object({"type": {"const": "version"}, "at": TIME, "schema": {"const": events.SCHEMA}})}
    for name, kind in KINDS.items():
        made = _of(kind, defs)
        given = {field: {**item} for field, item in made["properties"].items()}
        for item in given.values():
            item.pop("default", None)  # every field is in every line
        defs[name] = _object({"type": {"const": name}, "at": TIME, **given}, description=made["description"])
        seconds = {"type": "number", "description": "Seconds since the run began in its process."}
        defs[name]["properties"]["t"] = seconds
    return _whole(f"A line of lrvmotion's events, schema {events.SCHEMA}", defs, ["version", *KINDS])


def journal() -> Schema:
    """A line of the journal."""
    defs: Schema = {}
    for name, kind in records.KINDS.items():
        said = _of(kind, defs)
        if kind.NAMES_SCHEMA:
            said["properties"] = {"schema": {"const": records.SCHEMA}, **said["properties"]}
            said["required"] = ["schema", *said.get("required", [])]
        if kind is records.RunPlan:
            said["properties"]["plan"] = {"$ref": "plan-file.schema.json"}
        about = said.pop("description")
        line = {"seq": {"type": "integer", "minimum": 1}, "at": TIME, "kind": {"const": name}, "run": TEXT}
        defs[name] = {
            **_object({**line, "body": said, "hash": SHA256}, description=about),
            "additionalProperties": False,
        }
    return _whole(f"A line of lrvmotion's journal, schema {records.SCHEMA}", defs, list(records.KINDS))


def plan() -> Schema:
    """A plan file: its migrations are those of the plan, with places by reference and name."""
    defs: Schema = {}
    content = _of(plan_file._Content, defs)
    move, migration = defs["_Move"], _of(Migration, {})
    move["properties"] = {**migration["properties"], "placement": move["properties"]["placement"]}
    move["required"] = migration["required"]
    move.pop("additionalProperties")
    defs["Plan"]["properties"]["migrations"] = {"const": [], "description": "They are beside the plan."}
    head, tail = {"schema": {"const": plan_file.SCHEMA}}, {"sha256": SHA256}
    document = _object({**head, **content["properties"], **tail}, description="What `lrvmotion plan -o FILE` writes.")
    document["additionalProperties"] = False
    title = f"A plan file of lrvmotion, schema {plan_file.SCHEMA}"
    whole = {"$schema": DIALECT, "title": title, **document, "$defs": _reached(document, defs)}
    return json.loads(
        re.sub(r'"(#/\$defs/)?_(?=[A-Z])', r'"\1', json.dumps(whole))
    )  # names of the module's own classes


def inventory() -> Schema:
    """What `lrvmotion inventory` writes: references are texts, and all VMs are there in full."""
    defs: Schema = {}
    content = _of(estate.Estate, defs)
    for kind, name in estate.LEFT_OUT:
        made = defs[kind]
        made["properties"].pop(name)
        made["required"] = [item for item in made["required"] if item != name]
    about = {"description": 'A reference: the type of a managed object and its moId, "HostSystem:host-12".'}
    defs["MoRef"] = {"type": "string", "pattern": "^[A-Za-z]+:", **about}
    for name, item in defs.items():
        if name != "MoRef":  # every field is in every document
            item["required"] = list(item["properties"])
            for each in item["properties"].values():
                each.pop("default", None)
    head = {"schema": {"const": estate.SCHEMA}}
    document = _object({**head, **content["properties"]}, description="What `lrvmotion inventory` writes.")
    document["properties"]["anonymous"].pop("default", None)
    title = f"An inventory of both vCenters by lrvmotion, schema {estate.SCHEMA}"
    return {"$schema": DIALECT, "title": title, **document, "$defs": _reached(document, defs)}


def _whole(title: str, defs: Schema, names: list[str]) -> Schema:
    choice = [{"$ref": f"#/$defs/{name}"} for name in names]
    return {"$schema": DIALECT, "title": title, "oneOf": choice, "$defs": _reached(choice, defs)}


def _object(properties: Schema, **more: str) -> Schema:
    """Return the schema of an object with all of *properties*."""
    return {"type": "object", **more, "properties": properties, "required": list(properties)}


def _of(kind: type, defs: Schema) -> Schema:
    """Return the schema of *kind*; what it refers to goes into *defs*."""
    made = _plain(TypeAdapter(kind).json_schema(mode="serialization"))
    defs.update(made.pop("$defs", {}))
    return {"description": inspect.getdoc(kind), **made}


def _plain(schema: Any) -> Any:
    """Return *schema* without the titles that only repeat a name."""
    if isinstance(schema, dict):
        return {name: _plain(item) for name, item in schema.items() if not (name == "title" and isinstance(item, str))}
    return [_plain(item) for item in schema] if isinstance(schema, list) else schema


def _reached(start: Any, defs: Schema) -> Schema:
    """Return those of *defs* that *start* refers to, and that these refer to."""
    found: set[str] = set()
    pending = _names(start)
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending |= _names(defs[name])
    return {name: item for name, item in sorted(defs.items()) if name in found}


def _names(schema: Any) -> set[str]:
    """Return the definitions that *schema* refers to itself."""
    if isinstance(schema, dict):
        own = {schema["$ref"].removeprefix("#/$defs/")} if str(schema.get("$ref", "")).startswith("#/$defs/") else set()
        return own.union(*map(_names, schema.values()))
    return set().union(*map(_names, schema)) if isinstance(schema, list) else set()


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, document in documents().items():
        (FOLDER / name).write_text(text(document))
