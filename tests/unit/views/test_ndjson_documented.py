"""Events for programs: docs/ndjson.md names every event and field with its type, and each line has its time."""

from __future__ import annotations

import json
import re
import types
import typing
from dataclasses import fields
from enum import Enum
from pathlib import Path

import pytest

from lrvmotion import events
from lrvmotion.events import Event, Message, Move, RestoreEnded, RunEnded
from lrvmotion.findings import Finding
from lrvmotion.model.migration_state import MigrationState
from lrvmotion.views import errors as trouble
from lrvmotion.views.events import ndjson

PAGE = (Path(__file__).parents[3] / "docs" / "ndjson.md").read_text()
AT = "2026-11-23T22:00:00.104+00:00"
KINDS = {events._name(kind): kind for kind in Event.__subclasses__()}
WORDS = {str: "string", int: "integer", float: "number", bool: "boolean", Finding: "object"}


def documented() -> dict[str, dict[str, str]]:
    """Return the fields of each section of the page with their types."""
    found: dict[str, dict[str, str]] = {}
    for section in re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]:
        name, _, text = section.partition("\n")
        rows = re.findall(r"^\| (`.+?`) \| (\S+) \|", text, flags=re.MULTILINE)
        found[name.strip()] = {field: kind for names, kind in rows for field in re.findall(r"`(\w+)`", names)}
    return found


def word(kind: object) -> str:
    """Return a field's type as the page has it."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in {types.UnionType, typing.Union}:
        return word(next(one for one in arguments if one is not type(None))) + "?"
    if origin is typing.Literal or (isinstance(kind, type) and issubclass(kind, Enum)):
        return "string"
    return "strings" if origin is tuple else WORDS[kind]


def test_the_page_has_every_event_and_field_and_no_other():
    """Whoever adds an event or a field writes it down."""
    known = {
        name: {field.name: word(typing.get_type_hints(kind)[field.name]) for field in fields(kind)}
        for name, kind in KINDS.items()
    }
    errors = {"message": "string", "hint": "string?", "status": "integer"}
    assert documented() == {**known, "error": errors}


def test_the_page_has_every_state_of_a_move():
    """By its name in code."""
    text = PAGE.split("### move\n")[1].split("\n### ")[0]
    assert [state for state in MigrationState if f"`{state}`" not in text] == []


def test_the_page_names_the_version():
    """Minor versions only add."""
    assert f'"schema": "{ndjson.SCHEMA}"' in PAGE


def test_every_line_has_its_type_and_time_first(capsys):
    """The version, events and an error alike."""
    tell = ndjson.Ndjson(lambda: AT)
    tell(Message(text="a\nb"))
    tell(Move(vm="vm1", state="queued", source_host="a", target_host="b"))
    trouble.tell("ndjson", "it failed", None, 5, AT)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [list(line)[:2] for line in lines] == [["type", "at"]] * 4
    assert [(line["type"], line["at"]) for line in lines] == [
        (name, AT) for name in ("version", "message", "move", "error")
    ]
    assert lines[1]["text"] == "a\nb"


@pytest.mark.parametrize(
    "end",
    [
        RunEnded(run="abc234", outstanding=0, restore=None, left=(), resume=None),
        RestoreEnded(restored=0, outstanding=0, restore=None),
    ],
)
def test_nothing_comes_after_the_end(capsys, end):
    """A log that the disk does not take any more, say: that goes to stderr."""
    tell = ndjson.Ndjson(lambda: AT)
    tell(Message(text="before"))
    tell(end)
    tell(Message(text="run.log will lack the rest"))
    said = capsys.readouterr()
    assert [json.loads(line)["type"] for line in said.out.splitlines()] == [
        "version",
        "message",
        events._name(type(end)),
    ]
    assert said.err == "run.log will lack the rest\n"
