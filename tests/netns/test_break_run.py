"""What goes wrong in the middle of a run: whatever it is, restore-defaults brings everything back, by the witness."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from lab_client import Lab
from lrvmotion.lab import witness
from lrvmotion.lab.box import machine, record

pytestmark = pytest.mark.netns
SITES = ("source", "target")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab"), name=f"tb{os.getpid()}") as up:
        yield up


@pytest.fixture
def before(lab):
    """The state before the test; after it everything is as it was, and every VM is on exactly one side."""
    state = lab.state()
    yield state
    for site in SITES:
        lab.control(site, "fault_clear")
    assert lab.json("restore-defaults")["left"] == []
    assert witness.differences(state, lab.state()) == []
    vms = lab.vms()
    assert sorted(vms["source"] + vms["target"]) == ["vm1", "vm2", "vm3", "vm4"]


def hosts(lab):
    return {site: lab.control(site, "state")["hosts"] for site in SITES}


def follow(child, until):
    """Read the events of *child* up to the first that *until* accepts."""
    events = []
    for line in child.stdout:
        events.append(json.loads(line))
        if until(events[-1]):
            break
    return events


def finish(child):
    out, err = child.communicate(timeout=120)
    assert "Traceback" not in err
    return [json.loads(line) for line in out.splitlines()]


def ended(events):
    return {event["vm"]: event["state"] for event in events if event["type"] == "move"}


def moving(percent):
    return lambda event: event["type"] == "move" and event["state"] == "running" and event["percent"] >= percent


def applied(key):
    return lambda event: event["type"] == "changed" and event["key"].startswith(key)


@pytest.mark.parametrize("key", ["sysctl/", "unit/", "route/"])
def test_kill_minus_9_in_apply(lab, before, key):
    """Dead after the first kernel setting, the relay's start, the first route."""
    child = lab.spawn("migrate", "--mode", "proxy", "--yes", "--output", "ndjson", "vm4")
    with child.stdout, child.stderr:
        follow(child, applied(key))
        child.kill()
        child.wait()
    assert witness.differences(before, lab.state()) != []


def test_ctrl_c_before_the_first_move_starts_none_and_restores_what_was_changed(lab, before):
    """Pressed while the hosts are changed: exit 130, no VM moves, nothing is outstanding, by the witness."""
    child = lab.spawn("migrate", "--mode", "proxy", "--yes", "--output", "ndjson", "vm4")
    with child.stdout, child.stderr:
        follow(child, applied("file/"))
        child.send_signal(signal.SIGINT)
        events = finish(child)
    assert child.returncode == 130
    assert ended(events) == {}
    assert events[-1]["type"] == "run_ended"
    assert (events[-1]["outstanding"], events[-1]["left"]) == (0, ["vm4"])
    assert witness.differences(before, lab.state()) == []
    assert "vm4" in lab.vms()["source"]


def test_relays_are_watched_after_ctrl_c_while_a_vm_moves(lab, before):
    """Nothing more is started, and the relay's counters are still told: the screen is alive."""
    rule = {"method": "RelocateVM_Task", "object": "vm4", "in_task": True, "delay_s": 600.0}
    lab.control("source", "fault_add", rule=rule)
    child = lab.spawn("migrate", "--mode", "proxy", "--yes", "--output", "ndjson", "vm4")
    with child.stdout, child.stderr:
        follow(child, moving(0))
        child.send_signal(signal.SIGINT)
        follow(child, lambda event: event["type"] == "interrupted")
        follow(child, lambda event: event["type"] == "relay_sample")
        child.send_signal(signal.SIGINT)
        follow(child, lambda event: event["type"] == "interrupted")
        lab.control("source", "fault_clear")
        events = finish(child)
    assert child.returncode in {6, 130}
    assert ended(events) == {"vm4": "cancelled"}


def test_ctrl_c_thrice_leaves_the_move_to_the_vcenter(lab, before):
    """Cancelling takes as long as the vCenter likes; nobody has to wait for it."""
    child = lab.spawn("migrate", "--mode", "proxy", "--yes", "--output", "ndjson", "vm4")
    with child.stdout, child.stderr:
        follow(child, moving(10))
        for _ in range(3):
            child.send_signal(signal.SIGINT)
            time.sleep(0.05)
        events = finish(child)
    assert child.returncode == 130
    assert max(event["level"] for event in events if event["type"] == "interrupted") >= 2


def test_a_fault_in_the_middle_of_apply_puts_everything_back(lab, before):
    """The second new vmknic is refused: exit 3, every setting as before without a restore."""
    rule = {"method": "AddVirtualNic", "fault": "vim.fault.HostConfigFault", "skip": 1}
    lab.control("source", "fault_add", rule=rule)
    done = lab.run("migrate", "--mode", "native", "--yes", "vm4")
    assert done.returncode == 3, done.stderr
    assert "everything was restored" in done.stderr
    assert witness.differences(before, lab.state()) == []


def test_a_full_disk_under_the_journal_changes_nothing_that_is_not_recorded(lab, before, tmp_path):
    """The settings go back at once; when there is room again, restore-defaults records it."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", tmp_path], check=True)
    try:
        (tmp_path / "fill").write_bytes(b"x" * (64 - 20) * 1024)
        state = ("--state-dir", str(tmp_path))
        done = lab.run(*state, "migrate", "--mode", "proxy", "--yes", "vm4")
        assert done.returncode == 7, done.stderr
        assert "No space left on device" in done.stderr
        assert witness.differences(before, lab.state()) == []
        (tmp_path / "fill").unlink()
        assert lab.json(*state, "restore-defaults")["left"] == []
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_lost_answers_and_ended_sessions_do_not_end_a_move(lab, before):
    """Polls are dropped and all sessions end while a VM moves: it arrives and is followed to its end."""
    child = lab.spawn("migrate", "--mode", "proxy", "--yes", "--output", "ndjson", "vm1")
    with child.stdout, child.stderr:
        follow(child, moving(10))
        lab.control("source", "fault_add", rule={"method": "WaitForUpdatesEx", "drop": True, "count": 2})
        for site in SITES:
            lab.control(site, "sessions_expire")
        events = finish(child)
    assert child.returncode == 0
    assert ended(events) == {"vm1": "success"}
    assert "vm1" in lab.vms()["target"]


def test_a_vm_that_changes_while_it_waits_is_held(lab, before):
    """A snapshot was taken since the plan: it is not moved; the one before it is."""
    child = lab.spawn("migrate", "--mode", "proxy", "--yes", "--output", "ndjson", "vm2", "vm4")
    with child.stdout, child.stderr:
        follow(child, moving(5))
        lab.control("source", "vm_snapshot", vm="vm4")
        events = finish(child)
    assert child.returncode == 6
    assert ended(events) == {"vm2": "success", "vm4": "held"}


def test_a_relay_box_that_dies_is_gone_round(lab, before):
    """Power off in the middle of a move: the VM stays, the routes go back by themselves, the box is restored later."""
    was = hosts(lab)
    box = record.read(record.record_path(lab.directory, "relay-a"))
    child = lab.spawn("migrate", "--mode", "proxy", "--yes", "--output", "ndjson", "vm3")
    with child.stdout, child.stderr:
        follow(child, moving(5))
        machine.power_off(box)
        try:
            events = finish(child)
            assert child.returncode == 6
            assert set(ended(events).values()) <= {"error", "held"}
            back = [event["key"] for event in events if event["type"] == "changed" and event["how"] == "reverted"]
            assert back
            assert all(key.startswith("route/") for key in back)
            left = lab.json("restore-defaults", status=7)["left"]
            assert {item["target"] for item in left} == {"relay/relay-a"}
            assert hosts(lab) == was
        finally:
            machine.power_on(record.read(record.record_path(lab.directory, "relay-a")))
    assert "vm3" in lab.vms()["source"]


def test_no_secret_is_written_shown_or_passed(lab, before):
    """Passwords from the environment: none in any output, file of the run or command line, whatever fails."""
    secrets = [lab.spec.site(site).password for site in SITES]
    names = {f"LRVMOTION_{site.upper()}_PASSWORD": secret for site, secret in zip(SITES, secrets, strict=True)}
    lab.control("source", "fault_add", rule={"method": "RelocateVM_Task", "fault": "vim.fault.InvalidLogin"})
    command = lab.argv("--debug", "migrate", "--mode", "proxy", "--yes", "vm3")
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=lab.folder,
        stdin=subprocess.DEVNULL, env={**os.environ, **names},
    )  # fmt: skip
    seen = b""
    with child.stdout:
        while child.poll() is None:
            for entry in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    seen += entry.read_bytes()
            time.sleep(0.3)
        said = child.stdout.read()
    assert child.returncode == 6, said
    files = b"".join(path.read_bytes() for path in (lab.directory / "state").rglob("*") if path.is_file())
    for secret in secrets:
        assert secret.encode() not in seen + files + said.encode()


def test_ssh_that_is_cut_while_a_vm_moves_costs_no_vm(lab, before):
    """The box relays on, nobody can ask it: the move goes to its end, and with SSH back all is restored."""
    box = record.read(record.record_path(lab.directory, "relay-a"))
    child = lab.spawn("migrate", "--mode", "proxy", "--yes", "--output", "ndjson", "vm3")
    with child.stdout, child.stderr:
        follow(child, moving(1))
        subprocess.run(["ip", "link", "set", box.device, "down"], check=True)
        try:
            time.sleep(8)
        finally:
            subprocess.run(["ip", "link", "set", box.device, "up"], check=True)
        events = finish(child)
    assert (child.returncode, ended(events)) == (0, {"vm3": "success"})
    assert "vm3" in lab.vms()["target"]


def test_a_relay_host_that_reboots_while_a_vm_moves_relays_the_next_try(tmp_path):
    """The move fails with its streams; what the box forgot, its CPU governor, is set again, and the VM is not held.

    In a lab of its own: what earlier tests left of the relay's history decides what is set.
    """
    with Lab(tmp_path, name=f"rb{os.getpid()}") as lab:
        state = lab.state()
        lab.config.write_text(f"{lab.config.read_text()}\n[limits]\nretry_wait_s = 1\nmax_attempts = 5\n")
        box = record.read(record.record_path(lab.directory, "relay-a"))
        child = lab.spawn("migrate", "--mode", "proxy", "--yes", "--output", "ndjson", "vm4")
        with child.stdout, child.stderr:
            events = follow(child, moving(5))
            machine.power_off(box)  # not a reboot in good order: a relay that drains may carry the VM to its end
            machine.power_on(box)
            later = finish(child)
        told = [(event.get("state"), event.get("reason")) for event in events + later if event["type"] == "move"]
        assert (child.returncode, ended(later)) == (0, {"vm4": "success"}), told
        governor = [event for event in later if event["type"] == "changed" and event["key"] == "governor"]
        assert [(event["how"], event["target"]) for event in governor] == [("applied", "relay/relay-a")], told
        assert lab.json("restore-defaults")["left"] == []
        assert witness.differences(state, lab.state()) == []
