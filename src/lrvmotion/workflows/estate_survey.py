"""Read both vCenters into one estate: what `lrvmotion inventory` writes; nothing is changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from lrvmotion.errors import LrvmotionError
from lrvmotion.model.estate import Estate, EstateSite, HostOption
from lrvmotion.model.inventory import SITES, Host, SiteName
from lrvmotion.model.setting import SettingKey
from lrvmotion.plan.settings import KEYS
from lrvmotion.workflows.connections import Connections

_THREADS = 8
Step = Callable[[str, int, int], None]


def read(connections: Connections, step: Step) -> Estate:
    """Return both vCenters. *step* is told what is done: its name, how much of it, of how much.

    Raises TrustError or UnreachableError where a vCenter does not let us in; what a host does not tell is left out.
    """
    for site in SITES:
        connections.session(site)
    source, target = (_site(site, connections, step) for site in SITES)
    return Estate(source=source, target=target)


def _site(site: SiteName, connections: Connections, step: Step) -> EstateSite:
    from lrvmotion.vsphere.inventory.estate import read_site

    found = read_site(connections.session(site), connections.inventory(site), step)
    hosts = found.inventory.hosts
    options: dict[str, Mapping[str, HostOption] | None] = {}
    with ThreadPoolExecutor(_THREADS) as pool:
        told = pool.map(lambda host: _options(site, host, connections), hosts)
        for number, (host, values) in enumerate(zip(hosts, told, strict=True)):
            step(f"{site}: hosts", number, len(hosts))
            options[str(host.ref)] = values
    return replace(found, options=options)


def _options(site: SiteName, host: Host, connections: Connections) -> dict[str, HostOption] | None:
    """Return the options that modes set; None where the host is away or does not tell them."""
    from lrvmotion.vsphere.host.target import HostTarget

    if host.connection_state != "connected":
        return None
    there = HostTarget(connections.session(site), site, host.ref, host.name)  # two hosts may have one name
    try:
        bounds = there.bounds(KEYS)
        values = {key: there.read(SettingKey.of("option", key)).data for key in bounds}
    except LrvmotionError:
        return None
    return {
        key: HostOption(value=int(value), bounds=bounds[key]) for key, value in values.items() if isinstance(value, int)
    }
