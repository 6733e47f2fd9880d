"""The real CLI against a lab without a network: the state directory is removed while a run writes its journal."""

from __future__ import annotations

import json
import os

import pytest

from lab_client import Lab
from lrvmotion.journal.journal import read


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab"), "--no-net", "--vms", "4", name=f"j{os.getpid()}") as up:
        yield up


@pytest.mark.parametrize(
    ("point", "what"), [("before_run", "{state}"), ("before_vm", "{state}"), ("before_vm", "{state}/journal.jsonl")]
)
def test_a_run_writes_its_journal_anew_and_restore_has_all_of_it(lab, tmp_path, point, what):
    """Before the first change, or while VMs move: it is said, and every setting can be restored."""
    state = tmp_path / "state"
    config = tmp_path / "config.toml"
    config.write_text(f"{lab.config.read_text()}\n[hooks]\n{point} = ['rm', '-rf', '{what.format(state=state)}']\n")
    before = lab.state()
    vm = lab.vms()["source"][0]
    own = ("--config", str(config), "--state-dir", str(state))
    done = lab.run(*own, "migrate", "--mode", "native", "--unproven", "--yes", vm, config=False)
    assert done.returncode == 0, done.stderr
    assert "rewritten from memory" in done.stderr
    kinds = [record.kind for record in read(state / "journal.jsonl").records]
    assert {"run", "plan", "connection", "intended", "applied", "move", "task", "moved"} == set(kinds)
    assert lab.state() != before
    done = lab.run(*own, "restore-defaults", "--output", "json", config=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["settings_restored"] == kinds.count("intended")
    assert lab.state() == before


def test_the_last_line_of_a_run_that_cannot_keep_its_journal_is_its_end(lab, tmp_path):
    """A pipe is where the state directory was: it is said before `run_ended`, and nothing is changed."""
    state, config = tmp_path / "state", tmp_path / "config.toml"
    config.write_text(
        f"{lab.config.read_text()}\n[hooks]\nbefore_run = ['sh', '-c', 'rm -r {state} && mkfifo {state}']\n"
    )
    before = lab.state()
    vm = lab.vms()["source"][0]
    done = lab.run(
        "--config", str(config), "--state-dir", str(state),
        "migrate", "--mode", "native", "--unproven", "--yes", vm, "--output", "ndjson", config=False, timeout=240,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[-1]["type"] == "run_ended"
    assert lines[-1]["outstanding"] == 0
    said = [line for line in lines if line["type"] == "message" and "cannot be rewritten" in line["text"]]
    assert len(said) == 1
    assert lab.state() == before
