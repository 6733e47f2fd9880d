"""The real CLI against a lab without a network: hooks at every point of a run, and what a failing one holds."""

from __future__ import annotations

import json
import os
import re

import pytest

from lab_client import Lab

NOTE = """#!/bin/sh
document=$(cat)
echo "$LRVMOTION_HOOK $LRVMOTION_SUBJECT $LRVMOTION_STATE $document" >> notes
env >> environments
case "$LRVMOTION_HOOK $LRVMOTION_SUBJECT" in
  "before_vm vm/vm2") echo "not tonight" >&2; exit 3;;
  "before_vm vm/vm4") sleep 60;;
  "before_wave wave/2") exit 1;;
esac
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab"), "--no-net", "--vms", "7", name=f"k{os.getpid()}") as up:
        hook = up.folder / "note"
        hook.write_text(NOTE)
        hook.chmod(0o755)
        points = ("before_run", "after_run", "before_wave", "after_wave", "before_vm", "after_vm")
        commands = "".join(f"{point} = '{hook}'\n" for point in points)
        up.config.write_text(
            up.config.read_text() + f"\n[hooks]\n{commands}timeout_s = 1.0\nmetrics = 'lrvmotion.prom'\n"
        )
        yield up


def notes(lab) -> list[tuple[str, str, dict]]:
    """Return what the hook was called with: point, subject, document."""
    found = []
    for line in (lab.folder / "notes").read_text().splitlines():
        point, subject, rest = line.split(" ", 2)
        found.append((point, subject, json.loads(rest[rest.index("{") :])))
    return found


def test_every_point_has_its_hook_and_a_failing_one_holds_what_it_is_for(lab):
    """A VM whose hook failed or hung is held with the reason; a wave's VMs with the wave's; the others move."""
    (lab.folder / "vms.csv").write_text("vm,wave\nvm1,1\nvm2,1\nvm3,1\nvm4,1\nvm5,2\nvm6,3\n")
    secret = {**os.environ, "LRVMOTION_SOURCE_PASSWORD": lab.spec.source.password}
    done = lab.run("migrate", "--mode", "stock", "--csv", "vms.csv", "--yes", "--output", "json", env=secret)
    moves = json.loads(done.stdout.splitlines()[-1])["moves"]
    assert done.returncode == 6, done.stderr
    states = {vm: move["state"] for vm, move in moves.items()}
    assert states == {"vm1": "success", "vm2": "held", "vm3": "success", "vm4": "held", "vm5": "held", "vm6": "success"}
    assert "not tonight" in moves["vm2"]["reason"]
    assert "before_vm" in moves["vm4"]["reason"]
    assert "before_wave" in moves["vm5"]["reason"]
    told = notes(lab)
    assert [told[0][0], told[-1][0]] == ["before_run", "after_run"]
    assert [subject for point, subject, _ in told if point == "before_wave"] == ["wave/1", "wave/2", "wave/3"]
    assert [subject for point, subject, _ in told if point == "after_wave"] == ["wave/1", "wave/2", "wave/3"]
    after = {subject: document["state"] for point, subject, document in told if point == "after_vm"}
    assert after == {f"vm/{vm}": state for vm, state in states.items()}
    assert "vm/vm5" not in [subject for point, subject, _ in told if point == "before_vm"]
    environments = (lab.folder / "environments").read_text()
    assert lab.spec.source.password not in environments
    assert "PASSWORD" not in environments
    metrics = (lab.folder / "lrvmotion.prom").read_text()
    assert re.search(r'^lrvmotion_vms\{state="success"\} 3$', metrics, re.MULTILINE), metrics


def test_a_run_whose_hook_fails_changes_nothing(lab):
    """Exit 3, and the VM stays."""
    config = lab.folder / "refuses.toml"
    config.write_text(re.sub(r"before_run = .*", "before_run = 'false'", lab.config.read_text()))
    writes = lab.control("source", "calls")["writes"]
    done = lab.run("--config", str(config), "migrate", "--mode", "stock", "vm7", "--yes", config=False)
    assert (done.returncode, "nothing was changed" in done.stderr) == (3, True), done.stderr
    assert lab.control("source", "calls")["writes"] == writes


def test_a_hook_that_does_not_exist_is_refused_before_anything_else(lab):
    """Exit 2."""
    config = lab.folder / "missing.toml"
    config.write_text(re.sub(r"after_vm = .*", "after_vm = '/nowhere/hook'", lab.config.read_text()))
    done = lab.run("--config", str(config), "migrate", "--mode", "stock", "vm7", "--yes", config=False)
    assert (done.returncode, "/nowhere/hook" in done.stderr) == (2, True), done.stderr
