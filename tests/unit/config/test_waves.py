"""Waves and dependencies: their numbers, and the mistakes that would leave a VM waiting for ever."""

from __future__ import annotations

import pytest

from lrvmotion.config.schema import Wave
from lrvmotion.config.waves import Turn, levels, mistakes, number


def wave(name, *vms, depends_on=None):
    return Wave(name=name, vms=vms or ("x",), depends_on=depends_on)


def test_waves_come_one_after_the_other_unless_they_say_otherwise():
    """`depends_on = []` begins at once; a VM that no wave lists moves last."""
    waves = (
        wave("db", "db*"),
        wave("web", "web1", "web2"),
        wave("test", "t-*", depends_on=()),
        wave("last", depends_on=("db",)),
    )
    numbers = levels(waves)
    assert numbers == {"db": 1, "web": 2, "test": 1, "last": 2}
    assert [number([vm], waves, numbers) for vm in ("db1", "web2", "t-1", "x", "other")] == [1, 2, 1, 2, 3]
    assert number(["vm"], (), {}) == 1


@pytest.mark.parametrize(
    ("waves", "words"),
    [
        ((wave("a", depends_on=("a",)),), "a wave depends on itself: a -> a"),
        ((wave("a", depends_on=("b",)), wave("b", depends_on=("a",))), "a wave depends on itself: a -> b -> a"),
        ((wave("a"), wave("a")), "two waves are called 'a'"),
        ((wave("a", depends_on=("b",)),), "the wave 'a' depends on 'b', and there is no such wave"),
    ],
)
def test_a_wave_that_could_never_begin_is_a_mistake(waves, words):
    """Named, before anything is connected."""
    with pytest.raises(ValueError, match=words):
        levels(waves)


def test_a_vm_that_could_never_start_is_a_mistake():
    """After itself in a circle, or after one of a later wave; what is not in the run counts for nothing."""
    turn = lambda vm, wave, *depends_on: Turn(vm=vm, wave=wave, depends_on=depends_on)  # noqa: E731
    assert mistakes([turn("a", 1, "b"), turn("b", 1, "a")]) == ["a VM depends on itself: a -> b -> a"]
    assert mistakes([turn("a", 1, "b"), turn("b", 2)]) == ["a (wave 1) depends on b, which is in wave 2"]
    assert mistakes([turn("a", 2, "b", "gone"), turn("b", 1)]) == []
