"""A host's static IPv4 routes, one netstack each: over the network API on the default stack, on others over esxcli.

Each is the other's fallback. That the network API's routes act on another stack is unconfirmed, and what it shows is
vCenter's copy, which calls through vCenter renew and esxcli does not (vsphere.md 2.4).
"""

from __future__ import annotations

import ipaddress
from contextlib import suppress

from pyVmomi import vim

from lrvmotion.errors import RefusedError
from lrvmotion.model.inventory import DEFAULT_STACK, MoRef
from lrvmotion.model.setting import ABSENT, Value, string
from lrvmotion.vsphere.client import properties_of
from lrvmotion.vsphere.host import esxcli
from lrvmotion.vsphere.session import Session

_ON_LINK = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - a route without a gateway
_PATHS = ("networkInfo.netStackInstance", "networkInfo.routeTableInfo")


class HostRoutes:
    """The static routes of the host that messages call *subject*; keys are "<stack>/<network>/<length>"."""

    def __init__(self, session: Session, subject: str, ref: MoRef, system: vim.host.NetworkSystem) -> None:
        self._session = session
        self._subject = subject
        self._ref = ref
        self._system = system

    def read(self, key: str) -> Value:
        """Return the route's gateway or ABSENT.

        On the default stack, what the network API does not show is looked for by esxcli too: a route that is not seen
        would never be taken back. On another one the host's own list counts, where it gives one.
        """
        stack, network = _parsed(key)
        if stack == DEFAULT_STACK:
            gateway = self._over_api(stack, network) or self._over_esxcli(stack, network)
        else:
            gateway = self._over_esxcli(stack, network)
            if gateway is None:
                gateway = self._over_api(stack, network)
        return string(gateway) if gateway else ABSENT

    def write(self, key: str, value: Value) -> None:
        """Set or remove the route, and look that it is so; raises RefusedError where neither way has an effect."""
        stack, network = _parsed(key)
        if self.read(key) == value:
            return
        ways = [self._set_over_api, self._set_over_esxcli]
        if stack != DEFAULT_STACK:
            ways.reverse()
        refused: RefusedError | None = None
        for way in ways:
            try:
                way(stack, network, self.read(key), value)
            except RefusedError as error:
                if refused is not None:
                    message = f"{refused.message}; nor the other way: {error.message}"
                    raise RefusedError(message, hint=refused.hint) from None
                refused = error
            self._refresh()
            if self.read(key) == value:
                return
        if refused is not None:
            raise refused

    def _refresh(self) -> None:
        """Have vCenter look at the host's network again; where it does not, its copy is renewed in its own time."""
        with suppress(RefusedError):
            self._session.call(f"{self._subject}: network", self._system.RefreshNetworkSystem)

    def _over_api(self, stack: str, network: ipaddress.IPv4Network) -> str | None:
        content = self._session.content
        read = self._session.call(f"{self._subject}: routes", lambda: properties_of(content, self._system, _PATHS))
        entries: list[vim.host.IpRouteEntry] = []
        table = read.get("networkInfo.routeTableInfo")
        if stack == DEFAULT_STACK and table is not None:
            entries += table.ipRoute or ()
        for instance in read.get("networkInfo.netStackInstance") or ():
            if instance.key == stack and instance.routeTableConfig is not None:
                entries += [operation.route for operation in instance.routeTableConfig.ipRoute or ()]
        for entry in entries:
            same = (entry.network, entry.prefixLength) == (str(network.network_address), network.prefixlen)
            if same and entry.gateway not in _ON_LINK:
                return str(entry.gateway)
        return None

    def _over_esxcli(self, stack: str, network: ipaddress.IPv4Network) -> str | None:
        """Return the gateway in the host's own list, "" where it has no such route, None where it gives no list."""
        try:
            routes = esxcli.route_list(self._session, self._ref, stack)
        except (RefusedError, esxcli.ParseError):
            return None
        wanted = (str(network.network_address), str(network.netmask))
        for route in routes:
            if (route.network, route.netmask) == wanted and route.gateway not in _ON_LINK:
                return route.gateway
        return ""

    def _set_over_api(self, stack: str, network: ipaddress.IPv4Network, now: Value, value: Value) -> None:
        operations = []
        if now != ABSENT:
            operations.append(_operation("remove", network, str(now.data)))
        if value != ABSENT:
            operations.append(_operation("add", network, str(value.data)))
        table = vim.host.IpRouteTableConfig(ipRoute=operations)
        subject = f"{self._subject}: route to {network} on {stack}"
        if stack == DEFAULT_STACK:
            self._session.call(subject, lambda: self._system.UpdateIpRouteTableConfig(table))
            return
        instance = vim.host.NetStackInstance(key=stack, routeTableConfig=table)
        change = vim.host.NetworkConfig.NetStackSpec(operation="edit", netStackInstance=instance)
        # 'modify', never 'replace': that would take away all that is not named (vsphere.md 2.4).
        config = vim.host.NetworkConfig(netStackSpec=[change])
        self._session.call(subject, lambda: self._system.UpdateNetworkConfig(config, "modify"))

    def _set_over_esxcli(self, stack: str, network: ipaddress.IPv4Network, now: Value, value: Value) -> None:
        if now != ABSENT:
            esxcli.route_remove(self._session, self._ref, stack, str(network), str(now.data))
        if value != ABSENT:
            esxcli.route_add(self._session, self._ref, stack, str(network), str(value.data))


def _operation(how: str, network: ipaddress.IPv4Network, gateway: str) -> vim.host.IpRouteOp:
    entry = vim.host.IpRouteEntry(network=str(network.network_address), prefixLength=network.prefixlen, gateway=gateway)
    return vim.host.IpRouteOp(changeOperation=how, route=entry)


def _parsed(key: str) -> tuple[str, ipaddress.IPv4Network]:
    try:
        stack, address, length = key.split("/")
        return stack, ipaddress.IPv4Network(f"{address}/{length}")
    except ValueError:
        message = f"{key!r} is not a route that can be set: <netstack>/<IPv4 network>/<length>"
        raise RefusedError(message) from None
