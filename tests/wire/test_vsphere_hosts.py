"""A host behind read and write: what is written reads back, what is taken away is gone, what is not ours stays."""

from __future__ import annotations

import pytest
from pyVmomi import vim

from lrvmotion.errors import RefusedError, TrustError, UnreachableError
from lrvmotion.model.setting import ABSENT, SettingKey, Value, document, string
from lrvmotion.plan.settings import BIND, HELPERS, KEYS, LINE_RATE, QUEUES
from lrvmotion.ports.pinger import PingRefused, PingRequest
from lrvmotion.vsphere.host.esxcli import ping, route_add, route_list
from lrvmotion.vsphere.inventory import vmknics
from lrvmotion.vsphere.inventory.collect import collect_names, collect_vms
from wire.no_net_lab import no_net_lab

ROUTE = SettingKey("route/defaultTcpipStack/10.99.0.9/32")
NEW = "10.88.0.40"


@pytest.fixture(scope="module")
def lab():
    with no_net_lab() as running:
        yield running


@pytest.fixture
def host(lab):
    return lab.host("source", "esx-a1")


def clone(portgroup: str) -> Value:
    return document(
        portgroup=portgroup, switch_uuid=None, portgroup_key=None, netstack="defaultTcpipStack", prefix_length=24,
        mtu=1500,
    )  # fmt: skip


def test_an_inventory_holds_what_the_spec_says(lab):
    """Hosts, their vmknics and services, places for VMs, and every VM's name."""
    inventory = lab.inventory("source")
    there = inventory.host("esx-a1")
    assert [host.name for host in inventory.hosts] == ["esx-a1", "esx-a2", "esx-a3", "esx-a4"]
    assert [name for name, _ in inventory.vm_names] == ["vm1", "vm2", "vm3", "vm4"]
    assert [(nic.device, nic.address) for nic in there.vmotion_vmknics] == [("vmk1", "10.88.0.9")]
    assert there.vmotion_vmknics[0].gateway == "10.88.0.254"
    assert {nic.device: nic.services for nic in there.vmknics}["vmk0"] == {"management"}
    assert (there.connection_state, there.version) == ("connected", "7.0.3")
    assert {group.name for group in there.portgroups} >= {"vMotion", "Management Network"}
    assert [pool.path for pool in inventory.pools] == ["Cluster/Resources"]
    assert there.pool == inventory.pools[0].ref
    assert "" in {folder.path for folder in inventory.folders}
    assert inventory.datastore("datastore1").ref in there.datastores
    assert inventory.network("VM Network").ref in there.networks
    assert there.congestion_control["defaultTcpipStack"] == "newreno"


def test_the_two_vcenters_are_told_apart(lab):
    """Their references may be equal; their instance UUIDs are not."""
    assert lab.inventory("source").instance_uuid != lab.inventory("target").instance_uuid


def test_chosen_vms_come_with_what_a_move_needs(lab):
    """Full properties, in the order asked for."""
    names = lab.inventory("source")
    refs = dict(names.vm_names)
    vms = collect_vms(lab.source, names, [refs["vm3"], refs["vm1"]]).vms
    assert [vm.name for vm in vms] == ["vm3", "vm1"]
    vm = vms[1]
    assert (vm.memory_bytes, vm.disks[0].capacity_bytes) == (128 * 2**20, 256 * 2**20)
    assert vm.disks[0].datastore == names.datastore("datastore1").ref
    assert [(nic.network, bool(nic.mac)) for nic in vm.nics] == [("VM Network", True)]
    assert vm.host == names.host("esx-a1").ref
    assert (vm.power_state, vm.snapshots, vm.folder, vm.template) == ("poweredOn", 0, "", False)
    assert vm.storage_bytes > 0
    assert vm.instance_uuid != vm.bios_uuid


def test_an_option_keeps_its_wire_type(host):
    """A long is written as xsd:long and reads back as one; what the build does not have is absent."""
    key = SettingKey(f"option/{HELPERS}")
    before = host.read(key)
    assert before == Value("long", 0)
    host.write(key, Value("long", 48))
    assert host.read(key) == Value("long", 48)
    host.write(key, before)
    assert host.read(key) == before
    assert host.read(SettingKey("option/Migrate.NoSuchThing")) == ABSENT


def test_an_option_of_the_wrong_type_or_out_of_bounds_is_refused(host):
    """The host's own words come through, and nothing changes."""
    key = SettingKey(f"option/{LINE_RATE}")
    for wrong in (Value("int", 2000), Value("long", 2001)):
        with pytest.raises(RefusedError, match="changedValue"):
            host.write(key, wrong)
    assert host.read(key) == Value("long", 133)


def test_bounds_are_the_hosts_own(host):
    """Type, bounds, default, and whether it needs a reboot."""
    bounds = host.bounds(KEYS)
    assert set(bounds) == {HELPERS, LINE_RATE, BIND, QUEUES}
    assert (bounds[LINE_RATE].type, bounds[LINE_RATE].minimum, bounds[LINE_RATE].maximum) == ("long", 1, 2000)
    assert [name for name, limits in bounds.items() if limits.reboot] == [QUEUES]


def test_a_new_vmknic_is_made_and_taken_away_without_a_trace(host, lab):
    """Port group, vmknic, service, gateway: each reads back; backwards, each is gone."""
    before = lab.inventory("source").host("esx-a1")
    content = document(vswitch="vSwitch0", vlan_id=0, active=[], standby=[])
    steps = [
        (SettingKey("portgroup/lrvmotion-t-1"), content),
        (SettingKey(f"vmknic/{NEW}"), clone("lrvmotion-t-1")),
        (SettingKey(f"vmotion-service/{NEW}"), Value("bool", True)),
        (SettingKey(f"gateway/{NEW}"), string("10.88.0.1")),
    ]
    for key, value in steps:
        assert host.read(key) == ABSENT
        host.write(key, value)
        assert host.read(key) == value
        host.write(key, value)  # once more is harmless
    assert host.device(NEW, "defaultTcpipStack") == "vmk2"
    assert NEW in {nic.address for nic in lab.inventory("source").host("esx-a1").vmotion_vmknics}
    for key, value in reversed(steps):
        assert host.read(key) == value
        host.write(key, ABSENT)
        assert host.read(key) == ABSENT
        host.write(key, ABSENT)  # once more is harmless
    assert lab.inventory("source").host("esx-a1") == before


def test_what_belonged_to_a_vmknic_that_is_gone_is_absent(host):
    """Its service and gateway went with it; taking them away once more is harmless."""
    for key in (SettingKey(f"vmotion-service/{NEW}"), SettingKey(f"gateway/{NEW}")):
        assert host.read(key) == ABSENT
        host.write(key, ABSENT)
    with pytest.raises(RefusedError, match="no vmknic"):
        host.write(SettingKey(f"gateway/{NEW}"), string("10.88.0.1"))


def test_the_management_vmknic_is_never_touched(host):
    """vmk0 and whatever carries management is neither removed nor given a gateway."""
    address = "192.168.101.1"
    assert host.read(SettingKey(f"vmknic/{address}")).type == "document"
    for kind, value in (("vmknic", ABSENT), ("gateway", string("192.168.101.254"))):
        with pytest.raises(RefusedError, match="which is never changed"):
            host.write(SettingKey.of(kind, address), value)


def test_a_vmknic_that_is_there_is_not_changed_into_another(host):
    """Address, mask, MTU and stack of a present vmknic are never edited."""
    with pytest.raises(RefusedError, match="not changed"):
        host.write(SettingKey("vmknic/10.88.0.9"), clone("another"))


def test_a_gateway_override_is_put_back_to_what_it_was(host):
    """The prior value of a present vmknic comes back, and with it the rest of the spec."""
    key = SettingKey("gateway/10.88.0.9")
    whole = host.read(SettingKey("vmknic/10.88.0.9"))
    assert host.read(key) == string("10.88.0.254")
    host.write(key, string("10.88.0.1"))
    assert host.read(key) == string("10.88.0.1")
    host.write(key, string("10.88.0.254"))
    assert (host.read(key), host.read(SettingKey("vmknic/10.88.0.9"))) == (string("10.88.0.254"), whole)


def test_a_route_is_added_changed_and_removed(host, lab):
    """On the default stack; esxcli and the inventory show the same."""
    assert host.read(ROUTE) == ABSENT
    for gateway in ("10.88.0.1", "10.88.0.2"):
        host.write(ROUTE, string(gateway))
        host.write(ROUTE, string(gateway))
        assert host.read(ROUTE) == string(gateway)
        listed = route_list(lab.source, host.ref, "defaultTcpipStack")
        assert [route.gateway for route in listed if route.network == "10.99.0.9"] == [gateway]
        assert lab.inventory("source").host("esx-a1").routes[ROUTE.name] == gateway
    host.write(ROUTE, ABSENT)
    host.write(ROUTE, ABSENT)
    assert host.read(ROUTE) == ABSENT


def test_a_route_that_the_network_api_refuses_goes_over_esxcli(host, lab):
    """The fallback of builds whose network API does not take it."""
    lab.fault("source", method="UpdateIpRouteTableConfig", fault="vmodl.fault.NotSupported", object="esx-a1")
    host.write(ROUTE, string("10.88.0.1"))
    assert host.read(ROUTE) == string("10.88.0.1")
    host.write(ROUTE, ABSENT)
    assert host.read(ROUTE) == ABSENT


@pytest.fixture
def stacked(lab):
    """Return the host whose vMotion is on a stack of its own."""
    return lab.host("source", "esx-a3")


STACKED = SettingKey("route/vmotion/10.99.0.9/32")


def networks(lab, name: str) -> dict[str, str]:
    """Return the routes that vCenter shows."""
    return lab.inventory("source").host(name).routes


def test_a_route_of_another_stack_is_made_by_esxcli_and_shown_by_vcenter_at_once(stacked, lab):
    """vCenter's copy is renewed: nothing that was removed is still shown, nothing that was added is missing."""
    lab.control("source", "calls_reset")
    stacked.write(STACKED, string("10.88.0.1"))
    assert (stacked.read(STACKED), networks(lab, "esx-a3")) == (string("10.88.0.1"), {STACKED.name: "10.88.0.1"})
    stacked.write(STACKED, ABSENT)
    assert (stacked.read(STACKED), networks(lab, "esx-a3")) == (ABSENT, {})
    assert lab.control("source", "calls")["calls"].get("UpdateNetworkConfig", 0) == 0


def test_what_esxcli_changed_is_read_from_the_host_not_from_vcenters_copy(stacked, lab):
    """Somebody's esxcli at the host counts though vCenter does not show it."""
    route_add(lab.source, stacked.ref, "vmotion", "10.99.0.9/32", "10.88.0.1")
    assert networks(lab, "esx-a3") == {}
    assert stacked.read(STACKED) == string("10.88.0.1")
    stacked.write(STACKED, ABSENT)
    assert stacked.read(STACKED) == ABSENT


def test_a_route_that_esxcli_refuses_goes_over_the_network_api(stacked, lab):
    """An account that may not run esxcli still steers hosts, and takes the routes back."""
    lab.fault("source", method="ExecuteSoap", fault="vim.fault.NoPermission", count=50)
    try:
        stacked.write(STACKED, string("10.88.0.1"))
        assert stacked.read(STACKED) == string("10.88.0.1")
        stacked.write(STACKED, ABSENT)
        assert stacked.read(STACKED) == ABSENT
    finally:
        lab.control("source", "fault_clear")


def test_a_route_that_no_way_makes_is_refused_with_both_reasons(stacked):
    """A gateway that is no neighbour."""
    with pytest.raises(RefusedError, match=r"nor the other way: .*not on any network"):
        stacked.write(STACKED, string("172.16.0.1"))
    assert stacked.read(STACKED) == ABSENT


def test_a_route_through_no_network_is_refused_in_the_hosts_words(host):
    """A gateway must be a neighbour; both ways say no, and nothing is left."""
    with pytest.raises(RefusedError, match="not on any network"):
        host.write(ROUTE, string("172.16.0.1"))
    assert host.read(ROUTE) == ABSENT


def test_a_ping_that_the_host_does_not_run_measures_nothing(host, lab):
    """Without a network nothing is measured, which is not a failure of the path."""
    request = PingRequest(
        netstack="defaultTcpipStack", source="10.88.0.9", address="10.99.0.9", count=3, interval_s=0.1
    )  # fmt: skip
    with pytest.raises(PingRefused, match="source/esx-a1: esxcli network diag ping"):
        ping(lab.source, host.ref, "vmk1", request)


def test_a_quiet_host_is_not_busy(host):
    """Nothing runs."""
    assert host.busy() == []


def test_a_session_that_expired_logs_in_again(lab):
    """A read after a restart of the vCenter's sessions is answered all the same."""
    with_expired = lab.open("source")
    try:
        lab.control("source", "sessions_expire")
        assert collect_names(with_expired).hosts
    finally:
        with_expired.close()
    assert lab.inventory("source").hosts


def test_a_wrong_password_is_tried_once(lab):
    """A refused login may lock the account: exit status 4, and no second try."""
    asked = []
    with pytest.raises(TrustError, match="refused the login"):
        lab.open("source", lambda: asked.append(1) or "wrong")
    assert asked == [1]


def test_an_inventory_costs_a_constant_number_of_calls(lab):
    """Never a call for each object."""
    lab.control("source", "calls_reset")
    lab.inventory("source")
    assert sum(lab.control("source", "calls")["calls"].values()) <= 5


def test_a_host_with_a_vmotion_stack_is_known_by_it(lab):
    """Its vMotion vmknic is selected for no service: the stack is the service."""
    [nic] = lab.inventory("source").host("esx-a3").vmotion_vmknics
    assert (nic.netstack, nic.carries_vmotion) == ("vmotion", True)


@pytest.mark.parametrize("refused", [False, True])
def test_a_route_on_the_vmotion_stack_is_set_either_way(lab, refused):
    """Over UpdateNetworkConfig, or over esxcli where that is refused; the default stack has no part in it."""
    host = lab.host("source", "esx-a3")
    key = SettingKey("route/vmotion/10.99.0.9/32")
    if refused:
        lab.fault("source", method="UpdateNetworkConfig", fault="vmodl.fault.NotSupported", count=2)
    host.write(key, string("10.88.0.1"))
    assert (host.read(key), host.read(ROUTE)) == (string("10.88.0.1"), ABSENT)
    host.write(key, ABSENT)
    assert host.read(key) == ABSENT


def test_a_distributed_port_group_takes_many_vmknics(lab):
    """No port group of ours is made there: the new vmknic is on the same one as the present."""
    host = lab.host("source", "esx-a4")
    [nic] = [nic for nic in lab.inventory("source").host("esx-a4").vmknics if nic.device == "vmk1"]
    assert nic.switch_uuid is not None
    content = document(
        portgroup=None, switch_uuid=nic.switch_uuid, portgroup_key=nic.portgroup_key, netstack=nic.netstack,
        prefix_length=nic.prefix_length, mtu=nic.mtu,
    )  # fmt: skip
    host.write(SettingKey(f"vmknic/{NEW}"), content)
    assert host.read(SettingKey(f"vmknic/{NEW}")) == content == host.read(SettingKey(f"vmknic/{nic.address}"))
    host.write(SettingKey(f"vmknic/{NEW}"), ABSENT)
    assert host.read(SettingKey(f"vmknic/{NEW}")) == ABSENT


def test_a_host_that_is_away_has_no_vmknics_and_cannot_be_written(lab):
    """config is None then: the inventory says so instead of failing, and a write is safe to try again."""
    lab.control("source", "host_connection", host="esx-a2", state="notResponding")
    try:
        there = lab.inventory("source").host("esx-a2")
        assert (there.connection_state, there.vmknics) == ("notResponding", ())
        with pytest.raises(UnreachableError):
            lab.host("source", "esx-a2").write(SettingKey(f"option/{HELPERS}"), Value("long", 5))
    finally:
        lab.control("source", "host_connection", host="esx-a2", state="connected")
    assert lab.inventory("source").host("esx-a2").vmknics


def test_what_a_host_holds_is_read_with_its_name(lab):
    """Memory of it and in use, as vCenter's quickStats say: its running VMs'."""
    hosts = {host.name: host for host in lab.inventory("source").hosts}
    vms = [vm for vm in lab.spec.source.vms if vm.host == "esx-a1"]
    assert hosts["esx-a1"].used_bytes == sum(vm.memory_bytes for vm in vms) > 0
    assert hosts["esx-a1"].memory_bytes == 2**38


def test_the_uplinks_of_a_vmknic_are_read_on_either_kind_of_switch(lab):
    """With the speed of their links; a port group's own order of uplinks wins."""
    hosts = {host.name: host for host in lab.inventory("source").hosts}
    for name in ("esx-a1", "esx-a3", "esx-a4"):
        assert hosts[name].uplinks["vmk1"] == (("vmnic0", 10_000),), name
        assert hosts[name].uplink_mbps() == 10_000
    teaming = vim.host.NetworkPolicy.NicTeamingPolicy(
        nicOrder=vim.host.NetworkPolicy.NicOrderPolicy(activeNic=["vmnic1"], standbyNic=["vmnic0"])
    )
    cards = [
        vim.host.PhysicalNic(key=f"key-{name}", device=name, linkSpeed=link)
        for name, link in (
            ("vmnic0", vim.host.PhysicalNic.LinkSpeedDuplex(speedMb=25_000, duplex=True)),
            ("vmnic1", None),
        )
    ]
    network = {
        "pnic": cards,
        "vswitch": [vim.host.VirtualSwitch(name="vSwitch0", pnic=["key-vmnic0", "key-vmnic1"])],
        "portgroup": [
            vim.host.PortGroup(spec=vim.host.PortGroup.Specification(name=name, vswitchName="vSwitch0", policy=policy))
            for name, policy in (
                ("own", vim.host.NetworkPolicy(nicTeaming=teaming)),
                ("inherits", vim.host.NetworkPolicy()),
            )
        ],
        "vnic": [
            vim.host.VirtualNic(device=device, portgroup=group, spec=vim.host.VirtualNic.Specification())
            for device, group in (("vmk1", "own"), ("vmk2", "inherits"), ("vmk3", "gone"))
        ],
    }
    assert vmknics.uplinks(network) == {
        "vmk1": (("vmnic1", 0),), "vmk2": (("vmnic0", 25_000), ("vmnic1", 0)), "vmk3": (),
    }  # fmt: skip
