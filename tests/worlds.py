"""A small world to plan in: two hosts at the source, one at the target, and a plan without planning."""

from __future__ import annotations

from fakes import change_of, host, inventory
from lrvmotion.config import schema as configs
from lrvmotion.model.setting import ABSENT, Value, document
from lrvmotion.model.target_id import TargetId
from lrvmotion.plan.placer import Placer
from lrvmotion.plan.plan import Migration, Plan

CONFIG = {
    "source": {"vcenter": "a", "username": "u", "vmotion": {"addresses": ["10.88.0.20-10.88.0.59"]}},
    "target": {"vcenter": "b", "username": "u", "password_file": "/secret/place"},
    "relay": {"source": [{"name": "r1", "host": "h", "address": "10.88.0.1"}]},
}
HOST = TargetId.host("source", "a1")
A1 = host("a1", "10.88.0.9")
A2 = host("a2", "10.88.0.10")
B1 = host("b1", "10.99.0.9")
TARGET = inventory("target", (B1,))


def source(*machines):
    return inventory("source", (A1, A2), machines)


def migration(machine, target=TARGET) -> Migration:
    placement, found = Placer(configs.parse(CONFIG), source(machine), target).place(machine)
    assert placement is not None, found
    return Migration(
        vm=machine.name, ref=machine.ref, instance_uuid=machine.instance_uuid, source_host="a1", placement=placement,
        hot_bytes=1, cold_bytes=0, power_state=machine.power_state, snapshots=machine.snapshots,
    )  # fmt: skip


def plan(*machines, **changes) -> Plan:
    content = {
        "changes": (
            change_of(HOST, "option/x", Value("long", 0), Value("long", 1), "why"),
            change_of(HOST, "vmknic/10.88.0.20", ABSENT, document(mtu=1500), "why"),
        ),
        "migrations": tuple(migration(machine) for machine in machines),
        "new_vmknics": ((HOST, "10.88.0.20"),),
    }
    return Plan(run="abcdef", owner_id="abcdef", mode="native", **{**content, **changes})
