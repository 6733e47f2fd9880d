"""The append-only write-ahead log of everything changed: fsync before each write, flock, hash chain."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Protocol, Self

from lrvmotion import files
from lrvmotion.errors import LrvmotionError, RefusedError, UnreachableError, UsageError
from lrvmotion.events import Event, Message, Observer
from lrvmotion.journal import changes
from lrvmotion.journal.chain import Opened, chained, line, parse
from lrvmotion.journal.records import Applied, Body, Intended, Record, Reverted
from lrvmotion.model.setting import SettingKey, Value
from lrvmotion.model.target_id import TargetId
from lrvmotion.plan.plan import Change

THROTTLE = "throttle"  # the journal of caps set by hand, while a run holds its own


class JournalError(RefusedError):
    """The disk does not take a record: what cannot be recorded is not done."""


class Clock(Protocol):
    """Tells the wall-clock time as ISO 8601 in UTC."""

    def __call__(self) -> str:
        """Return the time now."""


def read(path: Path) -> Opened:
    """Read the journal at *path*; without a file, and none before, it has no records.

    Raise UsageError for a line that was altered (chain.parse), a newer schema, a file that cannot be read, and for
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
        hint = "restore the file from a copy"
        if isinstance(error, PermissionError):
            hint = "it belongs to whoever ran migrate: be that user, or make it readable"
        raise UsageError(message, hint=hint) from None
    opened = parse(content, str(path))
    if begun and not opened.records:
        raise _lost(path, "holds no record")
    return opened


def gone(state: Path) -> bool:
    """Return whether the directory *state* had a journal with records, and has none now."""
    path = state / "journal.jsonl"
    return _begun(path).exists() and not path.exists()


class Journal:
    """The open journal of a state directory, held by one process at a time; *name* is another one's beside it.

    Every append is whole and on the disk (fsync) before it returns. A file that was removed, replaced or cut off
    meanwhile is rewritten from memory, which *say* hears of. *opener* makes the file object, unbuffered, so that
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
                self._rewrite()
        except (OSError, LrvmotionError) as error:
            if not self._lost:
                self.say(Message(text=f"{self.path}: the journal is gone and cannot be rewritten: {error}"))
            self._lost = True

    def append(self, run: str, body: Body) -> Record:
        """Append a record of *run*, which is on the disk then; JournalError where the disk does not take it."""
        if self._file is None:
            message = "the journal is not open"
            raise ValueError(message)
        try:
            self._hold()
            before = self.records[-1] if self.records else None
            record = chained(before, at=self._clock(), run=run, body=body)
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
            self._rewrite()
        except UnreachableError as error:
            raise JournalError(error.message, hint=error.hint) from None

    def _stands(self) -> bool:
        """Return whether the file at *path* is the one that is open, and as long as it was left."""
        try:
            now = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return (now.st_dev, now.st_ino) == self._at and (self._behind or now.st_size == self._size)

    def _rewrite(self) -> None:
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
        body = Intended(
            target=change.target, key=change.key, prior=change.prior, planned=change.planned, reason=change.reason,
            reboot=change.reboot,
        )  # fmt: skip
        return self.append(run, body)

    def applied(self, run: str, target: TargetId, key: SettingKey) -> Record:
        """Record that the value was written and read back."""
        return self.append(run, Applied(target=target, key=key))

    def reverted(self, run: str, target: TargetId, key: SettingKey, value: Value, *, gone: bool = False) -> Record:
        """Record that the setting is *value* again, read back; *gone*: that the VM that had it is no longer there."""
        return self.append(run, Reverted(target=target, key=key, value=value, gone=gone))

    def outstanding(self) -> list[changes.Outstanding]:
        """Return what remains changed, in the order of the newest intentions."""
        return changes.outstanding(self.records)


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
