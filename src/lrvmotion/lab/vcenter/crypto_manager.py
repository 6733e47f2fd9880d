"""CryptoManagerKmip: the key providers of a vCenter."""

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
