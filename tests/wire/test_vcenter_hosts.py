"""A simulated host keeps the API's rules for options, port groups, vmkernel NICs, routes, esxcli and reboots."""

from __future__ import annotations

import re
import time
import urllib.request
from xml.sax.saxutils import escape

import pytest
from pyVim.task import WaitForTask
from pyVmomi import VmomiSupport, vim, vmodl

from wire.vcenter_lab import Lab, disconnect, named, spec, vm

H = vim.host
LONG = VmomiSupport.vmodlTypes["long"]
HELPERS, RATE, QUEUES = "Migrate.VMotionStreamHelpers", "Migrate.NetExpectedLineRateMBps", "Net.TcpipRxDispatchQueues"


@pytest.fixture(scope="module", params=["standard"])
def lab(tmp_path_factory, request):
    made = Lab(tmp_path_factory.mktemp("lab"), spec((vm("vm1"),), request.param), sites=("source",))
    yield made
    made.close()


@pytest.fixture
def si(lab):
    made = lab.connect("source")
    yield made
    disconnect(made)


@pytest.fixture
def host(si):
    return named(si, vim.HostSystem, "a2")


@pytest.fixture
def unchanged(lab):
    """The test leaves the host as it found it."""
    before = lab.control("source", "state")["hosts"]["a2"]
    yield
    assert lab.control("source", "state")["hosts"]["a2"] == before


def option(key, value):
    return vim.option.OptionValue(key=key, value=value)


def value(host, key):
    return host.configManager.advancedOption.QueryOptions(key)[0].value


def nic(address, gateway=None, **more):
    route = H.VirtualNic.IpRouteSpec(ipRouteConfig=H.IpRouteConfig(defaultGateway=gateway)) if gateway else None
    ip = H.IpConfig(dhcp=False, ipAddress=address, subnetMask="255.255.255.0")
    return H.VirtualNic.Specification(ip=ip, mtu=1500, ipRouteSpec=route, **more)


def group(name):
    return H.PortGroup.Specification(name=name, vlanId=0, vswitchName="vSwitch0", policy=H.NetworkPolicy())


def await_(true, seconds=15):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def shown(host, device):
    return next(n for n in host.config.network.vnic if n.device == device)


def test_an_int_for_a_long_option_is_refused(host, unchanged):
    """xsd:int is InvalidArgument whatever its value; xsd:long is taken; bounds are the host's own."""
    om = host.configManager.advancedOption
    for wrong in (option(HELPERS, 48), option(HELPERS, LONG(113)), option(HELPERS, "48"), option(HELPERS, True)):
        with pytest.raises(vmodl.fault.InvalidArgument):
            om.UpdateOptions([wrong])
    om.UpdateOptions([option(HELPERS, LONG(48))])
    assert type(value(host, HELPERS)) is LONG
    assert value(host, HELPERS) == 48
    om.UpdateOptions([option(HELPERS, LONG(0))])
    kinds = {d.key: d.optionType for d in om.supportedOption}
    assert (kinds[HELPERS].min, kinds[HELPERS].max, kinds[RATE].max) == (0, 112, 2000)


def test_update_options_is_not_atomic(host, unchanged):
    """A fault leaves the options before it set; an unknown key is InvalidName."""
    om = host.configManager.advancedOption
    with pytest.raises(vim.fault.InvalidName):
        om.UpdateOptions([option(RATE, LONG(2000)), option("Migrate.NoSuchThing", LONG(1))])
    assert value(host, RATE) == 2000
    om.UpdateOptions([option(RATE, LONG(133))])
    with pytest.raises(vim.fault.InvalidName):
        om.QueryOptions("Migrate.NoSuchThing")
    assert len(om.QueryOptions("Migrate.")) > 8


def test_receive_queues_count_after_a_reboot_only(lab, si, host):
    """The option shows its new value at once, is pending, and is in force after the reboot; vmkernel NICs are back."""
    om = host.configManager.advancedOption
    before = [n.spec.ip.ipAddress for n in host.config.network.vnic]
    lab.control("source", "host_set", host="a2", boot_s=0.5)

    def queues():
        return lab.control("source", "state")["hosts"]["a2"]["options"][QUEUES]

    for wanted, old in ((5, 2), (2, 5)):
        om.UpdateOptions([option(QUEUES, LONG(wanted))])
        assert queues() == {"value": wanted, "effective": old}
        assert host.summary.rebootRequired
        with pytest.raises(vim.fault.InvalidState):
            host.RebootHost_Task(False)
        WaitForTask(host.EnterMaintenanceMode_Task(0), si)
        booted = host.runtime.bootTime
        WaitForTask(host.RebootHost_Task(False), si)
        await_(lambda: host.runtime.connectionState == "notResponding")
        with pytest.raises(vmodl.fault.HostNotReachable):
            host.ExitMaintenanceMode_Task(0)
        await_(lambda: host.runtime.connectionState == "connected")
        assert host.runtime.bootTime > booted
        assert host.runtime.inMaintenanceMode
        WaitForTask(host.ExitMaintenanceMode_Task(0), si)
        assert queues() == {"value": wanted, "effective": wanted}
        assert [n.spec.ip.ipAddress for n in host.config.network.vnic] == before


def test_a_standard_port_group_takes_one_vmkernel_nic(host, unchanged):
    """AlreadyExists for a second one, ResourceInUse for removing the group under it, InvalidArgument for no group."""
    network = host.configManager.networkSystem
    network.AddPortGroup(group("lrv-1"))
    with pytest.raises(vim.fault.AlreadyExists):
        network.AddPortGroup(group("lrv-1"))
    device = network.AddVirtualNic("lrv-1", nic("10.88.0.50"))
    assert device == "vmk2"
    with pytest.raises(vim.fault.AlreadyExists):
        network.AddVirtualNic("lrv-1", nic("10.88.0.51"))
    with pytest.raises(vim.fault.ResourceInUse):
        network.RemovePortGroup("lrv-1")
    with pytest.raises(vmodl.fault.InvalidArgument):
        network.AddVirtualNic("nowhere", nic("10.88.0.52"))
    with pytest.raises(vmodl.fault.InvalidArgument):
        network.AddVirtualNic("lrv-1", nic("10.88.0.999"))
    network.RemoveVirtualNic(device)
    network.RemovePortGroup("lrv-1")
    with pytest.raises(vim.fault.NotFound):
        network.RemoveVirtualNic(device)


def test_vmotion_is_selected_by_device_and_shown_by_key(host, unchanged):
    """selectedVnic holds keys of candidates; deselecting is the reverse."""
    manager = host.configManager.virtualNicManager

    def selected():
        config = manager.QueryNetConfig("vmotion")
        return [n.device for n in config.candidateVnic if n.key in config.selectedVnic]

    assert selected() == ["vmk1"]
    manager.SelectVnicForNicType("vmotion", "vmk0")
    assert selected() == ["vmk0", "vmk1"]
    manager.DeselectVnicForNicType("vmotion", "vmk0")
    assert selected() == ["vmk1"]
    for arguments in (("vmotion", "vmk9"), ("nonsense", "vmk1")):
        with pytest.raises(vmodl.fault.InvalidArgument):
            manager.SelectVnicForNicType(*arguments)


def test_a_vmotion_stack_nic_is_no_candidate(host, unchanged):
    """On the vmotion stack the stack is the service: such a NIC is never selected."""
    network = host.configManager.networkSystem
    network.AddPortGroup(group("lrv-2"))
    device = network.AddVirtualNic("lrv-2", nic("10.88.0.60", netStackInstanceKey="vmotion"))
    manager = host.configManager.virtualNicManager
    assert device not in [n.device for n in manager.QueryNetConfig("vmotion").candidateVnic]
    with pytest.raises(vmodl.fault.InvalidArgument):
        manager.SelectVnicForNicType("vmotion", device)
    spec_now = shown(host, device).spec
    spec_now.netStackInstanceKey = "defaultTcpipStack"
    with pytest.raises(vmodl.fault.InvalidArgument):
        network.UpdateVirtualNic(device, spec_now)
    network.RemoveVirtualNic(device)
    network.RemovePortGroup("lrv-2")


def test_a_gateway_override_stays_until_an_empty_one_is_sent(host, unchanged):
    """An absent ipRouteSpec means unchanged, an empty ipRouteConfig removes it."""
    network = host.configManager.networkSystem
    full = shown(host, "vmk1").spec
    full.ipRouteSpec = nic("10.88.0.1", gateway="10.88.0.1").ipRouteSpec
    with pytest.raises(vmodl.fault.InvalidArgument):  # states of IPv6 addresses
        network.UpdateVirtualNic("vmk1", full)
    full.ip.ipV6Config = None
    network.UpdateVirtualNic("vmk1", full)
    assert shown(host, "vmk1").spec.ipRouteSpec.ipRouteConfig.defaultGateway == "10.88.0.1"
    full.ipRouteSpec = None
    network.UpdateVirtualNic("vmk1", full)
    assert shown(host, "vmk1").spec.ipRouteSpec is not None
    full.ipRouteSpec = H.VirtualNic.IpRouteSpec(ipRouteConfig=H.IpRouteConfig())
    network.UpdateVirtualNic("vmk1", full)
    assert shown(host, "vmk1").spec.ipRouteSpec is None
    with pytest.raises(vmodl.fault.InvalidArgument):
        network.UpdateVirtualNic("vmk1", H.VirtualNic.Specification(mtu=1500))


def edit(operation, **stack):
    routes = stack.pop("routes", None)
    if routes is not None:
        entries = [
            H.IpRouteOp(changeOperation=operation, route=H.IpRouteEntry(network=n, prefixLength=32, gateway=g))
            for n, g in routes
        ]
        stack["routeTableConfig"] = H.IpRouteTableConfig(ipRoute=entries)
    instance = H.NetStackInstance(key="defaultTcpipStack", **stack)
    return H.NetworkConfig(netStackSpec=[H.NetworkConfig.NetStackSpec(operation="edit", netStackInstance=instance)])


def test_a_stack_takes_routes_and_congestion_control(host, unchanged):
    """A route through netStackSpec is added, refused twice, shown, removed; only newreno and cubic are known."""
    network = host.configManager.networkSystem
    route = [("10.99.0.111", "10.88.0.1")]

    def stack():
        return next(s for s in host.config.network.netStackInstance if s.key == "defaultTcpipStack")

    network.UpdateNetworkConfig(edit("add", routes=route), "modify")
    assert [(o.route.network, o.route.gateway) for o in stack().routeTableConfig.ipRoute] == route
    with pytest.raises(vim.fault.AlreadyExists):
        network.UpdateNetworkConfig(edit("add", routes=route), "modify")
    network.UpdateNetworkConfig(edit("remove", routes=route), "modify")
    network.UpdateNetworkConfig(edit("add", congestionControlAlgorithm="cubic"), "modify")
    assert stack().congestionControlAlgorithm == "cubic"
    network.UpdateNetworkConfig(edit("add", congestionControlAlgorithm="newreno"), "modify")
    with pytest.raises(vmodl.fault.InvalidArgument):
        network.UpdateNetworkConfig(edit("add", congestionControlAlgorithm="bbr"), "modify")


def esxcli(lab, si, where, command, **arguments):
    """Run one command the way public clients do: two raw SOAP calls with the session's cookie."""

    def post(body):
        text = (
            '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
            f"{body}</soapenv:Body></soapenv:Envelope>"
        )
        headers = {"Cookie": si._stub.cookie, "SOAPAction": '"urn:vim25/7.0.3.0"', "Content-Type": "text/xml"}
        request = urllib.request.Request(lab.about("source")["url"], text.encode(), headers)  # noqa: S310 - https, loopback
        try:
            with urllib.request.urlopen(request, context=lab.context("source"), timeout=60) as answer:  # noqa: S310
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.read().decode()

    answer = post(
        f'<RetrieveManagedMethodExecuter xmlns="urn:vim25"><_this type="HostSystem">{where._moId}</_this>'
        "</RetrieveManagedMethodExecuter>"
    )
    moid = re.search(r'type="ReflectManagedMethodExecuter">([^<]+)', answer)[1]
    given = "".join(
        f"<argument><name>{name}</name><val>{escape(f'<{name}>{text}</{name}>')}</val></argument>"
        for name, text in arguments.items()
    )
    handler = "ha-cli-handler-" + command.rpartition(".")[0].replace(".", "-")
    return post(
        f'<ExecuteSoap xmlns="urn:vim25"><_this type="ReflectManagedMethodExecuter">{moid}</_this>'
        f"<moid>{handler}</moid><version>urn:vim25/5.0</version><method>vim.EsxCLI.{command}</method>"
        f"{given}</ExecuteSoap>"
    )


def test_esxcli_lists_interfaces_and_routes(lab, si, host, unchanged):
    """The lists are XML inside <response>; a route added there is the same route the API shows."""
    answer = esxcli(lab, si, host, "network.ip.interface.list")
    assert "&lt;Name&gt;vmk1&lt;/Name&gt;" in answer
    assert "10.88.0.112" in esxcli(lab, si, host, "network.ip.interface.ipv4.get", interfacename="vmk1")
    change = {"gateway": "10.88.0.1", "netstack": "defaultTcpipStack", "network": "10.99.0.9/32"}
    assert "<fault>" not in esxcli(lab, si, host, "network.ip.route.ipv4.add", **change)
    assert "10.99.0.9" in esxcli(lab, si, host, "network.ip.route.ipv4.list")
    assert "<fault>" not in esxcli(lab, si, host, "network.ip.route.ipv4.remove", **change)


def test_esxcli_arguments_come_in_their_declared_order(lab, si, host):
    """Another order is refused by position, as real hosts do."""
    answer = esxcli(lab, si, host, "network.diag.ping", host="10.99.0.9", count="3")
    assert "argument[1]" in answer


def test_ping_without_a_network_is_a_fault_of_esxcli(lab, si, host):
    """A lab without a network never invents a round trip."""
    answer = esxcli(lab, si, host, "network.diag.ping", count="3", host="10.99.0.9", interface="vmk1")
    assert "<faultMsg>" in answer
    assert "Roundtrip" not in answer


def test_a_host_whose_process_is_gone_stops_responding(lab, si):
    """The vCenter notices, shows no configuration, refuses changes, and takes the host back with all it had."""
    host = named(si, vim.HostSystem, "a1")
    child = lab.hostds["a1"]
    child.terminate()
    child.wait(10)
    wait_for(lambda: host.runtime.connectionState == "notResponding")
    assert host.config is None
    with pytest.raises(vmodl.fault.HostNotReachable):
        host.configManager.advancedOption.UpdateOptions([option(RATE, LONG(500))])
    lab.start_host("source", "a1")
    wait_for(lambda: host.runtime.connectionState == "connected")
    assert len(host.config.network.vnic) == 2


def wait_for(condition):
    import time

    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)
