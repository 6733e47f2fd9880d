"""A datastore of an estate: of its own capacity, with disks of VMs whose homes are elsewhere."""

# ruff: noqa: ANN401 - the managed objects' types are made at run time
from __future__ import annotations

from typing import Any, ClassVar

from lrvmotion.lab.vcenter.datastore import CAPACITY, LONG, Datastore
from lrvmotion.lab.vcenter.managed_object import Values


class EstateDatastore(Datastore):
    """A datastore of *capacity* bytes."""

    values: ClassVar[Values] = {**Datastore.values, "summary.capacity": lambda self: self.capacity}
    __slots__ = ("capacity",)

    def __init__(self, *arguments: Any, **more: Any) -> None:
        self.capacity = CAPACITY
        super().__init__(*arguments, **more)

    def free(self) -> int:
        """Return the bytes that are free."""
        return self.capacity - self.held - sum(vm.bytes_on(self) for vm in self.machines.values())

    def summary(self) -> Any:
        """Return the DatastoreSummary."""
        made = super().summary()
        made.capacity = LONG(self.capacity)
        return made
