"""E17: what is part of the infrastructure is left out by --select and counted, and is an error when it is named."""

from __future__ import annotations

import os

import pytest

from lab_client import Lab
from lrvmotion.model.inventory import MoRef
from lrvmotion.vsphere.inventory.infrastructure import serving
from wire.no_net_lab import no_net_lab

RELAY = """
[[relay.source]]
name = "r1"
host = "192.0.2.9"
address = "10.88.0.1"
"""
SET = {
    "vm1": ({"managed_by": "com.vmware.vim.eam/cluster-agent"}, "vm-vcls"),
    "vm2": ({"managed_by": "VirtualCenter/vcls-entity"}, "vm-vcls"),
    "vm3": ({"managed_by": "com.vmware.vcDr/placeholder"}, "vm-managed"),
    "vm4": ({"tools": True, "address": "192.0.2.9"}, "vm-relay-host"),
    "vm5": ({"template": True}, "vm-template"),
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab"), "--no-net", "--vms", "8", name=f"i{os.getpid()}") as up:
        for name, (traits, _) in SET.items():
            up.control("source", "vm_set", vm=name, traits=traits)
        up.config.write_text(up.config.read_text() + RELAY)
        yield up


@pytest.mark.parametrize("said", [["--select", "name=vm*"], ["vm*"]])
def test_an_expression_and_a_pattern_leave_infrastructure_out_and_count_it(lab, said):
    """The rest is planned; the plan is no error."""
    made = lab.json("plan", "--mode", "stock", *said)
    assert [move["vm"] for move in made["migrations"]] == ["vm6", "vm7", "vm8"]
    told = [finding["summary"] for finding in made["findings"] if finding["code"] == "vm-left-out"]
    assert told == [
        "2 vCLS VMs left out: vm1, vm2",
        "1 managed VM left out: vm3",
        "1 relay host left out: vm4",
        "1 template left out: vm5",
    ]


@pytest.mark.parametrize("name", SET)
def test_named_one_by_one_it_is_an_error(lab, name):
    """Of that VM, with its own code."""
    made = lab.json("plan", "--mode", "stock", name, "vm6", status=3)
    errors = {(one["subject"], one["code"]) for one in made["findings"] if one["severity"] == "error"}
    assert (f"vm/{name}", SET[name][1]) in errors
    assert {subject for subject, _ in errors} == {f"vm/{name}"}


def test_nothing_but_infrastructure_is_no_vm(lab):
    """It says what was left out."""
    done = lab.run("plan", "--mode", "stock", "--select", "name=vm1 or name=vm2")
    assert done.returncode == 2
    assert "but what is left out: 2 vCLS VMs" in done.stderr


def test_a_vcenters_own_appliance_is_told_by_name_and_address():
    """What VMware Tools report; this machine's own address, as of a tunnel, tells nothing."""
    with no_net_lab() as lab:
        refs = {name: MoRef("VirtualMachine", vm["moid"]) for name, vm in lab.control("source", "state")["vms"].items()}
        lab.control("source", "vm_set", vm="vm1", traits={"tools": True, "dns_name": "vcsa-a.invalid"})
        lab.control("source", "vm_set", vm="vm2", traits={"tools": True, "address": "192.0.2.7"})
        lab.control(
            "source", "vm_set", vm="vm3", traits={"tools": True, "address": "127.0.0.1", "dns_name": "localhost"}
        )
        known = {"vcsa-a.invalid": "source vCenter", "192.0.2.7": "target vCenter"}
        assert serving(lab.source, known) == {refs["vm1"]: "source vCenter", refs["vm2"]: "target vCenter"}
        assert serving(lab.source, {"127.0.0.1": "source vCenter", "localhost": "target vCenter"}) == {}
