"""Whether one vCenter reaches the other: CheckRelocate_Task of one VM with the ServiceLocator, which moves nothing."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from pyVmomi import vim, vmodl

from lrvmotion.errors import LrvmotionError
from lrvmotion.model.inventory import MoRef
from lrvmotion.model.vcenter import Sight
from lrvmotion.vsphere import faults
from lrvmotion.vsphere.client import managed_object, mapped, moref
from lrvmotion.vsphere.session import Session
from lrvmotion.vsphere.tasks import wait_all
from lrvmotion.vsphere.vm import provisioning_checker
from lrvmotion.vsphere.vm.relocate_spec import reference, service_locator


def sight(
    session: Session, other: Session, vm: MoRef, *, host: MoRef, pool: MoRef, folder: MoRef, datastore: MoRef
) -> Sight:
    """Ask the vCenter of *session* to check a relocate of its *vm* to *host* … of *other*; only the way counts.

    Whatever else blocks moving that VM there is not looked at: the check got as far as the other vCenter.
    """
    subject = f"{session.site}: CheckRelocate"

    def ask() -> vim.Task | vmodl.MethodFault:
        with service_locator(session, other) as service:
            spec = vim.vm.RelocateSpec(
                service=service,
                host=reference(host),
                pool=reference(pool),
                folder=reference(folder),
                datastore=reference(datastore),
            )
            try:
                return provisioning_checker.ask(session, managed_object(session.stub, vm), spec)
            finally:
                spec.service = None

    if session.content.vmProvisioningChecker is None:
        return Sight(seen=None, detail="the vCenter has no CheckRelocate")
    try:
        started = session.call(subject, ask)
        if isinstance(started, vmodl.MethodFault):
            return _verdict(other, [started], False)
        with mapped(subject):
            return _verdict(other, *_outcome(session, started))
    except LrvmotionError as error:
        return Sight(seen=None, detail=error.message.removeprefix(f"{subject}: "))


def _outcome(session: Session, task: vim.Task) -> tuple[list[Any], bool]:
    """Wait for *task*; return the faults that it found or ended with, and whether it got to the end of its checks."""
    end = wait_all(session, [task], provisioning_checker.WAIT_S).get(moref(task).value)
    if end is None:
        return [vim.fault.Timedout(msg=f"it did not end within {provisioning_checker.WAIT_S:.0f} s")], False
    if end.failed:
        return [end.fault], False
    return [fault for result in end.result or () for fault in result.error or ()], True


def _verdict(other: Session, found: list[Any], ended: bool) -> Sight:
    """Return what *found* says of the way to *other*; the first that says anything of it counts."""
    port = urlsplit(other.service_url).port or 443
    for fault in found:
        if isinstance(fault, vim.fault.InvalidLogin):
            return Sight(
                seen=False, detail=f"it refused the login of {other.username}",
                hint="the account must be able to log in there from a vCenter, not only from here",
            )  # fmt: skip
        if isinstance(fault, vim.fault.SSLVerifyFault):
            return Sight(
                seen=False, detail=f"at {other.service_url} it is shown another certificate than we are",
                hint=f"look for a proxy or another address behind that name; {other.site}.service_url sets another URL",
            )  # fmt: skip
        if isinstance(fault, vim.fault.HostConnectFault):
            return Sight(
                seen=False, detail=f"{other.service_url}: {faults.text(fault)}",
                hint=f"let TCP {port} through between the two vCenters, and let each resolve the other's name; "
                f"{other.site}.service_url sets another URL",
            )  # fmt: skip
        if not ended:  # it may not have got that far
            return Sight(seen=None, detail=faults.text(fault))
    return Sight(seen=True)
