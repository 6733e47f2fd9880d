"""Rebooter: a host that can be emptied and rebooted, and where hosts are found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from lrvmotion.model.inventory import MoRef
from lrvmotion.model.target_id import TargetId
from lrvmotion.model.vcenter import RebootReadiness
from lrvmotion.ports.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRuntime:
    """How a host is now; *booted* is when it was started last, None where vCenter does not say."""

    connected: bool
    in_maintenance: bool
    booted: datetime | None
    reboot_required: bool


class Rebooter(Protocol):
    """One host that can be rebooted. Every call may raise UnreachableError or RefusedError."""

    def readiness(self) -> RebootReadiness:
        """Return the VMs on it, its cluster's DRS and the other hosts of it."""

    def now(self) -> HostRuntime:
        """Return how it is."""

    def enter(self, timeout_s: float, proceed: Callable[[], None]) -> None:
        """Put it in maintenance mode, waiting until no VM runs on it; *proceed* may raise meanwhile."""

    def reboot(self) -> None:
        """Order the reboot of a host in maintenance mode; it goes away some time later."""

    def bring_home(self, vms: Sequence[MoRef], timeout_s: float) -> list[str]:
        """Move those of *vms* that run on another host of the same vCenter back; return why for each that stays."""


class HostAccess(Protocol):
    """Where the hosts are found."""

    def target(self, name: TargetId) -> Target:
        """Return the host as a target."""

    def rebooter(self, name: TargetId) -> Rebooter:
        """Return the same host as one that can be rebooted."""
