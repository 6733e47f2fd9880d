"""What a relay host answers, held against the shape that it must have: anything else is one error, and no traceback."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lrvmotion.errors import UnreachableError, printable

_MOST = 2**63  # no count, rate or time of ours is larger
_SAMPLE = 60  # characters of an answer that a message repeats


class GarbledError(UnreachableError, ValueError):
    """An answer that is cut off, or is not what was asked for: nothing is known then, as without an answer."""


@contextmanager
def understood(what: str, text: str = "", *, hint: str | None = None) -> Iterator[None]:
    """Raise GarbledError for whatever is raised while an answer is read: *what* it is, and the beginning of *text*."""
    try:
        yield
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        StopIteration,
        TypeError,
        ValueError,
    ) as error:
        reason = error.message if isinstance(error, GarbledError) else f"it begins {text.strip()[:_SAMPLE]!r}"
        message = f"{what} cannot be understood: {reason}"
        raise GarbledError(message, hint=hint) from None


def read(text: str, shape: Any, what: str) -> Any:  # noqa: ANN401 - as the shape says
    """Return the JSON document *text*, without control characters; GarbledError where it has not this *shape*.

    A shape is a type (float takes whole numbers too, and neither takes a bool), None, a tuple of shapes of which one
    fits, a list with the shape of every item, or a mapping from keys to shapes: "key?" may be missing, "*" is any key.
    """
    with understood(what, text):
        found = json.loads(text)
        if (where := _wrong(found, shape, "")) is not None:
            message = f"{where.lstrip('.') or 'the document'} is missing or of another type"
            raise GarbledError(message)
        return _plain(found)


def check(value: Any, shape: Any, what: str) -> None:  # noqa: ANN401 - any JSON
    """Raise GarbledError where *value* has not this *shape*."""
    if (where := _wrong(value, shape, "")) is not None:
        message = f"{what}: {where.lstrip('.') or 'it'} is missing or of another type"
        raise GarbledError(message)


def _wrong(value: Any, shape: Any, at: str) -> str | None:  # noqa: ANN401 - any JSON
    """Return where *value* has another shape, None where it has this one."""
    if isinstance(shape, tuple):
        return None if any(_wrong(value, one, at) is None for one in shape) else at
    if isinstance(shape, list):
        if not isinstance(value, list):
            return at
        inner = ((item, shape[0], f"{at}[{number}]") for number, item in enumerate(value))
    elif isinstance(shape, Mapping):
        if not isinstance(value, dict):
            return at
        missing = [key for key in shape if key != "*" and not key.endswith("?") and key not in value]
        if missing:
            return f"{at}.{missing[0]}"
        named = {key.removesuffix("?"): one for key, one in shape.items()}
        inner = (
            (item, named.get(key, named.get("*")), f"{at}.{key}")
            for key, item in value.items()
            if key in named or "*" in named
        )
    elif shape is None:
        return None if value is None else at
    elif shape in (int, float):
        kinds = (int,) if shape is int else (int, float)
        return None if type(value) in kinds and abs(value) < _MOST else at
    else:
        return None if type(value) is shape else at
    return next((where for item, one, place in inner if (where := _wrong(item, one, place)) is not None), None)


def _plain(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {printable(key): _plain(item) for key, item in value.items()}
    return value
