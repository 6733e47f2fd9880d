"""Which relay serves which source host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from lrvmotion.checks import steering
from lrvmotion.config.schema import Relay
from lrvmotion.findings import Finding
from lrvmotion.model.inventory import Host


def assign(
    relays: Sequence[Relay], hosts: Sequence[Host], unusable: Mapping[str, str]
) -> tuple[dict[str, list[Host]], list[Finding]]:
    """Return the hosts of every relay by its name, and what was found.

    A host goes to the relay in its own subnet that serves the fewest hosts so far, in the order of the configuration;
    hosts with the least choice go first, by name, so that the order of the VMs does not matter. A relay that *unusable*
    has a reason against, by its name, is left out wherever another one serves its hosts; the last one of a host is
    kept, so that what blocks it is an error.
    """
    beside = {host.name: [relay for relay in relays if host.is_beside(relay.address)] for host in hosts}
    others = near(relays, hosts)
    reasons = {relay.name: unusable[relay.name] for relay in others if len(others) > 1 and relay.name in unusable}

    def choice(host: Host) -> list[Relay]:
        usable = [relay for relay in beside[host.name] if relay.name not in reasons]
        return usable or beside[host.name] or list(relays)

    served: dict[str, list[Host]] = {}
    instead: dict[str, list[str]] = {name: [] for name in reasons}
    for host in sorted(hosts, key=lambda host: (len(choice(host)), host.name)):
        relay = min(choice(host), key=lambda relay: len(served.get(relay.name, [])))
        served.setdefault(relay.name, []).append(host)
        for other in beside[host.name]:
            if other.name in reasons and relay.name not in (*reasons, *instead[other.name]):
                instead[other.name].append(relay.name)
    left_out = [(name, others) for name, others in instead.items() if name not in served]
    return served, [steering.left_out(name, reasons[name], others) for name, others in left_out]


def near(relays: Iterable[Relay], hosts: Sequence[Host]) -> list[Relay]:
    """Return those of *relays* that are in the subnet of one of *hosts*."""
    return [relay for relay in relays if any(host.is_beside(relay.address) for host in hosts)]


def addresses(hosts: Iterable[Host]) -> list[str]:
    """Return the vMotion addresses of *hosts*, each once."""
    return list(dict.fromkeys(nic.address for host in hosts for nic in host.vmotion_vmknics))
