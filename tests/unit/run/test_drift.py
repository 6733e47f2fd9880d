"""What became of outstanding settings is found before anything is planned."""

from __future__ import annotations

from fakes import FakeTarget, change_of
from lrvmotion.errors import UnreachableError
from lrvmotion.journal import changes
from lrvmotion.journal.journal import Journal
from lrvmotion.model.setting import ABSENT, Value, document
from lrvmotion.model.target_id import TargetId
from lrvmotion.run import drift
from lrvmotion.run.apply import apply


def clock():
    return "2026-01-01T00:00:00.000+00:00"


def changed(directory, values):
    """Return a target whose settings were changed from absent, as a journal in *directory* says."""
    target = FakeTarget("source/a", {})
    changes = [change_of("source/a", key, ABSENT, value) for key, value in values.items()]
    with Journal(directory, clock) as journal:
        apply(changes, {"source/a": target}, journal, "r1", lambda event: None)
    return target


NEW = Value("string", "new")
LONG = {f"option/{number}": Value("long", 48) for number in range(3)}


def test_what_reads_as_before_is_closed_and_what_is_neither_is_theirs(tmp_path):
    """Of three settings one was restored without a record, one changed by somebody else, one stands."""
    target = changed(tmp_path, LONG)
    del target.values["option/0"]
    target.values["option/1"] = Value("long", 7)
    with Journal(tmp_path, clock) as journal:
        seen = drift.look(journal.outstanding(), lambda name, key: target.read(key))
        assert [item.key for item in seen.back] == ["option/0"]
        assert [(one.key, one.ours.data, one.now.data, one.run) for one in seen.theirs] == [("option/1", 48, 7, "r1")]
        imagined = drift.closed(journal.records, seen)
        drift.close(journal, seen, "r2")
        assert changes.outstanding(imagined) == journal.outstanding()
        assert [item.key for item in journal.outstanding()] == ["option/1", "option/2"]
        held = drift.drifted(journal.outstanding(), {"source/a"}, (), lambda name, key: target.read(key))
        assert held == ["source/a: 1 is 7, 48 was set"]
        known = drift.drifted(journal.outstanding(), {"source/a"}, seen.theirs, lambda name, key: target.read(key))
        assert known == []


def test_the_owner_id_is_free_again_once_everything_reads_as_before(tmp_path):
    """A restore on a full disk puts values back and records nothing: the next plan begins again."""
    changed(tmp_path, LONG)
    with Journal(tmp_path, clock) as journal:
        seen = drift.look(journal.outstanding(), lambda name, key: ABSENT)
        assert changes.owner_id(drift.closed(journal.records, seen)) is None
        assert changes.owner_id(journal.records) == "r1"


def test_what_a_rebooted_relay_host_forgot_is_set_again_and_nothing_else(tmp_path):
    """Its governor and a kernel setting read as before; one that somebody changed, and what is in files, stay so."""
    was = {key: Value("string", "old") for key in ("governor", "sysctl/a", "sysctl/b", "sysctl/c", "unit/u", "file/f")}
    target = FakeTarget("relay/r", dict(was))
    changes = [change_of("relay/r", key, old, NEW, "t") for key, old in was.items()]
    with Journal(tmp_path, clock) as journal:
        apply(changes, {"relay/r": target}, journal, "r1", lambda event: None)
        target.values |= {"governor": was["governor"], "sysctl/a": was["sysctl/a"], "unit/u": was["unit/u"]}
        target.values["sysctl/b"] = Value("string", "somebody's")
        found = drift.forgotten(journal.outstanding(), TargetId("relay/r"), target.read)
        assert {change.key for change in found} == {"governor", "sysctl/a"}
        assert drift.forgotten(journal.outstanding(), TargetId("relay/other"), target.read) == ()
        apply(found, {"relay/r": target}, journal, "r1", lambda event: None)
        assert drift.forgotten(journal.outstanding(), TargetId("relay/r"), target.read) == ()
        assert (target.values["governor"], target.values["sysctl/a"]) == (NEW, NEW)
        assert {item.key: item.prior for item in journal.outstanding()} == was
        held = drift.drifted(journal.outstanding(), {"relay/r"}, (), lambda name, key: target.read(key))
        assert held == ["relay/r: sysctl b is somebody's, new was set", "relay/r: unit u is old, new was set"]


def test_one_lost_answer_is_asked_for_again(tmp_path):
    """Else what somebody else changed on that host would go unnamed."""
    target = changed(tmp_path, LONG)
    target.values["option/0"] = Value("long", 7)
    lost = [UnreachableError("no answer")]

    def read(name, key):
        if lost:
            raise lost.pop()
        return target.read(key)

    with Journal(tmp_path, clock) as journal:
        assert [one.key for one in drift.look(journal.outstanding(), read).theirs] == ["option/0"]


def test_a_target_that_does_not_answer_is_not_asked_for_each_setting(tmp_path):
    """Nothing is closed that was not seen."""
    changed(tmp_path, LONG)
    asked = []

    def read(name, key):
        asked.append(key)
        message = "no answer"
        raise UnreachableError(message)

    with Journal(tmp_path, clock) as journal:
        assert drift.look(journal.outstanding(), read) == drift.Seen()
    assert len(asked) == 2


def test_a_service_that_stopped_is_nobodys_change(tmp_path):
    """It is started again; what it was told to run is what counts."""
    on = document(active=True, enabled=True, config="a.json")
    target = changed(tmp_path, {"unit/x": on})
    target.values["unit/x"] = document(active=False, enabled=True, config="a.json")
    with Journal(tmp_path, clock) as journal:
        assert drift.look(journal.outstanding(), lambda name, key: target.read(key)) == drift.Seen()
        change = change_of("source/a", "unit/x", target.read("unit/x"), on)
        assert apply([change], {"source/a": target}, journal, "r2", lambda event: None) == 1
