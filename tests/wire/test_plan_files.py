"""The real CLI against a lab without a network: a saved plan is done exactly, and a stale one is refused by name."""

from __future__ import annotations

import json
import os
import stat

import pytest

from lab_client import Lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab"), "--no-net", "--vms", "6", name=f"p{os.getpid()}") as up:
        yield up


def planned(lab, *arguments: str, mode: str = "stock", name: str = "plan.json") -> str:
    done = lab.run("plan", "--mode", mode, *arguments, "-o", name)
    assert done.returncode == 0, done.stderr
    assert f"migrate --plan {name}" in done.stdout
    return name


def stale(lab, file: str, *texts: str) -> None:
    """Assert that *file* is refused as stale, by name, with nothing written anywhere."""
    counts = [lab.control(site, "calls")["writes"] for site in ("source", "target")]
    done = lab.run("migrate", "--plan", file, "--yes", "--unproven")
    assert done.returncode == 9, (done.stdout, done.stderr)
    for text in ("the plan is stale, nothing was changed", *texts):
        assert text in done.stderr, done.stderr
    assert [lab.control(site, "calls")["writes"] for site in ("source", "target")] == counts


def test_a_saved_plan_moves_what_it_says(lab):
    """The file is its owner's alone; migrate needs neither VM nor mode; done twice it is stale."""
    file = planned(lab, "vm1")
    assert stat.S_IMODE((lab.folder / file).stat().st_mode) == 0o600
    saved = json.loads((lab.folder / file).read_text())
    done = lab.json("migrate", "--plan", file, "--yes")
    assert done["moves"]["vm1"]["state"] == "success"
    assert done["run"] != saved["plan"]["run"]
    assert done["moves"]["vm1"]["target_host"] == saved["migrations"][0]["placement"]["host"]["name"]
    stale(lab, file, "vm/vm1: is no longer at the source")


def test_what_is_made_carries_the_plans_owner_id_and_is_known_as_ours(lab):
    """Another id for the run, the planned names on the hosts; the next run goes on with them, restore finds them."""
    before = lab.state()
    file = planned(lab, "vm2", mode="native")
    owner_id = json.loads((lab.folder / file).read_text())["plan"]["owner_id"]
    done = lab.json("migrate", "--plan", file, "--yes", "--unproven")
    assert (done["moves"]["vm2"]["state"], done["run"] != owner_id) == ("success", True)
    assert f"lrvmotion-{owner_id}-1" in json.dumps(lab.state())
    again = lab.json("plan", "--mode", "native", "vm3", status=0)
    assert not [finding for finding in again["findings"] if finding["code"] == "host-locked"]
    assert lab.json("restore-defaults")["left"] == []
    after = lab.state()
    assert [after[site]["hosts"] for site in after if "hosts" in after[site]] == [
        before[site]["hosts"] for site in before if "hosts" in before[site]
    ]


def test_a_stale_plan_names_what_changed(lab):
    """Exit 9 before anything is changed; what came back to what it was is no change."""
    file = planned(lab, "vm4", "vm5")
    lab.control("source", "vm_power", vm="vm4", on=False)
    lab.control("target", "host_connection", host="esx-b1", state="disconnected")
    power = "vm/vm4: power state is poweredOff, the plan has poweredOn"
    stale(lab, file, power, "target/esx-b1: connection is disconnected, the plan has connected")
    lab.control("source", "vm_power", vm="vm4", on=True)
    lab.control("target", "host_connection", host="esx-b1", state="connected")
    lab.control("source", "vm_snapshot", vm="vm4")
    stale(lab, file, "nothing was changed: vm/vm4: number of snapshots is 1, the plan has 0")
    (move,) = lab.json("plan", "--mode", "stock", "vm4")["migrations"]
    assert move["hot_bytes"] > 0
    assert move["cold_bytes"] > 0


def test_a_setting_that_somebody_changed_makes_a_plan_stale(lab):
    """Its prior value is part of what the plan rests on."""
    file = planned(lab, "vm5", mode="native")
    (move,) = json.loads((lab.folder / file).read_text())["migrations"]
    lab.set_option("source", move["source_host"], "Migrate.VMotionStreamHelpers", 7)
    stale(lab, file, f"source/{move['source_host']}: Migrate.VMotionStreamHelpers is 7, the plan has 0")


def test_an_edited_plan_is_refused(lab):
    """Exit 2, in a sentence."""
    file = lab.folder / planned(lab, "vm6")
    file.write_text(file.read_text().replace("esx-b", "esx-c"))
    # LRVMOTION_MODE is for runs without a plan: it neither changes one nor stands against it.
    done = lab.run("migrate", "--plan", file.name, "--yes", env={**os.environ, "LRVMOTION_MODE": "proxy"})
    assert (done.returncode, "changed after it was written" in done.stderr) == (2, True)


def test_a_plan_leaves_no_room_for_another(lab):
    """Names, mode and selection are said by the plan; one way to choose at a time."""
    done = lab.run("migrate", "--plan", "plan.json", "--mode", "stock", "--yes", "vm5")
    assert done.returncode == 2
    assert "names of VMs, --mode cannot be combined with --plan" in done.stderr
    done = lab.run("plan", "--mode", "stock", "--select", "name=vm5", "vm5")
    assert (done.returncode, "cannot be combined" in done.stderr) == (2, True)
    done = lab.run("migrate", "--mode", "stock", "--yes")
    assert (done.returncode, "no VM is named" in done.stderr) == (2, True)


def test_a_plan_with_errors_is_not_written(lab):
    """What cannot be migrated is no plan."""
    lab.control("target", "host_connection", host="esx-b1", state="disconnected")
    lab.control("target", "host_connection", host="esx-b2", state="disconnected")
    done = lab.run("plan", "--mode", "stock", "vm5", "-o", "bad.json")
    for host in ("esx-b1", "esx-b2"):
        lab.control("target", "host_connection", host=host, state="connected")
    assert (done.returncode, (lab.folder / "bad.json").exists()) == (3, False), done.stderr


def test_changes_pending_have_an_exit_status(lab):
    """Exit 10 with --detailed-exitcode, written or not."""
    assert lab.json("plan", "--mode", "stock", "vm5", "--detailed-exitcode", status=10)["applyable"]
    assert lab.json("plan", "--mode", "stock", "--detailed-exitcode")["migrations"] == []


def test_vms_are_selected_by_what_they_are(lab):
    """One call for the traits of all VMs."""
    made = lab.json(
        "plan",
        "--mode",
        "stock",
        "--select",
        "name=vm[56] and power=on and datastore=* and network=* and not host=nowhere",
    )
    assert [move["vm"] for move in made["migrations"]] == ["vm5", "vm6"]
    done = lab.run("plan", "--mode", "stock", "--select", "host=esx-a* and datastore=* and network=* and name=web-*")
    assert (done.returncode, "no VM matches 'host=esx-a*" in done.stderr) == (2, True)
    done = lab.run("plan", "--mode", "stock", "--select", "nam=web-*")
    assert (done.returncode, "did you mean name?" in done.stderr) == (2, True)


def test_a_csv_places_vms_and_orders_them(lab):
    """Its values win over mappings; a name that the target does not have is said with its line."""
    file = lab.folder / "vms.csv"
    file.write_text("\ufeffvm;target_host;wave\nvm5;esx-b2;2\nvm6;;1\n")
    made = lab.json("plan", "--mode", "stock", "--csv", "vms.csv")
    assert [(move["vm"], move["target_host"]) for move in made["migrations"]][1] == ("vm5", "esx-b2")
    file.write_text("vm,target_host\nvm5,esx-b22\nvm55,\n")
    done = lab.run("migrate", "--mode", "stock", "--yes", "--csv", "vms.csv")
    assert done.returncode == 2
    assert "line 2: the target has no host 'esx-b22'" in done.stderr
    assert "line 3: no VM is called 'vm55'" in done.stderr
    assert "did you mean" in done.stderr
