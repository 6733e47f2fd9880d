"""The form of an estate: which fields each record has, of which kinds, and whether a value is of its kind; pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

Row = dict[str, Any]

_REF = re.compile(r"[A-Za-z]+:[A-Za-z0-9_][A-Za-z0-9_.-]{0,39}")  # a host's moId names its socket
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MOST_SHOWN = 60
_LONG = 2**63


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What a value is: *word* says it; *null*: or null; *left_out*: its field need not be there.

    A text is as *pattern*, a whole number from *low* to *high*; *items* is the kind of what a list holds or an object
    has by name, *parts* are those of a list of so many values, *fields* those of a record. A record may have others.
    """

    word: str
    type: type
    null: bool = False
    left_out: bool = False
    pattern: re.Pattern[str] | None = None
    low: int = 0
    high: int = _LONG - 1
    items: Kind | None = None
    parts: tuple[Kind, ...] = ()
    fields: Mapping[str, Kind] = field(default_factory=dict)


class Wrong(Exception):  # noqa: N818 - it is what is wrong
    """What is wrong: where, what was found, and what to write there."""

    def __init__(self, path: str, found: str, cure: str) -> None:
        super().__init__(f"{path} {found}: {cure}")


TEXT = Kind(word="a text", type=str)
MAC = Kind(
    word="a MAC address such as 00:50:56:12:34:56", type=str, pattern=re.compile("([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}")
)
TRUTH = Kind(word="true or false", type=bool)
REF = Kind(word='a reference such as "HostSystem:host-12"', type=str, pattern=_REF)
NUMBER = Kind(word="a whole number", type=int)
SIGNED = replace(NUMBER, low=-_LONG)
COUNT = replace(NUMBER, high=10_000)
UPLINK = Kind(word='a list such as ["vmnic0", 10000]', type=list, parts=(TEXT, NUMBER))


def each(kind: Kind) -> Kind:
    """Return the kind of a list of values of *kind*."""
    return Kind(word="a list", type=list, items=kind)


def named(kind: Kind) -> Kind:
    """Return the kind of an object that has values of *kind* by name."""
    return Kind(word="an object", type=dict, items=kind)


def record(must: Mapping[str, Kind], may: Mapping[str, Kind] | None = None) -> Kind:
    """Return the kind of a record that has the fields *must*, and those of *may* where they are there."""
    optional = {name: replace(kind, left_out=True) for name, kind in (may or {}).items()}
    return Kind(word="an object", type=dict, fields={**must, **optional})


def or_null(kind: Kind) -> Kind:
    """Return *kind*, or null."""
    return replace(kind, null=True)


ENTITY = record(
    {"ref": REF, "name": TEXT},
    {"parent": or_null(REF), "pool": or_null(REF), "folder": or_null(REF), "uuid": or_null(TEXT)},
)
VMKNIC = record(
    {
        "device": TEXT, "address": TEXT, "prefix_length": replace(NUMBER, high=32), "mtu": replace(NUMBER, high=65535),
        "mac": MAC, "portgroup": TEXT, "netstack": TEXT, "services": each(TEXT),
    },
    {"gateway": or_null(TEXT), "switch_uuid": or_null(TEXT), "portgroup_key": or_null(TEXT), "dhcp": TRUTH},
)  # fmt: skip
PORTGROUP = record(
    {"name": TEXT, "vswitch": TEXT, "vlan_id": replace(NUMBER, high=4095)},
    {"active": each(TEXT), "standby": each(TEXT)},
)
HOST = record(
    {
        "ref": REF, "name": TEXT, "connection_state": TEXT, "in_maintenance": TRUTH, "version": TEXT, "build": TEXT,
        "compute": REF, "vmknics": each(VMKNIC), "portgroups": each(PORTGROUP), "datastores": each(REF),
        "networks": each(REF), "memory_bytes": NUMBER, "used_bytes": NUMBER, "uplinks": named(each(UPLINK)),
        "routes": named(TEXT), "congestion_control": named(TEXT),
    },
    {
        "gateway_on_nic": TRUTH, "evc_mode": TEXT, "max_evc_mode": TEXT, "most_disks": or_null(NUMBER),
        "encrypted_vmotion": or_null(TRUTH), "reboot_required": TRUTH, "boot_time": or_null(TEXT),
        "ipv6_vmotion": each(TEXT), "leaseless_vmotion": each(TEXT),
    },
)  # fmt: skip
DATASTORE = record(
    {"ref": REF, "name": TEXT, "capacity_bytes": NUMBER, "free_bytes": NUMBER},
    {"accessible": TRUTH, "maintenance": TRUTH, "barred": each(REF)},
)
NETWORK = record(
    {"ref": REF, "name": TEXT, "kind": TEXT},
    {"switch_uuid": or_null(TEXT), "portgroup_key": or_null(TEXT), "switch_version": TEXT},
)
DISK = record(
    {"key": SIGNED, "label": TEXT, "capacity_bytes": NUMBER, "datastore": or_null(REF)},
    {
        "used_bytes": or_null(NUMBER), "below_bytes": or_null(NUMBER), "mode": TEXT, "rdm": or_null(TEXT),
        "multi_writer": TRUTH, "links": COUNT, "linked_clone": TRUTH, "first_class": TEXT,
    },
)  # fmt: skip
NIC = record(
    {"key": SIGNED, "label": TEXT, "mac": TEXT, "network": or_null(TEXT)},
    {"network_ref": or_null(REF), "backed": TRUTH},
)
DEVICE = record({"kind": TEXT, "label": TEXT, "backing": TEXT})
VM = record(
    {
        "ref": REF, "name": TEXT, "instance_uuid": TEXT, "bios_uuid": TEXT, "power_state": TEXT, "host": or_null(REF),
        "memory_bytes": NUMBER, "storage_bytes": NUMBER, "snapshots": COUNT, "disks": each(DISK), "nics": each(NIC),
        "devices": each(DEVICE), "attributes": each(SIGNED),
    },
    {
        "home": or_null(REF), "change_version": TEXT, "hardware": TEXT, "evc_mode": TEXT, "tools_installer": TRUTH,
        "fault_tolerance": TRUTH, "template": TRUTH, "key_provider": or_null(TEXT), "migrate_encryption": TEXT,
        "reserved_bytes": NUMBER, "permissions": each(TEXT), "connection_state": TEXT, "question": TEXT,
        "managed_by": TEXT, "relocate_disabled": TRUTH, "consolidation": TRUTH,
    },
)  # fmt: skip
PLACE = record({"ref": REF})
BOUNDS = record({"minimum": SIGNED, "maximum": SIGNED, "default": SIGNED, "reboot": TRUTH})
SITE = record(
    {
        "inventory": record(
            {
                "instance_uuid": TEXT, "version": TEXT, "build": TEXT, "api_version": TEXT, "hosts": each(HOST),
                "datastores": each(DATASTORE), "networks": each(NETWORK), "pools": each(PLACE), "folders": each(PLACE),
                "vms": each(VM),
            }
        ),
        "tree": each(ENTITY),
    },
    {
        "options": named(or_null(named(record({"value": SIGNED, "bounds": BOUNDS})))),
        "hardware": named(each(TEXT)),
        "clusters": named(record({}, {"drs": or_null(TEXT), "ha": TRUTH})),
        "bindings": named(record({}, {"rules": each(TEXT), "overrides": each(TEXT)})),
        "key_providers": or_null(each(TEXT)),
        "attributes": named(TEXT),
        "write_kib_s": named(NUMBER),
    },
)  # fmt: skip


def check(value: Any, path: str, kind: Kind) -> None:  # noqa: ANN401 - any JSON
    """Raise Wrong for the first value that is not of its *kind*; *path* is where *value* stands."""
    if value is None and kind.null:
        return
    if not _fits(value, kind):
        raise Wrong(path, f"is {told(value)}", f"write {kind.word}" + (" or null" if kind.null else ""))
    if kind.type is int and not kind.low <= value <= kind.high:
        raise Wrong(path, f"is {told(value)}", f"write {kind.word} from {kind.low} to {kind.high}")
    if isinstance(value, str):
        _check_text(value, path)
    for name, inner in kind.fields.items():
        if name in value:
            check(value[name], f"{path}.{name}", inner)
        elif not inner.left_out:
            missing = f"{path}.{name}"
            raise Wrong(missing, "is missing", f"write {inner.word}")
    for number, part in enumerate(kind.parts):
        check(value[number], f"{path}[{number}]", part)
    if kind.items is not None:
        for at, item in _items(value, path):
            check(item, at, kind.items)


def _fits(value: object, kind: Kind) -> bool:
    if not isinstance(value, kind.type) or (kind.type is int and isinstance(value, bool)):
        return False
    if isinstance(value, str):
        return kind.pattern is None or kind.pattern.fullmatch(value) is not None
    return not (kind.parts and isinstance(value, list)) or len(value) == len(kind.parts)


def _check_text(value: str, path: str) -> None:
    if wrong := _NOT_IN_XML.search(value):
        raise Wrong(path, f"is {told(value)}", f"leave out U+{ord(wrong[0]):04X}: no vCenter can tell it")


def _items(value: Any, path: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - any JSON
    if isinstance(value, list):
        yield from ((f"{path}[{number}]", item) for number, item in enumerate(value))
        return
    for name, item in value.items():
        _check_text(name, path)
        yield f"{path}[{told(name)}]", item


def told(value: Any) -> str:  # noqa: ANN401 - any JSON
    """Return *value* as a message shows it: as JSON, cut where it is long."""
    text = json.dumps(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"


def kind_of(ref: str) -> str:
    """Return the type of the object that *ref* means: "HostSystem" of "HostSystem:host-12"."""
    return ref.partition(":")[0]


def moid_of(ref: str) -> str:
    """Return the moId of the object that *ref* means: "host-12" of "HostSystem:host-12"."""
    return ref.partition(":")[2]
