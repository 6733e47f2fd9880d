"""Every command on streams that are closed, full, left by their reader, or not UTF-8, or interrupted as it begins."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

# lrvmotion, interrupted where the function NAME of FILE begins: within an exec(), as dataclasses call it at an import.
INTERRUPTED = """
import signal, sys
file, name = sys.argv.pop(1).split(":")
def strike(frame, event, _):
    if event == "call" and frame.f_code.co_name == name and frame.f_code.co_filename.endswith(file):
        sys.setprofile(None)
        exec("signal.raise_signal(signal.SIGINT)")
from lrvmotion.__main__ import main
sys.setprofile(strike)
main()
"""


def sh(command: str, tmp_path, **environment: str) -> subprocess.CompletedProcess:
    """Run the shell *command*, with $X for lrvmotion and its empty state directory."""
    x = f"{sys.executable} -m lrvmotion --state-dir {tmp_path}/state"
    return subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path,
        env={**os.environ, "X": x, **environment},
    )  # fmt: skip


@pytest.mark.parametrize("output", ["text", "json"])
def test_a_full_disk_under_stdout_is_said_and_is_no_success(tmp_path, output):
    """Exit 1 and one sentence on stderr."""
    done = sh(f"$X status --output {output} >/dev/full", tmp_path)
    assert done.returncode == 1, done.stderr
    assert "could not be written to stdout: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("output", ["text", "json"])
def test_a_closed_stdout_is_treated_as_a_full_one(tmp_path, output):
    """Exit 1; its number is given to no file of ours."""
    done = sh(f"$X status --output {output} >&-", tmp_path)
    assert done.returncode == 1, done.stderr
    assert "could not be written to stdout: Bad file descriptor" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("output", ["text", "json"])
def test_a_reader_that_leaves_is_no_failure(tmp_path, output):
    """As with `| head`: the exit status is the command's."""
    done = sh(f"($X status --output {output}; echo $? >status) | true; cat status", tmp_path)
    assert done.stdout.strip() == "0", done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize("closed", ["2>/dev/full", "2>&-", "<&-", "<&- 2>&-"])
def test_a_result_does_not_need_the_other_streams(tmp_path, closed):
    """stderr full or closed, stdin closed: the result is written, exit 0."""
    done = sh(f"$X status {closed}", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "nothing is outstanding" in done.stdout


@pytest.mark.parametrize("streams", [">&- 2>&-", "<&- >&- 2>&-", ">/dev/full 2>&1"])
def test_without_any_stream_the_exit_status_says_it(tmp_path, streams):
    """An error keeps its own status, whatever it is said to."""
    assert sh(f"$X status {streams}", tmp_path).returncode == 1
    assert sh(f"$X check {streams}", tmp_path).returncode == 2


def test_a_closed_stdout_gives_its_number_to_no_file(tmp_path):
    """The journal's own lock file would be number 1, and be written to by whoever prints."""
    (tmp_path / "state").mkdir()
    sh("$X restore-defaults >&- 2>&-", tmp_path)
    for path in (tmp_path / "state").rglob("*"):
        if path.is_file():
            assert b"nothing" not in path.read_bytes(), path


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "ascii:strict"])
@pytest.mark.parametrize("command", ["--help", "status", "migrate --help", "restore-defaults"])
def test_what_a_terminal_cannot_show_is_replaced(tmp_path, encoding, command):
    """The exit status is that of UTF-8."""
    folder = tmp_path / "ströme-→"
    folder.mkdir()
    done = sh(f"cd ströme-→ && $X --state-dir ./zustand-→ {command}", tmp_path, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def test_an_error_is_said_on_a_terminal_that_is_not_utf_8(tmp_path):
    """The sentence names what the user wrote, its letters replaced."""
    done = sh("$X --config nirgendwo-→.toml check", tmp_path, PYTHONIOENCODING="ascii")
    assert done.returncode == 2, done.stderr
    assert "nirgendwo-?.toml" in done.stderr


@pytest.mark.parametrize("output", ["json", "ndjson"])
@pytest.mark.parametrize(
    "where",
    ["streams.py:guard", "typer/core.py:<module>", "cli.py:<module>", "cli.py:_run", "core.py:make_context",
     "core.py:invoke", "cli.py:options", "restore.py:restore_defaults", "journal.py:<module>"],
)  # fmt: skip
def test_a_command_that_is_interrupted_as_it_begins_says_so(tmp_path, where, output):
    """Exit 130 and not by the signal, a sentence on stderr, an error on stdout; no traceback, wherever it was."""
    command = ["--state-dir", str(tmp_path / "state"), "restore-defaults", "--output", output]
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, where, *command], capture_output=True, text=True, timeout=120, check=False,
        cwd=tmp_path, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 130, done.stderr
    assert "lrvmotion: interrupted" in done.stderr
    assert "Traceback" not in done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert last.get("error", last)["status"] == 130
