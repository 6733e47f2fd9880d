"""A rolling reboot as data: in which order hosts are rebooted."""

from __future__ import annotations

from collections.abc import Iterable

from lrvmotion.model.inventory import natural
from lrvmotion.model.target_id import TargetId
from lrvmotion.plan.plan import Change


def order(changes: Iterable[Change]) -> tuple[TargetId, ...]:
    """Return the hosts whose *changes* need a reboot, as they are rebooted: the target's first, by number."""
    hosts = {change.target for change in changes if change.reboot}
    return tuple(sorted(hosts, key=lambda host: (host.site != "target", natural(host))))
