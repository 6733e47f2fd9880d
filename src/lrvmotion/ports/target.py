"""Target: a host or relay host whose settings are read and written."""

from __future__ import annotations

from typing import Protocol

from lrvmotion.model.setting import SettingKey, Value
from lrvmotion.model.target_id import TargetId


class Target(Protocol):
    """A host or box whose settings can be read and written, each by one atomic call."""

    @property
    def name(self) -> TargetId:
        """Its id."""

    def read(self, key: SettingKey) -> Value:
        """Return the setting's value now, ABSENT where it does not exist."""

    def write(self, key: SettingKey, value: Value) -> None:
        """Set it; ABSENT removes it. Writing what is already there is harmless."""

    def busy(self) -> list[str]:
        """Return what forbids a write now: one phrase for each relocate that runs there."""
