"""Managed objects: their types by name, and those of one vCenter by moId, with the lock and stamps of what changed."""

# ruff: noqa: ANN401 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from pyVmomi import VmomiSupport, vmodl

from lrvmotion.lab.vcenter.soap_codec import Referable

_TYPES: dict[str, type[Registered]] = {}


class Registered(Referable):
    """What can be registered; *stamp* tells when its properties changed last.

    A class of it registers itself by its name, so that whoever makes or looks for such objects need not import it. That
    is the API's name of the type, but where two classes have one (the OptionManagers of a host and of the vCenter).
    """

    stamp: int
    __slots__ = ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.__name__ in _TYPES:
            message = f"two types of managed objects are called {cls.__name__}"
            raise TypeError(message)
        _TYPES[cls.__name__] = cls

    @classmethod
    def vim_type(cls) -> Any:
        """Return pyVmomi's class of this type."""
        return VmomiSupport.GetWsdlType("urn:vim25", cls.wsdl)

    @property
    def ref(self) -> Any:
        """Return the pyVmomi reference to this object."""
        return self.vim_type()(self.moid)


def type_named(name: str) -> Any:
    """Return the type of managed objects called *name*; KeyError where no module that defines it was imported."""
    return _TYPES[name]


class Database(Protocol):
    """What outlives this process: it is told what changes."""

    def note(self, items: Iterable[Any]) -> None:
        """Write what has changed of *items*; called with the model's lock held."""

    def gone(self, moid: str) -> None:
        """Write that the object *moid* is no more."""


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
        self._objects: dict[str, Registered] = {}
        self.last_id = 1
        self.given: deque[str] = deque()  # the ids of the next objects: those of an estate keep theirs
        self.database: Database | None = None  # what outlives this process; None while the model is being built

    def new_id(self, prefix: str) -> str:
        """Return a moId that no object has had, or the next one that is given."""
        if self.given:
            return self.given.popleft()
        self.last_id += 1
        return f"{prefix}-{self.last_id}"

    def add(self, item: Registered) -> None:
        """Register *item*; containers that hold it are read afresh by every filter."""
        with self.lock:
            self._objects[item.moid] = item
            self.restructure(item)

    def remove(self, item: Registered) -> None:
        """Forget *item*: its reference is ManagedObjectNotFound from now on."""
        with self.lock:
            self._objects.pop(item.moid, None)
            if self.database is not None:
                self.database.gone(item.moid)
            self.restructure()

    def touch(self, *items: Registered) -> None:
        """Say that properties of *items* changed, and wake whoever waits for it."""
        with self.lock:
            self.stamp += 1
            for item in items:
                item.stamp = self.stamp
            if self.database is not None:
                # What was removed meanwhile would be kept again, and come back at the next start.
                self.database.note(item for item in items if self._objects.get(item.moid) is item)
            self.changed.notify_all()

    def restructure(self, *items: Registered) -> None:
        """Say that what contains what changed, along with properties of *items*."""
        with self.lock:
            self.touch(*items)
            self.structure = self.stamp

    def find(self, moid: str) -> Any:
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

    def of_type(self, name: str) -> Iterator[Any]:
        """Return all objects of the type called *name*, and of its subtypes."""
        kind = _TYPES[name]
        return iter([item for item in self._objects.values() if isinstance(item, kind)])


def named(items: Iterable[Any], name: str) -> Any:
    """Return the one of *items* with that *name* or moId; LookupError where there is none."""
    for item in items:
        if name in {item.name, item.moid}:
            return item
    message = f"nothing is called {name}"
    raise LookupError(message)
