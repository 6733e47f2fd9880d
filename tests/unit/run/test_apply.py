"""apply and revert: whatever happens in between, everything comes back, and nobody else's change is lost."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import Died, FakeTarget, Fuse, MortalFile, change_of
from lrvmotion.errors import RefusedError, TrustError, UnreachableError
from lrvmotion.events import Changed, Left
from lrvmotion.journal.journal import Journal
from lrvmotion.model.setting import ABSENT, Value, document
from lrvmotion.run.apply import apply, revert

KEYS = ["portgroup/p", "vmknic/10.0.0.1", "option/Migrate.VMotionStreamHelpers", "route/s/10.0.0.9/32"]
VALUES = [ABSENT, Value("long", 0), Value("long", 48), Value("string", ""), document(vlan_id=0), document(vlan_id=7)]


def clock():
    return "2026-01-01T00:00:00.000+00:00"


def changes_of(before, planned):
    return [
        change_of(target, key, before[target].get(key, ABSENT), value)
        for target, key, value in planned
        if before[target].get(key, ABSENT) != value
    ]


@st.composite
def worlds(draw):
    """Two targets with some settings, and an ordered list of settings to change on them."""
    before = {
        name: {key: value for key in KEYS if (value := draw(st.sampled_from(VALUES))) != ABSENT}
        for name in ("relay/r", "source/a")
    }
    pairs = draw(st.lists(st.tuples(st.sampled_from(list(before)), st.sampled_from(KEYS)), unique=True, max_size=6))
    return before, [(target, key, draw(st.sampled_from(VALUES))) for target, key in pairs]


def restored(directory, targets):
    with Journal(directory, clock) as journal:
        done = revert(journal, targets.__getitem__, lambda event: None, run="restore")
        assert not done.left
        assert journal.outstanding() == []


@given(worlds())
@settings(max_examples=60, deadline=None)
def test_revert_after_apply_is_what_was_before(tmp_path_factory, world):
    """revert of apply is the identity, whatever was there and whatever was planned."""
    before, planned = world
    directory = tmp_path_factory.mktemp("journal")
    targets = {name: FakeTarget(name, dict(values)) for name, values in before.items()}
    with Journal(directory, clock) as journal:
        apply(changes_of(before, planned), targets, journal, "r", lambda event: None)
    for target, key, value in planned:
        assert targets[target].values.get(key, ABSENT) == value
    restored(directory, targets)
    assert {name: target.values for name, target in targets.items()} == before


@given(worlds(), st.data())
@settings(max_examples=150, deadline=None)
def test_death_at_any_journal_byte_or_target_call_loses_nothing(tmp_path_factory, world, data):
    """The process dies at any byte that it writes to the journal, or before or after any call: all comes back."""
    before, planned = world

    def run(directory, fuse):
        targets = {name: FakeTarget(name, dict(values), fuse) for name, values in before.items()}
        try:
            with Journal(directory, clock, opener=lambda path: MortalFile(path, fuse)) as journal:
                apply(changes_of(before, planned), targets, journal, "r", lambda event: None)
        except Died:
            pass
        return targets

    whole = Fuse()
    run(tmp_path_factory.mktemp("whole"), whole)
    directory = tmp_path_factory.mktemp("dying")
    targets = run(directory, Fuse(data.draw(st.integers(0, whole.burnt))))
    for _ in range(data.draw(st.integers(0, 2))):  # the restore may die too, more than once
        fuse = Fuse(data.draw(st.integers(0, whole.burnt + 1)))
        for target in targets.values():
            target.fuse = fuse
        try:
            with Journal(directory, clock, opener=lambda path, fuse=fuse: MortalFile(path, fuse)) as journal:
                revert(journal, targets.__getitem__, lambda event: None, run="restore")
        except Died:
            pass
    for target in targets.values():
        target.fuse = Fuse()
    restored(directory, targets)
    assert {name: target.values for name, target in targets.items()} == before


def test_every_single_death_point_of_one_run_is_survived(tmp_path):
    """The same, not by chance but at every point there is."""
    before = {"relay/r": {}, "source/a": {KEYS[2]: Value("long", 0)}}
    planned = [("relay/r", KEYS[0], document(vlan_id=7)), ("source/a", KEYS[2], Value("long", 48))]
    whole = Fuse()
    points = None
    for left in range(100_000):
        directory = tmp_path / str(left)
        fuse = Fuse(None if points is None else left)
        targets = {name: FakeTarget(name, dict(values), fuse) for name, values in before.items()}
        try:
            with Journal(directory, clock, opener=lambda path, fuse=fuse: MortalFile(path, fuse)) as journal:
                apply(changes_of(before, planned), targets, journal, "r", lambda event: None)
        except Died:
            pass
        points = points or fuse.burnt
        for target in targets.values():
            target.fuse = whole
        restored(directory, targets)
        assert {name: target.values for name, target in targets.items()} == before
        if left > points:
            break
    assert points is not None
    assert points > 500


def test_a_setting_that_changed_since_the_plan_is_not_overwritten(tmp_path):
    """Compare and set: what is not the plan's prior is somebody's, and stays."""
    target = FakeTarget("source/a", {"option/x": Value("long", 6)})
    change = change_of("source/a", "option/x", Value("long", 0), Value("long", 48))
    with Journal(tmp_path, clock) as journal, pytest.raises(RefusedError, match="is 6"):
        apply([change], {"source/a": target}, journal, "r", lambda event: None)
    assert target.writes == []


def test_what_somebody_else_changed_is_left_and_named_unless_forced(tmp_path):
    """restore-defaults leaves a foreign value alone; --force puts the prior back."""
    target = FakeTarget("source/a", {"option/x": Value("long", 0)})
    change = change_of("source/a", "option/x", Value("long", 0), Value("long", 8))
    events = []
    with Journal(tmp_path, clock) as journal:
        apply([change], {"source/a": target}, journal, "r", events.append)
        target.values["option/x"] = Value("long", 6)
        done = revert(journal, lambda name: target, events.append, run="r2")
        assert [reason for _, reason in done.left] == ["is 6, expected 8 or 0; left as it is"]
        assert target.values["option/x"] == Value("long", 6)
        assert revert(journal, lambda name: target, events.append, run="r2", force=True).left == []
    assert target.values["option/x"] == Value("long", 0)
    assert [type(event) for event in events] == [Changed, Left, Changed]


def test_a_write_that_does_not_read_back_is_refused(tmp_path):
    """A host profile that enforces a value shows at once."""

    class Enforcing(FakeTarget):
        def write(self, key, value):
            pass

    target = Enforcing("source/a", {"option/x": Value("long", 0)})
    change = change_of("source/a", "option/x", Value("long", 0), Value("long", 8))
    with Journal(tmp_path, clock) as journal, pytest.raises(RefusedError, match="reads 0"):
        apply([change], {"source/a": target}, journal, "r", lambda event: None)


def test_revert_waits_while_a_relocate_runs_and_leaves_the_host_where_nobody_waits(tmp_path):
    """A host is written only while no relocate runs on it."""
    target = FakeTarget("source/a", {})
    change = change_of("source/a", "option/x", ABSENT, Value("long", 8))
    with Journal(tmp_path, clock) as journal:
        apply([change], {"source/a": target}, journal, "r", lambda event: None)
        target.running = ["relocate of vm1 runs (task-3)"]
        done = revert(journal, lambda name: target, lambda event: None, run="r2")
        assert "relocate of vm1" in done.left[0][1]
        waits = []

        def wait(which, running):
            waits.append(running)
            target.running = []

        assert revert(journal, lambda name: target, lambda event: None, run="r3", wait=wait).left == []
    assert waits == [["relocate of vm1 runs (task-3)"]]
    assert target.values == {}


class Trouble(FakeTarget):
    """Raises what it is told to, so many times."""

    def __init__(self, name, values):
        super().__init__(name, values)
        self.raises = []

    def read(self, key):
        if self.raises:
            raise self.raises.pop(0)
        return super().read(key)


def changed(directory, *wanted):
    """Return a journal in which the targets of *wanted*, made here, were changed, and the targets by name."""
    targets = {name: Trouble(name, {}) for name, _ in wanted}
    changes = [change_of(name, key, ABSENT, Value("long", 8)) for name, key in wanted]
    with Journal(directory, clock) as journal:
        apply(changes, targets, journal, "r", lambda event: None)
    return targets


def test_one_lost_answer_is_asked_for_again_and_a_silent_host_only_twice(tmp_path):
    """The rest goes on, and nobody waits for a dead host once a setting."""
    targets = changed(tmp_path, *(("source/a", f"option/{n}") for n in range(9)), ("source/b", "option/x"))
    targets["source/b"].raises = [UnreachableError("no answer")]
    targets["source/a"].raises = [UnreachableError("no answer")] * 5
    with Journal(tmp_path, clock) as journal:
        done = revert(journal, targets.__getitem__, lambda event: None, run="r2")
        assert targets["source/b"].values == {}
        assert [item.target for item, _ in done.left] == ["source/a"] * 9
        assert len(targets["source/a"].raises) == 3
        targets["source/a"].raises = []
        assert revert(journal, targets.__getitem__, lambda event: None, run="r3").left == []


def test_a_refused_login_is_tried_once(tmp_path):
    """Once a setting would lock the account; the other site is restored all the same."""
    targets = changed(tmp_path, ("target/b", "option/x"), ("source/a", "option/x"), ("source/c", "option/x"))
    tried = []

    def login(name):
        tried.append(name)
        if name.startswith("source/"):
            message = "wrong password"
            raise TrustError(message)
        return targets[name]

    with Journal(tmp_path, clock) as journal:
        done = revert(journal, login, lambda event: None, run="r2")
    assert tried == ["source/c", "target/b"]
    assert [item.target for item, _ in done.left] == ["source/c", "source/a"]
    assert targets["target/b"].values == {}


def test_a_box_stays_while_a_host_may_send_through_it(tmp_path):
    """A box that no longer forwards would cut off the host whose route could not be restored."""
    targets = changed(tmp_path, ("relay/r", "sysctl/net.ipv4.ip_forward"), ("source/a", "route/s/10.0.0.9/32"))
    targets["source/a"].raises = [RefusedError("HostConfigFault")]
    with Journal(tmp_path, clock) as journal:
        done = revert(journal, targets.__getitem__, lambda event: None, run="r2")
        assert [item.target for item, _ in done.left] == ["source/a", "relay/r"]
        assert targets["relay/r"].values != {}
        targets["source/a"].values["route/s/10.0.0.9/32"] = Value("long", 9)  # somebody's, so not through our box
        done = revert(journal, targets.__getitem__, lambda event: None, run="r3")
        assert [item.target for item, _ in done.left] == ["source/a"]
    assert targets["relay/r"].values == {}


def test_a_full_disk_puts_values_back_and_says_that_they_are_not_recorded(tmp_path):
    """The hosts come first: the next restore finds them as they were."""
    targets = changed(tmp_path, ("source/a", "option/x"))

    class Full(MortalFile):
        def write(self, data):
            raise OSError(28, "No space left on device")

    with Journal(tmp_path, clock, opener=lambda path: Full(path, Fuse())) as journal:
        done = revert(journal, targets.__getitem__, lambda event: None, run="r2")
    assert "No space left" in done.left[0][1]
    assert targets["source/a"].values == {}
    with Journal(tmp_path, clock) as journal:
        assert revert(journal, targets.__getitem__, lambda event: None, run="r3").left == []


def test_a_service_that_died_is_still_ours(tmp_path):
    """What it runs and that it is enabled are settings; that it stopped is nobody's change."""
    target = FakeTarget("relay/r", {})
    on = document(active=True, enabled=True, config="a.json")
    change = change_of("relay/r", "unit/x.service", ABSENT, on)
    with Journal(tmp_path, clock) as journal:
        apply([change], {"relay/r": target}, journal, "r", lambda event: None)
        target.values["unit/x.service"] = document(active=False, enabled=True, config="b.json")
        assert len(revert(journal, lambda name: target, lambda event: None, run="r2").left) == 1
        target.values["unit/x.service"] = document(active=False, enabled=True, config="a.json")
        assert revert(journal, lambda name: target, lambda event: None, run="r3").left == []
    assert target.values == {}


class Host(FakeTarget):
    """A host: a port group in use by a vmknic cannot be removed."""

    def write(self, key, value):
        name = key.removeprefix("portgroup/")
        used = [
            at for at, nic in self.values.items() if at.startswith("vmknic/") and f'"portgroup":"{name}"' in nic.data
        ]
        if key.startswith("portgroup/") and value == ABSENT and used:
            message = f"{key} is in use by {used[0]}"
            raise RefusedError(message)
        super().write(key, value)


def made(key, planned):
    return change_of("source/a", key, ABSENT, planned)


def test_what_was_made_anew_is_put_back_before_what_it_stands_on(tmp_path):
    """A vmknic that went away, by hand or by a restore that died, is made again on another port group: newest first."""
    target = Host("source/a", {})
    old, new = (document(portgroup=f"p{number}") for number in (1, 2))
    with Journal(tmp_path, clock) as journal:
        apply(
            [made("portgroup/p1", document(vlan_id=7)), made("vmknic/10.0.0.1", old)],
            {"source/a": target},
            journal,
            "r1",
            print,
        )
        del target.values["vmknic/10.0.0.1"]
        apply(
            [made("portgroup/p2", document(vlan_id=7)), made("vmknic/10.0.0.1", new)],
            {"source/a": target},
            journal,
            "r2",
            print,
        )
        done = revert(journal, lambda name: target, lambda event: None, run="r3")
    assert done.left == []
    assert target.values == {}


def test_what_was_refused_is_tried_again_once_the_others_are_done(tmp_path):
    """Whatever stood in its way may be gone then; what still cannot be restored is told once."""
    target = Host("source/a", {})
    events = []
    with Journal(tmp_path, clock) as journal:
        changes = [made("vmknic/10.0.0.1", document(portgroup="p1")), made("portgroup/p1", document(vlan_id=7))]
        apply([*changes, made("portgroup/p2", document(vlan_id=7))], {"source/a": target}, journal, "r1", print)
        target.values["vmknic/10.0.0.2"] = document(portgroup="p2")  # somebody's
        done = revert(journal, lambda name: target, events.append, run="r2")
    assert [item.key for item, _ in done.left] == ["portgroup/p2"]
    assert [event.key for event in events if isinstance(event, Left)] == ["portgroup/p2"]
    assert list(target.values) == ["portgroup/p2", "vmknic/10.0.0.2"]


def test_what_leads_to_a_box_goes_before_the_box_however_new_the_box_is(tmp_path):
    """A second run starts the relay again: the route of the first one still goes back before the relay stops."""
    order = []

    class Watched(FakeTarget):
        def write(self, key, value):
            order.append(key)
            super().write(key, value)

    targets = {name: Watched(name, {}) for name in ("relay/r", "source/a")}
    unit = [document(active=True, enabled=True, config=name) for name in ("a.json", "b.json")]
    with Journal(tmp_path, clock) as journal:
        first = change_of("relay/r", "unit/x", ABSENT, unit[0])
        second = change_of("relay/r", "unit/x", unit[0], unit[1])
        apply([first, made("route/s/10.0.0.9/32", Value("string", "10.0.0.5"))], targets, journal, "r1", print)
        apply([second], targets, journal, "r2", print)
        order.clear()
        assert revert(journal, targets.__getitem__, lambda event: None, run="r3").left == []
    assert order == ["route/s/10.0.0.9/32", "unit/x"]


def test_an_outstanding_setting_that_somebody_else_changed_is_never_overwritten_by_a_later_run(tmp_path):
    """Whatever a plan says: their value stays theirs, and restore names it."""
    target = FakeTarget("source/a", {"option/x": Value("long", 0)})

    def change(prior, planned):
        return change_of("source/a", "option/x", Value("long", prior), Value("long", planned))

    with Journal(tmp_path, clock) as journal:
        apply([change(0, 48)], {"source/a": target}, journal, "r1", lambda event: None)
        target.values["option/x"] = Value("long", 7)
        with pytest.raises(RefusedError, match="is 7, 48 was set"):
            apply([change(7, 5)], {"source/a": target}, journal, "r2", lambda event: None)
        assert len(revert(journal, lambda name: target, lambda event: None, run="r3").left) == 1
        assert target.values["option/x"] == Value("long", 7)
        target.values["option/x"] = Value("long", 0)  # as before, by hand: free for the next run
        apply([change(0, 5)], {"source/a": target}, journal, "r4", lambda event: None)
        target.values["option/x"] = Value("long", 48)  # what an earlier run had set is not what stands there now
        assert len(revert(journal, lambda name: target, lambda event: None, run="r5").left) == 1


def test_a_way_that_cannot_be_put_back_keeps_the_box_also_when_the_rest_is_tried_again(tmp_path):
    """A host that does not answer may still send through it."""
    targets = changed(tmp_path, ("relay/r", "unit/x"), ("source/a", "route/s/10.0.0.9/32"), ("source/b", "option/x"))
    targets["source/a"].raises = [UnreachableError("no answer")] * 9
    with Journal(tmp_path, clock) as journal:
        done = revert(journal, targets.__getitem__, lambda event: None, run="r2")
    assert sorted(item.target for item, _ in done.left) == ["relay/r", "source/a"]
    assert targets["relay/r"].values != {}
