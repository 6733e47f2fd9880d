"""VirtualMachineProvisioningChecker: CheckRelocate_Task, the checks of a relocate without the move."""

# ruff: noqa: ANN401, N803 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyVmomi import vim, vmodl

from lrvmotion.lab.vcenter.arrival import fault_of
from lrvmotion.lab.vcenter.managed_object import ManagedObject
from lrvmotion.lab.vcenter.relocate import Job

if TYPE_CHECKING:
    from lrvmotion.lab.vcenter.vcenter import Call


class VirtualMachineProvisioningChecker(ManagedObject):
    """Runs the very checks that RelocateVM_Task runs."""

    wsdl = "VirtualMachineProvisioningChecker"
    __slots__ = ()

    def CheckRelocate_Task(self, call: Call, vm: Any, spec: Any, testType: list[str]) -> Any:
        """Return a task whose result holds one CheckResult; *testType* limits the tests."""
        item = self.vcenter.registry.get(vm)
        if spec.pool is None:
            raise vmodl.fault.InvalidArgument(
                invalidProperty="spec.pool", msg="A specified parameter was not correct: spec.pool"
            )
        job = Job(item, spec)
        host = spec.host

        def work(task: Any) -> Any:
            del task
            rule = self.vcenter.trouble.match("CheckRelocate_Task", {item.moid, item.name}, in_task=True)
            if rule is not None:
                self.vcenter.trouble.delay(rule)
                error = rule.error()
                if error is not None:
                    raise error
            job.connect()
            found = [p for p in job.problems() if not testType or p["test"] in testType]
            refuses = [fault_of(p) for p in found if not p.get("warns")]
            warns = [fault_of(p) for p in found if p.get("warns")]
            result = vim.vm.check.Result(vm=item.ref, host=host, error=refuses, warning=warns)
            return vim.vm.check.Result.Array([result])

        return self.vcenter.tasks.start(call, item, "vm.check.ProvisioningChecker.checkRelocate", work)
