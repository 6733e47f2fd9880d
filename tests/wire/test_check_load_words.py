"""check --load before anything is reached: what it asks for, what it refuses, and a kept result that is no good."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from lrvmotion.journal.journal import Journal

SITES = """
[source]
vcenter = "127.0.0.1"
port = 9
username = "a"
[target]
vcenter = "127.0.0.1"
port = 9
username = "b"
"""
BOX = """
[[relay.source]]
name = "near"
host = "127.0.0.1"
port = 9
address = "10.0.0.1"
"""
FAR = BOX.replace("[[relay.source]]", "[relay.target]").replace("near", "far").replace("10.0.0.1", "10.0.1.1")


@pytest.fixture
def run(tmp_path):
    def go(config: str, *arguments: str) -> subprocess.CompletedProcess:
        (tmp_path / "c.toml").write_text(config)
        words = ["--config", str(tmp_path / "c.toml"), "--state-dir", str(tmp_path / "state"), *arguments]
        return subprocess.run(
            [sys.executable, "-m", "lrvmotion", *words], capture_output=True, text=True, check=False, timeout=30,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    return go


@pytest.mark.parametrize("config", [SITES, SITES + BOX, SITES + FAR.replace("port = 9", "port = 10")])
def test_it_takes_a_box_at_either_end(run, config):
    """Without one of them: refused at once, and which section is missing."""
    done = run(config, "check", "--load", "--yes")
    assert done.returncode == 3
    assert "hint: add [[relay.source]] and [relay.target] to the configuration" in done.stderr


def test_off_a_terminal_it_needs_yes(run):
    """Nobody can be asked: status 3, and nothing was reached or written."""
    done = run(SITES + BOX + FAR.replace("port = 9", "port = 10"), "check", "--load")
    assert done.returncode == 3
    assert "hint: use --yes" in done.stderr


def test_it_does_not_load_the_circuit_while_a_run_holds_the_journal(run, tmp_path):
    """Moves would suffer from it: status 5, safe to try again."""
    with Journal(tmp_path / "state", lambda: "2026-01-01T00:00:00+00:00"):
        done = run(SITES + BOX + FAR.replace("port = 9", "port = 10"), "check", "--load", "--yes")
    assert done.returncode == 5
    assert "another lrvmotion works with this journal" in done.stderr


@pytest.mark.parametrize("text", ["{", json.dumps({"schema": 99})])
def test_a_kept_result_that_cannot_be_read_is_named_and_replaced_by_a_new_one(run, tmp_path, text):
    """check says which file and what to do; check --load, which is what to do, is not stopped by it."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "load.json").write_text(text)
    config = SITES + BOX + FAR.replace("port = 9", "port = 10")
    done = run(config, "check")
    assert done.returncode == 2
    assert "load.json" in done.stderr
    assert "'lrvmotion check --load'" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert "load.json" not in run(config, "check", "--load", "--yes").stderr
