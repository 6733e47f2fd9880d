"""Two sites and a relay host in memory, which behave: what one command of the product sees, changes, and dies in."""

from __future__ import annotations

import io
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from crash.worlds import BOUNDS, BOX, CONFIG
from fakes import host, inventory, planned, vm
from lrvmotion.config import schema as configs
from lrvmotion.config.schema import Config
from lrvmotion.errors import RefusedError, UnreachableError
from lrvmotion.journal import places
from lrvmotion.journal.records import Connection
from lrvmotion.model.inventory import Host, HostPortGroup, Inventory, Vmknic
from lrvmotion.model.relay.relay_spec import RelaySpec
from lrvmotion.model.setting import ABSENT, SettingKey, Value, string
from lrvmotion.model.target_id import ConnectionId, TargetId
from lrvmotion.plan import reverse
from lrvmotion.plan.layout import Inputs, lay_out
from lrvmotion.plan.plan import Plan, Theirs
from lrvmotion.relay.facts import parse
from lrvmotion.relay.install import desired

At = tuple[str, str]  # a host or box ("A/a1", "relay/r1") and a key
SITES = {"A": {"a1": "10.88.0.9", "a2": "10.88.0.10"}, "B": {"b1": "10.99.0.9", "b2": "10.99.0.10"}}
FACTS = parse(BOX)
# A relay host of few settings, one of each kind: more of a kind make a history longer and no other.
BOX_KEYS = ("sysctl/net.ipv4.ip_forward", "file//usr/local/", "file//etc/systemd/", "unit/", "redirect/")
CONFIGS = {
    steer: configs.parse({**CONFIG, "steer": steer, "settings": {"source_vmknics": 2, "target_vmknics": 2}})
    for steer in ("route", "gateway")
}
TRUE = Value("bool", True)


class Died(BaseException):
    """The process died here: nothing catches it, as nothing catches SIGKILL."""


@dataclass(slots=True)
class Process:
    """One command's process: dies at its *death*-th point, and loses the answer of its *lost*-th call.

    A lost call was done where *done*, else not.
    """

    death: int | None = None
    lost: int | None = None
    done: bool = True
    points: int = 0
    calls: int = 0

    def point(self) -> None:
        """Here it may die; once dead it does nothing more."""
        if self.death is not None and self.points >= self.death:
            raise Died
        self.points += 1

    def loses(self) -> bool:
        """Return whether the answer of this call is lost."""
        self.calls += 1
        return self.calls == self.lost

    @property
    def whole(self) -> bool:
        """Whether nothing happened to it."""
        died = self.death is not None and self.points >= self.death
        return not died and (self.lost is None or self.calls < self.lost)

    def opener(self, path: Path) -> TornFile:
        """Open the journal's file (Journal's opener)."""
        return TornFile(path, self)


class TornFile(io.RawIOBase):
    """The journal's file: a record may be lost, half written, or written and not synced, when the process dies."""

    def __init__(self, path: Path, process: Process) -> None:
        self._file = path.open("ab", buffering=0)
        self._process = process

    def write(self, data) -> int:
        line = bytes(data)
        self._process.point()
        half = len(line) // 2
        self._file.write(line[:half])
        self._process.point()
        self._file.write(line[half:])
        return len(line)

    def fileno(self) -> int:
        self._process.point()
        return self._file.fileno()

    def close(self) -> None:
        self._file.close()
        super().close()


@dataclass(slots=True)
class Estate:
    """What every setting is: *values* by host or box; *before* is what it was at first."""

    values: dict[str, dict[str, Value]] = field(default_factory=dict)
    before: dict[At, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        options = {f"option/{key}": Value(bounds.type, bounds.default) for key, bounds in BOUNDS.items()}
        self.values = {f"{site}/{name}": dict(options) for site, hosts in SITES.items() for name in hosts}
        self.values["relay/r1"] = {f"sysctl/{key}": string(now) for key, now, _ in FACTS.sysctls}
        self.before = self.now()

    def now(self) -> dict[At, Value]:
        """Return every setting."""
        return {(place, key): value for place, values in self.values.items() for key, value in values.items()}

    def get(self, place: str, key: str) -> Value:
        return self.values[place].get(key, ABSENT)

    def set(self, place: str, key: str, value: Value) -> None:
        """Set it, as the host or box would: RefusedError where something depends on it, or it on something."""
        values = self.values[place]
        if value == self.get(place, key):
            return
        kind, _, rest = key.partition("/")
        if kind == "portgroup" and value == ABSENT and (used := self.users(place, rest)):
            message = f"{key} is in use by {', '.join(used)}"
            raise RefusedError(message)
        if kind == "vmknic" and value != ABSENT:
            if key in values:
                message = f"{key} is there: it is not changed"
                raise RefusedError(message)
            if f"portgroup/{value.as_document()['portgroup']}" not in values:
                message = f"{key}: its port group is not there"
                raise RefusedError(message)
        if kind in {"vmotion-service", "gateway"} and not self.has(place, rest):
            message = f"{key}: no vmknic has this address"
            raise RefusedError(message)
        if kind == "unit" and value != ABSENT and f"file/{value.as_document()['config']}" not in values:
            message = f"{key} did not start"
            raise RefusedError(message)
        if value == ABSENT:
            values.pop(key, None)
        else:
            values[key] = value
        if kind == "vmknic" and value == ABSENT:
            values.pop(f"vmotion-service/{rest}", None)
            values.pop(f"gateway/{rest}", None)

    def users(self, place: str, group: str) -> list[str]:
        """Return the vmknics on the port group *group*."""
        nics = [(key, value) for key, value in self.values[place].items() if key.startswith("vmknic/")]
        return [key for key, value in nics if value.as_document()["portgroup"] == group]

    def has(self, place: str, address: str) -> bool:
        """Return whether a vmknic has the address: one of the host's own, or one that was made."""
        site, _, name = place.partition("/")
        return f"vmknic/{address}" in self.values[place] or SITES.get(site, {}).get(name) == address

    def host(self, site: str, name: str) -> Host:
        """Return the host as an inventory has it."""
        values = self.values[f"{site}/{name}"]
        bare = host(name, SITES[site][name])
        nics = [
            replace(nic, gateway=str(own.data)) if (own := values.get(f"gateway/{nic.address}")) else nic
            for nic in bare.vmknics
        ]
        groups = list(bare.portgroups)
        for key, value in values.items():
            kind, _, rest = key.partition("/")
            if kind == "vmknic":
                content = value.as_document()
                services = frozenset({"vmotion"}) if values.get(f"vmotion-service/{rest}") == TRUE else frozenset()
                nics.append(
                    Vmknic(
                        device=f"vmk{len(nics)}", address=rest, prefix_length=content["prefix_length"],
                        mtu=content["mtu"], mac="", portgroup=content["portgroup"], services=services,
                    )
                )  # fmt: skip
            elif kind == "portgroup":
                content = value.as_document()
                groups.append(
                    HostPortGroup(
                        name=rest, vswitch=content["vswitch"], vlan_id=content["vlan_id"],
                        active=tuple(content["active"]), standby=tuple(content["standby"]),
                    )
                )  # fmt: skip
        return replace(bare, vmknics=tuple(nics), portgroups=tuple(groups))

    def inventory(self, role: str, site: str) -> Inventory:
        machines = tuple(vm(f"vm-{name}", name) for name in SITES[site])
        return inventory(role, tuple(self.host(site, name) for name in SITES[site]), machines)


class Endpoint:
    """A host or box as one process sees it (ports.target.Target)."""

    def __init__(self, name: str, place: str, estate: Estate, process: Process) -> None:
        self.name = name
        self.place = place
        self._estate = estate
        self._process = process

    def read(self, key: str) -> Value:
        self._process.point()
        if self._process.loses():
            message = f"{self.name} does not answer"
            raise UnreachableError(message)
        return self._estate.get(self.place, key)

    def write(self, key: str, value: Value) -> None:
        self._process.point()
        lost = self._process.loses()
        if not lost or self._process.done:
            self._estate.set(self.place, key, value)
        self._process.point()
        if lost:
            message = f"{self.name} does not answer"
            raise UnreachableError(message)

    def busy(self) -> list[str]:
        self._process.point()
        return []


class World:
    """The connections of one process (workflows.connections.Connections), by their names."""

    def __init__(self, known: dict[str, Connection], estate: Estate, process: Process) -> None:
        self.known = known
        self.estate = estate
        self.process = process

    def accounts(self) -> dict[str, str]:
        return {}

    def pinned(self, name: str) -> Connection:
        return self.known[name]

    def identity(self, door: str) -> Connection | None:
        return self.known.get(door)

    def place(self, name: str) -> str:
        """Return which host or box is called *name*."""
        door, _, rest = name.rpartition("/")
        if name in self.known:
            return "relay/r1"
        if door not in self.known:
            message = f"nothing is known of {name}"
            raise RefusedError(message)
        return f"{self.known[door].instance_uuid}/{rest}"

    def target(self, name: str) -> Endpoint:
        return Endpoint(name, self.place(name), self.estate, self.process)

    def forget(self) -> None:
        pass


def known(*, back: bool) -> dict[str, Connection]:
    """Return the connections of the configuration: one address, two ports; *back*: the sites swapped."""
    listed = [
        Connection(name=ConnectionId("source"), host="lab", port=1, username="u", instance_uuid="A"),
        Connection(name=ConnectionId("target"), host="lab", port=2, username="u", instance_uuid="B"),
        Connection(name=ConnectionId("relay/r1"), host="h", port=22, username="u"),
    ]
    found = {one.name: one for one in listed}
    return places.swapped(found) if back else found


_DESIRED: dict[Any, Any] = {}


def wanted(owner_id: str, senders: tuple[str, ...], targets: tuple[str, ...]) -> list[tuple[str, Value, str]]:
    """Return what the relay host is to have (install.desired), without the content of its files."""
    if (owner_id, senders, targets) not in _DESIRED:
        if len(_DESIRED) > 2000:
            _DESIRED.clear()
        spec = RelaySpec(name="r1", run=owner_id, address="10.88.0.1", sources=senders, targets=targets)
        _DESIRED[owner_id, senders, targets] = [
            (key, _short(key, value), reason) for key, value, reason in desired(spec, FACTS) if key.startswith(BOX_KEYS)
        ]
    return _DESIRED[owner_id, senders, targets]


def _short(key: str, value: Value) -> Value:
    if not key.startswith("file/"):
        return value
    return string(value.as_document()["content"][:20])


def plan(
    world: World, mode: str, pair: tuple[int, int], run: str, owner_id: str, theirs: tuple[Theirs, ...], *, steer: str,
    back: bool, runs: set[str], held: set[tuple[TargetId, SettingKey]],
) -> tuple[Plan, Config]:  # fmt: skip
    """Return the real plan of moving a VM from one host to another, the *pair*, and its configuration."""
    config = reverse.config(CONFIGS[steer]) if back else CONFIGS[steer]
    sites = ("B", "A") if back else ("A", "B")
    source, target = (world.estate.inventory(role, at) for role, at in zip(("source", "target"), sites, strict=True))
    machine = source.vms[pair[0]]
    inputs = Inputs(
        config=config, source=source, target=replace(target, hosts=(target.hosts[pair[1]],)),
        runs=runs, theirs=theirs, held=held,
    )  # fmt: skip
    made = planned(
        lay_out(inputs, mode, (machine,)),
        run,
        owner_id=owner_id,
        read=lambda name, key: world.target(name).read(key),
        bounds=lambda name: BOUNDS,
        wanted=lambda role: wanted(owner_id, role.senders, role.targets),
    )
    return made, config
