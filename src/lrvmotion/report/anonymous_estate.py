"""An estate without names, addresses and UUIDs, each replaced by the same word wherever it stands; pure.

What a field is goes by its record and name. A text of a field that is not known here is replaced, too: a field that is
new is hidden until somebody says that it may be shown.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from lrvmotion.model.estate import Entity, Estate, EstateSite, in_order
from lrvmotion.model.inventory import MoRef

BASE = ipaddress.IPv4Address("198.18.0.0")  # RFC 2544: addresses of benchmarks, nobody's own
# What vCenter and ESXi call things by themselves.
OURS = re.compile(
    r"(vm|host|network|datastore|Resources|Datacenters|vCLS|VM Network|Management Network"
    r"|vSwitch\d+|vmk\d+|vmnic\d+|defaultTcpipStack|vmotion|vSphereProvisioning|ops|mirror)?"
)
_LABEL = re.compile(r"[A-Z][A-Za-z/]*( [A-Za-z0-9/]+)* \d+|Virtual TPM")  # "Hard disk 1", as ESXi labels devices
_KEEP = "keep"
_KINDS: Mapping[tuple[str, str], str] = {
    **{("Inventory", name): _KEEP for name in ("version", "build", "api_version")},
    ("Inventory", "instance_uuid"): "uuid",
    ("Host", "name"): "host",
    ("Host", "cluster"): "cluster",
    **{
        ("Host", name): _KEEP
        for name in (
            "version",
            "build",
            "evc_mode",
            "max_evc_mode",
            "boot_time",
            "uplinks",
            "congestion_control",
        )
    },
    **{("Vmknic", name): _KEEP for name in ("device", "services")},
    ("Vmknic", "address"): "address",
    ("Vmknic", "gateway"): "address",
    ("Vmknic", "mac"): "mac",
    ("Vmknic", "portgroup"): "network",
    ("Vmknic", "netstack"): "stack",
    ("Vmknic", "switch_uuid"): "uuid",
    ("Vmknic", "portgroup_key"): "key",
    ("HostPortGroup", "name"): "network",
    ("HostPortGroup", "vswitch"): "switch",
    ("HostPortGroup", "active"): _KEEP,
    ("HostPortGroup", "standby"): _KEEP,
    ("Disk", "mode"): _KEEP,
    **{(record, "label"): "label" for record in ("Disk", "Nic", "Device")},
    ("Nic", "mac"): "mac",
    ("Nic", "network"): "network",
    ("VirtualMachine", "name"): "vm",
    ("VirtualMachine", "instance_uuid"): "uuid",
    ("VirtualMachine", "bios_uuid"): "uuid",
    ("VirtualMachine", "connected_devices"): "label",
    ("VirtualMachine", "permissions"): "user",
    ("VirtualMachine", "inventory_name"): "vm",
    ("StoragePod", "name"): "pod",
    ("Network", "switch"): "switch",
    ("Host", "ipv6_vmotion"): _KEEP,
    ("Host", "leaseless_vmotion"): _KEEP,
    ("VirtualMachine", "key_provider"): "key-provider",
    **{("VirtualMachine", name): _KEEP for name in ("change_version", "hardware", "evc_mode", "migrate_encryption")},
    ("Datastore", "name"): "datastore",
    ("Network", "name"): "network",
    ("Network", "switch_uuid"): "uuid",
    ("Network", "portgroup_key"): "key",
    ("Pool", "cluster"): "cluster",
    ("Entity", "uuid"): "uuid",
    **{("EstateSite", name): _KEEP for name in ("options", "hardware", "clusters", "write_kib_s")},
    ("EstateSite", "key_providers"): "key-provider",
    ("EstateSite", "attributes"): "attribute",
    ("EstateSite", "bindings"): _KEEP,  # its keys, which are references
    ("ClusterSettings", "drs"): _KEEP,
    ("Disk", "first_class"): "uuid",
    ("ClusterBindings", "rules"): "rule",
    ("ClusterBindings", "overrides"): _KEEP,
}
# The word of an entity of the tree, by the type of its reference.
_ENTITIES = {
    "Datacenter": "datacenter", "Folder": "folder", "ComputeResource": "cluster", "ClusterComputeResource": "cluster",
    "ResourcePool": "pool", "VirtualApp": "pool", "HostSystem": "host", "Datastore": "datastore", "StoragePod": "pod",
    "VirtualMachine": "vm", "VmwareDistributedVirtualSwitch": "switch", "DistributedVirtualSwitch": "switch",
}  # fmt: skip
# What the keys of a mapping are; those of all others are kept: references, numbers, devices.
_KEYS = {("Host", "congestion_control"): "stack"}
_SORTED = {"user", "rule"}  # by their names, which are others now
_OWN = {("Inventory", "site"), ("Inventory", "vm_names")}


def anonymous(estate: Estate) -> Estate:
    """Return *estate* with every name, address and UUID replaced; once anonymous, it stays as it is.

    What is equal stays equal, and what is in one subnet stays in one. References are kept: they name nobody.
    """
    return with_words(estate)[0]


def with_words(estate: Estate) -> tuple[Estate, dict[str, str]]:
    """Return *estate* made anonymous, and what each text that was replaced is called in it."""
    if estate.anonymous:
        return estate, {}
    ordered = in_order(estate)
    words = _Words(list(_subnets(ordered)))
    source, target = (_Site(site, words).hidden() for site in (ordered.source, ordered.target))
    return Estate(source=source, target=target, anonymous=True), words.told


def _chosen(hint: object) -> bool:
    """Whether a field of the type *hint* has one of the API's own words: its type lists them."""
    choices = [hint] if get_origin(hint) is Literal else [one for one in get_args(hint) if one is not NoneType]
    return bool(choices) and all(get_origin(one) is Literal for one in choices)


class _Words:
    """The word for each name, as it came first."""

    def __init__(self, subnets: list[ipaddress.IPv4Network]) -> None:
        self.told: dict[str, str] = {}  # what each text that was replaced is called
        self._words: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._subnets = _renumbered(subnets)

    def text(self, kind: str, text: str) -> str:
        """Return what stands for *text*, a *kind*."""
        found = self._found(kind, text)
        if found != text:
            self.told[text] = found
        return found

    def _found(self, kind: str, text: str) -> str:
        if kind == _KEEP or OURS.fullmatch(text):
            return text
        match kind:
            case "address":
                return self._address(text)
            case "route":
                stack, _, rest = text.partition("/")
                network, _, length = rest.partition("/")
                return f"{self.text('stack', stack)}/{self._address(network)}/{length}"
            case "uuid":
                return self._uuid(text)
            case "mac":
                return self._mac(text)
            case "label" if _LABEL.fullmatch(text):
                return text
            case "key" if re.fullmatch(r"dvportgroup-\d+", text):
                return text
            case _:
                return self._word(kind, text)

    def _word(self, kind: str, name: str) -> str:
        if name not in self._words:
            self._words[name] = f"{kind}-{self._count(kind):03d}"
        return self._words[name]

    def _count(self, kind: str) -> int:
        self._counts[kind] = self._counts.get(kind, 0) + 1
        return self._counts[kind]

    def _uuid(self, text: str) -> str:
        """Return a UUID in the form of *text*: a distributed switch's has spaces in it."""
        plain = re.sub(r"[^0-9a-f]", "", text.lower())
        if plain not in self._words:
            self._words[plain] = f"{self._count('uuid'):032x}"
        digits = iter(self._words[plain][-len(plain) :])
        return re.sub(r"[0-9A-Fa-f]", lambda _: next(digits), text)

    def _mac(self, text: str) -> str:
        plain = text.lower()
        if plain not in self._words:
            number = f"{self._count('mac'):06x}"
            self._words[plain] = f"00:50:56:{number[:2]}:{number[2:4]}:{number[4:]}"
        return self._words[plain]

    def _address(self, text: str) -> str:
        """Return what stands for the IPv4 address *text*, in what stands for its subnet."""
        try:
            address = ipaddress.IPv4Address(text)
        except ValueError:
            return self._word("address", text)
        if address.is_unspecified:
            return text
        known = [(old, new) for old, new in self._subnets.items() if address in old]
        if not known:
            return self._word("address", text)
        old, new = max(known, key=lambda pair: pair[0].prefixlen)
        return str(new.network_address + (int(address) - int(old.network_address)))


def _renumbered(subnets: list[ipaddress.IPv4Network]) -> dict[ipaddress.IPv4Network, ipaddress.IPv4Network]:
    """Return a subnet of the same length for each of *subnets*; one that is in another stays in it, at its place."""
    found: dict[ipaddress.IPv4Network, ipaddress.IPv4Network] = {}
    free = int(BASE)
    for subnet in sorted(dict.fromkeys(subnets), key=lambda one: one.prefixlen):
        around = [old for old in found if subnet.subnet_of(old)]
        if around:
            outer = max(around, key=lambda one: one.prefixlen)
            start = int(found[outer].network_address) + int(subnet.network_address) - int(outer.network_address)
        else:
            start = -(-free // subnet.num_addresses) * subnet.num_addresses
            free = start + subnet.num_addresses
        found[subnet] = ipaddress.IPv4Network((start, subnet.prefixlen))
    return found


def _subnets(estate: Estate) -> Iterator[ipaddress.IPv4Network]:
    """Give each subnet of a vmknic or a route, then each address that may be in none."""
    single = []
    for site in (estate.source, estate.target):
        for host in site.inventory.hosts:
            for nic in host.vmknics:
                yield ipaddress.IPv4Network((nic.address, nic.prefix_length), strict=False)
                single += [nic.gateway] if nic.gateway else []
            for route, gateway in sorted(host.routes.items()):
                network = route.partition("/")[2]
                if not network.endswith("/0"):
                    yield ipaddress.IPv4Network(network, strict=False)
                single.append(gateway)
    for text in single:
        address = ipaddress.IPv4Address(text)
        if not address.is_unspecified:
            yield ipaddress.IPv4Network(address)


class _Site:
    """One vCenter, whose paths are told by the names in its tree: a name may have a slash in it."""

    def __init__(self, site: EstateSite, words: _Words) -> None:
        self._site = site
        self._words = words
        self._tree = {entity.ref: entity for entity in site.tree}
        self._paths = self._known_paths()
        self._hints: dict[str, dict[str, object]] = {}

    def hidden(self) -> EstateSite:
        """Return it with what stands for its texts."""
        made: EstateSite = self._record(self._site)
        return made

    def _record(self, record: Any) -> Any:  # noqa: ANN401 - any record of an estate
        kind = type(record).__name__
        changed = {
            item.name: self._field(record, kind, item.name) for item in fields(record) if (kind, item.name) not in _OWN
        }
        return replace(record, **changed)

    def _field(self, record: Any, kind: str, name: str) -> Any:  # noqa: ANN401 - any record, any value
        value = getattr(record, name)
        match kind, name:
            case "Entity", "name":
                return self._word(record)
            case "Device", "backing" if record.kind == "shared-bus":
                return value  # how it is shared
            case _, "path":
                return self._by_ref(record.ref, value, "folder")
            case "VirtualMachine", "folder" if not record.vapp:
                entity = self._tree.get(record.ref)
                return self._by_ref(entity.parent if entity is not None else None, value, "folder")
            case "VirtualMachine", "folder" | "vapp":
                return self._by_text(value, "folder")
            case _, "datacenter":
                return self._by_text(value, "datacenter")
            case "Host", "routes":
                return {
                    self._words.text("route", route): self._words.text("address", to) for route, to in value.items()
                }
            case _:
                known = _KINDS.get((kind, name), name.replace("_", "-"))
                what = _KEEP if _chosen(self._types(record)[name]) else known
                if isinstance(value, Mapping) and (kind, name) in _KEYS:
                    value = {self._words.text(_KEYS[kind, name], key): item for key, item in value.items()}
                return self._value(value, what)

    def _types(self, record: object) -> dict[str, object]:
        kind = type(record)
        if kind.__name__ not in self._hints:
            self._hints[kind.__name__] = get_type_hints(kind)
        return self._hints[kind.__name__]

    def _by_ref(self, ref: MoRef | None, path: str, kind: str) -> str:
        """Return the words for the names from the topmost folder, or the cluster, down to *ref*."""
        entity = self._tree.get(ref) if ref is not None else None
        if entity is None or not path:
            return self._by_text(path, kind)
        found: list[str] = []
        while entity is not None:
            above = self._tree.get(entity.parent) if entity.parent is not None else None
            if above is not None and above.ref.kind == "Datacenter":  # its own folders are not part of a path
                break
            found.insert(0, self._word(entity))
            entity = above if "ComputeResource" not in entity.ref.kind else None
        return "/".join(found)

    def _by_text(self, path: str, kind: str) -> str:
        """Return the words for the *path* of something in the tree; for each of its names where nothing has it."""
        if path in self._paths:
            return self._paths[path]
        return "/".join(self._words.text(kind, part) for part in path.split("/"))

    def _word(self, entity: Entity) -> str:
        return self._words.text(_ENTITIES.get(entity.ref.kind, "network"), entity.name)

    def _known_paths(self) -> dict[str, str]:
        """Return the words for the path of each datacenter, folder and vApp, from wherever it may be told."""
        found: dict[str, str] = {}
        for entity in self._site.tree:
            if entity.ref.kind not in {"Datacenter", "Folder", "VirtualApp"}:
                continue
            names: list[str] = []
            words: list[str] = []
            at: Entity | None = entity
            while at is not None:
                names.insert(0, at.name)
                words.insert(0, self._word(at))
                found.setdefault("/".join(names), "/".join(words))
                at = self._tree.get(at.parent) if at.parent is not None else None
        return found

    def _value(self, value: Any, kind: str) -> Any:  # noqa: ANN401 - any field's value
        if isinstance(value, MoRef) or value is None:
            return value
        if is_dataclass(value):
            return self._record(value)
        if isinstance(value, str):
            return self._words.text(kind, value)
        if isinstance(value, Mapping):
            return {key: self._value(item, kind) for key, item in value.items()}
        if isinstance(value, frozenset):
            return frozenset(self._value(item, kind) for item in sorted(value))
        if isinstance(value, tuple):
            found = [self._value(item, kind) for item in value]
            return tuple(sorted(found) if kind in _SORTED else found)
        return value
