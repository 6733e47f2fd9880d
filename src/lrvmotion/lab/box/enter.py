"""Run a command inside a box, with a clean environment, as if typed at its console."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

from lrvmotion.lab.box.disk.layer import PATH
from lrvmotion.lab.box.record import BoxError, BoxRecord

_ENVIRONMENT = {"PATH": PATH, "HOME": "/root", "USER": "root", "LANG": "C.UTF-8", "TERM": "dumb"}


def run(record: BoxRecord, argv: Sequence[str], *, timeout_s: float | None = None) -> subprocess.CompletedProcess[str]:
    """Run *argv* as root in the box; return status and output.

    BoxError if the box is off; subprocess.TimeoutExpired after *timeout_s* seconds.
    """
    init = record.init
    if init is None:
        message = f"the box {record.name} is not running"
        raise BoxError(message)
    nsenter = shutil.which("nsenter") or "nsenter"
    return subprocess.run(
        [nsenter, "-t", str(init.pid), "-m", "-p", "-n", "-u", "-C", "-i", "--", *argv],
        env=_ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        timeout=timeout_s,
    )  # fmt: skip
