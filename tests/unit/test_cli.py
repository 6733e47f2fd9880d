"""The options that every command takes stand before the command or behind it."""

from __future__ import annotations

import pytest

from lrvmotion.cli import options_first


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (["plan", "vm1", "--config", "a.toml"], ["--config", "a.toml", "plan", "vm1"]),
        (["plan", "-c", "a.toml", "vm1", "--mode", "stock"], ["-c", "a.toml", "plan", "vm1", "--mode", "stock"]),
        (["lab", "up", "--debug", "--state-dir=/s"], ["--debug", "--state-dir=/s", "lab", "up"]),
        (["--config", "a.toml", "status"], ["--config", "a.toml", "status"]),
        (["status", "--config=a.toml", "--config", "b.toml"], ["--config=a.toml", "--config", "b.toml", "status"]),
    ],
)
def test_they_are_read_wherever_they_stand(given, read):
    """In the order in which they were given, so that the last one counts as ever."""
    assert options_first(given) == read


def test_behind_two_dashes_everything_is_a_name():
    """A VM may be called --debug."""
    assert options_first(["plan", "--", "--debug", "-c"]) == ["plan", "--", "--debug", "-c"]


def test_one_without_its_value_is_named_and_takes_no_command_for_it():
    """Typer's own error follows."""
    assert options_first(["plan", "vm1", "--config"]) == ["--config"]
