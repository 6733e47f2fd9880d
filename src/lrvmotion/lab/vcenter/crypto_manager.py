"""CryptoManagerKmip: the key providers of a vCenter. CustomFieldsManager: the names of its custom attributes."""

# ruff: noqa: ANN401 - pyVmomi makes its types at run time
from __future__ import annotations

from typing import Any, ClassVar

from pyVmomi import vim

from lrvmotion.lab.vcenter.managed_object import ManagedObject, Values


class CryptoManagerKmip(ManagedObject):
    """Its key providers are what the lab was told; None: the account may not read them."""

    wsdl = "CryptoManagerKmip"
    values: ClassVar[Values] = {
        "enabled": lambda _: True,
        "kmipServers": lambda self: self.servers(),
    }
    __slots__ = ()

    def servers(self) -> Any:
        """Return the key providers."""
        names = self.vcenter.key_providers
        if names is None:
            return None
        kind = vim.encryption.KmipClusterInfo
        return [kind(clusterId=vim.encryption.KeyProviderId(id=name), servers=[], useAsDefault=False) for name in names]


class CustomFieldsManager(ManagedObject):
    """The attributes that any VM has a value of, numbered as they came."""

    wsdl = "CustomFieldsManager"
    values: ClassVar[Values] = {"field": lambda self: self.fields()}
    __slots__ = ("_keys",)

    def __init__(self, vcenter: Any, moid: str) -> None:
        super().__init__(vcenter, moid)
        self._keys: dict[str, int] = {}

    def key(self, name: str) -> int:
        """Return the number of the attribute *name*."""
        return self._keys.setdefault(name, 101 + len(self._keys))

    def fields(self) -> list[Any]:
        """Return the definitions."""
        kind = vim.CustomFieldsManager.FieldDef
        return [
            kind(key=key, name=name, type=str, managedObjectType=vim.VirtualMachine) for name, key in self._keys.items()
        ]
