"""A run's report for programs: CSV, a line a VM, and one JSON object."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from lrvmotion.journal.audit_log import Entry
from lrvmotion.report.run_history import RunHistory
from lrvmotion.views.events.wording import wording

SCHEMA = 1
VM_COLUMNS = (
    "vm", "state", "source_host", "target_host", "wave", "attempts", "began_s", "seconds", "forecast_s", "bytes",
    "cold_bytes", "bps", "reason", "hint", "instance_uuid", "source_ref",
)  # fmt: skip
AUDIT_COLUMNS = ("seq", "at", "run", "who", "account", "what", "subject", "key", "prior", "new", "detail")


def vms_csv(history: RunHistory) -> str:
    """Return a line a VM: times in seconds since the run began, rates in bit/s; what is not known is empty."""
    rows = [
        (
            vm.vm, vm.state, vm.source_host, vm.target_host, vm.wave, len(vm.attempts),
            _number(vm.attempts[0].began if vm.attempts else None), _number(vm.seconds), _number(vm.forecast_s),
            vm.bytes, vm.cold_bytes, _number(vm.bps), vm.reason, vm.hint, vm.instance_uuid, vm.source_ref,
        )
        for vm in history.vms
    ]  # fmt: skip
    return _csv(VM_COLUMNS, rows)


def audit_csv(entries: Sequence[Entry]) -> str:
    """Return the audit log, a line a record."""
    return _csv(AUDIT_COLUMNS, [[getattr(entry, name) for name in AUDIT_COLUMNS] for entry in entries])


def story_json(history: RunHistory) -> dict[str, Any]:
    """Return the whole history: bytes, bit/s, seconds since the run began, and times in ISO 8601 (UTC)."""
    document = asdict(history)
    for vm, made in zip(history.vms, document["vms"], strict=True):
        made |= {"seconds": vm.seconds, "bps": vm.bps}
    document["moments"] = [{"t": one.t, "at": one.at, "text": wording(one.event)} for one in history.moments]
    return {"schema": SCHEMA, **document}


def audit_json(entries: Sequence[Entry], run: str) -> dict[str, Any]:
    """Return the audit log of *run*."""
    return {"schema": SCHEMA, "run": run, "records": [asdict(entry) for entry in entries]}


def _csv(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    made = io.StringIO()
    writer = csv.writer(made, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([_cell(cell) for cell in row] for row in rows)
    return made.getvalue()


def _cell(given: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return *given* so that no spreadsheet takes a text for a formula."""
    return f"'{given}" if isinstance(given, str) and given[:1] in {"=", "+", "-", "@", "\t", "\r"} else given


def _number(given: float | None) -> float | None:
    return None if given is None else round(given, 3)
