"""The JSON Schemas in docs/schemas are those of the types, and what is written has the fields that they name."""

from __future__ import annotations

import json
import typing
from dataclasses import fields

import pytest

import schemas
from lrvmotion import events
from lrvmotion.journal import records
from lrvmotion.model.setting import SettingKey, Value
from lrvmotion.model.target_id import ConnectionId, TargetId
from lrvmotion.model.vm.vm_metadata import MetadataItem, VmMetadata

FULL = {
    str: "x", int: 1, bool: True, Value: Value("long", 48), tuple[str, ...]: ("x",), dict: {"x": "y"},
    TargetId: TargetId("relay/x"), ConnectionId: ConnectionId("source"), SettingKey: SettingKey("option/x"),
    VmMetadata: VmMetadata(things=(MetadataItem(kind="note", name="note", data={"text": "x"}),), macs={4000: "x"}),
}  # fmt: skip


def filled(kind: type[records.Body]) -> records.Body:
    """Return a body with a value in every field that is not its default."""

    def of(hint):
        plain = next((one for one in typing.get_args(hint) if type(None) in typing.get_args(hint)), hint)
        return FULL[dict] if typing.get_origin(plain) not in {None, tuple} else FULL[plain]

    hints = typing.get_type_hints(kind)
    return kind(**{item.name: of(hints[item.name]) for item in fields(kind)})


@pytest.mark.parametrize("name", schemas.documents())
def test_the_schema_is_that_of_the_types(name):
    """Whoever changes a type rewrites it: make schemas."""
    assert json.loads((schemas.FOLDER / name).read_text()) == schemas.documents()[name], "run: make schemas"


def test_no_schema_is_left_of_a_type_that_is_gone():
    """Each file there is one of these."""
    assert {path.name for path in schemas.FOLDER.iterdir()} == set(schemas.documents())


@pytest.mark.parametrize("kind", records.KINDS.values(), ids=records.KINDS)
def test_every_record_has_the_fields_of_its_schema_and_comes_back(kind):
    """With every field given all are there; what is as its default is left out, and nothing else may be."""
    about = schemas.journal()["$defs"][kind.KIND]["properties"]["body"]
    full = filled(kind)
    assert set(full.to_json()) == set(about["properties"])
    assert records.body(kind.KIND, json.loads(json.dumps(full.to_json()))) == full
    bare = kind(
        **{item.name: getattr(full, item.name) for item in fields(kind) if item.name in about.get("required", ())}
    )
    assert set(bare.to_json()) == set(about.get("required", ()))
    assert records.body(kind.KIND, bare.to_json()) == bare


@pytest.mark.parametrize("event", [
    events.Message(text="x"), events.Move(vm="vm1", state="queued", source_host="a", target_host="b"),
    events.RunEnded(run="r", outstanding=0), events.Connected(site="source", address="a:443", version="8"),
])  # fmt: skip
def test_every_line_of_events_has_the_fields_of_its_schema(event):
    """All of them, and in the log of a run its seconds."""
    line = events.to_json(event)
    about = schemas.ndjson()["$defs"][line["type"]]
    assert {"at", *line} == set(about["required"])
    assert set(about["properties"]) == {*about["required"], "t"}
