"""A host's advanced options: read, write one at a time, bounds from its own OptionDefs."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Literal

from pyVmomi import VmomiSupport, vim

from lrvmotion.errors import RefusedError
from lrvmotion.plan import ABSENT, Value
from lrvmotion.settings import Bounds
from lrvmotion.vsphere.session import Session
from lrvmotion.vsphere.stub import properties_of

_LONG = VmomiSupport.vmodlTypes["long"]
_REBOOT = re.compile(r"\breboot", re.IGNORECASE)  # OptionDef has no flag for it (reference 1.4)


class HostOptions:
    """The advanced options of the host that messages call *subject*."""

    def __init__(self, session: Session, subject: str, manager: Any) -> None:  # noqa: ANN401
        self._session = session
        self._subject = subject
        self._manager = manager
        self._definitions: dict[str, Any] | None = None

    def read(self, name: str) -> Value:
        """Return the option with its wire type, ABSENT where this build does not have it."""

        def query() -> Any:  # noqa: ANN401
            try:
                return self._manager.QueryOptions(name)
            except vim.fault.InvalidName:
                return ()

        for option in self._session.call(f"{self._subject}: option {name}", query) or ():
            if option.key == name:
                return _typed(option.value)
        return ABSENT

    def write(self, name: str, value: Value) -> None:
        """Set one option: several at once are not atomic (reference 1.4)."""
        subject = f"{self._subject}: option {name}"
        wire: Any
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
        found = {}
        for name, definition in self._supported().items():
            option = definition.optionType
            if name not in names or not isinstance(option, vim.option.LongOption | vim.option.IntOption):
                continue
            kind: Literal["int", "long"] = "long" if isinstance(option, vim.option.LongOption) else "int"
            found[name] = Bounds(
                type=kind,
                minimum=int(option.min),
                maximum=int(option.max),
                default=int(option.defaultValue),
                reboot=bool(_REBOOT.search(f"{definition.label} {definition.summary}")),
            )
        return found

    def _supported(self) -> dict[str, Any]:
        """Return the OptionDefs by key: about 1,200 that never change while a host runs, so read once."""
        if self._definitions is None:
            content = self._session.content
            read = self._session.call(
                f"{self._subject}: option definitions",
                lambda: properties_of(content, self._manager, ["supportedOption"]),
            )
            self._definitions = {str(item.key): item for item in read.get("supportedOption") or ()}
        return self._definitions


def _typed(value: Any) -> Value:  # noqa: ANN401
    if isinstance(value, bool):
        return Value("bool", value)
    if isinstance(value, _LONG):
        return Value("long", int(value))
    if isinstance(value, int):
        return Value("int", int(value))
    return Value("string", str(value))
