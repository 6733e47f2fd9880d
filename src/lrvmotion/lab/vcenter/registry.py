"""The managed objects of one vCenter by moId, the lock that guards them, and the stamps that tell what changed."""

# ruff: noqa: ANN401 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pyVmomi import vmodl

if TYPE_CHECKING:
    from lrvmotion.lab.vcenter.database import Database
    from lrvmotion.lab.vcenter.managed_object import ManagedObject


class Registry:
    """All managed objects; every read or write of the model holds *lock*.

    moIds are numbered from one counter that starts at the same figure in every vCenter, so those of two vCenters
    overlap on purpose (vsphere.md 14.4).
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.stamp = 0
        self.structure = 0
        self._objects: dict[str, ManagedObject] = {}
        self.last_id = 1
        self.database: Database | None = None  # what outlives this process; None while the model is being built

    def new_id(self, prefix: str) -> str:
        """Return a moId that no object has had."""
        self.last_id += 1
        return f"{prefix}-{self.last_id}"

    def add(self, item: ManagedObject) -> None:
        """Register *item*; containers that hold it are read afresh by every filter."""
        with self.lock:
            self._objects[item.moid] = item
            self.restructure(item)

    def remove(self, item: ManagedObject) -> None:
        """Forget *item*: its reference is ManagedObjectNotFound from now on."""
        with self.lock:
            self._objects.pop(item.moid, None)
            if self.database is not None:
                self.database.gone(item.moid)
            self.restructure()

    def touch(self, *items: ManagedObject) -> None:
        """Say that properties of *items* changed, and wake whoever waits for it."""
        with self.lock:
            self.stamp += 1
            for item in items:
                item.stamp = self.stamp
            if self.database is not None:
                # What was removed meanwhile would be kept again, and come back at the next start.
                self.database.note(item for item in items if self._objects.get(item.moid) is item)
            self.changed.notify_all()

    def restructure(self, *items: ManagedObject) -> None:
        """Say that what contains what changed, along with properties of *items*."""
        with self.lock:
            self.touch(*items)
            self.structure = self.stamp

    def find(self, moid: str) -> ManagedObject | None:
        """Return the object with *moid*, or None."""
        return self._objects.get(moid)

    def get(self, reference: Any) -> Any:
        """Return the object a pyVmomi *reference* means; ManagedObjectNotFound where there is none of that type."""
        item = self._objects.get(reference._moId)  # noqa: SLF001 - pyVmomi's own name for the moId
        if item is None or not issubclass(item.vim_type(), type(reference)):
            raise vmodl.fault.ManagedObjectNotFound(
                obj=reference,
                msg="The object has already been deleted or has not been completely created",
            )
        return item

    def of_type(self, kind: type) -> Iterator[Any]:
        """Return all objects that are instances of the class *kind*."""
        return iter([item for item in self._objects.values() if isinstance(item, kind)])
