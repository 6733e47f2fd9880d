"""relayd.py as a command: one line and a status of its own for each way not to start, and its client modes."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from wire.test_relayd_streams import RELAYD, free_port, running


def start(tmp_path: Path, *words: str, **changes: Any) -> subprocess.CompletedProcess[str]:
    document = {
        "schema": 1,
        "listen": [["127.0.0.1", free_port()]],
        "port": 8000,
        "sources": ["127.0.0.1"],
        "targets": ["127.0.0.1"],
        "control": str(tmp_path / "c.sock"),
        "wan_congestion_control": "reno",
        **changes,
    }
    path = tmp_path / "relay.json"
    path.write_text(json.dumps(document))
    return call("--config", str(path), *words)


def call(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(RELAYD), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)


@pytest.mark.parametrize(
    ("status", "named", "changes"),
    [
        (2, "speed: unknown key", {"speed": 1}),
        (2, "port: 0", {"port": 0}),
        (4, "nosuch is not in this kernel: modprobe tcp_nosuch", {"wan_congestion_control": "nosuch"}),
        (4, "nor", {"wan_congestion_control": "nosuch", "congestion_fallback": "nor"}),
        (5, "203.0.113.1 port 9000", {"listen": [["203.0.113.1", 9000]]}),
        (5, "/nowhere/at/all.sock", {"control": "/nowhere/at/all.sock"}),
    ],
)
def test_what_cannot_run_says_so_in_one_line(tmp_path: Path, status: int, named: str, changes: dict[str, Any]) -> None:
    """A distinct status, one line that names it, no socket left behind."""
    done = start(tmp_path, **changes)
    assert done.returncode == status, done.stderr
    assert named in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "c.sock").exists()


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    """Status 3."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = start(tmp_path, listen=[["127.0.0.1", port]])
    assert done.returncode == 3
    assert done.stderr == f"relayd: 127.0.0.1 port {port}: Address already in use\n"


def test_a_second_relay_on_one_control_socket_is_refused(tmp_path: Path) -> None:
    """Status 3, and the first one goes on; a socket left by a dead one is no obstacle."""
    with running(tmp_path) as relay:
        done = start(tmp_path, control=str(relay.control))
        assert done.returncode == 3
        assert str(relay.control) in done.stderr
        assert relay.ask(op="status")["accepted"] == 0
        relay.process.kill()
        relay.process.wait()
        assert relay.control.exists()
        with running(tmp_path, control=str(relay.control)):
            assert json.loads(call("--status", str(relay.control)).stdout)["accepted"] == 0


def test_a_redirect_that_does_not_load_stops_the_start(tmp_path: Path) -> None:
    """Status 6 for a script that is not there: never a relay without the redirect it was asked to hold."""
    done = start(tmp_path, "--hold-redirect", str(tmp_path / "none.nft"))
    assert done.returncode == 6
    assert "none.nft" in done.stderr


def test_a_running_relay_is_asked_with_the_same_file(tmp_path: Path) -> None:
    """--status, --limit and --drain print the answer's JSON line; nobody there is status 7, nonsense 2."""
    with running(tmp_path) as relay:
        path = str(relay.control)
        assert json.loads(call("--status", path).stdout)["live"] == 0
        assert json.loads(call("--limit", path, "1000000").stdout) == {"limit_bps": 1000000, "live": 0}
        assert json.loads(call("--limit", path, "off").stdout)["limit_bps"] is None
        assert call("--limit", path, "2G").returncode == 2
        assert call("--limit", path, "1").returncode == 2
        assert json.loads(call("--drain", path).stdout)["draining"] is True
        assert relay.process.wait(10) == 0
        gone = call("--status", path)
    assert gone.returncode == 7
    assert gone.stderr.count("\n") == 1


def test_the_service_manager_is_told_when_the_port_answers(tmp_path: Path) -> None:
    """READY=1 on NOTIFY_SOCKET after listening, WATCHDOG=1 again and again, STOPPING=1 at the end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(10)
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "2000000"}
        with running(tmp_path, environment=environment) as relay:
            assert manager.recv(100).startswith(b"READY=1")
            assert manager.recv(100) == b"WATCHDOG=1"
            assert manager.recv(100) == b"WATCHDOG=1"
            relay.ask(op="drain")
            while (told := manager.recv(100)) == b"WATCHDOG=1":
                pass
            assert told == b"STOPPING=1"


def test_it_uses_nothing_newer_than_python_3_9() -> None:
    """What is newer (os.splice) is asked for first."""
    vermin = Path(sys.executable).with_name("vermin")
    if not vermin.exists():
        pytest.skip("vermin is not installed")
    words = [str(vermin), "--target=3.9-", "--no-tips", "--violations", "--eval-annotations"]
    words += ["--exclude", "os.splice", str(RELAYD)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
