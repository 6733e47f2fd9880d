"""`lab up --estate`: a lab of what an inventory has; plan, check and migrate in it, and what is refused."""

from __future__ import annotations

import json
import os
import re
import subprocess

import pytest

from lab_client import Lab


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("a"), "--no-net", "--vms", "3", name=f"o{os.getpid()}") as up:
        yield up


@pytest.fixture(scope="module")
def document(original):
    file = original.folder / "estate.json"
    done = original.run("inventory", "-o", str(file))
    assert done.returncode == 0, done.stderr
    return file


@pytest.fixture(scope="module")
def rehearsal(document, tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("b"), "--no-net", "--estate", str(document), name=f"r{os.getpid()}") as up:
        yield up


def with_connections(theirs: str, ours: str) -> str:
    """Return the configuration *theirs* with the addresses, certificates, passwords and state of *ours*."""
    parts = [text.split("[target]") for text in (theirs, ours)]
    for half in (0, 1):
        for key in ("state_dir", "port", "password_file", "sha256"):
            found = re.search(rf"^{key} = .*$", parts[1][half], re.MULTILINE)
            if found:
                parts[0][half] = re.sub(rf"^{key} = .*$", found[0], parts[0][half], count=1, flags=re.MULTILINE)
    return "[target]".join(parts[0])


def planned(lab, config: str) -> dict:
    """Return the plan without the run's own name."""
    path = lab.folder / "planned.toml"
    path.write_text(config)
    done = lab.run("--config", str(path), "plan", "--mode", "native", "vm1", "vm2", "--output", "json", config=False)
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout.splitlines()[-1])
    text = json.dumps({key: value for key, value in made.items() if key not in {"journal", "at", "written"}})
    return json.loads(text.replace(made["run"], "RUN"))


def test_its_inventory_is_the_document(rehearsal, document):
    """Everything that was read is there again, to the byte."""
    assert rehearsal.run("inventory").stdout == document.read_text()


def test_a_plan_of_it_is_that_of_the_original(original, rehearsal):
    """Changes, placements, findings and forecast, with the same configuration."""
    theirs = original.config.read_text()
    assert planned(rehearsal, with_connections(theirs, rehearsal.config.read_text())) == planned(original, theirs)


def test_check_runs_in_it(rehearsal):
    """As against the vCenters themselves, without an error."""
    done = rehearsal.run("check", "--output", "json")
    assert done.returncode == 0, done.stderr


def test_a_vm_moves_and_what_moved_is_still_there_after_a_crash(rehearsal):
    """Real bytes from host to host; the target's vCenter keeps the VM with its disks and cards over a crash."""
    done = rehearsal.run("migrate", "--mode", "stock", "--yes", "vm1")
    assert done.returncode == 0, done.stderr
    for step in ("kill", "start"):
        assert rehearsal.run("lab", step, "target", "--name", rehearsal.name, config=False).returncode == 0
    made = json.loads(rehearsal.run("inventory").stdout)
    assert "vm1" not in [vm["name"] for vm in made["source"]["inventory"]["vms"]]
    (moved,) = [vm for vm in made["target"]["inventory"]["vms"] if vm["name"] == "vm1"]
    stores = {store["ref"] for store in made["target"]["inventory"]["datastores"]}
    assert {disk["datastore"] for disk in moved["disks"]} <= stores
    assert [nic["network"] for nic in moved["nics"]] == ["VM Network"]


def widened(made: dict) -> dict:
    """Give both sites a second datastore and a second network, and vm2 a disk and a card on these."""
    for site in ("source", "target"):
        told = made[site]["inventory"]
        for kind, noun in (("Datastore", "datastore"), ("Network", "network")):
            first = told[f"{noun}s"][0]
            ref = f"{kind}:{noun}-90"
            told[f"{noun}s"].append({**first, "ref": ref, "name": f"{noun} 2", "path": f"{noun} 2"})
            entity = next(one for one in made[site]["tree"] if one["ref"] == first["ref"])
            made[site]["tree"].append({**entity, "ref": ref, "name": f"{noun} 2"})
            for host in told["hosts"]:
                host[f"{noun}s"].append(ref)
    for host in (host for site in ("source", "target") for host in made[site]["inventory"]["hosts"]):
        group = next(one for one in host["portgroups"] if one["name"] == "VM Network")
        host["portgroups"].append({**group, "name": "network 2"})
    vm = next(vm for vm in made["source"]["inventory"]["vms"] if vm["name"] == "vm2")
    disk, card = vm["disks"][0], vm["nics"][0]
    vm["disks"].append({**disk, "key": 2001, "label": "Hard disk 2", "datastore": "Datastore:datastore-90"})
    vm["storage_bytes"] += disk["used_bytes"]
    mac = "00:50:56:8f:00:01"
    more = {"network": "network 2", "network_ref": "Network:network-90", "mac": mac}
    vm["nics"].append({**card, **more, "key": 4001, "label": "Network adapter 2"})
    return made


def test_disks_and_cards_go_each_to_their_own(document, tmp_path_factory):
    """A VM with two disks on two datastores and two cards on two networks has them so at the target, too."""
    folder = tmp_path_factory.mktemp("wide")
    file = folder / "wide.json"
    file.write_text(json.dumps(widened(json.loads(document.read_text()))))
    with Lab(folder, "--no-net", "--estate", str(file), name=f"w{os.getpid()}") as lab:
        done = lab.run("migrate", "--mode", "stock", "--yes", "vm2")
        assert done.returncode == 0, done.stderr
        told = json.loads(lab.run("inventory").stdout)["target"]["inventory"]
        (moved,) = [vm for vm in told["vms"] if vm["name"] == "vm2"]
        stores = {store["ref"]: store["name"] for store in told["datastores"]}
        assert [stores[disk["datastore"]] for disk in moved["disks"]] == ["datastore1", "datastore 2"]
        assert [card["network"] for card in moved["nics"]] == ["VM Network", "network 2"]
        moves = lab.control("source", "tasks")["tasks"]
        assert [task["state"] for task in moves if task["description"] == "VirtualMachine.relocate"] == ["success"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text[: len(text) // 2], "not a whole estate"),
        (lambda text: text.replace('"schema": 1', '"schema": 2', 1), "$.schema is 2, this lrvmotion reads 1"),
        (lambda text: text.replace('"host": "HostSystem:host-10"', '"host": "HostSystem:h-0"', 1), "vms[0].host is"),
    ],
    ids=["cut off", "newer", "no such host"],
)
def test_what_cannot_be_built_is_refused_and_nothing_is_left(original, document, tmp_path, change, said):
    """One sentence, exit status 2, no lab and no configuration."""
    file = tmp_path / "bad.json"
    file.write_text(change(document.read_text()))
    config = tmp_path / "bad.toml"
    done = original.run(
        "lab", "up", "--no-net", "--name", f"x{os.getpid()}", "--estate", str(file), "--file", str(config), config=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not config.exists()
    listed = original.run("lab", "status", "--name", f"x{os.getpid()}", config=False)
    assert listed.returncode != 0


def test_an_estate_and_a_number_of_vms_cannot_be_combined(original, document):
    """An estate has its own VMs."""
    done: subprocess.CompletedProcess = original.run(
        "lab", "up", "--no-net", "--vms", "3", "--estate", str(document), config=False
    )
    assert done.returncode == 2
    assert "--estate and --vms cannot be combined" in done.stderr
