"""What the VMs that move wait to be answered (VirtualMachineRuntimeInfo.question), asked for all of them together."""

from __future__ import annotations

import time
from collections.abc import Collection

from pyVmomi import vim

from lrvmotion.errors import LrvmotionError, RefusedError
from lrvmotion.model.inventory import MoRef
from lrvmotion.ports.mover import TaskUpdate
from lrvmotion.vsphere.client import managed_object, moref, retrieve
from lrvmotion.vsphere.inventory.vms import question
from lrvmotion.vsphere.session import Session

LOOK_S = 10.0  # between two looks
_PATHS = ("runtime.question",)


class Questions:
    """The questions of moving VMs; a task with one neither ends nor fails until somebody answers."""

    def __init__(self, source: Session) -> None:
        self._source = source
        self._vms: dict[str, MoRef] = {}
        self._asked: dict[str, str] = {}
        self._looked = 0.0

    def expect(self, vm: str, ref: MoRef) -> None:
        """Look at *vm* from now on, while it moves."""
        self._vms[vm] = ref

    def news(self, moving: Collection[str]) -> list[TaskUpdate]:
        """Return what became of the questions of the VMs *moving*; one call for all, every LOOK_S at most.

        A vCenter that does not answer has no news: that it is away is told by whoever follows the tasks.
        """
        now = time.monotonic()
        self._asked = {vm: text for vm, text in self._asked.items() if vm in moving}
        refs = {self._vms[vm]: vm for vm in moving if vm in self._vms}
        if not refs or now < self._looked + LOOK_S:
            return []
        self._looked = now
        try:
            found = self._read(list(refs))
        except LrvmotionError:
            return []
        news = [
            TaskUpdate(vm=refs[ref], state="running", question=text)
            for ref, text in found.items()
            if text != self._asked.get(refs[ref], "")
        ]
        self._asked |= {update.vm: update.question or "" for update in news}
        return news

    def _read(self, refs: list[MoRef]) -> dict[MoRef, str]:
        """Return what the VMs *refs* ask, "" for nothing; where one of them has gone, the others one by one."""
        content, vms = self._source.content, [managed_object(self._source.stub, ref) for ref in refs]
        try:
            rows = self._source.call(
                f"{self._source.site}: questions", lambda: retrieve(content, {vim.VirtualMachine: _PATHS}, vms)
            )
        except RefusedError:
            return {key: text for ref in refs for key, text in self._read([ref]).items()} if len(refs) > 1 else {}
        return {moref(vm): question(row.get("runtime.question")) for vm, row in rows}
