"""OptionManager: a host's advanced options and the vCenter's own settings."""

# ruff: noqa: ANN401, N803 - pyVmomi makes its types at run time; parameters carry the API's names
from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pyVmomi import VmomiSupport, vim, vmodl

from lrvmotion.lab.vcenter.managed_object import ManagedObject, Values
from lrvmotion.lab.vcenter.option_table import Option, options

if TYPE_CHECKING:
    from lrvmotion.lab.vcenter.host_system import HostSystem
    from lrvmotion.lab.vcenter.vcenter import Call

LONG: Any = VmomiSupport.vmodlTypes["long"]


class OptionManager(ManagedObject):
    """The advanced options of one host.

    *values_now* is what the API shows; *effective* differs from it only for an option whose change awaits a reboot.
    """

    wsdl = "OptionManager"
    values: ClassVar[Values] = {
        "setting": lambda self: [self.shown(key) for key in self.table],
        "supportedOption": lambda self: [_definition(option) for option in self.table.values()],
    }
    __slots__ = ("effective", "host", "table", "values_now")

    def __init__(self, host: HostSystem, moid: str, version: str) -> None:
        super().__init__(host.vcenter, moid)
        self.host = host
        self.table = options(version)
        self.values_now: dict[str, int | str] = {k: o.default for k, o in self.table.items()}
        self.effective = dict(self.values_now)

    def number(self, key: str, default: int) -> int:
        """Return the effective integer of *key*; *default* where this build has no such option."""
        return int(self.effective.get(key, default))

    def rebooted(self) -> None:
        """Make every value effective."""
        self.effective = dict(self.values_now)

    def shown(self, key: str) -> Any:
        """Return *key* as an OptionValue; integers travel as xsd:long (vsphere.md 1.4)."""
        value = self.values_now[key]
        return vim.option.OptionValue(key=key, value=value if isinstance(value, str) else LONG(value))

    def QueryOptions(self, call: Call, name: str | None) -> Any:
        """Return the option *name*, or the subtree of a prefix that ends in a dot; InvalidName for neither."""
        del call
        keys = [key for key in self.table if name is None or key == name or (name[-1:] == "." and key.startswith(name))]
        if not keys:
            raise vim.fault.InvalidName(name=name, msg=f"The name '{name}' is not valid.")
        return [self.shown(key) for key in keys]

    def UpdateOptions(self, call: Call, changedValue: list[Any]) -> None:
        """Set options one by one: a fault leaves the earlier ones set (vsphere.md 1.4: not atomic)."""
        del call
        self.host.require_connected()
        try:
            for change in changedValue:
                self._set(change)
        finally:
            self.vcenter.registry.touch(self, self.host)

    def _set(self, change: Any) -> None:
        option = self.table.get(change.key)
        if option is None:
            raise vim.fault.InvalidName(name=change.key, msg=f"The name '{change.key}' is not valid.")
        value = change.value
        if option.low is None:
            if not isinstance(value, str):
                raise _wrong(change.key)
        # xsd:int for a LongOption is refused (vsphere.md 1.4: pyvmomi #682)
        elif not isinstance(value, LONG) or not option.low <= value <= (option.high or 0):
            raise _wrong(change.key)
        stored: int | str = value if isinstance(value, str) else int(value)
        self.values_now[change.key] = stored
        if not option.reboot:
            self.effective[change.key] = stored


def _wrong(key: str) -> Any:
    return vmodl.fault.InvalidArgument(
        invalidProperty="changedValue.value",
        msg=f"A specified parameter was not correct: changedValue.value ({key})",
    )


def _definition(option: Option) -> Any:
    kind = (
        vim.option.StringOption(valueIsReadonly=False, defaultValue=str(option.default))
        if option.low is None
        else vim.option.LongOption(
            valueIsReadonly=False,
            min=LONG(option.low),
            max=LONG(option.high),
            defaultValue=LONG(option.default),
        )
    )
    return vim.option.OptionDef(
        label=option.key.rpartition(".")[2], summary=option.summary, key=option.key, optionType=kind
    )


class VpxSettings(ManagedObject):
    """The vCenter's own settings: strings and integers by key."""

    wsdl = "OptionManager"
    values: ClassVar[Values] = {"setting": lambda self: self.rows(None)}
    __slots__ = ("settings",)

    def __init__(self, vcenter: Any, moid: str) -> None:
        super().__init__(vcenter, moid)
        name = vcenter.site.vcenter
        self.settings: dict[str, Any] = {"VirtualCenter.InstanceName": name, "VirtualCenter.FQDN": name}

    def rows(self, name: str | None) -> list[Any]:
        """Return the settings that *name* means; the URL of the API tells the port that it has now."""
        return [
            vim.option.OptionValue(key=key, value=value)
            for key, value in {"VirtualCenter.VimApiUrl": self.vcenter.url, **self.settings}.items()
            if name is None or key == name or (name.endswith(".") and key.startswith(name))
        ]

    def QueryOptions(self, call: Call, name: str | None) -> Any:
        """Return settings; InvalidName where nothing matches."""
        del call
        rows = self.rows(name)
        if not rows:
            raise vim.fault.InvalidName(name=name, msg=f"The name '{name}' is not valid.")
        return rows

    def UpdateOptions(self, call: Call, changedValue: list[Any]) -> None:
        """Set settings that exist."""
        del call
        for change in changedValue:
            if change.key not in self.settings and change.key != "VirtualCenter.VimApiUrl":
                raise vim.fault.InvalidName(name=change.key, msg=f"The name '{change.key}' is not valid.")
            self.settings[change.key] = change.value
        self.touch()
