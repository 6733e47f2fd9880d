"""The events of a run are kept with their times, and are read whatever became of the file."""

from __future__ import annotations

import errno
import json
import os
import shutil

import pytest

from lrvmotion.errors import UsageError
from lrvmotion.events import SCHEMA, Connected, Found, Message, Move, RunStarted
from lrvmotion.findings import Finding, Severity
from lrvmotion.journal import event_log

STARTED = RunStarted(run="abc234", mode="native", journal="j", vms=("a", "b"), forecast_s=12.5)
MOVE = Move(vm="a", state="running", source_host="a1", target_host="b1", percent=3)
BEFORE = Connected(site="source", address="vc:443", version="8.0.3")


class Seconds:
    """A clock that goes on by a second with each look."""

    def __init__(self) -> None:
        self.now = 99.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


@pytest.fixture
def said() -> list:
    return []


@pytest.fixture
def log(tmp_path, said):
    with event_log.EventLog(tmp_path, lambda: "2026-01-01T00:00:00.000+00:00", said.append, seconds=Seconds()) as made:
        yield made


def path(state):
    return state / "runs" / "abc234" / "events.ndjson"


def test_every_event_comes_back_with_its_time(log, tmp_path):
    """What was told before the run had its id is there too, at a time before 0."""
    finding = Finding(severity=Severity.WARNING, code="c", subject="s", summary="x")
    for event in (BEFORE, STARTED, MOVE, Found(finding=finding)):
        log(event)
    back = event_log.read(tmp_path, "abc234")
    assert [told.event for told in back.told] == [BEFORE, STARTED, MOVE, Found(finding=finding)]
    times = [told.t for told in back.told]
    assert times == sorted(times)
    assert times[0] < 0 <= times[2]
    assert back.told[0].at.startswith("2026-01-01T")
    assert (back.torn, back.gone) == (0, False)


def test_the_file_is_ours_alone_and_begins_with_its_version(log, tmp_path):
    """Mode 600, in a folder 700; the first line as --output ndjson has it."""
    log(STARTED)
    assert path(tmp_path).stat().st_mode & 0o777 == 0o600
    assert path(tmp_path).parent.stat().st_mode & 0o077 == 0
    assert json.loads(path(tmp_path).read_text().splitlines()[0]) == {
        "type": "version", "at": "2026-01-01T00:00:00.000+00:00", "schema": SCHEMA,
    }  # fmt: skip


def test_without_a_run_nothing_is_written(log, tmp_path):
    """A plan that is refused leaves no file."""
    log(BEFORE)
    assert not (tmp_path / "runs").exists()


def test_a_torn_line_is_left_out_and_the_next_process_goes_on_after_it(log, tmp_path, said):
    """A death in the middle of a line costs that line."""
    log(STARTED)
    log.close()
    with path(tmp_path).open("a") as file:
        file.write('{"type": "move", "at": "2026')
    with event_log.EventLog(tmp_path, lambda: "2026-01-02T00:00:00.000+00:00", said.append) as second:
        second(STARTED)
        second(MOVE)
    back = event_log.read(tmp_path, "abc234")
    assert [told.event for told in back.told] == [STARTED, STARTED, MOVE]
    assert back.torn == 1


def test_a_full_disk_ends_the_recording_and_not_the_run(tmp_path, said):
    """It is said once; the run hears nothing more of it."""

    class Full:
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    log = event_log.EventLog(tmp_path, lambda: "", said.append, opener=lambda where: Full())  # type: ignore[arg-type, return-value]
    for event in (STARTED, MOVE, MOVE):
        log(event)
    (only,) = said
    assert isinstance(only, Message)
    assert "No space left" in only.text


def test_an_event_that_this_version_does_not_know_is_passed_over(log, tmp_path):
    """A minor version only adds: types and fields."""
    log(STARTED)
    with path(tmp_path).open("a") as file:
        file.write(json.dumps({"type": "teleported", "at": "x", "t": 1.0}) + "\n")
        file.write(json.dumps({"type": "message", "at": "x", "t": 1.0, "text": "hello", "mood": "fine"}) + "\n")
    back = event_log.read(tmp_path, "abc234")
    assert back.told[-1].event == Message(text="hello")
    assert (len(back.told), back.torn) == (2, 0)


def test_a_file_of_a_newer_version_is_refused(log, tmp_path):
    """Exit 2, with what helps."""
    log(STARTED)
    path(tmp_path).write_text('{"type": "version", "schema": "3.0"}\n')
    with pytest.raises(UsageError, match="newer lrvmotion"):
        event_log.read(tmp_path, "abc234")


def test_no_file_is_said(tmp_path):
    """A run of an older version has none."""
    assert event_log.read(tmp_path, "abc234") == event_log.RecordedEvents(gone=True)


@pytest.mark.parametrize("folder", [False, True])
def test_events_that_are_removed_while_they_are_written_begin_anew(log, tmp_path, said, folder):
    """What came before is lost, and said; what comes after is kept, at its time."""
    log(STARTED)
    shutil.rmtree(tmp_path / "runs") if folder else path(tmp_path).unlink()
    log(MOVE)
    log(BEFORE)
    back = event_log.read(tmp_path, "abc234")
    assert [told.event for told in back.told] == [MOVE, BEFORE]
    assert back.told[0].t > 0
    assert ["were removed" in event.text for event in said] == [True]


def test_a_pipe_in_place_of_the_events_is_not_waited_for(tmp_path):
    """One sentence instead."""
    path(tmp_path).parent.mkdir(parents=True)
    os.mkfifo(path(tmp_path))
    with pytest.raises(UsageError, match="cannot be read"):
        event_log.read(tmp_path, "abc234")


def test_a_pipe_that_comes_while_events_are_kept_is_not_waited_for(log, tmp_path, said):
    """It would take a few of them, and then hold the run up: the recording ends, and that is said."""
    log(STARTED)
    path(tmp_path).unlink()
    os.mkfifo(path(tmp_path))
    log(MOVE)
    log(BEFORE)
    assert ["will lack the rest of this run: it is not a file" in event.text for event in said] == [False, True]
