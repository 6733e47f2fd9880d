"""The journal as text: one record a line, each chained to the one before it; what a death leaves, what was altered."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any

from lrvmotion.errors import UsageError
from lrvmotion.plan.plan import Value

SCHEMA = 1
GENESIS = "0" * 64
_HASH = b'"hash": "'
_END = re.compile(_HASH + b"([0-9a-f]*)(.*)", re.DOTALL)  # how a line ends, as far as it was written
_REST = {b"": b'"}', b'"': b"}", b'"}': b""}  # a record is whole once its hash is: what may be missing after that
_LITERALS = ("true", "false", "null", "NaN", "Infinity", "-Infinity")

# What the readers of each kind rely on. A kind that is not listed is told of, and nothing rests on it.
_SETTING: dict[str, type] = {"target": str, "key": str}
_SHAPES: dict[str, dict[str, type]] = {
    "run": {"mode": str, "vms": list},
    "plan": {"plan": dict},
    "connection": {"name": str, "host": str, "username": str},
    "intended": {**_SETTING, "prior": Value, "planned": Value},
    "applied": _SETTING,
    "reverted": {**_SETTING, "value": Value},
    "released": _SETTING,
    "move": {"vm": str, "source_host": str, "target_host": str},
    "task": {"vm": str, "task": str},
    "moved": {"vm": str, "state": str, "reason": str},
    "reboot": {"host": str, "phase": str},
}
_WHERE_THERE: dict[str, type] = {
    "accounts": dict, "back": bool, "baggage": dict, "mark": str, "reboot": bool, "reason": str, "try": int, "who": str,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One line of the journal. *body* is what the writer gave, *hash* chains it to the line before."""

    seq: int
    at: str
    kind: str
    run: str
    body: dict[str, Any]
    hash: str


@dataclass(slots=True)
class Opened:
    """The journal's state after reading it: its records, and whether the file ends within a line."""

    records: list[Record] = field(default_factory=list)
    torn: bool = False


def chained(before: Record | None, *, at: str, kind: str, run: str, body: Mapping[str, Any]) -> Record:
    """Return the record that follows *before*, None: the first."""
    seq, previous = (1, GENESIS) if before is None else (before.seq + 1, before.hash)
    bare = Record(seq=seq, at=at, kind=kind, run=run, body=dict(body), hash="")
    return replace(bare, hash=_digest(previous, bare))


def line(record: Record) -> bytes:
    """Return the line of *record*: ASCII, with its newline."""
    return json.dumps({item.name: getattr(record, item.name) for item in fields(Record)}).encode() + b"\n"


def parse(content: bytes, where: str, *, after: Record | None = None, number: int = 0) -> Opened:
    """Return the records of *content*: the journal *where*, or from its line *number* + 1 on what follows *after*.

    Each line is a whole record that follows from the one before, or exactly a beginning of the record that is due:
    what a death in the middle of a write leaves, once for each writer that died there. Nothing was written to a target
    before its record was whole, so nothing is lost with it. UsageError, with the line's number, for everything else.
    """
    opened = Opened(torn=bool(content) and not content.endswith(b"\n"))
    before = after
    for here, text in enumerate(content.removesuffix(b"\n").split(b"\n") if content else [], number + 1):
        due = 1 if before is None else before.seq + 1
        record = _record(text)
        if record is None:
            if _torn(text, due):
                continue
            raise _altered(where, here, "is neither a record nor the beginning of one")
        _known(record, where, here)
        if record.seq != due or not _follows(record, before):
            raise _altered(where, here, "does not follow from the lines before it")
        if not _sound(record):
            raise _altered(where, here, f"is no {record.kind!r} record of this program")
        opened.records.append(record)
        before = record
    return opened


def _record(text: bytes) -> Record | None:
    """Return the record of the line *text*, None where it has none. A record is whole once its hash is."""
    end = _END.search(text, max(text.rfind(_HASH), 0))
    if end is None or len(end[1]) != 64 or end[2] not in _REST:
        return None
    try:
        loaded = json.loads((text + _REST[end[2]]).decode("ascii"))
        record = Record(**loaded)
    except (ValueError, TypeError, RecursionError):
        return None
    typed = type(record.seq) is int and isinstance(record.body, dict)
    return record if typed and all(type(one) is str for one in (record.at, record.kind, record.run)) else None


def _torn(text: bytes, due: int) -> bool:
    """Return whether *text*, which is no record, is the beginning of the record number *due*, and not all of it."""
    head = b'{"seq": %d, "at": "' % due
    if len(text) <= len(head):
        return bool(text) and head.startswith(text)
    end = _END.search(text, max(text.rfind(_HASH), 0))
    if not text.startswith(head) or (end is not None and (len(end[1]) >= 64 or end[2])):
        return False
    try:
        return _broken_off(text.decode("ascii"))
    except UnicodeDecodeError:
        return False


def _broken_off(text: str) -> bool:
    """Return whether *text* is JSON up to its end, and only something after that is missing."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        rest = text[error.pos :]
        if error.msg.startswith("Unterminated string"):
            return True
        if error.msg.startswith("Invalid \\uXXXX"):
            return re.fullmatch(r"\\?u?[0-9a-f]{0,4}", rest) is not None
        if text[error.pos - 1 : error.pos].isdigit() and re.fullmatch(r"\.|[eE][+-]?", rest):
            return True
        return not rest or any(literal.startswith(rest) for literal in _LITERALS)
    except (ValueError, RecursionError):
        return False
    return False


def _known(record: Record, where: str, number: int) -> None:
    """Raise UsageError where *record* is of a newer version."""
    schema = record.body.get("schema", SCHEMA)
    if type(schema) is not int:
        raise _altered(where, number, "names no schema of lrvmotion")
    if schema > SCHEMA:
        message = f"{where}: line {number} was written by a newer lrvmotion (schema {schema})"
        raise UsageError(message, hint="use that version, or a newer one")


def _sound(record: Record) -> bool:
    """Return whether the readers of *record* find in it what they look for."""
    body = record.body
    wanted = {**{name: kind for name, kind in _WHERE_THERE.items() if name in body}, **_SHAPES.get(record.kind, {})}
    try:
        datetime.fromisoformat(record.at)
        for name, kind in wanted.items():
            if kind is Value:
                Value.from_json(body[name])
            elif type(body[name]) is not kind:
                return False
    except (ValueError, KeyError, TypeError):
        return False
    return all(isinstance(vm, str) for vm in body["vms"]) if record.kind == "run" else True


def _follows(record: Record, before: Record | None) -> bool:
    try:
        return _digest(GENESIS if before is None else before.hash, record) == record.hash
    except RecursionError:
        return False


def _digest(previous: str, record: Record) -> str:
    text = json.dumps([previous, record.seq, record.at, record.kind, record.run, record.body], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _altered(where: str, number: int, why: str) -> UsageError:
    message = f"{where}: line {number} {why}: the journal was altered"
    hint = "restore the file from a copy; or restore by hand what its lines name (target, key, prior)"
    return UsageError(message, hint=hint)
