"""ViewManager and ContainerView: every object of some types below a container."""

# ruff: noqa: ANN401 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, ClassVar

from lrvmotion.lab.vcenter.managed_object import ManagedObject, Values

if TYPE_CHECKING:
    from lrvmotion.lab.vcenter.vcenter import Call, Vcenter


class ContainerView(ManagedObject):
    """A live list; *recursive* looks below the container's own children too."""

    wsdl = "ContainerView"
    values: ClassVar[Values] = {
        "container": lambda self: self.container,
        "type": lambda self: self.types,
        "recursive": lambda self: self.recursive,
        "view": lambda self: self.view(),
    }
    __slots__ = ("container", "manager", "owner", "recursive", "types")

    def __init__(self, manager: ViewManager, container: Any, types: Any, recursive: bool, owner: str) -> None:
        super().__init__(manager.vcenter, f"session[{owner[:8]}]{secrets.token_hex(8)}")
        self.manager = manager
        self.container = container
        self.types = types
        self.recursive = recursive
        self.owner = owner

    def view(self) -> list[ManagedObject]:
        """Return the objects in view now."""
        wanted = tuple(self.types) or None
        found: dict[str, ManagedObject] = {}
        stack = list(reversed(self.container.contained()))
        while stack:
            item = stack.pop()
            if item.moid in found:
                continue
            found[item.moid] = item
            if self.recursive:
                stack.extend(reversed(item.contained()))
        kinds: dict[type, bool] = {}
        chosen = []
        for item in found.values():
            kind = type(item)
            if kind not in kinds:
                kinds[kind] = wanted is None or issubclass(item.vim_type(), wanted)
            if kinds[kind] and getattr(item, "name", None) not in self.vcenter.hidden:
                chosen.append(item)
        return chosen

    def DestroyView(self, call: Call) -> None:
        """End the view."""
        del call
        self.manager.views.pop(self.moid, None)
        self.vcenter.registry.remove(self)


class ViewManager(ManagedObject):
    """Makes views."""

    wsdl = "ViewManager"
    values: ClassVar[Values] = {"viewList": lambda self: list(self.views.values())}
    __slots__ = ("views",)

    def __init__(self, vcenter: Vcenter, moid: str) -> None:
        super().__init__(vcenter, moid)
        self.views: dict[str, ContainerView] = {}

    def drop_session(self, key: str) -> None:
        """End the views of a session."""
        for view in [view for view in self.views.values() if view.owner == key]:
            self.views.pop(view.moid)
            self.vcenter.registry.remove(view)

    def CreateContainerView(self, call: Call, container: Any, type: list[Any], recursive: bool) -> Any:  # noqa: A002
        """Return a new container view."""
        item = self.vcenter.registry.get(container)
        view = ContainerView(self, item, type, recursive, call.session.key)
        self.views[view.moid] = view
        self.vcenter.registry.add(view)
        return view
