"""Passwords and the webhook's token stay secret, through a whole run, a crash and a kill, verbose."""

from __future__ import annotations

import json
import signal
from dataclasses import replace

import pytest

from canaries import BUG, ECHO, REPEATED, Watch
from lrvmotion.lab import world
from wire.no_net_lab import no_net_lab

SOURCE, TARGET, WRONG, TOKEN = (
    "c4nary-S0urce-81d2f0",
    "c4nary-T4rget-92e3a1",
    "c4nary-Wr0ng-a3f4b2",
    "c4nary-t0ken-b405",
)
HOOK = """#!/bin/sh
{ env; cat; tr '\\0' '\\n' < /proc/self/environ; tr '\\0' '\\n' < /proc/$PPID/cmdline; } >> told
sleep 0.3
"""


@pytest.fixture(scope="module")
def watch(tmp_path_factory):
    def change(spec):
        sites = {
            name: replace(spec.site(name), password=word) for name, word in (("source", SOURCE), ("target", TARGET))
        }
        return replace(spec, **sites)

    folder = tmp_path_factory.mktemp("run")
    with no_net_lab(change) as lab:
        text = world.configuration(lab.spec, lab.directory)
        kept = [line for line in text.splitlines() if not line.startswith(("password_file", "state_dir"))]
        hook = folder / "hook"
        hook.write_text(HOOK)
        hook.chmod(0o755)
        hooks = ["[hooks]", *(f'{when}_{what} = "{hook}"' for when in ("before", "after") for what in ("vm", "run"))]
        config = folder / "lab.toml"
        config.write_text("\n".join(['state_dir = "state"', *kept, *hooks, 'metrics = "run.prom"', ""]))
        given = {
            "LRVMOTION_SOURCE_PASSWORD": SOURCE, "LRVMOTION_TARGET_PASSWORD": TARGET,
            "LRVMOTION_WEBHOOK": f"http://127.0.0.1:9/{TOKEN}",
        }  # fmt: skip
        with Watch(folder, config, [SOURCE, TARGET, WRONG, TOKEN], given) as made:
            yield made
    made.files()
    assert made.hits == []


def killed(watch: Watch, *arguments: str) -> None:
    """Kill -9 a run while its VM moves."""
    with watch.spawn("migrate", "--output", "ndjson", *arguments) as child:
        for line in child.stdout:
            watch.see(line, "printed by a run that was killed")
            event = json.loads(line)
            if event["type"] == "move" and event["state"] == "running":
                break
        child.send_signal(signal.SIGKILL)
        out, err = child.communicate()
    watch.see(out + err, "printed by a run that was killed")


def test_no_secret_is_printed_written_or_shown(watch):
    """0 hits in every line, every file, every archive, and in the process list while it runs."""
    native = ("migrate", "--mode", "native", "--unproven", "--yes")
    watch.run("plan", "--mode", "native", "-o", "plan.json", "vm1")
    said = watch.run("migrate", "--plan", "plan.json", "--unproven", "--yes")
    assert "the webhook at 127.0.0.1" in said, "its failure is said, without its address"
    killed(watch, *native[1:], "vm2")
    watch.run("migrate", "--resume", "--unproven", "--yes")
    watch.run("restore-defaults")
    watch.run("status", "--output", "json")
    watch.run("report", "--format", "html")
    watch.run("report", "--audit")
    watch.run("support", "-o", "plain.tar.gz")
    watch.run("support", "--anonymous", "-o", "anonymous.tar.gz")
    assert watch.files() > 10
    assert (watch.folder / "told").read_text().count("LRVMOTION_HOOK=before_vm") >= 2
    assert watch.looks > 20
    assert watch.hits == []


@pytest.mark.parametrize("crash", [BUG, ECHO], ids=["bug", "echo"])
def test_a_crash_shows_no_secret(watch, crash):
    """An exception that nobody foresaw, and a vCenter that repeats the whole call, its password included."""
    said = watch.run("migrate", "--mode", "stock", "--yes", "vm3", crash=crash, status=1 if crash == BUG else 6)
    assert ("Traceback" in said) == (crash == BUG)
    watch.files()
    assert watch.hits == []


LOGIN_ECHO = "vim.fault.InvalidLogin(msg=str(args), faultMessage=[])"


@pytest.mark.parametrize("call", ["RelocateVM_Task", "Login"])
@pytest.mark.parametrize("crash", REPEATED)
def test_an_exception_that_repeats_its_call_shows_no_secret(watch, crash, call):
    """Of any class, at the login and at the relocate, which both have a password: whatever becomes of the command."""
    with watch.spawn("migrate", "--mode", "stock", "--yes", "vm3", crash=crash, call=call) as child:
        out, err = child.communicate(timeout=240)
    assert child.returncode in {1, 5, 6}, err.decode()
    assert b"***" in out + err, "the call was repeated, without the password"
    watch.see(out + err, f"printed of {crash}")
    watch.files()
    assert watch.hits == []


@pytest.mark.parametrize(("crash", "status"), [(ECHO, 3), (LOGIN_ECHO, 4)], ids=["runtime-fault", "invalid-login"])
def test_a_fault_of_the_login_that_repeats_it_shows_no_secret(watch, crash, status):
    """The vCenter's own words are told, without the password."""
    said = watch.run("migrate", "--mode", "stock", "--yes", "vm3", crash=crash, call="Login", status=status)
    assert "***" in said
    assert watch.hits == []


def test_a_wrong_password_is_not_repeated(watch):
    """Refused, exit 4, verbose."""
    before = watch.environment["LRVMOTION_TARGET_PASSWORD"]
    watch.environment["LRVMOTION_TARGET_PASSWORD"] = WRONG
    try:
        said = watch.run("migrate", "--mode", "stock", "--yes", "vm4", status=4)
    finally:
        watch.environment["LRVMOTION_TARGET_PASSWORD"] = before
    assert "Traceback" in said, "verbose"
    assert watch.hits == []


def test_the_watch_sees_what_is_there(watch, tmp_path):
    """A watch that finds nothing must be one that would: a file, a line, base64, a process."""
    import base64
    import subprocess
    import time

    other = Watch(tmp_path, watch.config, [word := "c4nary-0ther-c516"], {})
    (tmp_path / "x").write_bytes(b"..." + base64.b64encode(b"user:" + word.encode()))
    other.files()
    other.see(word.encode(), "line")
    with other, subprocess.Popen(["sleep", "1.5"], env={"X": word}):
        time.sleep(1)
    assert len(other.hits) >= 3, other.hits
