"""What a plan finds of places and hosts: a lab that trips each finding names it, refuses, and nothing is written."""

from __future__ import annotations

import json
import os
import re
from contextlib import contextmanager

import pytest

from lab_client import Lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab"), "--no-net", "--vms", "4", name=f"pl{os.getpid()}") as up:
        yield up


def codes(lab, *arguments: str, mode: str = "stock", config: str | None = None) -> dict[str, str]:
    """Return what a plan of vm1 finds, code and severity; its exit status says the same, and nothing is written."""
    before = [lab.control(site, "calls")["writes"] for site in ("source", "target")]
    named = ["--config", config or str(lab.config)]
    done = lab.run(*named, "plan", "--mode", mode, *(arguments or ("vm1",)), "--output", "json", config=False)
    assert "Traceback" not in done.stderr
    found = {one["code"]: one["severity"] for one in json.loads(done.stdout.splitlines()[-1])["findings"]}
    assert done.returncode == (3 if "error" in found.values() else 0), done.stderr
    assert [lab.control(site, "calls")["writes"] for site in ("source", "target")] == before
    return found


def changed(lab, text: str, **values: str) -> str:
    """Write the lab's configuration with *values* replaced and *text* behind it; return its path."""
    content = lab.config.read_text()
    for key, value in values.items():
        content = re.sub(rf"^{key} = .*$", f"{key} = {value}", content, flags=re.MULTILINE)
    path = lab.folder / "changed.toml"
    path.write_text(f"{text}\n{content}")
    return str(path)


@contextmanager
def renamed(lab, site: str, old: str, new: str):
    lab.control(site, "rename", old=old, new=new)
    try:
        yield
    finally:
        lab.control(site, "rename", old=new, new=old)


PLACES = [("datastore-missing", "datastore1", "gold"), ("network-missing", "VM Network", "Prod")]


@pytest.mark.parametrize(("code", "old", "new"), PLACES)
def test_a_place_that_the_target_does_not_have_by_that_name(lab, code, old, new):
    """Renamed at the target, and not mapped: an error; by its old name again: none."""
    with renamed(lab, "target", old, new):
        assert codes(lab)[code] == "error"
    assert code not in codes(lab)


def test_a_target_without_a_host_that_fits(lab):
    """Every host in maintenance mode."""
    hosts = list(lab.control("target", "state")["hosts"])
    for host in hosts:
        lab.control("target", "host_maintenance", host=host, on=True)
    try:
        assert codes(lab)["host-missing"] == "error"
    finally:
        for host in hosts:
            lab.control("target", "host_maintenance", host=host, on=False)
    assert "host-missing" not in codes(lab)


def test_an_address_pool_that_is_too_small(lab):
    """Native mode needs four more addresses on the VM's host; one is not enough, the lab's own pool is."""
    few = changed(lab, "", addresses='["10.88.0.200"]')
    content = (lab.folder / "changed.toml").read_text()
    head, mark, tail = content.partition("[target")
    own = re.search(r"^addresses = .*$", lab.config.read_text().partition("[target")[2], re.MULTILINE)
    (lab.folder / "changed.toml").write_text(
        head + mark + re.sub(r"^addresses = .*$", own[0] if own else "", tail, flags=re.MULTILINE)
    )
    assert codes(lab, mode="native", config=few)["pool-too-small"] == "error"
    assert "pool-too-small" not in codes(lab, mode="native")


def test_proxy_mode_without_a_relay(lab):
    """The lab without a network has no box."""
    assert codes(lab, mode="proxy")["no-relay"] == "error"
    assert "no-relay" not in codes(lab, mode="native")


def test_both_sides_being_one_vcenter_is_an_error_of_check(lab):
    """The target's address, pin and login are the source's; as the lab wrote it they are two."""
    content = lab.config.read_text()
    source = dict(re.findall(r"^(\w+) = (.+)$", content.partition("[source]")[2].partition("\n[")[0], re.MULTILINE))
    head, mark, tail = content.partition("[target]")
    for key in ("vcenter", "port", "username", "sha256", "password_file", "certificate"):
        if key in source:
            tail = re.sub(
                rf"^{key} = .*$", lambda _, key=key: f"{key} = {source[key]}", tail, count=1, flags=re.MULTILINE
            )
    path = lab.folder / "one.toml"
    path.write_text(head + mark + tail)
    for config, named in ((path, True), (lab.config, False)):
        done = lab.run("--config", str(config), "check", "--output", "json", config=False)
        found = json.loads(done.stdout.splitlines()[-1])["findings"]
        assert ("vcenter-same" in {one["code"] for one in found}) is named, done.stderr


@contextmanager
def host(lab, site: str, name: str):
    """Give a host of the lab as another administrator's pyVmomi sees it."""
    from pyVim.connect import Disconnect
    from pyVmomi import vim

    connection = lab.somebody(site)
    try:
        root = connection.content.rootFolder
        view = connection.content.viewManager.CreateContainerView(root, [vim.HostSystem], True)
        yield next(item for item in view.view if item.name == name)
    finally:
        Disconnect(connection)


def checked(lab, text: str = "") -> set[str]:
    done = lab.run("--config", changed(lab, text), "check", "--output", "json", config=False)
    return {one["code"] for one in json.loads(done.stdout.splitlines()[-1])["findings"]}


def test_vmotion_on_two_stacks_of_a_host(lab):
    """A vmknic of the vMotion stack takes the service from those of the default one: one of them is off."""
    with host(lab, "source", "esx-a2") as there:
        manager = there.configManager.virtualNicManager
        manager.SelectVnicForNicType("vmotion", "vmk0")
        try:
            assert "vmknic-stacks" in checked(lab)
        finally:
            manager.DeselectVnicForNicType("vmotion", "vmk0")
        assert "vmknic-stacks" not in checked(lab)


def test_vmknics_of_both_sites_in_one_subnet(lab):
    """Proxy mode: no gateway is asked there, so that no relay can be put between."""
    from pyVmomi import vim

    with host(lab, "target", "esx-b1") as there:
        system = there.configManager.networkSystem
        (nic,) = (nic for nic in system.networkInfo.vnic if nic.device == "vmk1")
        before = nic.spec.ip.ipAddress

        def readdress(address: str) -> None:
            ip = vim.host.IpConfig(dhcp=False, ipAddress=address, subnetMask="255.255.255.0")
            system.UpdateVirtualNic("vmk1", vim.host.VirtualNic.Specification(ip=ip))

        readdress("10.88.0.77")
        try:
            assert "same-subnet" in checked(lab, 'mode = "proxy"')
        finally:
            readdress(before)
        assert "same-subnet" not in checked(lab, 'mode = "proxy"')
