"""The real CLI against a lab without a network: the three commands, and every kind of bad input."""

from __future__ import annotations

import json
import os
import re
import subprocess
from datetime import datetime, timedelta

import pytest

from lab_client import Lab

CANARY = "canary-9f2c71"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab"), "--no-net", name=f"w{os.getpid()}") as up:
        yield up


def refused(done: subprocess.CompletedProcess, status: int, *texts: str) -> str:
    """Assert a clean refusal: the status, one sentence with *texts*, and no traceback."""
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    for text in texts:
        assert text in done.stderr, done.stderr
    return done.stderr


def edited(lab, **values) -> str:
    """Write the lab's configuration with some values replaced, and return its path."""
    text = lab.config.read_text()
    for key, (section, value) in values.items():
        head, mark, tail = text.partition(f"[{section}]\n")
        text = head + mark + re.sub(rf"^{key} = .*$", f"{key} = {value}", tail, count=1, flags=re.MULTILINE)
    path = lab.folder / "edited.toml"
    path.write_text(text)
    return str(path)


def run(lab, config: str, *arguments: str, **more):
    argv = lab.argv("--config", config, *arguments, config=False)
    return subprocess.run(
        argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd=lab.folder, timeout=120, check=False, **more
    )


def test_plan_says_that_nothing_is_measured(lab):
    """No network is emulated: RTT and loss read "not measured", and nothing is pretended."""
    made = lab.json("plan", "--mode", "stock", "vm1", "vm2")
    assert {finding["code"] for finding in made["findings"]} == {"path-not-measured", "tags-not-read"}
    assert made["applyable"]


def test_native_needs_unproven_and_then_moves_and_restores(lab):
    """Refused without --unproven, with everything put back; with it the VM moves in as many streams as set."""
    before = lab.state()
    refused(
        lab.run("migrate", "--mode", "native", "--yes", "vm1"),
        3,
        "cannot be verified",
        "nothing was changed",
        "--unproven",
    )
    assert lab.state() == before
    done = lab.json("migrate", "--mode", "native", "--unproven", "--yes", "vm1")
    assert done["moves"]["vm1"]["state"] == "success"
    assert lab.state() != before
    back = lab.json("restore-defaults")
    assert (back["left"], back["settings_restored"]) == ([], done["settings_changed"])
    assert lab.state() == before
    assert "vm1" in lab.vms()["target"]


def test_nothing_to_restore_is_not_an_error(lab):
    """Twice is as good as once."""
    assert lab.json("restore-defaults")["settings_restored"] == 0


def test_an_unknown_vm_names_near_misses_and_changes_nothing(lab):
    """Exit 2."""
    counts = lab.control("source", "calls")["writes"]
    refused(
        lab.run("migrate", "--mode", "stock", "--yes", "vm22"), 2, "no VM is called 'vm22'", "hint: did you mean", "vm2"
    )
    assert lab.control("source", "calls")["writes"] == counts


def test_a_vm_that_was_moved_already_is_said_to_be_there(lab):
    """Exit 2 with the run that moved it, not "no VM is called"; nothing of what was named beside it is moved."""
    there = "vm1" in lab.vms()["target"]  # by the test above, where that ran in this process
    moved = lab.json("status")["runs"][-1] if there else lab.json("migrate", "--mode", "stock", "--yes", "vm1")
    run = moved["run"]
    counts = lab.control("source", "calls")["writes"]
    for words in (("migrate", "--mode", "stock", "--yes", "vm1"), ("plan", "--mode", "stock", "vm2", "vm1")):
        refused(lab.run(*words), 2, f"'vm1' is at the target already (run {run})", "hint: leave out")
    assert "no VM is called" not in lab.run("check", "vm1").stderr
    assert lab.control("source", "calls")["writes"] == counts


def test_a_wrong_password_is_tried_once(lab):
    """Exit 4, and no account is locked out by us."""
    before = lab.control("source", "calls")["calls"].get("Login", 0)
    done = lab.run("plan", "vm2", env={**os.environ, "LRVMOTION_SOURCE_PASSWORD": CANARY})
    text = refused(done, 4, "hint:")
    assert CANARY not in text + done.stdout
    assert lab.control("source", "calls")["calls"]["Login"] == before + 1


def test_another_certificate_is_refused_with_both_fingerprints(lab):
    """Exit 4; what is pinned and what is shown."""
    wrong = "ab" * 32
    text = refused(run(lab, edited(lab, sha256=("source", f'"{wrong}"')), "plan", "vm2"), 4)
    assert len(re.findall(r"(?:[0-9A-Fa-f]{2}:?){32}", text)) >= 2, text


def test_a_vcenter_that_is_not_there_is_unreachable(lab):
    """Exit 5: safe to try again."""
    refused(run(lab, edited(lab, port=("target", "1")), "plan", "vm2"), 5, "vCenter 127.0.0.1:1 does not answer")


def test_every_mistake_of_a_configuration_is_named(lab):
    """Exit 2, all at once."""
    path = edited(lab, port=("source", '"x"'), username=("target", "5"))
    refused(run(lab, path, "plan"), 2, "2 mistakes", "source.port", "target.username")


def test_a_password_file_that_others_can_read_is_refused(lab):
    """Exit 2."""
    file = lab.folder / "open-password"
    file.write_text("x")
    file.chmod(0o644)
    refused(run(lab, edited(lab, password_file=("source", f'"{file}"')), "plan", "vm2"), 2, "read by others")


def test_off_a_terminal_nobody_can_be_asked(lab):
    """Without --yes nothing is changed, and it says so."""
    refused(lab.run("migrate", "--mode", "stock", "vm2"), 3, "no terminal to confirm on", "--yes")


def test_a_mode_is_required_unless_configured(lab):
    """And must be one that exists."""
    refused(lab.run("migrate", "--yes", "vm2"), 2, "--mode is required")
    refused(lab.run("plan", "--mode", "fast", "vm2"), 2, "no mode 'fast'")


def test_a_pool_that_is_too_small_is_refused_by_plan(lab):
    """Exit 3 before anything is written."""
    path = edited(lab, addresses=("source.vmotion", '["10.88.0.20"]'))
    refused(run(lab, path, "plan", "--mode", "native", "vm2"), 3, "the pool has 1 free")


def test_a_mapping_to_what_does_not_exist_is_a_mistake(lab):
    """Exit 2, with near misses."""
    path = lab.folder / "mapped.toml"
    path.write_text(lab.config.read_text() + '\n[mappings.networks]\n"VM Network" = "VM Netwrok"\n')
    refused(
        run(lab, str(path), "plan", "--mode", "stock", "vm2"), 2, "no network 'VM Netwrok'; did you mean VM Network"
    )


def test_another_operators_run_on_the_host_is_refused_by_name(lab):
    """A port group that carries a run which is not in this journal: exit 5."""
    done = lab.json("migrate", "--mode", "native", "--unproven", "--yes", "vm2")
    run_id = done["run"]
    foreign = lab.folder / "elsewhere"
    argv = ("--state-dir", str(foreign))
    config = str(lab.config)
    refused(run(lab, config, *argv, "plan", "--mode", "native", "vm4"), 5, run_id)
    listed = run(lab, config, *argv, "restore-defaults")
    assert listed.returncode == 7
    assert f"lrvmotion-{run_id}-1" in listed.stdout
    assert lab.json("restore-defaults")["left"] == []
    clean = run(lab, config, *argv, "restore-defaults")
    assert (clean.returncode, "nothing" in clean.stdout) == (0, True)


def test_ndjson_is_one_event_a_line_after_the_schema(lab):
    """And the last event says how it ended."""
    done = lab.run("migrate", "--mode", "stock", "--yes", "--output", "ndjson", "vm3")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert (events[0]["type"], events[0]["schema"]) == ("version", "2.1")
    assert all(datetime.fromisoformat(event["at"]).utcoffset() == timedelta(0) for event in events)
    assert events[-1]["type"] == "run_ended"
    states = [event["state"] for event in events if event["type"] == "move"]
    assert (states[0], states[-1]) == ("queued", "success")


def test_what_somebody_else_changed_is_left_and_named(lab):
    """Exit 7, and --force handles it."""
    before = lab.state()
    done = lab.json("migrate", "--mode", "native", "--unproven", "--yes", "vm4")
    assert done["outstanding"]
    lab.set_option("source", "esx-a2", "Migrate.VMotionStreamHelpers", 6)
    back = lab.json("restore-defaults", status=7)
    assert [left["key"] for left in back["left"]] == ["option/Migrate.VMotionStreamHelpers"]
    assert lab.json("restore-defaults", "--force")["left"] == []
    assert lab.state() == before


def test_up_twice_and_down_twice_say_so(lab):
    """A plain sentence and a hint."""
    again = lab.run("lab", "up", "--no-net", "--name", lab.name, "--file", str(lab.config), config=False)
    refused(again, 3, "is up already", "hint:")
    refused(lab.run("lab", "down", "--name", "nosuchlab", config=False), 3, "no lab 'nosuchlab' is up", "hint:")


def test_no_secret_is_written_or_printed(lab):
    """The lab's own passwords are in its password files and its specification, and nowhere else."""
    passwords = [lab.spec.site(site).password for site in ("source", "target")]
    lab.run("--debug", "plan", "vm2")
    allowed = {"password", "spec.json"}
    for path in [*lab.directory.rglob("*"), *lab.folder.rglob("*")]:
        if path.is_file() and path.name not in allowed:
            content = path.read_bytes()
            assert not any(password.encode() in content for password in passwords), path
