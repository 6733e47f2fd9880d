"""Plans with every kind of change that there is, made by the real planner over hosts and boxes in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fakes import host, inventory, planned, vm
from lrvmotion.config import schema as configs
from lrvmotion.model import host_option
from lrvmotion.model.relay.relay_host import BoxFacts
from lrvmotion.model.relay.relay_spec import RelaySpec
from lrvmotion.model.setting import ABSENT, Value, document, string
from lrvmotion.plan import settings
from lrvmotion.plan.layout import Inputs, lay_out
from lrvmotion.plan.plan import Change
from lrvmotion.relay.facts import parse
from lrvmotion.relay.install import desired

RUN = "abc234"
BOUNDS = {
    settings.HELPERS: host_option.Bounds(type="long", minimum=0, maximum=112, default=0),
    settings.LINE_RATE: host_option.Bounds(type="long", minimum=1, maximum=2000, default=133),
    settings.BIND: host_option.Bounds(type="long", minimum=0, maximum=3, default=3),
    settings.QUEUES: host_option.Bounds(type="long", minimum=1, maximum=8, default=2, reboot=True),
}
CONFIG = {
    "source": {"vcenter": "a", "username": "u", "vmotion": {"addresses": ["10.88.0.20-10.88.0.59"]}},
    "target": {"vcenter": "b", "username": "u", "vmotion": {"addresses": ["10.99.0.20-10.99.0.59"]}},
    "relay": {"source": [{"name": "r1", "host": "h", "address": "10.88.0.1"}]},
}
BOX = """\
kernel=6.1.0-18-amd64
available=reno cubic bbr
allowed=reno cubic
bbr_module=yes
tool=nft /usr/sbin/nft nftables v1.0.6 (Lester Gooch #5)
systemd=systemd 252 (252.22-1~deb12u1)
python=/usr/bin/python3 3.11.2 splice
cores=4
governor=/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor powersave
governors=performance powersave
address=2: eth0    inet 10.88.0.1/24 brd 10.88.0.255 scope global eth0\\       valid_lft forever
link=eth0 1500 10000
sysctl=/proc/sys/net/ipv4/ip_forward rw 0
sysctl=/proc/sys/net/ipv4/tcp_rmem rw 4096\t131072\t134217728
sysctl=/proc/sys/net/ipv4/tcp_wmem rw 4096\t16384\t4194304
sysctl=/proc/sys/net/ipv4/conf/all/send_redirects rw 1
sysctl=/proc/sys/net/ipv4/conf/all/accept_redirects rw 1
memory_total=4000000
memory_free=3000000
end=yes
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What every target is *before*, and the *changes* of the plan."""

    name: str
    before: dict[str, dict[str, Value]]
    changes: tuple[Change, ...]


def worlds() -> list[World]:
    """Return the worlds: native; proxy by routes with systemd; proxy by the gateway without systemd."""
    bare = "\n".join(line for line in BOX.splitlines() if not line.startswith("systemd=")) + "\n"
    return [
        _world("native", "native", CONFIG, parse(BOX)),
        _world("proxy", "proxy", CONFIG, parse(BOX)),
        _world("proxy, gateway, no systemd", "proxy", {**CONFIG, "steer": "gateway"}, parse(bare)),
    ]


def _world(name: str, mode: str, config: dict, seen: BoxFacts) -> World:
    hosts = {"source": host("a1", "10.88.0.9"), "target": host("b1", "10.99.0.9")}
    machine = vm("vm1", "a1")
    before: dict[str, dict[str, Value]] = {
        "source/a1": _options(),
        "target/b1": _options(),
        "relay/r1": {f"sysctl/{key}": string(now) for key, now, _ in seen.sysctls} | {"governor": string("powersave")},
    }

    def wanted(role):
        spec = RelaySpec(name="r1", run=RUN, address="10.88.0.1", sources=role.senders, targets=role.targets)
        return [(key, _short(key, value), reason) for key, value, reason in desired(spec, seen)]

    inputs = Inputs(
        config=configs.parse(config),
        source=inventory("source", (hosts["source"],), (machine,)),
        target=inventory("target", (hosts["target"],)),
        reboot=True,
    )
    made = planned(
        lay_out(inputs, mode, (machine,)),
        RUN,
        read=lambda target, key: before[target].get(key, ABSENT),
        bounds=lambda name: BOUNDS,
        wanted=wanted,
    )
    assert made.applyable, made.findings
    changes = tuple(replace(change, prior=before[change.target].get(change.key, ABSENT)) for change in made.changes)
    return World(name=name, before=before, changes=changes)


def _options() -> dict[str, Value]:
    return {f"option/{key}": Value(bounds.type, bounds.default) for key, bounds in BOUNDS.items()}


def _short(key: str, value: Value) -> Value:
    """Cut a file's text: what is in it makes no difference to a death, and its length only more of the same points."""
    if not key.startswith("file/"):
        return value
    content = value.as_document()
    return document(**{**content, "content": content["content"][:40]})


def kinds(world: World) -> set[str]:
    """Return the kinds of settings that the plan changes."""
    return {change.key.partition("/")[0] for change in world.changes}
