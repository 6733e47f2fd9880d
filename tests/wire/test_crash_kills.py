"""The crash matrix's real deaths in small: the command line dies at the chosen point, and everything comes back."""

from __future__ import annotations

import os
import signal

import pytest

from crash.kills import Executioner, Scenario
from crash.lab import Lab
from crash.points import Point

UNPROVEN = ("--unproven",)
NATIVE = Scenario(mode="native", kills=0, options=UNPROVEN)
AFTER = Scenario(mode="native", restore=True, kills=0, options=UNPROVEN)
HALF_MADE = Point("write target/esx-b1 vmotion-service/ADDRESS | before")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab"), net=False, name=f"k{os.getpid()}") as up:
        yield up


@pytest.mark.parametrize(
    ("scenario", "label"),
    [
        (NATIVE, "journal intended source/esx-a1 vmknic/ADDRESS | torn"),
        (NATIVE, "write source/esx-a1 vmknic/ADDRESS > soap AddVirtualNic > sent"),
        (NATIVE, "start a move > soap RelocateVM_Task > sent"),
        (AFTER, "write source/esx-a1 vmknic/ADDRESS > soap RemoveVirtualNic > sent"),
    ],
)
def test_it_dies_at_the_point_and_restore_puts_everything_back(lab, tmp_path, scenario, label):
    """In the middle of a record, of a write and of a start; VMs are on exactly one side, and home again after it."""
    killed = Executioner(lab, tmp_path, resume=False).kill(scenario, Point(label, 1))
    assert killed.died, "the point was not reached: does it still exist?"
    assert killed.wrong == []
    assert sorted(lab.vms("source")) == ["vm1", "vm2", "vm3", "vm4"]
    assert lab.vms("target") == {}


def test_a_run_that_died_between_record_and_write_is_taken_up(lab, tmp_path):
    """The vmknic is there and its service is recorded and was never set: the VMs are not held for that."""
    killer = Executioner(lab, tmp_path, resume=True, resume_every=1)
    killed = killer.kill(NATIVE, HALF_MADE)
    assert killed.died
    assert killed.resumed
    assert killed.wrong == []


@pytest.mark.parametrize("key", ["vmknic/ADDRESS", "vmotion-service/ADDRESS"])
def test_a_restore_that_died_before_its_record_spoils_no_later_run(lab, tmp_path, key):
    """The value is back and nothing says so: the next migrate closes it first, holds no VM, and all is restored."""
    state = tmp_path / "state"
    words = ("migrate", "--mode", "native", "--yes", *UNPROVEN)
    assert lab.product(state, *words, "vm1", "vm2").returncode == 0
    died = lab.product(
        state, "restore-defaults", mortal=("--die", f"journal reverted target/esx-b1 {key} | before", "1")
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    again = lab.product(state, *words, "vm3", "vm4")
    assert again.returncode == 0, again.stderr
    assert "recorded as restored" in again.stderr
    last = lab.product(state, "restore-defaults")
    assert last.returncode == 0, last.stderr
    assert lab.wrong() == []
    lab.home()
