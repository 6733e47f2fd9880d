"""Clients nobody here wrote read the simulated vCenter: pyVim, the samples' listings, the property collector."""

from __future__ import annotations

import ssl
import time

import pytest
from pyVim.connect import SmartConnect
from pyVim.task import WaitForTask
from pyVmomi import SoapStubAdapter, vim, vmodl

from wire.vcenter_lab import USER, Lab, disconnect, named, objects, spec, vm

PC = vmodl.query.PropertyCollector
VMS = 25


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    made = Lab(tmp_path_factory.mktemp("lab"), spec(tuple(vm(f"vm{n}", ("a1", "a2")[n % 2]) for n in range(VMS))))
    yield made
    made.close()


@pytest.fixture
def si(lab):
    made = lab.connect("source")
    yield made
    disconnect(made)


def view_filter(si, kind, paths):
    view = si.content.viewManager.CreateContainerView(si.content.rootFolder, [kind], True)
    step = PC.TraversalSpec(name="view", path="view", skip=False, type=vim.view.ContainerView)
    return PC.FilterSpec(
        objectSet=[PC.ObjectSpec(obj=view, skip=True, selectSet=[step])],
        propSet=[PC.PropertySpec(type=kind, pathSet=paths)],
    )


def test_smart_connect_takes_the_pinned_certificate_and_negotiates_7_0_3(si):
    """SmartConnect with a context that trusts one certificate works; the version is the announced one."""
    assert si._stub.version == "vim.version.v7_0_3_0"
    assert si.content.about.apiType == "VirtualCenter"


def test_another_certificate_is_refused(lab):
    """The target's certificate does not open the source."""
    with pytest.raises(ssl.SSLError):
        SmartConnect(
            host="127.0.0.1", port=lab.about("source")["port"], user=USER, pwd="x", sslContext=lab.context("target")
        )


def test_a_wrong_password_is_invalid_login(lab):
    """InvalidLogin, not a connection error."""
    stub = SoapStubAdapter(
        "127.0.0.1", port=lab.about("source")["port"], version="vim.version.v7_0_3_0", sslContext=lab.context("source")
    )
    content = vim.ServiceInstance("ServiceInstance", stub).RetrieveContent()
    with pytest.raises(vim.fault.InvalidLogin):
        content.sessionManager.Login(USER, "wrong", None)
    stub.DropConnections()


def test_the_samples_listing_reads_vms_by_attribute(si):
    """The community samples' way: a ContainerView and attributes, a Fetch each."""
    found = {item.summary.config.name: item for item in objects(si, vim.VirtualMachine)}
    assert set(found) == {f"vm{n}" for n in range(VMS)}
    item = found["vm1"]
    assert item.runtime.host.name == "a2"
    assert item.config.hardware.memoryMB == 4
    assert item.summary.runtime.powerState == "poweredOn"
    nic = next(d for d in item.config.hardware.device if isinstance(d, vim.vm.device.VirtualEthernetCard))
    assert nic.macAddress.startswith("00:50:56:")
    assert item.datastore[0].summary.freeSpace < item.datastore[0].summary.capacity
    assert [entry.datastore for entry in item.storage.perDatastoreUsage] == [item.datastore[0]]


def test_the_samples_listing_reads_hosts_by_attribute(si):
    """host.config.network.vnic and the cluster around it."""
    host = named(si, vim.HostSystem, "a1")
    assert [(n.device, n.spec.ip.ipAddress) for n in host.config.network.vnic] == [
        ("vmk0", "10.88.0.11"), ("vmk1", "10.88.0.111"),
    ]  # fmt: skip
    assert host.runtime.connectionState == "connected"
    assert host.capability.gatewayOnNicSupported
    assert host.parent.resourcePool.owner == host.parent
    assert isinstance(host.parent, vim.ClusterComputeResource)


def test_every_property_the_model_has_can_be_read_whole(si):
    """PropertySpec.all on every type of entity comes back without a missing attribute or an unknown enum."""
    kinds = [vim.Folder, vim.Datacenter, vim.ClusterComputeResource, vim.ResourcePool, vim.HostSystem, vim.Datastore,
             vim.Network, vim.VirtualMachine]  # fmt: skip
    for kind in kinds:
        wanted = view_filter(si, kind, [])
        wanted.propSet[0].all = True
        result = si.content.propertyCollector.RetrievePropertiesEx([wanted], PC.RetrieveOptions(maxObjects=3))
        assert result.objects, kind
        assert all(item.propSet for item in result.objects)


def test_fast_scalars_equal_the_whole_object(si):
    """A scalar path that has a short cut gives what the whole data object holds."""
    paths = ["summary.config.name", "summary.config.uuid", "summary.config.vmPathName", "summary.runtime.powerState",
             "config.instanceUuid", "config.changeVersion", "summary.storage.committed", "runtime.host"]  # fmt: skip
    pc = si.content.propertyCollector
    for item in pc.RetrieveContents([view_filter(si, vim.VirtualMachine, [*paths, "summary", "config", "runtime"])]):
        found = {p.name: p.val for p in item.propSet}
        for path in paths:
            whole = found[path.split(".")[0]]
            for part in path.split(".")[1:]:
                whole = getattr(whole, part)
            assert found[path] == whole, path


def test_pages_hold_each_vm_once(si):
    """maxObjects makes pages with a token; a used token is InvalidArgument."""
    pc = si.content.propertyCollector
    wanted = view_filter(si, vim.VirtualMachine, ["name"])
    page = pc.RetrievePropertiesEx([wanted], PC.RetrieveOptions(maxObjects=10))
    names, tokens = [item.propSet[0].val for item in page.objects], []
    while page.token:
        tokens.append(page.token)
        page = pc.ContinueRetrievePropertiesEx(page.token)
        names += [item.propSet[0].val for item in page.objects]
    assert sorted(names) == sorted(f"vm{n}" for n in range(VMS))
    assert len(tokens) == 2
    with pytest.raises(vmodl.fault.InvalidArgument):
        pc.ContinueRetrievePropertiesEx(tokens[0])


def test_a_path_that_does_not_exist_is_invalid_property(si):
    """The server names a property that its type does not have."""
    with pytest.raises(vmodl.query.InvalidProperty) as caught:
        si.content.propertyCollector.RetrieveContents([view_filter(si, vim.VirtualMachine, ["config.nonsense"])])
    assert caught.value.name == "config.nonsense"


def test_named_selections_recurse(si):
    """A TraversalSpec that selects itself by name walks nested folders, the classic way without a view."""
    folder = PC.TraversalSpec(
        name="folders", type=vim.Folder, path="childEntity", skip=False,
        selectSet=[PC.SelectionSpec(name="folders"), PC.SelectionSpec(name="vms")],
    )  # fmt: skip
    datacenter = PC.TraversalSpec(
        name="vms", type=vim.Datacenter, path="vmFolder", skip=False, selectSet=[PC.SelectionSpec(name="folders")]
    )
    wanted = PC.FilterSpec(
        objectSet=[PC.ObjectSpec(obj=si.content.rootFolder, skip=False, selectSet=[folder, datacenter])],
        propSet=[PC.PropertySpec(type=vim.VirtualMachine, pathSet=["name"])],
    )
    assert len(si.content.propertyCollector.RetrieveContents([wanted])) == VMS


def test_an_array_element_is_reached_by_key(si):
    """device[4000] is the network card."""
    wanted = view_filter(si, vim.VirtualMachine, ["config.hardware.device[4000]"])
    result = si.content.propertyCollector.RetrievePropertiesEx([wanted], PC.RetrieveOptions(maxObjects=1))
    assert result.objects[0].propSet[0].val.key == 4000


def test_wait_for_updates_gives_none_at_the_time_out_and_what_changed_before(lab, si):
    """First everything, then nothing, then exactly the change."""
    pc = si.content.propertyCollector.CreatePropertyCollector()
    pc.CreateFilter(view_filter(si, vim.VirtualMachine, ["name", "runtime.powerState"]), False)
    first = pc.WaitForUpdatesEx("", PC.WaitOptions(maxWaitSeconds=1))
    assert len(first.filterSet[0].objectSet) == VMS
    started = time.monotonic()
    assert pc.WaitForUpdatesEx(first.version, PC.WaitOptions(maxWaitSeconds=1)) is None
    assert time.monotonic() - started >= 0.9
    lab.control("source", "vm_power", vm="vm3", on=False)
    second = pc.WaitForUpdatesEx(first.version, PC.WaitOptions(maxWaitSeconds=5))
    (update,) = second.filterSet[0].objectSet
    assert (update.kind, update.obj.name) == ("modify", "vm3")
    assert [(c.name, c.val) for c in update.changeSet] == [("runtime.powerState", "poweredOff")]
    lab.control("source", "vm_power", vm="vm3", on=True)
    pc.DestroyPropertyCollector()


def test_updates_come_in_parts_where_they_are_limited(si):
    """maxObjectUpdates truncates, and the rest follows without a further change."""
    pc = si.content.propertyCollector.CreatePropertyCollector()
    pc.CreateFilter(view_filter(si, vim.VirtualMachine, ["name"]), False)
    seen, version, more = [], "", True
    while more:
        update = pc.WaitForUpdatesEx(version, PC.WaitOptions(maxWaitSeconds=2, maxObjectUpdates=10))
        seen += [item.obj._moId for item in update.filterSet[0].objectSet]
        version, more = update.version, bool(update.truncated)
    assert len(seen) == len(set(seen)) == VMS
    with pytest.raises(vmodl.query.InvalidCollectorVersion):
        pc.WaitForUpdatesEx("77", PC.WaitOptions(maxWaitSeconds=0))


def test_wait_for_task_and_search(si):
    """pyVim's WaitForTask, over the old WaitForUpdates, and the search index."""
    machine = named(si, vim.VirtualMachine, "vm5")
    assert WaitForTask(machine.PowerOffVM_Task(), si) == "success"
    index = si.content.searchIndex
    assert index.FindByUuid(None, machine.config.instanceUuid, True, True) == machine
    assert index.FindByUuid(None, machine.config.uuid.upper(), True, False) == machine
    assert index.FindByInventoryPath("DC/vm/vm5") == machine
    assert index.FindByUuid(None, "00000000-0000-0000-0000-000000000000", True, True) is None
    with pytest.raises(vim.fault.InvalidPowerState):
        machine.PowerOffVM_Task()


def test_an_ended_session_is_not_authenticated(lab):
    """After the server ended all sessions, each call says so."""
    si = lab.connect("source")
    assert lab.control("source", "sessions_expire")["ended"] >= 1
    with pytest.raises(vim.fault.NotAuthenticated):
        si.CurrentTime() and si.content.viewManager.CreateContainerView(si.content.rootFolder, [], True)
    si._stub.DropConnections()


def test_privileges_and_counters_are_told(lab, si):
    """A denied privilege shows in HasPrivilegeOnEntities; activewrite follows from the dirty rate."""
    machine = named(si, vim.VirtualMachine, "vm1")
    lab.control("source", "privileges_deny", privileges=["Host.Config.Network"])
    key = si.content.sessionManager.currentSession.key
    answer = si.content.authorizationManager.HasPrivilegeOnEntities(
        [machine], key, ["Host.Config.Network", "System.Read"]
    )
    assert [p.isGranted for p in answer[0].privAvailability] == [False, True]
    names = {f"{c.groupInfo.key}.{c.nameInfo.key}.{c.rollupType}": c.key for c in si.content.perfManager.perfCounter}
    query = vim.PerformanceManager.QuerySpec(
        entity=machine, intervalId=20, maxSample=1,
        metricId=[vim.PerformanceManager.MetricId(counterId=names["mem.activewrite.average"], instance="")],
    )  # fmt: skip
    assert si.content.perfManager.QueryPerf([query])[0].value[0].value == [0]


def test_moids_of_the_two_vcenters_overlap(lab, si):
    """The same moId means another object on the other side; the instance uuids differ."""
    other = lab.connect("target")
    mine = {h._moId for h in objects(si, vim.HostSystem)}
    theirs = {h._moId for h in objects(other, vim.HostSystem)}
    disconnect(other)
    assert mine == theirs
    assert lab.about("source")["instance_uuid"] != lab.about("target")["instance_uuid"]
