"""What is told of a run is what its journal and its events have: no more, and nothing is lost where one of them is."""

from __future__ import annotations

import csv
import io
import json
import re
from xml.dom import minidom

import pytest

import told
from lrvmotion.events import Move, RunEnded, RunStarted
from lrvmotion.journal import audit_log
from lrvmotion.journal.event_log import EventLog, RecordedEvents
from lrvmotion.journal.journal import Journal
from lrvmotion.journal.records import MoveBegun, MoveEnded, RestoreBegun, RunBegun, Throttled
from lrvmotion.model.setting import SettingKey, Value
from lrvmotion.model.target_id import TargetId
from lrvmotion.report import run_history
from lrvmotion.views.report import data, html, markdown, plots


@pytest.fixture
def state(tmp_path):
    told.run(tmp_path, told.usual())
    return tmp_path


def made(state) -> run_history.RunHistory:
    return run_history.tell(told.records(state), told.RUN, told.kept(state))


def written(state) -> list[audit_log.Entry]:
    return audit_log.entries(told.records(state), (), told.RUN)


def put_back(state, *, run: str = "later1", **who) -> None:
    with Journal(state, lambda: "2026-11-24T08:00:00.000+00:00") as journal:
        journal.append(run, RestoreBegun(**who))
        journal.reverted(run, TargetId("source/a1"), told.OPTION, Value("long", 0))


def test_every_vm_has_its_tries_their_times_and_their_causes(state):
    """A failed try is there with its cause and what helps, its wait is no part of the next."""
    db, web, old = made(state).vms
    assert (db.state, len(db.attempts), db.seconds) == ("success", 1, 71.0)
    assert [(one.state, one.began, one.ended) for one in web.attempts] == [
        ("error", 20.0, 33.0),
        ("success", 64.0, 165.0),
    ]
    assert (web.attempts[0].reason, web.attempts[0].hint) == ("the connection was reset", "look at the circuit")
    assert (old.state, old.attempts, old.reason) == ("held", (), "it has 2 snapshots now")
    assert db.bps == pytest.approx(8 * told.GIB * 8 / 71.0)
    assert (old.bps, old.seconds) == (None, None)
    assert [vm.forecast_s for vm in (db, web, old)] == [60.0, 80.0, 100.0]


def test_what_was_carried_and_found_is_with_its_vm(state):
    """What was not carried says why."""
    db = made(state).vms[0]
    assert [(one.name, one.carried) for one in db.carried] == [("tier/gold", True), ("apart", False)]
    assert [one.summary for one in db.found] == ["tools are not back yet"]


def test_settings_have_before_during_and_now(state):
    """Put back by a later restore, or not restored; the value before is the first one recorded."""
    put_back(state)
    by_target = {setting.target: setting for setting in made(state).settings}
    assert by_target["source/a1"].now == "restored"
    assert by_target["source/a1"].ended == "2026-11-24T08:00:00.000+00:00"
    assert by_target["target/b1"].now == "not restored"
    assert (by_target["target/b1"].prior, by_target["target/b1"].planned) == (Value("long", 0), Value("long", 4))


def test_settings_that_an_earlier_run_left_are_told_with_that_run(state):
    """A second run changes nothing and yet runs on changed hosts."""
    with Journal(state, lambda: "2026-11-24T08:00:00.000+00:00") as journal:
        journal.append("second", RunBegun(mode="proxy", vms=("x",)))
    second = run_history.tell(told.records(state), "second", RecordedEvents(gone=True))
    assert {setting.by for setting in second.settings} == {told.RUN}
    assert len(second.settings) == 3


def test_without_events_the_journal_tells_what_it_knows(state):
    """Times and ends, and that rates are not known."""
    with Journal(state, lambda: "2026-11-24T08:00:00.000+00:00") as journal:
        journal.append("older1", RunBegun(mode="native", vms=("x", "y")))
        journal.append("older1", MoveBegun(vm="x", source_host="a1", target_host="b1", attempt=1))
        journal.append("older1", MoveEnded(vm="x", state="error", reason="it broke"))
    older = run_history.tell(told.records(state), "older1", RecordedEvents(gone=True))
    assert [(vm.state, vm.reason) for vm in older.vms] == [("error", "it broke"), ("queued", None)]
    assert len(older.vms[0].attempts) == 1
    assert any("not kept" in note for note in older.notes)
    assert plots.rates(older) is None
    assert "it broke" in markdown.report(older)


def test_the_journal_has_the_last_word_on_a_vm(state):
    """The disk took no more events, and the journal says that it moved."""
    cut = [one for one in told.kept(state).told if not (isinstance(one.event, Move) and one.event.state == "success")]
    last = run_history.tell(told.records(state), told.RUN, RecordedEvents(told=tuple(cut[:-1])))
    assert [vm.state for vm in last.vms] == ["success", "success", "held"]
    assert any("was not seen" in note for note in last.notes)


def test_a_run_that_is_taken_up_goes_on_on_one_axis(state):
    """Each process counts its own seconds; the wall clock joins them."""
    clock = told.Clock()
    clock.seconds = 1000.0
    with EventLog(state, clock, lambda event: None, seconds=lambda: clock.seconds) as log:
        log(RunStarted(run=told.RUN, mode="proxy", journal="j", vms=("old",)))
        clock.seconds = 1010.0
        log(told.move("old", "running"))
        clock.seconds = 1060.0
        log(told.move("old", "success", 100))
        log(RunEnded(run=told.RUN, outstanding=0))
    with Journal(state, clock) as journal:
        journal.append(told.RUN, MoveEnded(vm="old", state="success"))
    twice = made(state)
    assert (twice.sittings, twice.seconds, twice.forecast_s) == (2, 1060.0, 150.0)
    assert [(one.began, one.ended) for one in twice.vms[2].attempts] == [(1010.0, 1060.0)]


def test_the_audit_log_has_who_when_what_prior_and_new(state):
    """And who put back what this run changed, with the same."""
    put_back(state, who="bob@desk", accounts={"source": "bob at vc-a"})
    entries = written(state)
    changed = next(entry for entry in entries if entry.what == "intended")
    assert (changed.who, changed.account, changed.subject) == ("ada@desk", "ops@a at vc-a", "source/a1")
    assert (changed.prior, changed.new, changed.key) == ("0", "4", told.OPTION)
    back = entries[-1]
    assert (back.what, back.who, back.account, back.new) == ("reverted", "bob@desk", "bob at vc-a", "0")
    assert {"run", "intended", "applied", "moved", "restore", "reverted"} == {entry.what for entry in entries}


@pytest.mark.parametrize("target", ["r1:source/a1", "r1:target/b1", "r1:relay/r", "source/a1", "target/b1", "relay/r"])
def test_a_write_is_made_with_the_account_of_the_connection_to_its_target(state, target):
    """Also where only an earlier run's connection leads there: it is another vCenter's account, or a relay host's."""
    names = ("source", "target", "relay/r", "r1:source", "r1:target", "r1:relay/r")
    with Journal(state, lambda: "2026-11-24T08:00:00.000+00:00") as journal:
        journal.append("later1", RestoreBegun(who="bob@desk", accounts={name: f"bob at {name}" for name in names}))
        journal.reverted("later1", TargetId(target), SettingKey("option/x"), Value("long", 0))
    back = audit_log.entries(told.records(state))[-1]
    assert (back.subject, back.account) == (target, f"bob at {TargetId(target).connection}")


def test_a_cap_set_by_hand_is_in_the_audit_log_at_its_time(state):
    """It is kept beside the journal, which the run holds."""
    at = (told.START).replace(minute=1).isoformat(timespec="milliseconds")
    with Journal(state, lambda: at, name="throttle") as journal:
        body = Throttled(target=TargetId("relay/r"), prior=None, planned=500_000_000, who="eve@desk")
        caps = [journal.append("owner9", body), journal.append("another", body)]
    entries = audit_log.entries(told.records(state), caps, told.RUN)
    (cap,) = [entry for entry in entries if entry.what == "throttle"]
    assert (cap.who, cap.prior, cap.new) == ("eve@desk", "none", "500000000")
    assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)


def test_a_record_without_a_name_says_that_it_has_none(state):
    """Records of an older version name nobody, and nobody is made up."""
    put_back(state)
    back = written(state)[-1]
    assert back.who == audit_log.NOT_RECORDED


def test_html_is_one_file_that_asks_nobody(state):
    """No script, no link, no image from elsewhere; every plot is whole SVG."""
    page = html.report(made(state), written(state))
    assert not re.search(r"<script|<link|<img|<iframe|@import|url\(|src=", page)
    addresses = set(re.findall(r"https?://[^\"'\s<]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg"}
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(drawings) == 4
    for drawing in drawings:
        minidom.parseString(drawing)  # noqa: S318 - our own


def test_a_short_name_or_time_is_not_broken_in_two(state):
    """A browser breaks relay/relay-a behind the hyphen, and a date, where a column beside it wants the room."""
    put_back(state)
    page = html.report(made(state), written(state))
    assert ".w{white-space:nowrap}" in page
    cells = re.findall(r"<td(?: class=(\w+))?>([^<]*)</td>", page)
    assert {kind for kind, text in cells if text.startswith(("source/", "restored "))} == {"w"}
    assert "" in {kind for kind, text in cells if len(text) > 60}, "long text wraps"


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "a|b`c", '"><b>x', "=1+1", "ünï", "a\nb"])
def test_a_name_is_text_in_every_form(tmp_path, name):
    """Whatever a VM is called: no markup, no column, no formula of a spreadsheet."""
    events = [
        (1.0, told.move(name, "running")),
        (9.0, told.move(name, "success", 100)),
        (9.0, RunEnded(run="r", outstanding=0)),
    ]
    told.run(tmp_path, events, vms=(name,))
    one = made(tmp_path)
    page = html.report(one, written(tmp_path))
    assert not re.search(r"<script|<b>x", page)
    text = markdown.report(one)
    rows = [line for line in text.splitlines() if line.startswith("|") and "1:00" in line]
    assert len({re.sub(r"\\\|", "", row).count("|") for row in rows}) == 1
    (row,) = list(csv.DictReader(io.StringIO(data.vms_csv(one))))
    assert row["vm"].lstrip("'") == name
    assert not row["vm"].startswith("=")
    assert json.loads(json.dumps(data.story_json(one)))["vms"][0]["vm"] == name


def test_the_rates_add_up_to_what_went_over(state):
    """The area under the plot is the bytes: each VM's, and those of a failed try as well."""
    one = made(state)
    width = one.end_s / 100
    bits = {vm.vm: sum(plots._bins([vm], width, 100)) * width for vm in one.vms}
    assert bits["db"] == pytest.approx(8 * told.GIB * 8)
    assert bits["web"] == pytest.approx(8 * told.GIB * 8 * 1.30)
    assert bits["old"] == 0


def test_five_hundred_vms_fit(tmp_path):
    """The page stays a page."""
    names = tuple(f"vm{number:03}" for number in range(500))
    events = []
    for number, name in enumerate(names):
        events += [(number + at * 4.0, told.move(name, "running", at * 10)) for at in range(10)]
        events += [(number + 40.0, told.move(name, "success", 100))]
    told.run(tmp_path, sorted(events, key=lambda one: one[0]), vms=names)
    page = html.report(made(tmp_path), written(tmp_path))
    assert len(page) < 3_000_000
    assert "492 others" in page
