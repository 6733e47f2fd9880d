"""A plan without errors then moves, and one with an error moves nothing: every kind of VM that the lab has."""

from __future__ import annotations

import json
import os

import pytest

from lab_client import Lab

DISC = "[datastore1] a.iso"
# What blocks no move, by VM: traits, and what else is done to it.
KINDS: dict[str, dict] = {
    "plain": {},
    "off": {"on": False},
    "snapshots": {"snapshots": 2},
    "off-with-snapshot": {"on": False, "snapshots": 1},
    "many-disks": {"traits": {"disks": 4}},
    "independent": {"traits": {"disk_mode": "independent_persistent"}},
    "attributes": {"traits": {"attributes": [["Owner", "somebody"]], "permissions": ["LAB\\op"]}},
    "old-hardware": {"traits": {"version": "vmx-13"}},
    "old-cpu": {"traits": {"evc": "intel-penryn"}},
    "vgpu": {"traits": {"plugged": ["vgpu"]}},
    "encrypted-vmotion": {"traits": {"migrate_encryption": "required"}},
    "reserved": {"traits": {"reserved_bytes": 64 << 20}},
    "iso-disconnected": {"iso": [DISC, None]},
    "off-passthrough": {"on": False, "traits": {"plugged": ["passthrough"]}},
}
# What blocks a move.
REFUSED: dict[str, dict] = {
    "iso": {"iso": [DISC]},
    "cdrom": {"traits": {"plugged": ["cdrom"]}},
    "rdm": {"traits": {"rdm": "physicalMode"}},
    "suspended": {"on": False, "traits": {"suspended": True}},
    "template": {"on": False, "traits": {"template": True}},
    "no-host": {"traits": {"no_host": True}},
    "fault-tolerant": {"traits": {"fault_tolerant": True}},
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    count = str(len(KINDS) + len(REFUSED))
    with Lab(tmp_path_factory.mktemp("lab"), "--no-net", "--vms", count, name=f"m{os.getpid()}") as up:
        for number, kind in enumerate({**KINDS, **REFUSED}.items(), 1):
            made(up, f"vm{number}", kind[1])
        yield up


def made(lab, vm: str, kind: dict) -> None:
    """Make *vm* of that kind."""
    lab.control("source", "vm_set", vm=vm, traits=kind.get("traits", {}))
    for disc in kind.get("iso", []):
        lab.control("source", "vm_device", vm=vm, iso=disc)
    for _ in range(kind.get("snapshots", 0)):
        lab.control("source", "vm_snapshot", vm=vm)
    if not kind.get("on", True):
        lab.control("source", "vm_power", vm=vm, on=False)


def test_every_kind_without_an_error_moves(lab):
    """Powered on or off as it was, once, at the target: cold bytes are carried too."""
    names = {f"vm{number}": kind for number, kind in enumerate(KINDS, 1)}
    made = lab.json("plan", "--mode", "stock", *names)
    assert made["applyable"], made["findings"]
    cold = {names[move["vm"]] for move in made["migrations"] if move["cold_bytes"]}
    assert cold == {"off", "snapshots", "off-with-snapshot", "off-passthrough"}
    before = lab.control("source", "state")["vms"]
    done = lab.json("migrate", "--mode", "stock", *names, "--yes")
    assert {names[vm]: move["state"] for vm, move in done["moves"].items()} == dict.fromkeys(KINDS, "success")
    after = {site: lab.control(site, "state")["vms"] for site in ("source", "target")}
    for vm in names:
        assert vm not in after["source"]
        assert [after["target"][vm][key] == before[vm][key] for key in ("instance_uuid", "power")] == [True, True]


@pytest.mark.parametrize("kind", REFUSED)
def test_every_kind_with_an_error_is_refused_and_nothing_is_written(lab, kind):
    """Exit 3 of plan and of migrate."""
    vm = f"vm{1 + len(KINDS) + list(REFUSED).index(kind)}"
    writes = [lab.control(site, "calls")["writes"] for site in ("source", "target")]
    for words in (("plan",), ("migrate", "--yes")):
        done = lab.run(words[0], "--mode", "stock", vm, *words[1:], "--output", "json")
        assert (done.returncode, "Traceback" in done.stderr) == (3, False), done.stderr
        assert json.loads(done.stdout.splitlines()[-1])
    assert [lab.control(site, "calls")["writes"] for site in ("source", "target")] == writes
