"""Wait until a box that was powered on can be used; BoxError when it does not get there in time."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from lrvmotion.lab.box.enter import run
from lrvmotion.lab.box.record import BoxError, BoxRecord

_INIT_S = 5.0
_SYSTEMD_S = 20.0
_SSH_S = 10.0
_STEP_S = 0.02


def wait_for_init(record: BoxRecord) -> None:
    """Wait until the box has a PID 1 that runs."""
    if not _until(lambda: record.init is not None, _INIT_S):
        message = f"the box {record.name} has no init: {last_line(record)}"
        raise BoxError(message)


def wait_for_systemd(record: BoxRecord) -> None:
    """Wait until systemd has started all that it will, failed units or not."""
    deadline = time.monotonic() + _SYSTEMD_S

    def answers() -> bool:
        init = record.init
        if init is None:
            message = f"systemd ended: {last_line(record)}"
            raise BoxError(message)
        return Path(f"/proc/{init.pid}/root/run/systemd/private").exists()

    state = ""
    if _until(answers, _SYSTEMD_S):
        while state not in ("running", "degraded"):
            left = deadline - time.monotonic()
            if left <= 0:
                break
            try:
                argv = ["systemctl", "is-system-running", "--wait"]
                state = run(record, argv, timeout_s=left).stdout.strip()
            except subprocess.TimeoutExpired:
                break
            if state not in ("running", "degraded"):
                time.sleep(_STEP_S)  # it does not take calls yet
    if state not in ("running", "degraded"):
        message = f"systemd was not up within {_SYSTEMD_S:.0f} s ({state or 'no answer'})"
        raise BoxError(message)


def wait_for_ssh(record: BoxRecord) -> None:
    """Wait until the box's SSH server says who it is over the management link."""
    if not _until(lambda: _greets(record.address, record.port), _SSH_S):
        message = f"no SSH server answers in the relay host {record.name}: {last_line(record)}"
        raise BoxError(message)


def last_line(record: BoxRecord) -> str:
    """Return the last line that the box said on its console."""
    try:
        lines = (record.folder / "console.log").read_text(errors="replace").split("\n")
    except FileNotFoundError:
        lines = []
    return next((line for line in reversed(lines) if line.strip()), "it said nothing")


def _greets(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=1.0) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _until(holds: Callable[[], bool], limit_s: float) -> bool:
    deadline = time.monotonic() + limit_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(_STEP_S)
    return True
