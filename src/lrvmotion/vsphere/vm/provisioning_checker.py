"""CheckRelocate_Task: ask a vCenter what it says of a relocate that is not made, and wait for its tasks together."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from pyVmomi import vim, vmodl

from lrvmotion.vsphere.client import WIRE_ERRORS, moref
from lrvmotion.vsphere.session import POLL_LIMIT_S, Session

WAIT_S = 60.0
_PATHS = ("info.state", "info.error", "info.result")
_ENDED = frozenset({"success", "error"})


def ask(session: Session, vm: Any, spec: Any) -> Any:  # noqa: ANN401
    """Return the task that checks a relocate of *vm* by all tests, or the fault with which the call was refused.

    Raises NotAuthenticated, so that `Session.call` logs in again.
    """
    try:
        return session.content.vmProvisioningChecker.CheckRelocate(vm, spec, None)
    except vim.fault.NotAuthenticated:
        raise
    except vmodl.MethodFault as fault:
        return fault


def wait(session: Session, tasks: Sequence[Any]) -> dict[str, dict[str, Any]]:
    """Wait for all of *tasks* at once, WAIT_S at most; return {task id: {property path: value}} of those that ended.

    Raises what the vCenter raises.
    """
    values: dict[str, dict[str, Any]] = {moref(task).value: {} for task in tasks}
    kinds = vmodl.query.PropertyCollector
    spec = kinds.FilterSpec(
        objectSet=[kinds.ObjectSpec(obj=task, skip=False) for task in tasks],
        propSet=[kinds.PropertySpec(type=vim.Task, all=False, pathSet=list(_PATHS))],
    )
    until = time.monotonic() + WAIT_S
    collector = session.content.propertyCollector.CreatePropertyCollector()
    try:
        collector.CreateFilter(spec, False)
        version = ""
        while any(row.get("info.state") not in _ENDED for row in values.values()):
            left = until - time.monotonic()
            if left <= 0:
                break
            options = kinds.WaitOptions(maxWaitSeconds=min(max(1, math.ceil(left)), POLL_LIMIT_S))
            update = collector.WaitForUpdatesEx(version, options)
            if update is None:
                continue
            version = update.version
            for item in (item for group in update.filterSet or () for item in group.objectSet or ()):
                row = values[moref(item.obj).value]
                row.update({change.name: change.val for change in item.changeSet or ()})
    finally:
        with suppress(vmodl.MethodFault, *WIRE_ERRORS):  # it ends with the session anyway
            collector.DestroyPropertyCollector()
    return {key: row for key, row in values.items() if row.get("info.state") in _ENDED}
