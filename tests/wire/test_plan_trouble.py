"""`plan` and `check` against vCenters in trouble: slow, gone before they answer, their session ended half-way."""

from __future__ import annotations

import json
import os
import subprocess
import time

import pytest

from lab_client import Lab
from lrvmotion.errors import UnreachableError
from lrvmotion.vsphere.inventory.collect import collect_names
from lrvmotion.vsphere.session import Session

PLAN = ("plan", "--mode", "native", "vm1", "vm2")
CHECK = ("check", "--probes", "1", "vm1")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab"), "--no-net", name=f"pt{os.getpid()}") as up:
        yield up


@pytest.fixture(autouse=True)
def untouched(lab):
    """Whatever happens to a plan, it writes nothing at either vCenter, and the rules of one test end with it."""
    before = {site: lab.control(site, "calls")["writes"] for site in ("source", "target")}
    state = lab.state()
    yield
    for site in ("source", "target"):
        lab.control(site, "fault_clear")
        assert lab.control(site, "calls")["writes"] == before[site]
    assert lab.state() == state


def fault(lab, site: str, **rule) -> None:
    lab.control(site, "fault_add", rule=rule)


def called(lab, site: str) -> dict[str, int]:
    return lab.control(site, "calls")["calls"]


def refused(done: subprocess.CompletedProcess, status: int, *texts: str) -> None:
    """Assert the exit status, one sentence with *texts*, a hint, and no traceback."""
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    assert "hint: " in done.stderr, done.stderr
    for text in texts:
        assert text in done.stderr, done.stderr


@pytest.mark.parametrize(
    "method", ["Login", "CreateContainerView", "RetrievePropertiesEx", "QueryOptions", "ExecuteSoap"]
)
def test_a_connection_dropped_on_the_way_is_safe_to_retry(lab, method):
    """Exit 5, and the next plan is as good as ever."""
    fault(lab, "source", method=method, drop=True)
    refused(lab.run(*PLAN), 5, "source", "no answer from the vCenter", "run the command again")
    assert lab.json(*PLAN)["applyable"]


@pytest.mark.parametrize("method", ["CheckRelocate_Task", "WaitForUpdatesEx"])
def test_a_connection_dropped_while_vcenter_checks_the_moves_is_a_finding(lab, method):
    """The plan is made, and says that vCenter's own word on the moves is missing and why."""
    fault(lab, "source", method=method, drop=True)
    made = lab.json(*PLAN)
    (found,) = (finding for finding in made["findings"] if finding["code"] == "relocate-not-measured")
    assert "no answer from the vCenter" in found["summary"]
    assert found["severity"] == "warning"


def test_a_connection_dropped_while_tidying_up_does_not_matter(lab):
    """The plan is the same, and the session takes the rest with it."""
    whole = lab.json(*PLAN)
    for method in ("DestroyView", "DestroyPropertyCollector", "Logout"):
        fault(lab, "source", method=method, drop=True)
    assert lab.json(*PLAN)["findings"] == whole["findings"]


@pytest.mark.parametrize("skip", [0, 1, 2])
def test_a_session_ended_half_way_is_opened_again(lab, skip):
    """At the hosts, at the names or at the VMs: one more login, and the plan is whole."""
    lab.control("source", "calls_reset")
    fault(lab, "source", method="RetrievePropertiesEx", fault="vim.fault.NotAuthenticated", skip=skip)
    assert len(lab.json(*PLAN)["migrations"]) == 2
    assert called(lab, "source")["Login"] == 2


def test_sessions_ended_by_an_administrator_during_a_plan(lab):
    """Both vCenters forget every session while they are read: the plan is whole all the same."""
    for site in ("source", "target"):
        lab.control(site, "calls_reset")
        fault(lab, site, method="CreateContainerView", delay_s=1.5)
    running = lab.spawn(*PLAN, "--output", "json")
    deadline = time.monotonic() + 30
    while "CreateContainerView" not in called(lab, "source"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for site in ("source", "target"):
        lab.control(site, "sessions_expire")
    out, err = running.communicate(timeout=60)
    assert running.returncode == 0, err
    assert len(json.loads(out.splitlines()[-1])["migrations"]) == 2


def test_a_session_that_never_holds_is_told(lab):
    """Exit 4 after one more login, not a login a call for ever."""
    lab.control("source", "calls_reset")
    fault(lab, "source", method="CreateContainerView", fault="vim.fault.NotAuthenticated", count=100)
    refused(lab.run(*PLAN), 4, "the vCenter has ended our session")
    assert called(lab, "source")["Login"] == 2


def test_a_slow_vcenter_is_waited_for(lab):
    """Slow, and whole."""
    fault(lab, "source", method="RetrievePropertiesEx", delay_s=1, count=2)
    fault(lab, "target", method="RetrievePropertiesEx", delay_s=1)
    assert lab.json(*PLAN)["applyable"]


def test_a_vcenter_that_never_answers_is_given_up(lab):
    """Every wait for an answer has an end, at the names as anywhere else."""
    about = json.loads((lab.directory / "source" / "vcenter.json").read_text())
    there = lab.spec.site("source")
    session = Session.open(
        "source", about["host"], about["port"], there.username, lambda: there.password,
        pem=None, sha256=about["sha256"], answer_s=0.5,
    )  # fmt: skip
    try:
        for skip in (0, 1):
            fault(lab, "source", method="RetrievePropertiesEx", delay_s=1.5, skip=skip)
            begun = time.monotonic()
            with pytest.raises(UnreachableError, match="nothing came for too long"):
                collect_names(session)
            assert time.monotonic() - begun < 1.4
            time.sleep(1.2)  # the vCenter is still busy with the call that was given up
    finally:
        session.close()


def test_a_vcenter_that_does_not_reach_its_host_says_so(lab):
    """HostCommunication is nobody's mistake: exit 5, and the host is named."""
    fault(
        lab, "source", method="QueryOptions", fault="vmodl.fault.HostCommunication", skip=1
    )  # the first asks the vCenter itself
    refused(lab.run(*PLAN), 5, "source/esx-a", "does not reach the host")


def test_an_error_of_the_vcenter_itself_is_told_in_its_words(lab):
    """SystemError in the middle: exit 3 with what the vCenter said."""
    fault(lab, "target", method="RetrievePropertiesEx", fault="vmodl.fault.SystemError", message="vpxd is unwell")
    done = lab.run(*PLAN)
    assert (done.returncode, "Traceback" in done.stderr) == (3, False), done.stderr
    assert "target: inventory: SystemError: vpxd is unwell" in done.stderr


def test_check_says_of_every_lost_answer_what_it_cost(lab):
    """Exit 5, or a finding that says what was not looked at; never a traceback. (The rest is as in a plan.)"""
    lab.control("source", "calls_reset")
    whole = lab.json(*CHECK)
    for method in called(lab, "source").keys() - {
        "RetrieveServiceContent",
        "Login",
        "CreateContainerView",
        "DestroyView",
    }:
        fault(lab, "source", method=method, drop=True)
        done = lab.run(*CHECK, "--output", "json")
        assert done.returncode in {0, 5}, (method, done.returncode, done.stderr)
        assert "Traceback" not in done.stderr
        document = json.loads(done.stdout.splitlines()[-1])
        if done.returncode == 5:
            assert "no answer from the vCenter" in document["error"]["message"]
            assert document["error"]["hint"]
        lab.control("source", "fault_clear")
    codes = {finding["code"] for finding in lab.json(*CHECK)["findings"]}
    assert codes == {finding["code"] for finding in whole["findings"]}


def test_check_goes_on_in_a_new_session(lab):
    """The session ends three times on the way: everything is seen all the same."""
    whole = lab.json(*CHECK)
    for method in ("CreateContainerView", "HasPrivilegeOnEntities", "QueryOptions"):
        fault(lab, "source", method=method, fault="vim.fault.NotAuthenticated")
    lab.control("source", "calls_reset")
    assert lab.json(*CHECK)["findings"] == whole["findings"]
    assert called(lab, "source")["Login"] == 4
