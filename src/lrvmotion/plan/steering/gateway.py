"""Steering by gateway: the relay is the gateway of each vMotion vmknic, as in the field report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lrvmotion.checks import steering
from lrvmotion.config.schema import Relay
from lrvmotion.findings import Finding
from lrvmotion.model.inventory import Host
from lrvmotion.model.mode import Steering
from lrvmotion.model.setting import HostKind, SettingKey, Value, string
from lrvmotion.plan.plan import Wanted

NAME: Steering = "gateway"
KIND: HostKind = "gateway"


def settings(host: Host, relay: Relay, _targets: Sequence[str]) -> list[Wanted]:
    """Return the gateway of every vMotion vmknic, wherever its traffic goes."""
    reason = f"all off-subnet traffic of this vmknic goes through relay {relay.name}"
    return [(SettingKey.of(KIND, nic.address), string(relay.address), reason) for nic in host.vmotion_vmknics]


def findings(host: Host) -> Iterator[Finding]:
    """A vmknic that carries another service keeps its gateway."""
    yield from steering.gateway_shared(host)
    yield from steering.gateway_dhcp(host)


def relay_address(key: SettingKey, value: Value) -> str | None:
    """Return the vmknic's gateway."""
    return str(value.data) if key.kind.name == KIND and value.type == "string" else None
