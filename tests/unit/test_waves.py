"""Waves and dependencies: their numbers, and the mistakes that would leave a VM waiting for ever."""

from __future__ import annotations

import pytest

from lrvmotion.config.schema import Wave
from lrvmotion.config.waves import Turn, levels, mistakes, number


def wave(name, *vms, after=None):
    return Wave(name=name, vms=vms or ("x",), after=after)


def test_waves_come_one_after_the_other_unless_they_say_otherwise():
    """`after = []` begins at once; a VM that no wave lists moves last."""
    waves = (wave("db", "db*"), wave("web", "web1", "web2"), wave("test", "t-*", after=()), wave("last", after=("db",)))
    numbers = levels(waves)
    assert numbers == {"db": 1, "web": 2, "test": 1, "last": 2}
    assert [number(vm, waves, numbers) for vm in ("db1", "web2", "t-1", "x", "other")] == [1, 2, 1, 2, 3]
    assert number("vm", (), {}) == 1


@pytest.mark.parametrize(
    ("waves", "words"),
    [
        ((wave("a", after=("a",)),), "a wave comes after itself: a after a"),
        ((wave("a", after=("b",)), wave("b", after=("a",))), "a wave comes after itself: a after b after a"),
        ((wave("a"), wave("a")), "two waves are called 'a'"),
        ((wave("a", after=("b",)),), "the wave 'a' comes after 'b', and there is no such wave"),
    ],
)
def test_a_wave_that_could_never_begin_is_a_mistake(waves, words):
    """Named, before anything is connected."""
    with pytest.raises(ValueError, match=words):
        levels(waves)


def test_a_vm_that_could_never_start_is_a_mistake():
    """After itself in a circle, or after one of a later wave; what is not in the run counts for nothing."""
    turn = lambda vm, wave, *after: Turn(vm=vm, wave=wave, after=after)  # noqa: E731
    assert mistakes([turn("a", 1, "b"), turn("b", 1, "a")]) == ["a VM comes after itself: a after b after a"]
    assert mistakes([turn("a", 1, "b"), turn("b", 2)]) == ["a (wave 1) comes after b, which is in wave 2"]
    assert mistakes([turn("a", 2, "b", "gone"), turn("b", 1)]) == []
