"""Move VMs from one vCenter to another: start, follow on one long poll, cancel, verify at both."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Self, cast

from pyVmomi import vim, vmodl

from lrvmotion.checks import arrival as arrival_checks
from lrvmotion.checks import vms as vm_checks
from lrvmotion.errors import LrvmotionError, RefusedError, UnreachableError
from lrvmotion.events import Carried
from lrvmotion.findings import Finding
from lrvmotion.model.inventory import MoRef
from lrvmotion.model.target_id import TargetId
from lrvmotion.model.vm.vm_metadata import VmMetadata
from lrvmotion.plan.plan import Migration
from lrvmotion.ports.mover import Location, RecordWrite, TaskUpdate, TransientError
from lrvmotion.run.credentials import hidden
from lrvmotion.vsphere import faults, tasks
from lrvmotion.vsphere.client import WIRE_ERRORS, managed_object, moref, properties_of, required
from lrvmotion.vsphere.inventory import vms
from lrvmotion.vsphere.session import Session
from lrvmotion.vsphere.tasks import RecentTask
from lrvmotion.vsphere.vm import arrival
from lrvmotion.vsphere.vm.metadata_carry import MetadataWriter, unlooked
from lrvmotion.vsphere.vm.metadata_record import record as read_metadata
from lrvmotion.vsphere.vm.questions import Questions
from lrvmotion.vsphere.vm.relocate_spec import Backing, network_backings, relocate_spec
from lrvmotion.vsphere.vm.relocate_tasks import Follower, Job
from lrvmotion.vsphere.vm.storage_policies import Policies
from lrvmotion.vsphere.vm.tags import Tagging

SETTLE_S = 10.0  # how long both inventories may take to show a finished move


def locate(source: Session, target: Session, instance_uuid: str) -> Location:
    """Return where the VM with *instance_uuid* is now, by asking both vCenters."""
    at_source = find(source, instance_uuid) is not None
    at_target = find(target, instance_uuid) is not None
    if at_source:
        return "both" if at_target else "source"
    return "target" if at_target else "neither"


def find(session: Session, instance_uuid: str) -> vim.VirtualMachine | None:
    """Return the VM with *instance_uuid* in the vCenter of *session*, or None."""
    subject = f"{session.site}: VM {instance_uuid}"
    index = required(session.content.searchIndex)
    found = session.call(subject, lambda: index.FindByUuid(None, instance_uuid, True, True))
    return cast("vim.VirtualMachine | None", found)


class RelocateMover:
    """Relocates VMs from *source* to *target* (migrate.Mover). The tasks live in vCenter: they go on without us."""

    def __init__(self, source: Session, target: Session, guest_wait_s: float = 120.0) -> None:
        """*guest_wait_s*: how long VMware Tools may take to be back after a move."""
        self._source = source
        self._target = target
        self._source_tags = Tagging(source)
        self._target_tags = Tagging(target)
        self._source_policies = Policies(source)
        self._target_policies = Policies(target)
        self._had: dict[str, VmMetadata] = {}  # by instance uuid, from *record* to *carry*
        self._guests = arrival.Guests(target, guest_wait_s)
        self._questions = Questions(source)
        self._follower = Follower(source, lambda uuid: locate(source, target, uuid) == "target")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening; running tasks go on."""
        self._follower.close()
        self._source_tags.close()
        self._target_tags.close()
        self._source_policies.close()
        self._target_policies.close()

    def recheck(self, migration: Migration) -> list[str]:
        """Return why the VM may not be moved now: it or a host is not as planned; raises LrvmotionError."""
        return [*self._vm_changed(migration), *self._host_changed(self._target, migration.placement.host.ref)]

    def locate(self, migration: Migration) -> Location:
        """Return where the VM is now, by asking both vCenters."""
        return locate(self._source, self._target, migration.instance_uuid)

    def unfinished(self, migration: Migration) -> str | None:
        """Return the id of a relocate task of the VM that has not ended, None where there is none or no such VM."""
        vm = find(self._source, migration.instance_uuid)
        found = [] if vm is None else self._relocates(f"vm/{migration.vm}", vm)
        return next((moref(one.task).value for one in found if one.live), None)

    def follow(self, migration: Migration, task: str) -> None:
        """Tell the updates of a *task* that an earlier process started."""
        found = managed_object(self._source.stub, MoRef("Task", task))
        self._questions.expect(migration.vm, migration.ref)
        self._follower.add(Job(migration.vm, migration.instance_uuid, found))

    def start(self, migration: Migration) -> str:
        """Start the relocate and return its task's id; raises what migrate.Mover says."""
        subject = f"vm/{migration.vm}"
        vm = managed_object(self._source.stub, migration.ref)
        backings = network_backings(self._target, migration)
        paths = ("config.hardware.device", "recentTask")
        row = self._source.call(subject, lambda: properties_of(self._source.content, vm, paths))
        before = {moref(task) for task in row.get("recentTask") or ()}
        devices = row.get("config.hardware.device") or ()
        task = self._submit(subject, vm, migration, devices, backings, before)
        self._questions.expect(migration.vm, migration.ref)
        self._follower.add(Job(migration.vm, migration.instance_uuid, task))
        return moref(task).value

    def updates(self, timeout_s: float) -> list[TaskUpdate]:
        """Wait up to *timeout_s* for news of any started task, or of what its VM waits to be answered.

        Raises what Follower.updates raises.
        """
        news = self._follower.updates(timeout_s)
        return [*news, *self._questions.news(self._follower.vms)]

    def cancel(self, vm: str) -> None:
        """Ask for the VM's task to be cancelled; what comes of it shows in its updates."""
        task = self._follower.task_of(vm)
        if task is not None:
            # Where it no longer can be, or not by us, it goes on, and its updates say how it ends.
            with suppress(LrvmotionError):
                tasks.cancel(self._source, f"vm/{vm}", task)

    def verify(self, migration: Migration, before: VmMetadata | None = None) -> list[Finding]:
        """Return what is wrong with a VM after its task succeeded: it must be at the target, once, and as it was.

        *before* is what *record* returned; without it, what *record* found in this process. Guests that are not
        back yet are told by *late*.
        """
        until = time.monotonic() + SETTLE_S
        while (where := locate(self._source, self._target, migration.instance_uuid)) != "target":
            if time.monotonic() > until:
                return [arrival_checks.lost(migration.vm, where)]
            time.sleep(1.0)
        vm = find(self._target, migration.instance_uuid)
        if vm is None:
            return [arrival_checks.lost(migration.vm, "neither")]
        had = before or self._had.get(migration.instance_uuid)
        if had is not None:
            self._guests.expect(vm, migration, had)
        seen = arrival.look(self._target, vm, migration.vm)
        found = arrival_checks.as_planned(migration.vm, migration.power_state, migration.placement, seen)
        if had is None:
            return list(found)
        macs = arrival_checks.same_macs(migration.vm, had.macs, seen)
        return [*found, *macs, *arrival_checks.same_links(migration.vm, migration.power_state, had, seen)]

    def leftovers(self, migration: Migration) -> list[Finding]:
        """Return what a failed move left at the target: a VM of its name, in its folder, where the plan found none.

        The name is the one that the source shows now, in vCenter's own spelling: a run may call the VM otherwise.
        """
        folder, index = migration.placement.folder, required(self._target.content.searchIndex)
        there, subject = managed_object(self._target.stub, folder.ref), f"vm/{migration.vm}"
        vm = managed_object(self._source.stub, migration.ref)
        name = self._source.call(subject, lambda: properties_of(self._source.content, vm, ["name"]))["name"]
        found = self._target.call(subject, lambda: index.FindChild(there, name))
        if not isinstance(found, vim.VirtualMachine):
            return []
        return [arrival_checks.half_made(migration.vm, moref(found).value, folder.path)]

    def late(self) -> list[Finding]:
        """Return a warning for each moved VM whose VMware Tools did not come back in time; raises LrvmotionError."""
        return [arrival_checks.late(guest) for guest in self._guests.late()]

    @property
    def awaited(self) -> int:
        """How many moved VMs have guests that are not back yet, and are still in time."""
        return len(self._guests)

    def record(self, migration: Migration) -> VmMetadata:
        """Return what does not follow the VM by itself, and how it is, read at the source before its move.

        What cannot be read is named in it; raises LrvmotionError where nothing can.
        """
        had = read_metadata(self._source, self._source_tags, self._source_policies, migration)
        self._had[migration.instance_uuid] = had
        return had

    def carry(self, migration: Migration, metadata: VmMetadata | None, record: RecordWrite) -> list[Carried]:
        """Give the moved VM its *metadata*, and return what became of each thing, read back; None: nothing to give.

        *record* is told of each write before it is made; where it raises, nothing is written.
        """
        if metadata is None:
            return []
        known = self._had.pop(migration.instance_uuid, None)
        vm = find(self._target, migration.instance_uuid)
        if vm is None:
            message = f"vm/{migration.vm}: it is not at the target"
            raise RefusedError(message, hint="look where it is, then give it what it lacks")
        if known is None:  # resumed: what an earlier process recorded was not known to *verify*
            self._guests.expect(vm, migration, metadata)
        looked = MetadataWriter(self._target, migration, vm, record, self._target_tags, self._target_policies).all(
            metadata
        )
        return [*looked, *(unlooked(migration, item) for item in metadata.unread)]

    def _vm_changed(self, migration: Migration) -> list[str]:
        vm = managed_object(self._source.stub, migration.ref)
        paths = (
            "runtime.host", "runtime.powerState", "runtime.connectionState", "runtime.question", "snapshot",
            "config.instanceUuid",
        )  # fmt: skip
        row = self._source.call(f"vm/{migration.vm}", lambda: properties_of(self._source.content, vm, paths))
        reasons = []
        if row.get("config.instanceUuid") != migration.instance_uuid:
            reasons.append(f"{migration.ref.value} is another VM now")
        power = str(row.get("runtime.powerState"))
        if power != migration.power_state:
            reasons.append(f"the VM is {power}, and was {migration.power_state} when planned")
        snapshots = vms.count_snapshots(row.get("snapshot"))
        if snapshots != migration.snapshots:
            reasons.append(f"the VM has {snapshots} snapshots, and had {migration.snapshots} when planned")
        if str(row.get("runtime.connectionState")) != "connected":
            reasons.append(f"the VM is {row.get('runtime.connectionState')}")
        if asked := vms.question(row.get("runtime.question")):
            reasons.append(f"the VM {vm_checks.waits(asked)}")
        if find(self._target, migration.instance_uuid) is not None:
            reasons.append("the target already has a VM of this instance UUID")
        host = row.get("runtime.host")
        if host is None:
            return [*reasons, "the VM is on no host"]
        return [*reasons, *self._host_changed(self._source, moref(host), migration.source_host)]

    def _host_changed(self, session: Session, ref: MoRef, name: str | None = None) -> list[str]:
        host = managed_object(session.stub, ref)
        paths = ("name", "runtime.connectionState", "runtime.inMaintenanceMode")
        row = session.call(f"{session.site} host {ref.value}", lambda: properties_of(session.content, host, paths))
        reasons = []
        if name is not None and row.get("name") != name:
            reasons.append(f"the VM is on {row.get('name')}, and was on {name} when planned")
        state = str(row.get("runtime.connectionState"))
        there = TargetId.host(session.site, str(row.get("name")))
        if state != "connected":
            reasons.append(f"{there} is {state}")
        if row.get("runtime.inMaintenanceMode"):
            reasons.append(f"{there} is in maintenance mode")
        return reasons

    def _submit(
        self,
        subject: str,
        vm: vim.VirtualMachine,
        migration: Migration,
        devices: Sequence[vim.vm.device.VirtualDevice],
        backings: dict[int, Backing],
        before: set[MoRef],
    ) -> vim.Task:
        """Start the task. Where the answer was lost, look whether the task exists before starting it again."""
        priority = vim.VirtualMachine.MovePriority.highPriority
        again = True
        while True:
            logins = self._source.logins
            try:
                with relocate_spec(self._source, self._target, migration, devices, backings) as spec:
                    return cast("vim.Task", vm.RelocateVM_Task(spec, priority))
            except vim.fault.NotAuthenticated:
                self._source.renew(logins)
                if (task := self._started(subject, vm, before)) is not None:
                    return task
                if not again:
                    message = f"{subject}: the source vCenter ended our session twice"
                    raise UnreachableError(message) from None
                again = False
            except vmodl.MethodFault as fault:
                verdict = faults.classify(fault)
                refused = TransientError if verdict.verdict == "retry" else RefusedError
                raise refused(f"{subject}: {verdict.cause}", hint=verdict.hint) from None  # noqa: EM102
            except WIRE_ERRORS as error:
                if (task := self._started(subject, vm, before)) is not None:
                    return task
                message = f"{subject}: the relocate did not start: {hidden(str(error)) or type(error).__name__}"
                raise UnreachableError(message) from None

    def _started(self, subject: str, vm: vim.VirtualMachine, before: set[MoRef]) -> vim.Task | None:
        """Return the relocate task of *vm* that was not there *before*, or None."""
        return next((one.task for one in self._relocates(subject, vm) if moref(one.task) not in before), None)

    def _relocates(self, subject: str, vm: vim.VirtualMachine) -> list[RecentTask]:
        """Return the recent relocate tasks of *vm*."""
        content = self._source.content
        row = self._source.call(subject, lambda: properties_of(content, vm, ["recentTask"]))
        found = self._source.call(subject, lambda: tasks.read(self._source, row.get("recentTask") or ()))
        return [one for one in found if "relocate" in one.description_id]
