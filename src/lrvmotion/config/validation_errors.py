"""What is wrong in a configuration, in words: the line, the key, the value, and what was probably meant."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from lrvmotion.model.inventory import did_you_mean

Location = tuple[int | str, ...]

RENAMED = {  # keys that had another name before 0.1.0, without the numbers of lists
    "after": "depends_on",
    "wave.after": "depends_on",
    "relay.circuit": "circuit_rate",
    "limits.at_once": "max_concurrent",
    "limits.tries": "max_attempts",
    "limits.tools_s": "guest_wait_s",
}
_SECRET = re.compile("password|secret|token|webhook", re.IGNORECASE)  # never repeated, whatever was written there
_MOST = 60  # characters of a value
_LONGEST = 2000  # lines of one value
_WORDS = {
    "string": "is not text: put it in quotes",
    "path": "is not text: put it in quotes",
    "int": "is not a whole number",
    "float": "is not a number",
    "finite": "is not a finite number",
    "bool": "is neither true nor false",
    "tuple": "is not a list: put it in brackets",
    "dict": "is not a table",
    "model": "is not a table",
}


def lines(error: ValidationError, model: type[BaseModel], text: str) -> list[str]:
    """Return a sentence for each mistake that *error* holds, by its line in the TOML *text* ("": not known).

    *model* is what was validated; the keys that it knows are proposed in place of an unknown one.
    """
    where = _places(text)
    found = []
    for item in error.errors(include_url=False):
        location = item["loc"]
        number = next((where[location[:n]] for n in range(len(location), 0, -1) if location[:n] in where), None)
        said = f"{key(location)}: {_reason(item, model)}"
        found.append((number or 0, f"line {number}: {said}" if number else said))
    return [said for _, said in sorted(found, key=lambda one: one[0])]


def key(location: Location) -> str:
    """Return *location* as people write it: relay.source[0].name."""
    words = ""
    for part in location:
        words += f"[{part}]" if isinstance(part, int) else (f".{part}" if words else str(part))
    return words or "(top level)"


def _reason(item: Any, model: type[BaseModel]) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    kind, context, location = item["type"], item.get("ctx", {}), item["loc"]
    value = "the value" if any(_SECRET.search(str(part)) for part in location) else _shown(item["input"])
    match kind:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            if (name := RENAMED.get(".".join(part for part in location if isinstance(part, str)))) is not None:
                return f"is now called {name}"
            return f"unknown key; {did_you_mean(str(location[-1]), _fields(model, location[:-1]))}"
        case "value_error":
            return str(context["error"])
        case "literal_error":
            known = re.findall(r"'([^']*)'", context["expected"])
            return f"{value} is not known; {did_you_mean(str(item['input'])[:_MOST], known)}"
        case "greater_than" | "greater_than_equal":
            least = f"must be above {context['gt']:g}" if "gt" in context else f"must be at least {context['ge']:g}"
            return f"{value} is too small: it {least}"
        case "less_than" | "less_than_equal":
            most = f"must be below {context['lt']:g}" if "lt" in context else f"must be at most {context['le']:g}"
            return f"{value} is too large: it {most}"
        case "too_short":
            return "is empty: name at least one"
        case "string_pattern_mismatch":
            return f"{value} is not a name: letters, digits, dots, hyphens and underscores, a letter or digit first"
        case _:
            return f"{value} {_WORDS.get(kind.partition('_')[0], 'cannot be used here')}"


def _shown(value: object) -> str:
    """Return *value* on one line, without control characters."""
    if isinstance(value, Mapping):
        return "a table"
    text = repr(value) if not isinstance(value, bool) else str(value).lower()
    return text if len(text) <= _MOST else f"{text[: _MOST - 1]}…"


def _fields(model: type[BaseModel], location: Location) -> list[str]:
    """Return the keys that *model* knows at *location*."""
    at: type[BaseModel] | None = model
    named = False  # the next part is a name that the user gave, as in vmotion.hosts."esx-1"
    for part in location:
        if isinstance(part, int) or at is None:
            continue
        if named:
            named = False
            continue
        field = at.model_fields.get(part)
        kinds = list(_kinds(field.annotation)) if field is not None else []
        named = dict in kinds
        at = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
    return list(at.model_fields) if at is not None else []


def _kinds(annotation: Any) -> Iterator[Any]:  # noqa: ANN401 - any annotation
    yield get_origin(annotation) or annotation
    for inner in get_args(annotation):
        yield from _kinds(inner)


def _places(text: str) -> dict[Location, int]:
    """Return the line at which each key of the valid TOML *text* stands, from 1."""
    found: dict[Location, int] = {}
    counts: dict[Location, int] = {}  # of the arrays of tables, the last index of each
    table: Location = ()
    for number, content, header in _statements(text):
        path: Location = ()
        if header:
            table = path = _table(content, counts, several=header == 2)
            found.setdefault(path, number)
            continue
        for inner in _paths(content):
            for depth in range(1, len(inner) + 1):
                found.setdefault((*table, *inner[:depth]), number)
    return found


def _statements(text: str) -> Iterator[tuple[int, dict[str, Any], int]]:
    """Yield the line, the content and the brackets (0, 1 or 2: a table's name) of each statement of *text*."""
    rows = text.split("\n")
    at = 0
    while at < len(rows):
        for end in range(at + 1, min(at + _LONGEST, len(rows)) + 1):
            try:
                content = tomllib.loads("\n".join(rows[at:end]))
            except (ValueError, RecursionError):
                continue
            if content:
                start = rows[at].lstrip()
                yield at + 1, content, 2 if start.startswith("[[") else int(start.startswith("["))
            break
        else:
            return
        at = end


def _table(content: dict[str, Any], counts: dict[Location, int], *, several: bool) -> Location:
    """Return the location of the table whose name alone is in *content*."""
    path: Location = ()
    inner: Any = content
    while inner:
        inner = inner[0] if isinstance(inner, list) else inner
        (name,) = inner or (None,)
        if name is None:
            break
        path = (*path, name)
        inner = inner[name]
        last = not inner or inner == [{}]
        if last and several:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path


def _paths(content: Any) -> Iterator[Location]:  # noqa: ANN401 - whatever TOML has
    if isinstance(content, dict):
        for name, inner in content.items():
            yield (name,)
            yield from ((name, *rest) for rest in _paths(inner))
    elif isinstance(content, list):
        for number, inner in enumerate(content):
            yield (number,)
            yield from ((number, *rest) for rest in _paths(inner))
