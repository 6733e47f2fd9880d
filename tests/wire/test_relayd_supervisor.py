"""`relayd.py --supervise`: started again when it dies, and ended by one SIGTERM whatever it is doing."""

from __future__ import annotations

import os
import resource
import signal
import socket
import time
from pathlib import Path

import pytest

from wire.test_relayd_streams import eventually, running


@pytest.mark.parametrize("wait_s", [0.0, 0.05, 0.2, 0.4, 0.8, 0.97, 1.0, 1.03, 1.2])
def test_a_supervisor_ends_between_two_relays(tmp_path: Path, wait_s: float) -> None:
    """The relay was killed; SIGTERM comes while the supervisor waits to start another, or starts it."""
    with running(tmp_path, "--supervise") as relay:
        first = int(relay.ask(op="status")["pid"])
        os.kill(first, signal.SIGKILL)
        time.sleep(wait_s)
        relay.process.send_signal(signal.SIGTERM)
        relay.process.wait(20)
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", relay.port), timeout=1)


def test_a_relay_that_cannot_start_can_be_stopped(tmp_path: Path) -> None:
    """Its port is taken, so that it ends with status 3 again and again: SIGTERM ends the supervisor."""
    with running(tmp_path, "--supervise") as relay:
        first = int(relay.ask(op="status")["pid"])
        os.kill(first, signal.SIGKILL)
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

            def take() -> bool:
                try:
                    taken.bind(("127.0.0.1", relay.port))
                    taken.listen()
                except OSError:
                    return False
                return True

            eventually(take)
            time.sleep(3)
            relay.process.send_signal(signal.SIGTERM)
            relay.process.wait(20)


def test_a_signal_reaches_the_relay_and_its_status_comes_back(tmp_path: Path) -> None:
    """SIGTERM to the supervisor while the relay runs: it drains, both end, status 0."""
    with running(tmp_path, "--supervise", drain_s=60) as relay:
        client, server = relay.pair()
        with client, server:
            relay.process.send_signal(signal.SIGTERM)
            eventually(lambda: relay.ask(op="status")["draining"])
        assert relay.process.wait(20) == 0


def test_a_supervisor_that_can_start_nothing_goes_on_trying(tmp_path: Path) -> None:
    """It has no descriptor left for another process: the relay is there again once it has."""
    log = os.open(tmp_path / "log", os.O_CREAT | os.O_RDWR)
    with running(tmp_path, "--supervise", log=log) as relay:
        first = int(relay.ask(op="status")["pid"])
        process = relay.process.pid
        before = resource.prlimit(process, resource.RLIMIT_NOFILE)
        least = max(int(opened.name) for opened in Path(f"/proc/{process}/fd").iterdir()) + 1
        resource.prlimit(process, resource.RLIMIT_NOFILE, (least, before[1]))
        os.kill(first, signal.SIGKILL)
        eventually(lambda: b"cannot start" in (tmp_path / "log").read_bytes())
        resource.prlimit(process, resource.RLIMIT_NOFILE, before)

        def is_another() -> bool:
            try:
                return bool(relay.ask(op="status")["pid"] != first)
            except OSError:
                return False

        eventually(is_another)
    os.close(log)
