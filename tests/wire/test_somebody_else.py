"""The real CLI beside other people: their changes are left, their run is not disturbed, what is ours is recognised."""

from __future__ import annotations

import os

import pytest

from lab_client import Lab

OPTION = "Migrate.VMotionStreamHelpers"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab"), "--no-net", "--vms", "7", name=f"b{os.getpid()}") as up:
        yield up


def native(lab, *arguments: str, state: str = "mine"):
    words = ("migrate", "--mode", "native", "--unproven", "--yes", *arguments)
    return lab.run("--state-dir", str(lab.folder / state), *words)


def restored(lab, *arguments: str, state: str = "mine"):
    return lab.run("--state-dir", str(lab.folder / state), "restore-defaults", *arguments)


def hosts(lab) -> dict:
    return {site: lab.control(site, "state")["hosts"] for site in ("source", "target")}


def test_a_setting_that_somebody_changed_between_is_left_named_and_handled_by_force(lab):
    """Exit 7 wins; all else is restored; --force puts the prior back."""
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


def test_a_setting_that_somebody_changed_stays_theirs_however_many_runs_come_between(lab):
    """Named by plan and migrate, not overwritten, no VM held for it; restore ends with 7 until --force."""
    before = hosts(lab)

    def value():
        return hosts(lab)["source"]["esx-a1"]["options"][OPTION]["value"]

    was = value()
    assert native(lab, "vm5").returncode == 0
    assert value() not in (was, 7)
    lab.set_option("source", "esx-a1", OPTION, 7)
    named = f"{OPTION} is 7"
    planned = lab.run("--state-dir", str(lab.folder / "mine"), "plan", "--mode", "native", "vm7")
    assert named in " ".join((planned.stdout + planned.stderr).split())
    for vm in ("vm6", "vm7"):
        done = native(lab, vm)
        assert done.returncode == 0, done.stderr
        assert named in " ".join(done.stderr.split())
        assert value() == 7
    done = restored(lab)
    assert done.returncode == 7, done.stderr
    assert value() == 7
    assert restored(lab, "--force").returncode == 0
    assert hosts(lab) == before


def test_a_port_group_of_ours_that_was_renamed_stays_outstanding_until_it_is_renamed_back(lab):
    """Nothing says that all is as before while it is there, --force included."""
    before = hosts(lab)
    assert native(lab, "vm3").returncode == 0
    groups = hosts(lab)["source"]["esx-a1"]["portgroups"]
    (ours, *_) = (name for name in groups if name.startswith("lrvmotion-"))
    lab.rename_portgroup("source", "esx-a1", ours, "backup")
    for options in ([], ["--force"], ["--force"]):
        done = restored(lab, *options)
        assert done.returncode == 7, done.stderr
        assert f"rename 'backup' back to {ours}" in " ".join(done.stdout.split())
        assert "backup" in hosts(lab)["source"]["esx-a1"]["portgroups"]
    lab.rename_portgroup("source", "esx-a1", "backup", ours)
    assert restored(lab).returncode == 0
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
