"""What does not follow a VM to another vCenter by itself, and how the VM was, as recorded before its move; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["tag", "attribute", "note", "permission", "policy", "folder", "rule", "override"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataItem:
    """One thing that the VM has: *name* is for people, *data* is what its kind needs to give it to the VM again.

    tag: category, tag. attribute: value. note: text. permission: group, role, privileges, propagate. policy: disk
    (its device key, None: the VM's home), policy. folder: the id of the folder at the target. rule, override: nothing.
    """

    kind: Kind
    name: str
    data: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """A kind of thing that could not be read, and why: whether the VM has any is not known."""

    kind: Kind
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VmMetadata:
    """A VM's things before its move, its MAC addresses by device key, and whether VMware Tools ran and told an address.

    *macs* is empty where the VM's cards could not be read; *connected* are the cards that were connected,
    *start_connected* those that are when the VM is powered on.
    """

    things: tuple[MetadataItem, ...] = ()
    unread: tuple[Unread, ...] = ()
    macs: Mapping[int, str] = field(default_factory=dict, hash=False)
    connected: frozenset[int] = frozenset()
    start_connected: frozenset[int] = frozenset()
    tools: bool = False
    address: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the journal's form."""
        return {
            "things": [{"kind": item.kind, "name": item.name, "data": dict(item.data)} for item in self.things],
            "unread": [{"kind": item.kind, "reason": item.reason} for item in self.unread],
            "macs": {str(key): mac for key, mac in self.macs.items()},
            "connected": sorted(self.connected),
            "start_connected": sorted(self.start_connected),
            "tools": self.tools,
            "address": self.address,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> VmMetadata:
        """Read what *to_json* wrote, or an older version with less; KeyError, TypeError or ValueError for another."""
        things, unread = record.get("things", ()), record.get("unread", ())
        return cls(
            things=tuple(MetadataItem(kind=i["kind"], name=str(i["name"]), data=dict(i["data"])) for i in things),
            unread=tuple(Unread(kind=i["kind"], reason=str(i["reason"])) for i in unread),
            macs={int(key): str(mac) for key, mac in dict(record.get("macs", {})).items()},
            connected=frozenset(int(key) for key in record.get("connected", ())),
            start_connected=frozenset(int(key) for key in record.get("start_connected", ())),
            tools=bool(record.get("tools", False)),
            address=str(record.get("address", "")),
        )
