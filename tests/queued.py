"""Migrations without a world, and whom the driver asks, for tests of the queue and its driver."""

from __future__ import annotations

from fakes import host
from lrvmotion.model.inventory import Datastore, Folder, MoRef, Pool
from lrvmotion.model.placement import Placement
from lrvmotion.plan.plan import Migration
from lrvmotion.run.migration_driver import RunCollaborators


def migration(name, source="a1", target="b1", **changes):
    place = Placement(
        host=host(target, "10.99.0.9"),
        pool=Pool(ref=MoRef("ResourcePool", "resgroup-1"), path="Cluster/Resources", cluster="Cluster"),
        folder=Folder(ref=MoRef("Folder", "group-v1"), path="", datacenter="DC"),
        datastore=Datastore(ref=MoRef("Datastore", "datastore-1"), name="ds", capacity_bytes=1, free_bytes=1),
    )
    return Migration(
        vm=name, ref=MoRef("VirtualMachine", name), instance_uuid=name, source_host=source, placement=place,
        hot_bytes=100, cold_bytes=0, power_state="poweredOn", snapshots=0,
        **changes,
    )  # fmt: skip


def guard(**changes):
    content = {
        "interrupts": lambda: 0,
        "watch": lambda running: (),
        "hold": lambda migration: [],
        "record": lambda body: None,
        "clock": lambda: 0.0,
    }
    return RunCollaborators(**{**content, **changes})


def ticking():
    """A clock that goes on by a minute at every look."""
    now = iter(range(0, 10**9, 60))
    return lambda: float(next(now))
