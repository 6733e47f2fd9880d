"""Migrations without a world, and whom the driver asks, for tests of the queue and its driver."""

from __future__ import annotations

from types import SimpleNamespace

from fakes import host
from lrvmotion.model.inventory import Datastore, Folder, MoRef, Pool
from lrvmotion.model.placement import Placement
from lrvmotion.plan.plan import Migration
from lrvmotion.run.moves.collaborators import Collaborators, Retries


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


class Said(SimpleNamespace):
    """A collaborator that answers with what a test gives for each of its methods."""


def collaborators(**given):
    """Return whom the driver asks: nothing is in the way but what *given* says, each one method of one of them."""
    said = {"look": lambda _: (), "hold": lambda _: [], "append": lambda _: None, "ended": lambda *_: None}
    said |= {"left_s": lambda: None, "longest_s": lambda: None, "is_over": lambda: False, **given}

    def of(*names):
        return Said(**{name: said[name] for name in names})

    return Collaborators(
        interrupts=said.get("interrupts", lambda: 0), clock=said.get("clock", lambda: 0.0), journal=of("append"),
        relays=of("look", "hold"), hooks=Said(hold=lambda _: [], ended=said["ended"]),
        window=of("left_s", "longest_s", "is_over"), retries=Retries(most=said.get("most", 1)),
    )  # fmt: skip


def ticking():
    """A clock that goes on by a minute at every look."""
    now = iter(range(0, 10**9, 60))
    return lambda: float(next(now))
