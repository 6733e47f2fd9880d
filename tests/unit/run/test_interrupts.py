"""Ctrl-C, SIGTERM and SIGHUP: raised where nothing is in hand, counted where something is; a hangup counts once."""

from __future__ import annotations

import signal

import pytest

from lrvmotion.run.interrupts import Interrupts

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture
def interrupts() -> Interrupts:
    made = Interrupts()
    made.take()
    return made


@pytest.mark.parametrize("number", SIGNALS)
def test_each_ends_a_command_that_has_nothing_in_hand(interrupts, number):
    """As Ctrl-C does: KeyboardInterrupt where the process is."""
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)
    assert interrupts.count() == 1


@pytest.mark.parametrize("number", SIGNALS)
def test_each_is_counted_while_hosts_change_and_vms_move(interrupts, number):
    """Nothing is raised; afterwards the next one is."""
    with interrupts.counted():
        signal.raise_signal(number)
        assert interrupts.count() == 1
        signal.raise_signal(signal.SIGINT)
        assert interrupts.count() == 2
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)


def test_patience_is_of_further_ones(interrupts):
    """A restore takes one to end after the setting in hand; the second ends it at once."""
    with interrupts.counted():
        signal.raise_signal(signal.SIGINT)
        with interrupts.counted(1):
            signal.raise_signal(signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    assert interrupts.count() == 4


def test_a_hangup_counts_once_and_not_beside_another(interrupts):
    """A terminal that closes sends it more than once."""
    with interrupts.counted():
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGHUP)
        assert interrupts.count() == 1
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGHUP)
        assert interrupts.count() == 2


def test_a_hangup_that_was_ignored_stays_ignored():
    """Under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    made = Interrupts()
    made.take()
    signal.raise_signal(signal.SIGHUP)
    assert made.count() == 0


def test_once_the_exit_status_is_decided_none_changes_it(interrupts):
    """The process ends."""
    interrupts.over()
    for number in SIGNALS:
        signal.raise_signal(number)
    assert interrupts.count() == 0


@pytest.mark.parametrize("number", SIGNALS)
def test_what_came_before_the_command_is_raised_where_it_begins(interrupts, number):
    """Counted until then, raised once; afterwards it is counted again."""
    with interrupts.counted():
        signal.raise_signal(number)
        with pytest.raises(KeyboardInterrupt), interrupts.raising():
            pytest.fail("the command began")
        signal.raise_signal(signal.SIGINT)
    assert interrupts.count() == 2


def test_the_command_is_interrupted_where_it_is(interrupts):
    """Nothing came before it: it begins, and the first one raises."""
    with interrupts.counted(), pytest.raises(KeyboardInterrupt), interrupts.raising():
        signal.raise_signal(signal.SIGINT)
    assert interrupts.count() == 1
