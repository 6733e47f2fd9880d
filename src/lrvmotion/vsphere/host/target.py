"""A host as a target: every setting of it that we manage, behind read and write."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lrvmotion.errors import RefusedError, UnreachableError
from lrvmotion.model.host_option import Bounds
from lrvmotion.model.inventory import MoRef, SiteName
from lrvmotion.plan.plan import Value
from lrvmotion.plan.reboot_order import MAINTENANCE
from lrvmotion.vsphere.client import managed_object, properties_of
from lrvmotion.vsphere.host.network import HostNetwork
from lrvmotion.vsphere.host.options import HostOptions
from lrvmotion.vsphere.host.power import HostPower
from lrvmotion.vsphere.host.routes import HostRoutes
from lrvmotion.vsphere.host.running_relocates import cancel_moves, running_moves
from lrvmotion.vsphere.session import Session

_MANAGERS = ("configManager.advancedOption", "configManager.networkSystem", "configManager.virtualNicManager")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    options: HostOptions
    network: HostNetwork
    routes: HostRoutes


class HostTarget:
    """The host *name* of *site* (apply.Target).

    Keys: option/<key>, portgroup/<name>, vmknic/<address>, vmotion-service/<address>, gateway/<address>,
    route/<netstack>/<network>/<length>, maintenance. Every read is fresh.
    """

    def __init__(self, session: Session, site: SiteName, ref: MoRef, name: str) -> None:
        self.ref = ref
        self.name = f"{site}/{name}"
        self._session = session

    def read(self, key: str) -> Value:
        """Return the setting's value now; ABSENT where it does not exist."""
        if key == MAINTENANCE:
            return self.power.read()
        kind, _, rest = key.partition("/")
        parts = self._parts
        match kind:
            case "option":
                return parts.options.read(rest)
            case "portgroup":
                return parts.network.read_portgroup(rest)
            case "vmknic":
                return parts.network.read_vmknic(rest)
            case "vmotion-service":
                return parts.network.read_service(rest)
            case "gateway":
                return parts.network.read_gateway(rest)
            case "route":
                return parts.routes.read(rest)
            case _:
                raise self._unknown(key)

    def write(self, key: str, value: Value) -> None:
        """Set it; ABSENT removes it. Raises RefusedError for what is not ours to change."""
        if key == MAINTENANCE:
            self.power.write(value)
            return
        kind, _, rest = key.partition("/")
        parts = self._parts
        match kind:
            case "option":
                parts.options.write(rest, value)
            case "portgroup":
                parts.network.write_portgroup(rest, value)
            case "vmknic":
                parts.network.write_vmknic(rest, value)
            case "vmotion-service":
                parts.network.write_service(rest, value)
            case "gateway":
                parts.network.write_gateway(rest, value)
            case "route":
                parts.routes.write(rest, value)
            case _:
                raise self._unknown(key)

    def busy(self) -> list[str]:
        """Return a phrase for each relocate that runs or waits on this host."""
        return [str(move) for move in running_moves(self._session, self.name, self._host)]

    def cancel_running(self) -> None:
        """Ask for the relocates on this host to be cancelled, where they still can be."""
        cancel_moves(self._session, self.name, self._host)

    def bounds(self, keys: Collection[str]) -> dict[str, Bounds]:
        """Return the bounds of the advanced options *keys* (without "option/") that this build has."""
        return self._parts.options.bounds(keys)

    def device(self, address: str, netstack: str) -> str:
        """Return the device with *address* on *netstack*; RefusedError where there is none."""
        return self._parts.network.device(address, netstack)

    @cached_property
    def power(self) -> HostPower:
        """Its maintenance mode and reboot (reboot.Rebooter)."""
        return HostPower(self._session, self.name, self._host)

    @cached_property
    def _host(self) -> Any:  # noqa: ANN401
        return managed_object(self._session.stub, self.ref)

    @cached_property
    def _parts(self) -> _Parts:
        """The host's managers: their references never change."""
        content = self._session.content
        read = self._session.call(self.name, lambda: properties_of(content, self._host, _MANAGERS))
        missing = [path for path in _MANAGERS if read.get(path) is None]
        if missing:
            message = f"{self.name}: {missing[0].rpartition('.')[2]} cannot be reached"
            raise UnreachableError(message, hint="the host is not connected, or the account may not read it")
        options, system, manager = (read[path] for path in _MANAGERS)
        return _Parts(
            options=HostOptions(self._session, self.name, options),
            network=HostNetwork(self._session, self.name, system, manager),
            routes=HostRoutes(self._session, self.name, self.ref, system),
        )

    def _unknown(self, key: str) -> RefusedError:
        return RefusedError(f"{self.name}: {key!r} is not a setting of a host")
