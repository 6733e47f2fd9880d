"""The product against a vCenter that nobody here wrote: govmomi's simulator, built where its sources are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing

import pytest
from pyVim.task import WaitForTask

from lrvmotion.errors import RefusedError, TrustError
from lrvmotion.model.placement import NicMapping, Placement
from lrvmotion.model.setting import ABSENT, SettingKey, Value, document
from lrvmotion.plan.plan import Migration
from lrvmotion.vsphere.certificate import fetch_certificate
from lrvmotion.vsphere.client import managed_object
from lrvmotion.vsphere.host.target import HostTarget
from lrvmotion.vsphere.inventory.collect import collect_names, collect_vms
from lrvmotion.vsphere.session import Session
from lrvmotion.vsphere.vm.relocate import find
from lrvmotion.workflows.plan_run import prechecks
from wire.vcsim_server import NoVcsimError, binary, vcsim

VM = "DC0_H0_VM0"


@pytest.fixture(scope="module")
def program():
    """Return the simulator's binary; the test says why it skips where there is none."""
    try:
        return binary()
    except NoVcsimError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def server(program, tmp_path_factory):
    """Return host and port of a running simulator with forty VMs."""
    with vcsim(program, tmp_path_factory.mktemp("vcsim"), 20) as address:
        yield address


def login(server, password: str) -> Session:
    host, port = server
    sha256 = fetch_certificate(host, port).sha256
    return Session.open("source", host, port, "user", lambda: password, pem=None, sha256=sha256)


@pytest.fixture(scope="module")
def session(server):
    opened = login(server, "pass")
    yield opened
    opened.close()


def test_a_wrong_password_is_a_matter_of_trust(server):
    """InvalidLogin is told as such."""
    with pytest.raises(TrustError, match="refused the login"):
        login(server, "wrong")


def test_names_and_places_are_found(session):
    """Four hosts, forty VMs, two kinds of networks, pools with paths, the VM folder itself."""
    inventory = collect_names(session)
    assert len(inventory.hosts) == 4
    assert len(inventory.vm_names) == 40
    assert {host.connection_state for host in inventory.hosts} == {"connected"}
    assert {"standard", "distributed"} <= {network.kind for network in inventory.networks}
    assert "DC0_C0/Resources" in {pool.path for pool in inventory.pools}
    assert [folder.path for folder in inventory.folders] == [""]
    assert inventory.datastores[0].free_bytes > 0


def test_full_properties_of_two_vms(session):
    """Memory, a disk, a NIC on a network by its name; and the VM by its instance UUID."""
    names = collect_names(session)
    refs = [ref for _, ref in names.vm_names[:2]]
    vms = collect_vms(session, names, refs).vms
    assert [vm.ref for vm in vms] == refs
    for vm in vms:
        assert vm.memory_bytes > 0
        assert len(vm.disks) == 1
        assert vm.nics[0].network in {network.name for network in names.networks}
        assert find(session, vm.instance_uuid)._moId == vm.ref.value
    assert find(session, "00000000-0000-0000-0000-000000000000") is None


def test_options_and_port_groups_of_a_host(session):
    """What it implements of a host is read and written; the rest is refused in words."""
    host = collect_names(session).hosts[0]
    target = HostTarget(session, "source", host.ref, host.name)
    assert target.read(SettingKey("option/Migrate.VMotionStreamHelpers")) == ABSENT
    target.write(SettingKey("option/Migrate.VMotionStreamHelpers"), Value("long", 5))
    assert target.read(SettingKey("option/Migrate.VMotionStreamHelpers")) == Value("long", 5)
    content = document(vswitch="vSwitch0", vlan_id=7, active=[], standby=[])
    target.write(SettingKey("portgroup/lrvmotion-t-1"), content)
    assert target.read(SettingKey("portgroup/lrvmotion-t-1")) == content
    target.write(SettingKey("portgroup/lrvmotion-t-1"), ABSENT)
    assert target.read(SettingKey("portgroup/lrvmotion-t-1")) == ABSENT
    with pytest.raises(RefusedError):
        target.read(SettingKey("vmotion-service/10.0.0.1"))
    assert target.busy() == []


def test_maintenance_mode_is_seen(session):
    """A host in maintenance mode is known as one, and as fit again when it has left it."""
    host = collect_names(session).hosts[-1]
    there = managed_object(session.stub, host.ref)
    WaitForTask(there.EnterMaintenanceMode_Task(timeout=0))
    assert collect_names(session).host(host.name).in_maintenance
    WaitForTask(there.ExitMaintenanceMode_Task(timeout=0))
    assert not collect_names(session).host(host.name).in_maintenance


@pytest.fixture(scope="module")
def other(program, tmp_path_factory):
    """Return host and port of another simulator, without VMs."""
    with vcsim(program, tmp_path_factory.mktemp("other"), 0) as address:
        yield address


@pytest.fixture(scope="module")
def configured(server, other, tmp_path_factory):
    """Return a folder with a configuration: the simulator with VMs as source, the one without as target."""
    folder = tmp_path_factory.mktemp("two")
    password = folder / "password"
    password.touch(mode=0o600)
    password.write_text("pass\n")
    parts = []
    for site, net, (host, port) in (("source", "10.8.0", server), ("target", "10.9.0", other)):
        parts += [
            f"[{site}]", f'vcenter = "{host}"', f"port = {port}", 'username = "user"',
            f'password_file = "{password}"', f'sha256 = "{fetch_certificate(host, port).sha256}"',
            f"[{site}.vmotion]", f'addresses = ["{net}.1-{net}.9"]',
        ]  # fmt: skip
    (folder / "lrvmotion.toml").write_text("\n".join(parts) + "\n")
    return folder


def test_prechecks_tell_what_it_lacks_as_findings(session, server):
    """MACs by key, CheckRelocate: what it has not is "not read" or "not measured". It is its own target here."""
    with closing(login(server, "pass")) as target:
        here, there = collect_names(session), collect_names(target)
        here = collect_vms(session, here, [dict(here.vm_names)[VM]])
        vm = here.vm(VM)
        host = there.hosts[0]
        networks = {network.name: network for network in there.networks}
        placement = Placement(
            host=host, datastore=there.datastores[0], folder=there.folders[0],
            pool=next(pool for pool in there.pools if pool.ref == host.pool),
            nics=tuple(
                NicMapping(key=nic.key, label=nic.label, source=nic.network, network=networks[nic.network])
                for nic in vm.nics
            ),
        )  # fmt: skip
        migration = Migration(
            vm=vm.name, ref=vm.ref, instance_uuid=vm.instance_uuid, source_host=here.hosts[0].name, placement=placement,
            hot_bytes=1, cold_bytes=0, power_state=vm.power_state, snapshots=0, change_version=vm.change_version,
        )  # fmt: skip
        found = prechecks(session, target, here, there, [migration])
    by_code = {finding.code: finding for finding in found}
    assert {"vm-name-clash", "vm-instance-uuid", "vm-mac-unread"} <= by_code.keys()
    assert "does not implement: CheckRelocate_Task" in by_code["relocate-not-measured"].summary


def run(folder, *words: str) -> tuple[subprocess.CompletedProcess, dict]:
    """Return how the command ended, without a traceback, and its document."""
    done = subprocess.run(
        [sys.executable, "-m", "lrvmotion", "--state-dir", str(folder / "state"), *words, "--output", "json"],
        cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120, check=False,
        env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode in {0, 3}, (done.returncode, done.stderr)
    return done, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("mode", ["stock", "native"])
def test_plan_tells_what_it_lacks_as_findings(configured, mode):
    """No vmkernel NICs, no options, no esxcli, no prechecks: each is a finding, and the plan is refused in words."""
    done, made = run(configured, "plan", "--mode", mode, VM)
    assert done.returncode == 3, done.stderr
    codes = {finding["code"] for finding in made["findings"] if finding["severity"] == "error"}
    assert codes, made
    assert made["error"]["status"] == 3


def test_plan_without_vms_looks_at_every_host(configured):
    """Both sites' hosts, and still no more than findings."""
    done, made = run(configured, "plan", "--mode", "native")
    assert done.returncode == 3, done.stderr
    assert len({finding["subject"] for finding in made["findings"]}) >= 4


def test_check_tells_what_it_lacks_as_findings(configured):
    """vmknics and options are missed at every host; licence and sight of the other vCenter read "not measured"."""
    done, seen = run(configured, "check", "--probes", "1")
    assert done.returncode == 3, done.stderr
    found = {(finding["severity"], finding["code"]) for finding in seen["findings"]}
    assert {("info", "licence-unreadable"), ("info", "vcenter-sight-unknown"), ("warning", "option-missing")} <= found
    assert "error" in {severity for severity, _ in found}


def test_an_unknown_vm_names_near_misses(configured):
    """Exit 2, as with any vCenter."""
    done = subprocess.run(
        [sys.executable, "-m", "lrvmotion", "plan", "DC0_H0_VM99"],
        cwd=configured, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
    assert "did you mean DC0_H0_VM9" in done.stderr.replace("\n", " ")
