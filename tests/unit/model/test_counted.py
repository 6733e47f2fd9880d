"""Numbers with their nouns."""

from __future__ import annotations

import pytest

from lrvmotion.model.counted import counted, remain_changed


@pytest.mark.parametrize(
    ("number", "noun", "said"),
    [
        (0, "VM", "0 VMs"), (1, "VM", "1 VM"), (2, "VM", "2 VMs"),
        (1, "address", "1 address"), (2, "address", "2 addresses"),
    ],
)  # fmt: skip
def test_what_is_one_reads_as_one(number, noun, said):
    """Whatever the noun."""
    assert counted(number, noun) == said


def test_the_verb_follows():
    """One remains, two remain."""
    assert [remain_changed(number) for number in (0, 1, 2)] == [
        "0 settings remain changed", "1 setting remains changed", "2 settings remain changed",
    ]  # fmt: skip
