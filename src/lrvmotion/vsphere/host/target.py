"""A host as a target: every setting of it that we manage, behind read and write."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property

from pyVmomi import vim

from lrvmotion.errors import RefusedError, UnreachableError
from lrvmotion.model.host_option import Bounds
from lrvmotion.model.inventory import MoRef
from lrvmotion.model.setting import SettingKey, Value
from lrvmotion.model.target_id import SiteId, TargetId
from lrvmotion.vsphere.client import managed_object, properties_of
from lrvmotion.vsphere.host.network import HostNetwork
from lrvmotion.vsphere.host.options import HostOptions
from lrvmotion.vsphere.host.power import HostPower
from lrvmotion.vsphere.host.routes import HostRoutes
from lrvmotion.vsphere.host.running_relocates import cancel_moves, running_moves
from lrvmotion.vsphere.session import Session

SETTLE_S = 10.0
_LOOK_S = 0.5
_MANAGERS = ("configManager.advancedOption", "configManager.networkSystem", "configManager.virtualNicManager")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    options: HostOptions
    network: HostNetwork
    routes: HostRoutes


class HostTarget:
    """The host *name* of *site* (ports.target.Target).

    Keys: option/<key>, portgroup/<name>, vmknic/<address>, vmotion-service/<address>, gateway/<address>,
    route/<netstack>/<network>/<length>, maintenance. Every read is fresh.
    """

    def __init__(self, session: Session, site: SiteId, ref: MoRef, name: str) -> None:
        self.ref = ref
        self.name = TargetId.host(site, name)
        self._session = session

    def read(self, key: SettingKey) -> Value:
        """Return the setting's value now; ABSENT where it does not exist."""
        return self._setting(key)[0](key.name)

    def write(self, key: SettingKey, value: Value) -> None:
        """Set it; ABSENT removes it. Raises RefusedError for what is not ours to change.

        Returns once it reads so, or after SETTLE_S: what is read may be vCenter's copy, renewed a little later.
        """
        read, write = self._setting(key)
        if not key.kind.takes(value):
            message = f"{self.name}: {key} cannot be set to a value of type {value.type}"
            raise RefusedError(message)
        write(key.name, value)
        ends = time.monotonic() + SETTLE_S
        while read(key.name) != value and time.monotonic() < ends:
            time.sleep(_LOOK_S)

    def _setting(self, key: SettingKey) -> tuple[Callable[[str], Value], Callable[[str, Value], None]]:
        """Return what reads and what writes the settings of *key*'s kind, by name."""
        if key.kind.name == "maintenance":
            return lambda _: self.power.read(), lambda _, value: self.power.write(value)
        parts = self._parts
        match key.kind.name:
            case "option":
                return parts.options.read, parts.options.write
            case "portgroup":
                return parts.network.read_portgroup, parts.network.write_portgroup
            case "vmknic":
                return parts.network.read_vmknic, parts.network.write_vmknic
            case "vmotion-service":
                return parts.network.read_service, parts.network.write_service
            case "gateway":
                return parts.network.read_gateway, parts.network.write_gateway
            case "route":
                return parts.routes.read, parts.routes.write
            case _:
                message = f"{self.name}: {key!r} is not a setting of a host"
                raise RefusedError(message)

    def busy(self) -> list[str]:
        """Return a phrase for each relocate that runs or waits on this host."""
        return [str(move) for move in running_moves(self._session, self.name, self._host)]

    def cancel_running(self) -> None:
        """Ask for the relocates on this host to be cancelled, where they still can be."""
        cancel_moves(self._session, self.name, self._host)

    def bounds(self, keys: Collection[str]) -> dict[str, Bounds]:
        """Return the bounds of the advanced options called *keys* that this build has."""
        return self._parts.options.bounds(keys)

    def device(self, address: str, netstack: str) -> str:
        """Return the device with *address* on *netstack*; RefusedError where there is none."""
        return self._parts.network.device(address, netstack)

    @cached_property
    def power(self) -> HostPower:
        """Its maintenance mode and reboot (reboot.Rebooter)."""
        return HostPower(self._session, self.name, self._host)

    @cached_property
    def _host(self) -> vim.HostSystem:
        host: vim.HostSystem = managed_object(self._session.stub, self.ref)
        return host

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
