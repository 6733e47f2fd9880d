"""What a vCenter tells: clock, licences, DRS, what the account may do, its view of the other; hosts to reboot."""

from __future__ import annotations

from dataclasses import dataclass

from lrvmotion.model.target_id import TargetId

AUTOMATED = "fullyAutomated"  # the DRS level that moves running VMs by itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """A vCenter's clock: *ahead_s* of ours (negative: behind), known to within *within_s* seconds."""

    ahead_s: float
    within_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Lacking:
    """The privileges that the account lacks on one entity; *subject* names it ("target/esx-b1")."""

    subject: str
    privileges: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Licence:
    """The licence of one entity, by its display name and edition; never its key."""

    subject: str
    name: str
    edition: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drs:
    """A cluster's DRS: *level* is manual, partiallyAutomated or fullyAutomated."""

    cluster: str
    enabled: bool
    level: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """Whether a vCenter reaches the other one: *seen* None means not measured, *detail* says why, or what happened."""

    seen: bool | None
    detail: str = ""
    hint: str | None = None


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
