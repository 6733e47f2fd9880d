"""One hook as a process: what it is told, how it fails, and that nothing of it stays."""

from __future__ import annotations

import json
import os
import time

from lrvmotion.run.hooks import Hooks, without_secrets


def hooks(script: str, told=None, *, timeout_s: float = 20.0, **more) -> Hooks:
    environment = without_secrets({"PATH": os.environ["PATH"], "DB_PASSWORD": "x", "LRVMOTION_WEBHOOK": "https://h/t"})
    return Hooks(
        commands={"before_vm": ("sh", "-c", script)}, timeout_s=timeout_s, environment=environment,
        observer=(told if told is not None else []).append, **more,
    )  # fmt: skip


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_is_told_by_environment_and_on_standard_input(tmp_path):
    """Both say the same; no variable with a password or the webhook is passed on."""
    told: list = []
    called = hooks(f"cd {tmp_path}; cat > document; env > environment", told)
    assert called.run("before_vm", "vm/dß", {"vm": "dß", "wave": 2, "vms": ["a"], "reason": None}) is None
    assert json.loads((tmp_path / "document").read_text()) == {
        "schema": 1, "hook": "before_vm", "subject": "vm/dß", "vm": "dß", "wave": 2, "vms": ["a"], "reason": None,
    }  # fmt: skip
    given = dict(line.split("=", 1) for line in (tmp_path / "environment").read_text().splitlines())
    assert {name: given[f"LRVMOTION_{name}"] for name in ("HOOK", "VM", "WAVE", "SUBJECT")} == {
        "HOOK": "before_vm", "VM": "dß", "WAVE": "2", "SUBJECT": "vm/dß",
    }  # fmt: skip
    assert not [name for name in given if "PASSWORD" in name or "WEBHOOK" in name]
    assert [(event.point, event.subject, event.status) for event in told] == [("before_vm", "vm/dß", 0)]


def test_a_point_without_a_command_is_nothing():
    """No process, no event."""
    told: list = []
    assert hooks("true", told).run("after_vm", "vm/a", {}) is None
    assert told == []


def test_the_last_line_is_the_reason():
    """On one line, without a terminal's own characters; a command that reads nothing is no trouble."""
    said = hooks("echo first; printf 'no \\033[31mbackup\\n\\n' >&2; exit 3").run(
        "before_vm", "vm/a", {"x": "y" * 200_000}
    )
    assert said == "hook before_vm ended with 3: no  [31mbackup"


def test_what_cannot_be_started_has_failed():
    """A NUL in a name, which no environment takes, holds that VM and ends no run."""
    assert "could not be started" in hooks("true").run("before_vm", "vm/a", {"vm": "a\0b"})


def test_at_its_time_out_all_that_it_started_is_ended(tmp_path):
    """Also what does not heed SIGTERM; and meanwhile the run looks after what moves."""
    child = f"trap '' TERM; echo \\$\\$ > {tmp_path}/child; while :; do sleep 0.1; done"
    script = f"trap '' TERM; sh -c \"{child}\" & wait; sleep 60"
    looks: list = []
    began = time.monotonic()
    said = hooks(script, timeout_s=2.5, meanwhile=lambda: looks.append(1)).run("before_vm", "vm/a", {})
    assert said == "hook before_vm: not ended after 2.5 s, and was stopped"
    assert time.monotonic() - began < 12
    assert len(looks) >= 2
    pid = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 5
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(pid)
