"""What `init` proposes on sites with two datacenters of equal names each can be followed: `plan` takes it as it is."""

from __future__ import annotations

import os
import subprocess
import tomllib
from dataclasses import replace

import pytest

from lrvmotion.lab.spec import LabSpec, VmSpec
from lrvmotion.vsphere.certificate import fetch_certificate
from wire.no_net_lab import PASSWORDS, address
from wire.untidy_site import running, untidy

MIB = 1 << 20


def change(spec: LabSpec) -> LabSpec:
    """Both sites are untidy; the source has a VM in each datacenter."""
    vms = tuple(
        VmSpec(name=f"vm-{host}", host=host, memory_bytes=8 * MIB, disk_bytes=8 * MIB, folder="Prod/Web")
        for host in ("ax1", "ay1")
    )
    return replace(spec, source=replace(untidy(spec.source, "a"), vms=vms), target=untidy(spec.target, "b"))


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with running(tmp_path_factory.mktemp("lab"), change) as up:
        yield up


def run(lab, *words: str) -> subprocess.CompletedProcess:
    passwords = dict(zip(("LRVMOTION_SOURCE_PASSWORD", "LRVMOTION_TARGET_PASSWORD"), PASSWORDS, strict=True))
    state = {"LRVMOTION_STATE_DIR": str(lab.folder / "state")}
    return subprocess.run(
        lab.argv(*words, config=False), capture_output=True, text=True, cwd=lab.folder, timeout=120, check=False,
        env={**os.environ, **passwords, **state}, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_names_that_repeat_are_mapped_by_datacenter(lab):
    """Of one datacenter to the one of its name; what one datacenter has twice is listed as it can be written."""
    words = []
    for site in ("source", "target"):
        host, port = address(lab.directory, site)
        words += [
            f"--{site}-vcenter", host, f"--{site}-port", str(port), f"--{site}-username", "administrator@vsphere.local",
            f"--{site}-sha256", fetch_certificate(host, port).sha256,
        ]  # fmt: skip
    done = run(lab, "init", *words, "--file", "own.toml")
    assert done.returncode == 0, done.stderr
    text = (lab.folder / "own.toml").read_text()
    mappings = tomllib.loads(text)["mappings"]
    for called in ("DC:datastore1", "DC2:datastore1"):
        assert mappings["datastores"][called] == called
    for called in ("DC:VM Network", "DC2:VM Network"):
        assert mappings["networks"][called] == called
    twice = 'the target has 2 networks of that name: "DSwitch/dv-VM Network", "NSX/dv-VM Network"'
    assert twice in text
    assert '# "DC2:Cluster" = "Cluster/Resources"' in text
    planned = run(lab, "--config", "own.toml", "plan", "--mode", "stock", "vm-ax1", "vm-ay1")
    assert planned.returncode == 0, (planned.stdout, planned.stderr)
