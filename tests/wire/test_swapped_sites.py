"""Both vCenters at one address, two ports: source and target change places, and nobody takes one for the other."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest

from lab_client import Lab
from lrvmotion.config import schema as configs
from lrvmotion.journal import journal as journals
from lrvmotion.journal import places
from lrvmotion.journal.journal import Journal
from lrvmotion.journal.records import Body, Connection
from lrvmotion.model.setting import SettingKey, Value
from lrvmotion.model.target_id import TargetId
from lrvmotion.plan.plan import Change
from lrvmotion.run.apply import apply
from lrvmotion.run.credentials import Credentials
from lrvmotion.workflows.connections import Connections, records

KEY = SettingKey("option/Migrate.VMotionStreamHelpers")


def clock():
    return "2026-01-01T00:00:00.000+00:00"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab"), "--no-net", "--vms", "6", name=f"sw{os.getpid()}") as up:
        yield up


def hosts(lab) -> dict:
    return {site: lab.control(site, "state")["hosts"] for site in ("source", "target")}


def product(lab, state, *words: str):
    return lab.run("--state-dir", str(state), *words)


def migrated(lab, state, vm: str) -> str:
    """Move *vm* in native mode, its settings left; return the run's id."""
    done = product(lab, state, "migrate", "--mode", "native", "--unproven", "--yes", "--output", "json", vm)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])["run"]


def test_the_way_back_waits_until_the_settings_of_the_way_out_are_put_back(lab, tmp_path):
    """Refused by instance UUID, and nothing is changed; once they are, the VM comes back."""
    before = hosts(lab)
    run = migrated(lab, tmp_path, "vm1")
    between = hosts(lab)
    back = ("migrate", "--reverse", run, "--mode", "native", "--unproven", "--yes")
    refused = product(lab, tmp_path, *back)
    assert refused.returncode == 3, refused.stderr
    assert "instance" in refused.stderr
    assert "restore-defaults" in refused.stderr
    assert hosts(lab) == between
    assert product(lab, tmp_path, "restore-defaults").returncode == 0
    done = product(lab, tmp_path, *back, "--restore")
    assert done.returncode == 0, done.stderr
    assert "vm1" in lab.vms()["source"]
    assert hosts(lab) == before


def nameless(body: Body) -> Body:
    """Return a connection without its instance UUID, anything else as it is."""
    return replace(body, instance_uuid=None) if isinstance(body, Connection) else body


@pytest.mark.parametrize("known", [True, False], ids=["with instance UUIDs", "as older versions wrote them"])
def test_a_journal_in_which_two_runs_went_different_ways_is_put_back(lab, tmp_path, known):
    """Each setting is restored at the vCenter that its own run changed, and nobody is left with 7 for good."""
    before = hosts(lab)
    migrated(lab, tmp_path / "one", "vm2" if known else "vm3")
    config = configs.load(lab.config)
    swapped = places.swapped(records(config))
    state = tmp_path / "two"
    with (
        Journal(state, clock) as journal,
        Connections(swapped, Credentials(dict(os.environ), None), lambda _: None) as world,
    ):
        for record in journals.read(tmp_path / "one" / "journal.jsonl").records:
            journal.append(record.run, record.body if known else nameless(record.body))
        for site in ("source", "target"):
            world.session(site)
            pinned = world.pinned(site)
            journal.append("back", pinned if known else nameless(pinned))
        targets = {name: world.target(name) for name in map(TargetId, ("source/esx-b1", "target/esx-a1"))}
        changes = [
            Change(target=name, key=KEY, prior=at.read(KEY), planned=Value("long", 9), reason="test")
            for name, at in targets.items()
        ]
        assert apply(changes, targets, journal, "back", lambda _: None) == 2
    assert hosts(lab) != before
    done = product(lab, state, "restore-defaults")
    assert done.returncode == 0, done.stderr
    assert hosts(lab) == before
