"""Names are looked up among what the host has: random estates in which anything may be called like anything else."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collisions import ESTATES, NOUNS, each_estate, world
from fakes import host as fake_host
from fakes import inventory
from lrvmotion.model.inventory import Datastore, Folder, Host, Inventory, MoRef, Network, Pool, StoragePod
from lrvmotion.model.place_names import SiteNames, spellings
from lrvmotion.plan.place_resolver import Resolver, Trouble

# Few words, so that things are called alike; some look like the ways to say a place.
WORDS = st.sampled_from(["a", "b", "c", "a/b", "DC:a", "moref:datastore-1", "", "Resources", "x:y/z"])
DATACENTERS = ["DC", "EU/DC", "DC2"]


@dataclass(frozen=True)
class Estate:
    """An inventory and one of its hosts."""

    inventory: Inventory
    host: Host


def ids(kind: str, count: int) -> list[MoRef]:
    return [MoRef(kind, f"{kind.lower()}-{number}") for number in range(1, count + 1)]


@st.composite
def estates(draw) -> Estate:
    """Draw an estate of three datacenters, of which the first host has some networks and mounts."""

    def of(kind: str, most: int) -> list[MoRef]:
        return ids(kind, draw(st.integers(0, most)))

    def path(name: str) -> str:
        above = draw(st.sampled_from(["", "a/", "b/"]))
        return above + name

    pods = []
    for ref in of("StoragePod", 2):
        name = draw(WORDS)
        pods.append(StoragePod(ref=ref, name=name, datacenter=draw(st.sampled_from(DATACENTERS)), path=path(name)))
    stores = []
    for ref in of("Datastore", 6):
        pod = draw(st.sampled_from([None, *pods]))
        name = draw(WORDS)
        stores.append(
            Datastore(
                ref=ref, name=name, capacity_bytes=2, free_bytes=1, path=path(name),
                datacenter=pod.datacenter if pod else draw(st.sampled_from(DATACENTERS)),
                pod=pod.ref if pod else None, accessible=draw(st.booleans() | st.just(True)),
                barred=frozenset(draw(st.sets(st.sampled_from([MoRef("HostSystem", "host-h1")]), max_size=1))),
            )
        )  # fmt: skip
    networks = []
    for ref in of("Network", 6):
        kind = draw(st.sampled_from(["standard", "distributed", "opaque"]))
        name = draw(WORDS)
        networks.append(
            Network(
                ref=ref, name=name, kind=kind, path=path(name), datacenter=draw(st.sampled_from(DATACENTERS)),
                switch=draw(st.sampled_from(["a", "b"])) if kind == "distributed" else "",
                switch_uuid=draw(st.sampled_from(["uuid", "uuid", None])) if kind == "distributed" else None,
                portgroup_key=ref.value if kind == "distributed" else None,
            )
        )  # fmt: skip
    owners = ids("ClusterComputeResource", 3)
    pools = [
        Pool(
            ref=ref, path="/".join(["Cluster", "Resources", *([draw(WORDS)] if draw(st.booleans()) else [])]),
            cluster="Cluster", owner=draw(st.sampled_from(owners)), datacenter=draw(st.sampled_from(DATACENTERS)),
        )
        for ref in of("ResourcePool", 5)
    ]  # fmt: skip
    folders = [
        Folder(ref=ref, path=draw(WORDS), datacenter=draw(st.sampled_from(DATACENTERS))) for ref in of("Folder", 5)
    ]
    made = fake_host(
        "h1", "10.0.0.1", compute=owners[0], datacenter=draw(st.sampled_from(DATACENTERS)),
        networks=frozenset(draw(st.sets(st.sampled_from([n.ref for n in networks])))) if networks else frozenset(),
        datastores=frozenset(draw(st.sets(st.sampled_from([s.ref for s in stores])))) if stores else frozenset(),
    )  # fmt: skip
    content = {
        "datastores": tuple(stores), "pods": tuple(pods), "networks": tuple(networks), "pools": tuple(pools),
        "folders": tuple(folders),
    }  # fmt: skip
    return Estate(inventory("target", (made,), **content), made)


def has(host: Host, place) -> bool:
    """Whether *place* is in the world of *host*."""
    match place:
        case Network():
            return place.ref in host.networks
        case Datastore():
            return place.ref in host.datastores
        case Pool():
            return place.owner == host.compute
        case Folder():
            return place.datacenter == host.datacenter
    raise AssertionError(place)


def works(host: Host, place) -> bool:
    """Whether *host* has *place* and can use it."""
    match place:
        case StoragePod():
            return False  # its members are asked
        case Datastore():
            return has(host, place) and place.accessible and host.ref not in place.barred
        case Network():
            return has(host, place) and (place.kind != "distributed" or place.switch_uuid is not None)
    return has(host, place)


def looked_up(estate: Estate) -> list[tuple]:
    """Return (names, look) for every kind of place."""
    resolver = Resolver(estate.inventory)
    names = SiteNames(estate.inventory)
    return [
        (names.networks, resolver.network), (names.stores, resolver.stores), (names.folders, resolver.folder),
        (names.pools, resolver.pool),
    ]  # fmt: skip


def said_in(estate: Estate) -> set[str]:
    """Return everything that can be said in *estate*, and some that cannot."""
    there = estate.inventory
    places = [*there.networks, *there.datastores, *there.pods, *there.folders, *there.pools]
    return {said for place in places for said in spellings(place)} | {"nothing", "moref:none-1"}


@settings(max_examples=ESTATES, deadline=None)
@given(estates())
def test_a_name_never_leads_out_of_the_world_of_the_host(estate):
    """Whatever is said: a place of the host that is called so, or a trouble; never one of another datacenter."""
    for names, look in looked_up(estate):
        for said in said_in(estate):
            found = look(estate.host, said)
            if isinstance(found, Trouble):
                continue
            places = found if isinstance(found, tuple) else (found,)
            assert places
            pods = {pod.ref for pod in estate.inventory.pods if said in spellings(pod)}
            for place in places:
                assert works(estate.host, place)
                assert said in spellings(place) or getattr(place, "pod", None) in pods
            assert said in names


@settings(max_examples=ESTATES, deadline=None)
@given(estates())
def test_the_way_to_say_one_place_is_never_refused(estate):
    """What `typed` gives, and every id, leads to that very place where the host can use it."""
    for names, look in looked_up(estate):
        there = estate.inventory
        for place in (*there.networks, *there.datastores, *there.folders, *there.pools):
            if place not in names.find(spellings(place)[-1]) or not works(estate.host, place):
                continue
            for said in (names.typed(place), f"moref:{place.ref.value}"):
                found = look(estate.host, said)
                assert found in (place, (place,)), said


@settings(max_examples=ESTATES, deadline=None)
@given(estates())
def test_what_is_ambiguous_is_named_with_all_candidates(estate):
    """Two or more, each of the host, each said so that it means no other; and nothing is refused that is not."""
    for names, look in looked_up(estate):
        for said in said_in(estate):
            found = look(estate.host, said)
            meant = [place for place in names.find(said) if works(estate.host, place)]
            if isinstance(found, Trouble) and found.candidates:
                assert len(found.candidates) > 1
                ways = [names.find(way) for way in found.candidates]
                assert all(len(way) == 1 for way in ways)
                assert len({way[0].ref for way in ways}) == len(ways)
                assert {place.ref for place in meant if not twin(place, meant)} <= {way[0].ref for way in ways}
            elif isinstance(found, Trouble) and not names_pod(names, said):
                assert meant == []


def answer(resolver: Resolver, noun: str, host: Host, said: str):
    look = {
        "network": resolver.network, "datastore": resolver.stores, "VM folder": resolver.folder,
        "resource pool": resolver.pool,
    }  # fmt: skip
    return look[noun](host, said)


@each_estate
def test_every_name_means_on_every_host_what_the_guide_says(draw):
    """One place is that place, several are named as they can be typed, none is refused: on each host with its own."""
    there = world(draw)
    resolver = Resolver(there.inventory)
    for noun in NOUNS:
        for said in there.sayable(noun):
            for host in there.inventory.hosts:
                found, meant = answer(resolver, noun, host, said), there.meant(noun, said, host)
                if len(meant) > 1:
                    assert isinstance(found, Trouble), (noun, said, host.name)
                    named = [there.called(noun, way) for way in found.candidates]
                    assert sorted(place.ref for places in named for place in places) == sorted(
                        place.ref for place in meant
                    ), (noun, said, host.name)
                elif noun == "datastore" and meant:
                    usable = there.usable(host, meant[0])
                    assert list(found) == usable if usable else found.unusable in there.stores(meant[0])
                elif meant:
                    assert found == meant[0], (noun, said, host.name)
                else:
                    assert isinstance(found, Trouble), (noun, said, host.name)
                    assert (found.candidates, found.unusable) == ((), None)


@each_estate
def test_what_is_offered_instead_of_an_ambiguous_name_is_taken(draw):
    """Each candidate, typed on the host that it was told of, is that one place."""
    there = world(draw)
    resolver = Resolver(there.inventory)
    for noun in NOUNS:
        for said in there.sayable(noun):
            for host in there.inventory.hosts:
                found = answer(resolver, noun, host, said)
                for way in found.candidates if isinstance(found, Trouble) else ():
                    assert len(there.meant(noun, way, host)) == 1, (noun, said, way, host.name)
                    (place,) = there.meant(noun, way, host)
                    one = answer(resolver, noun, host, way)
                    if noun != "datastore":
                        assert one == place
                    elif usable := there.usable(host, place):
                        assert list(one) == usable
                    else:
                        assert one.unusable in there.stores(place)


def twin(place, places) -> bool:
    """Whether *place* is an opaque network that is there as a port group of the same name, too."""
    kinds = {(one.name, one.kind) for one in places if isinstance(one, Network)}
    return isinstance(place, Network) and place.kind == "opaque" and (place.name, "distributed") in kinds


def names_pod(names, said) -> bool:
    return any(isinstance(place, StoragePod) for place in names.find(said))


def network(number: int, name: str, **more) -> Network:
    return Network(ref=MoRef("Network", f"network-{number}"), name=name, kind=more.pop("kind", "standard"), **more)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("app", {"x": 1, "y": 2}),
        ("NSX-A/app", {"x": 1}),
        ("NSX-B/app", {"y": 2}),
        ("DC2:app", {"y": 2}),
        ("EU/DC2:net/app", {"y": 2}),
        ("moref:network-1", {"x": 1}),
        ("twin", {"y": 3}),
        ("moref:network-4", {"y": 4}),
    ],
)
def test_the_ways_to_say_a_network(said, meant):
    """By name, switch, datacenter (its name or its path) and id; of an NSX twin the port group, unless it is said."""
    groups = {"kind": "distributed", "switch_uuid": "u", "portgroup_key": "k"}
    east = {"datacenter": "EU/DC2"}
    networks = (
        network(1, "app", switch="NSX-A", datacenter="DC", **groups),
        network(2, "app", switch="NSX-B", path="net/app", **groups, **east),
        network(3, "twin", switch="NSX-B", **groups, **east),
        network(4, "twin", kind="opaque", **east),
    )
    hosts = {
        name: fake_host(name, "10.0.0.1", datacenter=at, networks=frozenset(networks[n].ref for n in mine))
        for name, at, mine in (("x", "DC", (0,)), ("y", "EU/DC2", (1, 2, 3)))
    }
    resolver = Resolver(inventory("target", tuple(hosts.values()), networks=networks))
    found = {name: resolver.network(host, said) for name, host in hosts.items()}
    got = {name: int(one.ref.value.rpartition("-")[2]) for name, one in found.items() if not isinstance(one, Trouble)}
    assert got == meant


@pytest.mark.parametrize("said", ["Gold", "Edge/Gold", "Edge/Resources/Gold", "DC2:Edge/Gold", "moref:p2"])
def test_the_ways_to_say_a_pool(said):
    """With or without the root pool's name, which nobody sees in the vSphere Client."""
    owners = [MoRef("ClusterComputeResource", f"domain-c{number}") for number in (1, 2)]
    pools = tuple(
        Pool(ref=MoRef("ResourcePool", f"p{n}"), path="Edge/Resources/Gold", cluster="Edge", owner=owner, datacenter=at)
        for n, owner, at in ((1, owners[0], "DC"), (2, owners[1], "EU/DC2"))
    )
    at = fake_host("y", "10.0.0.1", compute=owners[1], cluster="Edge", datacenter="EU/DC2")
    assert Resolver(inventory("target", (at,), pools=pools)).pool(at, said) == pools[1]
