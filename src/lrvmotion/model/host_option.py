"""An advanced option of a host: what its own OptionDef says of it, and what is wanted of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What the host's own OptionDef says of an option; *type* is the wire type ("int" or "long")."""

    type: Literal["int", "long"]
    minimum: int
    maximum: int
    default: int
    reboot: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """A wanted option value. *at_least*: a higher present value is left alone."""

    key: str
    value: int
    reason: str
    at_least: bool = False
