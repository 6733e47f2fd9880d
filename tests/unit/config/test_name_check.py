"""Every name in the configuration exists, or the plan says which do not, with near misses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lrvmotion.config.name_check import verify
from lrvmotion.config.schema import Config, parse
from lrvmotion.errors import UsageError
from lrvmotion.model.inventory import Datastore, Folder, Host, Inventory, MoRef, Network, Pool


def inventory(site, *, host: str, network: str, store: str, folder: str, cluster: str) -> Inventory:
    return Inventory(
        site=site, instance_uuid="u", version="8", build="1", api_version="8",
        hosts=(
            Host(
                ref=MoRef("HostSystem", "h"), name=host, connection_state="connected", in_maintenance=False,
                version="8", build="1", cluster=cluster, pool=MoRef("ResourcePool", "p"),
            ),
        ),
        networks=(Network(ref=MoRef("Network", "n"), name=network, kind="standard"),),
        datastores=(Datastore(ref=MoRef("Datastore", "d"), name=store, capacity_bytes=1, free_bytes=1),),
        folders=tuple(Folder(ref=MoRef("Folder", path), path=path, datacenter="DC") for path in ("", folder)),
        pools=(Pool(ref=MoRef("ResourcePool", "p"), path=f"{cluster}/Resources", cluster=cluster),),
    )  # fmt: skip


SOURCE = inventory("source", host="esx-a1", network="VM Network", store="ds-a", folder="Linux", cluster="A")
TARGET = inventory("target", host="esx-b1", network="Production", store="vsan-b", folder="Migrated", cluster="B")


def config(**sections: Any) -> Config:
    site = {"vcenter": "v", "username": "u"}
    sides = {name: {**site, **sections.pop(name, {})} for name in ("source", "target")}
    return parse({**sides, **sections})


def test_names_that_exist_are_no_mistake():
    """All of each kind, the datacenter's own folder included."""
    mappings = {
        "networks": {"VM Network": "Production"}, "datastores": {"ds-a": "vsan-b"}, "folders": {"Linux": "Migrated"},
        "pools": {"B": "B/Resources"}, "hosts": {"esx-a1": "esx-b1"},
    }  # fmt: skip
    hosts = {"hosts": ["esx-a1"], "vmotion": {"hosts": {"esx-a1": {"addresses": ["10.0.0.1"]}}}}
    verify(config(mappings=mappings, source=hosts), SOURCE, TARGET)
    verify(config(mappings={"folders": {"Linux": ""}}), SOURCE, TARGET)


@pytest.mark.parametrize(
    ("sections", "text"),
    [
        ({"mappings": {"networks": {"VM Network": "Producton"}}}, "no network 'Producton'; did you mean Production?"),
        ({"mappings": {"networks": {"VM Netwrk": "Production"}}}, "source has no network 'VM Netwrk'; did you mean VM"),
        ({"mappings": {"datastores": {"ds-a": "vsan-c"}}}, "target has no datastore 'vsan-c'; did you mean vsan-b?"),
        (
            {"mappings": {"folders": {"Linux": "migrated"}}},
            "target has no VM folder 'migrated'; did you mean Migrated?",
        ),
        ({"mappings": {"hosts": {"esx-a1": "esx-a1"}}}, "target has no host 'esx-a1'; did you mean esx-b1?"),
        ({"mappings": {"pools": {"A": "A/Resources"}}}, "target has no cluster 'A'; there are: B"),
        ({"mappings": {"pools": {"B": "B/Resources/X"}}}, "cluster 'B' has no resource pool 'B/Resources/X'; did you"),
        ({"source": {"hosts": ["esx-a2"]}}, "source.hosts: the source has no host 'esx-a2'; did you mean esx-a1?"),
        ({"target": {"vmotion": {"hosts": {"x": {}}}}}, "target.vmotion.hosts: the target has no host 'x'"),
    ],
)
def test_a_name_that_does_not_exist_is_named_with_near_misses(sections, text):
    """Whatever it names, at whichever site."""
    with pytest.raises(UsageError) as caught:
        verify(config(**sections), SOURCE, TARGET)
    assert text in caught.value.message


@pytest.mark.parametrize(
    "mappings",
    [
        {"networks": {"DC:VM Network": "DC:Production"}},
        {"datastores": {"moref:d": "moref:d"}},
        {"folders": {"DC:Linux": "DC:Migrated"}},
        {"folders": {"Linux": "DC:"}},
        {"pools": {"moref:c": "B/Gold"}, "hosts": {"esx-a1": "moref:h"}},
    ],
)
def test_a_name_may_be_said_in_every_way(mappings):
    """By datacenter and path, cluster and pool, id; on both sides."""
    sites = []
    for site in (SOURCE, TARGET):
        owner = MoRef("ClusterComputeResource", "c")
        pool = Pool(ref=MoRef("ResourcePool", "p2"), path="B/Resources/Gold", cluster="B", owner=owner)
        sites.append(
            replace(
                site,
                hosts=tuple(replace(one, compute=owner, datacenter="DC") for one in site.hosts),
                networks=tuple(replace(one, datacenter="DC", path=one.name) for one in site.networks),
                pools=(*site.pools, pool),
            )
        )
    verify(config(mappings=mappings), *sites)


def test_a_path_that_does_not_exist_has_near_misses_that_are_paths():
    """As it would be typed."""
    target = replace(TARGET, networks=tuple(replace(one, datacenter="DC2", path=one.name) for one in TARGET.networks))
    with pytest.raises(UsageError, match="did you mean DC2:Production"):
        verify(config(mappings={"networks": {"VM Network": "DC2:Prodution"}}), SOURCE, target)


def test_all_of_them_are_named_at_once():
    """One a line."""
    mappings = {"networks": {"x": "y"}, "datastores": {"ds-a": "z"}}
    with pytest.raises(UsageError, match="has 3 names that do not exist") as caught:
        verify(config(mappings=mappings), SOURCE, TARGET)
    assert len(caught.value.message.splitlines()) == 4
