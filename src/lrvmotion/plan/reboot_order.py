"""A rolling reboot as data: in which order hosts are rebooted, and what blocks it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from lrvmotion.findings import Finding, Severity
from lrvmotion.model.inventory import natural
from lrvmotion.plan.plan import Change

MAINTENANCE = "maintenance"  # the setting's key: whether a host is in maintenance mode, or enters it
AUTOMATED = "fullyAutomated"
_SHOWN = 3
_MANUAL = "move them away or stop them, set DRS to fully automated until the run ends, or leave out --reboot-hosts"


@dataclass(frozen=True, slots=True, kw_only=True)
class RebootReadiness:
    """What matters of *host* ("source/esx-a1") before its reboot, by names.

    *running* are the VMs that run on it, *fixed* those of them that DRS does not move by itself though its level for
    the cluster (*drs*, "" is off) would let it; *others* the hosts of its cluster that could take VMs.
    """

    host: str
    cluster: str
    running: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    drs: str = ""
    others: tuple[str, ...] = ()


def order(changes: Iterable[Change]) -> tuple[str, ...]:
    """Return the hosts whose *changes* need a reboot, as they are rebooted: the target's first, by number."""
    hosts = {change.target for change in changes if change.reboot}
    return tuple(sorted(hosts, key=lambda host: (not host.startswith("target/"), natural(host))))


def refusals(standing: RebootReadiness) -> Iterator[Finding]:
    """What forbids the reboot: VMs that would not leave, or no other host that works for the cluster.

    A host enters maintenance mode once no VM runs on it, and only fully automated DRS moves them away (vSphere API,
    EnterMaintenanceMode_Task).
    """
    vms = f"{len(standing.running)} running VM{'s' if len(standing.running) != 1 else ''}"
    if not standing.others:
        summary = f"is not rebooted: no other host of {standing.cluster} is connected and out of maintenance mode"
        yield _error("reboot-last", standing.host, summary, "bring another host back, or leave out --reboot-hosts")
    elif standing.running and standing.drs != AUTOMATED:
        level = f"is {_words(standing.drs)}" if standing.drs else "is off"
        summary = f"is not rebooted: it has {vms} ({some(standing.running)}), and DRS of {standing.cluster} {level}"
        yield _error("reboot-vms", standing.host, summary, _MANUAL)
    elif standing.fixed:
        summary = f"is not rebooted: {some(standing.fixed)} would stay, for DRS is not fully automated for that VM"
        yield _error("reboot-vms", standing.host, summary, "move them away or stop them, or leave out --reboot-hosts")


def findings(standings: Sequence[RebootReadiness]) -> Iterator[Finding]:
    """What the reboots of *standings*, in this order, mean for the VMs on them, and what forbids them."""
    for number, standing in enumerate(standings, 1):
        stands = list(refusals(standing))
        yield from stands
        if not stands:
            vms = len(standing.running)
            leave = f"DRS moves {vms} running VM{'s' if vms != 1 else ''} away first" if vms else "no VM runs on it"
            summary = f"is rebooted in maintenance mode, {number} of {len(standings)}, one at a time: {leave}"
            yield Finding(severity=Severity.WARNING, code="reboot-order", subject=standing.host, summary=summary)


def _error(code: str, subject: str, summary: str, hint: str) -> Finding:
    return Finding(severity=Severity.ERROR, code=code, subject=subject, summary=summary, hint=hint)


def some(names: Sequence[str]) -> str:
    """Return the first of *names* and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _words(level: str) -> str:
    """Return "partially automated" of "partiallyAutomated"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", level).lower()
