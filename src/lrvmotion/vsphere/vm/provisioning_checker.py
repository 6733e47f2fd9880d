"""CheckRelocate_Task: ask a vCenter what it says of a relocate that is not made."""

from __future__ import annotations

from pyVmomi import vim, vmodl

from lrvmotion.vsphere.client import required
from lrvmotion.vsphere.session import Session

WAIT_S = 60.0  # for the tasks of it


def ask(session: Session, vm: vim.VirtualMachine, spec: vim.vm.RelocateSpec) -> vim.Task | vmodl.MethodFault:
    """Return the task that checks a relocate of *vm* by all tests, or the fault with which the call was refused.

    Raises NotAuthenticated, so that `Session.call` logs in again.
    """
    try:
        return required(session.content.vmProvisioningChecker).CheckRelocate(vm, spec, [])
    except vim.fault.NotAuthenticated:
        raise
    except vmodl.MethodFault as fault:
        return fault
