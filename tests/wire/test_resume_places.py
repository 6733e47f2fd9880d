"""A run is resumed after its places at the target went: what moves is followed, and the rest is refused by name."""

from __future__ import annotations

import subprocess
import time
from dataclasses import replace

import pytest

from lrvmotion.lab.spec import MIB, VmSpec
from wire.untidy_site import host, running


def change(spec):
    lan = spec.source.lan.rpartition(".")[0]
    vms = tuple(VmSpec(name=name, host="a1", memory_bytes=8 * MIB, disk_bytes=8 * MIB) for name in ("vm1", "vm2"))
    return replace(spec, source=replace(spec.source, hosts=(host("a1", lan, 11),), vms=vms))


@pytest.fixture
def killed(tmp_path):
    """A lab in which a migrate of two VMs was killed while the first of them moved."""
    with running(tmp_path, change) as lab:
        lab.control("source", "relocate_pace", prepare_s=2)
        arguments = lab.argv("migrate", "--mode", "stock", "vm1", "vm2", "--yes")
        nowhere = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(arguments, cwd=lab.folder, **nowhere)
        try:
            while not any(vm["relocating"] for vm in lab.control("source", "state")["vms"].values()):
                assert process.poll() is None
                time.sleep(0.05)
        finally:
            process.kill()
            process.wait()
        lab.control("source", "relocate_pace")
        yield lab


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        (("esx-b1", "esx-b2", "esx-b3", "esx-b4"), "no target host can take it: esx-b"),
        (("datastore1",), "the target has no datastore 'datastore1'  [datastore-missing]"),
        (("VM Network",), "the target has no network 'VM Network'  [network-missing]"),
    ],
)
def test_what_moves_is_followed_though_its_place_is_gone(killed, gone, said):
    """And what has not begun is refused for it, by the name that the plan has; once the place is back it moves."""
    killed.control("target", "hide", names=gone)
    done = killed.run("migrate", "--resume", "--yes")
    assert done.returncode == 3, done.stderr
    assert ": moved, a1 -> esx-b" in done.stderr
    assert said in done.stderr
    assert "\n1 VM has not moved: vm" in done.stdout
    assert "moref:" not in done.stderr
    killed.control("target", "hide")
    assert killed.run("migrate", "--resume", "--yes").returncode == 0
    assert killed.vms() == {"source": [], "target": ["vm1", "vm2"]}
