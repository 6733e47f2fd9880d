"""Steering by route: a static host route to each of the target's vMotion addresses, with the relay as its gateway."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from lrvmotion.config.schema import Relay
from lrvmotion.findings import Finding
from lrvmotion.model.inventory import Host
from lrvmotion.model.mode import Steering
from lrvmotion.model.setting import HostKind, SettingKey, Value, string
from lrvmotion.plan.plan import Wanted

NAME: Steering = "route"
KIND: HostKind = "route"


def settings(host: Host, relay: Relay, targets: Sequence[str]) -> list[Wanted]:
    """Return a route to each of *targets* in every netstack of the host's vMotion vmknics."""
    reason = f"vMotion to this address goes through relay {relay.name}"
    return [
        (SettingKey.of(KIND, f"{stack}/{address}/{_length(address)}"), string(relay.address), reason)
        for stack in dict.fromkeys(nic.netstack for nic in host.vmotion_vmknics)
        for address in targets
    ]


def _length(address: str) -> int:
    return ipaddress.ip_address(address).max_prefixlen


def findings(_host: Host) -> Iterable[Finding]:
    """Return nothing: a host route touches vMotion alone."""
    return ()


def relay_address(key: SettingKey, value: Value) -> str | None:
    """Return the route's gateway."""
    return str(value.data) if key.kind.name == KIND and value.type == "string" else None
