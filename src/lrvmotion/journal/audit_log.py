"""Who wrote what, when: the journal's records as the lines of an audit log; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lrvmotion.journal.changes import connections, history
from lrvmotion.journal.records import (
    Applied,
    Body,
    CancelAsked,
    CapChange,
    Connection,
    Intended,
    MetadataWrite,
    MoveBegun,
    MoveEnded,
    MoveTask,
    Other,
    RebootStep,
    Record,
    RestoreBegun,
    Reverted,
    RunBegun,
    RunPlan,
    Throttled,
    of,
)
from lrvmotion.model.target_id import ConnectionId, TargetId

NOT_RECORDED = "not recorded"
_BESIDE = {"schema", "metadata", "who", "accounts", "target", "vm", "host", "prior", "planned", "value", "key"}


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
    chosen = [record for record in records if not isinstance(record.body, RunPlan | Connection)]  # they change nothing
    if run is not None:
        owners = {run} | {body.owner_id or run for record, body in of(RunBegun, records) if record.run == run}
        chosen, caps = _of(records, chosen, run), [record for record in caps if record.run in owners]
    began = {record.run: record.body for record in records if isinstance(record.body, RunBegun | RestoreBegun)}
    known: dict[str, str] = {name: connection.account for name, connection in connections(records).items()}
    merged = sorted([*chosen, *caps], key=lambda record: record.at) if caps else chosen
    return [_entry(record, began.get(record.run), known) for record in merged]


def _of(records: Sequence[Record], chosen: Iterable[Record], run: str) -> list[Record]:
    """Return those *chosen* of *records* that are of *run*, and those by which others restored what it changed."""
    changed = [one for one in history(records) if any(intention.run == run for intention in one.intentions)]
    reverted = {one.reverted.seq: one.reverted.run for one in changed if one.reverted is not None}
    restores = set(reverted.values())
    return [
        record
        for record in chosen
        if record.run == run
        or record.seq in reverted
        or (record.run in restores and isinstance(record.body, RestoreBegun))
    ]


def _entry(record: Record, began: Body | None, known: Mapping[str, str]) -> Entry:
    body = record.body
    (own, own_accounts), (first, first_accounts) = _by(body), _by(began)
    subject, connection = _subject(body)
    accounts = {**known, **first_accounts, **own_accounts}
    if connection is not None:
        account = accounts.get(connection, NOT_RECORDED)
    else:
        account = "; ".join(f"{name}: {used}" for name, used in sorted(accounts.items())) or NOT_RECORDED
    key = body.key if isinstance(body, Intended | Applied | Reverted | MetadataWrite) else ""
    prior, new = _values(body)
    beside = () if isinstance(body, Other) else _BESIDE
    rest = {name: item for name, item in body.to_json().items() if name not in beside}
    return Entry(
        seq=record.seq, at=record.at, run=record.run, who=own or first or NOT_RECORDED, account=account,
        what=record.kind, subject=subject, key=key, prior=prior, new=new,
        detail="; ".join(f"{name} {_said(item)}" for name, item in rest.items()),
    )  # fmt: skip


def _by(body: Body | None) -> tuple[str, Mapping[str, str]]:
    """Return who a record names, and with which accounts."""
    return (body.who, body.accounts) if isinstance(body, RunBegun | RestoreBegun | Throttled) else ("", {})


def _subject(body: Body) -> tuple[str, ConnectionId | None]:
    """Return the host, relay host or VM that a record is about, and the connection to it; "": all of them."""
    match body:
        case Intended(target=target) | Applied(target=target) | Reverted(target=target):
            return target, target.connection
        case CapChange(target=target) | Throttled(target=target) | RebootStep(host=target):
            return target, target.connection
        case CancelAsked(target=TargetId() as target):
            return target, target.connection
        case MoveBegun(vm=vm) | MoveTask(vm=vm) | MoveEnded(vm=vm) | CancelAsked(vm=vm):
            return vm, ConnectionId("source")
        case MetadataWrite(target=vm):
            return vm, ConnectionId("target")
        case _:
            return "", None


def _values(body: Body) -> tuple[str | None, str | None]:
    """Return the value before and the new one, None where the record has none."""
    match body:
        case Intended(prior=prior, planned=planned):
            return prior.brief(400), planned.brief(400)
        case Reverted(value=value):
            return None, value.brief(400)
        case Throttled(prior=before, planned=cap):
            return _cap(before), _cap(cap)
        case CapChange(planned=cap):
            return None, _cap(cap)
        case MetadataWrite(planned=given):
            return None, given
        case _:
            return None, None


def _cap(bps: int | None) -> str:
    return "none" if bps is None else str(bps)


def _said(value: Any) -> str:  # noqa: ANN401 - any JSON
    if isinstance(value, dict):
        return ", ".join(f"{name} {_said(item)}" for name, item in value.items()) or "none"
    if isinstance(value, Iterable) and not isinstance(value, str):
        return " ".join(_said(item) for item in value)
    return str(value)
