"""When the maintenance windows let VMs start, and which VMs never fit into one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from lrvmotion.checks.catalogue import Code
from lrvmotion.config import time_zone
from lrvmotion.config.maintenance_window import Windows
from lrvmotion.findings import Finding


def fits(windows: Windows, now: datetime, seconds: Mapping[str, float | None]) -> Iterator[Finding]:
    """Say when the first VM can start, and which of the VMs, that take *seconds*, never can; *now* is aware."""
    opens = windows.opens(now)
    if opens is not None and opens > now:
        summary = f"none is open: the first VM starts at {time_zone.said(opens, windows.zone())}"
        yield Code.WINDOW_CLOSED.info("maintenance window", summary)
    longest = windows.longest_s(now)
    for vm, takes in seconds.items():
        if takes is not None and longest is not None and takes > longest:
            summary = f"would take {takes / 3600:.1f} h, the longest window has {longest / 3600:.1f} h: it is held"
            hint = "a longer window, or a mode or circuit that is faster"
            yield Code.WINDOW_TOO_SHORT.warning(f"vm/{vm}", summary, hint)
