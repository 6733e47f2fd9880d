"""Settings in words: the journal's keys and typed values as an administrator would say them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from lrvmotion import findings
from lrvmotion.model.counted import counted
from lrvmotion.model.migration_state import MigrationState
from lrvmotion.model.setting import ABSENT, SettingKey, Value
from lrvmotion.views.text import units

SUBJECTS = 6  # names in one line: the rest is a number
_STATES: dict[str, str] = {MigrationState.SUCCESS: "moved", MigrationState.ERROR: "failed"}
_COUNTED = (
    MigrationState.SUCCESS,
    MigrationState.RUNNING,
    MigrationState.WAITING,
    MigrationState.ERROR,
    MigrationState.HELD,
    MigrationState.CANCELLED,
    MigrationState.QUEUED,
)
_PHASES = {
    "maintenance": "enters maintenance mode", "reboot": "is rebooted", "back": "is up again",
    "home": "the VMs of this run go back to it", "verified": "rebooted, its settings are in force",
}  # fmt: skip


def setting(key: str) -> str:
    """Return the name of the setting *key*: "file//etc/x" is "file /etc/x", an option is its own name."""
    return SettingKey(key).words


def value(given: Value) -> str:
    """Return *given* on one line, whole; what is not there is none."""
    return "none" if given == ABSENT else given.brief(most=sys.maxsize)


def state(name: str) -> str:
    """Return a move's state in a word."""
    return _STATES.get(name, name)


def counts(states: Mapping[Any, int]) -> str:
    """Return how many moves are in which state: "6 moved, 2 running, 1 failed"."""
    return ", ".join(f"{states[name]} {state(name)}" for name in _COUNTED if states.get(name))


def reboot(phase: str) -> str:
    """Return what a host's rolling reboot has come to in words."""
    return _PHASES.get(phase, phase)


def window(is_open: bool, until: str | None) -> str:
    """Return how the maintenance window is: "maintenance window open until 2026-11-24 06:00"; *until* is ISO 8601."""
    how = "open" if is_open else "closed"
    return f"maintenance window {how}" + ("" if until is None else f" until {until[:16].replace('T', ' ')}")


def cap(bps: float | None) -> str:
    """Return a relay's cap of *bps* bit/s: "cap 500 Mbit/s", "no cap"."""
    return "no cap" if bps is None else f"cap {units.rate(bps)}"


def count(number: int, noun: str) -> str:
    """Return "1 setting", "2 settings"."""
    return counted(number, noun)


def first_few(names: Sequence[str]) -> str:
    """Return as many of *names* as fit in one line, and how many more there are."""
    return findings.first_few(names, SUBJECTS)
