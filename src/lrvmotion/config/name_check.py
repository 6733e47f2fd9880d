"""Names in the configuration that a vCenter does not have: all of them at once, each with its near misses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from lrvmotion.config.schema import Config
from lrvmotion.errors import UsageError
from lrvmotion.model.inventory import Inventory, did_you_mean

Kind = Literal["network", "datastore", "folder", "host"]


def verify(config: Config, source: Inventory, target: Inventory) -> None:
    """Raise UsageError for every name in *config* that does not exist; nothing is tried before they all do.

    A mapping's source name counts too: mistyped, it would leave its VMs to whatever has their old name at the target.
    """
    wrong = [*_hosts(config, source, target), *_mappings(config, source, target), *_pools(config, target)]
    if wrong:
        noun = "a name that does not exist" if len(wrong) == 1 else f"{len(wrong)} names that do not exist"
        message = f"the configuration has {noun}\n" + "\n".join(f"  {line}" for line in wrong)
        raise UsageError(message, hint="names are as vSphere shows them, letter by letter; folders and pools are paths")


def _hosts(config: Config, source: Inventory, target: Inventory) -> Iterator[str]:
    for site, own, there in (("source", config.source, source), ("target", config.target, target)):
        yield from _unknown(f"{site}.hosts", own.hosts, there, "host")
        yield from _unknown(f"{site}.vmotion.hosts", own.vmotion.hosts, there, "host")


def _mappings(config: Config, source: Inventory, target: Inventory) -> Iterator[str]:
    kinds: tuple[tuple[str, Kind, Mapping[str, str]], ...] = (
        ("networks", "network", config.mappings.networks),
        ("datastores", "datastore", config.mappings.datastores),
        ("folders", "folder", config.mappings.folders),
        ("hosts", "host", config.mappings.hosts),
    )
    for key, kind, mapping in kinds:
        yield from _unknown(f"mappings.{key}", mapping, source, kind)
        yield from _unknown(f"mappings.{key}", mapping.values(), target, kind)


def _pools(config: Config, target: Inventory) -> Iterator[str]:
    """A pool belongs to its cluster: another cluster's cannot take the VMs of this one's hosts."""
    clusters = {host.cluster for host in target.hosts}
    for cluster, path in config.mappings.pools.items():
        if cluster not in clusters:
            yield f"mappings.pools: the target has no cluster {cluster!r}; {did_you_mean(cluster, clusters)}"
            continue
        paths = [pool.path for pool in target.pools if pool.cluster == cluster]
        if path not in paths:
            yield f"mappings.pools: cluster {cluster!r} has no resource pool {path!r}; {did_you_mean(path, paths)}"


def _unknown(key: str, names: Iterable[str], there: Inventory, kind: Kind) -> Iterator[str]:
    known = _known(there, kind)
    noun = "VM folder" if kind == "folder" else kind
    for name in dict.fromkeys(names):
        if name not in known:
            yield f"{key}: the {there.site} has no {noun} {name!r}; {did_you_mean(name, known)}"


def _known(there: Inventory, kind: Kind) -> set[str]:
    match kind:
        case "network":
            return {network.name for network in there.networks}
        case "datastore":
            return {store.name for store in there.datastores}
        case "folder":
            return {folder.path for folder in there.folders}
        case "host":
            return {host.name for host in there.hosts}
