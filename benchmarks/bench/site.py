"""The lab's network for the forecast: one simulated host a site, a near and a far relay host, the wire; no vCenter."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from bench.circuit import Wire
from bench.lanes import BOX_SYSCTLS, EVERY_SYSCTLS, Lanes, run
from bench.relaying import relaying
from lrvmotion.lab import rpc, topology
from lrvmotion.lab.netns import box_namespace
from lrvmotion.lab.spec import BoxSpec, HostSpec, LabSpec, SiteSpec, VmknicSpec, WanSpec

STACK = "defaultTcpipStack"
NEAR, FAR = "10.88.0.1", "10.99.0.1"
SOURCES = tuple(f"10.88.0.{10 + number}" for number in range(1, 6))
TARGETS = ("10.99.0.11", "10.99.0.12")
LINE_RATE_MBYTES = 2000  # Migrate.NetExpectedLineRateMBps as native and proxy mode set it
# name: (streams, how many vmknics at the source, at the target, MB/s expected, through the relay)
MODES = {
    "stock": (1, 1, 1, 133, False),
    "native": (48, 5, 2, LINE_RATE_MBYTES, False),
    "proxy": (5, 1, 1, LINE_RATE_MBYTES, True),
}
_NUMBERS = count(1)
_TERABYTE = 10**12


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What arrived at the target over the counted seconds, and what the wire says of them.

    *steady*: neither half of them had less than half of the other's.
    """

    mbps: float
    loss: float
    late: float
    drops: int
    steady: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Site(Wire):
    """The lab that stands; roles of *lanes*: box (near), far."""

    folder: Path
    lanes: Lanes

    def host(self, site: str, op: str, **arguments: Any) -> Any:  # noqa: ANN401 - whatever the host answers
        """Ask the simulated host of a site."""
        return rpc.call(self.folder / site / "h1.sock", op, **arguments)

    def move(self, mode: str, settle_s: float, window_s: float) -> Measured:
        """Let the hosts migrate in *mode*, count at the target from *settle_s* on for *window_s*, cancel."""
        streams, sources, targets, line, proxied = MODES[mode]
        name = f"{mode}{next(_NUMBERS)}"
        if proxied:
            with self._relayed():
                return self._move(name, streams, sources, targets, line, settle_s, window_s)
        return self._move(name, streams, sources, targets, line, settle_s, window_s)

    def _move(
        self, name: str, streams: int, sources: int, targets: int, line: int, settle_s: float, window_s: float
    ) -> Measured:
        self.host("target", "expect", id=name, receive_buffer_bytes=line * 1_000_000, idle_timeout_s=30)
        self.host(
            "source", "migrate", id=name, sources=[f"vmk{n}" for n in range(1, sources + 1)],
            targets=list(TARGETS[:targets]), streams=streams, bind=True, congestion_control="newreno",
            line_rate_bytes=line * 1_000_000, memory_bytes=0, disk_bytes=_TERABYTE, dirty_bps=0, switchover_s=0.5,
            timeout_s=20.0,
        )  # fmt: skip
        while not self._received(name):
            self._running(name)
            time.sleep(0.05)
        time.sleep(settle_s)
        self.reset()
        begun, before = time.monotonic(), self._received(name)
        time.sleep(window_s / 2)
        between = self._received(name)
        time.sleep(window_s / 2)
        after, ended = self._received(name), time.monotonic()
        report = self.report()["directions"]
        self._running(name)
        self.host("source", "cancel", id=name)
        while self.host("source", "progress", id=name)["phase"] not in ("cancelled", "failed", "done"):
            time.sleep(0.05)
        self.host("source", "forget", id=name)
        self.host("target", "forget", id=name)
        return Measured(
            mbps=(after - before) * 8 / (ended - begun) / 1e6,
            loss=report["source_to_target"]["loss_ratio"],
            late=max(way["lateness"]["over_5_ms"] for way in report.values()),
            drops=sum(way["tap_drops"] for way in report.values()),
            steady=2 * min(between - before, after - between) >= max(between - before, after - between),
        )

    def _received(self, name: str) -> int:
        return int(self.host("target", "received", id=name)["bytes"])

    def _running(self, name: str) -> None:
        now = self.host("source", "progress", id=name)
        if now["phase"] in ("failed", "cancelled", "done"):
            message = f"{name} {now['phase']}: {now.get('error')}"
            raise RuntimeError(message)

    @contextmanager
    def _relayed(self) -> Iterator[None]:
        """Steer the source's vMotion through relayd in the near relay host, as the product does: a /32 route."""
        route = {"netstack": STACK, "prefix": f"{TARGETS[0]}/32", "gateway": NEAR}
        with relaying(self.lanes, self.folder, address=NEAR, source=SOURCES[0], target=TARGETS[0]):
            self.host("source", "route_add", **route)
            try:
                yield
            finally:
                self.host("source", "route_remove", **route)


def _spec() -> LabSpec:
    def site(name: str, lan: str, box: BoxSpec) -> SiteSpec:
        host = HostSpec(name="h1", vmknics=(VmknicSpec(device="vmk1", address=f"{lan}.11"),))
        return SiteSpec(
            name=name, lan=f"{lan}.0/24", router=f"{lan}.254", vcenter="-", username="-", password="", hosts=(host,),
            boxes=(box,),
        )  # fmt: skip

    return LabSpec(
        name=f"bench-forecast-{os.getpid()}", net=True, wan=WanSpec(profile="clean"),
        source=site("source", "10.88.0", BoxSpec(name="near", address=NEAR)),
        target=site("target", "10.99.0", BoxSpec(name="far", address=FAR)),
    )  # fmt: skip


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    """Build the network with its hosts, files in *folder*; take it away at the end."""
    spec = _spec()
    spec.write(folder / "spec.json")
    lanes = Lanes(names={"box": box_namespace(spec, "source", "near"), "far": box_namespace(spec, "target", "far")})
    try:
        topology.build(spec, folder)
        for role in ("box", "far"):
            run(*lanes.inside(role, "sysctl", "-qw", *EVERY_SYSCTLS, *BOX_SYSCTLS))
        made = Site(socket=folder / "wire.sock", folder=folder, lanes=lanes)
        for name, addresses in (("source", SOURCES), ("target", TARGETS)):
            for number, address in enumerate(addresses, 1):
                mac = f"00:50:56:{1 if name == 'source' else 2:02x}:00:{number:02x}"
                made.host(
                    name, "vmknic_add", device=f"vmk{number}", mac=mac, address=address, prefix_length=24, mtu=1500,
                    netstack=STACK, gateway=None,
                )  # fmt: skip
            made.host(name, "default_gateway", netstack=STACK, gateway=f"{addresses[0].rpartition('.')[0]}.254")
        made.host("target", "services", vmotion=[f"vmk{number}" for number in range(1, len(TARGETS) + 1)], nfc=[])
        subprocess.run(lanes.inside("box", "ping", "-c2", "-W5", FAR), check=True, capture_output=True)
        yield made
    finally:
        topology.remove(spec, folder)
