"""The way back of a VM whose former host is gone or cannot take it: another host of its cluster, or none (E24)."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from lrvmotion.lab.spec import MIB, DatastoreSpec, VmSpec
from wire.untidy_site import host, running


def change(spec):
    """Two hosts in one cluster, a third in another; vm4 is on a datastore that only the first has."""
    lan = spec.source.lan.rpartition(".")[0]
    homes = {"vm1": "a1", "vm2": "a1", "vm3": "a3", "vm4": "a1"}
    source = replace(
        spec.source,
        hosts=(host("a1", lan, 11), host("a2", lan, 12), host("a3", lan, 13, cluster="Edge")),
        vms=tuple(
            VmSpec(
                name=name, host=at, memory_bytes=8 * MIB, disk_bytes=8 * MIB,
                datastore="local-a1" if name == "vm4" else "",
            )
            for name, at in homes.items()
        ),
        more_datastores=(DatastoreSpec(name="local-a1", hosts=("a1",)),),
    )  # fmt: skip
    return replace(spec, source=source)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with running(tmp_path_factory.mktemp("run"), change) as made:
        made.config.write_text(made.config.read_text() + '\n[mappings.datastores]\nlocal-a1 = "datastore1"\n')
        yield made


@pytest.fixture(scope="module")
def run(lab) -> str:
    """Move all four; return the run's id."""
    done = lab.run("migrate", "--mode", "stock", "vm1", "vm2", "vm3", "vm4", "--yes", "--output", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])["run"]


def back(lab, run: str, *more: str):
    done = lab.run("migrate", "--reverse", run, *more, "--yes", "--output", "ndjson")
    assert "Traceback" not in done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    found = [event["finding"] for event in events if event["type"] == "found"]
    return done, {one["code"]: one["summary"] for one in found}


def test_a_host_that_is_gone_is_replaced_by_another_of_its_cluster(lab, run):
    """A warning says so; a datastore that the other host does not mount is an error, before anything is moved."""
    lab.control("source", "hide", names=["a1"])
    try:
        done, found = back(lab, run, "vm1")
        assert done.returncode == 0, done.stderr
        assert found["host-replaced"] == "goes back to a2 of the same cluster: a1 is not there"
        assert lab.control("source", "state")["vms"]["vm1"]["host"] == "a2"
        done, _ = back(lab, run, "vm4")
        assert done.returncode == 3
        assert "no target host can take it: a1 is not there; a2 does not mount datastore local-a1" in done.stderr
        assert "vm4" in lab.control("target", "state")["vms"]
    finally:
        lab.control("source", "hide")


def test_a_host_in_maintenance_is_replaced_and_none_of_another_cluster_is_taken(lab, run):
    """vm3's host is alone in its cluster: it is refused."""
    for name in ("a1", "a3"):
        lab.control("source", "host_maintenance", host=name, on=True)
    try:
        done, _ = back(lab, run, "vm3")
        assert done.returncode == 3
        assert "no target host can take it: a3 is in maintenance mode" in done.stderr
        done, found = back(lab, run, "vm2")
        assert done.returncode == 0, done.stderr
        assert found["host-replaced"] == "goes back to a2 of the same cluster: a1 is in maintenance mode"
    finally:
        for name in ("a1", "a3"):
            lab.control("source", "host_maintenance", host=name, on=False)
    done, found = back(lab, run, "vm3")
    assert (done.returncode, "host-replaced" in found) == (0, False), done.stderr
    assert lab.control("source", "state")["vms"]["vm3"]["host"] == "a3"


def test_what_is_back_already_or_gone_is_left_out_and_told(lab, run):
    """Nobody named it; where somebody did, it is refused by the name that the run has, and so is a run that is back."""
    assert back(lab, run)[0].returncode == 0
    done = lab.run("migrate", "--mode", "stock", "vm1", "vm2", "vm3", "vm4", "--yes", "--output", "json")
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout.splitlines()[-1])["run"]
    assert back(lab, run, "vm1")[0].returncode == 0
    left = lab.control("target", "vm_leave", vm="vm2")
    try:
        done, _ = back(lab, run, "vm1")
        assert done.returncode == 2
        assert "source: 'vm1' is at the target already (run " in done.stderr
        lab.control("source", "hide", names=["a1", "local-a1"])
        try:
            done, _ = back(lab, run)
            assert done.returncode == 3, done.stderr
            assert "vm/vm4: the target has no datastore 'local-a1'  [datastore-missing]" in done.stderr
            assert "mappings do not change it" in done.stderr
            done, _ = back(lab, run, "--skip-refused")
        finally:
            lab.control("source", "hide")
        assert done.returncode == 6, done.stderr
        assert lab.vms() == {"source": ["vm1", "vm3"], "target": ["vm4"]}
        done, _ = back(lab, run)
        assert done.returncode == 0, done.stderr
        for vm, where in (("vm2", "and neither vCenter has it now"), ("vm3", "is at the target already (run ")):
            (said,) = [line for line in done.stdout.splitlines() if '"vm-gone"' in line and f'"vm/{vm}"' in line]
            assert where in said
        done, _ = back(lab, run)
        assert done.returncode == 2
        assert f"the way back of run {run}: none of its VMs is at the source any more" in done.stderr
    finally:
        lab.control("source", "vm_arrive", host="a1", document=left)
