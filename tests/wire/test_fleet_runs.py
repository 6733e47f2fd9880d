"""The real CLI against a lab without a network: waves, tries, a run that is resumed, and its way back."""

from __future__ import annotations

import contextlib
import json
import os
import signal

import pytest

from lab_client import Lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab"), "--no-net", "--vms", "12", name=f"f{os.getpid()}") as up:
        yield up


def where(lab, *names: str) -> dict[str, list[str]]:
    """Return at which sites each VM is, by its instance UUID."""
    found: dict[str, list[str]] = {name: [] for name in names}
    for site in ("source", "target"):
        for name in lab.control(site, "state")["vms"]:
            if name in found:
                found[name].append(site)
    return found


def relocates(lab, vm: str, site: str = "source") -> list[dict]:
    tasks = lab.control(site, "tasks")["tasks"]
    return [task for task in tasks if task["entity"] == vm and "relocate" in task["description"]]


def test_a_wave_begins_when_the_one_before_it_has_ended(lab):
    """By the vCenter's own task log; the CSV file says the waves."""
    (lab.folder / "waves.csv").write_text("vm,wave,depends_on\nvm1,2,\nvm2,1,\nvm3,2,vm1\n")
    shown = lab.run("plan", "--mode", "stock", "--csv", "waves.csv").stdout
    rows = [line.split()[:2] for line in shown.splitlines() if "esx-a" in line and " vm" in line]
    assert [row for row in rows if row[0].isdigit()] == [["1", "vm2"], ["2", "vm1"], ["2", "vm3"]], shown
    done = lab.json("migrate", "--mode", "stock", "--csv", "waves.csv", "--yes")
    assert {vm: move["state"] for vm, move in done["moves"].items()} == dict.fromkeys(("vm1", "vm2", "vm3"), "success")
    log = {vm: relocates(lab, vm)[0] for vm in ("vm1", "vm2", "vm3")}
    assert log["vm2"]["completed"] <= log["vm1"]["queued"]
    assert log["vm1"]["completed"] <= log["vm3"]["queued"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("vm,depends_on\nvm4,vm5\nvm5,vm4\n", "a VM depends on itself"),
        ("vm,wave,depends_on\nvm4,1,vm5\nvm5,2,\n", "vm4 (wave 1) depends on vm5, which is in wave 2"),
    ],
)
def test_a_vm_that_could_never_start_is_refused(lab, text, words):
    """Exit 2, and nothing moves."""
    (lab.folder / "circle.csv").write_text(text)
    done = lab.run("migrate", "--mode", "stock", "--csv", "circle.csv", "--yes")
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert words in done.stderr


def test_a_fault_that_passes_is_tried_again_once_both_sides_were_asked(lab):
    """Two tasks for the VM, one move; a fault that stays is not tried again, and the rest of the queue goes on."""
    rule = {"method": "RelocateVM_Task", "in_task": True, "count": 1}
    lab.control("source", "fault_add", rule={**rule, "object": "vm4", "fault": "vim.fault.Timedout"})
    lab.control("source", "fault_add", rule={**rule, "object": "vm5", "fault": "vim.fault.VMotionNotLicensed"})
    config = lab.folder / "quick.toml"
    config.write_text(lab.config.read_text().replace("[limits]\n", "[limits]\nretry_wait_s = 0.5\n"))
    if "[limits]" not in config.read_text():
        config.write_text(config.read_text() + "\n[limits]\nretry_wait_s = 0.5\n")
    done = lab.run(
        "--config", str(config), "migrate", "--mode", "stock", "vm4", "vm5", "vm6", "--yes", "--output", "json",
        config=False,
    )  # fmt: skip
    moves = json.loads(done.stdout.splitlines()[-1])["moves"]
    assert (done.returncode, [moves[vm]["state"] for vm in ("vm4", "vm5", "vm6")]) == (
        6,
        ["success", "error", "success"],
    )
    assert [len(relocates(lab, vm)) for vm in ("vm4", "vm5", "vm6")] == [2, 1, 1]
    assert where(lab, "vm4", "vm5") == {"vm4": ["target"], "vm5": ["source"]}


def test_on_failure_stop_starts_nothing_more(lab):
    """Exit 6; what did not start is still at the source."""
    rule = {"method": "RelocateVM_Task", "object": "vm7", "in_task": True, "fault": "vim.fault.VMotionNotLicensed"}
    lab.control("source", "fault_add", rule=rule)
    done = lab.json("migrate", "--mode", "stock", "vm7", "vm9", "--on-failure", "stop", "--yes", status=6)
    assert [done["moves"][vm]["state"] for vm in ("vm7", "vm9")] == ["error", "queued"]
    assert where(lab, "vm9") == {"vm9": ["source"]}


def test_a_killed_run_is_taken_up_and_moves_nothing_twice(lab):
    """kill -9 while VMs move: --resume follows what runs, moves the rest, and knows when there is nothing left."""
    names = ("vm8", "vm9", "vm10", "vm11")
    process = lab.spawn("migrate", "--mode", "stock", *names, "--yes", "--output", "ndjson")
    run = None
    for line in process.stdout:
        event = json.loads(line)
        run = event.get("run", run)
        if event["type"] == "move" and event["state"] == "success":
            break
    process.send_signal(signal.SIGKILL)
    with contextlib.suppress(Exception):
        process.communicate(timeout=10)
    done = lab.json("migrate", "--resume", "--yes")
    assert done["run"] == run
    assert {move["state"] for move in done["moves"].values()} == {"success"}
    assert where(lab, *names) == {name: ["target"] for name in names}
    assert [len(relocates(lab, name)) for name in names] == [1, 1, 1, 1]
    again = lab.run("migrate", "--resume", "--run", run, "--yes")
    assert (again.returncode, "all of its VMs have moved" in again.stderr) == (2, True)


def test_the_way_back_of_a_run(lab):
    """--reverse brings its VMs back to their hosts, datastores and networks, under a run of its own."""
    before = lab.control("source", "state")["vms"]["vm12"]
    run = lab.json("migrate", "--mode", "stock", "vm12", "--yes")["run"]
    assert where(lab, "vm12") == {"vm12": ["target"]}
    done = lab.json("migrate", "--reverse", run, "--yes")
    assert (done["run"] != run, done["moves"]["vm12"]["state"]) == (True, "success")
    after = lab.control("source", "state")["vms"]["vm12"]
    kept = ("instance_uuid", "host", "datastore", "power")
    assert [after[key] for key in kept] == [before[key] for key in kept]
    assert where(lab, "vm12") == {"vm12": ["source"]}


def test_a_run_that_does_not_exist_is_named(lab):
    """Exit 2, with near misses; --run alone says what it is for."""
    for words in (("--resume", "--run", "nosuch"), ("--reverse", "nosuch")):
        done = lab.run("migrate", *words, "--yes")
        assert (done.returncode, "there is no run 'nosuch' in this journal" in done.stderr) == (2, True), done.stderr
    assert lab.run("migrate", "--run", "x", "--yes").returncode == 2
