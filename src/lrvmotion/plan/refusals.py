"""Which VMs of a plan are refused by a finding of their own, and which with them, since they depend on those; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from lrvmotion.checks import vms as vm_checks
from lrvmotion.findings import Finding, Severity
from lrvmotion.plan.plan import Migration


def own_errors(
    findings: Iterable[Finding], names: Iterable[str], migrations: Iterable[Migration] = ()
) -> dict[str, list[Finding]]:
    """Return the errors of each of the VMs *names* that has one, in that order.

    A VM whose migration depends on a refused one is refused, too: it would wait for what does not come.
    """
    found: dict[str, list[Finding]] = {name: [] for name in names}
    subjects = {f"vm/{name}": name for name in found}
    for finding in findings:
        if finding.severity == Severity.ERROR and finding.subject in subjects:
            found[subjects[finding.subject]].append(finding)
    moves = list(migrations)
    again = True
    while again:
        again = False
        for move in moves:
            before = next((one for one in move.depends_on if found.get(one)), None)
            if before is not None and not found.get(move.vm, [True]):
                found[move.vm].append(vm_checks.depends_on_refused(move.vm, before))
                again = True
    return {name: errors for name, errors in found.items() if errors}


def others(findings: Sequence[Finding], refused: Mapping[str, Sequence[Finding]]) -> list[Finding]:
    """Return those of *findings* that are not of the *refused* VMs."""
    subjects = {f"vm/{name}" for name in refused}
    return [finding for finding in findings if finding.subject not in subjects]
