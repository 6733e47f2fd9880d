"""What is read of real vCenters and hosts, as recorded: each row of the review of the recordings holds.

The names of the tests are those of its rows.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from pyVmomi import vim, vmodl

from fakes import host as made_host
from lrvmotion.checks import hosts as host_checks
from lrvmotion.checks import vms as vm_checks
from lrvmotion.config.schema import Config
from lrvmotion.errors import UsageError
from lrvmotion.model.inventory import Inventory, MoRef, Vmknic
from lrvmotion.model.vm.vm_role import VmRole, role
from lrvmotion.plan.placer import Placer
from lrvmotion.vsphere import faults
from lrvmotion.vsphere.client import name_of
from lrvmotion.vsphere.host import running_relocates
from lrvmotion.vsphere.inventory import collect, surroundings, vm_hardware, vmknics, vms
from lrvmotion.vsphere.session import is_vcenter
from lrvmotion.vsphere.tasks import RecentTask
from unit.vsphere.recordings import answer, document, inventory, needed, row, session

pytestmark = needed
VCLS = "vm-vcls-8.0.3-vsan.xml"
TWO = "inventory-vpxd-5.5-two-datacenters.xml"
HOST = "host-esxi-8.0.3.xml"
NOTHING = vms.VmContext.of(Inventory(site="source", instance_uuid="", version="", build="", api_version=""), {}, {})
CONFIG = {
    "source": {"vcenter": "a", "username": "u", "sha256": "ab" * 32},
    "target": {"vcenter": "b", "username": "u", "sha256": "ab" * 32},
}


@pytest.fixture
def two(monkeypatch):
    """The vCenter with two datacenters; its hosts have no vMotion vmknics: each is given one."""
    found = inventory(TWO, monkeypatch)
    nic = Vmknic(
        device="vmk1", address="10.99.0.9", prefix_length=24, mtu=1500, mac="", portgroup="vMotion",
        services=frozenset({"vmotion"}),
    )  # fmt: skip
    return replace(found, hosts=tuple(replace(host, vmknics=(nic,)) for host in found.hosts))


def vcls():
    """Return the recorded vCLS VM."""
    return vms.virtual_machine(MoRef("VirtualMachine", "vm-1"), row(VCLS), NOTHING)


def placed(two, name: str, host: str, **changes):
    """Place the VM *name* of one of the datacenters on *host*, its source being the same vCenter."""
    vm = next(one for one in two.vms if one.name == name)
    config = Config.model_validate({**CONFIG, "target": {**CONFIG["target"], "hosts": [host]}, **changes})
    return Placer(config, two, two).place(vm)


@pytest.mark.parametrize("center", ["DC0", "DC1"])
def test_p1_the_folder_is_one_of_the_datacenter_of_the_host(two, center):
    """Both have a root folder of the path ""."""
    placement, found = placed(two, "DC0_C0_RP0_VM0", f"{center}_C0_H0", mappings=_mapped(two, center))
    assert placement is not None, found
    assert placement.folder.datacenter == center


@pytest.mark.parametrize("center", ["DC0", "DC1"])
def test_p2_the_datastore_is_one_that_the_host_sees(two, center):
    """Both have a GlobalDS_0."""
    placement, found = placed(two, "DC0_C0_RP0_VM0", f"{center}_C0_H0", mappings=_mapped(two, center))
    assert placement is not None, found
    host = next(one for one in two.hosts if one.name == f"{center}_C0_H0")
    assert placement.host.ref == host.ref
    assert {store.ref for store in placement.datastores} <= host.datastores


@pytest.mark.parametrize("center", ["DC0", "DC1"])
def test_p3_the_network_is_one_that_the_host_has(two, center):
    """Both have a VM Network."""
    mapped = {"networks": {"DC0_DVPG0": "VM Network"}}
    placement, found = placed(two, "DC0_C0_RP0_VM0", f"{center}_C0_H0", mappings=mapped)
    assert placement is not None, found
    assert [nic.network.name for nic in placement.nics] == ["VM Network"]
    assert {nic.network.ref for nic in placement.nics} <= placement.host.networks


def _mapped(two, center: str):
    return {"networks": {"DC0_DVPG0": f"{center}_DVPG0"}}


def test_p4_a_vcls_vm_is_known_as_one():
    """By its extension and its type there."""
    assert role(managed_by=vcls().managed_by) is VmRole.VCLS


def test_p5_mirrors_and_swap_of_a_vsan_vm_do_not_count():
    """The disk has 1,119,879,168 bytes in two mirrors; of all files besides, swap is made again."""
    vm = vcls()
    assert vm.disks[0].used_bytes == 1_119_879_168 // 2
    assert vm.disks[0].used_bytes <= vm.disks[0].capacity_bytes
    assert vm.disks[0].used_bytes <= vm.storage_bytes < vm.disks[0].used_bytes + 32 * 2**20  # logs, mostly


def test_p6_a_datastore_that_a_host_has_inaccessible_or_read_only_is_not_usable_there():
    """It is in the host's own list all the same."""
    there = document("inventory-6.5-escaped-names-mounts.json")["datastores"]
    inaccessible = _store(next(one for one in there if _mount(one, "host-9").get("accessible") == "false"))
    read_only = _store(next(one for one in there if _mount(one, "host-9").get("accessMode") == "readOnly"))
    assert MoRef("HostSystem", "host-9") in inaccessible.barred
    assert MoRef("HostSystem", "host-891") not in inaccessible.barred
    assert MoRef("HostSystem", "host-9") in read_only.barred


def _mount(item, host: str):
    return next((mount for mount in item["mounts"] if mount["host"] == host), {})


def _store(item):
    mounts = [
        vim.Datastore.HostMount(
            key=vim.HostSystem(mount["host"]),
            mountInfo=vim.host.MountInfo(
                accessMode=mount["accessMode"],
                accessible={"true": True, "false": False}.get(mount["accessible"]),
            ),
        )
        for mount in item["mounts"]
    ]
    properties = {
        "name": item["name"], "host": mounts, "summary.capacity": int(item["capacity"]),
        "summary.freeSpace": int(item["freeSpace"]), "summary.maintenanceMode": item["maintenanceMode"],
    }  # fmt: skip
    return collect._datastore(MoRef("Datastore", item["ref"]), properties, {})


def _fault(keys):
    message = [vmodl.LocalizableMessage(key=key, message=key) for key in keys]
    return vim.fault.GenericVmConfigFault(reason="", faultMessage=message)


def test_p7_a_permanent_key_wins_over_a_passing_one():
    """msg.pciPassthru.noMigration stands beside msg.migrate.save.error; a lost keepalive passes."""
    seen = document("faults-and-cards-seen.json")["faults"]
    permanent = next(item["keys"] for item in seen if "keys" in item)
    passing = next(item["key"] for item in seen if "key" in item)
    assert faults.classify(_fault(permanent)).verdict == "never"
    assert faults.classify(_fault([passing])).verdict == "retry"


def test_p8_the_cards_that_were_seen_are_asked_for():
    """SR-IOV cards have keys from 13027 on."""
    seen = document("faults-and-cards-seen.json")["sriov_cards"]["cards"]
    asked = {f"config.hardware.device[{card['key']}]" for card in seen}
    assert asked <= set(surroundings._CARDS)


@pytest.mark.parametrize("version", ["4.1", "5.5", "6.0", "6.5", "8.0.3", "9.0.1"])
def test_p9_a_vcenter_of_any_version_is_one_and_a_host_is_none(version):
    """By what it says of itself."""
    about = answer(f"service-content-{version}.xml", vim.ServiceInstanceContent).about
    is_vcenter("target vCenter x", about)
    about.apiType = "HostAgent"
    with pytest.raises(UsageError, match="not a vCenter"):
        is_vcenter("target vCenter x", about)


def test_p10_a_dhcp_vmknic_is_known_as_one():
    """Both vmknics of the host have their addresses by DHCP."""
    found = recorded_vmknics()
    assert [(nic.device, nic.address, nic.dhcp) for nic in found] == [
        ("vmk0", "10.20.75.11", True), ("vmk1", "10.20.73.12", True),
    ]  # fmt: skip
    assert found[0].services == {"management", "vmotion", "vsan"}
    host = replace(made_host("b1", "10.99.0.9"), vmknics=found)
    assert [finding.code for finding in host_checks.dhcp("source", host)] == ["vmknic-dhcp"]


def recorded_vmknics():
    host = row(HOST)
    return vmknics.vmknics(host["config.network.vnic"], host["config.virtualNicManagerInfo.netConfig"])


def test_p11_no_state_of_an_address_is_sent_back():
    """The recorded vmknics have link-local addresses with origin and state of their detection."""
    for nic in row(HOST)["config.network.vnic"]:
        assert nic.spec.ip.ipV6Config.ipV6Address
        sent = vmknics.configured(nic.spec.ip)
        assert [one.ipAddress for one in sent.ipV6Config.ipV6Address if str(one.origin) != "manual"] == []
        assert sent.ipAddress == nic.spec.ip.ipAddress


@pytest.mark.parametrize(
    ("description", "moves"),
    [
        ("VirtualMachine.relocate", True),
        ("VirtualMachine.migrate", True),
        ("Drm.ExecuteVMotionLRO", True),
        ("Drm.ExecuteStorageVmotionLRO", True),
        ("vm.check.ProvisioningChecker.checkRelocate", False),
        ("vm.check.ProvisioningChecker.checkMigrate", False),
    ],
)
def test_p12_a_check_is_no_move(description, moves):
    """A check that runs delays no host."""
    host = vim.HostSystem("host-1")
    task = RecentTask(
        task=vim.Task("task-1"), description_id=description, state="running", entity=host, entity_name="",
        locked=(), cancelable=False,
    )  # fmt: skip
    assert running_relocates._concerns(task, {MoRef("HostSystem", "host-1")}) is moves


def test_p13_a_vm_whose_configuration_cannot_be_read_is_named_for_that():
    """Not by the datastore that it does not tell."""
    known = {path: value for path, value in row(VCLS).items() if not path.startswith(("config", "layoutEx", "storage"))}
    known["runtime.connectionState"] = "inaccessible"
    vm = vms.virtual_machine(MoRef("VirtualMachine", "vm-1"), known, NOTHING)
    assert [item.code for item in vm_checks.reachable(vm)] == ["vm-inaccessible"]
    assert not vm_checks.known(vm)


def test_p14_a_pool_is_told_by_its_datacenter_too(two):
    """Both datacenters have a cluster; the root pool is that of the host's own."""
    for center in ("DC0", "DC1"):
        placement, found = placed(two, "DC0_C0_RP0_VM0", f"{center}_C0_H0", mappings=_mapped(two, center))
        assert placement is not None, found
        assert placement.pool.ref == placement.host.pool


def test_p15_a_shared_nvme_bus_is_one():
    """Clustered disks on NVMe, since 8.0 Update 2; one that is not shared, or does not say, is none."""
    kind = vim.vm.device.VirtualNVMEController
    shared = kind(key=31000, busNumber=0, sharedBus="physicalSharing")
    plain = [kind(key=31001, busNumber=1, sharedBus="noSharing"), kind(key=31002, busNumber=2)]
    assert [item.kind for item in vm_hardware.devices([shared, *plain])] == ["shared-bus"]


def test_p16_what_disables_a_method_is_read():
    """Moves of the recorded VM are not disabled, other methods of it are."""
    recorded = row(VCLS)
    assert recorded["disabledMethod"]
    assert not vcls().relocate_disabled
    recorded["disabledMethod"] = [*recorded["disabledMethod"], "RelocateVM_Task"]
    vm = vms.virtual_machine(MoRef("VirtualMachine", "vm-1"), recorded, NOTHING)
    assert vm.relocate_disabled
    assert [item.code for item in vm_checks.busy(vm)] == ["vm-relocate-disabled"]
    assert faults.classify(vim.fault.MethodDisabled()).verdict == "fix"


def test_right_a_vm_of_an_inventory_is_read_with_its_network(two):
    """Eight hosts, eight VMs, two root folders; a distributed port group by its switch and key."""
    assert (len(two.hosts), len(two.vms), len(two.networks)) == (8, 8, 8)
    assert {(folder.path, folder.datacenter) for folder in two.folders if not folder.path} == {("", "DC0"), ("", "DC1")}
    vm = next(one for one in two.vms if one.name == "DC0_C0_RP0_VM0")
    assert [nic.network for nic in vm.nics] == ["DC0_DVPG0"]


def test_right_names_are_read_without_their_escapes():
    """%2f is a slash."""
    centers = document("inventory-6.5-escaped-names-mounts.json")["datacenters"]
    assert "dc-20/x" in [name_of(item) for item in centers]
    assert vmknics.prefix_length("255.255.254.0") == 23
    assert session().site == "target"
