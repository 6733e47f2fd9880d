"""Stock mode: VMs move over hosts as they are; nothing is changed."""

from __future__ import annotations

from collections.abc import Sequence

from lrvmotion.config.schema import Config
from lrvmotion.forecast.estimate import Sending
from lrvmotion.model.host_option import Desired
from lrvmotion.model.inventory import SiteName
from lrvmotion.model.mode import Mode
from lrvmotion.model.setting import HostKind

NAME: Mode = "stock"
CHANGES_SETTINGS = False
NEEDS_RELAY = False


def options(_config: Config, _site: SiteName) -> Sequence[Desired]:
    """Return nothing."""
    return ()


def vmknics(_config: Config, _site: SiteName) -> int:
    """Return 0: the vmknics that a host has."""
    return 0


def kinds(_site: SiteName) -> tuple[HostKind, ...]:
    """Return nothing."""
    return ()


def sending(_config: Config, hosts: Sending, _rtt_ms: float | None) -> Sending:
    """Return what the hosts send with."""
    return hosts
