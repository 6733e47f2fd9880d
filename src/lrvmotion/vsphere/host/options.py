"""A host's advanced options: read, write one at a time, bounds from its own OptionDefs."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Literal

from pyVmomi import VmomiSupport, vim, vmodl

from lrvmotion.errors import RefusedError
from lrvmotion.model.host_option import Bounds
from lrvmotion.model.setting import ABSENT, Value
from lrvmotion.vsphere.client import filter_spec
from lrvmotion.vsphere.inventory import lean_parser
from lrvmotion.vsphere.inventory.lean_parser import NS, XSI_TYPE
from lrvmotion.vsphere.session import Session

_LONG = VmomiSupport.vmodlTypes["long"]
_NUMBERS: Mapping[str, Literal["int", "long"]] = {"IntOption": "int", "LongOption": "long"}
_REBOOT = re.compile(r"\breboot", re.IGNORECASE)  # OptionDef has no flag for it (vsphere.md 1.4)


class HostOptions:
    """The advanced options of the host that messages call *subject*."""

    def __init__(self, session: Session, subject: str, manager: vim.option.OptionManager) -> None:
        self._session = session
        self._subject = subject
        self._manager = manager

    def read(self, name: str) -> Value:
        """Return the option with its wire type, ABSENT where this build does not have it."""

        def query() -> Sequence[vim.option.OptionValue]:
            try:
                found: Sequence[vim.option.OptionValue] = self._manager.QueryOptions(name)
                return found
            except vim.fault.InvalidName:
                return ()

        for option in self._session.call(f"{self._subject}: option {name}", query) or ():
            if option.key == name:
                return _typed(option.value)
        return ABSENT

    def write(self, name: str, value: Value) -> None:
        """Set one option: several at once are not atomic (vsphere.md 1.4)."""
        subject = f"{self._subject}: option {name}"
        wire: object
        if value.type == "long":
            wire = _LONG(value.data)  # a Python int would go as xsd:int, which a LongOption refuses
        elif value.type in {"int", "bool", "string"}:
            wire = value.data
        else:
            message = f"{subject} cannot be set to {value}: an option is never absent"
            raise RefusedError(message)
        changed = [vim.option.OptionValue(key=name, value=wire)]
        self._session.call(subject, lambda: self._manager.UpdateOptions(changed))

    def bounds(self, names: Collection[str]) -> dict[str, Bounds]:
        """Return the bounds of those of *names* that this build has as numbers."""
        return {name: limits for name, limits in self._all_bounds.items() if name in names}

    @cached_property
    def _all_bounds(self) -> dict[str, Bounds]:
        """The OptionDefs by key: about 1,200 that never change while a host runs, so read once."""
        stub, content = self._session.stub, self._session.content

        def query() -> dict[str, Bounds]:
            found: dict[str, Bounds] = {}
            roots = [vmodl.query.PropertyCollector.ObjectSpec(obj=self._manager, skip=False)]
            spec = filter_spec(roots, {vim.option.OptionManager: ("supportedOption",)})
            lean_parser.retrieve(stub, content, spec, "OptionDef", lambda element: found.update(defined(element)))
            return found

        return self._session.call(f"{self._subject}: option definitions", query)


def defined(element: ET.Element) -> dict[str, Bounds]:
    """Return the bounds in an OptionDef by its key, nothing where it is not of a number."""
    option = element.find(f"{NS}optionType")
    kind = _NUMBERS.get(option.get(XSI_TYPE, "").rpartition(":")[2]) if option is not None else None
    if option is None or kind is None:
        return {}
    minimum, maximum, default = (option.findtext(NS + name) for name in ("min", "max", "defaultValue"))
    if minimum is None or maximum is None or default is None:
        return {}
    about = f"{element.findtext(f'{NS}label')} {element.findtext(f'{NS}summary')}"
    limits = Bounds(
        type=kind, minimum=int(minimum), maximum=int(maximum), default=int(default), reboot=bool(_REBOOT.search(about))
    )
    return {element.findtext(f"{NS}key", ""): limits}


def _typed(value: object) -> Value:
    if isinstance(value, bool):
        return Value("bool", value)
    if isinstance(value, _LONG):
        return Value("long", int(value))
    if isinstance(value, int):
        return Value("int", int(value))
    return Value("string", str(value))
