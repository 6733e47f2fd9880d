"""Every precheck of VMs: a lab that trips it names its code, and the plain VM trips none; nothing is written."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from lab_client import Lab
from lrvmotion import checks
from lrvmotion.checks.catalogue import Code
from wire.plan_findings import ALWAYS, VM, findings, writes

# code, traits, whether vCenter's own check refuses too
TRAITS = [
    ("vm-cdrom", {"plugged": ["cdrom"]}, True),
    ("vm-floppy", {"plugged": ["floppy"]}, True),
    ("vm-usb", {"plugged": ["usb"]}, True),
    ("vm-serial", {"plugged": ["serial"]}, True),
    ("vm-serial-network", {"plugged": ["serial-network"]}, True),
    ("vm-parallel", {"plugged": ["parallel"]}, True),
    ("vm-passthrough", {"plugged": ["passthrough"]}, True),
    ("vm-vgpu", {"plugged": ["vgpu"]}, False),
    ("vm-sriov", {"plugged": ["sriov"]}, True),
    ("vm-tools-installer", {"tools_installer": True}, True),
    ("vm-fault-tolerance", {"fault_tolerant": True}, True),
    ("vm-rdm", {"rdm": "virtualMode"}, True),
    ("vm-rdm", {"rdm": "physicalMode"}, True),
    ("vm-multi-writer", {"multi_writer": True}, True),
    ("vm-shared-bus", {"bus": "physicalSharing"}, True),
    ("vm-disk-mode", {"disk_mode": "independent_nonpersistent"}, True),
    ("vm-disk-independent", {"disk_mode": "independent_persistent"}, False),
    ("vm-disk-count", {"disks": 65}, True),
    ("vm-evc", {"evc": "intel-icelake"}, True),
    ("vm-evc", {"evc": "amd-zen2"}, True),
    ("vm-hardware", {"version": "vmx-20"}, True),
    ("vm-key-provider", {"key_provider": "kms-a", "plugged": ["tpm"]}, True),
    ("vm-encrypted-vmotion", {"migrate_encryption": "required"}, False),
    ("vm-permissions", {"permissions": ["LAB\\operators"]}, False),
    ("vm-relocate-disabled", {"disabled": ["RelocateVM_Task"]}, True),
    ("vm-attributes", {"attributes": [["Owner", "somebody"]]}, False),
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab"), "--no-net", name=f"p{os.getpid()}") as up:
        yield up


@pytest.fixture
def reset(lab):
    """Make everything plain again when the test is over."""
    yield
    lab.control("source", "vm_set", vm=VM)
    lab.control("source", "vm_device", vm=VM, iso=None)
    lab.control("source", "vm_power", vm=VM, on=True)
    lab.control("source", "vm_snapshots_remove", vm=VM)
    lab.control("source", "cluster_set")
    lab.control("source", "fault_clear")
    lab.control("target", "fault_clear")
    for host in ("esx-b1", "esx-b2"):
        lab.control(
            "target",
            "host_set",
            host=host,
            evc="",
            most_disks=64,
            encrypted_vmotion=True,
            hardware=19,
            max_evc="intel-cascadelake",
        )
    lab.control("target", "datastore_set", datastore="datastore1")
    lab.control("target", "key_providers", names=[])


def test_the_plain_vm_trips_nothing_and_nothing_is_written(lab):
    """All VMs of the standard lab, with vCenter's own check of each."""
    before = writes(lab)
    assert findings(lab, "vm1", "vm2", "vm3", "vm4") == {}
    assert writes(lab) == before
    assert lab.control("source", "calls")["calls"]["CheckRelocate_Task"] >= 4


@pytest.mark.parametrize(("code", "traits", "refused"), TRAITS, ids=lambda value: str(value)[:40])
def test_a_trait_is_named_and_nothing_else(lab, reset, code, traits, refused):
    """Its own code, and vCenter's refusal where it refuses; an error then, a warning otherwise."""
    lab.control("source", "vm_set", vm=VM, traits=traits)
    found = findings(lab)
    assert set(found) == {code, "relocate-refused"} if refused else {code}, found
    assert found[code]["severity"] == ("error" if refused else "warning")
    assert found[code]["subject"] == f"vm/{VM}"


# code, site, operation, its arguments, whether vCenter's own check refuses too
PLACES = [
    ("vm-evc", "target", "host_set", {"host": "esx-b1", "evc": "intel-penryn"}, True),
    ("vm-evc-unknown", "target", "host_set", {"host": "esx-b1", "max_evc": ""}, False),
    ("vm-hardware", "target", "host_set", {"host": "esx-b1", "hardware": 18}, True),
    ("datastore-space", "target", "datastore_set", {"datastore": "datastore1", "free_bytes": 300 << 20}, False),
    ("datastore-inaccessible", "target", "datastore_set", {"datastore": "datastore1", "accessible": False}, False),
    ("vm-rules", "source", "cluster_set", {"rules": [{"name": "apart", "apart": True, "vms": [VM, "vm2"]}]}, False),
    ("vm-overrides", "source", "cluster_set", {"overrides": {VM: {"drs": "manual", "ha": "high"}}}, False),
    ("relocate-warning", "source", "cluster_set", {"ha": True}, False),
    ("vm-iso", "source", "vm_device", {"vm": VM, "iso": "[datastore1] a.iso"}, True),
    ("vm-powered-off", "source", "vm_power", {"vm": VM, "on": False}, False),
    ("vm-snapshots", "source", "vm_snapshot", {"vm": VM}, False),
    ("vm-no-host", "source", "vm_set", {"vm": VM, "traits": {"no_host": True}}, False),
]
ERRORS = {"datastore-space", "datastore-inaccessible", "vm-evc", "vm-hardware", "vm-iso", "vm-no-host"}


@pytest.mark.parametrize(
    ("code", "site", "operation", "arguments", "refused"), PLACES, ids=lambda value: str(value)[:30]
)
def test_a_place_that_does_not_fit_is_named(lab, reset, code, site, operation, arguments, refused):
    """Its own code; a VM without a place is not asked vCenter about."""
    lab.control(site, operation, **arguments)
    found = findings(lab)
    assert set(found) == {code, "relocate-refused"} if refused else {code}, found
    assert found[code]["severity"] == ("error" if code in ERRORS else "warning")


def test_the_swap_files_of_all_vms_count(lab, reset):
    """One VM of 256 + 128 MiB fits into 500, two do not."""
    lab.control("target", "datastore_set", datastore="datastore1", free_bytes=500 << 20)
    assert findings(lab, "vm1") == {}
    assert "once 0.4 GiB of VMs before it" in findings(lab, "vm1", "vm2")["datastore-space"]["summary"]


@pytest.mark.parametrize("trait", ["template", "suspended"])
def test_what_cannot_be_moved_at_all_is_refused(lab, reset, trait):
    """By us and by vCenter; its disks would go by NFC besides."""
    lab.control("source", "vm_power", vm=VM, on=False)
    lab.control("source", "vm_set", vm=VM, traits={trait: True})
    found = findings(lab)
    assert {f"vm-{trait}", "relocate-refused"} <= found.keys()
    assert found[f"vm-{trait}"]["severity"] == "error"


def test_the_key_provider_is_looked_for_at_the_target(lab, reset):
    """There: nothing. Not readable: it says so."""
    lab.control("source", "vm_set", vm=VM, traits={"key_provider": "kms-a"})
    lab.control("target", "key_providers", names=["other", "kms-a"])
    assert findings(lab) == {}
    lab.control("target", "key_providers", names=None)
    assert findings(lab)["vm-key-unread"]["severity"] == "warning"


def test_a_host_without_encrypted_vmotion_cannot_take_a_vm_that_requires_it(lab, reset):
    """A host that has it is a warning only: it costs CPU."""
    lab.control("source", "vm_set", vm=VM, traits={"migrate_encryption": "required"})
    for host in ("esx-b1", "esx-b2"):
        lab.control("target", "host_set", host=host, encrypted_vmotion=False)
    found = findings(lab)
    assert found.keys() == {"vm-encrypted-vmotion", "relocate-refused"}
    assert found["vm-encrypted-vmotion"]["severity"] == "error"


def test_a_vm_with_warnings_only_moves(lab, reset):
    """What does not follow stands in no move's way."""
    traits = {"attributes": [["Owner", "x"]], "permissions": ["LAB\\op"], "disk_mode": "independent_persistent"}
    lab.control("source", "vm_set", vm="vm4", traits=traits)
    lab.control(
        "source", "cluster_set", rules=[{"name": "r", "vms": ["vm4", "vm3"]}], overrides={"vm4": {"ha": "high"}}
    )
    found = findings(lab, "vm4")
    assert {item["severity"] for item in found.values()} == {"warning"}
    assert "Owner" in found["vm-attributes"]["summary"]
    done = lab.json("migrate", "--mode", "stock", "--yes", "vm4")
    assert done["moves"]["vm4"]["state"] == "success"


UNREAD = [
    ("vm-clash-unread", "target", {"method": "RetrievePropertiesEx", "path": "config.uuid"}),
    ("vm-mac-unread", "target", {"method": "RetrievePropertiesEx", "path": "config.hardware.device[4000]"}),
    ("rules-not-read", "source", {"method": "RetrievePropertiesEx", "path": "configurationEx"}),
    ("vm-hardware-unread", "target", {"method": "QueryConfigOptionDescriptor"}),
]


@pytest.mark.parametrize(("code", "site", "rule"), UNREAD, ids=lambda value: str(value)[:30])
def test_what_a_vcenter_refuses_to_tell_is_said_to_be_unread(lab, reset, code, site, rule):
    """A warning in place of silence: an account that may not read it, or a vCenter that does not know the path."""
    lab.control(site, "fault_add", rule={**rule, "fault": "vim.fault.NoPermission", "count": 9})
    found = findings(lab)
    assert set(found) == {code}, found
    assert found[code]["severity"] == "warning"


CODES = {code for code, *_ in (*TRAITS, *PLACES, *UNREAD)} | {
    # Tripped by tests of their own, below and above.
    "vm-orphaned", "vm-inaccessible", "vm-disconnected", "vm-question",  # test_vm_states.py, test_vm_questions.py
    "vm-linked-clone", "vm-delta-disks", "vm-consolidation", "vm-first-class-disk",  # test_vm_disks.py
    "vm-switch-kind", "vm-switch-version", "vm-vapp", "vm-depends-refused",  # test_vm_places.py, test_skip_refused.py
    "vm-vcls", "vm-managed", "vm-vcenter", "vm-relay-host", "vm-left-out",  # test_infrastructure_vms.py
    "vm-template", "vm-suspended", "vm-key-unread", "vm-name-clash", "vm-instance-uuid", "vm-bios-uuid", "vm-mac",
}  # fmt: skip


def test_every_precheck_of_a_vm_has_a_scenario():
    """A check cannot be added without a lab that trips it."""
    folder = Path(checks.__file__).parent
    texts = [(folder / f"{name}.py").read_text() for name in ("vms", "devices", "compatibility", "metadata")]
    made = {Code[name] for text in texts for name in re.findall(r"Code\.((?:VM|RULES|TAGS|DATASTORE)_[A-Z_]+)", text)}
    assert made - CODES - ALWAYS - {Code.VM_GONE} == set()  # a resumed run's is not of a plan


def test_what_a_vm_of_the_target_has_is_found(lab, reset):
    """Its name in that folder, its UUIDs, its MAC; vm4 is there by now."""
    assert "vm4" in lab.vms()["target"]
    state = {site: lab.control(site, "state")["vms"] for site in ("source", "target")}
    taken = state["target"]["vm4"]["instance_uuid"]
    own = state["source"]["vm3"]["instance_uuid"]
    lab.control("source", "vm_set", vm="vm3", instance_uuid=taken)
    found = findings(lab, "vm3")
    lab.control("source", "vm_set", vm="vm3", instance_uuid=own)
    assert found["vm-instance-uuid"]["severity"] == "error"
    for key, code, value in (("mac", "vm-mac", "00:50:56:AA:00:01"), ("uuid", "vm-bios-uuid", "564d-1")):
        lab.control("source", "vm_set", vm="vm3", **{key: value})
        lab.control("target", "vm_set", vm="vm4", **{key: value.lower()})
        found = findings(lab, "vm3")
        assert found.keys() == {code}, found
        assert "vm4" in found[code]["summary"]
        lab.control("target", "vm_set", vm="vm4", **{key: f"{value[:-1]}9"})
    lab.control("target", "vm_set", vm="vm4", name="vm3")
    assert findings(lab, "vm3").keys() == {"vm-name-clash", "relocate-refused"}
    lab.control("target", "vm_set", vm="vm3", name="vm4")


def test_what_cannot_be_read_is_said_and_nothing_more(lab, reset):
    """No privilege for the hardware versions; for CheckRelocate; the target refuses the source vCenter's login."""
    denied = "vim.fault.NoPermission"
    lab.control("target", "fault_add", rule={"method": "QueryConfigOptionDescriptor", "fault": denied})
    assert findings(lab).keys() == {"vm-hardware-unread"}
    lab.control("source", "fault_add", rule={"method": "CheckRelocate_Task", "fault": denied})
    assert findings(lab).keys() == {"relocate-not-measured"}
    rule = {"method": "CheckRelocate_Task", "fault": "vim.fault.InvalidLogin", "in_task": True, "count": 9}
    lab.control("source", "fault_add", rule=rule)
    before = lab.control("source", "calls")["calls"]["CheckRelocate_Task"]
    found = findings(lab, "vm1", "vm2", "vm3")
    assert found.keys() == {"relocate-way"}
    assert lab.control("source", "calls")["calls"]["CheckRelocate_Task"] == before + 1, "an account is not locked"
