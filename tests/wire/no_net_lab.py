"""Two simulated vCenters and their hosts on loopback, as processes of their own, and sessions with both."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lrvmotion.lab import standard, world
from lrvmotion.lab.client import ask
from lrvmotion.lab.spec import HostSpec, LabSpec, VmknicSpec
from lrvmotion.model.inventory import Inventory, SiteName
from lrvmotion.vsphere.certificate import fetch_certificate
from lrvmotion.vsphere.host.target import HostTarget
from lrvmotion.vsphere.inventory.collect import collect_names
from lrvmotion.vsphere.session import Session

PASSWORDS = ("source-secret", "target-secret")
UP = """
import sys
from pathlib import Path
from lrvmotion.lab import world
from lrvmotion.lab.spec import LabSpec
world.up(LabSpec.read(Path(sys.argv[1])), Path(sys.argv[2]), world.Owner.of({}), print)
"""


def hosts(prefix: str, lan: str, sites: int) -> tuple[HostSpec, ...]:
    """Return two hosts as most are, one with a vMotion stack, one on a distributed switch."""

    def host(number: int, **more: Any) -> HostSpec:
        management = VmknicSpec(
            device="vmk0", address=f"192.168.{sites}.{number}", portgroup="Management Network", services=("management",)
        )
        stack = more.pop("netstack", "defaultTcpipStack")
        vmotion = VmknicSpec(
            device="vmk1", address=f"{lan}.{8 + number}", netstack=stack,
            services=("vmotion",) if stack == "defaultTcpipStack" else (),
            gateway=f"{lan}.254" if stack == "defaultTcpipStack" else None,
        )  # fmt: skip
        return HostSpec(name=f"{prefix}{number}", vmknics=(management, vmotion), **more)

    return (host(1), host(2), host(3, netstack="vmotion"), host(4, switch="distributed"))


def base() -> LabSpec:
    """Return the standard lab without a network, on these hosts."""
    spec = standard.standard("wire", net=False, passwords=PASSWORDS)
    source = replace(spec.source, hosts=hosts("esx-a", "10.88.0", 101))
    return replace(spec, source=source, target=replace(spec.target, hosts=hosts("esx-b", "10.99.0", 102)))


@dataclass
class Lab:
    """A running lab: its folder, its spec, one session a site."""

    directory: Path
    spec: LabSpec
    source: Session
    target: Session

    def control(self, site: SiteName, op: str, **arguments: Any) -> Any:
        """Ask the simulated vCenter of *site* something over its control socket."""
        return ask(self.directory / site / "control.sock", op, **arguments)

    def fault(self, site: SiteName, **rule: Any) -> None:
        """Put a FaultRule in force at the simulated vCenter of *site*."""
        self.control(site, "fault_add", rule=rule)

    def session(self, site: SiteName) -> Session:
        return self.source if site == "source" else self.target

    def inventory(self, site: SiteName) -> Inventory:
        return collect_names(self.session(site))

    def host(self, site: SiteName, name: str) -> HostTarget:
        """Return the host as the product's target."""
        return HostTarget(self.session(site), site, self.inventory(site).host(name).ref, name)

    def open(self, site: SiteName, password: Callable[[], str] | None = None) -> Session:
        """Log in at *site*, its certificate pinned by its SHA-256."""
        host, port = address(self.directory, site)
        there = self.spec.site(site)
        return Session.open(
            site, host, port, there.username, password or (lambda: there.password),
            pem=None, sha256=fetch_certificate(host, port).sha256,
        )  # fmt: skip


def address(directory: Path, site: str) -> tuple[str, int]:
    """Return where the vCenter of *site* listens."""
    about = json.loads((directory / site / "vcenter.json").read_text())
    return about["host"], about["port"]


@contextmanager
def no_net_lab(change: Callable[[LabSpec], LabSpec] = lambda spec: spec) -> Iterator[Lab]:
    """Bring the lab up without a network, *change*d, and take it down again."""
    parent = Path(tempfile.mkdtemp(prefix="lrv", dir="/tmp"))  # short: Unix sockets lie in it
    directory = parent / "lab"
    spec = change(base())
    try:
        spec.write(parent / "spec.json")
        # In a process of its own: the lab's processes outlive the one that starts them, as with `lab up`.
        subprocess.run([sys.executable, "-c", UP, parent / "spec.json", directory], check=True, capture_output=True)
        with ExitStack() as stack:
            lab = Lab(directory, spec, None, None)  # type: ignore[arg-type]
            lab.source = stack.enter_context(closing(lab.open("source")))
            lab.target = stack.enter_context(closing(lab.open("target")))
            yield lab
    finally:
        if directory.exists():
            world.down(directory)
        shutil.rmtree(parent, ignore_errors=True)
