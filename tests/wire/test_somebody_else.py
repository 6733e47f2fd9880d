"""The real CLI beside other people: their changes are left, their run is not disturbed, what is ours is recognised."""

from __future__ import annotations

import os

import pytest

from lab_client import Lab

OPTION = "Migrate.VMotionStreamHelpers"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab"), "--no-net", "--vms", "4", name=f"b{os.getpid()}") as up:
        yield up


def native(lab, *arguments: str, state: str = "mine"):
    words = ("migrate", "--mode", "native", "--unproven", "--yes", *arguments)
    return lab.run("--state-dir", str(lab.folder / state), *words)


def restored(lab, *arguments: str, state: str = "mine"):
    return lab.run("--state-dir", str(lab.folder / state), "restore-defaults", *arguments)


def hosts(lab) -> dict:
    return {site: lab.control(site, "state")["hosts"] for site in ("source", "target")}


def test_a_setting_that_somebody_changed_between_is_left_named_and_handled_by_force(lab):
    """Exit 7 wins; all else is put back; --force puts the prior back."""
    before = hosts(lab)
    assert native(lab, "vm1").returncode == 0
    lab.set_option("source", "esx-a1", OPTION, 7)
    done = restored(lab)
    assert done.returncode == 7, done.stderr
    assert OPTION in done.stdout + done.stderr
    after = hosts(lab)
    assert after != before
    lab.set_option("source", "esx-a1", OPTION, 7)  # still theirs
    assert restored(lab, "--force").returncode == 0
    assert hosts(lab) == before


def test_a_second_run_on_the_same_host_is_refused_and_names_the_first(lab):
    """Another operator, another journal: exit 5, nothing changed; after the first has restored it may go."""
    before = hosts(lab)
    first = native(lab, "vm2")
    assert first.returncode == 0, first.stderr
    between = hosts(lab)
    second = native(lab, "vm4", state="theirs")
    assert second.returncode == 5, (second.stdout, second.stderr)
    assert "lrvmotion-" in second.stderr or "run" in second.stderr
    assert hosts(lab) == between
    listed = restored(lab, state="nobodys")
    assert listed.returncode == 7, (listed.stdout, listed.stderr)
    assert "lrvmotion-" in listed.stdout + listed.stderr
    assert hosts(lab) == between
    assert restored(lab).returncode == 0
    assert hosts(lab) == before
    assert restored(lab, state="nobodys").returncode == 0
    assert native(lab, "vm4", state="theirs").returncode == 0
    assert restored(lab, state="theirs").returncode == 0
    assert hosts(lab) == before
