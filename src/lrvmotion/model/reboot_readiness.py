"""What matters of a host before its reboot: who runs on it, its cluster's DRS, and the other hosts there."""

from __future__ import annotations

from dataclasses import dataclass

from lrvmotion.model.target_id import TargetId

AUTOMATED = "fullyAutomated"


@dataclass(frozen=True, slots=True, kw_only=True)
class RebootReadiness:
    """What matters of *host* before its reboot, by names.

    *running* are the VMs that run on it, *fixed* those of them that DRS does not move by itself though its level for
    the cluster (*drs*, "" is off) would let it; *others* the hosts of its cluster that could take VMs.
    """

    host: TargetId
    cluster: str
    running: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    drs: str = ""
    others: tuple[str, ...] = ()
