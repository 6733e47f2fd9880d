"""The real CLI against a lab without a network: the state directory is removed while a run writes its journal."""

from __future__ import annotations

import json
import os

import pytest

from lab_client import Lab
from lrvmotion.journal.journal import read


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab"), "--no-net", "--vms", "3", name=f"j{os.getpid()}") as up:
        yield up


@pytest.mark.parametrize(
    ("point", "what"), [("before_run", "{state}"), ("before_vm", "{state}"), ("before_vm", "{state}/journal.jsonl")]
)
def test_a_run_writes_its_journal_anew_and_restore_has_all_of_it(lab, tmp_path, point, what):
    """Before the first change, or while VMs move: it is said, and every setting can be put back."""
    state = tmp_path / "state"
    config = tmp_path / "config.toml"
    config.write_text(f"{lab.config.read_text()}\n[hooks]\n{point} = ['rm', '-rf', '{what.format(state=state)}']\n")
    before = lab.state()
    vm = lab.vms()["source"][0]
    own = ("--config", str(config), "--state-dir", str(state))
    done = lab.run(*own, "migrate", "--mode", "native", "--unproven", "--yes", vm, config=False)
    assert done.returncode == 0, done.stderr
    assert "written anew" in done.stderr
    kinds = [record.kind for record in read(state / "journal.jsonl").records]
    assert {"run", "plan", "connection", "intended", "applied", "move", "task", "moved"} == set(kinds)
    assert lab.state() != before
    done = lab.run(*own, "restore-defaults", "--output", "json", config=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["settings_restored"] == kinds.count("intended")
    assert lab.state() == before
