"""The client against a vCenter that nobody here wrote: govmomi's simulator, where its binary is there.

Build it from tests/wire/vcsim.go (Debian: golang-go, golang-github-vmware-govmomi-dev) with
`GO111MODULE=off GOPATH=/usr/share/gocode go build -o vcsim vcsim.go` and name it with LRVMOTION_VCSIM.
"""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from lrvmotion.errors import RefusedError, TrustError
from lrvmotion.plan import ABSENT, Value, document
from lrvmotion.vsphere.collect import collect_names, collect_vms
from lrvmotion.vsphere.host import HostTarget
from lrvmotion.vsphere.relocate import find
from lrvmotion.vsphere.session import Session, fetch_certificate
from wire.tls_server import make_certificate

BINARY = os.environ.get("LRVMOTION_VCSIM") or shutil.which("vcsim-lrvmotion")
pytestmark = pytest.mark.skipif(not BINARY, reason="LRVMOTION_VCSIM names no vcsim binary")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Return host and port of a running simulator."""
    folder = tmp_path_factory.mktemp("vcsim")  # it leaves files in its temporary folder
    environment = {**os.environ, "TMPDIR": str(folder)}
    certificate = make_certificate(folder, "vcsim")  # its own has a 1024-bit key, which OpenSSL refuses
    with subprocess.Popen([str(BINARY), certificate], stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        host, _, port = process.stdout.readline().strip().partition(":")
        yield host, int(port)
        process.kill()


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
    assert target.read("option/Migrate.VMotionStreamHelpers") == ABSENT
    target.write("option/Migrate.VMotionStreamHelpers", Value("long", 5))
    assert target.read("option/Migrate.VMotionStreamHelpers") == Value("long", 5)
    content = document(vswitch="vSwitch0", vlan_id=7, active=[], standby=[])
    target.write("portgroup/lrvmotion-t-1", content)
    assert target.read("portgroup/lrvmotion-t-1") == content
    target.write("portgroup/lrvmotion-t-1", ABSENT)
    assert target.read("portgroup/lrvmotion-t-1") == ABSENT
    with pytest.raises(RefusedError):
        target.read("vmotion-service/10.0.0.1")
    assert target.busy() == []
