"""Scripted trouble: which call fails, how often, how late; and the log of calls."""

# ruff: noqa: ANN401 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from pyVmomi import VmomiSupport, vmodl

READS = frozenset({
    "Fetch", "RetrieveServiceContent", "CurrentTime", "Login", "Logout", "SessionIsActive", "RetrieveProperties",
    "RetrievePropertiesEx", "ContinueRetrievePropertiesEx", "CancelRetrievePropertiesEx", "CreateFilter",
    "DestroyPropertyFilter", "CreatePropertyCollector", "DestroyPropertyCollector", "WaitForUpdates",
    "WaitForUpdatesEx", "CheckForUpdates", "CancelWaitForUpdates", "CreateContainerView", "DestroyView",
    "QueryOptions", "QueryNetConfig", "QueryPerf", "QueryPerfCounter", "QueryPerfProviderSummary",
    "QueryAvailablePerfMetric", "FindByUuid", "FindAllByUuid", "FindByInventoryPath", "FindChild", "FindByIp",
    "FindByDnsName", "FindAllByIp", "FindAllByDnsName", "CheckRelocate_Task", "HasPrivilegeOnEntity",
    "HasPrivilegeOnEntities", "RetrieveManagedMethodExecuter", "QueryAssignedLicenses",
    "QueryConfigOptionDescriptor",
})  # fmt: skip


@dataclass(slots=True, kw_only=True)
class FaultRule:
    """One rule: *count* matching calls, after *skip* of them, are delayed, answered by a fault, or dropped.

    A delay ends when its rule is cleared, too.

    *object* is a moId or the name of a VM or host; *path* a property that the call must ask for. *after* lets the
    call take effect first: the reply is what is lost.
    *in_task* makes the task of a `_Task` method end in the fault, rather than the call.
    """

    method: str
    object: str | None = None
    path: str | None = None
    fault: str | None = None
    key: str | None = None
    message: str | None = None
    count: int = 1
    skip: int = 0
    delay_s: float = 0.0
    drop: bool = False
    after: bool = False
    in_task: bool = False

    def error(self) -> Any:
        """Return the fault to raise, None where the rule only delays or drops."""
        if self.fault is None:
            return None
        kind: Any = VmomiSupport.GetVmodlType(self.fault)
        error = kind(msg=self.message or f"Scripted fault {self.fault}")
        for info in kind._GetPropertyList():  # noqa: SLF001 - what the API requires of this fault, the wire does too
            if not info.flags & VmomiSupport.F_OPTIONAL and getattr(error, info.name) is None:
                setattr(error, info.name, _any(info.type))
        if self.key:
            error.faultMessage = [vmodl.LocalizableMessage(key=self.key, message=self.message or self.key)]
        return error


def _any(kind: Any) -> Any:
    """Return some value of a pyVmomi type: a field that has to be there."""
    if issubclass(kind, list):
        return kind([])
    if hasattr(kind, "values"):  # an enumeration
        return kind.values[0]
    return kind("scripted") if issubclass(kind, (str, VmomiSupport.ManagedObject)) else kind()


class Trouble:
    """The rules in force and the count of calls, safe for many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cleared = threading.Condition(self._lock)
        self._held: list[FaultRule] = []
        self.rules: list[FaultRule] = []
        self.calls: Counter[str] = Counter()
        self.delayed: Counter[str] = Counter()
        self.writes = 0

    def add(self, rule: FaultRule) -> None:
        """Put *rule* in force; ValueError where its fault class does not exist."""
        try:
            rule.error()
        except (KeyError, AttributeError, TypeError) as error:
            message = f"no fault class {rule.fault}"
            raise ValueError(message) from error
        with self._lock:
            self.rules.append(rule)

    def clear(self, method: str | None = None) -> None:
        """Forget the rules of *method*, or all, and let go on what they delay."""
        with self._cleared:
            self.rules = [rule for rule in self.rules if method is not None and rule.method != method]
            self._held = [rule for rule in self._held if method is not None and rule.method != method]
            self._cleared.notify_all()

    def delay(self, rule: FaultRule) -> None:
        """Return after the rule's delay, or once the rule is cleared; meanwhile *delayed* counts the call."""
        if rule.delay_s <= 0:
            return
        mine = replace(rule)
        with self._cleared:
            self._held.append(mine)
            self.delayed[rule.method] += 1
            self._cleared.wait_for(lambda: not any(held is mine for held in self._held), rule.delay_s)
            self._held = [held for held in self._held if held is not mine]
            self.delayed[rule.method] -= 1

    def record(self, method: str, *, writes: bool) -> None:
        """Count a call of *method*."""
        with self._lock:
            self.calls[method] += 1
            self.writes += writes

    def reset_calls(self) -> None:
        """Start counting again."""
        with self._lock:
            self.calls.clear()
            self.writes = 0

    def match(
        self, method: str, names: set[str], *, paths: frozenset[str] = frozenset(), in_task: bool = False
    ) -> FaultRule | None:
        """Return the rule for this call, which asks for the properties *paths*, and use up one of its counts."""
        with self._lock:
            for rule in self.rules:
                if rule.method != method or rule.in_task != in_task:
                    continue
                if rule.object is not None and rule.object not in names:
                    continue
                if rule.path is not None and rule.path not in paths:
                    continue
                if rule.skip > 0:
                    rule.skip -= 1
                    continue
                rule.count -= 1
                if rule.count <= 0:
                    self.rules.remove(rule)
                return rule
        return None
