"""The driver when a vCenter does not answer, or is not trusted any more: no VM is given up for that, none is lost."""

from __future__ import annotations

import pytest

from fakes import FakeMover
from lrvmotion.errors import TrustError, UnreachableError
from lrvmotion.events import Message, Move
from lrvmotion.model.vm.vm_metadata import VmMetadata
from lrvmotion.plan.schedule import Schedule
from lrvmotion.run.moves.migration_driver import drive
from queued import collaborators, migration, ticking


def silent():
    message = "source vCenter: nothing came for too long"
    raise UnreachableError(message)


def stranger():
    message = "target vCenter: it shows another certificate"
    raise TrustError(message, hint="pin it")


class Silent(FakeMover):
    """Does not answer so many times where *at* asks: "recheck", "record" or "hold"."""

    def __init__(self, at: str, times: int) -> None:
        super().__init__()
        self.at_call, self.times = at, times

    def meet(self, call: str) -> None:
        if call == self.at_call and self.times > 0:
            self.times -= 1
            silent()

    def recheck(self, migration):
        self.meet("recheck")
        return []

    def record(self, migration):
        self.meet("record")
        return VmMetadata()

    def holding(self, migration):
        self.meet("hold")
        return []


def run(moves, mover, **changes):
    """Drive *moves*; return the states that each VM went through, and what was recorded."""
    seen: dict[str, list[str]] = {}
    records: list[tuple[str, str]] = []
    texts: list[str] = []

    def observer(event):
        if isinstance(event, Move):
            seen.setdefault(event.vm, []).append(event.state)
        elif isinstance(event, Message):
            texts.append(event.text)

    own = collaborators(append=lambda body: records.append((body.kind, body.vm)), clock=ticking(), **changes)
    try:
        drive(tuple(moves), Schedule(moves), mover, observer, own)
        error = None
    except TrustError as caught:
        error = caught
    return seen, records, texts, error


@pytest.mark.parametrize("call", ["recheck", "record", "hold"])
def test_a_vcenter_that_is_silent_at_a_start_is_asked_again(call):
    """The start fell into the silence: the VM waits and moves at the next try, once."""
    mover = Silent(call, 1)
    seen, _, _, _ = run([migration("vm1"), migration("vm2")], mover, hold=mover.holding, most=3)
    assert seen["vm1"][-1] == "success"
    assert "waiting" in seen["vm1"]
    assert sorted(mover.started) == ["vm1", "vm2"]


@pytest.mark.parametrize("call", ["recheck", "record", "hold"])
def test_a_vcenter_that_stays_silent_holds_what_it_was_not_asked_for(call):
    """After the last try the VM is held, not failed: no relocate of it was begun."""
    mover = Silent(call, 1000)
    seen, records, _, _ = run([migration("vm1")], mover, hold=mover.holding, most=3)
    assert seen["vm1"][-1] == "held"
    assert (seen["vm1"].count("waiting"), mover.started) == (2, [])
    assert records == [("moved", "vm1")]


def test_a_vcenter_that_is_not_trusted_any_more_starts_nothing_and_fails_no_vm():
    """What was not begun stays queued for --resume; the run ends with what was refused, told once."""

    class Distrusted(FakeMover):
        def recheck(self, migration):
            return [] if migration.vm == "vm1" else stranger()

    mover = Distrusted()
    seen, records, texts, error = run([migration("vm1"), migration("vm2"), migration("vm3")], mover)
    assert error is not None
    assert (seen["vm1"][-1], seen["vm2"][-1], seen["vm3"][-1]) == ("success", "queued", "queued")
    assert mover.started == ["vm1"]
    assert [vm for _, vm in records if vm != "vm1"] == []
    assert texts == ["target vCenter: it shows another certificate; no further VM is started"]


def test_what_runs_is_followed_though_the_other_vcenter_is_not_trusted():
    """A move whose end cannot be verified stays open in the journal; another that runs is followed to its end."""

    class Distrusted(FakeMover):
        def verify(self, migration, before):
            return stranger() if migration.vm == "vm1" else []

    moves = [migration("vm1"), migration("vm2", "a2", "b2"), migration("vm3")]
    seen, records, _, error = run(moves, Distrusted())
    assert error is not None
    assert (seen["vm1"][-1], seen["vm2"][-1], seen["vm3"][-1]) == ("error", "success", "queued")
    assert ("moved", "vm1") not in records
    assert ("moved", "vm2") in records


def test_a_relocate_that_may_have_begun_at_a_vcenter_that_is_not_trusted_stays_open():
    """Whether it runs is not known: --resume looks; it is not asked where it is for five minutes."""

    class Distrusted(FakeMover):
        def start(self, migration):
            stranger()

        def locate(self, migration):
            message = "asked again"
            raise AssertionError(message)

    seen, records, _, error = run([migration("vm1")], Distrusted(), most=3)
    assert error is not None
    assert seen["vm1"][-1] == "error"
    assert records == [("move", "vm1")]
