"""PropertyFilter: what a client watches, and what of it has changed."""

# ruff: noqa: ANN401 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from pyVmomi import vmodl

from lrvmotion.lab.vcenter import soap_codec, traversal
from lrvmotion.lab.vcenter.managed_object import ManagedObject, Values, property_type

if TYPE_CHECKING:
    from lrvmotion.lab.vcenter.vcenter import Call, Vcenter

Plan = list[tuple[str, Callable[[Any], Any], Callable[[Any, str], str]]]


class Paths:
    """Turns the propSet of a spec into a plan a type: (path, getter, formatter)."""

    def __init__(self, spec: Any, version: str) -> None:
        self.spec = spec
        self.version = version
        self._plans: dict[type, Plan] = {}

    def plan(self, item: ManagedObject) -> Plan:
        """Return what to read of objects of the class of *item*; nothing of one that the account may not see."""
        if getattr(item, "name", None) in item.vcenter.hidden:
            return []
        found = self._plans.get(type(item))
        if found is None:
            found = self._plans[type(item)] = self._make(item)
        return found

    def _make(self, item: ManagedObject) -> Plan:
        kind = item.vim_type()
        names: dict[str, None] = {}
        for prop in self.spec.propSet:
            if issubclass(kind, prop.type):
                top = {path.split(".")[0] for path in item.values}
                names.update(dict.fromkeys(sorted(top) if prop.all else prop.pathSet or ()))
        plan: Plan = []
        for path in names:
            if path in item.written:
                plan.append((path, lambda each: each, item.written[path]))
                continue
            static = property_type(kind, path)
            getter = item.values.get(path) or (lambda each, path=path: each.read(path))
            plan.append((path, getter, soap_codec.formatter(static)))
        return plan

    def values(self, item: ManagedObject) -> dict[str, str]:
        """Return the XML of each set property of *item* by path."""
        found = {}
        for path, getter, write in self.plan(item):
            value = getter(item)
            if value is not None:
                found[path] = write(value, self.version)
        return found

    def content(self, item: ManagedObject) -> str:
        """Return *item* as an ObjectContent's inner XML."""
        parts = [soap_codec.reference("obj", item)]
        for path, getter, write in self.plan(item):
            value = getter(item)
            if value is not None:
                val = write(value, self.version)
                parts.append(f"<propSet><name>{path}</name>{val}</propSet>")
        return "".join(parts)


class PropertyFilter(ManagedObject):
    """A filter and the state of it that its client has seen."""

    wsdl = "PropertyFilter"
    values: ClassVar[Values] = {
        "spec": lambda self: self.spec,
        "partialUpdates": lambda self: self.partial,
    }
    __slots__ = ("_filters", "_paths", "_selected", "_structure", "owner", "partial", "seen", "spec")

    def __init__(
        self, vcenter: Vcenter, moid: str, spec: Any, partial: bool, owner: str, filters: dict[str, PropertyFilter]
    ) -> None:
        super().__init__(vcenter, moid)
        self._filters = filters  # its collector's
        self.spec = spec
        self.partial = partial
        self.owner = owner
        self.seen: dict[str, tuple[int, str, dict[str, str]]] = {}
        self._structure = -1
        self._selected: dict[str, ManagedObject] = {}
        self._paths: Paths | None = None

    def forget(self) -> None:
        """Start over: everything is new to the client."""
        self.seen.clear()

    def updates(self, version: str, room: int) -> tuple[list[str], bool]:
        """Return up to *room* ObjectUpdates as XML, and whether there are more; what is returned counts as seen."""
        registry = self.vcenter.registry
        if self._paths is None or self._paths.version != version:
            self._paths = Paths(self.spec, version)
        if self._structure != registry.structure:
            self._structure = registry.structure
            try:
                chosen = traversal.select(registry, self.spec)
            except vmodl.fault.ManagedObjectNotFound:
                chosen = []
            self._selected = {item.moid: item for item in chosen}
        found: list[str] = []
        for moid in [moid for moid in self.seen if moid not in self._selected]:
            if len(found) >= room:
                return found, True
            kind = self.seen.pop(moid)[1]
            obj = f'<obj type="{kind}">{moid}</obj>'
            found.append(f"<objectSet><kind>leave</kind>{obj}</objectSet>")
        for moid, item in self._selected.items():
            known = self.seen.get(moid)
            if known is not None and known[0] == item.stamp:
                continue
            new = self._paths.values(item)
            old = known[2] if known else {}
            changes = [
                f"<changeSet><name>{path}</name><op>assign</op>{xml}</changeSet>"
                for path, xml in new.items()
                if old.get(path) != xml
            ]
            changes += [
                f"<changeSet><name>{path}</name><op>indirectRemove</op></changeSet>" for path in old if path not in new
            ]
            if known is not None and not changes:
                self.seen[moid] = (item.stamp, item.wsdl, new)
                continue
            if len(found) >= room:
                return found, True
            self.seen[moid] = (item.stamp, item.wsdl, new)
            kind = "modify" if known else "enter"
            obj = soap_codec.reference("obj", item)
            found.append(f"<objectSet><kind>{kind}</kind>{obj}{''.join(changes)}</objectSet>")
        return found, False

    def DestroyPropertyFilter(self, call: Call) -> None:
        """Stop watching."""
        del call
        self._filters.pop(self.moid, None)
        self.vcenter.registry.remove(self)
