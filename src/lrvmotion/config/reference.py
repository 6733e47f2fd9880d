"""Every key of the configuration: its default from the schema, and what it does from examples/full.toml."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from lrvmotion.config.schema import Config, example_file

_TABLE = re.compile(r"\[{1,2}([^\]]+)\]{1,2}")
_KEY = re.compile(r"""(?:# )?([a-z0-9_]+) = (?:"[^"]*"|\[.*?\]|[^\s#]+)\s*(?:# (.*))?""")
_COMMENT = re.compile(r"( *)# (.*)")
_OUTER = {"relay.time_zone": "time_zone", "window.time_zone": "time_zone"}  # defaults that are another key
_SAME = (("relay.target.", "relay.source."), ("target.", "source."))  # the target's keys are the source's


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyReference:
    """A key by its path without numbers and names of the user's ("relay.source.name"); *default* as TOML writes it.

    *default* is "none" where the key may be left out, and "" where it must be set.
    """

    key: str
    default: str
    meaning: str


def every_key() -> list[KeyReference]:
    """Return every key in the order of the schema; a table that takes names of the user's is one key."""
    said = comments(example_file().read_text(encoding="utf-8"))
    found = []
    for key, field in _fields(Config, ""):
        paths = [key, *(other + key.removeprefix(prefix) for prefix, other in _SAME if key.startswith(prefix))]
        meaning = next((said[path] for path in paths if said.get(path)), "")
        found.append(KeyReference(key=key, default=_OUTER.get(key) or _default(field), meaning=meaning))
    return found


def comments(text: str) -> dict[str, str]:
    """Return what the comments of the TOML *text* say of each key and table.

    A comment at a key goes on in the lines below that are indented; without one, what stands directly above counts.
    """
    found: dict[str, str] = {}
    table, last, previous = "", "", ""
    above: list[str] = []
    for line in text.splitlines():
        comment, key, header = _COMMENT.fullmatch(line), _KEY.fullmatch(line), _TABLE.fullmatch(line)
        if key is not None:
            name = f"{table}.{key[1]}" if table else key[1]
            last = "" if name in found else name
            found.setdefault(name, key[2] or " ".join(above))
        elif comment is not None and comment[1]:
            if last:
                found[last] += f" {comment[2]}"
        elif comment is not None:
            above = [*above, comment[2]] if previous == "comment" else [comment[2]]
        else:
            if header is not None:
                table = plain(header[1])
                found.setdefault(table, " ".join(above))
            above, last = [], ""
        previous = "comment" if comment is not None and key is None else ""
    return found


def plain(path: str) -> str:
    """Return a key's *path* without numbers and names of the user's: relay.source of relay.source[0]."""
    return re.sub(r"""\.?"[^"]*"|\[\d+\]""", "", path)


def _fields(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    """Yield every leaf below *model* by its path."""
    for name, field in model.model_fields.items():
        inner = _model(field.annotation)
        if inner is None:
            yield prefix + name, field
        else:
            yield from _fields(inner, f"{prefix}{name}.")


def _model(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 - any annotation
    """Return the model in *annotation*: a table, one that may be left out, or a list or mapping of tables."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _model(inner)) is not None), None)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return ""
    value = None if field.default_factory is not None else field.get_default()
    if value in (None, (), {}):
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else f"{value:g}"
