"""100 VMs of 1 to 8 disks over 4 datastores go where each disk is mapped to, and come back: E4 and E16 in bulk."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace

import pytest
from pyVmomi import vim, vmodl

from lrvmotion.lab.spec import MIB, DatastoreSpec, DiskSpec, VmSpec
from wire.untidy_site import host, running

collector = vmodl.query.PropertyCollector
VMS, HOSTS, PER_DATASTORE = 100, 6, 2
STORES = ("datastore1", "data", "logs", "backup")
ROOM = {"tier-1": 1000, "tier-2": 1000, "tier-3": 900, "tier-4": 940}  # MiB that are free in each member of the cluster
GOES = {"datastore1": {"flat"}, "data": {*ROOM}, "logs": {*ROOM}, "backup": {"gold"}}
CONFIG = f"""
[mappings.datastores]
datastore1 = "flat"
data = "tier"
logs = "tier"
backup = "gold"

[limits]
per_datastore = {PER_DATASTORE}
"""


def change(spec):
    """Return *spec* with the VMs, on disks of random sizes; a move carries a small share of them."""
    draw = random.Random(4)
    vms = []
    for number in range(VMS):
        more = tuple(
            DiskSpec(size_bytes=draw.randint(1, 4) * MIB, datastore=draw.choice(STORES))
            for _ in range(draw.randint(0, 7))
        )
        vms.append(
            VmSpec(
                name=f"vm{number + 1}", host=f"a{number % HOSTS}", memory_bytes=MIB, datastore=draw.choice(STORES),
                disk_bytes=2 * MIB + sum(disk.size_bytes for disk in more), more_disks=more,
            )
        )  # fmt: skip
    members = tuple(DatastoreSpec(name=name, pod="tier", free_bytes=free * MIB) for name, free in ROOM.items())
    source = replace(
        spec.source, vms=tuple(vms), hosts=tuple(host(f"a{n}", "10.88.0", 10 + n) for n in range(HOSTS)),
        datastores=STORES,
    )  # fmt: skip
    target = replace(
        spec.target, hosts=tuple(host(f"b{n}", "10.99.0", 10 + n) for n in range(HOSTS)), datastores=("flat", "gold"),
        more_datastores=members,
    )  # fmt: skip
    return replace(spec, shrink=8, source=source, target=target)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with running(tmp_path_factory.mktemp("run"), change) as made:
        made.config.write_text(made.config.read_text() + CONFIG)
        yield made


def read(lab, site: str, kind: type, *paths: str) -> list[dict]:
    """Return properties of all objects of *kind*, as another client sees them."""
    connection = lab.somebody(site)
    try:
        content = connection.RetrieveContent()
        view = content.viewManager.CreateContainerView(content.rootFolder, [kind], recursive=True)
        inside = collector.TraversalSpec(name="inside", type=vim.view.ContainerView, path="view", skip=False)
        asked = collector.FilterSpec(
            propSet=[collector.PropertySpec(type=kind, pathSet=[*paths])],
            objectSet=[collector.ObjectSpec(obj=view, skip=True, selectSet=[inside])],
        )
        found = content.propertyCollector.RetrievePropertiesEx([asked], collector.RetrieveOptions())
        return [{prop.name: prop.val for prop in item.propSet} for item in found.objects] if found else []
    finally:
        connection._stub.DropConnections()


def disks(lab, site: str) -> dict[str, dict[int, str]]:
    """Return the datastore of each VM's home (0) and disks, by their keys."""
    found = {}
    for row in read(lab, site, vim.VirtualMachine, "name", "config.hardware.device", "config.files"):
        paths = {0: row["config.files"].vmPathName} | {
            device.key: device.backing.fileName
            for device in row["config.hardware.device"]
            if isinstance(device, vim.vm.device.VirtualDisk)
        }
        found[row["name"]] = {key: path.partition("]")[0].removeprefix("[") for key, path in paths.items()}
    return found


def most_at_once(lab, site: str) -> Counter:
    """Return how many relocates of vCenter's own task log held each datastore at once, at most."""
    changes = []
    for task in lab.control(site, "tasks")["tasks"]:
        for end, names in zip(("source", "target"), task["datastores"], strict=False):
            changes += [(task["queued"], 1, (end, name)) for name in names]
            changes += [(task["completed"], -1, (end, name)) for name in names]
    held, most = Counter(), Counter()
    for _, step, name in sorted(changes):
        held[name] += step
        most[name] = max(most[name], held[name])
    return most


def migrated(lab, *arguments: str) -> dict:
    done = lab.run("migrate", *arguments, "--yes", "--output", "json")
    assert done.returncode == 0, (done.stdout[-3000:], done.stderr[-3000:])
    result = json.loads(done.stdout.splitlines()[-1])
    assert Counter(move["state"] for move in result["moves"].values()) == {"success": VMS}
    return result


def test_e4_every_disk_of_100_vms_goes_where_it_is_mapped_and_comes_back(lab):
    """A cluster of 4 members is filled evenly, no datastore ever has more moves than it may, the way back is exact."""
    before = disks(lab, "source")
    assert len(before) == VMS
    run = migrated(lab, "--mode", "stock", "vm*")["run"]
    there = disks(lab, "target")
    assert {name: set(parts) for name, parts in there.items()} == {name: set(parts) for name, parts in before.items()}
    astray = [(name, key) for name in before for key, at in before[name].items() if there[name][key] not in GOES[at]]
    assert astray == []

    rows = read(lab, "target", vim.Datastore, "name", "summary.freeSpace")
    left = {row["name"]: row["summary.freeSpace"] for row in rows}
    fill = {name: 100 - 100 * left[name] / (max(ROOM.values()) * MIB) for name in ROOM}
    even = sum(fill.values()) / len(fill)
    assert even > 10
    assert {name: round(one - even, 1) for name, one in fill.items() if abs(one - even) > 5} == {}

    most = most_at_once(lab, "source")
    assert {name for _, name in most} == {*STORES, "flat", "gold", *ROOM}
    assert max(most.values()) == PER_DATASTORE, most

    migrated(lab, "--reverse", run)
    assert disks(lab, "source") == before
    assert max(most_at_once(lab, "target").values()) == PER_DATASTORE
    assert disks(lab, "target") == {}
