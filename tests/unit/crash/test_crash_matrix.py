"""The crash matrix in small: it dies at points of every kind, and sees a product that would lose something."""

from __future__ import annotations

import pytest

from crash import points
from crash.memory import Life, Matrix, clock
from crash.worlds import World, worlds
from fakes import change_of
from lrvmotion.journal.journal import Journal
from lrvmotion.model.setting import ABSENT, Value


@pytest.mark.parametrize("world", worlds(), ids=lambda world: world.name)
def test_a_few_deaths_of_every_plan_are_survived(tmp_path, world):
    """The whole matrix is `make crash-matrix`; these are some of its points."""
    result = Matrix(world, tmp_path, every=499).run()
    assert result.failures == []
    assert result.deaths > 50
    assert result.journal_bytes > 25


def test_the_plans_have_every_kind_of_setting():
    """What no plan changes no death is died at."""
    kinds = {change.key.partition("/")[0] for world in worlds() for change in world.changes}
    assert kinds == {
        "option", "portgroup", "vmknic", "vmotion-service", "route", "gateway",
        "sysctl", "file", "unit", "process", "redirect", "governor",
    }  # fmt: skip


class Hasty(Matrix):
    """Writes first and records afterwards."""

    def apply(self, journal, state, run="r"):
        life = Life(state)
        with self._disk(journal) as folder, Journal(folder, clock, opener=life.opener) as open_:
            for change in self.world.changes:
                life.targets()[change.target].write(change.key, change.planned)
                open_.intended(run, change)
        return life


def test_a_change_that_is_not_recorded_first_is_found(tmp_path):
    """The matrix can fail."""
    change = change_of("source/a", "option/x", ABSENT, Value("long", 1))
    world = World(name="hasty", before={"source/a": {}}, changes=(change,))
    failures = Hasty(world, tmp_path).run().failures
    assert any("was changed and is not recorded" in line for line in failures)
    assert any("not as before" in line for line in failures)


def test_points_are_one_of_every_kind_first_and_then_evenly_spread():
    """Twenty options of one host are one kind; a death around a call that only reads is not tried."""
    tape = [f"write source/esx-a1 option/x{number} | before" for number in range(20)]
    tape += ["soap QueryOptions | before", "soap QueryOptions > sent", "journal run | torn", "journal run | torn"]
    chosen = points.spread(tape, 5)
    assert {points.kind(point.label) for point in chosen} >= {"soap > sent", "journal run | torn"}
    assert len(chosen) == 5
    assert not any(point.label == "soap QueryOptions | before" for point in chosen)
    assert len(points.spread(tape, 500)) == 22
