"""The append-only write-ahead log of everything changed: fsync before each write, flock, hash chain; outstanding()."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, BinaryIO, Protocol, Self

from lrvmotion.errors import RefusedError, UnreachableError, UsageError
from lrvmotion.plan import Change, Value

SCHEMA = 1
THROTTLE = "throttle"  # the journal of caps set by hand, while a run holds its own
GENESIS = "0" * 64
_END = b', "hash": "' + b"." * 64 + b'"}'  # how every line ends, a digit for a dot
_DIGITS = b"0123456789abcdef"


class JournalError(RefusedError):
    """The disk does not take a record: what cannot be recorded is not done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One line of the journal. *body* is what the writer gave, *hash* chains it to the line before."""

    seq: int
    at: str
    kind: str
    run: str
    body: dict[str, Any]
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outstanding:
    """A setting that we changed, or may have, and have not put back: *prior* is the first one recorded.

    *planned* lists every value that we may have written since, the newest last: after a crash between two changes of
    one setting any of them may be there. *applied*: the newest was read back; without it, it may never have been there.
    """

    target: str
    key: str
    prior: Value
    planned: tuple[Value, ...]
    run: str
    seq: int
    reboot: bool = False
    applied: bool = False

    def stands(self, now: Value) -> bool:
        """Return whether *now* is as we left the setting; a death before the write leaves what was there before it."""
        return now == self.planned[-1] or (not self.applied and now in (self.prior, *self.planned))


class Clock(Protocol):
    """Tells the wall-clock time as ISO 8601 in UTC."""

    def __call__(self) -> str:
        """Return the time now."""


@dataclass(slots=True)
class Opened:
    """The journal's state after reading it: good records, and whether its last line was torn."""

    records: list[Record] = field(default_factory=list)
    torn: bool = False


def read(path: Path) -> Opened:
    """Read the journal at *path*.

    A torn last line is what a death in the middle of a write leaves: it is reported, not an error, for nothing was
    written to a target before its line was whole. A torn line followed by whole ones was closed by the next writer.
    Raise UsageError for a line that was altered (the chain breaks, or it was whole and does not read), a newer schema,
    or a file that cannot be read.
    """
    opened = Opened()
    previous = GENESIS
    try:
        content = path.read_bytes() if path.exists() else b""
    except OSError as error:
        message = f"{path}: the journal cannot be read: {error.strerror}"
        raise UsageError(message, hint="it belongs to whoever ran migrate: be that user, or make it readable") from None
    opened.torn = not content.endswith(b"\n") and bool(content)
    lines = content.split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        record = _parse(line)
        if record is None:
            if _whole(line):
                raise _altered(path, number)
            continue
        if record.body.get("schema", SCHEMA) > SCHEMA:
            message = f"{path}: written by a newer lrvmotion (schema {record.body['schema']})"
            raise UsageError(message, hint="use that version, or a newer one")
        if _digest(previous, record) != record.hash:
            raise _altered(path, number)
        previous = record.hash
        opened.records.append(record)
    return opened


def outstanding(records: list[Record]) -> list[Outstanding]:
    """Return what is still changed, oldest first: intended and neither reverted nor found untouched."""
    open_: dict[tuple[str, str], Outstanding] = {}
    for record in records:
        body = record.body
        if record.kind == "intended":
            where = (body["target"], body["key"])
            planned = Value.from_json(body["planned"])
            before = open_.get(where)
            open_[where] = Outstanding(
                target=body["target"],
                key=body["key"],
                prior=before.prior if before else Value.from_json(body["prior"]),
                planned=(*before.planned, planned) if before else (planned,),
                run=record.run,
                seq=before.seq if before else record.seq,
                reboot=body.get("reboot", False),
            )
        elif record.kind == "applied" and (changed := open_.get((body["target"], body["key"]))) is not None:
            open_[body["target"], body["key"]] = replace(changed, applied=True)
        elif record.kind in {"reverted", "released"}:
            open_.pop((body["target"], body["key"]), None)
    return sorted(open_.values(), key=lambda item: item.seq)


def runs(records: list[Record]) -> set[str]:
    """Return the ids of all runs that this journal knows, and the marks of what they made."""
    return {record.run for record in records} | set(_marks(records).values())


def _marks(records: list[Record]) -> dict[str, str]:
    """Return the mark of every run that recorded one: that of a saved plan is not the run's own id."""
    return {record.run: record.body["mark"] for record in records if record.kind == "run" and "mark" in record.body}


def mark(records: list[Record]) -> str | None:
    """Return the id that what we created carries, as long as any of it is outstanding; None where nothing is.

    It is the mark of the run that found nothing outstanding and began to change: later runs go on under it.
    """
    open_: dict[tuple[str, str], None] = {}
    first = None
    for record in records:
        where = (record.body.get("target", ""), record.body.get("key", ""))
        if record.kind == "intended":
            first = first if open_ else record.run
            open_[where] = None
        elif record.kind in {"reverted", "released"}:
            open_.pop(where, None)
    return _marks(records).get(first, first) if open_ and first is not None else None


def connections(records: list[Record]) -> dict[str, dict[str, Any]]:
    """Return the newest connection recorded for every site and box: addresses, pins, host keys; never a secret."""
    found: dict[str, dict[str, Any]] = {}
    for record in records:
        if record.kind == "connection":
            found[record.body["name"]] = record.body
    return found


class Journal:
    """The open journal of a state directory, held by one process at a time; *name* is another one's beside it.

    Every append is whole and on the disk (fsync) before it returns. *opener* makes the file object, unbuffered, so that
    nothing of a record that failed is written later: tests pass one that dies at a chosen byte.
    """

    def __init__(
        self,
        directory: Path,
        clock: Clock,
        *,
        name: str = "journal",
        opener: Callable[[Path], BinaryIO] | None = None,
    ) -> None:
        self.path = directory / f"{name}.jsonl"
        self._held = directory / ("lock" if name == "journal" else f"{name}.lock")
        self._directory = directory
        self._clock = clock
        self._opener = opener or _open
        self._lock: int | None = None
        self._file: BinaryIO | None = None
        self.records: list[Record] = []
        self._previous = GENESIS
        self._torn = False
        self._behind = False  # a record failed: the file may hold part of it, or all

    def __enter__(self) -> Self:
        try:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = _lock(self._held)
            self._load()
            self._file = self._opener(self.path)
            _sync_folder(self._directory)
        except OSError as error:
            self.__exit__()
            message = f"{self._directory}: the journal cannot be kept there: {error.strerror or error}"
            raise UsageError(message, hint="name a folder of yours on a disk with --state-dir") from None
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def append(self, kind: str, run: str, body: Mapping[str, Any]) -> Record:
        """Append one record and return it once it is on the disk; JournalError where the disk does not take it."""
        if self._file is None:
            message = "the journal is not open"
            raise ValueError(message)
        try:
            if self._behind:
                self._load()
            seq = self.records[-1].seq + 1 if self.records else 1
            bare = Record(seq=seq, at=self._clock(), kind=kind, run=run, body=dict(body), hash="")
            record = replace(bare, hash=_digest(self._previous, bare))
            line = json.dumps({item.name: getattr(record, item.name) for item in fields(Record)}).encode() + b"\n"
            self._behind = True
            _write(self._file, b"\n" + line if self._torn else line)
            os.fsync(self._file.fileno())
        except OSError as error:
            message = f"{self.path}: the journal cannot be written: {error.strerror or error}"
            raise JournalError(message, hint="make room on its disk; nothing is changed that is not recorded") from None
        self._behind = self._torn = False
        self._previous = record.hash
        self.records.append(record)
        return record

    def _load(self) -> None:
        """Read what the file holds now."""
        opened = read(self.path)
        self.records = opened.records
        self._torn = opened.torn
        self._previous = self.records[-1].hash if self.records else GENESIS
        self._behind = False

    def intended(self, run: str, change: Change) -> Record:
        """Record that *change* is about to be written."""
        body: dict[str, Any] = {
            "target": change.target,
            "key": change.key,
            "prior": change.prior.to_json(),
            "planned": change.planned.to_json(),
            "reason": change.reason,
        }
        if change.reboot:
            body["reboot"] = True
        return self.append("intended", run, body)

    def applied(self, run: str, target: str, key: str) -> Record:
        """Record that the value was written and read back."""
        return self.append("applied", run, {"target": target, "key": key})

    def reverted(self, run: str, target: str, key: str, value: Value) -> Record:
        """Record that the setting is *value* again, read back."""
        return self.append("reverted", run, {"target": target, "key": key, "value": value.to_json()})

    def outstanding(self) -> list[Outstanding]:
        """Return what is still changed, oldest first."""
        return outstanding(self.records)

    def of_run(self, run: str) -> Iterator[Record]:
        """Yield the records of *run*."""
        return (record for record in self.records if record.run == run)


def _parse(line: bytes) -> Record | None:
    """Return the record of *line*, None where it is none."""
    try:
        loaded = json.loads(line)
        return Record(**loaded)
    except (ValueError, TypeError):
        return None


def _whole(line: bytes) -> bool:
    """Return whether *line*, which is no record, was written to its end: it is JSON, or all but ends as a record does.

    A torn line is neither.
    """
    pairs = zip(line[-len(_END) :], _END, strict=False)
    wrong = sum(found != due and not (due == _END[12] and found in _DIGITS) for found, due in pairs)
    if len(line) > len(_END) and wrong < 3:
        return True
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _altered(path: Path, number: int) -> UsageError:
    message = f"{path}: line {number} does not follow from the lines before it: the journal was altered"
    hint = "restore the file from a copy; else put back by hand what its lines name: target, key, prior"
    return UsageError(message, hint=hint)


def _write(file: BinaryIO, data: bytes) -> None:
    """Write all of *data* to the unbuffered *file*."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _digest(previous: str, record: Record) -> str:
    text = json.dumps([previous, record.seq, record.at, record.kind, record.run, record.body], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _open(path: Path) -> BinaryIO:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    return os.fdopen(descriptor, "ab", buffering=0)


def _lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 64).decode(errors="replace").strip()
        os.close(descriptor)
        whose = f" (process {holder})" if holder else ""
        message = f"{path.parent}: another lrvmotion works with this journal{whose}"
        raise UnreachableError(message, hint="wait until it ends, or stop it; then run this again") from None
    with contextlib.suppress(OSError):  # the lock holds on a full disk too; only the message to others is poorer
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
    return descriptor


def _sync_folder(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
