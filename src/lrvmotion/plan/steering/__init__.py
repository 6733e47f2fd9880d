"""The steerings, a module each: what makes a source host send its vMotion to a relay."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from lrvmotion.config.schema import Relay
from lrvmotion.findings import Finding
from lrvmotion.model.inventory import Host
from lrvmotion.model.mode import Steering
from lrvmotion.model.setting import HostKind, SettingKey, Value
from lrvmotion.plan.plan import Wanted
from lrvmotion.plan.steering import gateway, route


class SteeringModule(Protocol):
    """What every steering of this package has (PEP 544: a module has no *self*).

    *KIND* is the kind of its settings.
    """

    NAME: Steering
    KIND: HostKind

    def settings(self, host: Host, relay: Relay, targets: Sequence[str]) -> list[Wanted]:
        """Return the settings of *host* that send its vMotion to the addresses *targets* through *relay*."""

    def findings(self, host: Host) -> Iterable[Finding]:
        """Return what blocks steering *host* this way."""

    def relay_address(self, key: SettingKey, value: Value) -> str | None:
        """Return the relay's address that the setting *key* sends to with *value*; None: it is no setting of this kind.

        By this the settings are found that lead through a lost relay host: putting their priors back leads around it.
        """


_MODULES: tuple[SteeringModule, ...] = (
    route,
    gateway,
)
STEERING: Final[dict[Steering, SteeringModule]] = {steering.NAME: steering for steering in _MODULES}


def relay_address(key: SettingKey, value: Value) -> str | None:
    """Return the address that the setting *key* sends a host's vMotion to with *value*; None: it steers nothing."""
    found = (steering.relay_address(key, value) for steering in STEERING.values())
    return next((address for address in found if address is not None), None)
