"""AuthorizationManager: what the account may do. It may do everything that the lab was not told to deny."""

# ruff: noqa: ANN401, N803 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pyVmomi import vim

from lrvmotion.lab.vcenter.managed_object import ManagedObject, Values

if TYPE_CHECKING:
    from lrvmotion.lab.vcenter.server import Call


class AuthorizationManager(ManagedObject):
    """Answers privilege questions; a denied privilege is reported, not enforced."""

    wsdl = "AuthorizationManager"
    values: ClassVar[Values] = {"description": lambda _: None}
    __slots__ = ()

    def HasPrivilegeOnEntity(  # noqa: D102
        self,
        call: Call,
        entity: Any,
        sessionId: str,
        privId: list[str],
    ) -> Any:
        del call, sessionId
        self.vcenter.registry.get(entity)
        return [privilege not in self.vcenter.denied for privilege in privId]

    def HasPrivilegeOnEntities(  # noqa: D102
        self,
        call: Call,
        entity: list[Any],
        sessionId: str,
        privId: list[str],
    ) -> Any:
        del call, sessionId
        return [
            vim.AuthorizationManager.EntityPrivilege(
                entity=self.vcenter.registry.get(item).ref,
                privAvailability=[
                    vim.AuthorizationManager.PrivilegeAvailability(
                        privId=privilege, isGranted=privilege not in self.vcenter.denied
                    )
                    for privilege in privId
                ],
            )
            for item in entity
        ]
