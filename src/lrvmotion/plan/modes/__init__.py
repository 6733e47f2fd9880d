"""The modes of a run, a module each: what a mode sets on hosts, and with what it sends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from lrvmotion.config.schema import Config
from lrvmotion.forecast.estimate import Sending
from lrvmotion.model.host_option import Desired
from lrvmotion.model.inventory import SiteName
from lrvmotion.model.mode import Mode
from lrvmotion.model.setting import HostKind
from lrvmotion.plan.modes import native, proxy, stock


class ModeModule(Protocol):
    """What every module of this package has (PEP 544: a module has no *self*).

    *CHANGES_SETTINGS*: hosts are changed for it, so that the path is verified before the first move. *NEEDS_RELAY*: the
    source hosts' vMotion is steered through relays.
    """

    NAME: Mode
    CHANGES_SETTINGS: bool
    NEEDS_RELAY: bool

    def options(self, config: Config, site: SiteName) -> Sequence[Desired]:
        """Return the advanced options that it wants on a host of *site* (vsphere.md 1.2)."""

    def vmknics(self, config: Config, site: SiteName) -> int:
        """Return how many vMotion vmknics a host of *site* needs at least; 0: those that it has."""

    def kinds(self, site: SiteName) -> tuple[HostKind, ...]:
        """Return the kinds of settings that it may change on the hosts of *site*."""

    def sending(self, config: Config, hosts: Sending, rtt_ms: float | None) -> Sending:
        """Return what it sends with across the circuit, where the source hosts as they are send with *hosts*."""


_MODULES: tuple[ModeModule, ...] = (
    stock,  # what changes least comes first: of equally fast modes it is chosen
    native,
    proxy,
)
MODES: Final[dict[Mode, ModeModule]] = {mode.NAME: mode for mode in _MODULES}


def available(config: Config) -> tuple[Mode, ...]:
    """Return the modes that *config* allows: those that need a relay only where a near one is configured."""
    return tuple(name for name, mode in MODES.items() if config.relay.source or not mode.NEEDS_RELAY)
