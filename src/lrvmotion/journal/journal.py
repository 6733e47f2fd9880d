"""The append-only write-ahead log of everything changed: fsync before each write, flock, hash chain; outstanding()."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Protocol, Self

from lrvmotion import files
from lrvmotion.errors import LrvmotionError, RefusedError, UnreachableError, UsageError
from lrvmotion.events import Event, Message, Observer
from lrvmotion.journal.records import Opened, Record, chained, line, parse
from lrvmotion.plan.plan import Change, Value

__all__ = ["Clock", "Journal", "JournalError", "Opened", "Outstanding", "Record", "read"]

THROTTLE = "throttle"  # the journal of caps set by hand, while a run holds its own
_DOOR = re.compile(r"([a-z0-9]+:)?(source|target|box/[^/]+)(?=/|$)")
_OTHER = {"source": "target", "target": "source"}


class JournalError(RefusedError):
    """The disk does not take a record: what cannot be recorded is not done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outstanding:
    """A setting that we changed, or may have, and have not restored: *prior* is the first one recorded.

    *planned* lists every value that we may have written since, the newest last: after a crash between two changes of
    one setting any of them may be there. *applied*: the newest was read back; without it, it may never have been there.
    *run* and *seq* are those of the newest intention: what was made last depends on what was there, and goes first.
    *target* is as the newest connections call it (`connections`).
    """

    target: str
    key: str
    prior: Value
    planned: tuple[Value, ...]
    run: str
    seq: int
    reboot: bool = False
    applied: bool = False

    @property
    def door(self) -> str:
        """The name of the connection that leads to it: "source", "target", "box/NAME"."""
        return _split(self.target)[0]

    def stands(self, now: Value) -> bool:
        """Return whether *now* is as we left the setting; a death before the write leaves what was there before it."""
        return now == self.planned[-1] or (not self.applied and now in (self.prior, *self.planned))

    def ours(self, now: Value) -> bool:
        """Return whether *now* is ours, or what was there before: nobody else's. A service that stopped is ours too."""
        if now == self.prior or self.stands(now):
            return True
        return any(_stopped(now, planned) for planned in (self.planned[-1:] if self.applied else self.planned))


class Clock(Protocol):
    """Tells the wall-clock time as ISO 8601 in UTC."""

    def __call__(self) -> str:
        """Return the time now."""


def read(path: Path) -> Opened:
    """Read the journal at *path*; without a file, and none before, it has no records.

    Raise UsageError for a line that was altered (records.parse), a newer schema, a file that cannot be read, and for
    one that is empty or gone though records were written.
    """
    begun = _begun(path).exists()
    try:
        content = files.read(path)
    except FileNotFoundError:
        if begun:
            raise _lost(path, "is gone") from None
        return Opened()
    except OSError as error:
        message = f"{path}: the journal cannot be read: {error.strerror or error}"
        raise UsageError(message, hint="it belongs to whoever ran migrate: be that user, or make it readable") from None
    opened = parse(content, str(path))
    if begun and not opened.records:
        raise _lost(path, "holds no record")
    return opened


def gone(state: Path) -> bool:
    """Return whether the directory *state* had a journal with records, and has none now."""
    path = state / "journal.jsonl"
    return _begun(path).exists() and not path.exists()


def outstanding(records: Sequence[Record]) -> list[Outstanding]:
    """Return what remains changed, in the order of the newest intentions: intended and not reverted since."""
    open_: dict[tuple[str, str], Outstanding] = {}
    for record, where in _addressed(records):
        body = record.body
        if record.kind == "intended":
            planned = Value.from_json(body["planned"])
            before = open_.get(where)
            open_[where] = Outstanding(
                target=where[0],
                key=where[1],
                prior=before.prior if before else Value.from_json(body["prior"]),
                planned=(*before.planned, planned) if before else (planned,),
                run=record.run,
                seq=record.seq,
                reboot=body.get("reboot", False),
            )
        elif record.kind == "applied" and (changed := open_.get(where)) is not None:
            open_[where] = replace(changed, applied=True)
        elif record.kind in {"reverted", "released"}:
            open_.pop(where, None)
    return sorted(open_.values(), key=lambda item: item.seq)


def runs(records: Sequence[Record]) -> set[str]:
    """Return the ids of all runs that this journal knows, and the marks of what they made."""
    return {record.run for record in records} | set(_marks(records).values())


def _marks(records: Sequence[Record]) -> dict[str, str]:
    """Return the mark of every run that recorded one: that of a saved plan is not the run's own id."""
    return {record.run: record.body["mark"] for record in records if record.kind == "run" and "mark" in record.body}


def owner_id(records: Sequence[Record]) -> str | None:
    """Return the id that what we created carries, as long as any of it is outstanding; None where nothing is.

    It is the mark of the run that found nothing outstanding and began to change: later runs go on under it.
    """
    open_: dict[tuple[str, str], None] = {}
    first = None
    for record, where in _addressed(records):
        if record.kind == "intended":
            first = first if open_ else record.run
            open_[where] = None
        elif record.kind in {"reverted", "released"}:
            open_.pop(where, None)
    return _marks(records).get(first, first) if open_ and first is not None else None


def connections(records: Sequence[Record]) -> dict[str, dict[str, Any]]:
    """Return the newest connection recorded for every site and box: addresses, pins, host keys; never a secret.

    A vCenter or box that has outstanding settings, and that none of them leads to, is there as well, under the run that
    recorded it: "abc234:source".
    """
    doors = _Doors(records)
    found = {door: place.newest for door, place in doors.newest.items()}
    for item in outstanding(records):
        if item.door not in found and (place := doors.elsewhere(item.door)) is not None:
            found[item.door] = place.newest
    return found


def same_place(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two connection records lead to one vCenter, or to one box.

    A vCenter is told by its instance UUID; where a record has none (an older version made it), and for a box, by
    address and port, or by the certificate or host key.
    """
    if one.get("instance_uuid") and other.get("instance_uuid"):
        return bool(one["instance_uuid"] == other["instance_uuid"])
    if (one["host"], one["port"]) == (other["host"], other["port"]):
        return True
    return any(one.get(pin) and one.get(pin) == other.get(pin) for pin in ("pem", "host_key"))


@dataclass(slots=True)
class _Place:
    """One vCenter or box: the connections recorded to it, the newest last, by the *run* that did so first."""

    run: str
    door: str
    seen: list[dict[str, Any]] = field(default_factory=list)

    @property
    def newest(self) -> dict[str, Any]:
        return self.seen[-1]

    def takes(self, body: Mapping[str, Any]) -> bool:
        """Return whether *body* leads here: a UUID that is known decides."""
        known = [one for one in self.seen if one.get("instance_uuid")]
        return any(same_place(one, body) for one in (known if known and body.get("instance_uuid") else self.seen))


class _Doors:
    """Which vCenter or box "source", "target" and "box/NAME" meant in each record: a run may have swapped them."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._places: list[_Place] = []
        self._at: dict[int, _Place] = {}  # by the connection record's seq
        self.newest: dict[str, _Place] = {}
        for record in records:
            if record.kind == "connection":
                self._at[record.seq] = self.newest[record.body["name"]] = self._place(record)
        self._now: dict[str, _Place] = {}
        self._of: dict[str, dict[str, _Place]] = {}

    def _place(self, record: Record) -> _Place:
        body = record.body
        box = body["name"].startswith("box/")
        fitting = [p for p in self._places if p.door.startswith("box/") == box and p.takes(body)]
        place = fitting[-1] if fitting else _Place(record.run, body["name"])
        if not fitting:
            self._places.append(place)
        place.seen.append(body)
        return place

    def take(self, record: Record) -> None:
        """Go on to *record*."""
        if record.kind == "connection":
            door = record.body["name"]
            self._now[door] = self._of.setdefault(record.run, {})[door] = self._at[record.seq]

    def name(self, run: str, target: str) -> str:
        """Return what the newest connections call the *target* of *run*: "RUN:source/…" where none leads to it."""
        door, rest = _split(target)
        place = self._of.get(run, {}).get(door) or self._now.get(door) or self.elsewhere(door)
        if place is None:
            return target
        plain = door.rpartition(":")[2]
        for known in (plain, _OTHER.get(plain, "")):
            if self.newest.get(known) is place:
                return known + rest
        return f"{place.run}:{place.door}{rest}"

    def elsewhere(self, door: str) -> _Place | None:
        """Return the place that *name* calls *door*, "RUN:source"."""
        return next((place for place in self._places if f"{place.run}:{place.door}" == door), None)


def _addressed(records: Sequence[Record]) -> Iterator[tuple[Record, tuple[str, str]]]:
    """Yield the records of settings, each with its target, as the newest connections call it, and its key."""
    doors = _Doors(records)
    for record in records:
        doors.take(record)
        if record.kind in {"intended", "applied", "reverted", "released"}:
            yield record, (doors.name(record.run, record.body["target"]), record.body["key"])


def _split(target: str) -> tuple[str, str]:
    """Return the connection that leads to *target*, and the rest: "source", "/esx1"; a box is its own."""
    found = _DOOR.match(target)
    return (found[0], target[found.end() :]) if found else (target, "")


def _stopped(now: Value, planned: Value) -> bool:
    """Return whether *now* is what was *planned*, but for a service that has stopped since, or what remains of one."""
    if now.type != "document" or planned.type != "document":
        return False
    there, wanted = now.as_document(), planned.as_document()
    if "active" not in wanted:
        return False
    return set(there) == {"remains"} or {**there, "active": None} == {**wanted, "active": None}


class Journal:
    """The open journal of a state directory, held by one process at a time; *name* is another one's beside it.

    Every append is whole and on the disk (fsync) before it returns. A file that was removed, replaced or cut off
    meanwhile is written anew from memory, which *say* hears of. *opener* makes the file object, unbuffered, so that
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
        self.say: Observer = _nobody
        self._held = directory / ("lock" if name == "journal" else f"{name}.lock")
        self._directory = directory
        self._clock = clock
        self._opener = opener or _open
        self._lock: int | None = None
        self._file: BinaryIO | None = None
        self.records: list[Record] = []
        self._torn = False
        self._behind = False  # a record failed: the file may hold part of it, or all
        self._at: tuple[int, int] | None = None  # device and inode of the open file
        self._size = 0
        self._lost = False  # that it cannot be kept was said

    def __enter__(self) -> Self:
        try:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = _lock(self._held)
            self._load()
            self._file = self._opener(self.path)
            self._note()
            self._mark()
            _sync_folder(self._directory)
        except OSError as error:
            self._close()
            message = f"{self._directory}: the journal cannot be kept there: {error.strerror or error}"
            raise UsageError(message, hint="name a folder of yours on a disk with --state-dir") from None
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.keep()
        finally:
            self._close()

    def keep(self) -> None:
        """See to it that the file at *path* has all records; where it cannot have them, *say* hears of it, once."""
        try:
            if self.records and not self._stands():
                self._write_anew()
        except (OSError, LrvmotionError) as error:
            if not self._lost:
                self.say(Message(text=f"{self.path}: the journal is gone and cannot be rewritten: {error}"))
            self._lost = True

    def append(self, kind: str, run: str, body: Mapping[str, Any]) -> Record:
        """Append one record and return it once it is on the disk; JournalError where the disk does not take it."""
        if self._file is None:
            message = "the journal is not open"
            raise ValueError(message)
        try:
            self._hold()
            before = self.records[-1] if self.records else None
            record = chained(before, at=self._clock(), kind=kind, run=run, body=body)
            data = b"\n" + line(record) if self._torn else line(record)
            self._behind = True
            _write(self._file, data)
            os.fsync(self._file.fileno())
        except OSError as error:
            message = f"{self.path}: the journal cannot be written: {error.strerror or error}"
            raise JournalError(message, hint="make room on its disk; nothing is changed that is not recorded") from None
        self._behind = self._torn = False
        self._size += len(data)
        self.records.append(record)
        if before is None:
            self._mark()
        return record

    def _hold(self) -> None:
        """See to it that what is written next follows what was recorded, in the file at *path*."""
        if self._stands():
            if not self._behind:
                return
            with contextlib.suppress(UsageError):
                self._load()
                self._note()
                return
        try:
            self._write_anew()
        except UnreachableError as error:
            raise JournalError(error.message, hint=error.hint) from None

    def _stands(self) -> bool:
        """Return whether the file at *path* is the one that is open, and as long as it was left."""
        try:
            now = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return (now.st_dev, now.st_ino) == self._at and (self._behind or now.st_size == self._size)

    def _write_anew(self) -> None:
        """Write all records into a new file, in a new folder where that is gone too; UnreachableError: it is taken."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._lock is not None and not files.same(self._held, self._lock):
            fresh = _lock(self._held)
            os.close(self._lock)
            self._lock = fresh
        if self.path.exists() and not self.path.is_file():
            self.path.unlink()
        files.replace(self.path, b"".join(line(record) for record in self.records))
        if self._file is not None:
            self._file.close()
        self._file = self._opener(self.path)
        self._torn = self._behind = False
        self._note()
        self._mark()
        _sync_folder(self._directory)
        text = f"{self.path}: the journal was removed or replaced during the run: it was rewritten from memory"
        self.say(Message(text=text))

    def _load(self) -> None:
        """Read what the file holds now."""
        opened = read(self.path)
        self.records = opened.records
        self._torn = opened.torn
        self._behind = False

    def _note(self) -> None:
        """Remember which file is open, and its length."""
        now = self.path.stat()
        self._at, self._size = (now.st_dev, now.st_ino), now.st_size

    def _mark(self) -> None:
        """Say beside the journal that it has records, where it has; a full disk does not take it, which is no harm."""
        if self.records:
            with contextlib.suppress(OSError):
                _begun(self.path).touch(mode=0o600)

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

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
        """Return what remains changed, in the order of the newest intentions."""
        return outstanding(self.records)

    def of_run(self, run: str) -> Iterator[Record]:
        """Yield the records of *run*."""
        return (record for record in self.records if record.run == run)


def _begun(path: Path) -> Path:
    """Return the file that says that the journal at *path* has records: an empty journal is a new one without it."""
    return path.with_suffix(".begun")


def _lost(path: Path, why: str) -> UsageError:
    message = f"{path}: the journal {why}, though records were written: it was altered"
    hint = (
        "restore the file from a copy; without one remove it, and 'lrvmotion restore-defaults' lists what it recognises"
    )
    return UsageError(message, hint=hint)


def _write(file: BinaryIO, data: bytes) -> None:
    """Write all of *data* to the unbuffered *file*."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _open(path: Path) -> BinaryIO:
    return os.fdopen(files.appending(path), "ab", buffering=0)


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


def _nobody(event: Event) -> None:
    """Hear and say nothing."""


def _sync_folder(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
