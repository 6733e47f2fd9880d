"""Which objects a FilterSpec selects: ObjectSpec, TraversalSpec, SelectionSpec, followed generically."""

# ruff: noqa: ANN401 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from pyVmomi import VmomiSupport, vmodl

from lrvmotion.lab.vcenter.managed_object import ManagedObject, property_type

if TYPE_CHECKING:
    from lrvmotion.lab.vcenter.registry import Registry

PC = vmodl.query.PropertyCollector


def check(spec: Any) -> None:
    """Raise InvalidProperty for a path that its type does not have."""
    for item in spec.propSet:
        for path in item.pathSet or ():
            if property_type(item.type, path) is None:
                raise vmodl.query.InvalidProperty(name=path, msg=f"No such property: {path}")


def select(registry: Registry, spec: Any) -> list[ManagedObject]:
    """Return the objects that *spec* reaches and has a PropertySpec for, each once, in the order found.

    An ObjectSpec of an object that is gone selects nothing, or raises ManagedObjectNotFound where the spec does not ask
    for it to be left out (yavi vmodl.query.PropertyCollector.FilterSpec.reportMissingObjectsInResults).
    """
    wanted = tuple(item.type for item in spec.propSet)
    found: dict[str, ManagedObject] = {}
    for start in spec.objectSet:
        item = registry.find(start.obj._moId)  # noqa: SLF001
        if item is None:
            if spec.reportMissingObjectsInResults:
                continue
            item = registry.get(start.obj)
        named: dict[str, Any] = {}
        _collect(start.selectSet, named)
        _walk(registry, item, bool(start.skip), start.selectSet, named, found, wanted, set())
    return list(found.values())


def _collect(selections: Collection[Any], named: dict[str, Any]) -> None:
    for selection in selections or ():
        if isinstance(selection, PC.TraversalSpec):
            if selection.name:
                named[selection.name] = selection
            _collect(selection.selectSet, named)


def _walk(
    registry: Registry,
    item: ManagedObject,
    skip: bool,
    selections: Collection[Any],
    named: dict[str, Any],
    found: dict[str, ManagedObject],
    wanted: tuple[Any, ...],
    seen: set[tuple[str, int]],
) -> None:
    stack = [(item, skip, selections)]
    while stack:
        item, skip, selections = stack.pop()
        if not skip and issubclass(item.vim_type(), wanted):
            found.setdefault(item.moid, item)
        for selection in selections or ():
            step = selection
            if not isinstance(step, PC.TraversalSpec):
                step = named.get(selection.name)
                if step is None:
                    raise vmodl.fault.InvalidArgument(
                        invalidProperty="selectSet", msg=f"No selection named {selection.name}"
                    )
            if not issubclass(item.vim_type(), step.type) or (item.moid, id(step)) in seen:
                continue
            seen.add((item.moid, id(step)))
            reached = _targets(registry, item.read(step.path))
            if not step.selectSet:  # the common case: a container view of ten thousand VMs
                if not step.skip:
                    for child in reached:
                        if issubclass(child.vim_type(), wanted):
                            found.setdefault(child.moid, child)
                continue
            stack.extend((child, bool(step.skip), step.selectSet) for child in reversed(reached))


def _targets(registry: Registry, value: Any) -> list[ManagedObject]:
    items = value if isinstance(value, list) else [value]
    found = []
    for item in items:
        if isinstance(item, ManagedObject):
            found.append(item)
        elif isinstance(item, VmomiSupport.ManagedObject):
            known = registry.find(item._moId)  # noqa: SLF001
            if known is not None:
                found.append(known)
    return found
