"""The script that stops a supervised relay on a relay host without systemd: at any moment, and where it hangs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lrvmotion.relay import service
from wire.test_relayd_streams import RELAYD, Running, eventually, running


@contextmanager
def supervised(folder: Path) -> Iterator[tuple[Running, Path, Path]]:
    """A relay and its supervisor in a session of their own, as the start script leaves them: with two folders."""
    state, runtime = folder / "state", folder / "runtime"
    state.mkdir()
    runtime.mkdir()
    with running(folder, "--supervise", control=str(runtime / "control.sock"), session=True) as relay:
        born = Path(f"/proc/{relay.process.pid}/stat").read_text().rpartition(") ")[2].split()[19]
        (state / "supervisor").write_text(f"{relay.process.pid} {born}\n")
        yield relay, state, runtime


def stop(state: Path, runtime: Path, *rounds: str) -> subprocess.CompletedProcess[str]:
    relayd = runtime.parent / "relayd"
    relayd.write_text(f'#!/bin/sh\nexec {sys.executable} {RELAYD} "$@"\n')
    relayd.chmod(0o755)
    words = ["sh", "-c", service._STOP_PROCESS, "stop", str(state), str(runtime), str(relayd), *rounds]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)


def has_ended(pid: int) -> bool:
    """A zombie, which nobody may have waited for yet, has no command line."""
    try:
        return not Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True


@pytest.mark.parametrize("when", ["running", "between two relays"])
def test_a_supervised_relay_is_stopped_at_any_moment(tmp_path: Path, when: str) -> None:
    """The script ends with 0 and nothing is left: no process, no folder."""
    with supervised(tmp_path) as (relay, state, runtime):
        if when == "between two relays":
            os.kill(int(relay.ask(op="status")["pid"]), signal.SIGKILL)
            time.sleep(0.3)
        done = stop(state, runtime)
        assert (done.returncode, done.stdout) == (0, "")
        relay.process.wait(10)
        assert not state.exists()
        assert not runtime.exists()


def test_a_relay_that_hangs_is_killed(tmp_path: Path) -> None:
    """It does not even drain: after its time supervisor and relay are killed, as systemd does it."""
    with supervised(tmp_path) as (relay, state, runtime):
        inner = int(relay.ask(op="status")["pid"])
        os.kill(inner, signal.SIGSTOP)
        try:
            done = stop(state, runtime, "10")
            assert (done.returncode, done.stdout) == (0, "")
            relay.process.wait(10)
            eventually(lambda: has_ended(inner))
            assert not state.exists()
        finally:
            if not has_ended(inner):
                os.kill(inner, signal.SIGKILL)
