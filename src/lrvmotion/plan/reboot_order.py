"""A rolling reboot as data: in which order hosts are rebooted."""

from __future__ import annotations

from collections.abc import Iterable

from lrvmotion.model.inventory import natural
from lrvmotion.plan.plan import Change

MAINTENANCE = "maintenance"  # the setting's key: whether a host is in maintenance mode, or enters it


def order(changes: Iterable[Change]) -> tuple[str, ...]:
    """Return the hosts whose *changes* need a reboot, as they are rebooted: the target's first, by number."""
    hosts = {change.target for change in changes if change.reboot}
    return tuple(sorted(hosts, key=lambda host: (not host.startswith("target/"), natural(host))))
