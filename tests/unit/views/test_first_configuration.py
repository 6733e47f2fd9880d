"""The first configuration: what is read back is what was given, and what is not decided is not in force."""

from __future__ import annotations

import tomllib
from dataclasses import replace

import pytest

from lrvmotion.config import proposal as propose
from lrvmotion.config import schema
from lrvmotion.config.proposal import Introduction, Seen
from lrvmotion.model.inventory import Datastore, Folder, Host, Inventory, MoRef, Network, Pool, Vmknic
from lrvmotion.views.first_configuration import starter

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqQUXwLwOWV8hmbXVEYW7xr0WqB8OuY0dCbKJbdzHPf"
GIVEN = {
    "source": {"vcenter": "vcsa-a.lab", "username": "administrator@vsphere.local", "sha256": "ab" * 32},
    "target": {"vcenter": "vcsa-b.lab", "port": 8443, "username": "administrator@vsphere.local", "sha256": "cd" * 32},
}
BOX = {"name": "relay-a", "host": "relay.lab", "user": "root", "host_key": HOST_KEY, "address": "10.88.0.1"}


def inventory(site: str, networks: list[str], *, folders: tuple[str, ...] = (), cluster="Cluster", **more) -> Inventory:
    nets = tuple(Network(ref=MoRef("Network", f"n{i}"), name=n, kind="standard") for i, n in enumerate(networks))
    store = Datastore(ref=MoRef("Datastore", "d"), name="datastore1", capacity_bytes=1, free_bytes=1)
    nic = Vmknic(
        device="vmk1", address="10.88.0.9", prefix_length=24, mtu=1500, mac="00:50:56:00:00:01", portgroup="vMotion",
        services=frozenset({"vmotion"}),
    )  # fmt: skip

    def host(name: str, **own) -> Host:
        fields = {
            "connection_state": "connected", "in_maintenance": False, "vmknics": (nic,),
            "networks": frozenset(net.ref for net in nets), "datastores": frozenset({store.ref}), **own,
        }  # fmt: skip
        return Host(
            ref=MoRef("HostSystem", name), name=name, version="8.0.3", build="1", cluster=cluster,
            pool=MoRef("ResourcePool", "root"), **fields,
        )  # fmt: skip

    return Inventory(
        site=site, instance_uuid="u", version="8.0.3", build="1", api_version="8.0.3.0",
        hosts=(host("esx-1"), host("esx-2", in_maintenance=True), host("esx-3", vmknics=())),
        networks=nets, datastores=(store,),
        folders=tuple(Folder(ref=MoRef("Folder", path), path=path, datacenter="DC") for path in folders),
        pools=(Pool(ref=MoRef("ResourcePool", "root"), path=f"{cluster}/Resources", cluster=cluster),), **more,
    )  # fmt: skip


def written(source: Inventory, target: Inventory, given=GIVEN, boxes=()) -> str:
    seen = [
        Seen(inventory=one, sha1="AA:BB", needs=propose.needs(one, vmknics, []))
        for one, vmknics in ((source, 5), (target, 2))
    ]
    proposal = propose.propose(source, target)
    return starter(Introduction(given=given, source=seen[0], target=seen[1], proposal=proposal, boxes=dict(boxes)))


def test_what_is_written_is_what_was_given():
    """Read back without a mistake, relay host and far relay host included."""
    relays = {"source": [BOX], "target": {**BOX, "name": "relay-b", "host": "far.lab", "address": "10.99.0.1"}}
    one = inventory("source", ["VM Network"])
    text = written(one, one, {**GIVEN, "relay": relays}, {"relay-a": "SHA256:x", "relay-b": "SHA256:y"})
    read = schema.parse(tomllib.loads(text))
    assert (read.source.vcenter, read.source.port, read.source.sha256) == ("vcsa-a.lab", 443, "ab" * 32)
    assert (read.target.port, read.target.hosts) == (8443, ("esx-1",))
    assert [box.host_key for box in read.relay.source] == [HOST_KEY]
    assert read.relay.target is not None
    assert not read.relay.target.forward
    assert "AA:BB" in text
    assert "SHA256:x" in text


def test_matches_are_in_force_and_the_others_are_comments():
    """A near miss and what has no match are marked, with what the target has beside them."""
    source = inventory("source", ["Prod", "VM Network", "dmz-10", "backup"], folders=("Linux", "Web"))
    target = inventory("target", ["Prod", "vm-network", "dmz-11"], folders=("Linux",))
    text = written(source, target)
    mappings = schema.parse(tomllib.loads(text)).mappings
    assert mappings.networks == {"Prod": "Prod", "VM Network": "vm-network"}
    assert mappings.datastores == {"datastore1": "datastore1"}
    assert mappings.folders == {"Linux": "Linux"}
    assert mappings.pools == {}
    for line in (
        '# unmatched: "dmz-10" = "dmz-11"   # a near miss',
        '# unmatched: "backup" = ""',
        '# unmatched: "Web" = ""',
        '# The target\'s networks: "Prod", "dmz-11", "vm-network".',
        '# "Cluster" = "Cluster/Resources"',
    ):
        assert line in text.splitlines()


def test_a_name_of_several_is_a_comment_with_every_way_to_say_it():
    """Each can be put in the place of what is proposed."""
    source, target = inventory("source", ["Prod"]), inventory("target", ["Prod", "Prod"])
    places = [replace(one, datacenter=f"DC{number}") for number, one in enumerate(target.networks)]
    text = written(source, replace(target, networks=tuple(places)))
    assert schema.parse(tomllib.loads(text)).mappings.networks == {}
    line = '# unmatched: "Prod" = "Prod"   # the target has 2 networks of that name: "DC0:Prod", "DC1:Prod"'
    assert line in text.splitlines()


def test_no_address_pool_is_in_force():
    """Nobody but a person knows which addresses are free."""
    one = inventory("source", [])
    text = written(one, one)
    read = schema.parse(tomllib.loads(text))
    assert (read.source.vmotion.addresses, read.target.vmotion.addresses) == ((), ())
    assert '# addresses = ["10.88.0.10-10.88.0.17"]' in text
    assert "Choose addresses that nobody uses" in text


def test_hosts_that_cannot_serve_are_left_out_with_the_reason():
    """As comments, so that they are one edit away."""
    one = inventory("source", [])
    text = written(one, one)
    assert schema.parse(tomllib.loads(text)).source.hosts == ("esx-1",)
    assert '# left out, is in maintenance mode: "esx-2",' in text
    assert '# left out, has no vMotion vmknic: "esx-3",' in text


@pytest.mark.parametrize(
    "name", ['a"b\\c', "x\n[target]\nvcenter = 'evil'", "a#b = 'c'", "naïve ↯", "tab\tbed", "\x01"]
)
def test_no_name_escapes_from_its_place(name):
    """Quotes, line breaks, control characters: as a mapping, as unmatched, as a cluster."""
    source = inventory("source", [name, f"{name} alone in the source"], cluster=name)
    target = inventory("target", [name], cluster=name)
    read = schema.parse(tomllib.loads(written(source, target)))
    assert read.mappings.networks == {name: name}
    assert read.target.vcenter == "vcsa-b.lab"
