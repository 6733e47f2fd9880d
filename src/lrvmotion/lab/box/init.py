"""The small init of a box without systemd: keeps sshd running and collects orphans, no more."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import NoReturn

from lrvmotion.lab.box.disk.layer import PATH

_SSHD = "/usr/sbin/sshd"
_GRACE_S = 3.0
_RESTART_AFTER_S = 1.0
_WATCHED = {signal.SIGCHLD, signal.SIGTERM}


def serve() -> NoReturn:
    """Run as PID 1 until SIGTERM; then end every process of the box and exit."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    server = _start_sshd()
    while True:
        found = signal.sigtimedwait(_WATCHED, _RESTART_AFTER_S)
        ended = _collect()
        if found is not None and found.si_signo == signal.SIGTERM:
            _end_all()
        if server in ended:
            server = 0
        elif server == 0:
            server = _start_sshd()


def _start_sshd() -> int:
    return os.posix_spawn(
        _SSHD, [_SSHD, "-D", "-e"], {"PATH": PATH}, setsid=True, setsigmask=[],
    )  # fmt: skip


def _collect() -> set[int]:
    ended: set[int] = set()
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended.add(pid)


def _end_all() -> NoReturn:
    """Ask every process to end, then leave: the kernel kills what is left with its init."""
    deadline = time.monotonic() + _GRACE_S
    os.kill(-1, signal.SIGTERM)
    while time.monotonic() < deadline:
        signal.sigtimedwait({signal.SIGCHLD}, 0.1)
        _collect()
        if len([name for name in os.listdir("/proc") if name.isdigit()]) == 1:  # noqa: PTH208
            break
    os._exit(0)
