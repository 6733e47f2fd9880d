"""A setting of a host, relay host or VM: its SettingKey, its typed Value, and the one table of kinds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

from lrvmotion.model.counted import counted
from lrvmotion.model.target_id import TextId

ValueType = Literal["absent", "bool", "int", "long", "string", "document"]


@dataclass(frozen=True, slots=True)
class Value:
    """A typed value of a setting, compared by (type, data): True is not 1, an int is not a long.

    A document's *data* is canonical JSON text, so that values stay hashable and comparable.
    """

    type: ValueType
    data: bool | int | str | None

    def __str__(self) -> str:
        return "(absent)" if self.type == "absent" else str(self.data)

    def brief(self, most: int = 90) -> str:
        """Return the value for people, on one line of at most *most* characters.

        A switch is on or off, a file its size and hash.
        """
        if self.type == "bool":
            text = "on" if self.data else "off"
        elif self.type == "document":
            text = _document_words(self.as_document())
        else:
            text = " ".join(str(self).split()) or '""'
        return text if len(text) <= most else text[: most - 1] + "…"

    def as_document(self) -> dict[str, Any]:
        """Return the content of a document value; ValueError for any other type."""
        if self.type != "document" or not isinstance(self.data, str):
            message = f"a {self.type} is not a document"
            raise ValueError(message)
        loaded: dict[str, Any] = json.loads(self.data)
        return loaded

    def to_json(self) -> dict[str, Any]:
        """Return the journal's form: {"type": …, "data": …}."""
        return {"type": self.type, "data": self.data}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Value:
        """Read what *to_json* wrote; ValueError, KeyError or TypeError for anything else."""
        value = cls(record["type"], record["data"])
        if type(value.data) is not _DATA[value.type] or (value.type == "document" and not _is_object(value.data)):
            message = f"{value.data!r} is no {value.type}"
            raise ValueError(message)
        return value


_LABELS = {
    "vlan_id": "VLAN", "mtu": "MTU", "portgroup": "port group", "listen_port": "relay port", "port": "TCP port",
    "sources": "from", "targets": "to", "prefix_length": "prefix length",
    "vswitch": "switch",
}  # fmt: skip


def _document_words(content: Mapping[str, Any]) -> str:
    if isinstance(content.get("content"), str):
        digest = hashlib.sha256(content["content"].encode()).hexdigest()[:12]
        lines = len(content["content"].splitlines())
        return f"{counted(lines, 'line')}, sha256 {digest}"
    return ", ".join(_part(name, part) for name, part in content.items() if part not in (None, [], ""))


def _part(name: str, part: Any) -> str:  # noqa: ANN401 - any JSON
    label = _LABELS.get(name, name.replace("_", " "))
    if isinstance(part, bool):
        return label if part else f"not {label}"
    if isinstance(part, list):
        return f"{label} {' '.join(str(item) for item in part)}"
    return f"{label} {part}"


_DATA = {"absent": type(None), "bool": bool, "int": int, "long": int, "string": str, "document": str}


def _is_object(data: object) -> bool:
    try:
        return isinstance(json.loads(str(data)), dict)
    except (ValueError, RecursionError):
        return False


ABSENT = Value("absent", None)


def document(**content: Any) -> Value:  # noqa: ANN401 - any JSON
    """Return *content* as a document value in canonical JSON."""
    return Value("document", json.dumps(content, sort_keys=True, separators=(",", ":")))


def string(text: str) -> Value:
    """Return *text* as a string value."""
    return Value("string", text)


HostKind = Literal["option", "portgroup", "vmknic", "vmotion-service", "gateway", "route", "maintenance"]
RelayKind = Literal["sysctl", "file", "unit", "process", "redirect", "firewall", "governor"]
VmKind = Literal["drive"]

OPTIONS = "Host.Config.AdvancedConfig"  # vsphere.md 9
NETWORK = "Host.Config.Network"
MAINTENANCE_MODE = "Host.Config.Maintenance"
DRIVES = "VirtualMachine.Interact.DeviceConnection"


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingKind:
    """A kind of setting: *name* begins its keys, *owner* has it (None: a kind that this version does not know).

    A VM's settings have its vCenter as their target, and end where it leaves that.
    *words* are for people, with {kind} and {name} or, of a name in two parts ("vmotion/10.99.0.9/32"), {first} and
    {rest}; {last} is what follows the second slash. *values* are the types that it takes beside ABSENT, *privilege* is
    what vCenter asks for to write it.
    *steers*: it sends a host's traffic to a relay host. *kernel_only*: a relay host forgets it at its reboot.
    """

    name: str
    owner: Literal["host", "relay", "vm"] | None
    words: str = "{kind} {name}"
    values: tuple[ValueType, ...] = ()
    privilege: str | None = None
    steers: bool = False
    kernel_only: bool = False

    def takes(self, value: Value) -> bool:
        """Return whether *value* is of a type that a setting of this kind may have."""
        return value == ABSENT or value.type in self.values


def _host(
    name: HostKind, words: str, *values: ValueType, privilege: str = NETWORK, steers: bool = False
) -> SettingKind:
    return SettingKind(name=name, owner="host", words=words, values=values, privilege=privilege, steers=steers)


def _relay(name: RelayKind, words: str, *values: ValueType, kernel_only: bool = False) -> SettingKind:
    return SettingKind(name=name, owner="relay", words=words, values=values, kernel_only=kernel_only)


def _vm(name: VmKind, words: str, *values: ValueType, privilege: str) -> SettingKind:
    return SettingKind(name=name, owner="vm", words=words, values=values, privilege=privilege)


SETTING_KINDS: Final = {
    kind.name: kind
    for kind in (
        _host("option", "{name}", "int", "long", "bool", "string", privilege=OPTIONS),
        _host("portgroup", "port group {name}", "document"),
        _host("vmknic", "vmknic {name}", "document"),
        _host("vmotion-service", "vMotion service on {name}", "bool"),
        _host("gateway", "gateway of {name}", "string", steers=True),
        _host("route", "route {rest} ({first})", "string", steers=True),
        _host("maintenance", "maintenance mode", "bool", privilege=MAINTENANCE_MODE),
        _relay("sysctl", "sysctl {name}", "string", kernel_only=True),
        _relay("file", "file {name}", "document"),
        _relay("unit", "unit {name}", "document"),
        _relay("process", "process {name}", "document"),
        _relay("redirect", "redirect table {name}", "document"),
        _relay("firewall", "firewall rule ({first}) {rest}", "string"),
        _relay("governor", "governor", "string", kernel_only=True),
        _vm("drive", "{last}", "document", privilege=DRIVES),
    )
}


class SettingKey(TextId):
    """A setting's kind, and its name where there are several: "option/Migrate.Enabled", "file//etc/x", "governor"."""

    __slots__ = ()

    @classmethod
    def of(cls, kind: HostKind | RelayKind | VmKind, name: str) -> Self:
        """Return the key of the setting *name* of *kind*."""
        return cls(f"{kind}/{name}")

    @property
    def kind(self) -> SettingKind:
        """Its row of the table; of a kind that a newer version knows one with the name alone."""
        name = self.partition("/")[0]
        return SETTING_KINDS.get(name) or SettingKind(name=name, owner=None)

    @property
    def name(self) -> str:
        """Its name among those of its kind, as the host or relay host has it; "" where there is one only."""
        return self.partition("/")[2]

    @property
    def vm(self) -> str:
        """The instance UUID of the VM that has it, where a VM does."""
        return self.name.partition("/")[0]

    @property
    def device(self) -> str:
        """The device key of a VM's drive."""
        return self.name.partition("/")[2].partition("/")[0]

    @property
    def words(self) -> str:
        """The setting as an administrator would say it: "port group LAN"; an option is its own name."""
        first, _, rest = self.name.partition("/")
        words = self.kind.words.format(
            kind=self.kind.name, name=self.name, first=first, rest=rest, last=rest.partition("/")[2] or rest
        )
        return words.strip() or self


MAINTENANCE = SettingKey("maintenance")  # whether a host is in maintenance mode, or enters it
GOVERNOR = SettingKey("governor")
