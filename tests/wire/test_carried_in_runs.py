"""A run carries over what does not follow its VMs, journals each write before it is made, and lists the rest."""

from __future__ import annotations

import json
import os
import tarfile

import pytest

from lab_client import Lab


@pytest.fixture
def lab(tmp_path):
    with Lab(tmp_path, "--no-net", name=f"c{os.getpid()}") as up:
        yield up


def test_a_run_carries_over_and_tells(lab):
    """Tags and attributes are at the target after a run; what is not there, and a guest that is not back, is told."""
    given = {"tags": [["Backup", "daily"], ["Site", "west"]], "attributes": [["Owner", "sam"]], "tools": True}
    lab.control("source", "vm_set", vm="vm1", traits=given)
    lab.control("target", "names_set", tags={"Backup": ["daily"]}, attributes=["Owner"])
    lab.control("target", "arrive_astray", traits={"tools": False})
    lab.config.write_text(lab.config.read_text() + "\n[limits]\nguest_wait_s = 1\n")
    done = lab.run("migrate", "--mode", "stock", "--unproven", "--yes", "vm1", "--output", "ndjson")
    assert done.returncode == 0, (done.stdout[-3000:], done.stderr[-2000:])
    events = [json.loads(line) for line in done.stdout.splitlines()]
    said = {(e["kind"], e["name"]): e["carried"] for e in events if e["type"] == "carried"}
    assert said["tag", "Backup/daily"] is True
    assert said["attribute", "Owner"] is True
    assert said["tag", "Site/west"] is False
    found = [e["finding"]["code"] for e in events if e["type"] == "found"]
    assert "vm-tools" in found


def test_a_support_archive_has_no_note(lab):
    """What administrators wrote about a VM is in the journal, and not in what is given away for support."""
    lab.control("source", "vm_set", vm="vm2", traits={"note": "canary-note", "attributes": [["Owner", "canary-value"]]})
    lab.control("target", "names_set", attributes=["Owner"])
    done = lab.json("migrate", "--mode", "stock", "--unproven", "--yes", "vm2")
    packed = lab.folder / "packed.tar.gz"
    told = lab.run("support", done["run"], "--out", str(packed))
    assert told.returncode == 0, told.stderr
    with tarfile.open(packed) as archive:
        texts = [archive.extractfile(item).read().decode() for item in archive.getmembers() if item.isfile()]
    assert texts
    assert not [text for text in texts if "canary" in text]
