"""A managed object of the model: its type, its moId, and its property values by path."""

# ruff: noqa: ANN401 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pyVmomi import vmodl

from lrvmotion.lab.vcenter import soap_codec
from lrvmotion.lab.vcenter.registry import Registered

if TYPE_CHECKING:
    from lrvmotion.lab.vcenter.vcenter import Call, Vcenter

_SEGMENT = re.compile(r"^(\w+)(?:\[\"?([^\"\]]*)\"?\])?$")
_PARTS = re.compile(r"\.(?![^\[]*\])")

Values = Mapping[str, Callable[[Any], Any]]
Written = Mapping[str, Callable[[Any, str], str]]


class ManagedObject(Registered):
    """The base of every simulated type.

    *values* maps a property path to what it reads: a scalar, another model object, a list of those, or pyVmomi data. A
    path that is not there is read by walking into the longest prefix that is, so frequent scalars have entries of their
    own: building a whole `summary` for one name costs a hundred times as much.
    """

    values: ClassVar[Values] = {}
    written: ClassVar[Written] = {}  # path -> `val` element, where that is faster
    __slots__ = ("moid", "stamp", "vcenter")

    def __init__(self, vcenter: Vcenter, moid: str) -> None:
        self.vcenter = vcenter
        self.moid = moid
        self.stamp = 0

    def touch(self) -> None:
        """Say that this object's properties changed."""
        self.vcenter.registry.touch(self)

    def read(self, path: str) -> Any:
        """Return the value at *path*, None where it is unset."""
        getter = self.values.get(path)
        if getter is not None:
            return getter(self)
        parts = _PARTS.split(path)
        for cut in range(len(parts), 0, -1):
            prefix = ".".join(parts[:cut])
            name, key = split_segment(parts[cut - 1])
            bare = ".".join([*parts[: cut - 1], name])
            getter = self.values.get(prefix) or self.values.get(bare)
            if getter is not None:
                value = _element(getter(self), key)
                for part in parts[cut:]:
                    name, key = split_segment(part)
                    value = _element(getattr(value, name, None), key)
                return value
        return None

    def Fetch(self, call: Call, prop: str) -> Any:
        """Return one property; pyVmomi's attribute access calls it, and no method table lists it."""
        if self is call.vcenter.sessions and prop == "currentSession":
            value = call.session.data() if call.session else None
        else:
            value = self.read(prop)
        if value is None:
            return None
        kind = property_type(self.vim_type(), prop)
        if kind is None:
            raise vmodl.query.InvalidProperty(name=prop, msg=f"No such property: {prop}")
        xml = soap_codec.formatter(kind)(value, call.version)
        return soap_codec.RawXml(f"<returnval{xml[4:-6]}</returnval>")


def split_segment(part: str) -> tuple[str, str | None]:
    """Return the name and the array key of one *part* of a property path, as in device[4000]."""
    match = _SEGMENT.match(part)
    return (match[1], match[2]) if match else (part, None)


def _element(value: Any, key: str | None) -> Any:
    if key is None or value is None:
        return value
    for item in value:
        if str(getattr(item, "key", getattr(item, "moid", None))) == key:
            return item
    return None


def property_type(kind: Any, path: str) -> Any:
    """Return the declared type of *path* of pyVmomi type *kind*, None where there is no such property."""
    for part in _PARTS.split(path):
        name, key = split_segment(part)
        try:
            kind = kind._GetPropertyInfo(name).type  # noqa: SLF001 - pyVmomi's public way in is an object
        except AttributeError:
            return None
        if key is not None:
            if not issubclass(kind, list):
                return None
            kind = kind.Item
    return kind
