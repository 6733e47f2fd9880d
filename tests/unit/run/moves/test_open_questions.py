"""The questions of VMs in mid-move: told once, cancelled when overdue, given up when the task does not end."""

from __future__ import annotations

from lrvmotion.run.moves.open_questions import CANCEL_S, OpenQuestions


def test_a_question_is_told_once_and_again_when_it_is_another():
    """The time runs from the first one."""
    asked = OpenQuestions(100.0)
    assert "'Retry?'" in asked.take("vm1", "Retry?", 0.0)
    assert asked.take("vm1", "Retry?", 50.0) is None
    assert "'Really?'" in asked.take("vm1", "Really?", 60.0)
    assert asked.overdue(99.0) == []
    assert asked.overdue(100.0) == ["vm1"]


def test_what_was_answered_is_not_overdue():
    """That it was answered is told; a VM that never asked is not."""
    asked = OpenQuestions(100.0)
    assert asked.take("vm1", "", 0.0) is None
    asked.take("vm1", "Retry?", 0.0)
    assert asked.take("vm1", "", 10.0) == "vm1: the question was answered"
    assert asked.overdue(1000.0) == []
    assert asked.reason("vm1") is None


def test_a_move_is_cancelled_once_and_given_up_when_its_task_does_not_end():
    """Why it was cancelled stays known, whatever the VM says meanwhile."""
    asked = OpenQuestions(100.0)
    asked.take("vm1", "Retry?", 0.0)
    assert asked.overdue(100.0) == ["vm1"]
    assert asked.overdue(101.0) == []
    assert asked.take("vm1", "", 102.0) is None
    assert "'Retry?'" in asked.reason("vm1")
    assert list(asked.stuck(100.0 + CANCEL_S - 1)) == []
    assert list(asked.stuck(100.0 + CANCEL_S)) == ["vm1"]
    asked.close("vm1")
    assert list(asked.stuck(1000.0)) == []
