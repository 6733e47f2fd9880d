"""The latest load probe of the circuit, kept in the state directory until the next one."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

from lrvmotion import files
from lrvmotion.errors import UsageError
from lrvmotion.model.load_report import LoadReport

NAME = "load.json"


def keep(state: Path, report: LoadReport) -> Path:
    """Write *report* in place of the one before, whole or not at all; return where. UsageError where that fails."""
    path = state / NAME
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        files.replace(path, json.dumps(report.to_json(), indent=1) + "\n")
    except OSError as error:
        message = f"{path}: the load probe cannot be kept there: {error.strerror or error}"
        raise UsageError(message, hint="name a folder of yours on a disk with --state-dir") from None
    return path


def latest(state: Path) -> LoadReport | None:
    """Return the report that was kept, None where there is none; UsageError where it cannot be read."""
    path = state / NAME
    try:
        return _sound(LoadReport.from_json(json.loads(files.read(path).decode())))
    except FileNotFoundError:
        return None
    except OSError as error:
        reason = error.strerror or str(error)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        reason = "not what a load probe writes here"
    message = f"{path}: {reason}"
    raise UsageError(message, hint="remove the file, or measure again with 'lrvmotion check --load'")


def _sound(report: LoadReport) -> LoadReport:
    """Return *report*; ValueError where one of its values is of another type."""
    from pydantic import TypeAdapter

    checked = TypeAdapter(LoadReport).validate_python({k: v for k, v in report.to_json().items() if k != "schema"})
    if datetime.fromisoformat(checked.measured_at).tzinfo is None:
        message = f"{checked.measured_at} has no time zone"
        raise ValueError(message)
    return checked


def age_s(report: LoadReport, now: str) -> float:
    """Return how long before *now* (ISO 8601) the report was measured, in seconds; never below 0."""
    then = datetime.fromisoformat(report.measured_at)
    return max((datetime.fromisoformat(now) - then).total_seconds(), 0.0)
