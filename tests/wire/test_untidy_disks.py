"""Each disk goes to its own place, is verified there and comes back from there: E4 and E16 of the public reports."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from pyVmomi import vim

from lrvmotion.lab.spec import MIB, DatastoreSpec, DiskSpec, VmSpec
from wire.untidy_site import running

GIB = 1 << 30
MAPPINGS = """
[mappings.datastores]
datastore1 = "datastore1"
data = "gold"
logs = "tier"
"""


def change(spec):
    disks = (DiskSpec(size_bytes=4 * MIB, datastore="data"), DiskSpec(size_bytes=2 * MIB, datastore="logs"))
    vms = tuple(
        VmSpec(name=f"vm{n}", host="esx-a1", memory_bytes=8 * MIB, disk_bytes=16 * MIB, more_disks=disks)
        for n in range(1, 7)
    )
    there = (
        DatastoreSpec(name="gold"), DatastoreSpec(name="silver"),
        DatastoreSpec(name="tier-1", pod="tier", free_bytes=100 * GIB),
        DatastoreSpec(name="tier-2", pod="tier", free_bytes=200 * GIB),
    )  # fmt: skip
    source = replace(spec.source, vms=vms, more_datastores=(DatastoreSpec(name="data"), DatastoreSpec(name="logs")))
    return replace(spec, source=source, target=replace(spec.target, more_datastores=there))


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with running(tmp_path_factory.mktemp("run"), change) as made:
        made.config.write_text(made.config.read_text() + MAPPINGS)
        yield made


def disks(lab, site: str, name: str) -> dict[str, str]:
    """Return the datastore of each disk and of the .vmx file, as another client sees them."""
    si = lab.somebody(site)
    try:
        content = si.RetrieveContent()
        view = content.viewManager.CreateContainerView(content.rootFolder, [vim.VirtualMachine], recursive=True)
        (vm,) = [item for item in view.view if item.name == name]
        found = {
            device.deviceInfo.label: device.backing.datastore.name
            for device in vm.config.hardware.device
            if isinstance(device, vim.vm.device.VirtualDisk)
        }
        home = vm.config.files.vmPathName.partition("]")[0].removeprefix("[")
        assert set(found.values()) | {home} == {store.name for store in vm.datastore}
        return {**found, "home": home}
    finally:
        si._stub.DropConnections()


def migrated(lab, *arguments: str) -> dict:
    done = lab.run("migrate", *arguments, "--yes", "--output", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_e4_each_disk_goes_where_its_own_datastore_is_mapped_to_and_comes_back(lab):
    """A datastore cluster takes the freest member; the way back puts each disk where it was."""
    before = disks(lab, "source", "vm1")
    assert before == {
        "Hard disk 1": "datastore1", "Hard disk 2": "data", "Hard disk 3": "logs", "home": "datastore1",
    }  # fmt: skip
    run = migrated(lab, "--mode", "stock", "vm1")["run"]
    assert disks(lab, "target", "vm1") == {
        "Hard disk 1": "datastore1", "Hard disk 2": "gold", "Hard disk 3": "tier-2", "home": "datastore1",
    }  # fmt: skip
    migrated(lab, "--reverse", run)
    assert disks(lab, "source", "vm1") == before


def test_e4_the_csv_column_says_it_of_single_disks(lab):
    """What it does not name goes with the column `datastore`."""
    row = 'vm;datastore;disks\nvm2;silver;"Hard disk 2=gold; Hard disk 3=datastore1"\n'
    migrated(lab, "--mode", "stock", "--csv", lab.csv(row))
    assert disks(lab, "target", "vm2") == {
        "Hard disk 1": "silver", "Hard disk 2": "gold", "Hard disk 3": "datastore1", "home": "silver",
    }  # fmt: skip


def test_e4_space_counts_on_each_datastore(lab):
    """A datastore that is too small for its disk alone refuses the plan, and says which."""
    lab.control("target", "datastore_set", datastore="gold", free_bytes=3 * MIB)
    try:
        done = lab.run("plan", "--mode", "stock", "vm3", "--output", "json")
        found = {one["code"]: one["summary"] for one in json.loads(done.stdout.splitlines()[-1])["findings"]}
        assert done.returncode == 3
        assert "on gold" in found["datastore-space"]
    finally:
        lab.control("target", "datastore_set", datastore="gold", free_bytes=None)


def test_e4_a_disk_without_a_place_is_named(lab):
    """Its mapping is missing: its datastore is told, not that of the first disk."""
    lab.config.write_text(lab.config.read_text().replace('data = "gold"\n', ""))
    try:
        done = lab.run("plan", "--mode", "stock", "vm3", "--output", "json")
        found = {one["code"]: one["summary"] for one in json.loads(done.stdout.splitlines()[-1])["findings"]}
        assert "no datastore 'data'" in found["datastore-missing"]
    finally:
        lab.config.write_text(
            lab.config.read_text().replace("[mappings.datastores]\n", '[mappings.datastores]\ndata = "gold"\n')
        )


def test_e4_a_plan_file_keeps_the_place_of_each_disk(lab):
    """Made from the file, the move puts them there."""
    path = lab.folder / "plan.json"
    done = lab.run("plan", "--mode", "stock", "vm4", "-o", str(path))
    assert done.returncode == 0, done.stderr
    saved = json.loads(path.read_text())["migrations"][0]["placement"]["disks"]
    migrated(lab, "--plan", str(path))
    found = disks(lab, "target", "vm4")
    assert {disk["label"]: disk["datastore"]["name"] for disk in saved} == {
        label: store for label, store in found.items() if label != "home"
    }


def test_e4_a_disk_that_is_elsewhere_after_the_move_is_found(lab):
    """The look after the move compares each disk with its own datastore."""
    lab.control("target", "arrive_astray", disks={"2001": "silver"})
    try:
        done = lab.run("migrate", "--mode", "stock", "vm5", "--yes", "--output", "json")
        assert done.returncode == 6, done.stderr
        assert "Hard disk 2 is not on datastore gold at the target" in done.stdout
    finally:
        lab.control("target", "arrive_astray")


def test_e16_a_datastore_cluster_is_a_target_for_all_of_a_vm(lab):
    """By its name, in the CSV file."""
    migrated(lab, "--mode", "stock", "--csv", lab.csv("vm,datastore\nvm6,tier\n"))
    assert set(disks(lab, "target", "vm6").values()) <= {"tier-1", "tier-2"}
