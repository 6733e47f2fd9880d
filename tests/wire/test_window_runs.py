"""A run with a maintenance window that closes, and configurations whose windows or timetables cannot be."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta

import pytest

from lab_client import Lab

VMS = ("vm1", "vm2", "vm3")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab"), "--no-net", name=f"win{os.getpid()}") as up:
        yield up


def clocked(lab, head: str, *, limit: str | None = None) -> list[str]:
    """Return the arguments of a configuration with *head* before its sections."""
    text = lab.config.read_text()
    relay = "" if limit is None else f'\n[relay]\nlimit = "{limit}"\n'
    path = lab.folder / "clocked.toml"
    path.write_text(text.replace("[source]", f"{head}\n[source]", 1) + relay)
    return ["--config", str(path)]


def window(start: datetime, end: datetime) -> str:
    return f'[[window]]\nstart = "{start:%Y-%m-%dT%H:%M:%S}"\nend = "{end:%Y-%m-%dT%H:%M:%S}"\ntime_zone = "UTC"\n'


def test_a_window_that_has_passed_and_a_bad_timetable_are_told_before_anything_is_reached(lab):
    """Exit status 2, one sentence each, and no call at either vCenter."""
    lab.control("source", "calls_reset")
    now = datetime.now(UTC)
    past = window(now - timedelta(days=2), now - timedelta(days=1))
    for command in (["plan", "vm1"], ["migrate", "--mode", "stock", "--yes", "vm1"]):
        done = lab.run(*clocked(lab, past), *command, config=False)
        assert done.returncode == 2, done.stderr
        assert "the last maintenance window has passed: it ended at" in done.stderr
    for limit, said in (("08:00 500M", "does not say until when"), ("08:00 1G, 8:00 off", "08:00 is there twice")):
        done = lab.run(*clocked(lab, "", limit=limit), "plan", "vm1", config=False)
        assert done.returncode == 2, done.stderr
        assert "relay.limit: " in done.stderr
        assert said in done.stderr
    assert lab.control("source", "calls")["calls"] == {}


def test_no_host_is_changed_before_a_window_opens(lab):
    """A maintenance window is for settings as well; what is planned before is done in it."""
    now = datetime.now(UTC).replace(microsecond=0)
    opens = now + timedelta(seconds=18)
    arguments = clocked(lab, window(opens, now + timedelta(hours=1)))
    done = lab.run(*arguments, "migrate", "--mode", "native", "--unproven", "--yes", "vm4", config=False)
    assert done.returncode == 0, done.stderr
    assert "waiting for the maintenance window: hosts are changed from" in done.stderr
    records = [json.loads(line) for line in (lab.directory / "state" / "journal.jsonl").read_text().splitlines()]
    intended = [datetime.fromisoformat(record["at"]) for record in records if record["kind"] == "intended"]
    assert intended
    assert min(intended) >= opens
    assert lab.json("restore-defaults")["left"] == []
    assert "vm4" in lab.vms()["target"]


def test_what_a_window_leaves_is_not_started_and_a_later_run_moves_it(lab):
    """What runs as the window closes goes on to its end; exit status 8 says that the rest can be resumed."""
    lab.control("source", "fault_add", rule={"method": "RelocateVM_Task", "in_task": True, "delay_s": 15.0, "count": 2})
    now = datetime.now(UTC)
    short = window(now - timedelta(hours=1), now + timedelta(seconds=15))
    done = lab.run(*clocked(lab, short), "migrate", "--mode", "stock", "--yes", *VMS, config=False)
    assert done.returncode == 8, (done.stdout, done.stderr)
    assert "maintenance window closed" in done.stderr
    moved = set(lab.vms()["target"]) & set(VMS)
    assert len(moved) <= 2
    lab.control("source", "fault_clear")
    left = sorted(set(VMS) - moved)
    done = lab.run("migrate", "--mode", "stock", "--yes", *left)
    assert done.returncode == 0, done.stderr
    assert set(VMS) <= set(lab.vms()["target"])
