"""Scripted trouble strikes exactly the calls it names, and the log of calls tells reads from writes."""

from __future__ import annotations

import time
from http.client import HTTPException

import pytest
from pyVim.task import WaitForTask
from pyVmomi import VmomiSupport, vim, vmodl

from wire.vcenter_lab import Lab, disconnect, named, objects, spec, vm

LONG = VmomiSupport.vmodlTypes["long"]
RATE = "Migrate.NetExpectedLineRateMBps"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    made = Lab(tmp_path_factory.mktemp("lab"), spec((vm("vm1"), vm("vm2"))), sites=("source",))
    yield made
    made.close()


@pytest.fixture
def si(lab):
    made = lab.connect("source")
    yield made
    lab.control("source", "fault_clear")
    disconnect(made)


def update(host, number):
    value = vim.option.OptionValue(key=RATE, value=LONG(number))
    host.configManager.advancedOption.UpdateOptions([value])


def rate(host):
    return host.configManager.advancedOption.QueryOptions(RATE)[0].value


def test_a_rule_fails_the_nth_call_with_its_message_key(lab, si):
    """skip lets calls pass, count limits the rule, the key travels in faultMessage."""
    lab.fault("source", method="QueryOptions", fault="vim.fault.Timedout", key="msg.migrate.fail.dst", skip=1, count=1)
    host = named(si, vim.HostSystem, "a1")
    rate(host)
    with pytest.raises(vim.fault.Timedout) as caught:
        rate(host)
    assert caught.value.faultMessage[0].key == "msg.migrate.fail.dst"
    rate(host)


def test_a_rule_for_one_object_spares_the_others(lab, si):
    """object is a name or a moId."""
    lab.fault("source", method="PowerOffVM_Task", object="vm2", fault="vmodl.fault.SystemError")
    first, second = (named(si, vim.VirtualMachine, name) for name in ("vm1", "vm2"))
    WaitForTask(first.PowerOffVM_Task(), si)
    with pytest.raises(vmodl.fault.SystemError):
        second.PowerOffVM_Task()
    WaitForTask(first.PowerOnVM_Task(None), si)


def test_a_dropped_call_has_no_effect_unless_only_the_reply_is_lost(lab, si):
    """drop closes the connection before the call, with after once it took effect."""
    host = named(si, vim.HostSystem, "a1")
    lab.fault("source", method="UpdateOptions", drop=True)
    with pytest.raises((HTTPException, OSError)):
        update(host, 500)
    assert rate(host) == 133
    lab.fault("source", method="UpdateOptions", drop=True, after=True)
    with pytest.raises((HTTPException, OSError)):
        update(host, 500)
    assert rate(host) == 500
    update(host, 133)


def test_a_delay_holds_up_one_call_and_nobody_else(lab, si):
    """While one call is late, another session works."""
    lab.fault("source", method="QueryOptions", delay_s=1.0)
    started = time.monotonic()
    rate(named(si, vim.HostSystem, "a1"))
    assert time.monotonic() - started >= 1.0


def test_a_fault_in_the_task_leaves_the_call_alone(lab, si):
    """in_task: the relocate is accepted and fails."""
    lab.fault("source", method="RelocateVM_Task", object="vm1", fault="vim.fault.MigrationFault", in_task=True)
    host = named(si, vim.HostSystem, "a2")
    task = named(si, vim.VirtualMachine, "vm1").RelocateVM_Task(vim.vm.RelocateSpec(host=host), "defaultPriority")
    with pytest.raises(vim.fault.MigrationFault):
        WaitForTask(task, si)
    assert named(si, vim.VirtualMachine, "vm1").runtime.host.name == "a1"


def test_only_changes_count_as_writes(lab, si):
    """A listing writes nothing; an option does."""
    lab.control("source", "calls_reset")
    objects(si, vim.VirtualMachine)
    assert lab.control("source", "calls")["writes"] == 0
    update(named(si, vim.HostSystem, "a1"), 133)
    answer = lab.control("source", "calls")
    assert (answer["writes"], answer["calls"]["UpdateOptions"]) == (1, 1)


def test_an_idle_session_expires(lab):
    """The time to live is the lab's to set."""
    lab.control("source", "sessions_expire", idle_s=0.2)
    si = lab.connect("source")
    time.sleep(0.4)
    with pytest.raises(vim.fault.NotAuthenticated):
        objects(si, vim.VirtualMachine)
    si._stub.DropConnections()
    lab.control("source", "sessions_expire", idle_s=1800)


def test_a_disconnected_host_refuses_and_comes_back(lab, si):
    """HostNotConnected for a write; ReconnectHost_Task brings it back."""
    host = named(si, vim.HostSystem, "a2")
    lab.control("source", "host_connection", host="a2", state="disconnected")
    with pytest.raises(vmodl.fault.HostNotConnected):
        update(host, 500)
    WaitForTask(host.ReconnectHost_Task(None, None), si)
    update(host, 133)


def test_a_removed_collector_filter_and_snapshot_are_seen(lab, si):
    """A snapshot that somebody takes shows in the tree and in the change version."""
    machine = named(si, vim.VirtualMachine, "vm2")
    before = machine.config.changeVersion
    assert machine.snapshot is None
    lab.control("source", "vm_snapshot", vm="vm2", name="before")
    assert [s.name for s in machine.snapshot.rootSnapshotList] == ["before"]
    assert machine.config.changeVersion != before
