"""Every fault of the reference's lists, and every way that a vCenter can fail a run: each ends as documented."""

from __future__ import annotations

import json
import os
import signal
import threading
import time

import pytest

from lab_client import Lab

# reference section 4; a message key where the class alone does not decide
PASSING = [
    ("vim.fault.Timedout", None), ("vim.fault.TaskInProgress", None), ("vim.fault.ConcurrentAccess", None),
    ("vim.fault.MigrationNotReady", None), ("vim.fault.InsufficientResourcesFault", None),
    ("vim.fault.InsufficientHostCapacityFault", None), ("vim.fault.ResourceInUse", None),
    ("vim.fault.FileLocked", None),
    ("vmodl.fault.HostCommunication", None), ("vmodl.fault.HostNotConnected", None),
    ("vmodl.fault.HostNotReachable", None), ("vmodl.fault.SystemError", None),
    ("vim.fault.GenericVmConfigFault", "msg.migrate.fail.dst"), ("vim.fault.MigrationFault", "msg.vmotion.fail"),
    ("vim.fault.GenericVmConfigFault", "msg.checkpoint.migration.maxSwitchoverTimeExceeded"),
]  # fmt: skip
LASTING = [
    ("vim.fault.FeatureRequirementsNotMet", None), ("vim.fault.CpuIncompatible", None),
    ("vim.fault.CpuIncompatible1ECX", None), ("vim.fault.CpuIncompatible81EDX", None),
    ("vim.fault.NoPermission", None), ("vim.fault.InvalidLogin", None), ("vim.fault.SSLVerifyFault", None),
    ("vim.fault.VMotionNotConfigured", None), ("vim.fault.VMotionNotLicensed", None),
    ("vim.fault.VMotionNotSupported", None), ("vim.fault.VMotionProtocolIncompatible", None),
    ("vim.fault.VMotionLinkDown", None), ("vim.fault.DisallowedMigrationDeviceAttached", None),
    ("vim.fault.CannotAccessVmDisk", None), ("vim.fault.CannotAccessNetwork", None),
    ("vim.fault.CannotUseNetwork", None), ("vim.fault.RDMNotSupported", None), ("vim.fault.RDMNotPreserved", None),
    ("vim.fault.NonHomeRDMVMotionNotSupported", None), ("vim.fault.PhysCompatRDMNotSupported", None),
    ("vim.fault.SnapshotCopyNotSupported", None), ("vim.fault.CannotMoveVmWithDeltaDisk", None),
    ("vim.fault.InvalidDatastore", None), ("vim.fault.VirtualHardwareVersionNotSupported", None),
    ("vim.fault.DeviceNotSupported", None), ("vim.fault.EncryptionKeyRequired", None),
    ("vim.fault.LicenseRestricted", None), ("vim.fault.MigrationDisabled", None),
    ("vim.fault.InvalidPowerState", None), ("vmodl.fault.InvalidArgument", None), ("vmodl.fault.NotSupported", None),
    ("vmodl.fault.ManagedObjectNotFound", None), ("vmodl.fault.NotEnoughLicenses", None),
    ("vim.fault.ToolsInstallationInProgress", None), ("vim.fault.CannotAccessVmDevice", None),
    ("vim.fault.NoDiskSpace", None), ("vim.fault.DuplicateName", None),
    ("vim.fault.GenericVmConfigFault", None), ("vim.fault.MigrationFault", "msg.other"),
]  # fmt: skip
OTHERS = 18  # VMs for what goes wrong around the moves


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    count = str(len(PASSING) + len(LASTING) + OTHERS)
    with Lab(tmp_path_factory.mktemp("lab"), "--no-net", "--vms", count, name=f"x{os.getpid()}") as up:
        up.config.write_text(up.config.read_text() + "\n[limits]\nretry_wait_s = 0.5\nper_host = 2\n")
        yield up


@pytest.fixture
def vms():
    """Return the next VMs that no test has moved yet."""
    return lambda lab, count: sorted(lab.control("source", "state")["vms"], key=lambda name: int(name[2:]))[-count:]


def relocates(lab, vm: str) -> list[dict]:
    tasks = lab.control("source", "tasks")["tasks"]
    return [task for task in tasks if task["entity"] == vm and "relocate" in task["description"]]


def sites(lab, vm: str) -> list[str]:
    return [site for site in ("source", "target") if vm in lab.control(site, "state")["vms"]]


def migrated(lab, *names: str, status: int = 0) -> dict[str, dict]:
    return lab.json("migrate", "--mode", "stock", *names, "--yes", status=status)["moves"]


def test_every_fault_of_the_lists_is_tried_again_or_not(lab):
    """One fault a VM, in one queue: what passes moves at the second try, what lasts is named; the rest goes on."""
    names = {}
    for number, (fault, key) in enumerate((*PASSING, *LASTING), 1):
        names[f"vm{number}"] = (fault, key)
        rule = {"method": "RelocateVM_Task", "object": f"vm{number}", "fault": fault, "key": key, "in_task": True}
        lab.control("source", "fault_add", rule=rule)
    moves = migrated(lab, *names, status=6)
    for vm, (fault, key) in names.items():
        passing = (fault, key) in PASSING
        move = moves[vm]
        assert move["state"] == ("success" if passing else "error"), (fault, key, move)
        assert len(relocates(lab, vm)) == (2 if passing else 1), (fault, key)
        assert sites(lab, vm) == (["target"] if passing else ["source"]), (fault, key)
        if not passing:
            assert fault.rpartition(".")[2] in move["reason"], move


def test_a_fault_at_the_call_itself_is_treated_alike(lab, vms):
    """Which of the two a vCenter uses is not known."""
    passing, lasting = vms(lab, 2)
    for vm, fault in ((passing, "vim.fault.Timedout"), (lasting, "vim.fault.VMotionNotLicensed")):
        lab.control("source", "fault_add", rule={"method": "RelocateVM_Task", "object": vm, "fault": fault})
    moves = migrated(lab, passing, lasting, status=6)
    assert [moves[vm]["state"] for vm in (passing, lasting)] == ["success", "error"]


def test_an_answer_that_is_lost_starts_no_second_relocate(lab, vms):
    """The task began, its id never came: it is found and followed."""
    (vm,) = vms(lab, 1)
    rule = {"method": "RelocateVM_Task", "object": vm, "drop": True, "after": True}
    lab.control("source", "fault_add", rule=rule)
    assert migrated(lab, vm)[vm]["state"] == "success"
    assert len(relocates(lab, vm)) == 1


@pytest.mark.parametrize("site", ["source", "target"])
def test_a_session_that_ends_while_vms_move_is_opened_again(lab, vms, site):
    """At either vCenter; nothing moves twice."""
    names = vms(lab, 2)
    process = lab.spawn("migrate", "--mode", "stock", *names, "--yes", "--output", "ndjson")
    for line in process.stdout:
        if json.loads(line).get("state") == "running":
            lab.control(site, "sessions_expire")
            break
    rest, _ = process.communicate(timeout=120)
    ends = {event["vm"]: event["state"] for event in map(json.loads, rest.splitlines()) if event["type"] == "move"}
    assert (process.returncode, set(ends.values())) == (0, {"success"}), rest
    assert [len(relocates(lab, vm)) for vm in names] == [1, 1]


@pytest.mark.parametrize("site", ["source", "target"])
def test_a_vcenter_that_is_away_for_a_while_loses_nothing(lab, vms, site):
    """It does not answer for ten seconds while a VM moves, and has forgotten every session: followed and verified."""
    (vm,) = vms(lab, 1)
    pid = json.loads((lab.directory / site / "vcenter.json").read_text())["pid"]
    lab.control(
        "source", "fault_add", rule={"method": "RelocateVM_Task", "in_task": True, "delay_s": 3.0, "object": vm}
    )
    process = lab.spawn("migrate", "--mode", "stock", vm, "--yes", "--output", "ndjson")
    for line in process.stdout:
        if json.loads(line).get("state") == "running":
            break
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(10)
    finally:
        os.kill(pid, signal.SIGCONT)
    lab.control(site, "sessions_expire")
    rest, _ = process.communicate(timeout=180)
    ends = [event["state"] for event in map(json.loads, rest.splitlines()) if event["type"] == "move"]
    assert (process.returncode, ends[-1]) == (0, "success"), rest
    assert (len(relocates(lab, vm)), sites(lab, vm)) == (1, ["target"])


def test_connections_that_break_while_it_waits_cost_nothing(lab, vms):
    """Three long polls in a row are dropped."""
    (vm,) = vms(lab, 1)
    rule = {"method": "WaitForUpdatesEx", "drop": True, "count": 3}
    lab.control("source", "fault_add", rule=rule)
    assert migrated(lab, vm)[vm]["state"] == "success"
    assert len(relocates(lab, vm)) == 1


def test_a_target_that_does_not_answer_after_the_move_is_asked_again(lab, vms):
    """The VM has arrived; that it cannot be verified at once fails nobody."""
    (vm,) = vms(lab, 1)
    process = lab.spawn("migrate", "--mode", "stock", vm, "--yes", "--output", "ndjson")
    for line in process.stdout:
        if json.loads(line).get("state") == "running":
            lab.control("target", "fault_add", rule={"method": "FindByUuid", "drop": True, "count": 2})
            break
    rest, _ = process.communicate(timeout=120)
    assert process.returncode == 0, rest
    assert sites(lab, vm) == ["target"]


@pytest.mark.parametrize("site", ["source", "target"])
def test_a_vcenter_that_is_silent_when_a_vm_is_to_start_holds_it_not_for_good(lab, vms, site):
    """A look at the VM's host is not answered: both vCenters are asked where the VM is, and it is tried again."""
    names = vms(lab, 2)
    kept = lab.config.read_text()
    lab.config.write_text(f'{kept}max_concurrent = 1\n\n[depends_on]\n{names[1]} = ["{names[0]}"]\n')
    rule = {"method": "RelocateVM_Task", "in_task": True, "delay_s": 2.0, "object": names[0]}
    lab.control("source", "fault_add", rule=rule)
    try:
        process = lab.spawn("migrate", "--mode", "stock", *names, "--yes", "--output", "ndjson")
        for line in process.stdout:
            if json.loads(line).get("state") == "running":
                rule = {"method": "RetrievePropertiesEx", "path": "runtime.inMaintenanceMode", "drop": True}
                lab.control(site, "fault_add", rule=rule)
                break
        rest, _ = process.communicate(timeout=180)
    finally:
        lab.config.write_text(kept)
    moves = [event for event in map(json.loads, rest.splitlines()) if event["type"] == "move"]
    states = [event["state"] for event in moves if event["vm"] == names[1]]
    assert (process.returncode, states[-1]) == (0, "success"), rest
    assert "waiting" in states
    assert (len(relocates(lab, names[1])), sites(lab, names[1])) == (1, ["target"])


def test_a_host_that_is_lost_holds_its_vms_and_the_others_go_on(lab, vms):
    """Exit 6; connected again, a later run moves the rest."""
    names = vms(lab, 2)
    hosts = {vm: lab.control("source", "state")["vms"][vm]["host"] for vm in names}
    assert len(set(hosts.values())) == 2
    process = lab.spawn("migrate", "--mode", "stock", *names, "--yes", "--output", "json")
    lost = hosts[names[0]]
    threading.Timer(0.0, lambda: lab.control("source", "host_connection", host=lost, state="notResponding")).start()
    out, _ = process.communicate(timeout=120)
    lab.control("source", "host_connection", host=lost, state="connected")
    assert process.returncode in {2, 3, 6}, out
    assert all(len(sites(lab, vm)) == 1 for vm in names)
    assert sites(lab, names[0]) == ["source"]


def test_a_clock_that_jumps_changes_nothing(lab, vms):
    """A vCenter whose clock is a day ahead: waits are by our own monotonic clock."""
    (vm,) = vms(lab, 1)
    lab.control("source", "clock", ahead_s=86_400)
    try:
        assert migrated(lab, vm)[vm]["state"] == "success"
    finally:
        lab.control("source", "clock", ahead_s=0)


def test_an_interrupted_run_leaves_the_rest_queued_and_is_taken_up(lab, vms):
    """SIGTERM is Ctrl-C once: what runs ends, nothing more starts, exit 130; --resume does the rest."""
    names = vms(lab, 2)
    rule = {"method": "RelocateVM_Task", "in_task": True, "delay_s": 2.0, "count": 4}
    lab.control("source", "fault_add", rule=rule)
    process = lab.spawn("migrate", "--mode", "stock", names[0], "--yes", "--output", "ndjson")
    for line in process.stdout:
        if json.loads(line).get("state") == "running":
            process.send_signal(signal.SIGTERM)
            break
    process.communicate(timeout=120)
    assert process.returncode in {0, 130}
    lab.control("source", "fault_clear")
    deadline = time.monotonic() + 20
    while sites(lab, names[0]) != ["target"]:
        assert time.monotonic() < deadline
        time.sleep(0.2)
