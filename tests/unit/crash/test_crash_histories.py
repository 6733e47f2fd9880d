"""Histories in small: any order of commands, deaths and somebody's edits; and a product that forgets is found."""

from __future__ import annotations

import pytest

from crash.histories import Histories, run
from lrvmotion.run.drift import Seen


def test_after_any_history_all_is_as_before_but_the_edits_and_each_is_named():
    """500 of the 20,000 of `make crash-matrix`: up to twelve steps each, deaths at any record or call."""
    lived, died = run(500, 1)
    assert lived >= 500
    assert died > 100


class Forgetful(Histories):
    """Plans without looking at what became of outstanding settings."""

    settle = staticmethod(lambda journal, world, observer: Seen())


def test_a_product_that_does_not_look_first_is_found():
    """The machine can fail."""
    with pytest.raises((AssertionError, ExceptionGroup)):
        run(500, 1, Forgetful)
