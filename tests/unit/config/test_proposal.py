"""What a first configuration proposes: names by name, never a guess in force, and addresses only as an example."""

from __future__ import annotations

import pytest

from lrvmotion.config.proposal import Guess, Need, guess, needs, propose
from lrvmotion.model.inventory import Datastore, Folder, Host, Inventory, MoRef, Network, Pool, Vmknic


def nic(address: str, *, device: str = "vmk1", portgroup: str = "vMotion", prefix: int = 24, **more) -> Vmknic:
    fields = {"services": frozenset({"vmotion"}), "mtu": 1500, "mac": "00:50:56:00:00:01", **more}
    return Vmknic(device=device, address=address, prefix_length=prefix, portgroup=portgroup, **fields)


def host(name: str, *nics: Vmknic, **more) -> Host:
    return Host(
        ref=MoRef("HostSystem", name), name=name, connection_state="connected", in_maintenance=False, version="8.0.3",
        build="1", cluster="Cluster", pool=MoRef("ResourcePool", "root"), vmknics=nics, **more,
    )  # fmt: skip


def inventory(*hosts: Host, **more) -> Inventory:
    return Inventory(site="source", instance_uuid="u", version="8", build="1", api_version="8", hosts=hosts, **more)


def matches(found: tuple[Guess, ...]) -> dict[str, tuple[str | None, str]]:
    return {one.source: (one.target, one.match) for one in found}


def test_the_same_name_comes_before_one_alike_before_a_near_miss():
    """Case and punctuation do not make another name; letters do."""
    found = guess(["Prod", "VM Network", "dmz-10", "backup"], ["Prod", "prod", "vm_network", "dmz-11", "lab"])
    assert matches(found) == {
        "Prod": ("Prod", "same"),
        "VM Network": ("vm_network", "alike"),
        "dmz-10": ("dmz-11", "near"),
        "backup": (None, "none"),
    }
    assert [one.source for one in found if one.usable] == ["Prod", "VM Network"]


def test_alike_must_be_the_only_one():
    """On either side: two that are alike are for a person to tell apart."""
    assert matches(guess(["vm network"], ["VM-Network", "VM_Network"]))["vm network"] == ("VM-Network", "near")
    assert matches(guess(["a-b", "a_b"], ["A B"])) == {"a-b": ("A B", "near"), "a_b": ("A B", "near")}


def test_a_name_that_is_there_several_times_is_not_usable():
    """It would not mean one thing."""
    (one,) = guess(["Prod"], ["Prod", "Prod"])
    assert (one.match, one.several, one.usable) == ("same", 2, False)


def test_a_path_is_near_to_itself_further_down():
    """Folders are often moved below a new one."""
    assert matches(guess(["Linux/Web"], ["Migrated/Linux/Web", "Linux/Wet"]))["Linux/Web"][0] == "Migrated/Linux/Web"


def test_only_what_vms_can_be_on_is_proposed():
    """No vmkernel, uplink or leftover port groups, no datastore that no host sees, no vCLS folder."""
    names = ["VM Network", "vMotion", "lrvmotion-abc-1", "Prod", "dvs-DVUplinks-31", "dv-vMotion", "Orphan"]
    kinds = ["standard", "standard", "standard", "distributed", "distributed", "distributed", "standard"]
    networks = [
        Network(ref=MoRef("Network", n), name=n, kind=kind, portgroup_key=n if kind == "distributed" else None)
        for n, kind in zip(names, kinds, strict=True)
    ]
    stores = [
        Datastore(ref=MoRef("Datastore", n), name=n, capacity_bytes=1, free_bytes=1, accessible=n != "dead")
        for n in ("vsan", "dead", "elsewhere")
    ]
    folders = [Folder(ref=MoRef("Folder", p), path=p, datacenter="DC") for p in ("", "vCLS", "Linux", "Linux/Web")]
    pools = [
        Pool(ref=MoRef("ResourcePool", r), path=p, cluster="Cluster")
        for r, p in (("a", "Cluster/Resources/A"), ("root", "Cluster/Resources"))
    ]
    one = inventory(
        host(
            "esx1", nic("10.0.0.9"), nic("10.0.0.10", portgroup="", portgroup_key="dv-vMotion", switch_uuid="dvs"),
            networks=frozenset(net.ref for net in networks[:-1]),
            datastores=frozenset(store.ref for store in stores[:2]),
        ),
        networks=tuple(networks), datastores=tuple(stores), folders=tuple(folders), pools=tuple(pools),
    )  # fmt: skip
    found = propose(one, one)
    assert [guessed.source for guessed in found.networks.guesses] == ["Prod", "VM Network"]
    assert [guessed.source for guessed in found.datastores.guesses] == ["vsan"]
    assert [guessed.source for guessed in found.folders.guesses] == ["Linux", "Linux/Web"]
    assert found.pools == (("Cluster", ("Cluster/Resources", "Cluster/Resources/A")),)


def test_an_example_of_addresses_is_where_most_are_free():
    """As many in a row as all hosts of the subnet need; a gateway and the last address are not among them."""
    one = inventory(host("a", nic("10.0.0.9", gateway="10.0.0.254")), host("b", nic("10.0.0.10")))
    assert needs(one, 5, ["10.0.0.30"]) == (
        Need(subnet="10.0.0.0/24", hosts=2, count=8, example="10.0.0.31-10.0.0.38"),
    )


@pytest.mark.parametrize(
    ("address", "prefix", "example"),
    [("10.0.0.254", 24, "10.0.0.1-10.0.0.4"), ("10.0.0.1", 29, "10.0.0.2-10.0.0.5"), ("10.0.0.1", 30, None)],
)
def test_where_there_is_no_room_there_is_no_example(address, prefix, example):
    """Never the network's or the broadcast address."""
    (need,) = needs(inventory(host("a", nic(address, prefix=prefix))), 5, [])
    assert (need.count, need.example) == (4, example)


def test_each_subnet_has_its_own_need():
    """Hosts with enough vmknics, or without one to clone, need nothing."""
    one = inventory(
        host("a", nic("10.0.0.9")), host("b", nic("10.1.0.9"), nic("10.1.0.8")), host("c"),
        host("d", nic("10.2.0.1"), nic("10.2.0.2"), nic("10.2.0.3")),
    )  # fmt: skip
    assert [(need.subnet, need.count) for need in needs(one, 3, [])] == [("10.0.0.0/24", 2), ("10.1.0.0/24", 1)]
