"""A queue of VMs, judged by the vCenter's own task log: no lease is exceeded, nothing is moved twice."""

from __future__ import annotations

import os
from collections import Counter
from itertools import pairwise

import pytest

from lab_client import Lab

VMS = [f"vm{number}" for number in range(1, 13)]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab"), "--no-net", "--vms", str(len(VMS)), name=f"fl{os.getpid()}") as up:
        yield up


@pytest.fixture(scope="module")
def tasks(lab):
    """The relocates of a run of all VMs, two of which fail once for a passing reason."""
    rule = {"method": "RelocateVM_Task", "fault": "vim.fault.Timedout", "in_task": True, "count": 2, "skip": 3}
    lab.control("source", "fault_add", rule=rule)
    text = lab.config.read_text()
    lab.config.write_text(text + "\n[limits]\nretry_wait_s = 1.0\n")
    lab.control("source", "calls_reset")
    done = lab.run("migrate", "--mode", "stock", "--yes", *VMS)
    assert done.returncode == 0, done.stderr
    return [task for task in lab.control("source", "tasks")["tasks"] if "relocate" in task["description"].lower()]


def test_a_host_has_one_move_at_a_time_at_either_end(tasks):
    """From when a task is queued to its end: vCenter never has to make one of ours wait."""
    moves = [task for task in tasks if task["description"] == "VirtualMachine.relocate" and len(task["hosts"]) == 2]
    for end in (0, 1):
        for host in {task["hosts"][end] for task in moves}:
            spans = sorted((task["queued"], task["completed"]) for task in moves if task["hosts"][end] == host)
            assert len(spans) > 1
            assert all(before[1] <= after[0] for before, after in pairwise(spans)), (host, spans)


def test_every_vm_moves_once_and_only_what_failed_is_tried_again(lab, tasks):
    """Each VM has one task that succeeded, and two more ended in the fault."""
    moves = [task for task in tasks if task["description"] == "VirtualMachine.relocate"]
    assert Counter(task["entity"] for task in moves if task["state"] == "success") == Counter(VMS)
    assert [task["error"].rpartition(".")[2] for task in moves if task["state"] == "error"] == ["Timedout"] * 2
    assert set(VMS) <= set(lab.vms()["target"])
    assert not set(VMS) & set(lab.vms()["source"])


def test_one_question_for_updates_is_out_at_a_time(lab, tasks):
    """However many tasks run; and the datastores of both sites are in the log."""
    for site in ("source", "target"):
        assert lab.control(site, "calls")["most_waiting"] <= 1
    assert {len(task["datastores"]) for task in tasks if task["state"] == "success"} <= {0, 2}
