"""What is typed while the live screen is drawn cannot hold up the run."""

from __future__ import annotations

import os
import pty
import select
import time

import pytest

from lrvmotion.views.text import console

CTRL_S = b"\x13"


@pytest.fixture
def terminal(monkeypatch):
    """The user's end of a terminal, and ours, which is standard input."""
    theirs, ours = pty.openpty()
    with open(ours, closefd=False) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        os.set_blocking(ours, False)
        yield theirs, ours
    os.close(theirs)
    os.close(ours)


def takes_output(ours: int) -> bool:
    try:
        return os.write(ours, b"x") == 1
    except BlockingIOError:
        return False


def test_ctrl_s_does_not_stop_the_terminal_while_the_screen_is_drawn(terminal):
    """A terminal that is stopped takes no output, and the run would wait for it."""
    theirs, ours = terminal
    with console.no_echo():
        os.write(theirs, CTRL_S + b"\n")
        assert select.select([ours], [], [], 20.0)[0], "the kernel passes it on when it gets to it"
        assert takes_output(ours)
        assert select.select([theirs], [], [], 5.0)[0]
        assert os.read(theirs, 9) == b"x"


def test_afterwards_the_terminal_is_as_it_was(terminal):
    """Ctrl-S is the shell's again."""
    theirs, ours = terminal
    with console.no_echo():
        pass
    os.write(theirs, CTRL_S)
    end = time.monotonic() + 20
    while takes_output(ours):  # the kernel heeds it when it gets to it
        assert time.monotonic() < end
        time.sleep(0.01)
