"""A lab's network for tests: two sites, the circuit between them, hosts with vmknics, no vCenter."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from lrvmotion.lab import topology
from lrvmotion.lab.rpc import Json, call
from lrvmotion.lab.spec import BoxSpec, HostSpec, LabSpec, SiteSpec, VmknicSpec, WanSpec

NUMBERS = count()
STACK = "defaultTcpipStack"
missing = [tool for tool in ("ip", "nft", "ping") if shutil.which(tool) is None]
requires_lab = [
    pytest.mark.netns,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(bool(missing), reason=f"missing here: {', '.join(missing)}"),
    pytest.mark.skipif(not Path("/dev/net/tun").exists(), reason="no /dev/net/tun here"),
]


@dataclass
class Lab:
    spec: LabSpec
    directory: Path

    def wire(self, op: str = "report", **arguments: Json) -> Json:
        return call(self.directory / "wire.sock", op, **arguments)

    def host(self, site: str, op: str, **arguments: Json) -> Json:
        return call(self.directory / site / "h1.sock", op, **arguments)

    def add(self, site: str, device: str, address: str, *, netstack: str = STACK, gateway: str | None = None) -> None:
        mac = f"00:50:56:{1 if site == 'source' else 2:02x}:00:{int(device[3:]):02x}"
        self.host(
            site, "vmknic_add", device=device, mac=mac, address=address, prefix_length=24, mtu=1500,
            netstack=netstack, gateway=gateway,
        )  # fmt: skip

    def standard(self, sources: int = 1, targets: int = 1) -> None:
        """vmk1 .. on both sides from .11 on, default gateways, listeners."""
        for site, lan, number in (("source", "10.88.0", sources), ("target", "10.99.0", targets)):
            for index in range(1, number + 1):
                self.add(site, f"vmk{index}", f"{lan}.{10 + index}")
            self.host(site, "default_gateway", netstack=STACK, gateway=f"{lan}.254")
        self.host("target", "services", vmotion=[f"vmk{index}" for index in range(1, targets + 1)], nfc=[])


def lab_spec(wan: WanSpec, name: str | None = None, *, box: bool = False) -> LabSpec:
    def site(name: str, lan: str, boxes: tuple[BoxSpec, ...]) -> SiteSpec:
        host = HostSpec(name="h1", vmknics=(VmknicSpec(device="vmk1", address=f"{lan}.11"),))
        return SiteSpec(
            name=name, lan=f"{lan}.0/24", router=f"{lan}.254", vcenter=name, username="u", password="p", hosts=(host,),
            boxes=boxes,
        )  # fmt: skip

    boxes = (BoxSpec(name="relay1", address="10.88.0.2"),) if box else ()
    return LabSpec(
        name=name or f"test-{os.getpid()}-{next(NUMBERS)}", net=True, wan=wan,
        source=site("source", "10.88.0", boxes), target=site("target", "10.99.0", ()),
    )  # fmt: skip


@contextmanager
def lab_network(wan: WanSpec, *, box: bool = False) -> Iterator[Lab]:
    spec = lab_spec(wan, box=box)
    directory = Path(tempfile.mkdtemp(prefix="lrv-"))
    try:
        spec.write(directory / "spec.json")
        topology.build(spec, directory)
        yield Lab(spec, directory)
    finally:
        topology.remove(spec, directory)
        shutil.rmtree(directory)
