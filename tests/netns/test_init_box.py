"""lrvmotion init with a relay host: its key is pinned, its address is learnt from itself, and plan takes the file."""

from __future__ import annotations

import os
import tomllib

import pytest

from lab_client import Lab

pytestmark = pytest.mark.netns


def _options(lab: Lab) -> tuple[list[str], dict[str, list[str]]]:
    """Return init's options for *lab*, and those that pin what is there, by whom."""
    written = tomllib.loads(lab.config.read_text())
    words, pins = [], {}
    for name in ("source", "target"):
        site = written[name]
        words += [f"--{name}-vcenter", site["vcenter"], f"--{name}-port", str(site["port"])]
        words += [f"--{name}-username", site["username"], f"--{name}-password-file", site["password_file"]]
        pins[name] = [f"--{name}-sha256", site["sha256"]]
    for name, box in (("relay", written["relay"]["source"][0]), ("far", written["relay"]["target"])):
        words += [f"--{name}-host", box["host"], f"--{name}-port", str(box["port"])]
        words += [f"--{name}-key-file", box["key_file"]]
        pins[name] = [f"--{name}-host-key", box["host_key"]]
    return words, pins


def _refused(lab: Lab, status: int, *words: str) -> str:
    done = lab.run("init", "--file", "none.toml", *words, config=False)
    assert done.returncode == status, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    assert not (lab.folder / "none.toml").exists()
    return done.stderr


def test_a_first_configuration_with_both_boxes(tmp_path):
    """Refused where a key is unknown or another; else plan in proxy mode, and in native mode with the pools chosen."""
    with Lab(tmp_path, name=f"init{os.getpid()}") as lab:
        words, pins = _options(lab)
        vcenters = [*pins["source"], *pins["target"]]
        before = lab.state()
        text = _refused(lab, 4, *words, *vcenters)
        assert "SHA256:" in text
        assert f"--relay-host-key '{pins['relay'][1]}'" in text
        other = ["--relay-host-key", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqQUXwLwOWV8hmbXVEYW7xr0WqB8OuY0dCbKJbdzHPf"]
        assert "has changed" in _refused(lab, 4, *words, *vcenters, *other, *pins["far"])
        print_of_none = ["--relay-host-key", "SHA256:AAAA"]
        assert "not what was expected" in _refused(lab, 4, *words, *vcenters, *print_of_none, *pins["far"])

        everything = [*words, *vcenters, *pins["relay"], *pins["far"]]
        made = lab.run("init", "--file", "first.toml", *everything, config=False)
        assert made.returncode == 0, made.stderr
        lab.config = tmp_path / "first.toml"
        written = tomllib.loads(lab.config.read_text())
        assert [box["address"] for box in written["relay"]["source"]] == ["10.88.0.1"]
        assert written["relay"]["target"]["address"] == "10.99.0.1"
        state = ("--state-dir", str(tmp_path / "state"))
        plan = lab.run(*state, "plan", "--mode", "proxy", "vm1")
        assert plan.returncode == 0, (plan.stdout, plan.stderr)
        lab.config.write_text(lab.config.read_text().replace("# addresses = ", "addresses = "))
        plan = lab.run(*state, "plan", "--mode", "native", "vm1")
        assert plan.returncode == 0, (plan.stdout, plan.stderr)
        assert lab.state() == before
