"""The journal: what it says after any death, and what it refuses."""

from __future__ import annotations

import errno
import io
import itertools
import json
import os
import shutil
from dataclasses import replace

import pytest

from fakes import change_of
from lrvmotion.errors import UnreachableError, UsageError
from lrvmotion.journal import audit_log, changes, effective_values
from lrvmotion.journal import journal as journals
from lrvmotion.journal.journal import Journal, JournalError
from lrvmotion.journal.records import Connection, Other, RunBegun, Throttled
from lrvmotion.model.setting import ABSENT, SettingKey, Value
from lrvmotion.model.target_id import ConnectionId, TargetId
from lrvmotion.report import run_history


def clock():
    return "2026-01-01T00:00:00.000+00:00"


def change(key, prior, planned):
    return change_of("source/a", key, prior, planned)


LONG0, LONG48, LONG5 = Value("long", 0), Value("long", 48), Value("long", 5)


def test_an_intended_change_is_outstanding_until_it_is_reverted(tmp_path):
    """What was intended may have been written: it is outstanding from then on."""
    with Journal(tmp_path, clock) as journal:
        journal.intended("r", change("option/x", LONG0, LONG48))
        assert [item.prior for item in journal.outstanding()] == [LONG0]
        journal.reverted("r2", TargetId("source/a"), SettingKey("option/x"), LONG0)
        assert journal.outstanding() == []


def test_the_first_prior_is_kept_when_a_setting_is_changed_again(tmp_path):
    """Native then proxy without a restore between: the value before both is what comes back."""
    with Journal(tmp_path, clock) as journal:
        journal.intended("r1", change("option/x", LONG0, LONG48))
        journal.intended("r2", change("option/x", LONG48, LONG5))
        (item,) = journal.outstanding()
    assert (item.prior, item.planned) == (LONG0, (LONG48, LONG5))


def test_a_setting_whose_write_was_never_seen_may_be_as_it_was_before(tmp_path):
    """Death between record and write: the value before is as we left it; one that was applied must still be there."""
    with Journal(tmp_path, clock) as journal:
        journal.intended("r1", change("option/x", LONG0, LONG48))
        (item,) = journal.outstanding()
        assert [item.stands(now) for now in (LONG0, LONG48, LONG5)] == [True, True, False]
        journal.applied("r1", TargetId("source/a"), SettingKey("option/x"))
        (item,) = journal.outstanding()
        assert [item.stands(now) for now in (LONG0, LONG48)] == [False, True]
        journal.intended("r2", change("option/x", LONG48, LONG5))
        (item,) = journal.outstanding()
        assert [item.stands(now) for now in (LONG48, LONG5, ABSENT)] == [True, True, False]


def test_what_a_saved_plan_made_carries_the_plans_id_until_it_is_put_back(tmp_path):
    """A run of a saved plan has an id of its own; later runs go on under the plan's, and both are ours."""
    with Journal(tmp_path, clock) as journal:
        journal.append("r1", RunBegun(mode="native", vms=()))
        journal.append("r2", RunBegun(mode="native", owner_id="planned", vms=()))
        assert changes.owner_id(journal.records) is None
        journal.intended("r2", change("option/x", LONG0, LONG48))
        journal.append("r3", RunBegun(mode="proxy", owner_id="planned", vms=()))
        journal.intended("r3", change("option/x", LONG48, LONG5))
        assert changes.owner_id(journal.records) == "planned"
        assert changes.runs(journal.records) == {"r1", "r2", "r3", "planned"}
        journal.reverted("r4", TargetId("source/a"), SettingKey("option/x"), LONG0)
        assert changes.owner_id(journal.records) is None
        journal.intended("r1", change("option/x", LONG0, LONG48))  # written before owner ids were
        assert changes.owner_id(journal.records) == "r1"


def test_the_journal_survives_its_process(tmp_path):
    """What one process wrote the next one reads, and goes on from."""
    with Journal(tmp_path, clock) as journal:
        journal.intended("r", change("option/x", ABSENT, LONG48))
    with Journal(tmp_path, clock) as journal:
        journal.applied("r", TargetId("source/a"), SettingKey("option/x"))
        assert [record.seq for record in journal.records] == [1, 2]
        assert journal.outstanding()[0].prior == ABSENT


def test_a_torn_last_line_is_no_record_and_spoils_no_later_one(tmp_path):
    """Death at every byte of the second record: the first stays, the third is whole."""
    with Journal(tmp_path, clock) as journal:
        journal.intended("r", change("option/x", LONG0, LONG48))
        first = journal.path.read_bytes()
        journal.intended("r", change("option/y", LONG0, LONG48))
        whole = journal.path.read_bytes()
    for cut in range(len(first), len(whole)):
        journal.path.write_bytes(whole[:cut])
        with Journal(tmp_path, clock) as again:
            kept = [record.body.key for record in again.records]
            assert kept in (["option/x"], ["option/x", "option/y"])
            again.intended("r", change("option/z", LONG0, LONG48))
        keys = [record.body.key for record in journals.read(journal.path).records]
        assert keys == [*kept, "option/z"]


def test_an_altered_line_is_refused_and_named(tmp_path):
    """The hash chain shows a journal that somebody edited."""
    with Journal(tmp_path, clock) as journal:
        for key in "xyz":
            journal.intended("r", change(f"option/{key}", LONG0, LONG48))
    lines = journal.path.read_text().splitlines()
    for number, alter in itertools.product(range(3), ("edit", "drop")):
        changed = list(lines)
        if alter == "edit":
            record = json.loads(changed[number])
            record["body"]["prior"] = LONG5.to_json()
            changed[number] = json.dumps(record)
        elif number == 2:
            continue  # a shorter journal is a valid one: its end is not known
        else:
            del changed[number]
        journal.path.write_text("\n".join(changed) + "\n")
        with pytest.raises(UsageError, match="altered"):
            journals.read(journal.path)


def test_a_newer_schema_is_refused(tmp_path):
    """A journal of a newer version is not half understood."""
    with Journal(tmp_path, clock) as journal:
        journal.append("r", Other(name="run", content={"schema": 99}))
    with pytest.raises(UsageError, match="newer"):
        journals.read(journal.path)


def test_a_second_process_is_refused_and_the_first_is_named(tmp_path):
    """One writer at a time; the message says who."""
    with Journal(tmp_path, clock), pytest.raises(UnreachableError, match=r"process \d+"), Journal(tmp_path, clock):
        pass


def test_values_compare_by_type_and_data():
    """True is not 1, and an int is not a long: a wrong wire type is a difference."""
    assert Value("bool", data=True) != Value("int", 1)
    assert Value("int", 1) != Value("long", 1)
    assert Value("string", "") != ABSENT


class Disk(io.RawIOBase):
    """A journal file on a disk with *free* bytes left; *sync* off: it takes the bytes, and then fails."""

    def __init__(self, path):
        self._file = path.open("ab", buffering=0)
        self.free = 10**6
        self.sync = True

    def write(self, data):
        taken = self._file.write(bytes(data)[: self.free])
        self.free -= taken
        if not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        return taken

    def fileno(self):
        if not self.sync:
            raise OSError(errno.EIO, "Input/output error")
        return self._file.fileno()

    def close(self):
        self._file.close()
        super().close()


def test_a_disk_that_fills_up_at_any_byte_leaves_a_journal_that_goes_on(tmp_path):
    """What failed is no record, or a whole one; when there is room again the same process goes on, and all is read."""
    with Journal(tmp_path / "whole", clock) as journal:
        length = len(journal.intended("r", change("option/x", LONG0, LONG48)).hash) + 400
    for free in range(0, length, 3):
        disks = []
        folder = tmp_path / str(free)
        with Journal(folder, clock, opener=lambda path, disks=disks: disks.append(Disk(path)) or disks[0]) as journal:
            journal.intended("r", change("option/w", LONG0, LONG48))
            disks[0].free = free
            for _ in range(2):
                try:
                    journal.intended("r", change("option/x", LONG0, LONG48))
                except JournalError as error:
                    assert "No space left" in error.message
            disks[0].free = 10**6
            journal.intended("r", change("option/y", LONG0, LONG48))
            said = journal.outstanding()
        assert changes.outstanding(journals.read(journal.path).records) == said
        assert [item.key for item in said][:: len(said) - 1] == ["option/w", "option/y"]


def test_a_record_that_was_written_and_not_synced_counts_as_written(tmp_path):
    """The bytes may be on the disk: the next record follows them."""
    disks = []
    with Journal(tmp_path, clock, opener=lambda path: disks.append(Disk(path)) or disks[0]) as journal:
        disks[0].sync = False
        with pytest.raises(JournalError):
            journal.intended("r", change("option/x", LONG0, LONG48))
        disks[0].sync = True
        journal.intended("r", change("option/y", LONG0, LONG48))
    assert [item.key for item in changes.outstanding(journals.read(journal.path).records)] == ["option/x", "option/y"]


def test_a_whole_line_that_does_not_read_is_refused(tmp_path):
    """A flipped bit in the last record is no torn line: a change would be forgotten."""
    with Journal(tmp_path, clock) as journal:
        journal.intended("r", change("option/x", LONG0, LONG48))
    whole = journal.path.read_bytes()
    for at in range(0, len(whole) - 1, 5):
        journal.path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x02]) + whole[at + 1 :])
        with pytest.raises(UsageError):
            journals.read(journal.path)
    journal.path.write_text(json.dumps({"seq": 1, "more": "of a newer version"}) + "\n")
    with pytest.raises(UsageError, match="altered"):
        journals.read(journal.path)


def test_a_state_folder_that_cannot_be_used_is_named(tmp_path):
    """A file in its place, or a folder in the journal's: one sentence, not a traceback."""
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be kept there"), Journal(tmp_path / "file", clock):
        pass
    (tmp_path / "state" / "journal.jsonl").mkdir(parents=True)
    with pytest.raises(UsageError, match="cannot be"), Journal(tmp_path / "state", clock):
        pass


def take_away(path, how):
    """Remove, replace or shorten the journal as people and tools do while a run writes it."""
    if how == "removed":
        path.unlink()
    elif how == "its folder removed":
        shutil.rmtree(path.parent)
    elif how == "its folder moved":
        path.parent.rename(path.parent.with_name("elsewhere"))
    elif how == "replaced by its copy":
        copy = path.with_name("copy")
        copy.write_bytes(path.read_bytes())
        copy.replace(path)
    elif how == "replaced":
        path.with_name("other").write_text("something else\n")
        path.with_name("other").replace(path)
    elif how == "emptied":
        path.write_bytes(b"")
    elif how == "cut off":
        path.write_bytes(path.read_bytes()[:-9])
    else:
        with path.open("ab") as file:
            file.write(b"added\n")


AWAY = [
    "removed", "its folder removed", "its folder moved", "replaced by its copy", "replaced", "emptied", "cut off",
    "added to",
]  # fmt: skip


@pytest.mark.parametrize("how", AWAY)
@pytest.mark.parametrize("later", [0, 1, 3])
def test_a_journal_that_is_taken_away_while_it_is_written_is_written_anew(tmp_path, how, later):
    """At the next record, or at the end: every record is in memory. It is said, and locked as before."""
    state = tmp_path / "state"
    told = []
    with Journal(state, clock) as journal:
        journal.say = told.append
        for key in "abc":
            journal.intended("r", change(f"option/{key}", LONG0, LONG48))
        take_away(journal.path, how)
        for key in "xyz"[:later]:
            journal.intended("r", change(f"option/{key}", LONG0, LONG48))
            assert journals.read(journal.path).records == journal.records
            with pytest.raises(UnreachableError, match=f"process {os.getpid()}"), Journal(state, clock):
                pass
    assert journals.read(journal.path).records == journal.records
    assert len(journal.records) == 3 + later
    assert [str(journal.path) in event.text for event in told] == [True]
    assert "rewritten from memory" in told[0].text


def test_a_journal_whose_folder_cannot_be_made_anew_changes_nothing_more(tmp_path):
    """No record, no change; at the end it is said that there is no journal."""
    told = []
    with Journal(tmp_path / "a" / "state", clock) as journal:
        journal.say = told.append
        journal.intended("r", change("option/x", LONG0, LONG48))
        shutil.rmtree(tmp_path / "a")
        (tmp_path / "a").touch()
        with pytest.raises(JournalError, match="cannot be written"):
            journal.intended("r", change("option/y", LONG0, LONG48))
        assert [item.key for item in journal.outstanding()] == ["option/x"]
    assert ["cannot be rewritten" in event.text for event in told] == [True]


def test_a_journal_that_another_process_has_begun_anew_is_left_to_it(tmp_path):
    """The folder was removed and a second run began there: two must not write one journal."""
    with Journal(tmp_path / "state", clock) as journal:
        journal.intended("r", change("option/x", LONG0, LONG48))
        shutil.rmtree(tmp_path / "state")
        with Journal(tmp_path / "state", clock) as other:
            other.intended("other", change("option/z", LONG0, LONG48))
            with pytest.raises(JournalError, match="another lrvmotion"):
                journal.intended("r", change("option/y", LONG0, LONG48))
            assert [record.run for record in journals.read(other.path).records] == ["other"]


A, B, C = "uuid-a", "uuid-b", "uuid-c"


def connected(journal, run, source, target, **boxes):
    """Record the connections of *run*: (host, port, instance UUID) of each site, (host, port) of each box."""
    for name, (host, port, uuid) in (("source", source), ("target", target)):
        journal.append(run, Connection(name=ConnectionId(name), host=host, port=port, username="u", instance_uuid=uuid))
    for name, (host, port) in boxes.items():
        journal.append(run, Connection(name=ConnectionId(f"relay/{name}"), host=host, port=port, username="u"))


def at(target, planned=LONG48, prior=LONG0):
    return change_of(target, "option/x", prior, planned)


def test_sites_that_a_run_swapped_are_told_apart_by_their_instance_uuid(tmp_path):
    """One address, two ports: what the first run calls its target and the second its source is one setting."""
    with Journal(tmp_path, clock) as journal:
        connected(journal, "r1", ("lab", 1, A), ("lab", 2, B))
        journal.intended("r1", at("source/a1"))
        journal.intended("r1", at("target/b1"))
        connected(journal, "r2", ("lab", 2, B), ("lab", 1, A))
        journal.intended("r2", at("source/b1", LONG5, LONG48))
        journal.applied("r2", TargetId("source/b1"), SettingKey("option/x"))
        items = {item.target: (item.prior, item.planned, item.applied) for item in journal.outstanding()}
        assert items == {"target/a1": (LONG0, (LONG48,), False), "source/b1": (LONG0, (LONG48, LONG5), True)}
        known = changes.connections(journal.records)
        assert (known["source"].instance_uuid, known["target"].instance_uuid) == (B, A)
        journal.reverted(
            "r3", TargetId("target/a1"), SettingKey("option/x"), LONG0
        )  # as the newest connections call it
        assert [item.target for item in journal.outstanding()] == ["source/b1"]
        connected(journal, "r4", ("lab", 1, A), ("lab", 2, B))
        assert [item.target for item in journal.outstanding()] == ["target/b1"]
        journal.reverted("r5", TargetId("target/b1"), SettingKey("option/x"), LONG0)
        assert journal.outstanding() == []


def test_a_journal_from_before_instance_uuids_goes_by_host_and_port(tmp_path):
    """Also where a newer run has recorded the UUIDs since; a vCenter that moved to another address is still itself."""
    with Journal(tmp_path, clock) as journal:
        connected(journal, "r1", ("lab", 1, None), ("lab", 2, None))
        journal.intended("r1", at("source/a1"))
        assert [item.target for item in journal.outstanding()] == ["source/a1"]
        connected(journal, "r2", ("lab", 2, B), ("lab", 1, A))
        assert [item.target for item in journal.outstanding()] == ["target/a1"]
        connected(journal, "r3", ("moved", 9, A), ("lab", 2, B))
        assert [item.target for item in journal.outstanding()] == ["source/a1"]


def test_what_none_of_the_newest_connections_leads_to_keeps_its_own(tmp_path):
    """A third vCenter behind the name, and a box at another address: each is reached as its own run reached it."""
    with Journal(tmp_path, clock) as journal:
        connected(journal, "r1", ("lab", 1, A), ("lab", 2, B), relay=("box1", 22))
        for target in ("source/a1", "target/b1", "relay/relay"):
            journal.intended("r1", at(target))
        connected(journal, "r2", ("lab", 1, C), ("lab", 2, B), relay=("box2", 22))
        journal.intended("r2", at("source/a1"))
        journal.intended("r2", at("relay/relay"))
        items = journal.outstanding()
        assert [item.target for item in items] == [
            "r1:source/a1", "target/b1", "r1:relay/relay", "source/a1", "relay/relay",
        ]  # fmt: skip
        doors = ["r1:source", "target", "r1:relay/relay", "source", "relay/relay"]
        assert [item.target.connection for item in items] == doors
        known = changes.connections(journal.records)
        assert {name: one.host for name, one in known.items()} == {
            "source": "lab", "target": "lab", "relay/relay": "box2", "r1:source": "lab", "r1:relay/relay": "box1",
        }  # fmt: skip
        assert known["r1:source"].instance_uuid == A
        journal.reverted("r3", TargetId("r1:source/a1"), SettingKey("option/x"), LONG0)
        journal.reverted("r3", TargetId("relay/relay"), SettingKey("option/x"), LONG0)
        assert [item.target for item in journal.outstanding()] == ["target/b1", "r1:relay/relay", "source/a1"]


def test_a_setting_that_is_changed_again_after_its_restore_begins_anew(tmp_path):
    """Once for each time, with the prior that was there then, by whom and until when."""
    with Journal(tmp_path, clock) as journal:
        journal.intended("r1", at("source/a1"))
        journal.intended("r2", at("source/a1", LONG5, LONG48))
        journal.applied("r2", TargetId("source/a1"), SettingKey("option/x"))
        journal.reverted("r3", TargetId("source/a1"), SettingKey("option/x"), LONG0)
        journal.intended("r4", at("source/a1", LONG48, LONG5))
        once, again = changes.history(journal.records)
    assert [(one.run, one.seq, one.prior, one.planned) for one in once.intentions] == [
        ("r1", 1, LONG0, LONG48), ("r2", 2, LONG48, LONG5),
    ]  # fmt: skip
    assert once.reverted is not None
    assert (once.applied, once.reverted.run, once.reverted.value) == (True, "r3", LONG0)
    assert (again.first.prior, again.applied, again.reverted) == (LONG5, False, None)


def test_all_that_ask_find_what_was_restored_under_another_name(tmp_path):
    """The way back calls the first run's source its target: report, audit log and reboots know that it is one."""
    with Journal(tmp_path, clock) as journal:
        journal.append("r1", RunBegun(mode="native", vms=("vm1",)))
        connected(journal, "r1", ("lab", 1, A), ("lab", 2, B))
        journal.intended("r1", replace(at("source/a1"), reboot=True))
        connected(journal, "r2", ("lab", 2, B), ("lab", 1, A))
        journal.reverted("r3", TargetId("target/a1"), SettingKey("option/x"), LONG0)
        records = journal.records
    assert (changes.outstanding(records), changes.owner_id(records)) == ([], None)
    (setting,) = run_history.settings(records, "r1")
    assert (setting.target, setting.now) == ("source/a1", "restored")
    assert [entry.what for entry in audit_log.entries(records, run="r1")] == ["run", "intended", "reverted"]
    ((item, _),) = effective_values.put_back(records)
    assert (item.host, item.value) == ("target/a1", LONG0)


def test_a_setting_is_as_new_as_its_newest_intention(tmp_path):
    """What it depends on may have been made since it was made first."""
    with Journal(tmp_path, clock) as journal:
        journal.intended("r1", at("source/a1"))
        journal.intended("r1", at("source/a2"))
        journal.intended("r2", at("source/a1", LONG5, LONG48))
        assert [(item.target, item.run, item.seq) for item in journal.outstanding()] == [
            ("source/a2", "r1", 2), ("source/a1", "r2", 3),
        ]  # fmt: skip


def test_a_journal_that_is_a_directory_is_to_be_restored_from_a_copy(tmp_path):
    """No permission helps there, and the hint does not say so."""
    (tmp_path / "journal.jsonl").mkdir()
    with pytest.raises(UsageError, match="it is not a file") as refused:
        journals.read(tmp_path / "journal.jsonl")
    assert refused.value.hint == "restore the file from a copy"


def test_the_last_cap_set_by_hand_counts_and_only_at_the_relays_that_stand(tmp_path):
    """A relay that was set up anew after everything was restored begins with its own."""
    relay = TargetId.relay("a")
    with Journal(tmp_path, clock, name=journals.THROTTLE) as journal:
        for owner, cap in (("old", 1), ("now", 2), ("now", None)):
            journal.append(owner, Throttled(target=relay, prior=0, planned=cap))
        assert changes.throttled(journal.records, "now") == {relay: None}
        assert changes.throttled(journal.records, "new") == {}
