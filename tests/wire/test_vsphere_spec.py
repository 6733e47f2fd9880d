"""The RelocateSpec: all five places, the target's pin in the form the source understands, the password for one call."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from pyVmomi import vim

from lrvmotion.errors import RefusedError
from lrvmotion.model.inventory import Datastore, Folder, Host, MoRef, Network, Pool
from lrvmotion.model.placement import DiskMapping, NicMapping, Placement
from lrvmotion.plan.plan import Migration
from lrvmotion.vsphere.certificate import Certificate
from lrvmotion.vsphere.session import Session
from lrvmotion.vsphere.vm.relocate_spec import network_backings, relocate_spec
from wire.tls_server import make_certificate

PORTGROUP = Network(
    ref=MoRef("DistributedVirtualPortgroup", "dvportgroup-9"), name="VMs", kind="distributed", switch_uuid="50 11",
    portgroup_key="dvportgroup-9",
)  # fmt: skip
PLACEMENT = Placement(
    host=Host(
        ref=MoRef("HostSystem", "host-12"), name="esx-b1", connection_state="connected", in_maintenance=False,
        version="7.0.3", build="1", cluster="C", pool=MoRef("ResourcePool", "resgroup-8"),
    ),
    pool=Pool(ref=MoRef("ResourcePool", "resgroup-8"), path="C/Resources", cluster="C"),
    folder=Folder(ref=MoRef("Folder", "group-v3"), path="", datacenter="DC"),
    datastore=Datastore(ref=MoRef("Datastore", "datastore-10"), name="ds", capacity_bytes=1, free_bytes=1),
    nics=(NicMapping(key=4000, label="Network adapter 1", source="VM Network", network=PORTGROUP),),
)  # fmt: skip
MIGRATION = Migration(
    vm="vm1", ref=MoRef("VirtualMachine", "vm-1"), instance_uuid="u", source_host="esx-a1", placement=PLACEMENT,
    hot_bytes=0, cold_bytes=0, power_state="poweredOn", snapshots=0,
)  # fmt: skip


def card(key: int):
    backing = vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName="VM Network")
    return vim.vm.device.VirtualVmxnet3(key=key, macAddress="00:50:56:00:00:01", backing=backing)


@pytest.fixture
def sessions(tmp_path):
    """Return a way to make two sessions that were never connected, the source with a given API version."""
    pem = make_certificate(tmp_path, "vcsa-b").read_text()

    def make(version: str) -> tuple[Session, Session]:
        certificate = Certificate.from_pem(pem)
        source = Session("source", "a.example", 443, "admin", lambda: "source-secret", certificate, version)
        target = Session("target", "b.example", 8443, "admin", lambda: "hunter2", certificate, "7.0.3.0")
        target.content = SimpleNamespace(about=SimpleNamespace(instanceUuid="uuid-b"), setting=None)
        return source, target

    return make


def test_the_spec_names_all_five_places_and_the_target(sessions):
    """Service, host, pool, folder, datastore; the address as another vCenter is told it."""
    source, target = sessions("7.0.3.0")
    with relocate_spec(source, target, MIGRATION, [card(4000)], network_backings(target, MIGRATION)) as spec:
        service = spec.service
        assert (service.url, service.instanceUuid) == ("https://b.example:8443/sdk", "uuid-b")
        assert (service.credential.username, service.credential.password) == ("admin", "hunter2")
        places = [spec.host, spec.pool, spec.folder, spec.datastore]
        assert [place._moId for place in places] == ["host-12", "resgroup-8", "group-v3", "datastore-10"]


def test_the_password_is_gone_after_the_call(sessions):
    """repr of a spec prints its password: afterwards it holds none, whatever the call raised."""
    source, target = sessions("7.0.3.0")

    def call(kept: list) -> None:
        with relocate_spec(source, target, MIGRATION, [], {}) as spec:
            kept += [spec, spec.service]
            raise vim.fault.InvalidLogin

    kept: list = []
    with pytest.raises(vim.fault.InvalidLogin):
        call(kept)
    assert len(kept) == 2
    assert "hunter2" not in repr(kept)


@pytest.mark.parametrize(("version", "pem"), [("7.0.3.0", False), ("8.0.3.1", False), ("9.1.0.0", True)])
def test_the_pin_is_a_thumbprint_before_9_and_the_certificate_from_then_on(sessions, version, pem):
    """An older source drops sslCertificate without a word; a newer one retires thumbprints."""
    source, target = sessions(version)
    with relocate_spec(source, target, MIGRATION, [], {}) as spec:
        assert (spec.service.sslCertificate is not None) is pem
        assert (spec.service.sslThumbprint == target.thumbprint) is not pem


def test_each_card_is_edited_as_a_whole_onto_its_new_network(sessions):
    """The full device copy with the target's backing, its key and MAC kept."""
    source, target = sessions("7.0.3.0")
    with relocate_spec(source, target, MIGRATION, [card(4000)], network_backings(target, MIGRATION)) as spec:
        [edit] = spec.deviceChange
    assert (edit.operation, edit.device.key, edit.device.macAddress) == ("edit", 4000, "00:50:56:00:00:01")
    assert (edit.device.backing.port.switchUuid, edit.device.backing.port.portgroupKey) == ("50 11", "dvportgroup-9")


def disk(key: int):
    return vim.vm.device.VirtualDisk(key=key, capacityInKB=1)


def with_disks() -> Migration:
    """Return the migration with two disks, each on a datastore of its own."""
    stores = [replace(PLACEMENT.datastore, ref=MoRef("Datastore", f"datastore-{n}")) for n in "12"]
    places = tuple(
        DiskMapping(key=2000 + n, label=f"Hard disk {n + 1}", source="", datastore=store)
        for n, store in enumerate(stores)
    )
    return replace(MIGRATION, placement=replace(PLACEMENT, disks=places))


@pytest.mark.parametrize("present", [(), (2000, 2001), (2001,)])
def test_each_disk_has_a_locator(sessions, present):
    """Of a disk that is no longer there none; where only cards were read, all of the plan's (E4)."""
    source, target = sessions("7.0.3.0")
    migration = with_disks()
    devices = [card(4000), *map(disk, present)]
    with relocate_spec(source, target, migration, devices, network_backings(target, migration)) as spec:
        found = {locator.diskId: locator.datastore._moId for locator in spec.disk}
    wanted = {2000: "datastore-1", 2001: "datastore-2"}
    assert found == {key: wanted[key] for key in present or wanted}


def test_a_disk_that_was_added_since_the_plan_is_refused(sessions):
    """No datastore is guessed."""
    source, target = sessions("7.0.3.0")
    migration = with_disks()
    devices = [card(4000), *map(disk, (2000, 2001, 2002))]
    with (
        pytest.raises(RefusedError, match="2002 was added since"),
        relocate_spec(source, target, migration, devices, network_backings(target, migration)),
    ):
        pass


def test_a_card_that_was_added_since_the_plan_is_refused(sessions):
    """No network is guessed."""
    source, target = sessions("7.0.3.0")
    backings = network_backings(target, MIGRATION)
    with (
        pytest.raises(RefusedError, match="added since"),
        relocate_spec(source, target, MIGRATION, [card(4000), card(4001)], backings),
    ):
        pass
