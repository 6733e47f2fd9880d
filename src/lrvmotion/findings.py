"""Finding and Severity: what a check has to say about a subject."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad: an error stops the run, a warning is shown, information is told."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One sentence about *subject* (for example "source/esx-a1"), with a *hint* where a next step exists.

    *code* is stable and documented, for machines: "vm-snapshots", "path-loss".
    """

    severity: Severity
    code: str
    subject: str
    summary: str
    hint: str | None = None


def errors(findings: tuple[Finding, ...] | list[Finding]) -> list[Finding]:
    """Return only the findings that stop a run."""
    return [finding for finding in findings if finding.severity is Severity.ERROR]
