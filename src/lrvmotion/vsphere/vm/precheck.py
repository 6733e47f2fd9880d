"""CheckRelocate_Task of every VM of a plan: what vCenter itself says of the move, which it does not make.

It passes moves that fail later (vsphere.md 3.3): it stands beside the catalogue of our own, not in its place. The specs
hold the target's password, so that no fault and no spec is ever shown but through faults.text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from pyVmomi import vim, vmodl

from lrvmotion.errors import LrvmotionError
from lrvmotion.model.inventory import MoRef
from lrvmotion.model.relocation import RelocateCheck, RelocateFault
from lrvmotion.plan.plan import Migration
from lrvmotion.vsphere import faults
from lrvmotion.vsphere.client import managed_object, mapped, missing, moref
from lrvmotion.vsphere.session import Session
from lrvmotion.vsphere.tasks import TaskEnd, wait_all
from lrvmotion.vsphere.vm import provisioning_checker
from lrvmotion.vsphere.vm.relocate_spec import Backing, network_backings, relocate_spec

AT_ONCE = 16  # tasks that run at a time; each logs the source vCenter in at the target
CALLERS = 4
# The way between the vCenters is no good: every VM would find it again, and refused logins may lock the account.
_COMMON = (vim.fault.InvalidLogin, vim.fault.SSLVerifyFault, vim.fault.HostConnectFault)
_CANNOT = (vim.fault.NoPermission, vmodl.fault.NotImplemented, vmodl.fault.MethodNotFound)
_DEVICE = (vim.fault.CannotAccessVmDevice, vim.fault.DisallowedMigrationDeviceAttached)

Outcome = tuple[
    list[vmodl.MethodFault], list[vmodl.MethodFault]
]  # faults that forbid the move, and those that only warn


class _NotMeasuredError(Exception):
    """The check cannot be made here at all."""


def check_relocate(source: Session, target: Session, migrations: Sequence[Migration]) -> RelocateCheck:
    """Return what CheckRelocate_Task says of each of *migrations*, a few at once, the first one alone."""
    known: dict[MoRef, Backing] = {}
    found: list[RelocateFault] = []
    late: list[str] = []
    batches = [migrations[:1], *(migrations[at : at + AT_ONCE] for at in range(1, len(migrations), AT_ONCE))]
    try:
        for batch in batches:
            for migration, outcome in _batch(source, target, batch, known):
                if outcome is None:
                    late.append(migration.vm)
                    continue
                refused, warned = outcome
                found += [_told(migration, fault, refuses=True) for fault in refused]
                found += [_told(migration, fault, refuses=False) for fault in warned]
                if common := [fault for fault in refused if isinstance(fault, _COMMON)]:
                    return RelocateCheck(no_way=_told(migration, common[0], refuses=True))
            if late:
                break  # a vCenter that does not get on with it is not given more
    except _NotMeasuredError as error:
        return RelocateCheck(faults=tuple(found), reason=str(error))
    except LrvmotionError as error:
        return RelocateCheck(faults=tuple(found), reason=error.message)
    more = f" and {len(late) - 1} more" if len(late) > 1 else ""
    within = f"did not end within {provisioning_checker.WAIT_S:.0f} s"
    return RelocateCheck(faults=tuple(found), reason=f"the check of {late[0]}{more} {within}" if late else None)


def _batch(
    source: Session, target: Session, batch: Sequence[Migration], known: dict[MoRef, Backing]
) -> Iterator[tuple[Migration, Outcome | None]]:
    """Check *batch*; an outcome is None where the task did not end in time."""
    backings = [network_backings(target, migration, known) for migration in batch]
    with ThreadPoolExecutor(CALLERS) as pool:
        started = list(pool.map(lambda pair: _start(source, target, *pair), zip(batch, backings, strict=True)))
    tasks = [one for one in started if not isinstance(one, vmodl.MethodFault)]
    with mapped(f"{source.site}: CheckRelocate"):
        ended = wait_all(source, tasks, provisioning_checker.WAIT_S) if tasks else {}
    for migration, one in zip(batch, started, strict=True):
        if isinstance(one, vmodl.MethodFault):
            yield migration, _refused(source, one)
        else:
            end = ended.get(moref(one).value)
            yield migration, None if end is None else _outcome(end)


def _start(
    source: Session, target: Session, migration: Migration, backings: dict[int, Backing]
) -> vim.Task | vmodl.MethodFault:
    """Return the task, or the fault with which the call was refused."""
    if source.content.vmProvisioningChecker is None:
        message = "the vCenter has no CheckRelocate"
        raise _NotMeasuredError(message)
    vm = managed_object(source.stub, migration.ref)
    cards = source.cards.get(migration.ref, [])

    def ask() -> vim.Task | vmodl.MethodFault:
        with relocate_spec(source, target, migration, cards, backings) as spec:
            return provisioning_checker.ask(source, vm, spec)

    return source.call(f"vm/{migration.vm}: CheckRelocate", ask)


def _refused(source: Session, fault: vmodl.MethodFault) -> Outcome:
    """Return what a call says that was refused with *fault*; _NotMeasuredError where it says nothing of the move."""
    asked = {None, source.content.vmProvisioningChecker}
    if isinstance(fault, vmodl.fault.ManagedObjectNotFound) and missing(fault) in asked:
        raise _NotMeasuredError(faults.text(fault))
    return _ended(fault)


def _ended(fault: vmodl.MethodFault) -> Outcome:
    if isinstance(fault, _CANNOT):
        raise _NotMeasuredError(faults.text(fault))
    return [fault], []


def _outcome(end: TaskEnd) -> Outcome:
    if end.failed:
        silent = vmodl.fault.SystemError(msg="the check failed and vCenter does not say why")
        return _ended(end.fault or silent)
    results = end.result or ()
    return [f for one in results for f in one.error or ()], [f for one in results for f in one.warning or ()]


def _told(migration: Migration, fault: vmodl.MethodFault, *, refuses: bool) -> RelocateFault:
    verdict = faults.classify(fault)
    of_device = isinstance(fault, _DEVICE)
    return RelocateFault(
        vm=migration.vm, refuses=refuses, cause=verdict.cause, hint=verdict.hint, of_device=of_device
    )  # fmt: skip
