"""A VM that waits for an answer is named with its question: in the plan, before its move, and in mid-move."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from lrvmotion.checks import vms as vm_checks
from lrvmotion.events import Message, Move
from lrvmotion.journal.records import MoveEnded, MoveTask
from lrvmotion.plan.schedule import Schedule
from lrvmotion.run.moves import open_questions
from lrvmotion.run.moves.migration_driver import drive
from lrvmotion.vsphere.inventory.collect import collect_vms
from lrvmotion.vsphere.vm import questions
from lrvmotion.vsphere.vm.relocate import RelocateMover, find
from queued import collaborators
from wire.no_net_lab import no_net_lab
from wire.single_moves import planned, small_vms, traits

TEXT = "There is no more space for virtual disk vm.vmdk."


@pytest.fixture(scope="module")
def lab():
    with no_net_lab(small_vms(5)) as running:
        yield running


@pytest.fixture
def mover(lab, monkeypatch):
    monkeypatch.setattr(questions, "LOOK_S", 0.2)
    monkeypatch.setattr(open_questions, "CANCEL_S", 1.0)
    lab.control("source", "relocate_pace", prepare_s=1)
    with RelocateMover(lab.source, lab.target) as moving:
        yield moving
    lab.control("source", "relocate_pace")


def driven(lab, mover, name: str, wait_s: float, tell=lambda event: None, **asks):
    """Move a VM that asks a question as soon as its task runs; return the last move event, messages, journal."""
    migration, told, journal = planned(lab, name), [], []

    def record(body) -> None:
        journal.append(body)
        if isinstance(body, MoveTask):
            traits(lab, name, question=TEXT, **asks)

    def observe(event) -> None:
        told.append(event)
        tell(event)

    run = replace(collaborators(append=record, clock=time.monotonic), question_wait_s=wait_s)
    drive((migration,), Schedule((migration,)), mover, observe, run)
    last = [event for event in told if isinstance(event, Move)][-1]
    return last, [event.text for event in told if isinstance(event, Message)], journal


def test_e21_a_vm_that_waits_for_an_answer_is_an_error_of_the_plan(lab):
    """The question is in the words."""
    traits(lab, "vm1", question=TEXT)
    source = lab.inventory("source")
    (vm,) = collect_vms(lab.source, source, [dict(source.vm_names)["vm1"]]).vms
    found = [item for item in vm_checks.alone(vm) if item.severity == "error"]
    assert [item.code for item in found] == ["vm-question"]
    assert TEXT in found[0].summary


def test_e21_a_vm_that_waits_for_an_answer_is_held_before_its_move(lab, mover):
    """A question that came after the plan."""
    migration = planned(lab, "vm2")
    traits(lab, "vm2", question=TEXT)
    assert [reason for reason in mover.recheck(migration) if TEXT in reason]


def test_e21_a_move_whose_vm_waits_too_long_is_cancelled_and_the_vm_held(lab, mover):
    """The question is told at once; the VM stays at the source, and the run goes on."""
    last, texts, journal = driven(lab, mover, "vm3", 1.0)
    assert (last.state, TEXT in last.reason) == ("held", True)
    assert any(TEXT in text and "answer it in vCenter" in text for text in texts), texts
    assert find(lab.target, planned(lab, "vm3").instance_uuid) is None
    assert isinstance(journal[-1], MoveEnded)


def test_e21_a_move_whose_vm_is_answered_goes_on(lab, mover):
    """Nothing is cancelled where somebody answers in time; that it was answered is told."""

    def answer(event) -> None:
        if isinstance(event, Message) and TEXT in event.text:
            found = find(lab.source, uuid)
            assert found is not None
            found.AnswerVM(found.runtime.question.id, "0")

    uuid = planned(lab, "vm4").instance_uuid
    last, texts, _ = driven(lab, mover, "vm4", 60.0, answer)
    assert last.state == "success", last
    assert texts[-1] == "vm4: the question was answered"


def test_e21_a_task_that_no_cancel_ends_does_not_hang_the_run(lab, mover):
    """The VM is held, its move stays open in the journal, and the run ends."""
    last, _, journal = driven(lab, mover, "vm5", 0.5, deaf=True)
    assert (last.state, "has not ended" in last.reason) == ("held", True)
    assert not [body for body in journal if isinstance(body, MoveEnded)]
    traits(lab, "vm5")
