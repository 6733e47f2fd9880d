"""Views fail, the work does not: whoever raises is dropped and named to the others, once."""

from __future__ import annotations

import errno

import pytest

from lrvmotion.events import Message
from lrvmotion.run.fanout import Fanout

FIRST, SECOND = Message(text="first"), Message(text="second")


class Breaks:
    """A view that raises at its first event."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.told = 0

    def __call__(self, event) -> None:
        self.told += 1
        raise self.error


LOST = [
    BrokenPipeError(errno.EPIPE, "Broken pipe", "stderr"),
    OSError(errno.ENOSPC, "No space left on device", "stderr"),
    OSError(errno.EBADF, "Bad file descriptor", "stderr"),
    OSError(errno.EIO, "Input/output error", "stderr"),
    ValueError("I/O operation on closed file."),
]


@pytest.mark.parametrize("error", LOST, ids=repr)
def test_a_view_whose_stream_is_lost_is_dropped_and_the_others_are_told(error):
    """The event reaches the others, before and behind it; then they hear why, and where to read on. No bug."""
    before, after = [], []
    broken = Breaks(error)
    fan = Fanout(before.append, broken, after.append)
    fan.elsewhere = "/state/run.log"
    fan(FIRST)
    fan(SECOND)
    assert broken.told == 1
    assert before == after
    assert (before[0], before[2]) == (FIRST, SECOND)
    assert "can no longer be written" in before[1].text
    assert "/state/run.log" in before[1].text
    assert fan.bugs == []
    fan.verify()


@pytest.mark.parametrize("error", [KeyError("x"), ValueError("no number"), RuntimeError(), AssertionError()], ids=repr)
def test_any_other_exception_of_a_view_is_a_bug_that_is_raised_at_the_end(error):
    """And does not reach whoever tells; its text, which may hold anything, is in no message."""
    seen = []
    fan = Fanout(Breaks(error), seen.append)
    fan(FIRST)
    fan(SECOND)
    assert [event for event in seen if event in (FIRST, SECOND)] == [FIRST, SECOND]
    assert type(error).__name__ in seen[1].text
    assert fan.bugs == [error]
    with pytest.raises(type(error)):
        fan.verify()


def test_all_views_may_be_gone():
    """Nobody is told that nobody is left."""
    fan = Fanout(Breaks(LOST[0]), Breaks(LOST[1]))
    fan(FIRST)
    fan(SECOND)


def test_what_a_view_tells_comes_after_what_it_was_told():
    """All views see the same order."""
    seen, behind = [], []
    fan = Fanout()

    def echo(event) -> None:
        seen.append(event)
        if event == FIRST:
            fan(SECOND)

    fan.add(echo)
    fan.add(behind.append)
    fan(FIRST)
    assert seen == behind == [FIRST, SECOND]


def test_a_view_is_put_in_place_of_another():
    """The screen takes the place of plain lines; not where those have been dropped."""
    lines, screen = [], []
    tell, show = lines.append, screen.append
    fan = Fanout(tell)
    fan.replace(tell, show)
    fan(FIRST)
    fan.replace(show, tell)
    fan(SECOND)
    assert (screen, lines) == ([FIRST], [SECOND])
    broken = Breaks(LOST[0])
    fan = Fanout(broken)
    fan(FIRST)
    fan.replace(broken, show)
    fan(SECOND)
    assert screen == [FIRST]
