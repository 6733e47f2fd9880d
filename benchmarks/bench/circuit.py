"""Namespaces source - box - circuit - far - target; the circuit is the lab's wire."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.lanes import BOX_LAN, BOX_SYSCTLS, BOX_WAN, EVERY_SYSCTLS, LAN, SOURCE, TARGET, BenchError, Lanes, run
from lrvmotion.lab import rpc
from lrvmotion.lab.netns import router_namespace
from lrvmotion.lab.spec import LabSpec, SiteSpec, WanSpec

WAN = "wan0"
BOX_CIRCUIT, FAR_CIRCUIT = "169.254.55.1", "169.254.55.2"
LINE_BPS = 1_000_000_000
# Windows as large as the box's on the ends too: what is compared is congestion control and streams, not buffers.
END_SYSCTLS = tuple(line for line in BOX_SYSCTLS if "mem=" in line)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """The lab's wire behind *socket*."""

    socket: Path

    def set(self, **wan: Any) -> None:  # noqa: ANN401 - whatever WanSpec takes
        """Change the circuit for the next frame, once what is still under way has arrived."""
        self.drain()
        rpc.call(self.socket, "set", **wan)

    def change(self, **wan: Any) -> None:  # noqa: ANN401 - whatever WanSpec takes
        """Change the circuit for the next frame, with others under way."""
        rpc.call(self.socket, "set", **wan)

    def drain(self) -> None:
        """Return once nothing has been under way for a moment, or after 5 s."""
        end, quiet = time.monotonic() + 5, 0
        while quiet < 3 and time.monotonic() < end:
            report = rpc.call(self.socket, "report")["directions"]
            quiet = 0 if any(way["queued_packets"] for way in report.values()) else quiet + 1
            time.sleep(0.1)

    def reset(self) -> None:
        """Count from now on."""
        rpc.call(self.socket, "reset")

    def report(self) -> dict[str, Any]:
        """Return what the wire has counted since the reset."""
        return dict(rpc.call(self.socket, "report"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit(Wire):
    """The namespaces (roles source, box, far, target) and the wire between box and far."""

    lanes: Lanes


def _spec(name: str) -> LabSpec:
    sites = {
        name: SiteSpec(
            name=name, lan=lan, router="-", vcenter="-", username="-", password="", hosts=(),
        )
        for name, lan in (("source", "10.88.0.0/24"), ("target", "10.99.0.0/24"))
    }  # fmt: skip
    wan = WanSpec(rate_bps=LINE_BPS, profile="clean")
    return LabSpec(name=name, net=True, source=sites["source"], target=sites["target"], wan=wan)


@contextmanager
def circuit(folder: Path, number: int = 0) -> Iterator[Circuit]:
    """Build everything, the wire's files in *folder*; take it away at the end. *number*: of several side by side."""
    own = f"bench{os.getpid()}n{number}"
    spec = _spec(own)
    names = {
        "source": f"{own}-source",
        "box": router_namespace(spec, "source"),
        "far": router_namespace(spec, "target"),
        "target": f"{own}-target",
    }
    lanes = Lanes(names=names)
    spec.write(folder / "spec.json")
    log = folder / "wire.log"
    try:
        for role, name in names.items():
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
            boxes = (*BOX_SYSCTLS, "net.ipv4.tcp_congestion_control=bbr")
            more = boxes if role in ("box", "far") else END_SYSCTLS
            run(*lanes.inside(role, "sysctl", "-qw", *EVERY_SYSCTLS, *more))
        for end, router, address, gateway in (("source", "box", SOURCE, BOX_LAN), ("target", "far", TARGET, BOX_WAN)):
            link = ("link", "add", LAN, "mtu", "1500", "type", "veth")
            run("ip", "-n", names[end], *link, "peer", LAN, "netns", names[router])
            for where, what in ((end, address), (router, gateway)):
                run("ip", "-n", names[where], "address", "add", f"{what}/24", "dev", LAN)
                run("ip", "-n", names[where], "link", "set", LAN, "up")
            run("ip", "-n", names[end], "route", "add", "default", "via", gateway)
        made = Circuit(lanes=lanes, socket=folder / "wire.sock")
        with log.open("wb") as output:
            wire = subprocess.Popen(
                [sys.executable, "-m", "lrvmotion.lab.wire", "--lab", str(folder)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        try:
            if not rpc.wait(made.socket, timeout=20, alive=lambda: wire.poll() is None):
                message = f"the wire did not start: {log.read_text(errors='replace').strip()[-400:]}"
                raise BenchError(message)
            for role, own, other, beyond in (
                ("box", BOX_CIRCUIT, FAR_CIRCUIT, "10.99.0.0/24"),
                ("far", FAR_CIRCUIT, BOX_CIRCUIT, "10.88.0.0/24"),
            ):
                inside = ("ip", "-n", names[role])
                run(*inside, "link", "set", WAN, "mtu", "1500", "txqueuelen", "2000", "addrgenmode", "none", "up")
                run(*inside, "address", "add", own, "peer", other, "dev", WAN)
                run(*inside, "route", "add", beyond, "via", other, "dev", WAN)
            run(*lanes.inside("source", "ping", "-c1", "-W5", TARGET))
            yield made
        finally:
            wire.terminate()
            try:
                wire.wait(5)
            except subprocess.TimeoutExpired:
                wire.kill()
                wire.wait()
    finally:
        for name in names.values():
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
