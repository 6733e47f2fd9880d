"""What a host's network consists of, as plain records, and what a host carries at once."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from ipaddress import IPv4Network
from typing import Any

DEFAULT_STACK = "defaultTcpipStack"
VMOTION_STACK = "vmotion"
COST = 8  # what a host carries at once; a relocate with storage that is not shared costs 4 (vsphere.md 5)


def mac(site: int, number: int, index: int) -> str:
    """Return a MAC of the range ESXi gives vmkernel NICs (00:50:56:6x)."""
    return f"00:50:56:{0x60 + site:02x}:{number % 256:02x}:{index % 256:02x}"


@dataclass(slots=True, kw_only=True)
class Vmknic:
    """A vmkernel NIC; *dvport* is the moId of its distributed port group, *gateway* the override.

    *dhcp*: its address is given by a DHCP server, and is not there without a *lease*; *ipv6* is its only address.
    *opaque* is the id of the opaque network that it is on in place of a port group.
    """

    device: str
    mac: str
    address: str
    prefix_length: int
    mtu: int = 1500
    portgroup: str = ""
    dvport: str | None = None
    netstack: str = DEFAULT_STACK
    gateway: str | None = None
    dhcp: bool = False
    lease: bool = True
    ipv6: str = ""
    opaque: str = ""

    @property
    def reachable(self) -> bool:
        """Whether it has an IPv4 address now."""
        return self.lease and not self.ipv6

    @property
    def key(self) -> str:
        """The API's key of it."""
        return f"key-vim.host.VirtualNic-{self.device}"

    @property
    def mask(self) -> str:
        """The subnet mask, dotted."""
        return str(IPv4Network(f"0.0.0.0/{self.prefix_length}").netmask)

    @property
    def network(self) -> IPv4Network:
        """The network that it is in."""
        return IPv4Network(f"{self.address}/{self.prefix_length}", strict=False)

    def wire(self) -> dict[str, Any]:
        """Return it as the host's process takes it."""
        names = ("device", "mac", "address", "prefix_length", "mtu", "netstack", "gateway")
        return {name: getattr(self, name) for name in names}


@dataclass(slots=True, kw_only=True)
class Netstack:
    """A TCP/IP stack: *routes* as (prefix, gateway)."""

    key: str
    congestion_control: str = "newreno"
    max_connections: int = 11000
    gateway: str | None = None
    routes: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class PortGroup:
    """A standard port group."""

    name: str
    vlan: int = 0
    switch: str = "vSwitch0"


@dataclass(slots=True, kw_only=True)
class NetworkState:
    """All of it; *selected* is the devices a service is selected on."""

    standard: bool
    portgroups: dict[str, PortGroup] = field(default_factory=dict)
    vmknics: dict[str, Vmknic] = field(default_factory=dict)
    netstacks: dict[str, Netstack] = field(default_factory=dict)
    selected: dict[str, set[str]] = field(default_factory=dict)

    def vmotion(self) -> list[Vmknic]:
        """Return the vmkernel NICs that carry vMotion.

        One on the vmotion stack takes the service from those of the default stack (vsphere.md 2.2).
        """
        own = [nic for nic in self.vmknics.values() if nic.netstack == VMOTION_STACK]
        chosen = self.selected.get("vmotion", set())
        found = own or [nic for nic in self.vmknics.values() if nic.device in chosen]
        return [nic for nic in found if nic.reachable]  # the lab's hosts speak IPv4

    def nfc(self) -> list[Vmknic]:
        """Return the vmkernel NICs that NFC uses: the provisioning ones, else the management ones (vsphere.md 6)."""
        services = ("vSphereProvisioning", "management")
        sets = (self.selected.get(service, set()) for service in services)
        chosen: set[str] = next((devices for devices in sets if devices), set())
        return [nic for nic in self.vmknics.values() if nic.device in chosen]

    def document(self) -> dict[str, Any]:
        """Return everything for the witness, sorted, no clock or counter in it."""
        return {
            "portgroups": {name: asdict(group) for name, group in sorted(self.portgroups.items())},
            "vmknics": {name: asdict(nic) for name, nic in sorted(self.vmknics.items())},
            "netstacks": {
                name: {**asdict(stack), "routes": sorted(stack.routes)}
                for name, stack in sorted(self.netstacks.items())
            },
            "services": {name: sorted(devices) for name, devices in sorted(self.selected.items()) if devices},
        }
