"""A simulated vCenter with two datacenters of equal names: what a host has is its own, and a move across is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pyVim.task import WaitForTask
from pyVmomi import vim

from wire.untidy_site import untidy
from wire.vcenter_lab import Lab, disconnect, relocate_spec, spec, vm


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    plain = spec((vm("vm1"), vm("vm2")))
    made = Lab(tmp_path_factory.mktemp("lab"), replace(plain, target=untidy(plain.target, "b")))
    yield made
    made.close()


@pytest.fixture(scope="module")
def target(lab):
    si = lab.connect("target")
    yield si
    disconnect(si)


@pytest.fixture
def source(lab):
    si = lab.connect("source")
    yield si
    disconnect(si)


def found(si, kind):
    content = si.RetrieveContent()
    view = content.viewManager.CreateContainerView(content.rootFolder, [kind], recursive=True)
    try:
        return list(view.view)
    finally:
        view.Destroy()


def host(si, name):
    return next(item for item in found(si, vim.HostSystem) if item.name == name)


def test_names_are_there_once_a_datacenter(target):
    """Two datacenters, one below a folder; datastore, network, cluster and VM folder of one name in each."""
    datacenters = {item.name: item for item in found(target, vim.Datacenter)}
    assert sorted(datacenters) == ["DC", "DC2"]
    assert datacenters["DC2"].parent.name == "EU"
    for kind, name in ((vim.Datastore, "datastore1"), (vim.Network, "VM Network"), (vim.Folder, "Web")):
        assert sum(item.name == name for item in found(target, kind)) == 2, name
    assert sorted(item.name for item in found(target, vim.ClusterComputeResource)) == ["Cluster", "Cluster", "Edge"]


def test_a_host_has_its_own_mounts_and_networks(target):
    """Those of its datacenter; a datastore that names its hosts is theirs alone, and one of them may only read it."""
    mounts = {name: sorted(store.name for store in host(target, name).datastore) for name in ("bx1", "by2", "by3")}
    assert mounts == {
        "bx1": ["datastore1", "local-x1"],
        "by2": ["datastore1", "gold", "tier-1", "tier-2"],
        "by3": ["datastore1", "tier-1", "tier-2"],
    }
    gold = next(store for store in host(target, "by2").datastore if store.name == "gold")
    modes = {mount.key.name: mount.mountInfo.accessMode for mount in gold.host}
    assert modes == {"by1": "readWrite", "by2": "readOnly"}
    groups = [next(net for net in host(target, name).network if net.name == "dv-VM Network") for name in ("by2", "by3")]
    assert groups[0] != groups[1]
    assert groups[0].config.distributedVirtualSwitch.uuid != groups[1].config.distributedVirtualSwitch.uuid


def test_a_segment_is_a_port_group_and_an_opaque_network(target):
    """Both of one name on the host, as NSX has it."""
    twins = [net for net in host(target, "by3").network if net.name == "app"]
    assert sorted(type(net).__name__ for net in twins) == [
        "vim.OpaqueNetwork", "vim.dvs.DistributedVirtualPortgroup",
    ]  # fmt: skip
    opaque = next(net for net in twins if isinstance(net, vim.OpaqueNetwork))
    assert opaque.summary.opaqueNetworkId


def test_a_datastore_cluster_holds_datastores(target):
    """A StoragePod, which is a folder of datastores."""
    pods = found(target, vim.StoragePod)
    assert [(pod.name, sorted(store.name for store in pod.childEntity)) for pod in pods] == [
        ("tier", ["tier-1", "tier-2"])
    ]


def wanted(lab, target, name, **more):
    """Return the spec of a move of vm1 or vm2 to the host *name*."""
    there = host(target, name)
    made = relocate_spec(lab, target, name)
    made.datastore = next(store for store in there.datastore if store.name == more.get("store", "datastore1"))
    made.folder = more.get("folder") or there.parent.parent.parent.vmFolder
    return made


def test_a_folder_of_another_datacenter_is_refused(lab, source, target):
    """DatacenterMismatch (API reference: the fault of hosts, folders and datastores of several datacenters)."""
    machine = next(item for item in found(source, vim.VirtualMachine) if item.name == "vm1")
    folders = {item.parent.parent.parent.name: item for item in found(target, vim.Folder) if item.name == "Web"}
    with pytest.raises(vim.fault.DatacenterMismatch):
        WaitForTask(machine.RelocateVM_Task(wanted(lab, target, "by1", folder=folders["DC"]), "highPriority"), source)


def test_a_datastore_that_the_host_may_only_read_is_refused(lab, source, target):
    """It could not write the VM's files."""
    machine = next(item for item in found(source, vim.VirtualMachine) if item.name == "vm1")
    with pytest.raises(vim.fault.InaccessibleDatastore):
        WaitForTask(machine.RelocateVM_Task(wanted(lab, target, "by2", store="gold"), "highPriority"), source)


def test_a_vm_lands_on_an_opaque_network(lab, source, target):
    """The backing names the segment by its id."""
    machine = next(item for item in found(source, vim.VirtualMachine) if item.name == "vm2")
    opaque = next(net for net in host(target, "by3").network if isinstance(net, vim.OpaqueNetwork))
    card = next(d for d in machine.config.hardware.device if isinstance(d, vim.vm.device.VirtualEthernetCard))
    card.backing = vim.vm.device.VirtualEthernetCard.OpaqueNetworkBackingInfo(
        opaqueNetworkId=opaque.summary.opaqueNetworkId, opaqueNetworkType=opaque.summary.opaqueNetworkType
    )
    made = wanted(lab, target, "by3")
    made.deviceChange = [vim.vm.device.VirtualDeviceSpec(operation="edit", device=card)]
    WaitForTask(machine.RelocateVM_Task(made, "highPriority"), source)
    arrived = next(item for item in found(target, vim.VirtualMachine) if item.name == "vm2")
    assert list(arrived.network) == [opaque]
