"""The CLI of a user without a home folder and without an entry in passwd, as in a container."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest


def nobody(tmp_path, *arguments: str) -> subprocess.CompletedProcess:
    """Run the CLI as a container's user: without HOME, and with a number that passwd does not have."""
    environment = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        ["unshare", "--user", "--map-user=54321", sys.executable, "-m", "lrvmotion", *arguments], capture_output=True,
        text=True, check=False, timeout=120, cwd=tmp_path, stdin=subprocess.DEVNULL, env=environment,
    )  # fmt: skip


@pytest.fixture(scope="module")
def namespaces():
    """Skip where no user namespace can be made."""
    command = ["unshare", "--user", "--map-user=54321", "true"]
    if shutil.which("unshare") is None or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("no user namespaces here")


@pytest.mark.parametrize("command", ["status", "restore-defaults", "report", "throttle"])
def test_a_user_without_a_home_names_a_state_folder(tmp_path, namespaces, command):
    """One sentence without --state-dir; with it everything works."""
    more = ["2G"] if command == "throttle" else []
    done = nobody(tmp_path, command, *more)
    assert done.returncode == 2
    assert "--state-dir" in done.stderr
    assert "Traceback" not in done.stderr
    done = nobody(tmp_path, "--state-dir", str(tmp_path / "state"), command, *more)
    assert done.returncode == (0 if command in {"status", "restore-defaults"} else 2), done.stderr
    assert "Traceback" not in done.stderr


def test_a_home_that_is_not_known_is_said_where_a_path_needs_it(tmp_path, namespaces):
    """~ in the configuration, and in an option."""
    sites = '[source]\nvcenter = "a"\nusername = "u"\npassword_file = "~/pw"\n[target]\nvcenter = "b"\nusername = "u"\n'
    (tmp_path / "lrvmotion.toml").write_text(sites)
    done = nobody(tmp_path, "--state-dir", "state", "plan", "vm1")
    assert done.returncode == 2
    assert "line 4: source.password_file: '~/pw': the home folder is not known" in done.stderr
    done = nobody(
        tmp_path, "init", "--source-vcenter", "a", "--source-username", "u", "--target-vcenter", "b",
        "--target-username", "u", "--source-password-file", "~/pw", "--file", "new.toml",
    )  # fmt: skip
    assert done.returncode == 2
    assert "the home folder is not known" in done.stderr


def test_a_state_folder_without_a_run_is_no_sign_that_nothing_was_changed(namespaces, tmp_path):
    """Whoever misspells --state-dir is not told that nothing is outstanding."""
    done = nobody(tmp_path, "--state-dir", str(tmp_path / "statte"), "restore-defaults")
    assert done.returncode == 0, done.stderr
    assert f"no run was recorded in {tmp_path / 'statte'}" in done.stdout
    assert "nothing is outstanding" not in done.stdout
