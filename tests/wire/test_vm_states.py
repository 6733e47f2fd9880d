"""A VM whose state forbids a move is an error of the plan, and nothing is changed."""

from __future__ import annotations

import os

import pytest

from lab_client import Lab
from wire.plan_findings import VM, findings, writes


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab"), "--no-net", name=f"v{os.getpid()}") as up:
        yield up


@pytest.fixture
def reset(lab):
    yield
    lab.control("source", "vm_set", vm=VM)
    lab.control("source", "host_connection", host="esx-a1", state="connected")


def refused(lab) -> list[int]:
    """Let `migrate` meet what the plan found; return how often each vCenter was asked to change something."""
    before = writes(lab)
    done = lab.run("migrate", "--mode", "native", "--unproven", "--yes", VM)
    assert done.returncode == 3, done.stderr
    return [now - then for now, then in zip(writes(lab), before, strict=True)]


@pytest.mark.parametrize(
    ("state", "code"),
    [("orphaned", "vm-orphaned"), ("inaccessible", "vm-inaccessible"), ("invalid", "vm-inaccessible")],
)
def test_e8_a_vm_that_its_host_does_not_have_is_an_error_and_nothing_is_changed(lab, reset, state, code):
    """Its state is named, and nothing else is found: what such a VM consists of is not told."""
    lab.control("source", "vm_set", vm=VM, traits={"connection": state})
    found = findings(lab)
    assert set(found) == {code}, found
    assert (found[code]["severity"], found[code]["subject"]) == ("error", f"vm/{VM}")
    assert state in found[code]["summary"]
    assert refused(lab) == [0, 0]


@pytest.mark.parametrize("state", ["notResponding", "disconnected"])
def test_e23_a_vm_on_a_host_without_connection_is_an_error_and_nothing_is_changed(lab, reset, state):
    """Both are named: the host, and the VM that cannot be moved because of it."""
    lab.control("source", "host_connection", host="esx-a1", state=state)
    found = findings(lab)
    assert {"vm-disconnected", "host-not-connected"} <= found.keys(), found
    assert found["host-not-connected"]["subject"] == "source/esx-a1"
    assert found["vm-disconnected"]["subject"] == f"vm/{VM}"
    assert refused(lab) == [0, 0]


def test_p9_an_esxi_host_in_place_of_a_vcenter_is_refused(lab):
    """Before a password is sent; what to give instead is said."""
    lab.control("target", "about_set", api_type="HostAgent")
    try:
        done = lab.run("plan", "--mode", "stock", VM)
    finally:
        lab.control("target", "about_set", api_type="VirtualCenter")
    assert done.returncode == 2, done.stderr
    assert "not a vCenter" in done.stderr
    assert "the vCenter that manages it" in done.stderr
    assert "Traceback" not in done.stderr
