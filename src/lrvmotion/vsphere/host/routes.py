"""A host's static IPv4 routes, one netstack each: over the network API, over esxcli where that has no effect."""

from __future__ import annotations

import ipaddress

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

        What the network API does not show is looked for by esxcli too: whether a non-default stack's routes always
        show there is unconfirmed (vsphere.md 2.4), and a route that is not seen would never be taken back.
        """
        stack, network = _parsed(key)
        gateway = self._over_api(stack, network) or self._over_esxcli(stack, network)
        return string(gateway) if gateway else ABSENT

    def write(self, key: str, value: Value) -> None:
        """Set or remove the route, and look that it is so; raises RefusedError where neither way has an effect."""
        stack, network = _parsed(key)
        now = self.read(key)
        if now == value:
            return
        subject = f"{self._subject}: route to {network} on {stack}"
        refused: RefusedError | None = None
        try:
            self._session.call(subject, lambda: self._set_over_api(stack, network, now, value))
        except RefusedError as error:
            refused = error
        if self.read(key) == value:
            return
        try:
            self._set_over_esxcli(stack, network, self.read(key), value)
        except RefusedError as error:
            if refused is not None:
                message = f"{refused.message}; nor by esxcli: {error.message}"
                raise RefusedError(message, hint=refused.hint) from None
            raise

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
        try:
            routes = esxcli.route_list(self._session, self._ref, stack)
        except (RefusedError, esxcli.ParseError):
            return None  # the host does not list them for us: the API's word stands
        wanted = (str(network.network_address), str(network.netmask))
        for route in routes:
            if (route.network, route.netmask) == wanted and route.gateway not in _ON_LINK:
                return route.gateway
        return None

    def _set_over_api(self, stack: str, network: ipaddress.IPv4Network, now: Value, value: Value) -> None:
        operations = []
        if now != ABSENT:
            operations.append(_operation("remove", network, str(now.data)))
        if value != ABSENT:
            operations.append(_operation("add", network, str(value.data)))
        table = vim.host.IpRouteTableConfig(ipRoute=operations)
        if stack == DEFAULT_STACK:
            self._system.UpdateIpRouteTableConfig(table)
            return
        instance = vim.host.NetStackInstance(key=stack, routeTableConfig=table)
        change = vim.host.NetworkConfig.NetStackSpec(operation="edit", netStackInstance=instance)
        # 'modify', never 'replace': that would take away all that is not named (vsphere.md 2.4).
        self._system.UpdateNetworkConfig(vim.host.NetworkConfig(netStackSpec=[change]), "modify")

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
