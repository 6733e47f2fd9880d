"""A state directory that an older version left (tests/unit/old) is read, restored and reported as one of ours."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fakes import FakeTarget
from lrvmotion import cli
from lrvmotion.errors import UsageError
from lrvmotion.journal import audit_log, changes, event_log, run_state
from lrvmotion.journal.chain import parse
from lrvmotion.journal.journal import Journal, read
from lrvmotion.journal.records import Intended, MoveBegun, Other, RunBegun, of
from lrvmotion.model.setting import ABSENT, Value, document
from lrvmotion.model.vm.vm_metadata import MetadataItem, VmMetadata
from lrvmotion.report import run_history
from lrvmotion.run.apply import revert

OLD = Path(__file__).parent / "old"
TEXT = (OLD / "journal.jsonl").read_bytes()
RUN = "k3xw9p"
HELPERS, QUEUES, FILE = "option/Migrate.VMotionStreamHelpers", "option/Net.TcpipRxDispatchQueues", "file//etc/x"


def clock():
    return "2026-11-23T20:00:00.000+00:00"


@pytest.fixture
def state(tmp_path) -> Path:
    """A state directory of schema 1: its journal and the events of its run."""
    (tmp_path / "journal.jsonl").write_bytes(TEXT)
    (tmp_path / "journal.begun").touch()
    (tmp_path / "runs" / RUN).mkdir(parents=True)
    shutil.copy(OLD / "events.ndjson", tmp_path / "runs" / RUN)
    return tmp_path


def targets() -> dict[str, FakeTarget]:
    """Return the hosts and the relay host as the old run left them."""
    return {
        "source/a1": FakeTarget("source/a1", {HELPERS: Value("long", 4), QUEUES: Value("long", 5)}),
        "relay/r": FakeTarget("relay/r", {FILE: document(content="x\n", mode="0644")}),
    }


def test_old_keys_are_read_by_their_new_names():
    """mark, try and baggage, which are owner_id, attempt and metadata now; a single file of known hosts."""
    records = parse(TEXT, "j").records
    assert len(records) == 26
    ((_, run),) = of(RunBegun, records)
    assert (run.owner_id, run.vms, run.back, run.who) == ("planned", ("db", "web", "old"), False, "ada@desk")
    moves = {move.vm: move for _, move in of(MoveBegun, records)}
    assert {vm: move.attempt for vm, move in moves.items()} == {"db": 1, "web": 2}
    tag = MetadataItem(kind="tag", name="Backup/daily", data={"category": "Backup", "tag": "daily"})
    had = VmMetadata(things=(tag,), macs={4000: "00:50:56:00:00:01"}, tools=True, address="10.0.0.7")
    assert {vm: move.metadata for vm, move in moves.items()} == {"db": None, "web": had}
    known = changes.connections(records)
    assert known["relay/r"].known_hosts == ("/etc/known",)
    assert (known["source"].instance_uuid, known["target"].instance_uuid) == ("uuid-a", None)
    assert [record.kind for record, _ in of(Other, records)] == ["teleport"]


def test_its_outstanding_settings_can_be_restored(state):
    """What the old run changed is as before, under the id that it gave; the journal goes on in the new form."""
    at = targets()
    with Journal(state, clock) as journal:
        assert changes.owner_id(journal.records) == "planned"
        assert [(item.target, item.key, item.run) for item in journal.outstanding()] == [
            ("source/a1", HELPERS, RUN), ("source/a1", QUEUES, RUN), ("relay/r", FILE, RUN),
        ]  # fmt: skip
        journal.append("later2", RunBegun(mode="native", vms=(), owner_id="planned"))
        done = revert(journal, at.__getitem__, lambda _: None, run="later2")
        assert (done.done, done.left) == (3, [])
        assert (changes.owner_id(journal.records), journal.outstanding()) == (None, [])
    assert at["source/a1"].values == {HELPERS: Value("long", 0), QUEUES: Value("long", 2)}
    assert at["relay/r"].read(FILE) == ABSENT
    content = (state / "journal.jsonl").read_bytes()
    assert content.startswith(TEXT)
    first = json.loads(content.removeprefix(TEXT).splitlines()[0])
    assert (first["seq"], first["body"]["schema"], first["body"]["owner_id"]) == (27, 2, "planned")
    assert len(read(state / "journal.jsonl").records) == 30


def test_a_run_of_it_can_be_taken_up_where_it_stood():
    """One VM has moved, one is on its way with what it had, one was not begun."""
    run = run_state.chosen(parse(TEXT, "j").records, RUN)
    assert (run.moved, run.left, list(run.open)) == (["db"], ["old"], ["web"])
    assert (run.owner_id, run.open["web"].task) == ("planned", "task-web")
    assert run.open["web"].metadata is not None
    assert run.open["web"].metadata.address == "10.0.0.7"


def test_it_is_written_anew_as_it_was(state):
    """Its file is taken away while it is open: the old lines come back byte by byte."""
    with Journal(state, clock) as journal:
        journal.path.unlink()
        journal.append("later2", RunBegun(mode="native", vms=()))
    assert (state / "journal.jsonl").read_bytes().startswith(TEXT)


def test_a_flipped_bit_of_it_is_refused_or_changes_nothing():
    """The hash covers what was written, not what it is called now: one bit of each byte."""
    whole = parse(TEXT, "j").records
    lines = TEXT.splitlines(keepends=True)
    for number, text in enumerate(lines):
        rest, before = b"".join(lines[number + 1 :]), whole[number - 1] if number else None
        for at in range(len(text)):
            flipped = text[:at] + bytes([text[at] ^ 1 << at % 8]) + text[at + 1 :]
            try:
                found = parse(flipped + rest, "j", after=before, number=number).records
            except UsageError:
                continue
            assert found == whole[number:], (number, at)


def test_it_is_reported_with_the_attempts_of_its_events(state, monkeypatch, capsys):
    """Events of schema 1 count `tries`: they are attempts, and the report has both of web's."""
    events = event_log.read(state, RUN)
    assert (len(events.told), events.torn) == (5, 0)
    told = run_history.tell(read(state / "journal.jsonl").records, RUN, events)
    assert {vm.vm: (vm.state, len(vm.attempts)) for vm in told.vms} == {
        "db": ("success", 1), "web": ("running", 2), "old": ("queued", 0),
    }  # fmt: skip
    now = {(one.target, one.key): (one.now, one.by) for one in told.settings}
    assert now["target/b1", HELPERS] == ("restored", RUN)
    assert now["source/a1", QUEUES] == ("not restored", RUN)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(state))
    for words in (("report",), ("report", "--audit"), ("report", "--verify")):
        assert cli.run(["--state-dir", str(state), *words]) == 0, capsys.readouterr().err
        assert capsys.readouterr().out


def test_its_audit_log_has_who_and_what():
    """A kind that this version does not know is told of, with all that it says."""
    entries = audit_log.entries(parse(TEXT, "j").records)
    whole = {(entry.what, entry.subject): entry for entry in entries}
    run, move, back = whole["run", ""], whole["move", "web"], whole["reverted", "target/b1"]
    assert (run.who, run.detail) == ("ada@desk", "mode proxy; vms db web old; owner_id planned")
    assert "attempt 2" in move.detail
    assert (back.who, back.new) == ("bob@desk", "0")
    assert whole["teleport", ""].detail == "target source/a1; far 1 None x 0.5"
    alone = audit_log.entries(parse(TEXT, "j").records, run=RUN)
    assert {entry.run for entry in alone} == {RUN, "later1"}
    assert "cancel" in {entry.what for entry in alone}
    assert "teleport" not in {entry.what for entry in alone}


def test_what_it_intended_is_as_it_was_written():
    """Values, reasons and reboots are those of the old text."""
    said = {(body.target, body.key): body for _, body in of(Intended, parse(TEXT, "j").records)}
    assert said["source/a1", QUEUES].reboot
    assert (said["source/a1", HELPERS].prior, said["source/a1", HELPERS].planned) == (
        Value("long", 0),
        Value("long", 4),
    )
    assert said["relay/r", FILE].planned == document(content="x\n", mode="0644")
