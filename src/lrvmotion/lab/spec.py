"""What a lab consists of: sites, hosts, VMs, the circuit; read from and written to spec.json."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

Profile = Literal["clean", "uniform", "bursty", "field"]
SiteName = Literal["source", "target"]

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class WanSpec:
    """The emulated circuit between the two routers, the same in both directions, seeded apart.

    *rate_bps* 0 means no limit; *loss* is a ratio 0-1 (uniform: of segments; bursty: mean, in bursts of *burst*
    segments on average); profile "field" ignores *loss*: p(u) = 0.06 u^2.3. *syn_delay_ms*: what a SYN or SYN-ACK of
    TCP port 8000 takes instead of *delay_ms*, as behind a firewall that answers SYNs itself; None: the same.
    """

    rate_bps: int = 1_000_000_000
    delay_ms: float = 27.5
    syn_delay_ms: float | None = None
    buffer_bytes: int = 8 * MIB
    profile: Profile = "field"
    loss: float = 0.0
    burst: float = 10.0
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskSpec:
    """A further disk of a VM, of *size_bytes* in its files; *datastore* "" is that of the VM's home."""

    size_bytes: int
    datastore: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VmSpec:
    """A VM: *memory_bytes* and *disk_bytes* are what a move carries; *dirty_bps* is memory written, bytes/s.

    *disk_bytes* are those of all disks: the first has what *more_disks* leave.
    """

    name: str
    host: str
    memory_bytes: int = 64 * MIB
    disk_bytes: int = 64 * MIB
    dirty_bps: int = 0
    powered_on: bool = True
    network: str = "VM Network"
    datastore: str = ""
    folder: str = ""
    snapshots: int = 0
    more_disks: tuple[DiskSpec, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VmknicSpec:
    """A vmkernel NIC that the host has from the start; *opaque* is the id of the NSX segment that it is on, if one."""

    device: str
    address: str
    prefix_length: int = 24
    mtu: int = 1500
    portgroup: str = "vMotion"
    netstack: str = "defaultTcpipStack"
    services: tuple[str, ...] = ("vmotion",)
    gateway: str | None = None
    opaque: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSpec:
    """A simulated ESXi host; *version* and *build* choose the option table.

    *gateways* are (netstack, default gateway) pairs. *datacenter* is a path below the root folder, "" the site's own,
    *cluster* too; *distributed_switch* is the one that it is on where its *switch* is "distributed".
    *whole_intervals*: its esxcli takes no fraction of a second between two pings (unconfirmed, either way).
    """

    name: str
    vmknics: tuple[VmknicSpec, ...]
    version: str = "7.0.3"
    build: str = "21313628"
    congestion_control: Literal["newreno", "cubic"] = "newreno"
    switch: Literal["standard", "distributed"] = "standard"
    gateways: tuple[tuple[str, str], ...] = ()
    datacenter: str = ""
    cluster: str = ""
    distributed_switch: str = "DSwitch"
    whole_intervals: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DatastoreSpec:
    """A datastore beside those that every host of a datacenter mounts.

    *folder* is a path below the datacenter's datastore folder, *pod* the datastore cluster in it; *hosts* mount it
    (none named: all of the datacenter), those of *read_only* so; *free_bytes* None: all that VMs leave.
    """

    name: str
    datacenter: str = ""
    folder: str = ""
    pod: str = ""
    hosts: tuple[str, ...] = ()
    read_only: tuple[str, ...] = ()
    free_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSpec:
    """A network for VMs beside those that every host of a datacenter has; *folder* is a path below the network folder.

    Standard and opaque ones are those of *hosts* (none named: all of the datacenter), distributed ones those of the
    hosts on *switch*.
    """

    name: str
    kind: Literal["standard", "distributed", "opaque"] = "standard"
    datacenter: str = ""
    folder: str = ""
    switch: str = "DSwitch"
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxSpec:
    """A relay host on a site's LAN. *iptables*: which of the two it has beside nft, None: as the machine."""

    name: str
    address: str
    systemd: bool = True
    iptables: Literal["nft", "legacy"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteSpec:
    """One site: its vCenter, LAN, hosts and VMs.

    *datacenter* and *cluster* are those of hosts that name none. Each datacenter that a host names has the *datastores*
    and the *networks*, so that names are there as often as there are datacenters; beside them there are
    *more_datastores*, *more_networks* and *folders* (datacenter, path of a VM folder). *new_vmknics* are addresses that
    the configuration offers for new vmknics.
    """

    name: SiteName
    lan: str  # network, e.g. 10.88.0.0/24
    router: str  # the WAN router's address on the LAN
    vcenter: str  # display name, also the certificate's
    username: str
    password: str
    hosts: tuple[HostSpec, ...]
    vms: tuple[VmSpec, ...] = ()
    datacenter: str = "DC"
    cluster: str = "Cluster"
    datastores: tuple[str, ...] = ("datastore1",)
    networks: tuple[str, ...] = ("VM Network",)
    boxes: tuple[BoxSpec, ...] = ()
    more_datastores: tuple[DatastoreSpec, ...] = ()
    more_networks: tuple[NetworkSpec, ...] = ()
    folders: tuple[tuple[str, str], ...] = ()
    new_vmknics: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LabSpec:
    """The whole lab. *net* False: no namespaces, loopback only (`lab up --no-net`).

    A move carries one of *shrink* bytes: an estate of terabytes is rehearsed in minutes.
    """

    name: str
    net: bool
    source: SiteSpec
    target: SiteSpec
    wan: WanSpec = field(default_factory=WanSpec)
    shrink: int = 1

    def site(self, name: SiteName) -> SiteSpec:
        """Return the site called *name*."""
        return self.source if name == "source" else self.target

    def write(self, path: Path) -> None:
        """Write the spec as JSON to *path*."""
        path.write_text(json.dumps(asdict(self), indent=1))

    @classmethod
    def read(cls, path: Path) -> LabSpec:
        """Read the spec that *write* wrote at *path*."""
        document: dict[str, Any] = json.loads(path.read_text())
        sites = {name: _site(document[name]) for name in ("source", "target")}
        wan = WanSpec(**document["wan"])
        return cls(name=document["name"], net=document["net"], wan=wan, shrink=document.get("shrink", 1), **sites)


def _site(document: dict[str, Any]) -> SiteSpec:
    hosts = tuple(
        HostSpec(
            **{
                **host,
                "gateways": tuple((stack, gateway) for stack, gateway in host.get("gateways", ())),
                "vmknics": tuple(VmknicSpec(**{**nic, "services": tuple(nic["services"])}) for nic in host["vmknics"]),
            }
        )
        for host in document["hosts"]
    )
    return SiteSpec(
        **{
            **document,
            "hosts": hosts,
            "vms": tuple(
                VmSpec(**{**vm, "more_disks": tuple(DiskSpec(**disk) for disk in vm.get("more_disks", ()))})
                for vm in document["vms"]
            ),
            "boxes": tuple(BoxSpec(**box) for box in document["boxes"]),
            "datastores": tuple(document["datastores"]),
            "networks": tuple(document["networks"]),
            "more_datastores": tuple(
                DatastoreSpec(**{**row, "hosts": tuple(row["hosts"]), "read_only": tuple(row["read_only"])})
                for row in document.get("more_datastores", ())
            ),
            "more_networks": tuple(
                NetworkSpec(**{**row, "hosts": tuple(row["hosts"])}) for row in document.get("more_networks", ())
            ),
            "new_vmknics": tuple(document.get("new_vmknics", ())),
            "folders": tuple((datacenter, path) for datacenter, path in document.get("folders", ())),
        }
    )
