"""Target: a host, relay host or vCenter whose settings are read and written."""

from __future__ import annotations

from typing import Protocol

from lrvmotion.errors import RefusedError
from lrvmotion.model.setting import SettingKey, Value
from lrvmotion.model.target_id import TargetId


class GoneError(RefusedError):
    """The VM that has a setting is no longer in this vCenter: of the setting nothing is left to restore."""


class Target(Protocol):
    """A host, relay host or vCenter whose settings can be read and written, each by one atomic call."""

    @property
    def name(self) -> TargetId:
        """Its id."""

    def read(self, key: SettingKey) -> Value:
        """Return the setting's value now, ABSENT where it does not exist; GoneError where its VM does not."""

    def write(self, key: SettingKey, value: Value) -> None:
        """Set it; ABSENT removes it. Writing what is already there is harmless."""

    def busy(self) -> list[str]:
        """Return what forbids a write now: one phrase for each relocate that runs there."""
