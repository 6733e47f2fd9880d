"""The precheck catalogue as values: each check with what trips it; the plain VM trips none of them."""

from __future__ import annotations

import pytest

from fakes import host, vm
from lrvmotion.checks import metadata, vms
from lrvmotion.checks.compatibility import LADDERS, fits
from lrvmotion.findings import Severity
from lrvmotion.model.inventory import Datastore, Device, Disk, Folder, MoRef, Pool
from lrvmotion.model.placement import Placement
from lrvmotion.model.surroundings import ClusterBindings, PrecheckContext, TargetConflicts

HOST = host("b1", "10.99.0.9", evc_mode="", max_evc_mode="intel-cascadelake", most_disks=4, encrypted_vmotion=True)
FOLDER = Folder(ref=MoRef("Folder", "group-v1"), path="", datacenter="DC")
REF = MoRef("VirtualMachine", "vm-vm1")
AROUND = {"taken": TargetConflicts(), "hardware": {HOST.ref: frozenset({"vmx-18", "vmx-19"})}, "bindings": {}}
PLAIN = {"hardware": "vmx-19", "evc_mode": "intel-haswell"}
ERROR, WARNING = Severity.ERROR, Severity.WARNING


def placement(**changes):
    target = host("b1", "10.99.0.9", **{"max_evc_mode": "intel-cascadelake", "most_disks": 4, **changes})
    pool = Pool(ref=target.pool, path="Cluster/Resources", cluster="Cluster")
    store = Datastore(ref=MoRef("Datastore", "datastore-1"), name="d", capacity_bytes=1, free_bytes=1)
    return Placement(host=target, pool=pool, folder=FOLDER, datastore=store)


def found(machine, place=None, **around):
    """Return {code: severity} of everything that the catalogue says."""
    surroundings = PrecheckContext(**{**AROUND, **around})
    said = [*vms.alone(machine), *vms.placed(machine, place or placement(), surroundings)]
    for finding in said:
        assert finding.subject == "vm/vm1"
        assert finding.summary
        assert finding.hint or finding.severity is not ERROR or finding.code == "vm-no-host"
    return {finding.code: finding.severity for finding in said}


def disk(**changes):
    values = {"key": 2000, "label": "Hard disk 1", "capacity_bytes": 1, "datastore": None, **changes}
    return {"disks": (Disk(**values),)}


def device(kind):
    return {"devices": (Device(kind=kind, label="a device", backing="somewhere"),)}


def test_the_plain_vm_trips_nothing():
    """Nor does one with the newest key that its host's CPU has, or an EVC mode below it."""
    assert found(vm("vm1", "a1", **PLAIN)) == {}
    assert found(vm("vm1", "a1", **{**PLAIN, "evc_mode": "intel-cascadelake"})) == {}


@pytest.mark.parametrize(
    ("changes", "code", "severity"),
    [
        ({"template": True}, "vm-template", ERROR),
        ({"host": None}, "vm-no-host", ERROR),
        ({"managed_by": "com.vmware.vim.eam/cluster-agent"}, "vm-vcls", ERROR),
        ({"managed_by": "VirtualCenter/vcls-entity"}, "vm-vcls", ERROR),
        ({"managed_by": "com.vmware.vcDr/placeholder"}, "vm-managed", ERROR),
        ({"serves": "source vCenter"}, "vm-vcenter", ERROR),
        ({"serves": "relay host r1"}, "vm-relay-host", ERROR),
        ({"power_state": "suspended"}, "vm-suspended", ERROR),
        ({"power_state": "poweredOff"}, "vm-powered-off", WARNING),
        ({"snapshots": 1}, "vm-snapshots", WARNING),
        ({"fault_tolerance": True}, "vm-fault-tolerance", ERROR),
        ({"tools_installer": True}, "vm-tools-installer", ERROR),
        (device("iso"), "vm-iso", ERROR),
        (device("cdrom"), "vm-cdrom", ERROR),
        (device("floppy"), "vm-floppy", ERROR),
        (device("usb"), "vm-usb", ERROR),
        (device("serial"), "vm-serial", ERROR),
        (device("serial-network"), "vm-serial-network", ERROR),
        (device("parallel"), "vm-parallel", ERROR),
        (device("passthrough"), "vm-passthrough", ERROR),
        (device("sriov"), "vm-sriov", ERROR),
        (device("vgpu"), "vm-vgpu", WARNING),
        (device("shared-bus"), "vm-shared-bus", ERROR),
        (disk(rdm="virtual"), "vm-rdm", ERROR),
        (disk(rdm="physical"), "vm-rdm", ERROR),
        (disk(multi_writer=True), "vm-multi-writer", ERROR),
        (disk(mode="independent_nonpersistent"), "vm-disk-mode", ERROR),
        (disk(mode="nonpersistent"), "vm-disk-mode", ERROR),
        (disk(mode="independent_persistent"), "vm-disk-independent", WARNING),
        (disk(first_class="fcd-1"), "vm-first-class-disk", ERROR),
        (disk(links=3), "vm-delta-disks", WARNING),
        (disk(links=2, linked_clone=True), "vm-linked-clone", WARNING),
        ({"consolidation": True}, "vm-consolidation", WARNING),
        ({"connection_state": "orphaned"}, "vm-orphaned", ERROR),
        ({"connection_state": "inaccessible"}, "vm-inaccessible", ERROR),
        ({"connection_state": "invalid"}, "vm-inaccessible", ERROR),
        ({"connection_state": "disconnected"}, "vm-disconnected", ERROR),
        ({"relocate_disabled": True}, "vm-relocate-disabled", ERROR),
        ({"question": "Retry?"}, "vm-question", ERROR),
        ({"evc_mode": "intel-icelake"}, "vm-evc", ERROR),
        ({"evc_mode": "amd-rome"}, "vm-evc", ERROR),
        ({"evc_mode": "intel-of-tomorrow"}, "vm-evc-unknown", WARNING),
        ({"hardware": "vmx-21"}, "vm-hardware", ERROR),
        ({"key_provider": "kms"}, "vm-key-unread", WARNING),
        ({"migrate_encryption": "required"}, "vm-encrypted-vmotion", WARNING),
        ({"permissions": ("LAB\\x",)}, "vm-permissions", WARNING),
        ({"attributes": (101,)}, "vm-attributes", WARNING),
    ],
)
def test_what_a_vm_is_trips_its_own_check_only(changes, code, severity):
    """One trait, one code."""
    assert found(vm("vm1", "a1", **{**PLAIN, **changes})) == {code: severity}


def test_a_card_that_is_passed_through_is_a_warning_while_the_vm_is_off():
    """It can be removed, or is there at the target too."""
    said = found(vm("vm1", "a1", **PLAIN, **device("passthrough"), power_state="poweredOff"))
    assert said == {"vm-powered-off": WARNING, "vm-passthrough": WARNING}


@pytest.mark.parametrize(
    ("changes", "code", "severity"),
    [
        ({"evc_mode": "intel-penryn"}, "vm-evc", ERROR),
        ({"max_evc_mode": "amd-zen4"}, "vm-evc", ERROR),
        ({"max_evc_mode": ""}, "vm-evc-unknown", WARNING),
        ({"most_disks": 0}, "vm-disk-count", ERROR),
        ({"ref": MoRef("HostSystem", "host-other")}, "vm-hardware-unread", WARNING),
    ],
)
def test_what_the_host_is_trips_its_own_check_only(changes, code, severity):
    """The cluster's EVC mode counts more than what the CPU could do."""
    assert found(vm("vm1", "a1", **PLAIN), placement(**changes)) == {code: severity}


@pytest.mark.parametrize(
    ("around", "code", "severity"),
    [
        ({"taken": None}, "vm-clash-unread", WARNING),
        ({"taken": TargetConflicts(macs=None)}, "vm-mac-unread", WARNING),
        ({"taken": TargetConflicts(names={(FOLDER.ref, "vm1"): "vm1"})}, "vm-name-clash", ERROR),
        ({"taken": TargetConflicts(instance_uuids={"uuid-vm1": "x"})}, "vm-instance-uuid", ERROR),
        ({"taken": TargetConflicts(bios_uuids={"bios-vm1": "x"})}, "vm-bios-uuid", WARNING),
        ({"taken": TargetConflicts(macs={"00:50:56:00:00:01": "x"})}, "vm-mac", WARNING),
        ({"bindings": {REF: ClusterBindings(rules=("apart",))}}, "vm-rules", WARNING),
        ({"bindings": {REF: ClusterBindings(overrides=("DRS manual",))}}, "vm-overrides", WARNING),
    ],
)
def test_what_is_around_trips_its_own_check_only(around, code, severity):
    """A name counts in its own folder only: DuplicateName is a folder's rule."""
    assert found(vm("vm1", "a1", **PLAIN), **around) == {code: severity}
    elsewhere = TargetConflicts(names={(MoRef("Folder", "group-v2"), "vm1"): "vm1"})
    assert found(vm("vm1", "a1", **PLAIN), taken=elsewhere) == {}


def test_an_encrypted_vm_needs_its_key_provider_there():
    """There is none, another, or it."""
    machine = vm("vm1", "a1", **PLAIN, key_provider="kms-a", **device("tpm"))
    assert found(machine, providers=frozenset()) == {"vm-key-provider": ERROR}
    assert found(machine, providers=frozenset({"kms-b"})) == {"vm-key-provider": ERROR}
    assert found(machine, providers=frozenset({"kms-a", "kms-b"})) == {}


def test_a_host_without_encrypted_vmotion_is_an_error_for_who_requires_it():
    """One that does not tell is taken as all are since 6.5."""
    machine = vm("vm1", "a1", **PLAIN, migrate_encryption="required")
    assert found(machine, placement(encrypted_vmotion=False)) == {"vm-encrypted-vmotion": ERROR}
    assert found(machine, placement(encrypted_vmotion=None)) == {"vm-encrypted-vmotion": WARNING}


def test_what_is_not_read_is_said_once():
    """Not for every VM."""
    assert [item.code for item in metadata.unread(PrecheckContext(bindings={}))] == ["tags-not-read"]
    assert [item.code for item in metadata.unread(PrecheckContext())] == ["rules-not-read", "tags-not-read"]


def test_the_swap_file_is_what_is_not_reserved():
    """None of a VM that is off."""
    assert vm("vm1", "a1", memory_bytes=8, reserved_bytes=3).swap_bytes == 5
    assert vm("vm1", "a1", memory_bytes=8, reserved_bytes=9).swap_bytes == 0
    assert vm("vm1", "a1", memory_bytes=8, power_state="poweredOff").swap_bytes == 0


@pytest.mark.parametrize("ladder", LADDERS)
def test_every_rung_of_a_ladder_runs_what_is_below_it(ladder):
    """And nothing above it, and nothing of the other vendor."""
    for number, offered in enumerate(ladder):
        assert all(fits(needed, offered) for needed in ladder[: number + 1])
        assert not any(fits(needed, offered) for needed in ladder[number + 1 :])
    assert fits(LADDERS[0][0], LADDERS[1][-1]) is False
    assert fits("intel-of-tomorrow", "intel-merom") is None
    assert fits("intel-of-tomorrow", "intel-of-tomorrow") is True
