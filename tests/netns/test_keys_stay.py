"""The key of a relay host and both vCenters' passwords stay secret through a proxy run that is killed, verbose."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest

from canaries import Watch
from lab_client import Lab

pytestmark = pytest.mark.netns

BEGINNING = "b3BlbnNzaC1rZXktdjEA"  # of every key in OpenSSH's format


def test_no_key_and_no_password_leaves_a_proxy_run(tmp_path):
    """0 hits in every line, every file, every archive, and in the process list, the boxes' and the relay's included."""
    folder = tmp_path / "run"
    folder.mkdir()
    with Lab(tmp_path) as lab:
        text = re.sub(r"^state_dir = .*\n|^password_file = .*\n", "", lab.config.read_text(), flags=re.MULTILINE)
        config = folder / "lab.toml"
        config.write_text(f'state_dir = "state"\nlimits.probes = 2\n{text}')
        keys = [Path(found).read_text() for found in re.findall(r'^key_file = "(.*)"', text, re.MULTILINE)]
        lines = [line for key in keys for line in key.splitlines() if len(line) > 30 and "KEY" not in line]
        private = [
            line for line in lines if not line.startswith("b3BlbnNzaC1rZXktdjEAAAAABG5vbmU")
        ]  # every key's beginning
        passwords = [lab.spec.source.password, lab.spec.target.password]
        assert private
        given = {"LRVMOTION_SOURCE_PASSWORD": passwords[0], "LRVMOTION_TARGET_PASSWORD": passwords[1]}
        with Watch(folder, config, [*passwords, *private], given) as watch:
            with watch.spawn("migrate", "--mode", "proxy", "--yes", "--output", "ndjson", "vm1", "vm2") as child:
                for line in child.stdout:
                    watch.see(line, "printed by a run that was killed")
                    event = json.loads(line)
                    if event["type"] == "move" and event["state"] == "running":
                        break
                child.send_signal(signal.SIGKILL)
                out, err = child.communicate()
            watch.see(out + err, "printed by a run that was killed")
            watch.run("migrate", "--resume", "--yes")
            watch.run("status")
            watch.run("restore-defaults")
            watch.run("support", "-o", "plain.tar.gz")
        assert watch.files() >= 5
        assert watch.looks > 20
        assert watch.hits == []
