"""RelocateVM_Task: the move of a VM, within this vCenter or to another one."""

# ruff: noqa: ANN401 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyVmomi import vim, vmodl

from lrvmotion.lab.vcenter import arrival, carriage, peer, vm_traits
from lrvmotion.lab.vcenter.arrival import Problem, fault_of, networks_of, problem
from lrvmotion.lab.vcenter.host_state import COST
from lrvmotion.lab.vcenter.hostd_client import HostdError

if TYPE_CHECKING:
    from lrvmotion.lab.vcenter.task import Task
    from lrvmotion.lab.vcenter.vcenter import Call

_POLL_S = 0.1


class Job:
    """One relocate: what was asked (*spec*), what it means (*demand*), where it goes (*control*: another vCenter)."""

    def __init__(self, vm: Any, spec: Any) -> None:
        self.vm = vm
        self.vcenter = vm.vcenter
        self.spec = spec
        self.control: Path | None = None
        self.source = vm.host
        self.remote = spec.service is not None
        if self.remote:
            for name in ("pool", "host", "datastore"):
                if getattr(spec, name) is None:
                    raise _wrong(name=f"spec.{name}")
        self.demand = self._demand()
        across = self.demand["host"] != self.source.moid or self.remote
        self.moves_memory = vm.powered_on and across
        self.demand["uses_vmotion"] = self.moves_memory
        # Within one vCenter cold data is not carried: the storages of all hosts are one there.
        self.demand["uses_nfc"] = self.remote and (not vm.powered_on or bool(vm.snapshots) or bool(vm.traits.below))
        # 4 of 8 for storage that is not shared, 1 for memory alone (vsphere.md 5)
        self.cost = 4 if self.demand["copies_disk"] else 1

    def _demand(self) -> dict[str, Any]:
        spec, vm = self.spec, self.vm

        def moid(reference: Any, default: Any) -> str:
            return str(reference._moId) if reference is not None else default  # noqa: SLF001

        store = moid(spec.datastore, vm.datastore.moid)
        disks = self._disks(moved=spec.datastore is not None)
        return {
            "name": vm.name,
            "host": moid(spec.host, vm.host.moid),
            "pool": moid(spec.pool, vm.pool.moid),
            "folder": moid(spec.folder, None if self.remote else vm.parent.moid),
            "datastore": store,
            "disks_at": disks,
            "needed": self._needed(store, disks),
            "version": vm.traits.version,
            "evc": vm.traits.evc,
            "disks": vm.traits.disks,
            "key_provider": vm.traits.key_provider,
            "migrate_encryption": vm.traits.migrate_encryption,
            "ha": self.source.parent.ha,
            "copies_disk": self.remote or store != vm.datastore.moid or disks != vm.apart(),
            "arrives": self.remote,
            "networks": self._networks(),
        }

    def _disks(self, *, moved: bool) -> dict[str, str]:
        """Return the datastores of disks that have another than the home, by their keys.

        Without a locator a disk goes with the home, where that is *moved* (yavi vim.vm.RelocateSpec.datastore).
        """
        known = self.vm.sizes()
        found = {} if moved else self.vm.apart()
        for locator in self.spec.disk or ():
            if str(locator.diskId) not in known:
                raise _wrong(name="spec.disk.diskId")
            found[str(locator.diskId)] = str(locator.datastore._moId)  # noqa: SLF001
        return found

    def _needed(self, home: str, disks: dict[str, str]) -> dict[str, int]:
        """Return the bytes needed on each datastore: each disk's on its own, all else at *home*."""
        vm = self.vm
        swap = max(0, vm.memory_bytes - vm.traits.reserved_bytes) if vm.powered_on else 0
        sizes = vm.sizes()
        needed = {home: max(0, vm.chain_bytes - sum(sizes.values())) + swap}
        for key, size in sizes.items():
            at = disks.get(key, home)
            needed[at] = needed.get(at, 0) + size
        return needed

    def _networks(self) -> dict[str, dict[str, Any]]:
        """Return the network that each of the VM's cards is to be on, by its key."""
        card = vim.vm.device.VirtualEthernetCard
        # unconfirmed: without a deviceChange the network of the same name is taken
        found: dict[str, dict[str, Any]] = {str(key): {"name": name} for key, name in self.vm.cards().items()}
        for change in self.spec.deviceChange or ():
            if str(change.device.key) not in found or not isinstance(change.device, card):
                continue  # only ethernet cards are honoured, the rest is ignored (vsphere.md 3.1)
            if change.operation != "edit":
                raise _wrong(name="spec.deviceChange.operation")
            found[str(change.device.key)] = _backing(change.device.backing)
        return found

    def connect(self) -> None:
        """Verify the other vCenter and log in there; its faults."""
        if self.remote and self.control is None:
            control = peer.verify(self.spec.service, self.vcenter.lab)
            if control == self.vcenter.folder / "control.sock":
                raise _wrong(name="spec.service.instanceUuid")
            self.control = control

    def problems(self) -> list[Problem]:
        """Return everything that forbids the move, here and there."""
        return self._source_problems() + self._ask("relocate_check", demand=self.demand)["problems"]

    def _source_problems(self) -> list[Problem]:
        vm, host = self.vm, self.source
        found = []
        if host.connection != "connected":
            text = "The host is not connected."
            found.append(problem("sourceTests", "vmodl.fault.HostNotConnected", text))
        elif self.moves_memory and not host.network.vmotion():
            text = f"The vMotion interface of the source host '{host.name}' is not configured."
            found.append(problem("sourceTests", "vim.fault.VMotionNotConfigured", text))
        if self.remote:
            found += [problem("sourceTests", kind, text, **more) for kind, text, more in vm_traits.refusals(vm)]
        if self.remote and vm.iso:
            found.append(
                problem(
                    "sourceTests", "vim.fault.CannotAccessVmDevice",
                    f"CD/DVD drive 1 uses backing '{vm.iso}', which is not accessible.",
                    device="CD/DVD drive 1", backing=vm.iso, connected=True,
                )
            )  # fmt: skip
        return found

    def _ask(self, op: str, **request: Any) -> dict[str, Any]:
        if self.control is None:
            answer = arrival.answer(self.vcenter, op, request)
        else:
            try:
                answer = peer.ask(self.control, op=op, **request)
            except (OSError, ValueError) as error:
                raise vim.fault.HostConnectFault(msg=f"The other vCenter: {error}") from error
        if "error" in answer:
            raise vmodl.fault.SystemError(reason=answer["error"], msg=answer["error"])
        result: dict[str, Any] = answer["ok"]
        return result

    def refuse(self) -> None:
        """Raise the first of *problems* as its fault."""
        self.connect()
        found = [item for item in self.problems() if not item.get("warns")]
        if found:
            raise fault_of(found[0])

    def run(self, task: Task) -> None:
        """Do the move; the VM stays at the source unless everything succeeds."""
        vcenter = self.vcenter
        try:
            rule = vcenter.trouble.match("RelocateVM_Task", {self.vm.moid, self.vm.name}, in_task=True)
            if rule is not None:
                vcenter.trouble.delay(rule)
                error = rule.error()
                if error is not None:
                    raise error
            self.refuse()
            move = f"{vcenter.instance_uuid[:8]}-{task.moid}"
            prepared = self._reserve(task, move)
            task.hosts = [self.source.name, prepared["host"]]
            task.datastores = [[store.name for store in self.vm.stores()], prepared["datastores"]]
            try:
                queued_s, prepare_s = vcenter.paces.get(self.vm.name) or vcenter.paces.get("", (0.0, 0.0))
                self._wait(task, queued_s)
                task.begin()
                self.refuse()  # the queue may have been long
                self._wait(task, prepare_s)
                if self.vm.traits.breaks and self.remote:
                    self._ask("relocate_break", demand=self.demand)
                    why = "the connection was lost"
                    raise carriage.failed(why)
                if self.demand["uses_vmotion"] or self.demand["uses_nfc"]:
                    self._carry(task, move, prepared)
                task.report(task.progress or 0, cancelable=False)
                self._arrive()
            finally:
                self._free(move)
        finally:
            with vcenter.lock:
                self.vm.relocating = None

    def _wait(self, task: Task, seconds: float) -> None:
        """Return after *seconds*, and not while the VM waits for an answer; raise RequestCanceled where cancelled.

        Unconfirmed: that a cancelled task ends while its VM waits for an answer.
        """
        until = time.monotonic() + seconds
        while (asks := bool(self.vm.traits.question)) or time.monotonic() < until:
            if not (asks and self.vm.traits.deaf):
                task.check_cancelled()
            time.sleep(min(_POLL_S, max(until - time.monotonic(), 0) or _POLL_S))

    def _reserve(self, task: Task, move: str) -> dict[str, Any]:
        """Wait, queued, until both hosts have room; all or nothing, so opposite moves never wait for each other."""
        local_same = not self.remote and self.demand["host"] == self.source.moid
        while True:
            task.check_cancelled()
            with self.vcenter.registry.changed:
                if self.source.cost + self.cost > COST:
                    self.vcenter.registry.changed.wait(1)
                    continue
                if not local_same:
                    self.source.cost += self.cost
            answer = self._ask_or_undo(move, undo=not local_same)
            if not answer.get("busy"):
                return answer
            time.sleep(_POLL_S)

    def _ask_or_undo(self, move: str, *, undo: bool) -> dict[str, Any]:
        answer: dict[str, Any] = {"busy": True}
        try:
            answer = self._ask("relocate_prepare", demand=self.demand, move=move, cost=self.cost)
            if "failed" in answer:
                raise vmodl.fault.HostCommunication(msg=answer["failed"])
        finally:
            if undo and (answer.get("busy") or "failed" in answer):
                self._give_back()
        return answer

    def _give_back(self) -> None:
        with self.vcenter.registry.changed:
            self.source.cost -= self.cost
            self.vcenter.registry.changed.notify_all()

    def _free(self, move: str) -> None:
        if self.remote or self.demand["host"] != self.source.moid:
            self._give_back()
        parts = {move: self.moves_memory, carriage.name(move): self.demand["uses_nfc"]}
        for part in [part for part, used in parts.items() if used]:
            with contextlib.suppress(HostdError):  # the host is gone, and its record with it; or it never began
                self.source.hostd.call("forget", id=part)
        # a vCenter that has gone has nothing reserved: whether the VM arrived was decided before
        with contextlib.suppress(vmodl.MethodFault):
            self._ask("relocate_release", demand=self.demand, move=move, cost=self.cost)

    def _carry(self, task: Task, move: str, prepared: dict[str, Any]) -> None:
        with self.vcenter.lock:
            carried = carriage.load(self.vm, memory=self.moves_memory, disks=self.demand["copies_disk"])
        if self.demand["uses_nfc"]:
            carriage.by_nfc(task, self.source, move, prepared["nfc"], carried)
        if self.moves_memory:
            carriage.by_vmotion(task, self.source, self.vm, move, prepared["addresses"], carried)

    def _leaving(self, *, now: bool) -> None:
        with self.vcenter.lock:
            self.vm.leaving = now
            self.vm.touch()

    def _arrive(self) -> None:
        vcenter = self.vcenter
        if self.remote:
            with vcenter.lock:
                document = self.vm.document()
            self._leaving(now=True)
            try:
                self._ask("relocate_commit", demand=self.demand, document=document)
            except BaseException:
                self._leaving(now=False)
                raise
            with vcenter.lock:
                self.vm.delete()
            return
        with vcenter.lock:
            registry = vcenter.registry
            host: Any = registry.find(self.demand["host"])
            folder: Any = registry.find(self.demand["folder"])
            if folder is not self.vm.parent:
                self.vm.parent.drop(self.vm)
                folder.put(self.vm)
            store = registry.find(self.demand["datastore"])
            self.vm.arrive(host, store, networks_of(host, self.demand), disks=self.demand["disks_at"])
            self.vm.changed()


def start(call: Call | None, vm: Any, spec: Any) -> Any:
    """Start the relocate of *vm*; TaskInProgress where one runs, InvalidArgument for an incomplete spec.

    Which faults of the other vCenter appear at the call and which in the task is not known (vsphere.md 4): in the task,
    unless the lab was told `faults_at_call`.
    """
    vcenter = vm.vcenter
    with vcenter.lock:
        job = Job(vm, spec)
    if vcenter.faults_at_call:
        job.refuse()
    with vcenter.lock:
        if vm.relocating is not None:
            raise vim.fault.TaskInProgress(task=vm.relocating.ref, msg="The operation is not allowed now.")
        vm.relocating = vcenter.tasks.start(call, vm, "VirtualMachine.relocate", job.run, cancelable=True, queue=True)
        vm.relocating.hosts = [vm.host.name]
        return vm.relocating


def _backing(backing: Any) -> dict[str, Any]:
    """Return the network that the *backing* of a card means, as JSON."""
    card = vim.vm.device.VirtualEthernetCard
    if isinstance(backing, card.NetworkBackingInfo):
        return {"name": backing.deviceName, "kind": "Network"}
    if isinstance(backing, card.DistributedVirtualPortBackingInfo):
        port = backing.port
        return {"name": port.portgroupKey, "key": port.portgroupKey, "switch": port.switchUuid}
    if isinstance(backing, card.OpaqueNetworkBackingInfo):
        return {"name": backing.opaqueNetworkId, "opaque": backing.opaqueNetworkId}
    raise vmodl.fault.NotSupported(msg="This network backing is not simulated")


def _wrong(name: str) -> Any:
    return vmodl.fault.InvalidArgument(invalidProperty=name, msg=f"A specified parameter was not correct: {name}")
