"""The events of each run, kept in the state directory with their times: the report is made of them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self, TextIO

from lrvmotion import files
from lrvmotion.errors import UsageError
from lrvmotion.events import SCHEMA, Event, Message, Observer, RestoreStarted, RunStarted, from_json, to_json

FOLDER = "runs"
NAME = "events.ndjson"
LOG = "run.log"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedEvent:
    """One event and its time: *at* is ISO 8601 in UTC, *t* seconds since the process that told it began the run.

    *sitting* counts the processes that worked on the run, from 1.
    """

    at: str
    t: float
    event: Event
    sitting: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedEvents:
    """The events of one run, in order; *torn* counts lines that were not whole, *gone*: there is no file of them."""

    told: tuple[TimedEvent, ...] = ()
    torn: int = 0
    gone: bool = False


def log_path(state: Path, run: str) -> Path:
    """Return where the text log of *run* is."""
    return state / FOLDER / run / LOG


class RunFile:
    """An Observer that appends what is told in a run to a file *name* of its own, mode 600. Close it, or use `with`.

    What is told before RunStarted waits for it: it names the run. A run that is resumed goes on in the same file. A
    disk that does not take it ends the recording, never the run: *say* hears of that once. Never raises. *clock* gives
    the time as ISO 8601, *seconds* a monotonic one.
    """

    name = ""

    def __init__(
        self,
        state: Path,
        clock: Callable[[], str],
        say: Observer,
        *,
        seconds: Callable[[], float] = time.monotonic,
        opener: Callable[[Path], TextIO] | None = None,
    ) -> None:
        self.say = say
        self._state, self._clock, self._seconds, self._opener = state, clock, seconds, opener or _open
        self._ahead: list[tuple[str, float, Event]] = []
        self._run = ""
        self._began = 0.0
        self._file: TextIO | None = None
        self._ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __call__(self, event: Event) -> None:
        """Keep *event*."""
        if self._ended:
            return
        self._ahead.append((self._clock(), self._seconds(), event))
        match event:
            case RunStarted(run=run) if run != self._run:
                self._guarded(partial(self._begin, run))
            case RestoreStarted(run=run) if not self._run:  # a restore of its own, not the end of a run
                self._guarded(partial(self._begin, run))
        if self._file is not None and not files.same(self._path(), self._file.fileno()):
            self.say(Message(text=f"{self._path()}: the lines of this run were removed; a new file is started"))
            self._guarded(self._open)
        self._guarded(self._write)

    def close(self) -> None:
        """Close the file."""
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError:
                return  # what a full disk did not take is lost; that was said when it was written

    def header(self) -> str:
        """Return the first line of a sitting."""
        raise NotImplementedError

    def line(self, event: Event, at: str, t: float) -> str | None:
        """Return the line of *event*, told *at*, *t* seconds since the run began; None where it has none."""
        raise NotImplementedError

    def write(self, text: str) -> None:
        """Append *text*, whole lines, where a run has begun."""
        if self._file is not None:
            self._guarded(partial(self._file.write, text))

    def _path(self) -> Path:
        return self._state / FOLDER / self._run / self.name

    def _begin(self, run: str) -> None:
        self._run, self._began = run, self._seconds()
        self._open()

    def _open(self) -> None:
        self.close()
        self._path().parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file = self._opener(self._path())
        self._file.write(self.header())

    def _write(self) -> None:
        if (file := self._file) is None:
            return
        for at, seconds, event in self._ahead:
            line = self.line(event, at, round(seconds - self._began, 3))
            if line is not None:
                file.write(line + "\n")
        self._ahead.clear()

    def _guarded(self, work: Callable[[], object]) -> None:
        """Do *work* with the file and flush it; what the disk does not take ends the recording."""
        try:
            work()
            if self._file is not None:
                self._file.flush()
        except OSError as error:
            self._ended = True
            self.close()
            self.say(Message(text=f"{self._path()} will lack the rest of this run: {error.strerror or error}"))


class EventLog(RunFile):
    """Keeps every event as NDJSON: the report is made of them."""

    name = NAME

    def header(self) -> str:
        """Return the line that names the schema."""
        return json.dumps({"type": "version", "at": self._clock(), "schema": SCHEMA}) + "\n"

    def line(self, event: Event, at: str, t: float) -> str:
        """Return *event* as --output ndjson has it, with *t*."""
        kind, *rest = to_json(event).items()
        return json.dumps(dict([kind, ("at", at), ("t", t), *rest]))


def read(state: Path, run: str) -> RecordedEvents:
    """Read the events of *run*; UsageError for a file of a newer version, or one that cannot be read.

    Lines that a death cut short are left out, and so are events that this version does not know.
    """
    path = state / FOLDER / run / NAME
    try:
        lines = files.read(path).decode(errors="replace").splitlines()
    except FileNotFoundError:
        return RecordedEvents(gone=True)
    except OSError as error:
        message = f"{path}: the events of the run cannot be read: {error.strerror}"
        raise UsageError(message, hint="they belong to whoever ran migrate: be that user") from None
    told: list[TimedEvent] = []
    torn = sitting = 0
    for line in lines:
        try:
            record = json.loads(line) if line else {"type": ""}
            if record["type"] == "version":
                _known(path, str(record["schema"]))
                sitting += 1
            elif (event := from_json(record)) is not None:
                told.append(
                    TimedEvent(at=str(record["at"]), t=float(record["t"]), event=event, sitting=max(sitting, 1))
                )
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            torn += 1
    return RecordedEvents(told=tuple(told), torn=torn)


def _known(path: Path, schema: str) -> None:
    if int(schema.partition(".")[0]) > int(SCHEMA.partition(".")[0]):
        message = f"{path}: written by a newer lrvmotion (schema {schema})"
        raise UsageError(message, hint="use that version, or a newer one")


def _open(path: Path) -> TextIO:
    """Open *path* for its owner alone, and begin a new line where a death left part of one."""
    descriptor = files.appending(path)
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        os.write(descriptor, b"\n")
    return os.fdopen(descriptor, "a", encoding="utf-8")
