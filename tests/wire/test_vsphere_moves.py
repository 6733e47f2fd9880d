"""Moving a VM from one vCenter to the other: start, follow, cancel, verify; what goes wrong is said, never guessed."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace

import pytest

from lrvmotion.config.schema import Config
from lrvmotion.errors import LrvmotionError, RefusedError
from lrvmotion.lab.spec import MIB, VmSpec
from lrvmotion.plan.placer import Placer
from lrvmotion.plan.plan import Migration
from lrvmotion.vsphere.host.esxcli import connections
from lrvmotion.vsphere.inventory.collect import collect_vms
from lrvmotion.vsphere.vm.relocate import RelocateMover, locate
from lrvmotion.vsphere.vm.relocate_tasks import GATHER_S
from wire.no_net_lab import no_net_lab

BIG = 4096 * MIB


def machines(spec):
    small = [
        VmSpec(name=f"vm{number}", host="esx-a1", memory_bytes=16 * MIB, disk_bytes=16 * MIB) for number in range(1, 7)
    ]
    big = VmSpec(name="big", host="esx-a2", memory_bytes=BIG, disk_bytes=BIG)
    return replace(spec, source=replace(spec.source, vms=(*small, big)))


@pytest.fixture(scope="module")
def lab():
    with no_net_lab(machines) as running:
        yield running


@pytest.fixture
def mover(lab):
    with RelocateMover(lab.source, lab.target) as moving:
        yield moving


def planned(lab, name: str) -> Migration:
    """Return the move of *name* as a plan would hold it."""
    source, target = lab.inventory("source"), lab.inventory("target")
    source = collect_vms(lab.source, source, [dict(source.vm_names)[name]])
    vm = source.vms[0]
    config = Config.model_validate(
        {
            "source": {"vcenter": "a", "username": "u", "sha256": "ab" * 32},
            "target": {"vcenter": "b", "username": "u", "sha256": "ab" * 32},
        }
    )
    placement, found = Placer(config, source, target).place(vm)
    assert placement is not None, found
    return Migration(
        vm=name, ref=vm.ref, instance_uuid=vm.instance_uuid, source_host=source.host_by_ref(vm.host).name,
        placement=placement, hot_bytes=0, cold_bytes=0, power_state=vm.power_state, snapshots=vm.snapshots,
    )  # fmt: skip


def followed(mover, seconds: float = 60) -> list:
    """Return all updates up to the first that ends."""
    updates = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        updates += mover.updates(1.0)
        if updates and updates[-1].state in {"success", "error"}:
            return updates
    raise AssertionError(updates)


def test_a_vm_arrives_once_and_as_it_was(lab, mover):
    """Progress never falls; afterwards the target has the VM and the source has not."""
    migration = planned(lab, "vm1")
    assert mover.recheck(migration) == []
    assert mover.start(migration).startswith("task")
    updates = followed(mover)
    assert updates[-1].state == "success", updates[-1]
    percents = [update.percent for update in updates]
    assert percents == sorted(percents)
    assert mover.verify(migration) == []
    assert locate(lab.source, lab.target, migration.instance_uuid) == "target"
    assert "vm1" in dict(lab.inventory("target").vm_names)
    with pytest.raises(RefusedError, match="no longer exists"):
        mover.recheck(migration)


def test_several_moves_are_followed_on_one_poll(lab, mover):
    """Two tasks, one waiting call at a time, two ends."""
    migrations = [planned(lab, name) for name in ("vm2", "vm3")]
    for migration in migrations:
        mover.start(migration)
    ended: set[str] = set()
    while len(ended) < 2:
        ended |= {update.vm for update in followed(mover) if update.state == "success"}
    assert ended == {"vm2", "vm3"}


def test_progress_gathers_and_costs_two_questions_a_second_at_most(lab, mover):
    """However much moves: one question is out at a time, and the next comes half a second later at the soonest."""
    lab.control("source", "calls_reset")
    mover.start(planned(lab, "big"))
    begun, percents = time.monotonic(), []
    while time.monotonic() - begun < 2.0:
        percents += [update.percent for update in mover.updates(1.0)]
    seconds = time.monotonic() - begun
    counted = lab.control("source", "calls")
    assert len(set(percents)) > 2, percents
    assert counted["calls"]["WaitForUpdatesEx"] <= seconds / GATHER_S + 2
    assert counted["most_waiting"] == 1
    mover.cancel("big")
    assert followed(mover)[-1].cancelled


def test_a_cancelled_move_stays_at_the_source(lab, mover):
    """While it runs the host is busy and names it; cancelled, it says so and the VM has not moved."""
    migration = planned(lab, "big")
    host = lab.host("source", "esx-a2")
    task = mover.start(migration)
    until = time.monotonic() + 20
    while not any(update.percent > 0 for update in mover.updates(1.0)) and time.monotonic() < until:
        pass
    assert any("big" in phrase and task in phrase for phrase in host.busy())
    mover.cancel("big")
    last = followed(mover)[-1]
    assert (last.state, last.cancelled, last.fault) == ("error", True, "RequestCanceled")
    assert locate(lab.source, lab.target, migration.instance_uuid) == "source"
    assert host.busy() == []
    mover.cancel("big")  # harmless


def test_a_fault_in_the_task_is_told_with_class_and_hint(lab, mover):
    """The fault's own words, a stable class name, and what to do."""
    lab.fault("source", method="RelocateVM_Task", fault="vim.fault.NoDiskSpace", message="No space", in_task=True)
    mover.start(planned(lab, "vm4"))
    last = followed(mover)[-1]
    assert (last.state, last.fault, last.cancelled) == ("error", "NoDiskSpace", False)
    assert "No space" in (last.reason or "")
    assert "free space" in (last.hint or "")


def test_a_fault_at_the_call_is_an_error_at_once(lab, mover):
    """Which of the two ways a vCenter takes is not known: both are handled."""
    lab.fault("source", method="RelocateVM_Task", fault="vim.fault.MigrationDisabled")
    with pytest.raises(LrvmotionError, match="MigrationDisabled") as caught:
        mover.start(planned(lab, "vm4"))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("at_call", [False, True])
@pytest.mark.parametrize("wrong", ["password", "thumbprint"])
def test_the_target_refuses_what_it_is_shown(lab, wrong, at_call):
    """A wrong password or certificate for the target is told, never tried again, and never with the password."""
    passwords = iter(["target-secret"])
    lab.control("source", "relocate_faults", at_call=at_call)
    with closing(lab.open("target", lambda: next(passwords, "hunter2"))) as target:
        if wrong == "thumbprint":
            passwords = iter(["target-secret"])
            target.thumbprint = "AB:" * 19 + "AB"
        with RelocateMover(lab.source, target) as mover:
            try:
                mover.start(planned(lab, "vm6"))
                last = followed(mover)[-1]
                said = f"{last.state} {last.reason} {last.hint}"
            except LrvmotionError as error:
                said = f"error {error.message} {error.hint}"
    lab.control("source", "relocate_faults", at_call=False)
    assert said.startswith("error")
    assert {"password": "InvalidLogin", "thumbprint": "SSLVerifyFault"}[wrong] in said
    assert "hunter2" not in said
    assert "target-secret" not in said


def test_an_answer_that_was_lost_does_not_start_the_move_twice(lab, mover):
    """The task exists though the connection broke: it is found and followed."""
    lab.fault("source", method="RelocateVM_Task", drop=True, after=True)
    migration = planned(lab, "vm4")
    mover.start(migration)
    assert followed(mover)[-1].state == "success"
    assert mover.verify(migration) == []


def test_a_session_that_expires_during_a_move_loses_nothing(lab, mover):
    """The task lives in vCenter: after a new login it is followed to its end."""
    mover.start(planned(lab, "vm5"))
    lab.control("source", "sessions_expire")
    assert followed(mover)[-1].state == "success"


def test_a_vm_that_changed_since_the_plan_is_held(lab, mover):
    """Another power state, another number of snapshots or another host is a reason, in words."""
    migration = planned(lab, "vm6")
    reasons = mover.recheck(replace(migration, power_state="poweredOff", snapshots=3, source_host="esx-a9"))
    assert [word for word in ("poweredOff", "snapshots", "esx-a9") if not any(word in r for r in reasons)] == []


def test_a_relocate_may_wait_in_the_queue_and_be_prepared_before_its_first_byte(lab, mover):
    """Queued, then running at nothing, then connections to the target's vMotion, which esxcli lists, then progress."""
    lab.control("source", "relocate_pace", vm="vm6", queued_s=1.0, prepare_s=1.0)
    migration = planned(lab, "vm6")
    host = lab.inventory("source").host("esx-a1")

    def carried():
        return {pair for pair in connections(lab.source, host.ref, "defaultTcpipStack") if pair[1].endswith(":8000")}

    mover.start(migration)
    seen = []
    until = time.monotonic() + 60
    while not seen or seen[-1][0] not in {"success", "error"}:
        assert time.monotonic() < until
        open_ = carried()
        seen += [(update.state, update.percent, bool(open_)) for update in mover.updates(0.1)]
    assert seen[0] == ("queued", 0, False)
    assert ("running", 0, False) in seen
    assert seen[-1][:2] == ("success", 100)
    assert connections(lab.source, host.ref, "vmotion") == frozenset()
