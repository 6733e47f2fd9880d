"""Loss generators: the means and bursts that they promise."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import groupby, pairwise

import pytest

from lrvmotion.lab.spec import WanSpec
from lrvmotion.lab.wire import loss

SEGMENTS = 400_000


def losses(spec: WanSpec, *, seed: int = 7, load: float = 0.0, packet: int = 1) -> list[bool]:
    source = loss.make(spec, random.Random(seed))
    line = []
    for _ in range(SEGMENTS // packet):
        gone = set(source.lost(packet, load))
        line += [position in gone for position in range(packet)]
    return line


@pytest.mark.parametrize("packet", [1, 7, 45])
def test_uniform_loss_has_its_mean_and_no_memory(packet) -> None:
    """Uniform loss: the ratio asked for, in bursts no longer than chance makes them."""
    line = losses(WanSpec(profile="uniform", loss=0.01), packet=packet)
    assert sum(line) / len(line) == pytest.approx(0.01, rel=0.06)
    assert mean_burst(line) == pytest.approx(1.01, abs=0.02)


@pytest.mark.parametrize("packet", [1, 45])
def test_bursty_loss_has_its_mean_and_its_burst_length(packet) -> None:
    """Bursty loss: the mean ratio, in bursts of the mean length, however the segments are packed."""
    line = losses(WanSpec(profile="bursty", loss=0.05, burst=10.0), packet=packet)
    assert sum(line) / len(line) == pytest.approx(0.05, rel=0.08)
    assert mean_burst(line) == pytest.approx(10.0, rel=0.08)


@pytest.mark.parametrize(("load", "packet"), [(0.2, 1), (0.43, 45), (1.0, 45), (1.0, 1), (1.3, 7), (3.0, 7)])
def test_field_loss_is_the_law_at_any_load_and_packing(load, packet) -> None:
    """The field profile: p(u) = 0.06 u^2.3, capped at u = 1.3."""
    line = losses(WanSpec(profile="field"), load=load, packet=packet)
    expected = 0.06 * min(load, 1.3) ** 2.3
    assert sum(line) / len(line) == pytest.approx(expected, rel=0.08)


def test_field_loss_rises_with_the_load_and_is_nothing_on_an_idle_line() -> None:
    """More load, more loss; none without load; about 0.86 % at 43 %."""
    values = [loss.field_loss(step / 50) for step in range(66)]
    assert values[0] == 0.0
    assert all(low < high for low, high in pairwise(values))
    assert loss.field_loss(0.43) == pytest.approx(0.0086, abs=0.0001)
    assert loss.field_loss(2.0) == loss.field_loss(1.3)


@pytest.mark.parametrize("profile", ["uniform", "bursty", "field"])
def test_a_seed_makes_the_same_losses_again(profile) -> None:
    """The same seed: the same losses; another seed: others."""
    spec = WanSpec(profile=profile, loss=0.02)
    first = losses(spec, load=0.5)
    assert losses(spec, load=0.5) == first
    assert losses(spec, load=0.5, seed=8) != first


def test_a_clean_line_loses_nothing() -> None:
    """Clean: nothing is lost, whatever the load."""
    assert not any(losses(WanSpec(profile="clean", loss=0.5), load=1.0))


@pytest.mark.parametrize(
    "change",
    [{"profile": "uniform", "loss": 1.0}, {"profile": "uniform", "loss": -0.1}, {"profile": "field", "rate_bps": 0},
     {"profile": "bursty", "loss": 0.1, "burst": 1.0}, {"profile": "bursty", "loss": 0.95, "burst": 2.0}],
)  # fmt: skip
def test_a_profile_that_makes_no_sense_is_refused(change) -> None:
    """Ratios outside 0-1, bursts that cannot be, a field profile without a rate: ValueError."""
    with pytest.raises(ValueError):
        loss.make(replace(WanSpec(), **change), random.Random(1))


def mean_burst(line: list[bool]) -> float:
    lengths = [len(list(group)) for lost, group in groupby(line) if lost]
    return sum(lengths) / len(lengths)
