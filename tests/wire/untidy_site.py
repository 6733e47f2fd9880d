"""A site as untidy as real ones: names that are there twice, a segment as two networks, mounts of single hosts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import lab_client
from lrvmotion.lab import world
from lrvmotion.lab.spec import DatastoreSpec, HostSpec, LabSpec, NetworkSpec, SiteSpec, VmknicSpec
from wire.no_net_lab import no_net_lab

GIB = 1 << 30


def host(name: str, lan: str, number: int, **more) -> HostSpec:
    """Return a host with a management and a vMotion vmknic."""
    management = VmknicSpec(
        device="vmk0", address=f"192.168.7.{number}", portgroup="Management Network", services=("management",)
    )
    return HostSpec(
        name=name, vmknics=(management, VmknicSpec(device="vmk1", address=f"{lan}.{number}", gateway=f"{lan}.254")),
        **more,
    )  # fmt: skip


def untidy(site: SiteSpec, prefix: str) -> SiteSpec:
    """Return *site* with two datacenters of equal names within; hosts are called by *prefix*.

    | host | datacenter | cluster | switch | mounts |
    | x1 | DC | Cluster | standard | datastore1, local-x1 |
    | y1 | EU/DC2 | Cluster | standard | datastore1, gold, tier/* |
    | y2 | EU/DC2 | Cluster | DSwitch | datastore1, gold read-only, tier/* |
    | y3 | EU/DC2 | Edge | NSX | datastore1, tier/* |

    Folder Prod/Web is in both datacenters. On y2 and y3 "dv-VM Network" is another port group each; y3 has the segment
    "app" as a port group and as an opaque network.
    """
    lan = site.lan.rpartition(".")[0]
    east = {"datacenter": "EU/DC2"}
    names = {number: f"{prefix}{number}" for number in ("x1", "y1", "y2", "y3")}
    return replace(
        site,
        hosts=(
            host(names["x1"], lan, 11),
            host(names["y1"], lan, 12, **east),
            host(names["y2"], lan, 13, **east, switch="distributed"),
            host(names["y3"], lan, 14, **east, switch="distributed", distributed_switch="NSX", cluster="Edge"),
        ),
        folders=(("DC", "Prod/Web"), ("EU/DC2", "Prod/Web")),
        more_datastores=(
            DatastoreSpec(name="local-x1", hosts=(names["x1"],)),
            DatastoreSpec(
                name="gold", folder="fast", hosts=(names["y1"], names["y2"]), read_only=(names["y2"],), **east
            ),
            DatastoreSpec(name="tier-1", pod="tier", free_bytes=100 * GIB, **east),
            DatastoreSpec(name="tier-2", pod="tier", free_bytes=200 * GIB, **east),
        ),
        more_networks=(
            NetworkSpec(name="app", kind="distributed", switch="NSX", **east),
            NetworkSpec(name="app", kind="opaque", hosts=(names["y3"],), **east),
        ),
    )


class Running(lab_client.Lab):
    """The real CLI against a lab that somebody else brought up and takes down."""

    def __init__(self, folder: Path, spec: LabSpec, directory: Path) -> None:
        super().__init__(folder)
        self.directory = directory
        self.config.write_text(world.configuration(spec, directory))

    def csv(self, text: str) -> str:
        """Write *text* as a list of VMs and return its path."""
        path = self.folder / "vms.csv"
        path.write_text(text)
        return str(path)


@contextmanager
def running(folder: Path, change: Callable[[LabSpec], LabSpec]) -> Iterator[Running]:
    """Bring a lab up without a network, *change*d, for the CLI in *folder*."""
    with no_net_lab(change) as lab:
        yield Running(folder, lab.spec, lab.directory)
