"""A lab serves whoever had it built, and leaves their machine as it was, whatever else goes on there."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys

import pytest

from lab_client import Lab
from lrvmotion.lab import witness
from lrvmotion.lab.netns import lab_id

pytestmark = pytest.mark.netns
NOBODY = 65534


def test_through_sudo_the_files_are_the_users(tmp_path, monkeypatch):
    """Configuration, passwords, key and state folder: theirs alone, and the way to each is open to them."""
    monkeypatch.setenv("SUDO_UID", str(NOBODY))
    monkeypatch.setenv("SUDO_GID", str(NOBODY))
    with Lab(tmp_path, name=f"p{os.getpid()}") as lab:
        folder = lab.directory
        secret = [
            folder / "source" / "password",
            folder / "target" / "password",
            folder / "relay-a.key",
            folder / "state",
        ]
        for path in [lab.config, *secret]:
            assert path.stat().st_uid == NOBODY, path
        for path in secret:
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
            done = subprocess.run(["test", "-r", path], user=NOBODY, group=NOBODY, extra_groups=[], check=False)
            assert done.returncode == 0, path
        assert f'key_file = "{folder / "relay-a.key"}"' in lab.config.read_text()
        status = lab.run("lab", "status", "--name", lab.name, config=False)
        assert "relay host relay-a  running" in status.stdout
        assert "loss that rises with load" in status.stdout
        lab.run("lab", "down", "--name", lab.name, config=False)
        assert not lab.config.exists()


def test_an_edited_configuration_stays(tmp_path):
    """Only what `lab up` wrote is removed by `lab down`."""
    with Lab(tmp_path, "--no-net", name=f"e{os.getpid()}") as lab:
        lab.config.write_text(lab.config.read_text() + "# mine\n")
    assert lab.config.exists()


def test_a_second_lab_writes_its_own_configuration(tmp_path):
    """NAME.toml by default; the file of a lab that is up is refused, and nothing is built."""
    first, second = f"f{os.getpid()}", f"g{os.getpid()}"
    with Lab(tmp_path, "--no-net", name=first) as lab:
        text = lab.config.read_text()
        refused = lab.run("lab", "up", "--no-net", "--name", second, "--file", str(lab.config), "--force", config=False)
        assert (refused.returncode, lab.config.read_text()) == (3, text)
        assert f"the lab '{first}', which is up" in refused.stderr
        made = lab.run("lab", "up", "--no-net", "--name", second, config=False)
        try:
            assert made.returncode == 0, made.stderr
            assert (tmp_path / f"{second}.toml").exists()
            assert lab.config.read_text() == text
        finally:
            lab.run("lab", "down", "--name", second, config=False)
        assert lab.config.read_text() == text


def test_where_no_namespace_was_ever_made_nothing_is_left(tmp_path):
    """The folder that `ip netns` mounts once for all is not the lab's; in a mount namespace that has none yet."""
    name = f"n{os.getpid()}"
    script = (
        "import json, subprocess, sys; from pathlib import Path; from lrvmotion.lab import witness;"
        "lab, folder = sys.argv[1], Path('/nowhere');"
        "before = witness.machine(lab, folder);"
        "subprocess.run(['ip', 'netns', 'add', f'lrv-{lab}-x'], check=True);"
        "during = witness.machine(lab, folder);"
        "subprocess.run(['ip', 'netns', 'delete', f'lrv-{lab}-x'], check=True);"
        "left = witness.left_behind(before, witness.machine(lab, folder));"
        "print(json.dumps([witness.left_behind(before, during), left]))"
    )
    fresh = 'umount -l /run/netns 2>/dev/null; mount -t tmpfs none /run && exec "$@"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", fresh, "sh", sys.executable, "-c", script, lab_id_of(name)],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    during, left = json.loads(done.stdout)
    assert {line.partition(":")[0] for line in during} == {"namespaces", "mounts"}
    assert left == []


def test_another_lab_is_not_left_behind_by_this_one(tmp_path):
    """Namespaces, devices, routes and mounts of other labs are theirs."""
    mine = lab_id_of(f"m{os.getpid()}")
    before = witness.machine(mine, tmp_path / "none")
    with Lab(tmp_path, name=f"o{os.getpid()}") as other:
        assert witness.left_behind(before, witness.machine(mine, tmp_path / "none")) == []
        own = witness.machine(lab_id(other.spec), other.directory)
        left = witness.left_behind(before, own)
        assert {line.partition(":")[0] for line in left} >= {"namespaces", "devices", "routes", "mounts", "processes"}


def lab_id_of(name: str) -> str:
    """Return the id of a lab of this name that is not up."""
    from lrvmotion.lab import standard

    return lab_id(standard.standard(name, net=False, passwords=("a", "b")))


def test_events_stay_on_stdout_while_the_screen_is_live(tmp_path):
    """With stderr on a terminal and stdout in a pipe, every line of stdout is an event, and the screen is drawn."""
    import pty

    with Lab(tmp_path, "--no-net", name=f"s{os.getpid()}") as lab:
        master, slave = pty.openpty()
        argv = lab.argv("migrate", "--mode", "stock", "--yes", "--output", "ndjson", "vm1")
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=slave, stdin=subprocess.DEVNULL) as child:
            os.close(slave)
            events = [json.loads(line) for line in child.stdout]
        drawn = os.read(master, 65536)
        os.close(master)
    assert [event["type"] for event in events][-1] == "run_ended"
    assert b"stock mode" in drawn


def test_a_reader_that_leaves_does_not_end_the_run(tmp_path):
    """`migrate --output ndjson | head -1`: the VM is moved all the same, and the status is the run's own."""
    with Lab(tmp_path, "--no-net", name=f"r{os.getpid()}") as lab:
        argv = lab.argv("migrate", "--mode", "stock", "--yes", "--output", "ndjson", "vm1")
        child = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        child.stdout.readline()
        child.stdout.close()
        with child.stderr:
            said = child.stderr.read()
        assert (child.wait(), said) == (0, b"")
        assert "vm1" in lab.vms()["target"]
