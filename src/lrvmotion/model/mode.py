"""The modes and the steerings by name, as configuration, plan file and journal write them."""

from __future__ import annotations

from typing import Literal, get_args

Mode = Literal["stock", "native", "proxy"]
MODE_NAMES: tuple[Mode, ...] = get_args(Mode)  # what changes least comes first

ModeChoice = Literal[Mode, "auto"]  # auto: the one with the best forecast
MODE_CHOICES: tuple[ModeChoice, ...] = (*MODE_NAMES, "auto")

Steering = Literal["route", "gateway"]
