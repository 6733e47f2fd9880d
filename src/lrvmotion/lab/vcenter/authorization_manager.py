"""AuthorizationManager: what the account may do, all that the lab was not told to deny; roles and permissions."""

# ruff: noqa: ANN401, N803 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from pyVmomi import vim

from lrvmotion.lab.vcenter.managed_object import ManagedObject, Values

if TYPE_CHECKING:
    from lrvmotion.lab.vcenter.vcenter import Call


class AuthorizationManager(ManagedObject):
    """Answers privilege questions; a denied privilege is reported, not enforced.

    *roles* are ids and privileges by name, *strangers* principals that it does not know.
    """

    wsdl = "AuthorizationManager"
    values: ClassVar[Values] = {"description": lambda _: None, "roleList": lambda self: self.role_list()}
    __slots__ = ("roles", "strangers")

    def __init__(self, vcenter: Any, moid: str) -> None:
        super().__init__(vcenter, moid)
        # ids of the system roles are the API reference's; the privileges of Admin are cut short
        self.roles: dict[str, tuple[int, list[str]]] = {
            "NoAccess": (-5, []),
            "ReadOnly": (-2, ["System.Anonymous", "System.Read", "System.View"]),
            "Admin": (-1, ["System.Anonymous", "System.Read", "System.View", "VirtualMachine.Config.Annotation"]),
        }
        self.strangers: set[str] = set()

    def role_list(self) -> list[Any]:
        """Return the roles."""
        kind = vim.AuthorizationManager.Role
        return [
            kind(
                roleId=number, system=number < 0, name=name, privilege=privileges,
                info=vim.Description(label=name, summary=name),
            )
            for name, (number, privileges) in self.roles.items()
        ]  # fmt: skip

    def role_id(self, name: str) -> int:
        """Return the id of the role *name*; where there is none, it is made without a privilege."""
        return self.roles.setdefault(name, (100 + len(self.roles), []))[0]

    def SetEntityPermissions(self, call: Call, entity: Any, permission: list[Any]) -> None:
        """Set permissions of a VM, and leave those of others; NotFound for a role, UserNotFound for a principal."""
        del call
        vm = self.vcenter.registry.get(entity)
        names = {number: name for name, (number, _) in self.roles.items()}
        given = {text.partition("|")[0]: text for text in vm.traits.permissions}
        for item in permission:
            if item.roleId not in names:
                raise vim.fault.NotFound(msg="The object or item referred to could not be found.")
            if item.principal in self.strangers:
                text = f"The user or group named '{item.principal}' does not exist."
                raise vim.fault.UserNotFound(principal=item.principal, unresolved=False, msg=text)
            given[item.principal] = f"{item.principal}|{names[item.roleId]}"
        vm.traits = replace(vm.traits, permissions=tuple(given.values()))
        vm.touch()

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
