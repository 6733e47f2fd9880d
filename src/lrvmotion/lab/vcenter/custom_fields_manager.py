"""CustomFieldsManager: the custom attributes of a vCenter, and their values on VMs."""

# ruff: noqa: ANN401 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from pyVmomi import vim

from lrvmotion.lab.vcenter.managed_object import ManagedObject, Values

if TYPE_CHECKING:
    from lrvmotion.lab.vcenter.vcenter import Call


class CustomFieldsManager(ManagedObject):
    """The attributes that any VM has a value of, or that the lab was told of, numbered as they came."""

    wsdl = "CustomFieldsManager"
    values: ClassVar[Values] = {"field": lambda self: self.fields()}
    __slots__ = ("keys",)

    def __init__(self, vcenter: Any, moid: str) -> None:
        super().__init__(vcenter, moid)
        self.keys: dict[str, int] = {}

    def key(self, name: str) -> int:
        """Return the number of the attribute *name*; where there is none, it is made."""
        return self.keys.setdefault(name, 101 + len(self.keys))

    def fields(self) -> list[Any]:
        """Return the definitions."""
        kind = vim.CustomFieldsManager.FieldDef
        return [
            kind(key=key, name=name, type=str, managedObjectType=vim.VirtualMachine) for name, key in self.keys.items()
        ]

    def SetField(self, call: Call, entity: Any, key: int, value: str) -> None:
        """Set an attribute of a VM; an empty *value* unsets it; NotFound for a key that there is not."""
        del call
        vm = self.vcenter.registry.get(entity)
        name = next((name for name, number in self.keys.items() if number == key), None)
        if name is None:
            # unconfirmed: the class
            raise vim.fault.NotFound(msg="The object or item referred to could not be found.")
        rest = [(own, text) for own, text in vm.traits.attributes if own != name]
        vm.traits = replace(vm.traits, attributes=(*rest, *([(name, value)] if value else [])))
        vm.touch()
