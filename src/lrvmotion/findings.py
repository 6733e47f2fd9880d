"""Finding and Severity: what a check has to say about a subject."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any


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
    code: str  # of checks/catalogue.py; what was recorded may be another version's
    subject: str
    summary: str
    hint: str | None = None

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Finding:
        """Return the finding that was recorded as *record*; TypeError or ValueError where it is none."""
        return cls(**{**record, "severity": Severity(record["severity"])})


def errors(findings: tuple[Finding, ...] | list[Finding]) -> list[Finding]:
    """Return only the findings that stop a run."""
    return [finding for finding in findings if finding.severity is Severity.ERROR]


def together(findings: Iterable[Finding]) -> dict[Finding, list[str]]:
    """Return each finding of *findings* once, without its subject, and all subjects that it holds of."""
    same: dict[Finding, list[str]] = {}
    for finding in findings:
        subjects = same.setdefault(replace(finding, subject=""), [])
        if finding.subject not in subjects:
            subjects.append(finding.subject)
    return same


def first_few(names: Sequence[str], most: int = 3) -> str:
    """Return the first of *names*, at *most* so many, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
