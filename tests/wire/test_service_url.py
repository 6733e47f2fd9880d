"""B6: the source vCenter is told the URL at which it reaches the target, whatever way this program takes there."""

from __future__ import annotations

import json
import os
import re

import pytest

from lab_client import Lab
from wire.forwarder import Forwarder


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Yield a lab whose target is reached through a forward of this machine, as `ssh -L` makes one."""
    with Lab(tmp_path_factory.mktemp("lab"), "--no-net", "--vms", "3", name=f"u{os.getpid()}") as up:
        about = json.loads((up.directory / "target" / "vcenter.json").read_text())
        with Forwarder(about["port"]) as tunnel:
            text = up.config.read_text()
            there = f'vcenter = "{about["host"]}"\nport = {about["port"]}\n'
            assert there in text
            up.config.write_text(text.replace(there, f'vcenter = "localhost"\nport = {tunnel.port}\n'))
            yield up


@pytest.fixture
def configured(lab):
    """Return a way to set the target's service_url for one test."""
    text = lab.config.read_text()

    def put(url: str) -> None:
        lab.config.write_text(re.sub(r"(?m)^\[target\]$", f'[target]\nservice_url = "{url}"', text))

    yield put
    lab.config.write_text(text)


def sight(lab, status: int):
    findings = lab.json("check", status=status)["findings"]
    return [one for one in findings if one["code"] == "vcenter-sight" and one["subject"] == "source"]


def test_a_vm_moves_though_the_target_is_reached_through_a_tunnel(lab):
    """The vCenter's own setting tells the URL; "localhost" would be the source vCenter itself."""
    assert sight(lab, 0) == []
    assert lab.run("migrate", "--yes", "--mode", "stock", "vm1").returncode == 0


def test_a_url_that_does_not_lead_there_is_found_by_check(lab, configured):
    """With the key that sets another one."""
    configured("https://localhost:9443")
    (finding,) = sight(lab, 3)
    assert "Cannot connect to https://localhost:9443/sdk" in finding["summary"]
    assert "TCP 9443" in finding["hint"]
    assert "target.service_url" in finding["hint"]


def test_a_url_that_leads_there_is_used(lab, configured):
    """Where the vCenter does not tell its own, the configured one is needed and enough."""
    rule = {"method": "QueryOptions", "fault": "vim.fault.NoPermission", "count": 50}
    lab.control("target", "fault_add", rule=rule)
    try:
        (finding,) = sight(lab, 3)
        assert "https://localhost:" in finding["summary"]
        about = json.loads((lab.directory / "target" / "vcenter.json").read_text())
        configured(about["url"])
        assert sight(lab, 0) == []
    finally:
        lab.control("target", "fault_clear")


def test_a_vcenters_appliance_is_recognised_behind_a_tunnel(lab):
    """By the name that the vCenter has in its own settings."""
    traits = {"tools": True, "dns_name": lab.spec.site("target").vcenter}
    lab.control("source", "vm_set", vm="vm2", traits=traits)
    made = lab.json("plan", "--mode", "stock", "vm2", status=3)
    assert {one["code"] for one in made["findings"] if one["severity"] == "error"} == {"vm-vcenter"}
