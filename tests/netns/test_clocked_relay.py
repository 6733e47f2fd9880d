"""A timetable of the cap on a real relay: it starts with the lowest rate and is led to the one that holds."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta

import pytest

from lab_client import Lab
from lrvmotion.lab import witness

pytestmark = pytest.mark.netns


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab"), name=f"tc{os.getpid()}") as up:
        yield up


def test_the_relay_gets_the_cap_that_holds_and_starts_with_the_lowest(lab):
    """What is in the unit is the lowest; the run sends the rate of now, tells it, and the relay says the same."""
    now = datetime.now(UTC)
    begun, later = now - timedelta(hours=1), now + timedelta(hours=6)
    text = lab.config.read_text()
    head = f'time_zone = "UTC"\n\n[relay]\nlimit = "{begun:%H:%M} 300M, {later:%H:%M} 100M"\n\n[source]\n'
    lab.config.write_text(text.replace("[source]\n", head, 1))
    before = lab.state()
    plan = lab.json("plan", "--mode", "proxy", "vm4")
    files = [
        change for change in plan["changes"] if change["key"].startswith("file/") and "limit" in json.dumps(change)
    ]
    assert files, [change["key"] for change in plan["changes"]]
    assert "100000000" in json.dumps(files)
    assert "300000000" not in json.dumps(files)
    child = lab.spawn("migrate", "--mode", "proxy", "--yes", "--output", "ndjson", "vm4")
    with child.stdout, child.stderr:
        caps, said = [], None
        for line in child.stdout:
            event = json.loads(line)
            caps += [(event["relay"], event["bps"])] if event["type"] == "cap_changed" else []
            if caps and said is None:
                said = lab.run("status", "--output", "json").stdout
        child.wait()
    assert child.returncode == 0
    assert caps == [("relay-a", 300_000_000)]
    assert '"limit_bps": 300000000' in said or '"limit_bps":300000000' in said, said
    assert lab.json("restore-defaults")["left"] == []
    assert witness.differences(before, lab.state()) == []
