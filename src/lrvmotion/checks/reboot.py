"""What blocks a rolling reboot, and what it means for the VMs on the hosts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from lrvmotion.checks.catalogue import Code
from lrvmotion.findings import Finding, first_few
from lrvmotion.model.counted import counted
from lrvmotion.model.vcenter import AUTOMATED, RebootReadiness

_MANUAL = "move them away or stop them, set DRS to fully automated until the run ends, or leave out --reboot-hosts"


def refusals(host: RebootReadiness) -> Iterator[Finding]:
    """What forbids the reboot: VMs that would not leave, or no other host that works for the cluster.

    A host enters maintenance mode once no VM runs on it, and only fully automated DRS moves them away (vSphere API,
    EnterMaintenanceMode_Task).
    """
    vms = counted(len(host.running), "running VM")
    if not host.others:
        summary = f"is not rebooted: no other host of {host.cluster} is connected and out of maintenance mode"
        yield Code.REBOOT_LAST.error(host.host, summary, "bring another host back, or leave out --reboot-hosts")
    elif host.running and host.drs != AUTOMATED:
        level = f"is {_words(host.drs)}" if host.drs else "is off"
        summary = f"is not rebooted: it has {vms} ({first_few(host.running)}), and DRS of {host.cluster} {level}"
        yield Code.REBOOT_VMS.error(host.host, summary, _MANUAL)
    elif host.fixed:
        summary = f"is not rebooted: {first_few(host.fixed)} would stay, for DRS is not fully automated for that VM"
        yield Code.REBOOT_VMS.error(host.host, summary, "move them away or stop them, or leave out --reboot-hosts")


def order(hosts: Sequence[RebootReadiness]) -> Iterator[Finding]:
    """What the reboots of *hosts*, in this order, mean for the VMs on them, and what forbids them."""
    for number, host in enumerate(hosts, 1):
        refused = list(refusals(host))
        yield from refused
        if not refused:
            vms = len(host.running)
            leave = f"DRS moves {counted(vms, 'running VM')} away first" if vms else "no VM runs on it"
            summary = f"is rebooted in maintenance mode, {number} of {len(hosts)}, one at a time: {leave}"
            yield Code.REBOOT_ORDER.warning(host.host, summary)


def _words(level: str) -> str:
    """Return "partially automated" of "partiallyAutomated"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", level).lower()
