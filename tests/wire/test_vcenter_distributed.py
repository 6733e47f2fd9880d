"""A distributed port group holds many vmkernel NICs, and a VM moves between distributed switches."""

from __future__ import annotations

import pytest
from pyVim.task import WaitForTask
from pyVmomi import vim, vmodl

from wire.vcenter_lab import Lab, disconnect, named, relocate_spec, spec, vm

H = vim.host


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    made = Lab(tmp_path_factory.mktemp("lab"), spec((vm("vm1"),), "distributed"))
    yield made
    made.close()


def test_two_vmkernel_nics_share_a_distributed_port_group(lab):
    """No AlreadyExists there; a port of an unknown group is InvalidArgument; the shown port leads to the group."""
    si = lab.connect("source")
    host = named(si, vim.HostSystem, "a1")
    group = named(si, vim.dvs.DistributedVirtualPortgroup, "vMotion")
    network = host.configManager.networkSystem
    port = vim.dvs.PortConnection(switchUuid=group.config.distributedVirtualSwitch.uuid, portgroupKey=group.key)

    def nic(address, where):
        ip = H.IpConfig(dhcp=False, ipAddress=address, subnetMask="255.255.255.0")
        return H.VirtualNic.Specification(ip=ip, distributedVirtualPort=where)

    devices = [network.AddVirtualNic("", nic(f"10.88.0.{n}", port)) for n in (50, 51)]
    found = {n.device: n.spec.distributedVirtualPort.portgroupKey for n in host.config.network.vnic}
    assert [found[device] for device in devices] == [group.key, group.key]
    assert host.config.network.proxySwitch[0].dvsUuid == port.switchUuid
    with pytest.raises(vmodl.fault.InvalidArgument):
        network.AddVirtualNic("", nic("10.88.0.52", vim.dvs.PortConnection(switchUuid="x", portgroupKey="y")))
    for device in devices:
        network.RemoveVirtualNic(device)
    disconnect(si)


def test_a_vm_lands_on_the_distributed_port_group_that_its_nic_names(lab):
    """switchUuid and portgroupKey of the target are what the edit of the NIC carries."""
    source, target = lab.connect("source"), lab.connect("target")
    machine = named(source, vim.VirtualMachine, "vm1")
    group = named(target, vim.dvs.DistributedVirtualPortgroup, "VM Network")
    card = next(d for d in machine.config.hardware.device if isinstance(d, vim.vm.device.VirtualEthernetCard))
    uuid = group.config.distributedVirtualSwitch.uuid
    port = vim.dvs.PortConnection(switchUuid=uuid, portgroupKey=group.key)
    card.backing = vim.vm.device.VirtualEthernetCard.DistributedVirtualPortBackingInfo(port=port)
    wanted = relocate_spec(lab, target)
    wanted.deviceChange = [vim.vm.device.VirtualDeviceSpec(operation="edit", device=card)]
    WaitForTask(machine.RelocateVM_Task(wanted, "defaultPriority"), source)
    assert named(target, vim.VirtualMachine, "vm1").network[0] == group
    for si in (source, target):
        disconnect(si)
