"""A simulated vCenter that is killed and started again is the one that it was."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import pytest
from pyVmomi import VmomiSupport, vim

from lab_client import Lab as LabUp
from wire.vcenter_lab import Lab, disconnect, named, objects, relocate_spec, spec, vm


@pytest.fixture
def lab():
    with tempfile.TemporaryDirectory(prefix="lrv", dir="/tmp") as folder:  # short: Unix sockets lie in it
        opened = Lab(Path(folder), spec((vm("vm1"), vm("vm2", powered_on=False), vm("vm3", where="a2"))))
        yield opened
        opened.close()


def long(value: int):
    return VmomiSupport.vmodlTypes["long"](value)


def wait(task) -> str:
    end = time.monotonic() + 120
    while task.info.state in {"queued", "running"}:
        assert time.monotonic() < end
        time.sleep(0.05)
    return str(task.info.state)


def test_settings_port_groups_vmknics_and_routes_outlive_a_kill(lab):
    """What a client was told is done is there after kill -9 and a start, at the same address, to the witness's eye."""
    si = lab.connect("source")
    host = named(si, vim.HostSystem, "a1")
    system = host.configManager.networkSystem
    host.configManager.advancedOption.UpdateOptions(
        changedValue=[vim.option.OptionValue(key="Migrate.VMotionStreamHelpers", value=long(48))]
    )
    system.AddPortGroup(
        vim.host.PortGroup.Specification(name="mine", vlanId=7, vswitchName="vSwitch0", policy=vim.host.NetworkPolicy())
    )
    nic = vim.host.VirtualNic.Specification(
        ip=vim.host.IpConfig(dhcp=False, ipAddress="10.88.0.77", subnetMask="255.255.255.0"), mtu=1500
    )
    device = system.AddVirtualNic("mine", nic)
    host.configManager.virtualNicManager.SelectVnicForNicType("vmotion", device)
    route = vim.host.IpRouteEntry(network="10.99.0.9", prefixLength=32, gateway="10.88.0.200")
    system.UpdateIpRouteTableConfig(
        vim.host.IpRouteTableConfig(ipRoute=[vim.host.IpRouteOp(changeOperation="add", route=route)])
    )
    before, about = lab.control("source", "state"), lab.about("source")
    disconnect(si)
    lab.kill_vcenter("source")
    lab.start_vcenter("source")
    assert lab.control("source", "state") == before
    again = lab.about("source")
    assert {key: again[key] for key in ("port", "instance_uuid", "sha256")} == {
        key: about[key] for key in ("port", "instance_uuid", "sha256")
    }
    si = lab.connect("source")
    host = named(si, vim.HostSystem, "a1")
    (option,) = host.configManager.advancedOption.QueryOptions("Migrate.VMotionStreamHelpers")
    assert option.value == 48
    vnic = next(item for item in host.config.network.vnic if item.device == device)
    assert (vnic.spec.ip.ipAddress, vnic.portgroup) == ("10.88.0.77", "mine")
    disconnect(si)


def test_a_vm_that_moved_is_where_it_arrived_after_both_were_killed(lab):
    """It is in one inventory, once, with its identity, and no moId is given twice."""
    source, target = lab.connect("source"), lab.connect("target")
    moved = named(source, vim.VirtualMachine, "vm1")
    uuid = moved.config.instanceUuid
    assert wait(moved.RelocateVM_Task(relocate_spec(lab, target))) == "success"
    snapshot = named(source, vim.VirtualMachine, "vm3")
    lab.control("source", "vm_snapshot", vm="vm3", name="before")
    moids = {item._moId for item in objects(target, vim.VirtualMachine)}
    tree = snapshot.snapshot.rootSnapshotList[0].snapshot._moId
    for si in (source, target):
        disconnect(si)
    for site in ("source", "target"):
        lab.kill_vcenter(site)
    for site in ("source", "target"):
        lab.start_vcenter(site)
    source, target = lab.connect("source"), lab.connect("target")
    assert sorted(item.name for item in objects(source, vim.VirtualMachine)) == ["vm2", "vm3"]
    (arrived,) = objects(target, vim.VirtualMachine)
    assert (arrived.name, arrived.config.instanceUuid, {arrived._moId}) == ("vm1", uuid, moids)
    kept = named(source, vim.VirtualMachine, "vm3").snapshot
    assert kept.rootSnapshotList[0].snapshot._moId == tree
    assert wait(named(source, vim.VirtualMachine, "vm2").RelocateVM_Task(relocate_spec(lab, target))) == "success"
    assert len({item._moId for item in objects(target, vim.VirtualMachine)}) == 2
    for si in (source, target):
        disconnect(si)


@pytest.mark.parametrize("site", ["source", "target"])
def test_a_kill_in_the_middle_of_a_move_leaves_the_vm_in_one_inventory(lab, site):
    """The relocate ends with its vCenter; the VM is at one side, and can be moved."""
    source, target = lab.connect("source"), lab.connect("target")
    lab.fault("source", method="RelocateVM_Task", in_task=True, delay_s=2.0, object="vm1")
    named(source, vim.VirtualMachine, "vm1").RelocateVM_Task(relocate_spec(lab, target))
    for si in (source, target):
        disconnect(si)
    lab.kill_vcenter(site)
    lab.start_vcenter(site)
    end = time.monotonic() + 60
    while lab.control("source", "state")["vms"].get("vm1", {}).get("relocating"):
        assert time.monotonic() < end
        time.sleep(0.1)
    where = [name for name in ("source", "target") if "vm1" in lab.control(name, "state")["vms"]]
    assert len(where) == 1


def test_a_vm_that_left_does_not_come_back_with_its_vcenter(lab):
    """Neither where it has gone on from the other side meanwhile, back home under another moId say."""
    source, target = lab.connect("source"), lab.connect("target")
    assert wait(named(source, vim.VirtualMachine, "vm1").RelocateVM_Task(relocate_spec(lab, target))) == "success"
    for si in (source, target):
        disconnect(si)
    document = lab.control("target", "vm_leave", vm="vm1")
    lab.control("source", "vm_arrive", host="a1", document=document)
    lab.kill_vcenter("source")
    lab.start_vcenter("source")
    source = lab.connect("source")
    assert sorted(item.name for item in objects(source, vim.VirtualMachine)) == ["vm1", "vm2", "vm3"]
    disconnect(source)


def test_a_commit_without_an_answer_is_settled_at_the_start(lab):
    """Recorded at the target, source dead before it heard: the source lets go of the VM when it starts."""
    source, target = lab.connect("source"), lab.connect("target")
    assert wait(named(source, vim.VirtualMachine, "vm3").RelocateVM_Task(relocate_spec(lab, target))) == "success"
    for si in (source, target):
        disconnect(si)
    lab.kill_vcenter("source")
    path = lab.folder / "source" / "database.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    last = max(number for number, line in enumerate(lines) if b'"kept": null' in line)
    path.write_bytes(b"".join(lines[:last]))  # as if it had died between the commit and its own record
    assert b'"leaving": true' in lines[last - 1] or any(b'"leaving": true' in line for line in lines[:last])
    lab.start_vcenter("source")
    assert "vm3" not in lab.control("source", "state")["vms"]
    assert "vm3" in lab.control("target", "state")["vms"]


def test_a_line_that_was_not_finished_is_passed_over(lab):
    """The death of the vCenter in the middle of a line costs nothing that anybody was told of."""
    lab.control("source", "rename", old="datastore1", new="gold")
    lab.kill_vcenter("source")
    path = lab.folder / "source" / "database.jsonl"
    path.write_bytes(path.read_bytes() + b'{"object": "host-1')
    lab.start_vcenter("source")
    si = lab.connect("source")
    assert [item.name for item in objects(si, vim.Datastore)] == ["gold"]
    disconnect(si)


def test_names_that_the_vcenter_knows_outlive_it(lab):
    """Custom attributes, tags, policies and roles keep their ids."""
    lab.control("source", "names_set", attributes=["owner"], tags={"tier": ["gold"]}, policies=["fast"])
    si = lab.connect("source")
    keys = [(field.name, field.key) for field in si.content.customFieldsManager.field]
    disconnect(si)
    lab.kill_vcenter("source")
    lab.start_vcenter("source")
    si = lab.connect("source")
    assert [(field.name, field.key) for field in si.content.customFieldsManager.field] == keys
    disconnect(si)


def test_a_port_group_can_be_renamed(lab):
    """UpdatePortGroup with another name; a name that another one has is AlreadyExists."""
    si = lab.connect("source")
    host = named(si, vim.HostSystem, "a1")
    system = host.configManager.networkSystem
    (group,) = (item for item in system.networkInfo.portgroup if item.spec.name == "vMotion")
    group.spec.name = "vMotion-A"
    system.UpdatePortGroup("vMotion", group.spec)
    names = {item.spec.name for item in system.networkInfo.portgroup}
    assert "vMotion-A" in names
    assert "vMotion" not in names
    assert {nic.portgroup for nic in system.networkInfo.vnic} == {"Management", "vMotion-A"}
    group.spec.name = "Management"
    with pytest.raises(vim.fault.AlreadyExists):
        system.UpdatePortGroup("vMotion-A", group.spec)
    disconnect(si)


def test_lab_kill_and_lab_start(tmp_path):
    """The two commands for it; each is refused where it has nothing to do."""
    with LabUp(tmp_path, "--no-net", name=f"k{os.getpid()}") as up:
        for command, status in (("start", 3), ("kill", 0), ("kill", 3), ("start", 0)):
            done = up.run("lab", command, "target", "--name", up.name, config=False)
            assert done.returncode == status, (command, done.stderr)
        assert up.json("plan", "--mode", "stock", "vm1")["migrations"]
