"""The schedule: never over a limit, always ends; and the driver over it."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import FakeMover, host
from lrvmotion.errors import RefusedError, UnreachableError
from lrvmotion.events import Message, Move
from lrvmotion.inventory import Datastore, Folder, MoRef, Pool
from lrvmotion.migrate import Hooks, drive
from lrvmotion.placement import Placement
from lrvmotion.plan import Migration
from lrvmotion.schedule import Begin, Cancel, Ended, Schedule, Start, Stop


def migration(name, source="a1", target="b1"):
    place = Placement(
        host=host(target, "10.99.0.9"),
        pool=Pool(ref=MoRef("ResourcePool", "resgroup-1"), path="Cluster/Resources", cluster="Cluster"),
        folder=Folder(ref=MoRef("Folder", "group-v1"), path="", datacenter="DC"),
        datastore=Datastore(ref=MoRef("Datastore", "datastore-1"), name="ds", capacity_bytes=1, free_bytes=1),
    )
    return Migration(
        vm=name, ref=MoRef("VirtualMachine", name), instance_uuid=name, source_host=source, placement=place,
        hot_bytes=100, cold_bytes=0, power_state="poweredOn", snapshots=0,
    )  # fmt: skip


def hooks(**changes):
    content = {
        "interrupts": lambda: 0,
        "watch": lambda running: None,
        "hold": lambda migration: [],
        "record": lambda kind, body: None,
        "clock": lambda: 0.0,
    }
    return Hooks(**{**content, **changes})


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
    schedule = Schedule(migrations, per_host=per_host)
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


def driven(migrations, mover, **changes):
    events = []
    drive(tuple(migrations), Schedule(migrations), mover, events.append, hooks(**changes))
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


def test_a_relay_that_is_not_in_the_path_stops_the_queue_with_the_reason():
    """The first move goes on; nothing else is started."""
    mover = FakeMover()
    last = driven([migration("vm1"), migration("vm2")], mover, watch=lambda running: "not in the path")
    assert last["vm2"] == ("held", "not in the path")
    assert mover.started == ["vm1"]
    assert last["vm1"][0] == "success"


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

    driven([migration("vm1")], Watching(), record=lambda kind, body: order.append((kind, body["vm"])))
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
        def verify(self, migration):
            message = "no answer from the target vCenter"
            if migration.vm == "vm2":
                raise UnreachableError(message)
            return []

    last = driven([migration("vm1"), migration("vm2"), migration("vm3")], Blind(), hold=hold)
    assert [state for state, _ in last.values()] == ["held", "error", "success"]
    assert "no answer from the target vCenter" in last["vm2"][1]


@pytest.mark.parametrize(("bad", "states"), [("move", ["held", "queued"]), ("moved", ["success", "queued"])])
def test_a_journal_that_takes_no_record_stops_the_queue_and_loses_sight_of_nothing(bad, states):
    """A full disk: nothing is started that is not recorded, what runs is followed to its end."""
    events = []

    def record(kind, body):
        if kind == bad:
            message = "the journal cannot be written"
            raise RefusedError(message)

    moves = (migration("vm1"), migration("vm2"))
    schedule = Schedule(moves)
    drive(moves, schedule, FakeMover(), events.append, hooks(record=record))
    assert list(schedule.states.values()) == states
    assert [event.text for event in events if isinstance(event, Message)] == [
        "the journal cannot be written; no further VM is started"
    ]


def test_a_long_queue_is_held_without_end_of_stack():
    """A relay that dies with thousands of VMs in the queue."""
    moves = [migration(f"vm{n}") for n in range(3000)]
    last = driven(moves, FakeMover(), hold=lambda migration: ["relay-a does not answer"])
    assert {state for state, _ in last.values()} == {"held"}
