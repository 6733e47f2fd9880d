"""The schedule: never over a limit, always ends; and the driver over it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import FakeMover
from lrvmotion.errors import RefusedError, UnreachableError
from lrvmotion.events import Message, Move, Upcoming
from lrvmotion.journal.run_state import UnfinishedMove
from lrvmotion.model.inventory import MoRef
from lrvmotion.model.placement import DiskMapping
from lrvmotion.plan.schedule import (
    OVERTAKEN,
    Bar,
    Begin,
    Cancel,
    Due,
    Ended,
    Failed,
    Hold,
    Limits,
    Room,
    Schedule,
    Start,
    Stop,
    queue_end,
)
from lrvmotion.ports.mover import TaskUpdate
from lrvmotion.run.moves.collaborators import Retries
from lrvmotion.run.moves.migration_driver import drive
from queued import collaborators, migration, ticking


def names(commands):
    return [
        (type(command).__name__, command.migration.vm if isinstance(command, Start) else command.vm)
        for command in commands
    ]


def test_one_at_a_time_on_a_pair_of_hosts():
    """The second VM of a host waits for the first; one with other hosts passes it."""
    schedule = Schedule([migration("vm1"), migration("vm2"), migration("vm3", "a2", "b2")])
    assert names(schedule.step(Begin())) == [("Start", "vm1"), ("Start", "vm3")]
    assert names(schedule.step(Ended(vm="vm3", state="success"))) == []
    assert names(schedule.step(Ended(vm="vm1", state="error"))) == [("Start", "vm2")]


def test_stop_starts_nothing_more_and_cancel_names_what_runs():
    """Ctrl-C once, then twice."""
    schedule = Schedule([migration("vm1"), migration("vm2")])
    schedule.step(Begin())
    assert schedule.step(Stop()) == []
    assert not schedule.finished
    assert schedule.step(Stop(cancel=True)) == [Cancel(vm="vm1")]
    assert schedule.step(Ended(vm="vm1", state="cancelled")) == []
    assert schedule.finished


def test_too_many_failures_stop_the_rest():
    """--max-failures 0: the first failure is one too many."""
    schedule = Schedule([migration("vm1"), migration("vm2")], max_failures=0)
    schedule.step(Begin())
    assert schedule.step(Ended(vm="vm1", state="error")) == []
    assert schedule.finished


def test_a_migration_ends_once():
    """A second end of the same VM is a defect, not news."""
    schedule = Schedule([migration("vm1")])
    schedule.step(Begin())
    schedule.step(Ended(vm="vm1", state="success"))
    with pytest.raises(ValueError, match="ended already"):
        schedule.step(Ended(vm="vm1", state="success"))


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), max_size=12),
    st.integers(1, 2),
    st.randoms(use_true_random=False),
)
def test_no_limit_is_ever_exceeded_and_it_always_ends(pairs, per_host, rng):
    """Whatever ends in whatever order: leases hold, and every VM gets its turn."""
    migrations = [migration(f"vm{n}", f"a{a}", f"b{b}") for n, (a, b) in enumerate(pairs)]
    schedule = Schedule(migrations, Limits(per_host=per_host))
    running = {command.migration.vm: command.migration for command in schedule.step(Begin())}
    ended = []
    while not schedule.finished:
        busy = Counter(m.source_host for m in running.values()) + Counter(
            m.placement.host.name for m in running.values()
        )
        assert all(count <= per_host for count in busy.values())
        assert running
        vm = rng.choice(sorted(running))
        del running[vm]
        ended.append(vm)
        state = rng.choice(["success", "error", "cancelled", "held"])
        running.update({c.migration.vm: c.migration for c in schedule.step(Ended(vm=vm, state=state))})
    assert sorted(ended) == sorted(m.vm for m in migrations)


def test_the_queue_ends_when_its_hosts_have_done():
    """One at a time at a1, b1; a2 -> b2 goes beside them: 10 + 20 s. Two at a time: 20 s."""
    moves = [migration("x"), migration("y"), migration("z", "a2", "b2")]
    seconds = {"x": 10.0, "y": 20.0, "z": 5.0}
    assert queue_end(Schedule(moves), seconds) == 30
    assert queue_end(Schedule(moves, Limits(per_host=2)), seconds) == 20
    assert queue_end(Schedule([]), {}) == 0


@pytest.mark.parametrize(
    ("limits", "max_concurrent"),
    [
        (Limits(), 4),
        (Limits(per_datastore=2), 2),
        (Limits(per_network=3), 3),
        (Limits(per_relay=1), 3),
        (Limits(max_concurrent=1), 1),
    ],
)
def test_every_lease_has_its_limit(limits, max_concurrent):
    """Four pairs of hosts, one datastore, one network; two of them through one relay."""
    moves = [migration(f"vm{n}", f"a{n}", f"b{n}", vmotion_networks=("source/vMotion",)) for n in range(4)]
    relay_by_host = {"a0": "relay-a", "a1": "relay-a", "a2": "relay-b"}
    assert len(Schedule(moves, limits, relay_by_host=relay_by_host).step(Begin())) == max_concurrent


def test_a_datastore_is_taken_by_every_vm_that_has_a_disk_there():
    """Two VMs whose homes are apart and whose disks are together; datastores of one name in two datacenters are two."""

    def on(name, host_number, home, *disks):
        move = migration(name, f"a{host_number}", f"b{host_number}")
        stores = [replace(move.placement.datastore, ref=MoRef("Datastore", ref)) for ref in (home, *disks)]
        places = tuple(
            DiskMapping(key=2000 + n, label=f"Hard disk {n + 1}", source="", datastore=store)
            for n, store in enumerate(stores[1:])
        )
        return replace(move, placement=replace(move.placement, datastore=stores[0], disks=places))

    moves = [on("x", 1, "d1", "d3"), on("y", 2, "d2", "d3"), on("z", 3, "d4")]
    started = names(Schedule(moves, Limits(per_datastore=1)).step(Begin()))
    assert started == [("Start", "x"), ("Start", "z")]


def test_a_wave_begins_when_the_waves_before_it_have_ended():
    """A barrier: however a VM of the first wave ended, and whatever hosts are free."""
    moves = [migration("db"), migration("cache", "a2", "b2"), migration("web", "a3", "b3", wave=2)]
    schedule = Schedule(moves)
    assert names(schedule.step(Begin())) == [("Start", "db"), ("Start", "cache")]
    assert schedule.step(Ended(vm="db", state="success")) == []
    assert names(schedule.step(Ended(vm="cache", state="error"))) == [("Start", "web")]


def test_a_vm_that_comes_after_another_waits_for_it_and_is_held_when_that_failed():
    """And so is what comes after that; what comes after a VM that is not in this run does not wait."""
    moves = [
        migration("db"), migration("app", "a2", "b2", depends_on=("db",)),
        migration("web", "a3", "b3", depends_on=("app",)),
        migration("other", "a4", "b4", depends_on=("elsewhere",)),
    ]  # fmt: skip
    schedule = Schedule(moves)
    assert names(schedule.step(Begin())) == [("Start", "db"), ("Start", "other")]
    assert schedule.step(Ended(vm="db", state="cancelled")) == [
        Hold(vm="app", reason="comes after db, which did not move"),
        Hold(vm="web", reason="comes after app, which did not move"),
    ]
    moved = Schedule(moves)
    moved.step(Begin())
    assert names(moved.step(Ended(vm="db", state="success"))) == [("Start", "app")]


def test_what_does_not_fit_into_the_window_does_not_start():
    """A shorter one passes; a closed window lets nothing start, and one without an end everything."""
    moves = [migration("long"), migration("short", "a2", "b2")]
    schedule = Schedule(moves, seconds={"long": 600, "short": 60})
    assert schedule.step(Room(seconds=0)) == []
    assert names(schedule.step(Room(seconds=100))) == [("Start", "short")]
    assert not schedule.finished
    assert schedule.too_long(500) == ["long"]
    assert names(schedule.step(Room(seconds=None))) == [("Start", "long")]


def test_a_failed_try_gives_its_leases_back_while_it_waits():
    """The next VM of the host moves meanwhile; when the wait is over it queues again."""
    schedule = Schedule([migration("vm1"), migration("vm2")])
    schedule.step(Begin())
    assert names(schedule.step(Failed(vm="vm1"))) == [("Start", "vm2")]
    assert schedule.step(Due(vm="vm1")) == []
    assert names(schedule.step(Ended(vm="vm2", state="success"))) == [("Start", "vm1")]
    with pytest.raises(ValueError, match="is running, not waiting"):
        schedule.step(Due(vm="vm1"))


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.booleans()), max_size=12),
    st.randoms(use_true_random=False),
)
def test_waves_dependencies_and_failed_tries_never_leave_a_vm_behind(drawn, rng):
    """Every VM ends; none starts before its wave, nor before what it comes after has moved."""
    made = []
    for n, (a, b, wave, tied) in enumerate(drawn):
        earlier = [m.vm for m in made if m.wave <= wave]
        after = (rng.choice(earlier),) if tied and earlier else ()
        made.append(migration(f"vm{n}", f"a{a}", f"b{b}", wave=wave, depends_on=after))
    schedule, by_name, waiting = Schedule(made, Limits(per_host=2)), {m.vm: m for m in made}, []
    running = [c.migration.vm for c in schedule.step(Begin())]
    for _ in range(1000):
        if schedule.finished:
            break
        for vm in running:
            assert all(
                schedule.states[m.vm] in {"success", "error", "cancelled", "held"} or m.wave >= by_name[vm].wave
                for m in made
            )
            assert all(schedule.states[before] == "success" for before in by_name[vm].depends_on)
        if waiting and (not running or rng.random() < 0.3):
            commands = schedule.step(Due(vm=waiting.pop()))
        else:
            vm = running.pop(rng.randrange(len(running)))
            state = rng.choice(["success", "error", "cancelled", "held", "failed"])
            waiting += [vm] if state == "failed" else []
            commands = schedule.step(Failed(vm=vm) if state == "failed" else Ended(vm=vm, state=state))
        running += [c.migration.vm for c in commands if isinstance(c, Start)]
    assert schedule.finished
    assert schedule.left == []


def overtaken(schedule, head, ends):
    """End what runs, as *ends* picks, until *head* starts; return which VMs that share a host with it passed it."""
    moves = schedule_moves(schedule)
    passed = []
    while schedule.states[head] == "queued":
        assert schedule.running, "nothing runs and the head does not start"
        vm = ends(schedule.running)
        for command in schedule.step(Ended(vm=vm, state="success")):
            mine, other = moves[head], command.migration
            if other.vm != head and (
                mine.source_host == other.source_host or mine.placement.host.name == other.placement.host.name
            ):
                passed.append(other.vm)
    return passed


def schedule_moves(schedule):
    return {vm: migration(vm, *vm.split("-")[1:3]) for vm in schedule.states}


def test_the_head_of_the_queue_does_not_wait_for_ever():
    """Its two hosts are never free at once, as later VMs take the one as the other gets free: then they are kept."""
    names_ = ["head-a1-b1"]
    for n in range(50):
        names_ += [f"{n}-a1-b2", f"{n}-a2-b1"]
    schedule = Schedule([migration(name, *name.split("-")[1:3]) for name in names_])
    schedule.step(Begin())
    schedule.step(Failed(vm="head-a1-b1"))
    assert schedule.step(Due(vm="head-a1-b1")) == []
    turns = {}

    def oldest(running):
        for vm in running:
            turns.setdefault(vm, len(turns))
        return min(running, key=turns.__getitem__)

    assert len(overtaken(schedule, "head-a1-b1", oldest)) <= OVERTAKEN


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), min_size=2, max_size=40),
    st.integers(1, 2),
    st.none() | st.integers(1, 4),
    st.randoms(use_true_random=False),
)
def test_every_queued_vm_is_started_and_the_head_is_overtaken_a_few_times_only(pairs, per_host, max_concurrent, rng):
    """Whatever ends in whichever order: no host, no circuit is taken for ever by those behind it."""
    names_ = [f"{n}-a{a}-b{b}" for n, (a, b) in enumerate(pairs)]
    schedule = Schedule(
        [migration(name, *name.split("-")[1:3]) for name in names_],
        Limits(per_host=per_host, max_concurrent=max_concurrent),
    )
    schedule.step(Begin())
    started = set(schedule.running)
    while schedule.left:
        head = schedule.left[0]
        passed = overtaken(schedule, head, lambda running: rng.choice(sorted(running)))
        assert per_host > 1 or len(passed) <= OVERTAKEN
        started |= {vm for vm, state in schedule.states.items() if state != "queued"}
    assert started == set(names_)


def test_next_are_those_that_the_schedule_starts_next():
    """Not the next ones of the queue: what waits for a host that is long taken comes later, by what runs longest."""
    moves = [
        migration("long"), migration("same"), migration("short", "a2", "b2"), migration("then", "a2", "b2"),
        migration("last", "a2", "b2", depends_on=("then",)),
    ]  # fmt: skip
    seconds = {"long": 1000.0, "same": 10.0, "short": 100.0, "then": 50.0, "last": 50.0}
    schedule = Schedule(moves, seconds=seconds)
    schedule.step(Begin())
    assert schedule.upcoming(10, {}) == ["then", "last", "same"]
    assert schedule.upcoming(1, {}) == ["then"]
    assert schedule.upcoming(10, {"long": 99}) == ["same", "then", "last"]
    assert schedule.running == ["long", "short"]
    schedule.step(Bar(hosts=frozenset({"a2"})))
    assert schedule.upcoming(10, {}) == ["same"]
    schedule.step(Stop())
    assert schedule.upcoming(10, {}) == []


def test_who_comes_next_is_told_when_it_changes():
    """The events' own names are what then starts."""
    events = []
    moves = [migration(f"vm{n}") for n in range(1, 4)]
    drive(tuple(moves), Schedule(moves), FakeMover(), events.append, collaborators())
    told = [event.vms for event in events if isinstance(event, Upcoming)]
    assert told == [("vm2", "vm3"), ("vm3",), ()]


def driven(migrations, mover, begun=None, **changes):
    events = []
    drive(tuple(migrations), Schedule(migrations), mover, events.append, collaborators(**changes), begun=begun)
    return {event.vm: (event.state, event.reason) for event in events if isinstance(event, Move)}


def test_one_failure_leaves_the_others_alone():
    """A VM that fails is reported with its reason; the rest of the queue goes on."""
    mover = FakeMover(fail={"vm2": "no space"})
    last = driven([migration("vm1"), migration("vm2"), migration("vm3")], mover)
    assert last == {"vm1": ("success", None), "vm2": ("error", "no space"), "vm3": ("success", None)}
    assert mover.most_by_host == {"source/a1": 1, "target/b1": 1}


def test_a_vm_that_is_not_as_planned_is_held_and_not_started():
    """DRS moved it, or it gained a snapshot: held with the reason."""
    mover = FakeMover(hold={"vm1": "is on esx-a2, the plan said esx-a1"})
    last = driven([migration("vm1"), migration("vm2")], mover)
    assert last["vm1"] == ("held", "is on esx-a2, the plan said esx-a1")
    assert mover.started == ["vm2"]


def test_hosts_past_their_relay_hold_their_own_vms_and_nobody_elses():
    """The move that runs goes on; the next ones of that host are held with the reason; the others move."""
    mover = FakeMover()
    moves = [migration("vm1"), migration("vm2"), migration("vm3", "a2", "b2"), migration("vm4", "a2", "b2")]
    past = set()

    def watch(running):
        if "vm1" in running:
            past.add("a1")
        return ()

    last = driven(moves, mover, look=watch, hold=lambda move: ["not in the path"] if move.source_host in past else [])
    assert last["vm2"] == ("held", "not in the path")
    assert [last[vm][0] for vm in ("vm1", "vm3", "vm4")] == ["success"] * 3
    assert sorted(mover.started) == ["vm1", "vm3", "vm4"]


def test_nothing_starts_from_a_barred_host_until_it_is_barred_no_more():
    """Its VMs stay queued, whatever is free; those of other hosts pass."""
    schedule = Schedule([migration("vm1"), migration("vm2"), migration("vm3", "a2", "b1")])
    assert names(schedule.step(Bar(hosts=frozenset({"a1"})))) == [("Start", "vm3")]
    assert schedule.step(Ended(vm="vm3", state="success")) == []
    assert not schedule.finished
    assert names(schedule.step(Bar(hosts=frozenset()))) == [("Start", "vm1")]


def test_a_relay_in_trouble_keeps_its_hosts_queue_waiting_and_loses_none_of_it():
    """The VM that moved is tried again; all of them move when the relay is well."""
    mover = FakeMover(passing={"vm1": 1})
    looks = []

    def watch(running):
        looks.append(dict(running))
        return {"a1"} if 2 < len(looks) < 30 else ()

    moves = [migration("vm1"), migration("vm2"), migration("vm3", "a2", "b2")]
    last = driven(moves, mover, look=watch, most=3, clock=ticking())
    assert {state for state, _ in last.values()} == {"success"}
    assert mover.started.index("vm3") < mover.started.index("vm2")
    assert len(looks) >= 30


def test_what_vcenter_has_queued_is_told_from_what_it_has_begun():
    """The watch hears of no percent before the task runs."""
    seen = []

    class Queueing(FakeMover):
        def start(self, migration):
            done = super().start(migration)
            self.pending.insert(0, TaskUpdate(vm=migration.vm, state="queued"))
            return done

    driven([migration("vm1")], Queueing(), look=lambda running: seen.append(running.get("vm1", "-")) or ())
    assert seen == [None, 50, "-"]


def test_ctrl_c_twice_cancels_what_runs_and_starts_nothing():
    """The VM stays at the source and says so."""
    mover = FakeMover()
    presses = iter([0])
    last = driven([migration("vm1"), migration("vm2")], mover, interrupts=lambda: next(presses, 2))
    assert mover.cancelled == ["vm1"]
    assert last["vm1"][0] == "cancelled"
    assert last["vm2"][0] == "queued"


def test_every_move_is_recorded_before_it_starts():
    """A crash after the start finds the VM in the journal."""
    order = []

    class Watching(FakeMover):
        def start(self, migration):
            order.append(("start", migration.vm))
            return super().start(migration)

    driven([migration("vm1")], Watching(), append=lambda body: order.append((body.kind, body.vm)))
    assert order == [("move", "vm1"), ("start", "vm1"), ("task", "vm1"), ("moved", "vm1")]


def test_ctrl_c_before_the_first_start_starts_nothing():
    """Pressed while the hosts were changed, or between two starts: what has not started does not."""
    mover = FakeMover()
    presses = iter([0])
    moves = [migration("vm1"), migration("vm2", "a2", "b2"), migration("vm3", "a3", "b3")]
    last = driven(moves, mover, interrupts=lambda: next(presses, 1))
    assert mover.started == ["vm1"]
    assert [state for state, _ in last.values()] == ["success", "queued", "queued"]


def test_the_third_ctrl_c_leaves_what_runs_to_the_vcenter():
    """A move that can no longer be cancelled holds nobody up."""

    class Stubborn(FakeMover):
        def updates(self, timeout_s):
            return []

    presses = iter([0, 1, 2, 3])
    mover = Stubborn()
    last = driven([migration("vm1")], mover, interrupts=lambda: next(presses, 3))
    assert last["vm1"][0] in {"queued", "running"}
    assert mover.cancelled == ["vm1", "vm1"]


def test_trouble_with_one_vm_does_not_leave_the_others_unwatched():
    """A host that cannot be read holds its VM; a target that cannot be asked fails its VM; the queue goes on."""

    def hold(migration):
        if migration.vm == "vm1":
            message = "source/a1 is not connected"
            raise UnreachableError(message)
        return []

    class Blind(FakeMover):
        def verify(self, migration, before):
            message = "no answer from the target vCenter"
            if migration.vm == "vm2":
                raise UnreachableError(message)
            return []

    last = driven([migration("vm1"), migration("vm2"), migration("vm3")], Blind(), hold=hold, clock=ticking())
    assert [state for state, _ in last.values()] == ["held", "error", "success"]
    assert "no answer from the target vCenter" in last["vm2"][1]


@pytest.mark.parametrize(("bad", "states"), [("move", ["held", "queued"]), ("moved", ["success", "queued"])])
def test_a_journal_that_takes_no_record_stops_the_queue_and_loses_sight_of_nothing(bad, states):
    """A full disk: nothing is started that is not recorded, what runs is followed to its end."""
    events = []

    def record(body):
        if body.kind == bad:
            message = "the journal cannot be written"
            raise RefusedError(message)

    moves = (migration("vm1"), migration("vm2"))
    schedule = Schedule(moves)
    drive(moves, schedule, FakeMover(), events.append, collaborators(append=record))
    assert list(schedule.states.values()) == states
    assert [event.text for event in events if isinstance(event, Message)] == [
        "the journal cannot be written; no further VM is started"
    ]


def test_a_long_queue_is_held_without_end_of_stack():
    """A relay that dies with thousands of VMs in the queue."""
    moves = [migration(f"vm{n}") for n in range(3000)]
    last = driven(moves, FakeMover(), hold=lambda migration: ["relay-a does not answer"])
    assert {state for state, _ in last.values()} == {"held"}


def test_a_passing_fault_is_tried_again_and_a_lasting_one_is_not():
    """Three attempts in all; the second relocate only after both sides were asked where the VM is."""
    mover = FakeMover(passing={"vm1": 2, "vm2": 3}, fail={"vm3": "no licence"})
    moves = [migration("vm1"), migration("vm2", "a2", "b2"), migration("vm3", "a3", "b3")]
    last = driven(moves, mover, most=3, clock=ticking())
    assert last == {"vm1": ("success", None), "vm2": ("error", "for now"), "vm3": ("error", "no licence")}
    assert sorted(mover.started) == ["vm1"] * 3 + ["vm2"] * 3 + ["vm3"]


def test_a_relocate_that_was_not_seen_to_begin_is_looked_for_and_never_started_again():
    """The answer was lost, the task runs: it is followed."""

    class Mute(FakeMover):
        def start(self, migration):
            self.started.append(migration.vm)
            self.tasks[migration.vm] = "task-7"
            message = "no answer"
            raise UnreachableError(message)

    mover = Mute()
    assert driven([migration("vm1")], mover, most=3, clock=ticking())["vm1"][0] == "success"
    assert mover.started == ["vm1"]


@pytest.mark.parametrize(
    ("where", "state", "words"),
    [
        ("target", "success", None),
        ("both", "error", "both vCenters have the VM: broken off"),
        ("neither", "error", "neither vCenter has the VM: broken off"),
    ],
)
def test_after_a_failed_task_the_vm_decides_not_the_task(where, state, words):
    """A VM that arrived has arrived; one that is on both sides or on none is said loudly and touched no more."""
    mover = FakeMover(fail={"vm1": "broken off"}, at={"vm1": where})
    assert driven([migration("vm1")], mover, most=3)["vm1"] == (state, words)
    assert mover.started == ["vm1"]


def test_where_a_vm_is_is_asked_until_a_vcenter_answers():
    """A target vCenter that restarts just then fails no VM."""

    class Silent(FakeMover):
        asked = 0

        def verify(self, migration, before):
            self.asked += 1
            if self.asked < 3:
                message = "no answer"
                raise UnreachableError(message)
            return []

    assert driven([migration("vm1")], Silent(), clock=ticking())["vm1"] == ("success", None)


def test_tasks_that_were_running_are_taken_up():
    """Nothing is started for them; what arrived meanwhile is verified, what stayed is left for another plan."""
    mover = FakeMover(at={"vm2": "target", "vm3": "source", "vm4": "both"})
    mover.tasks["vm1"] = "task-1"
    moves = [migration(f"vm{n}", f"a{n}", f"b{n}") for n in range(1, 5)]
    begun = {move.vm: UnfinishedMove(task="task-1") for move in moves}
    records = []
    last = driven(moves, mover, begun=begun, append=lambda body: records.append((body.kind, body.vm, body.state)))
    assert ("moved", "vm3", "held") in records, "the journal must say that no move of it is open, or no plan has it"
    assert [state for state, _ in last.values()] == ["success", "success", "queued", "error"]
    assert last["vm4"][1].startswith("both vCenters have the VM")
    assert mover.started == []


def test_a_queue_whose_last_window_has_closed_ends_with_what_is_left_queued():
    """Nothing starts, and nobody waits for a window that does not come."""
    last = driven([migration("vm1")], FakeMover(), left_s=lambda: 0.0, is_over=lambda: True)
    assert last["vm1"] == ("queued", None)


def test_the_wait_doubles_and_has_an_end():
    """From 30 s to a quarter of an hour, with jitter."""
    retries = Retries(wait_s=30.0)
    assert 30 <= retries.after(1) <= 45
    assert 60 <= retries.after(2) <= 75
    assert retries.after(20) == 900
