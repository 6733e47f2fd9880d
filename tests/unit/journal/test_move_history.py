"""Moves of past runs are remembered where they say something of the circuit, and read whatever became of the file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lrvmotion.events import Move
from lrvmotion.journal import move_history
from lrvmotion.plan.plan import Migration, Plan

WAY = "a -> b"


def migration(vm: str, *, hot: int = 10**9, cold: int = 0) -> Migration:
    nothing: Any = None
    return Migration(
        vm=vm, ref=nothing, instance_uuid=vm, source_host="a1", placement=nothing, hot_bytes=hot, cold_bytes=cold,
        power_state="poweredOn", snapshots=0,
    )  # fmt: skip


@pytest.fixture
def recorder(tmp_path: Path):
    moves = (migration("x"), migration("y"), migration("cold", cold=10**9))
    made = Plan(run="r", owner_id="r", mode="native", migrations=moves)
    return move_history.Recorder(tmp_path, WAY, made, lambda: "2026-01-01T00:00:00Z")


def event(vm: str, state: Any, elapsed_s: float = 50.0) -> Move:
    return Move(vm=vm, state=state, source_host="a1", target_host="b1", bytes_total=10**9, elapsed_s=elapsed_s)


def test_a_move_alone_is_remembered_with_its_rate(recorder, tmp_path):
    """1 GB in 50 s: 160 Mbit/s, for this circuit and no other."""
    recorder(event("x", "running"))
    recorder(event("x", "success"))
    assert move_history.recorded(tmp_path, WAY) == [("native", 160.0)]
    assert move_history.recorded(tmp_path, "a -> c") == []


@pytest.mark.parametrize(
    "events",
    [
        [event("x", "running"), event("x", "error")],
        [event("x", "running"), event("x", "success", 9.0)],
        [event("cold", "running"), event("cold", "success")],
        [event("x", "running"), event("y", "running"), event("x", "success"), event("y", "success")],
    ],
    ids=["failed", "too short", "by NFC", "side by side"],
)
def test_what_says_nothing_of_the_circuit_is_not(recorder, tmp_path, events):
    """A move that failed, ended at once, went another way or shared the circuit."""
    for one in events:
        recorder(one)
    assert move_history.recorded(tmp_path, WAY) == []


def test_a_record_cut_short_is_left_out(recorder, tmp_path):
    """The machine went down while it was written: the others count."""
    recorder(event("x", "running"))
    recorder(event("x", "success"))
    with (tmp_path / move_history.NAME).open("a") as file:
        file.write('{"at": "2026-01-01T00:00:00Z", "circ')
    assert move_history.recorded(tmp_path, WAY) == [("native", 160.0)]
    assert move_history.recorded(tmp_path / "nowhere", WAY) == []


def test_a_pipe_in_place_of_the_file_is_neither_written_to_nor_waited_for(recorder, tmp_path):
    """Whoever reads it would hold the run up; so would nobody."""
    os.mkfifo(tmp_path / move_history.NAME)
    reader = os.open(tmp_path / move_history.NAME, os.O_RDONLY | os.O_NONBLOCK)
    try:
        recorder(event("x", "running"))
        recorder(event("x", "success"))
        assert os.read(reader, 1) == b""
    finally:
        os.close(reader)
