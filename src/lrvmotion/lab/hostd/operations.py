"""The operations that the contract names, on one host."""

from __future__ import annotations

import ipaddress
import re
import threading
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

from lrvmotion.lab.hostd import connections, loopback, ping, protocol
from lrvmotion.lab.hostd.devices import Configuration, Vmknic
from lrvmotion.lab.hostd.kernel import Kernel
from lrvmotion.lab.hostd.migration import Migration
from lrvmotion.lab.hostd.precopy import Precopy
from lrvmotion.lab.hostd.receiver import Expectation, Receiver
from lrvmotion.lab.hostd.stream import Pair, Settings
from lrvmotion.lab.rpc import Json, RpcError

_DEVICE = re.compile(r"vmk\d{1,3}")
_MAC = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}")
_STREAMS_MAX = 256


class Host:
    """One simulated host; *net* False: no interfaces, and the streams run over loopback."""

    def __init__(self, directory: Path, site: str, name: str, *, net: bool) -> None:
        self._directory, self._site, self._name = directory, site, name
        self._config = Configuration()
        self._kernel = Kernel() if net else None
        self._receiver = Receiver()
        self._listening: dict[int, list[str]] = {}  # vmknics by port
        self._migrations: dict[str, Migration] = {}
        self._lock = threading.RLock()
        self._ops: dict[str, Callable[..., Any]] = {
            "vmknic_add": self.vmknic_add,
            "vmknic_update": self.vmknic_update,
            "vmknic_remove": self.vmknic_remove,
            "route_add": self.route_add,
            "route_remove": self.route_remove,
            "default_gateway": self.default_gateway,
            "services": self.services,
            "ping": self.ping,
            "connections": self.connections,
            "expect": self.expect,
            "migrate": self.migrate,
            "progress": self.progress,
            "cancel": self.cancel,
            "forget": self.forget,
            "received": self.received,
            "state": self.state,
            "reset": self.reset,
        }

    def handle(self, op: str, arguments: dict[str, Any]) -> Json:
        """Carry out *op*. Raises RpcError, TypeError and ValueError (both: invalid arguments)."""
        try:
            operation = self._ops[op]
        except KeyError:
            raise RpcError(kind="invalid", message=f"unknown op {op!r}") from None
        result = operation(**arguments)
        return {} if result is None else result

    def close(self) -> None:
        """End every move and connection."""
        for migration in self._migrations.values():
            migration.cancel()
            migration.join(timeout=1.0)
        self._receiver.close()

    def vmknic_add(self, **fields: Json) -> None:
        """Add a vmknic."""
        nic = _vmknic(fields)
        with self._lock:
            if nic.device in self._config.vmknics:
                raise RpcError(kind="exists", message=f"{nic.device} exists")
            self._put(nic)

    def vmknic_update(self, **fields: Json) -> None:
        """Replace everything about a vmknic."""
        nic = _vmknic(fields)
        with self._lock:
            self._nic(nic.device)
            self._put(nic)

    def vmknic_remove(self, device: str) -> None:
        """Remove a vmknic, its listener with it."""
        with self._lock:
            self._nic(device)
            self._unlisten(device)
            self._listening = {
                port: [name for name in names if name != device] for port, names in self._listening.items()
            }
            changed = deepcopy(self._config)
            del changed.vmknics[device]
            self._make(changed)
            self._listen()

    def route_add(self, netstack: str, prefix: str, gateway: str) -> None:
        """Add a static route to a netstack."""
        route = (netstack, str(ipaddress.ip_network(prefix)), str(ipaddress.ip_address(gateway)))
        with self._lock:
            if any(known[:2] == route[:2] for known in self._config.routes):
                raise RpcError(kind="exists", message=f"{netstack} has a route to {prefix}")
            self._reachable(netstack, gateway)
            changed = deepcopy(self._config)
            changed.routes.add(route)
            self._make(changed)

    def route_remove(self, netstack: str, prefix: str, gateway: str) -> None:
        """Remove a static route from a netstack."""
        route = (netstack, str(ipaddress.ip_network(prefix)), str(ipaddress.ip_address(gateway)))
        with self._lock:
            if route not in self._config.routes:
                raise RpcError(kind="missing", message=f"{netstack} has no route to {prefix} by {gateway}")
            changed = deepcopy(self._config)
            changed.routes.remove(route)
            self._make(changed)

    def default_gateway(self, netstack: str, gateway: str | None) -> None:
        """Set or remove a netstack's default gateway."""
        with self._lock:
            changed = deepcopy(self._config)
            changed.defaults.pop(netstack, None)
            if gateway is not None:
                self._reachable(netstack, gateway)
                changed.defaults[netstack] = str(ipaddress.ip_address(gateway))
            self._make(changed)

    def services(self, vmotion: list[str], nfc: list[str]) -> None:
        """Listen for vMotion and for NFC on exactly these vmknics."""
        with self._lock:
            for device in (*vmotion, *nfc):
                self._nic(device)
            self._listening = {protocol.PORT: list(vmotion), protocol.NFC_PORT: list(nfc)}
            self._listen()

    def ping(
        self,
        host: str,
        interface: str | None = None,
        netstack: str | None = None,
        count: int = 3,
        size: int = 56,
        df: bool = False,
        interval: float = 1.0,
        ttl: int | None = None,
        wait: float = 1.0,
    ) -> dict[str, Any]:
        """Ping *host* from the namespace."""
        if self._kernel is None:
            raise RpcError(kind="unsupported", message="this lab has no network to ping")
        address = str(ipaddress.ip_address(host))
        with self._lock:
            stack = netstack
            if interface is not None:
                nic = self._nic(interface)
                if stack is not None and stack != nic.netstack:
                    raise RpcError(kind="invalid", message=f"{interface} is not on netstack {stack}")
            mark = self._config.mark(stack) if stack is not None else 0
        command = ping.arguments(
            host=address,
            interface=interface,
            mark=mark,
            count=count,
            size=size,
            df=df,
            interval=interval,
            ttl=ttl,
            wait=wait,
        )
        return ping.run(command, timeout=count * max(interval, wait) + 30.0)

    def connections(self, netstack: str) -> list[dict[str, str]]:
        """Return the TCP connections of a netstack's vmknics; without a network, those of its own moves."""
        with self._lock:
            addresses = {nic.address for nic in self._config.vmknics.values() if nic.netstack == netstack}
            migrations = list(self._migrations.values())
        if self._kernel is None:
            return [
                {"local": f"{pair.source}:{port}", "foreign": f"{pair.target}:{protocol.PORT}", "state": "ESTABLISHED"}
                for move in migrations
                for pair, port in move.open()
                if pair.source in addresses
            ]
        return connections.parse(Path("/proc/net/tcp").read_text().splitlines(), addresses)

    def expect(self, id: str, receive_buffer_bytes: int, idle_timeout_s: float) -> None:  # noqa: A002
        """Accept the streams of a migration from now on."""
        new = Expectation(line_rate=receive_buffer_bytes, idle_timeout_s=idle_timeout_s)
        if not self._receiver.expect(id, new):
            raise RpcError(kind="exists", message=f"migration {id} is expected already")

    def migrate(
        self,
        id: str,  # noqa: A002
        sources: list[str],
        targets: list[str],
        streams: int,
        bind: bool,
        congestion_control: str,
        line_rate_bytes: int,
        memory_bytes: int,
        disk_bytes: int,
        dirty_bps: int,
        switchover_s: float,
        timeout_s: float,
        port: int = protocol.PORT,
    ) -> None:
        """Start a move; it runs on by itself."""
        if not sources or not targets or not 1 <= streams <= _STREAMS_MAX:
            raise RpcError(kind="invalid", message="sources, targets and 1-256 streams are needed")
        if min(memory_bytes, disk_bytes, dirty_bps) < 0 or min(switchover_s, timeout_s) <= 0:
            raise RpcError(kind="invalid", message="sizes may not be negative, times must be above 0")
        with self._lock:
            if id in self._migrations:
                raise RpcError(kind="exists", message=f"migration {id} exists")
            nics = [self._nic(device) for device in sources]
            pairs = [
                self._pair(nics[n % len(nics)], targets[n // len(nics) % len(targets)], port, bind)
                for n in range(streams)
            ]
            self._migrations[id] = Migration(
                pairs=pairs,
                settings=Settings(
                    migration=id,
                    congestion_control=congestion_control,
                    line_rate=line_rate_bytes,
                    timeout_s=timeout_s,
                ),
                precopy=Precopy(
                    memory_bytes=memory_bytes,
                    disk_bytes=disk_bytes,
                    dirty_bps=dirty_bps,
                    switchover_s=switchover_s,
                ),
            )

    def progress(self, id: str) -> dict[str, Any]:  # noqa: A002
        """Return a move's counters."""
        return self._migration(id).progress()

    def cancel(self, id: str) -> None:  # noqa: A002
        """Cancel a move that is not yet in switchover."""
        migration = self._migration(id)
        if not migration.cancel():
            raise RpcError(kind="invalid", message=f"migration {id} is in phase {migration.phase}")

    def forget(self, id: str) -> None:  # noqa: A002
        """Drop the record of a finished move or of an expectation."""
        with self._lock:
            migration = self._migrations.get(id)
            if migration is not None and not migration.ended:
                raise RpcError(kind="invalid", message=f"migration {id} runs")
            dropped = self._receiver.forget(id)
            if migration is None and not dropped:
                raise RpcError(kind="missing", message=f"no migration {id}")
            self._migrations.pop(id, None)

    def received(self, id: str) -> dict[str, int]:  # noqa: A002
        """Return what has arrived of a move."""
        expected = self._receiver.expected(id)
        if expected is None:
            raise RpcError(kind="missing", message=f"no migration {id} is expected")
        return {
            "bytes": expected.bytes,
            "streams_open": expected.streams_open,
            "streams_peak": expected.streams_peak,
            "eof": expected.eof,
            "resets": expected.resets,
        }

    def state(self) -> dict[str, Any]:
        """Return the network configuration as the kernel shows it; without a network, as it was asked for."""
        with self._lock:
            if self._kernel is not None:
                return self._kernel.state()
            config = self._config
            return {
                "vmknics": [
                    {
                        "device": nic.device,
                        "mac": nic.mac,
                        "mtu": nic.mtu,
                        "netstack": nic.netstack,
                        "gateway": nic.gateway,
                        "addresses": [f"{nic.address}/{nic.prefix_length}"],
                    }
                    for _, nic in sorted(config.vmknics.items())
                ],
                "routes": [list(route) for route in sorted(config.routes)],
                "defaults": sorted(f"{stack} {gw}" for stack, gw in config.defaults.items()),
                "rules": [],
            }

    def reset(self) -> None:
        """Remove every vmknic, route and listener: the host was rebooted."""
        with self._lock:
            self._listening = {}
            self._listen()
            self._make(Configuration(stacks=self._config.stacks))

    def _nic(self, device: str) -> Vmknic:
        try:
            return self._config.vmknics[device]
        except KeyError:
            raise RpcError(kind="missing", message=f"no {device}") from None

    def _migration(self, identifier: str) -> Migration:
        try:
            return self._migrations[identifier]
        except KeyError:
            raise RpcError(kind="missing", message=f"no migration {identifier}") from None

    def _put(self, nic: Vmknic) -> None:
        changed = deepcopy(self._config)
        for other in changed.vmknics.values():
            if other.device != nic.device and other.address == nic.address:
                raise RpcError(kind="exists", message=f"{nic.address} is the address of {other.device}")
        old = changed.vmknics.get(nic.device)
        if old is not None and old.mac != nic.mac:  # the interface is made again: a listener bound to it is deaf
            self._unlisten(nic.device)
        changed.vmknics[nic.device] = nic
        self._make(changed)
        self._listen()

    def _reachable(self, netstack: str, gateway: str) -> None:
        if not any(nic.netstack == netstack and nic.reaches(gateway) for nic in self._config.vmknics.values()):
            raise RpcError(kind="invalid", message=f"no vmknic of {netstack} reaches gateway {gateway}")

    def _make(self, changed: Configuration) -> None:
        if self._kernel is not None:
            try:
                self._kernel.make(changed)
            except RpcError:
                for device in {name for names in self._listening.values() for name in names}:
                    self._unlisten(device)
                self._kernel.rebuild(self._config)
                self._listen()
                raise
        self._config = changed

    def _listen(self) -> None:
        nics = [(port, self._config.vmknics[name]) for port, names in self._listening.items() for name in names]
        if self._kernel is not None:
            # What is asked on port 8000 is answered where the question came in; NFC follows the default stack's routes.
            self._receiver.listen(
                {
                    _listener(port, nic.device): (nic.device if port == protocol.PORT else None, nic.address, port)
                    for port, nic in nics
                }
            )
            return
        where = self._receiver.listen({_listener(port, nic.device): (None, loopback.ADDRESS, 0) for port, nic in nics})
        ports = {loopback.key(nic.address, port): where[_listener(port, nic.device)][1] for port, nic in nics}
        loopback.publish(self._directory, self._site, self._name, ports)

    def _unlisten(self, device: str) -> None:
        for port in self._listening:
            self._receiver.unlisten(_listener(port, device))

    def _pair(self, nic: Vmknic, target: str, port: int, bind: bool) -> Pair:
        if self._kernel is None:
            # Port 1 of loopback answers with a reset: what a host without a listener would do.
            endpoint = loopback.find(self._directory, target, port) or (loopback.ADDRESS, 1)
            return Pair(source=nic.address, target=target, device=None, bind=None, mark=0, endpoint=endpoint)
        return Pair(
            source=nic.address,
            target=target,
            device=nic.device if bind else None,
            bind=nic.address if bind else None,
            mark=0 if bind else self._config.mark(nic.netstack),
            endpoint=(target, port),
        )


def _listener(port: int, device: str) -> str:
    return f"{device}:{port}"


def _vmknic(fields: dict[str, Any]) -> Vmknic:
    nic = Vmknic(**fields)
    if not _DEVICE.fullmatch(nic.device):
        raise RpcError(kind="invalid", message=f"{nic.device!r} is not the name of a vmknic")
    if not _MAC.fullmatch(nic.mac):
        raise RpcError(kind="invalid", message=f"{nic.mac!r} is not a MAC address in lower case")
    ipaddress.ip_interface(f"{nic.address}/{nic.prefix_length}")
    if nic.gateway is not None and not nic.reaches(nic.gateway):
        raise RpcError(kind="invalid", message=f"gateway {nic.gateway} is not in the subnet of {nic.device}")
    return nic
