"""The real CLI against a lab without a network: runs and restores that are interrupted, and what goes on afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import shlex
import signal
import subprocess
import termios
from pathlib import Path

import pytest

from held_phase import DEADLINE_S, Run, begin, delayed, go_on, hold, strike, until
from lab_client import Lab

NATIVE = ("migrate", "--mode", "native", "--unproven", "--yes")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab"), "--no-net", "--vms", "48", name=f"y{os.getpid()}") as up:
        yield up


@pytest.fixture
def vms(lab) -> list[str]:
    """Return three VMs that are at the source, on one host: one moves after the other."""
    there = lab.control("source", "state")["vms"]
    by_host: dict[str, list[str]] = {}
    for name in sorted(there, key=lambda name: int(name[2:])):
        by_host.setdefault(there[name]["host"], []).append(name)
    return max(by_host.values(), key=len)[:3]


@pytest.fixture(autouse=True)
def clean(lab):
    """Let go on what is held, and restore what is left, so that the next one finds the lab as it was."""
    before = lab.state()
    yield
    go_on(lab)
    lab.json("restore-defaults")
    assert lab.state() == before


@pytest.fixture
def changed(lab, vms) -> int:
    """Move a VM, and return how many settings remain changed."""
    return lab.json(*NATIVE, vms[0])["outstanding"]


def at_target(lab, names: list[str]) -> list[str]:
    there = lab.control("target", "state")["vms"]
    return [name for name in names if name in there]


def log_of(lab, run: str) -> str:
    return (Path(lab.json("status")["journal"]).parent / "runs" / run / "run.log").read_text()


@pytest.mark.parametrize("output", ["text", "json", "ndjson"])
@pytest.mark.parametrize("event", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_an_interrupted_restore_ends_after_the_setting_in_hand(lab, changed, tmp_path, event, output):
    """Exit 130; it says what is left, which the next one restores."""
    hold(lab, "restoring")
    run = begin(lab, tmp_path, "restore-defaults", "--output", output)
    until(lambda: delayed(lab, "UpdateOptions"), "a setting is being restored")
    strike(run, event, tmp_path)
    go_on(lab)
    assert run.end() == 130, run.stderr
    left = len(lab.json("status")["outstanding"])
    assert 0 < left < changed
    last = run.stdout.splitlines()[-1]
    if output == "text":
        assert f"{left} setting" in run.stdout
        assert "To restore" in run.stdout
    elif output == "json":
        assert (json.loads(last)["outstanding"], json.loads(last)["settings_restored"]) == (left, changed - left)
    else:
        end = json.loads(last)
        assert (end["type"], end["outstanding"], end["restored"]) == ("restore_ended", left, changed - left)
        assert end["restore"].endswith("restore-defaults")


def test_a_second_ctrl_c_ends_a_restore_at_once(lab, changed, tmp_path):
    """While a vCenter does not answer: exit 130, and the setting in hand is still outstanding."""
    hold(lab, "restoring")
    run = begin(lab, tmp_path, "restore-defaults")
    until(lambda: delayed(lab, "UpdateOptions"), "a setting is being restored")
    for number in (signal.SIGINT, signal.SIGTERM):  # two of one number at once would be one
        run.process.send_signal(number)
    assert run.end() == 130, run.stderr
    assert delayed(lab, "UpdateOptions")
    assert "Traceback" not in run.stderr
    assert 0 < len(lab.json("status")["outstanding"]) <= changed


@pytest.mark.parametrize(("event", "status"), [("the reader leaves", 0), ("the disk is full", 1)])
def test_a_restore_that_nobody_sees_restores_all(lab, changed, tmp_path, event, status):
    """Its log has it."""
    hold(lab, "restoring")
    run = begin(lab, tmp_path, "restore-defaults")
    until(lambda: delayed(lab, "UpdateOptions"), "a setting is being restored")
    strike(run, event, tmp_path)
    go_on(lab)
    assert run.end() == status
    assert lab.json("status")["outstanding"] == []
    logs = (Path(lab.json("status")["journal"]).parent / "runs").glob("*/run.log")
    assert (
        f"{changed} settings restored; hosts and relay hosts are as before"
        in max(logs, key=lambda path: path.stat().st_mtime).read_text()
    )


@pytest.mark.parametrize("first", ["SIGHUP", "SIGTERM"])
def test_a_hangup_counts_once(lab, vms, tmp_path, first):
    """A shell and the kernel both send it, a service manager behind its SIGTERM: what moves is not cancelled."""
    hold(lab, "moving")
    run = begin(lab, tmp_path, *NATIVE, "--output", "ndjson", *vms[:2])
    until(lambda: delayed(lab, "RelocateVM_Task"), "a VM moves")
    for name in (first, "SIGHUP"):
        strike(run, name, tmp_path)
        until(lambda: '"interrupted"' in run.stdout, "it was taken")
    go_on(lab)
    assert run.end() == 130, run.stderr
    assert at_target(lab, vms) == vms[:1]
    events = [json.loads(line) for line in run.stdout.splitlines()]
    assert [event["level"] for event in events if event["type"] == "interrupted"] == [1]


def test_nohup_is_respected(lab, vms, tmp_path):
    """A hangup that was ignored when it was started stays ignored."""
    hold(lab, "moving")
    argv = ["nohup", *lab.argv(*NATIVE, "--output", "json", vms[0])]
    run = Run(
        subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, cwd=lab.folder)
    )
    until(lambda: delayed(lab, "RelocateVM_Task"), "a VM moves")
    strike(run, "SIGHUP", tmp_path)
    go_on(lab)
    assert run.end() == 0, run.stderr
    assert json.loads(run.stdout.splitlines()[-1])["moves"][vms[0]]["state"] == "success"


def test_a_terminal_that_is_closed_ends_the_run_as_one_ctrl_c(lab, vms):
    """The live screen is gone with it; the run's log has the end."""
    hold(lab, "moving")
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (40, 160))
    process = subprocess.Popen(
        ["setsid", "--ctty", *lab.argv(*NATIVE, *vms[:2])], stdin=slave, stdout=slave, stderr=slave, cwd=lab.folder
    )
    os.close(slave)
    os.set_blocking(master, False)
    seen = b""

    def moves() -> int:
        nonlocal seen
        with contextlib.suppress(BlockingIOError):
            seen += os.read(master, 65536)
        return delayed(lab, "RelocateVM_Task")

    until(moves, "a VM moves")
    assert b"native mode" in seen
    os.close(master)
    go_on(lab)
    assert process.wait(DEADLINE_S) == 130
    assert at_target(lab, vms) == vms[:1]
    run = lab.json("status")["runs"][-1]["run"]
    log = log_of(lab, run)
    assert "interrupted: no more VMs are started" in log
    assert f"1 VM has not moved: {vms[1]}" in log
    assert "remain changed for the next VMs" in log


def test_what_the_last_line_names_goes_on_with_the_run(lab, vms, tmp_path):
    """`resume` and `restore` of run_ended are commands that do what they say."""
    hold(lab, "moving")
    run = begin(lab, tmp_path, *NATIVE, "--output", "ndjson", *vms)
    until(lambda: delayed(lab, "RelocateVM_Task"), "a VM moves")
    strike(run, "SIGTERM", tmp_path)
    go_on(lab)
    assert run.end() == 130, run.stderr
    end = json.loads(run.stdout.splitlines()[-1])
    assert (end["type"], end["left"]) == ("run_ended", vms[1:])
    resumed = lab.run(*shlex.split(end["resume"])[1:], "--yes", "--unproven", config=False)
    assert resumed.returncode == 0, resumed.stderr
    assert at_target(lab, vms) == vms
    assert "not moved" not in resumed.stdout
    restored = lab.run(*shlex.split(end["restore"])[1:], config=False)
    assert restored.returncode == 0, restored.stderr
    assert lab.json("status")["outstanding"] == []


@pytest.mark.parametrize("ends", ["well", "SIGTERM"])
def test_the_hook_after_the_run_runs_once_before_the_last_line(lab, vms, tmp_path, ends):
    """With --restore it hears that nothing is outstanding any more."""
    notes = tmp_path / "notes"
    hook = tmp_path / "note"
    hook.write_text(f'#!/bin/sh\necho "$LRVMOTION_HOOK $LRVMOTION_OUTSTANDING" >>{notes}\n')
    hook.chmod(0o755)
    config = lab.folder / "hooked.toml"
    config.write_text(f'{lab.config.read_text()}\n[hooks]\nbefore_run = "{hook}"\nafter_run = "{hook}"\n')
    hold(lab, "moving")
    run = Run(
        subprocess.Popen(
            lab.argv("--config", str(config), *NATIVE, "--restore", "--output", "ndjson", *vms[:2], config=False),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, cwd=lab.folder,
        )
    )  # fmt: skip
    until(lambda: delayed(lab, "RelocateVM_Task"), "a VM moves")
    if ends != "well":
        strike(run, ends, tmp_path)
    go_on(lab)
    assert run.end() == (0 if ends == "well" else 130), run.stderr
    assert notes.read_text().splitlines() == ["before_run ", "after_run 0"]
    kinds = [json.loads(line)["type"] for line in run.stdout.splitlines()]
    assert kinds[-2:] == ["hook_ran", "run_ended"]
    assert kinds.count("run_ended") == 1
    assert json.loads(run.stdout.splitlines()[-1])["outstanding"] == 0


def test_an_error_after_the_start_is_followed_by_the_last_line(lab, vms):
    """A hook that refuses the run: `error`, then `run_ended`; as json the document has both; as text the summary."""
    config = lab.folder / "refused.toml"
    config.write_text(f'{lab.config.read_text()}\n[hooks]\nbefore_run = "false"\n')

    def refused(output: str) -> subprocess.CompletedProcess:
        done = lab.run("--config", str(config), *NATIVE, "--output", output, vms[0], config=False)
        assert done.returncode == 3, done.stderr
        return done

    events = [json.loads(line) for line in refused("ndjson").stdout.splitlines()]
    assert [event["type"] for event in events[-2:]] == ["error", "run_ended"]
    assert (events[-2]["status"], events[-1]["left"]) == (3, [vms[0]])
    (document,) = [json.loads(line) for line in refused("json").stdout.splitlines()]
    assert (document["error"]["status"], document["status"], document["unmoved"]) == (3, 3, [vms[0]])
    text = refused("text")
    assert "1 VM has not moved" in text.stdout
    assert "migrate --resume --run" in text.stdout


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_is_not_utf_8_shows_every_command(lab, vms, encoding):
    """plan, migrate, status, report and restore-defaults: each has its exit status, and says what is left."""
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    for words, status, said in (
        (("plan", "--mode", "native", vms[0]), 0, "native mode"),
        ((*NATIVE, vms[0]), 0, "remain changed for the next VMs. To restore them:"),
        (("status",), 0, "outstanding"),
        (("report",), 0, "native mode"),
        (("report", "--audit"), 0, ""),
        (("restore-defaults",), 0, "hosts and relay hosts are as before"),
    ):
        done = lab.run(*words, env=environment)
        assert done.returncode == status, (words, done.stdout, done.stderr)
        assert said in done.stdout, (words, done.stdout)
        assert "Traceback" not in done.stderr
