"""Whatever fails in a way that nobody foresaw: what moves is followed to its end, relays are watched until then."""

from __future__ import annotations

import pytest

from fakes import FakeMover
from lrvmotion.errors import RefusedError, UnreachableError
from lrvmotion.events import Message, Move
from lrvmotion.journal.records import MoveTask
from lrvmotion.journal.run_state import UnfinishedMove
from lrvmotion.plan.schedule import Schedule
from lrvmotion.run.moves.migration_driver import drive
from queued import collaborators, migration


class Bug(Exception):  # noqa: N818
    """What nobody foresaw."""


class Slow(FakeMover):
    """Tells one update at every second look only, so that moves take a while."""

    looks = 0

    def updates(self, timeout_s):
        self.looks += 1
        return super().updates(timeout_s) if self.looks % 2 == 0 else []


MOVES = (migration("vm1"), migration("vm2", "a2", "b2"), migration("vm3"))  # vm1 and vm2 at once, vm3 after them


def driven(mover, *, begun=None, max_failures=None, **changes):
    """Drive the moves; return the last word on each, all messages, and the error that came out."""
    told, error = [], None
    schedule = Schedule(MOVES, max_failures=max_failures)
    try:
        drive(MOVES, schedule, mover, told.append, collaborators(**changes), begun=begun)
    except (Bug, RefusedError, UnreachableError) as raised:
        error = raised
    last = {event.vm: event.state for event in told if isinstance(event, Move)}
    return last, [event.text for event in told if isinstance(event, Message)], error


def breaks_at(name, vm="vm1"):
    """Return a mover whose method *name* has a bug for *vm*."""

    class Broken(Slow):
        pass

    before = getattr(Slow, name)

    def broken(self, migration, *rest):
        if getattr(migration, "vm", migration) == vm:
            said = "secret"
            raise Bug(said)
        return before(self, migration, *rest)

    setattr(Broken, name, broken)
    return Broken


@pytest.mark.parametrize(
    ("name", "state"), [("recheck", "held"), ("record", "held"), ("start", "error"), ("carry", "success")]
)
def test_a_bug_with_one_vm_does_not_leave_the_others_unfollowed(name, state):
    """Nothing more is started, what runs ends, then the bug comes out; its text is in no message."""
    last, said, error = driven(breaks_at(name)())
    assert isinstance(error, Bug)
    assert last["vm1"] == state
    assert last["vm2"] in {"success", "queued"}  # begun before the bug, or not at all: never left running
    assert last["vm3"] == "queued"
    assert any("unexpected: Bug" in text for text in said)
    assert not any("secret" in text for text in said)


def test_a_bug_in_the_check_after_a_move_is_that_vm_s_error():
    """Where it is now could not be read; the other ends."""
    last, _, error = driven(breaks_at("verify")())
    assert isinstance(error, Bug)
    assert last == {"vm1": "error", "vm2": "success", "vm3": "queued"}


def test_a_start_that_breaks_and_began_all_the_same_is_followed():
    """Its relocate is looked for; the VM ends where it went."""
    mover = breaks_at("start")()
    mover.tasks = {"vm1": "task-9"}
    last, _, error = driven(mover)
    assert isinstance(error, Bug)
    assert last["vm1"] == "success"


@pytest.mark.parametrize("where", ["look", "hold", "append", "ended"])
def test_a_bug_in_what_is_asked_meanwhile_ends_no_move(where):
    """A relay's look, a hook before or after, the journal: what runs ends as it would have."""
    calls = []

    def broken(*arguments):
        calls.append(arguments)
        if where == "append" and not isinstance(arguments[0], MoveTask):
            return
        raise Bug

    last, _, error = driven(Slow(), **{where: broken})
    assert isinstance(error, Bug)
    assert calls
    assert not {"running", "waiting"} & set(last.values())
    assert "success" in last.values() or where == "hold"


def test_news_that_break_are_asked_for_again():
    """The tasks go on; once they can be heard of again they are followed to their end."""

    class Stutters(Slow):
        broken = 1

        def updates(self, timeout_s):
            if self.started and self.broken:
                self.broken -= 1
                raise Bug
            return super().updates(timeout_s)

    last, _, error = driven(Stutters())
    assert isinstance(error, Bug)
    assert last == {"vm1": "success", "vm2": "success", "vm3": "queued"}


def test_news_that_never_come_back_end_the_run_in_time():
    """As with a vCenter that does not answer: five minutes, then the tasks go on without us."""

    class Broken(FakeMover):
        def updates(self, timeout_s):
            raise Bug

    clock = iter(range(0, 100_000, 200))
    last, _, error = driven(Broken(), clock=lambda: float(next(clock)))
    assert isinstance(error, Bug)
    assert last["vm1"] == "running"


def test_a_cancel_that_fails_is_followed_all_the_same():
    """Ctrl-C twice: one cannot be cancelled, the other is; both end."""
    presses = iter([0, 0, 0])
    last, _, error = driven(breaks_at("cancel")(), interrupts=lambda: next(presses, 2))
    assert isinstance(error, Bug)
    assert last == {"vm1": "success", "vm2": "cancelled", "vm3": "queued"}


def test_moves_that_cannot_be_taken_up_are_looked_for_one_by_one():
    """One of which the vCenter knows nothing leaves the others followed."""

    class Deaf(Slow):
        def unfinished(self, migration):
            if migration.vm == "vm1":
                message = "no answer"
                raise UnreachableError(message)
            return "task-7"

    begun = {vm: UnfinishedMove(task=None) for vm in ("vm1", "vm2")}
    last, _, error = driven(Deaf(at={"vm1": "source"}), begun=begun)
    assert error is None
    assert (last["vm1"], last["vm2"]) == ("error", "success")


STOPS = {
    "the first Ctrl-C": {"interrupts": True},
    "--max-failures": {"max_failures": 0},
    "a full disk under the journal": {"record": True},
    "a bug": {"hold": True},
}


@pytest.mark.parametrize("why", STOPS)
def test_relays_are_watched_to_the_end_of_the_last_move(why):
    """Once no further move starts, the screen is still told, and a lost box still led around."""
    chosen = STOPS[why]
    seen = []

    class Long(FakeMover):
        """vm1 fails or goes on at once; vm2 moves for ten looks."""

        looks = 0

        def updates(self, timeout_s):
            self.looks += 1
            if self.looks < 3:
                return super().updates(timeout_s)
            return super().updates(timeout_s) if self.looks > 12 else []

    mover = Long(fail={"vm1": "broken"} if "max_failures" in chosen else {})

    def record(body):
        if "record" in chosen and isinstance(body, MoveTask) and body.vm == "vm2":
            message = "the disk is full"
            raise RefusedError(message)

    def hold(move):
        if "hold" in chosen and move.vm == "vm3":
            raise Bug
        return []

    driven(
        mover,
        max_failures=chosen.get("max_failures"),
        interrupts=lambda: int("interrupts" in chosen and mover.looks > 2),
        append=record,
        hold=hold,
        look=lambda running: seen.append((mover.looks, list(running))) or (),
    )
    assert [looks for looks, _ in seen] == list(range(1, mover.looks + 1))
    assert mover.looks > 12
