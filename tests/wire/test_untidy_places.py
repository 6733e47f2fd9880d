"""VMs move into a vCenter of two datacenters with equal names: E1, E2, E3, E5 and E9 of the public reports."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from lrvmotion.lab.spec import MIB, VmSpec
from wire.untidy_site import running, untidy


def change(spec):
    vms = tuple(
        VmSpec(name=f"vm{n}", host="esx-a1", memory_bytes=8 * MIB, disk_bytes=8 * MIB, folder="Prod/Web")
        for n in range(1, 9)
    )
    return replace(spec, source=replace(spec.source, vms=vms), target=untidy(spec.target, "b"))


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with running(tmp_path_factory.mktemp("run"), change) as made:
        yield made


def planned(lab, text: str, *more: str) -> tuple[dict, dict[str, str]]:
    """Return the only migration of a plan of the CSV *text*, {} without one, and the findings: summary by code."""
    done = lab.run("plan", "--mode", "stock", "--csv", lab.csv(text), *more, "--output", "json")
    assert "Traceback" not in done.stderr
    document = json.loads(done.stdout.splitlines()[-1])
    found = {one["code"]: one["summary"] for one in document["findings"] if one["severity"] == "error"}
    return (document["migrations"] or [{}])[0], found


@pytest.mark.parametrize(("host", "datacenter"), [("bx1", "DC"), ("by1", "DC2")])
def test_e1_e2_a_vm_lands_in_the_datacenter_of_its_host(lab, host, datacenter):
    """Datastore, network, pool and folder are of that datacenter, though the other has all of these names, too."""
    name = {"bx1": "vm1", "by1": "vm2"}[host]
    done = lab.run(
        "migrate", "--mode", "stock", "--csv", lab.csv(f"vm,target_host\n{name},{host}\n"), "--yes", "--output", "json"
    )
    assert done.returncode == 0, done.stderr
    vm = lab.control("target", "state")["vms"][name]
    assert (vm["host"], vm["datacenter"], vm["datastore"]) == (host, datacenter, "datastore1")
    assert vm["folder"] == "Web"


def test_e1_the_configured_hosts_say_which_datacenter(lab):
    """`target.hosts` alone is enough."""
    text = lab.config.read_text().replace("[target]", '[target]\nhosts = ["by1"]', 1)
    path = lab.folder / "hosts.toml"
    path.write_text(text)
    done = lab.run("--config", str(path), "plan", "--mode", "stock", "vm3", "--output", "json", config=False)
    (move,) = json.loads(done.stdout.splitlines()[-1])["migrations"]
    assert (done.returncode, move["target_host"]) == (0, "by1"), done.stderr


def test_e1_that_nobody_chose_a_datacenter_is_a_warning(lab):
    """All names mean places in both of them."""
    done = lab.run("plan", "--mode", "stock", "vm3", "--output", "json")
    found = {one["code"]: one["severity"] for one in json.loads(done.stdout.splitlines()[-1])["findings"]}
    assert (done.returncode, found["place-datacenters"]) == (0, "warning")


def test_e2_a_folder_of_a_datacenter_takes_the_vm_to_a_host_there(lab):
    """No host is named: it is one that the folder's datacenter has."""
    move, found = planned(lab, "vm,folder\nvm3,EU/DC2:Prod/Web\n")
    assert found == {}
    assert move["target_host"] in {"by1", "by2", "by3"}
    _, found = planned(lab, "vm,target_host,folder\nvm3,bx1,DC2:Prod/Web\n")
    assert found["host-missing"].endswith("bx1 is in datacenter DC, which has no VM folder 'DC2:Prod/Web'")


@pytest.mark.parametrize("host", ["by2", "by3"])
def test_e3_a_port_group_of_two_switches_is_that_of_the_host(lab, host):
    """Each host has one of them; the switch may be said, and the wrong one is not on the host."""
    own, other = {"by2": ("DSwitch", "NSX"), "by3": ("NSX", "DSwitch")}[host]
    for said in ("dv-VM Network", f"{own}/dv-VM Network"):
        move, found = planned(lab, f"vm,target_host,network\nvm3,{host},{said}\n")
        assert (found, move.get("target_host")) == ({}, host)
    _, found = planned(lab, f"vm,target_host,network\nvm3,{host},{other}/dv-VM Network\n")
    assert found["host-missing"].endswith(f"{host} is not on network {other}/dv-VM Network")


def test_e3_a_segment_that_is_there_twice_is_the_port_group(lab):
    """The opaque network of the same name is taken only where its id is said."""
    row = "vm,target_host,network\nvm4,by3,app\n"
    done = lab.run("migrate", "--mode", "stock", "--csv", lab.csv(row), "--yes", "--output", "json")
    assert done.returncode == 0, done.stderr
    assert lab.control("target", "state")["vms"]["vm4"]["ids"]["network"].startswith("dvportgroup-")


def test_e3_a_name_that_is_nowhere_has_near_misses_as_they_can_be_typed(lab):
    """A usage error with the line of the file."""
    done = lab.run("plan", "--mode", "stock", "--csv", lab.csv("vm,network\nvm3,NSX/ap\n"))
    assert done.returncode == 2
    assert "line 2: the target has no network 'NSX/ap'" in done.stderr
    assert "NSX/app" in done.stderr


@pytest.mark.parametrize(
    ("card", "what"),
    [
        ("removed", "is on a port group that was removed, or that the account may not see"),
        ("renamed", "is on 'Old network', which the source no longer has"),
        ("none", "is connected to no network"),
    ],
)
def test_e9_a_card_without_a_network_is_told_as_that_and_the_hint_works(lab, card, what):
    """[nic-without-network] and then the CSV column that the hint names."""
    lab.control("source", "vm_set", vm="vm5", traits={"card": card})
    try:
        _, found = planned(lab, "vm,target_host\nvm5,bx1\n")
        assert what in found["nic-without-network"]
        move, found = planned(lab, "vm,target_host,networks\nvm5,bx1,Network adapter 1=VM Network\n")
        assert (found, move["networks"]) == ({}, {"Network adapter 1": "VM Network"})
    finally:
        lab.control("source", "vm_set", vm="vm5", traits={})


def test_e9_a_card_without_a_network_moves_to_the_one_that_is_named(lab):
    """The whole way: it arrives on that network."""
    lab.control("source", "vm_set", vm="vm6", traits={"card": "removed"})
    row = "vm,target_host,networks\nvm6,bx1,Network adapter 1=VM Network\n"
    done = lab.run("migrate", "--mode", "stock", "--csv", lab.csv(row), "--yes", "--output", "json")
    assert done.returncode == 0, done.stderr
    assert lab.control("target", "state")["vms"]["vm6"]["host"] == "bx1"


def test_e1_the_plan_file_keeps_the_objects_themselves(lab):
    """Planned again from the file the VM goes to the same objects, though their names mean others, too."""
    path = lab.folder / "plan.json"
    path.unlink(missing_ok=True)
    move, _ = planned(lab, "vm,target_host\nvm7,by1\n", "-o", str(path))
    saved = json.loads(path.read_text())["migrations"][0]["placement"]
    done = lab.run("migrate", "--plan", str(path), "--yes", "--output", "json")
    assert done.returncode == 0, done.stderr
    ids = lab.control("target", "state")["vms"]["vm7"]["ids"]
    assert move["target_host"] == "by1"
    assert {key: saved[key]["ref"]["value"] for key in ("host", "datastore")} == {
        key: ids[key] for key in ("host", "datastore")
    }
    assert saved["folder"]["ref"]["value"] == ids["parent"]


def on_a_segment(spec):
    """Put the vMotion vmknic of the first source host on an NSX segment."""
    first, *others = spec.source.hosts
    nics = tuple(replace(nic, opaque="segment-1") if "vmotion" in nic.services else nic for nic in first.vmknics)
    return replace(spec, source=replace(spec.source, hosts=(replace(first, vmknics=nics), *others)))


def test_e5_a_vmotion_vmknic_on_an_opaque_network_is_a_finding(tmp_path):
    """Native mode, which would add others beside it, is refused with exit status 3; stock mode moves the VM."""
    with running(tmp_path, on_a_segment) as lab:
        vm = lab.spec.source.vms[0].name
        done = lab.run("plan", "--mode", "native", vm, "--output", "json")
        found = {one["code"]: one["summary"] for one in json.loads(done.stdout.splitlines()[-1])["findings"]}
        assert (done.returncode, "Traceback" in done.stderr) == (3, False)
        assert "is on an opaque network (NSX): native mode can add no vMotion vmknic" in found["vmknic-port-group"]
        done = lab.run("migrate", "--mode", "stock", vm, "--yes", "--output", "json")
        assert done.returncode == 0, done.stderr
