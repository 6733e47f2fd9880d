"""RelocateVM_Task of the simulated vCenter moves real bytes and a VM to the other one, or says why not."""

from __future__ import annotations

import contextlib
import time

import pytest
from pyVim.task import WaitForTask
from pyVmomi import VmomiSupport, vim, vmodl

from lrvmotion.lab.client import ask
from lrvmotion.lab.errors import LabError
from lrvmotion.lab.spec import MIB
from wire.vcenter_lab import Lab, disconnect, named, objects, relocate_spec, spec, vm

LONG = VmomiSupport.vmodlTypes["long"]
# Large enough that a test sees the move while it runs.
BUSY = {"memory_bytes": 256 * MIB, "disk_bytes": 512 * MIB}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    vms = (
        vm("moves"), vm("stays"), vm("twin"), vm("cold", powered_on=False), vm("local"), vm("iso"), vm("late"),
        *(vm(f"busy{n}", **BUSY) for n in range(3)),
        *(vm(f"streams{n}", **BUSY) for n in (0, 5)),
    )  # fmt: skip
    made = Lab(tmp_path_factory.mktemp("lab"), spec(vms))
    yield made
    made.close()


@pytest.fixture
def sites(lab):
    made = (lab.connect("source"), lab.connect("target"))
    yield made
    for si in made:
        disconnect(si)


def start(lab, sites, name, **change):
    machine = named(sites[0], vim.VirtualMachine, name)
    wanted = relocate_spec(lab, sites[1], **change)
    return machine, machine.RelocateVM_Task(wanted, "defaultPriority")


def finish(task):
    while task.info.state in {"queued", "running"}:
        time.sleep(0.05)
    return task.info


def names(si):
    return {item.name for item in objects(si, vim.VirtualMachine)}


def test_a_vm_moves_with_its_identity_and_its_old_reference_is_gone(lab, sites):
    """Same uuids, MAC and name there; ManagedObjectNotFound here; the host's process saw the bytes arrive."""
    machine = named(sites[0], vim.VirtualMachine, "moves")
    config = machine.config
    task = machine.RelocateVM_Task(relocate_spec(lab, sites[1]), "defaultPriority")
    assert WaitForTask(task, sites[0]) == "success"
    moved = sites[1].content.searchIndex.FindByUuid(None, config.instanceUuid, True, True)
    assert (moved.name, moved.runtime.host.name) == ("moves", "b1")
    assert moved.config.uuid == config.uuid
    assert moved.config.hardware.device[-1].macAddress == config.hardware.device[-1].macAddress
    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        machine.RefreshStorageInfo()
    assert "moves" not in names(sites[0])
    logged = next(t for t in lab.control("source", "tasks")["tasks"] if t["task"] == task._moId)
    assert logged["hosts"] == ["a1", "b1"]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"thumbprint": ":".join(["00"] * 20)}, vim.fault.SSLVerifyFault),
        ({"thumbprint": None}, vim.fault.SSLVerifyFault),
        ({"password": "wrong"}, vim.fault.InvalidLogin),
        ({"uuid": "00000000-0000-0000-0000-000000000000"}, vim.fault.HostConnectFault),
        ({"url": "https://127.0.0.1:1/sdk"}, vim.fault.HostConnectFault),
    ],
)
def test_a_wrong_locator_is_refused_and_nothing_moves(lab, sites, change, fault):
    """Thumbprint, password, instance uuid and address are each checked against the other vCenter itself."""
    _, task = start(lab, sites, "stays", **change)
    assert isinstance(finish(task).error, fault)
    assert "stays" in names(sites[0])
    assert "stays" not in names(sites[1])


def test_the_same_faults_can_come_at_the_call(lab, sites):
    """Which of the two a real vCenter does is not known, so both can be had."""
    lab.control("source", "relocate_faults", at_call=True)
    with pytest.raises(vim.fault.InvalidLogin):
        start(lab, sites, "stays", password="wrong")
    lab.control("source", "relocate_faults", at_call=False)


@pytest.mark.parametrize("name", ["pool", "host", "datastore"])
def test_an_incomplete_spec_is_invalid_argument_at_the_call(lab, sites, name):
    """pool, host and datastore are all needed for another vCenter."""
    wanted = relocate_spec(lab, sites[1])
    setattr(wanted, name, None)
    with pytest.raises(vmodl.fault.InvalidArgument):
        named(sites[0], vim.VirtualMachine, "stays").RelocateVM_Task(wanted, "defaultPriority")


def test_a_name_that_is_taken_is_found_by_check_and_by_the_move(lab, sites):
    """CheckRelocate runs the move's own checks; the move itself fails with the same fault."""
    _, task = start(lab, sites, "twin")
    assert finish(task).state == "success"
    uuid = lab.control("target", "state")["vms"]["twin"]["instance_uuid"]
    assert uuid
    again = named(sites[0], vim.VirtualMachine, "stays")
    wanted = relocate_spec(lab, sites[1])
    check = sites[0].content.vmProvisioningChecker
    done = finish(check.CheckRelocate_Task(again, wanted, None))
    assert done.result[0].error == []
    wanted.deviceChange = [nic_change(again, "No such network")]
    done = finish(check.CheckRelocate_Task(again, wanted, ["networkTests"]))
    assert [type(e) for e in done.result[0].error] == [vim.fault.CannotAccessNetwork]
    assert finish(check.CheckRelocate_Task(again, wanted, ["hostTests"])).result[0].error == []
    assert isinstance(finish(again.RelocateVM_Task(wanted, "defaultPriority")).error, vim.fault.CannotAccessNetwork)


def nic_change(machine, network):
    card = next(d for d in machine.config.hardware.device if isinstance(d, vim.vm.device.VirtualEthernetCard))
    card.backing = vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName=network)
    return vim.vm.device.VirtualDeviceSpec(operation="edit", device=card)


def test_a_taken_name_is_duplicate_name(tmp_path):
    """A VM of the same name in the target folder forbids the move."""
    from wire.vcenter_lab import replace

    wanted = spec((vm("same"),))
    lab = Lab(tmp_path, replace(wanted, target=replace(wanted.target, vms=(vm("same", "b2"),))))
    try:
        sites = (lab.connect("source"), lab.connect("target"))
        _, task = start(lab, sites, "same")
        assert isinstance(finish(task).error, vim.fault.DuplicateName)
        for si in sites:
            disconnect(si)
    finally:
        lab.close()


def test_a_powered_off_vm_goes_by_nfc_and_a_connected_iso_is_refused(lab, sites):
    """It stays powered off; the ISO is not there at the target."""
    _, task = start(lab, sites, "cold")
    assert finish(task).error is None
    assert lab.control("target", "state")["vms"]["cold"]["power"] == "off"
    lab.control("source", "vm_device", vm="iso", iso="[datastore1] debian.iso")
    _, task = start(lab, sites, "iso")
    assert isinstance(finish(task).error, vim.fault.CannotAccessVmDevice)


def test_no_vmotion_vmknic_is_vmotion_not_configured(lab, sites):
    """Both hosts need one."""
    manager = named(sites[1], vim.HostSystem, "b2").configManager.virtualNicManager
    manager.DeselectVnicForNicType("vmotion", "vmk1")
    _, task = start(lab, sites, "stays", host_name="b2")
    assert isinstance(finish(task).error, vim.fault.VMotionNotConfigured)
    manager.SelectVnicForNicType("vmotion", "vmk1")


def test_a_host_carries_two_moves_and_the_third_waits(lab, sites):
    """Excess moves are queued, not failed; a second move of the same VM is TaskInProgress; cancel leaves it here."""
    tasks = [start(lab, sites, f"busy{n}", host_name=("b1", "b2")[n % 2])[1] for n in range(3)]
    wait_for(lambda: [t.info.state for t in tasks].count("running") == 2)
    assert sorted(t.info.state for t in tasks) == ["queued", "running", "running"]
    running = next(t for t in tasks if t.info.state == "running")
    with pytest.raises(vim.fault.TaskInProgress):
        start(lab, sites, running.info.entityName)
    running.CancelTask()
    cancelled = finish(running)
    assert isinstance(cancelled.error, vmodl.fault.RequestCanceled)
    assert cancelled.cancelled
    assert cancelled.entityName in names(sites[0])
    for task in tasks:
        if task is not running:
            assert finish(task).state == "success"
    with pytest.raises(vim.fault.InvalidState):
        running.CancelTask()


def test_the_task_outlives_its_client(lab, sites):
    """The session that started a move may end: the move does not."""
    client = lab.connect("source")
    task = named(client, vim.VirtualMachine, "late").RelocateVM_Task(relocate_spec(lab, sites[1]), "defaultPriority")
    moid = task._moId
    disconnect(client)
    wait_for(lambda: "late" in names(sites[1]))
    wait_for(lambda: vim.Task(moid, sites[0]._stub).info.state == "success")
    assert "late" not in names(sites[0])


def test_a_move_within_one_vcenter_changes_the_host_only(sites):
    """Shared storage: memory alone travels, the reference stays."""
    machine = named(sites[0], vim.VirtualMachine, "local")
    other = named(sites[0], vim.HostSystem, "a2")
    WaitForTask(machine.RelocateVM_Task(vim.vm.RelocateSpec(host=other), "defaultPriority"), sites[0])
    assert machine.runtime.host.name == "a2"
    assert machine in other.vm


def wait_for(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("helpers", [0, 5])
def test_streams_follow_the_option(lab, sites, helpers):
    """VMotionStreamHelpers is what the host opens: none means one."""
    om = named(sites[0], vim.HostSystem, "a1").configManager.advancedOption
    om.UpdateOptions([vim.option.OptionValue(key="Migrate.VMotionStreamHelpers", value=LONG(helpers))])
    _, task = start(lab, sites, f"streams{helpers}")
    peak = 0
    while task.info.state in {"queued", "running"}:
        with contextlib.suppress(LabError):  # not yet begun, or forgotten already
            peak = max(peak, hostd_progress(lab, task)["streams_peak"])
        time.sleep(0.01)
    assert task.info.error is None
    assert peak == max(helpers, 1)


def hostd_progress(lab, task):
    move = f"{lab.about('source')['instance_uuid'][:8]}-{task._moId}"
    return ask(lab.folder / "source" / "a1.sock", "progress", id=move)
