"""What a first configuration proposes: names by name, never a guess in force, and addresses only as an example."""

from __future__ import annotations

import pytest

from lrvmotion.config.proposal import Guess, Names, Need, guess, needs, propose
from lrvmotion.model.inventory import Datastore, Folder, Host, Inventory, MoRef, Network, Pool, Vmknic
from lrvmotion.model.place_names import SiteNames, spellings
from lrvmotion.model.place_names import cluster as place_of


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


def site(name: str, *datacenters: str, networks: tuple[str, ...] = ("LAN",), switches: int = 1) -> Inventory:
    """Return a site whose datacenters have a host in a cluster "Cluster", the *networks* and a datastore "ds" each."""
    kinds = [
        Network(
            ref=MoRef("Network", f"{name}{place}{net}{number}"), name=net, kind="distributed", datacenter=place,
            portgroup_key=f"{place}{net}{number}", switch=f"switch{number}",
        )
        for place in datacenters for net in networks for number in range(switches)
    ]  # fmt: skip
    stores = [
        Datastore(
            ref=MoRef("Datastore", f"{name}{place}"), name="ds", capacity_bytes=1, free_bytes=1, accessible=True,
            datacenter=place,
        )
        for place in datacenters
    ]  # fmt: skip
    hosts = [
        host(
            f"esx-{place}", datacenter=place, networks=frozenset(net.ref for net in kinds if net.datacenter == place),
            datastores=frozenset(store.ref for store in stores if store.datacenter == place),
        )
        for place in datacenters
    ]  # fmt: skip
    pools = [
        Pool(ref=MoRef("ResourcePool", place), path="Cluster/Resources", cluster="Cluster", datacenter=place)
        for place in datacenters
    ]
    return inventory(*hosts, networks=tuple(kinds), datastores=tuple(stores), pools=tuple(pools))


def proposed(found: Names) -> dict[str, tuple[str | None, bool, tuple[str, ...]]]:
    return {one.source: (one.target, one.usable, one.choices) for one in found.guesses}


def test_a_name_that_repeats_is_mapped_by_datacenter():
    """From each datacenter to the one of its name; a datacenter in a folder is said by its path where it must be."""
    found = propose(site("a", "DC1", "DC2"), site("b", "DC1", "dc-2"))
    for names, called in ((found.networks, "LAN"), (found.datastores, "ds")):
        assert proposed(names) == {
            f"DC1:{called}": (f"DC1:{called}", True, ()),
            f"DC2:{called}": (f"dc-2:{called}", True, ()),
        }
    found = propose(site("a", "DC1"), site("b", "DC1", "DC2"))
    assert proposed(found.networks) == {"LAN": ("DC1:LAN", True, ())}
    found = propose(site("a", "EU/DC", "US/DC"), site("b", "EU/DC", "US/DC"))
    assert proposed(found.networks) == {
        "EU/DC:LAN": ("EU/DC:LAN", True, ()), "US/DC:LAN": ("US/DC:LAN", True, ()),
    }  # fmt: skip
    assert [cluster for cluster, _ in found.pools] == ["EU/DC:Cluster", "US/DC:Cluster"]


def test_one_that_no_datacenter_tells_apart_has_its_choices():
    """Each of them as it can be written, and none in force."""
    found = propose(site("a", "Old"), site("b", "East", "West"))
    assert proposed(found.networks) == {"LAN": ("LAN", False, ("East:LAN", "West:LAN"))}
    found = propose(site("a", "DC1"), site("b", "DC1", switches=2))
    assert proposed(found.networks) == {"LAN": ("LAN", False, ("switch0/LAN", "switch1/LAN"))}


@pytest.mark.parametrize("here", [("DC1",), ("DC1", "DC2"), ("EU/DC", "US/DC"), ("DC1", "X")])
@pytest.mark.parametrize("there", [("DC1",), ("DC1", "DC2"), ("EU/DC", "US/DC"), ("dc1", "Y")])
def test_what_is_proposed_means_one_place(here, there):
    """The source's names exist, and each that is in force or a choice means one place of the target."""
    source, target = site("a", *here, networks=("LAN", "lan 2")), site("b", *there, networks=("LAN", "LAN-2"))
    found = propose(source, target)
    for noun, names in (("network", found.networks), ("datastore", found.datastores)):
        own, other = SiteNames(source).of(noun), SiteNames(target).of(noun)
        for one in names.guesses:
            assert one.source in own
            for said in (*one.choices, *([one.target] if one.usable and one.target else [])):
                assert len(other.find(said)) == 1, (one, said)
    for cluster, _ in found.pools:
        assert any(cluster in spellings(place_of(own)) for own in target.hosts)
