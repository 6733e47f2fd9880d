"""The wall clock, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """Return the time of day that the API stamps on tasks and sessions."""
    return datetime.now(UTC)  # noqa: TID251 - the one place that reads it
