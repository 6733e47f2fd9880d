"""Who wrote what, when: the journal's records as the lines of an audit log; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lrvmotion.journal.journal import Record, connections
from lrvmotion.plan.plan import Value

NOT_RECORDED = "not recorded"
_BESIDE = {"schema", "baggage", "who", "accounts", "target", "vm", "host", "prior", "planned", "value", "key"}
_NO_WRITE = {"plan", "connection"}  # what a run rests on; it changes nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One record: *who* wrote with which *account*, *what* (the record's kind) to which *subject*.

    *prior* and *new* are None where the record has no value; *detail* is the rest of it.
    """

    seq: int
    at: str
    run: str
    who: str
    account: str
    what: str
    subject: str
    key: str = ""
    prior: str | None = None
    new: str | None = None
    detail: str = ""


def entries(records: Sequence[Record], caps: Sequence[Record] = (), run: str | None = None) -> list[Entry]:
    """Return what was written, the oldest first: all of it, or what *run* wrote and what others restored of that.

    *caps* are the records of journal.THROTTLE.
    """
    chosen = [record for record in records if record.kind not in _NO_WRITE]
    if run is not None:
        marks = {run} | {str(r.body["mark"]) for r in records if r.run == run and r.kind == "run" and "mark" in r.body}
        chosen, caps = _of(chosen, run), [record for record in caps if record.run in marks]
    began = {record.run: record for record in records if record.kind in {"run", "restore"}}
    known = {name: f"{body['username']} at {body['host']}" for name, body in connections(list(records)).items()}
    merged = sorted([*chosen, *caps], key=lambda record: record.at) if caps else chosen
    return [_entry(record, began.get(record.run, record), known) for record in merged]


def _of(records: Sequence[Record], run: str) -> list[Record]:
    """Return the records of *run*, and those by which others restored what it changed."""
    open_: set[tuple[str, str]] = set()
    putters: set[str] = set()
    found: list[Record] = []
    for record in records:
        where = (record.body.get("target", ""), record.body.get("key", ""))
        if record.run == run:
            found.append(record)
            if record.kind == "intended":
                open_.add(where)
        elif record.kind in {"reverted", "released"} and where in open_:
            found.append(record)
            putters.add(record.run)
        if record.kind in {"reverted", "released"}:
            open_.discard(where)
    begins = [record for record in records if record.run in putters and record.kind == "restore"]
    return sorted([*found, *begins], key=lambda record: record.seq)


def _entry(record: Record, began: Record, known: dict[str, str]) -> Entry:
    body = record.body
    who = str(body.get("who") or began.body.get("who") or NOT_RECORDED)
    subject = str(body.get("target") or body.get("host") or body.get("vm") or "")
    accounts = {**known, **began.body.get("accounts", {}), **body.get("accounts", {})}
    if subject.startswith("box/"):
        account = accounts.get(subject, NOT_RECORDED)
    elif subject:
        account = accounts.get("target" if subject.startswith("target/") else "source", NOT_RECORDED)
    else:
        account = "; ".join(f"{name}: {used}" for name, used in sorted(accounts.items())) or NOT_RECORDED
    value = body.get("planned", body.get("value"))
    detail = "; ".join(f"{name} {_said(item)}" for name, item in body.items() if name not in _BESIDE and item != "")
    return Entry(
        seq=record.seq, at=record.at, run=record.run, who=who, account=account, what=record.kind, subject=subject,
        key=str(body.get("key", "")), prior=_value(body, "prior", body.get("prior")),
        new=_value(body, "planned" if "planned" in body else "value", value), detail=detail,
    )  # fmt: skip


def _value(body: dict[str, Any], name: str, value: Any) -> str | None:  # noqa: ANN401 - any JSON
    if name not in body:
        return None
    if isinstance(value, dict) and "type" in value:
        return Value.from_json(value).brief(400)
    return "none" if value is None else str(value)


def _said(value: Any) -> str:  # noqa: ANN401 - any JSON
    if isinstance(value, dict):
        return ", ".join(f"{name} {_said(item)}" for name, item in value.items()) or "none"
    if isinstance(value, Iterable) and not isinstance(value, str):
        return " ".join(_said(item) for item in value)
    return str(value)
