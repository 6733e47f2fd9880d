"""Steering by route: a static host route to each of the target's vMotion addresses, with the relay as its gateway."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from lrvmotion.config.schema import Relay
from lrvmotion.findings import Finding
from lrvmotion.model.inventory import Host
from lrvmotion.model.mode import Steering
from lrvmotion.plan.plan import Value, Wanted, string

NAME: Steering = "route"
KIND = "route"


def settings(host: Host, relay: Relay, targets: Sequence[str]) -> list[Wanted]:
    """Return a route to each of *targets* in every netstack of the host's vMotion vmknics."""
    reason = f"vMotion to this address goes through relay {relay.name}"
    return [
        (f"{KIND}/{stack}/{address}/{ipaddress.ip_address(address).max_prefixlen}", string(relay.address), reason)
        for stack in dict.fromkeys(nic.netstack for nic in host.vmotion_vmknics)
        for address in targets
    ]


def findings(_host: Host) -> Iterable[Finding]:
    """Return nothing: a host route touches vMotion alone."""
    return ()


def relay_address(key: str, value: Value) -> str | None:
    """Return the route's gateway."""
    return str(value.data) if key.startswith(f"{KIND}/") and value.type == "string" else None
