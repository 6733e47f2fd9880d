"""The journal as text: one record a line, each chained to the one before it; what a death leaves, what was altered."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from lrvmotion.errors import UsageError
from lrvmotion.journal.records import SCHEMA, Body, Record, body

GENESIS = "0" * 64
_HASH = b'"hash": "'
_END = re.compile(_HASH + b"([0-9a-f]*)(.*)", re.DOTALL)  # how a line ends, as far as it was written
_REST = {b"": b'"}', b'"': b"}", b'"}': b""}  # a record is whole once its hash is: what may be missing after that
_LITERALS = ("true", "false", "null", "NaN", "Infinity", "-Infinity")
_FIELDS: dict[str, type] = {"seq": int, "at": str, "kind": str, "run": str, "body": dict, "hash": str}  # of a line


@dataclass(slots=True)
class Opened:
    """The journal's state after reading it: its records, and whether the file ends within a line."""

    records: list[Record] = field(default_factory=list)
    torn: bool = False


def chained(before: Record | None, *, at: str, run: str, body: Body) -> Record:
    """Return the record that follows *before*, None: the first."""
    seq, previous = (1, GENESIS) if before is None else (before.seq + 1, before.hash)
    written = body.to_json()
    covered = _digest(previous, {"seq": seq, "at": at, "kind": body.kind, "run": run, "body": written})
    return Record(seq=seq, at=at, run=run, body=body, written=written, hash=covered)


def line(record: Record) -> bytes:
    """Return the line of *record*: ASCII, with its newline."""
    whole = {
        "seq": record.seq, "at": record.at, "kind": record.kind, "run": record.run, "body": record.written,
        "hash": record.hash,
    }  # fmt: skip
    return json.dumps(whole).encode() + b"\n"


def parse(content: bytes, where: str, *, after: Record | None = None, number: int = 0) -> Opened:
    """Return the records of *content*: the journal *where*, or from its line *number* + 1 on what follows *after*.

    Each line is a whole record that follows from the one before, or exactly a beginning of the record that is due:
    what a death in the middle of a write leaves, once for each writer that died there. Nothing was written to a target
    before its record was whole, so nothing is lost with it. UsageError, with the line's number, for everything else.
    """
    opened = Opened(torn=bool(content) and not content.endswith(b"\n"))
    before = after
    for here, text in enumerate(content.removesuffix(b"\n").split(b"\n") if content else [], number + 1):
        due, previous = (1, GENESIS) if before is None else (before.seq + 1, before.hash)
        whole = _whole(text)
        if whole is None:
            if _torn(text, due):
                continue
            raise _altered(where, here, "is neither a record nor the beginning of one")
        _known(whole["body"], where, here)
        if whole["seq"] != due or not _follows(whole, previous):
            raise _altered(where, here, "does not follow from the lines before it")
        record = _record(whole)
        if record is None:
            raise _altered(where, here, f"is no {whole['kind']!r} record of this program")
        opened.records.append(record)
        before = record
    return opened


def _whole(text: bytes) -> dict[str, Any] | None:
    """Return the fields of the line *text*, None where it is no record. A record is whole once its hash is."""
    end = _END.search(text, max(text.rfind(_HASH), 0))
    if end is None or len(end[1]) != 64 or end[2] not in _REST:
        return None
    try:
        loaded = json.loads((text + _REST[end[2]]).decode("ascii"))
    except (ValueError, RecursionError):
        return None
    shaped = isinstance(loaded, dict) and {name: type(item) for name, item in loaded.items()} == _FIELDS
    return loaded if shaped else None


def _record(whole: Mapping[str, Any]) -> Record | None:
    """Return the record of a line, None where its readers would not find in it what they look for."""
    try:
        datetime.fromisoformat(whole["at"])
        said = body(whole["kind"], whole["body"])
    except (ValueError, KeyError, TypeError):
        return None
    return Record(
        seq=whole["seq"], at=whole["at"], run=whole["run"], body=said, written=whole["body"], hash=whole["hash"]
    )


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


def _known(written: Mapping[str, Any], where: str, number: int) -> None:
    """Raise UsageError where the body *written* is of a newer version."""
    schema = written.get("schema", SCHEMA)
    if type(schema) is not int:
        raise _altered(where, number, "names no schema of lrvmotion")
    if schema > SCHEMA:
        message = f"{where}: line {number} was written by a newer lrvmotion (schema {schema})"
        raise UsageError(message, hint="use that version, or a newer one")


def _follows(whole: Mapping[str, Any], previous: str) -> bool:
    try:
        return _digest(previous, whole) == str(whole["hash"])
    except RecursionError:
        return False


def _digest(previous: str, whole: Mapping[str, Any]) -> str:
    covered = [previous, *(whole[name] for name in ("seq", "at", "kind", "run", "body"))]
    return hashlib.sha256(json.dumps(covered, sort_keys=True).encode()).hexdigest()


def _altered(where: str, number: int, why: str) -> UsageError:
    message = f"{where}: line {number} {why}: the journal was altered"
    hint = "restore the file from a copy; or restore by hand what its lines name (target, key, prior)"
    return UsageError(message, hint=hint)
