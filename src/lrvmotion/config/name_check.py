"""Names in the configuration that a vCenter does not have: all of them at once, each with its near misses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from lrvmotion.config.schema import Config
from lrvmotion.errors import UsageError
from lrvmotion.model import place_names
from lrvmotion.model.inventory import Inventory, did_you_mean
from lrvmotion.model.place_names import Names, SiteNames, near_misses

_HINT = (
    "names are as vSphere shows them, letter by letter; folders and pools are paths; "
    "datacenter:path, switch/portgroup, cluster/pool and moref:datastore-12 are understood, too"
)


def verify(config: Config, source: Inventory, target: Inventory) -> None:
    """Raise UsageError for every name in *config* that does not exist; nothing is tried before they all do.

    A mapping's source name counts too: mistyped, it would leave its VMs to whatever has their old name at the target.
    """
    sites = (("source", config.source, SiteNames(source)), ("target", config.target, SiteNames(target)))
    wrong: list[str] = []
    for site, own, there in sites:
        wrong += _unknown(f"{site}.hosts", own.hosts, there.hosts, site, "host")
        wrong += _unknown(f"{site}.vmotion.hosts", own.vmotion.hosts, there.hosts, site, "host")
    wrong += [*_mappings(config, sites[0][2], sites[1][2]), *_pools(config, target)]
    if wrong:
        noun = "a name that does not exist" if len(wrong) == 1 else f"{len(wrong)} names that do not exist"
        message = f"the configuration has {noun}\n" + "\n".join(f"  {line}" for line in wrong)
        raise UsageError(message, hint=_HINT)


def _mappings(config: Config, source: SiteNames, target: SiteNames) -> Iterator[str]:
    for key, mapping, noun in (
        ("networks", config.mappings.networks, "network"),
        ("datastores", config.mappings.datastores, "datastore"),
        ("folders", config.mappings.folders, "VM folder"),
        ("hosts", config.mappings.hosts, "host"),
    ):
        yield from _unknown(f"mappings.{key}", mapping, source.of(noun), "source", noun)
        yield from _unknown(f"mappings.{key}", mapping.values(), target.of(noun), "target", noun)


def _pools(config: Config, target: Inventory) -> Iterator[str]:
    """A pool belongs to its cluster: another cluster's cannot take the VMs of this one's hosts."""
    for cluster, path in config.mappings.pools.items():
        hosts = [host for host in target.hosts if cluster in place_names.spellings(place_names.cluster(host))]
        if not hosts:
            near = did_you_mean(cluster, [host.cluster for host in target.hosts])
            yield f"mappings.pools: the target has no cluster {cluster!r}; {near}"
            continue
        pools = Names(pool for pool in target.pools if any(pool.is_of(host) for host in hosts))
        if path not in pools:
            yield f"mappings.pools: cluster {cluster!r} has no resource pool {path!r}; {near_misses(path, pools)}"


def _unknown(key: str, said: Iterable[str], known: Names[Any], site: str, noun: str) -> Iterator[str]:
    for name in dict.fromkeys(said):
        if name not in known:
            yield f"{key}: the {site} has no {noun} {name!r}; {near_misses(name, known)}"
