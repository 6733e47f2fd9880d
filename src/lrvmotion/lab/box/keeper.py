"""The process that holds a box: its disk lives and dies with it, and it switches the power.

`python -m lrvmotion.lab.box.keeper SPEC.json`. Its private mount namespace holds the box's disk (a tmpfs) and root
(an overlay on it), so nothing shows in the machine's mount table and nothing outlives a kill -9. SIGUSR1 powers the
box on with systemd, SIGUSR2 with the small init; SIGTERM ends everything. The box's init is in `init.json` while the
box has power: until its links are down too.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from lrvmotion.lab.box import boot, kernel
from lrvmotion.lab.box.disk.layer import Layer
from lrvmotion.lab.box.process import identify

_WATCHED = {signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the keeper is told: *folder* is the box's own; *cgroup* is empty where there is none."""

    folder: str
    namespace: str
    cgroup: str
    governor: bool
    layer: Layer

    def write(self, path: Path) -> None:
        """Write the order as JSON to *path*."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Order:
        """Read what *write* wrote at *path*."""
        document = json.loads(path.read_text())
        layer = document["layer"]
        users, packages = tuple(layer["users"]), tuple(layer["packages"])
        return cls(**{**document, "layer": Layer(**{**layer, "users": users, "packages": packages})})


def main() -> NoReturn:
    """Make the disk, say `ready` on standard output, then obey signals."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    order = Order.read(Path(sys.argv[1]))
    kernel.unshare(kernel.NEWNS)
    kernel.make_private()
    disk = Path(order.folder) / "disk"
    _make_disk(disk, order.layer)
    kernel.enter_network(order.namespace)
    os.write(1, b"ready\n")
    os.dup2(2, 1)  # the starter goes away: from now on everything is for the log
    _obey(order, disk)


def _make_disk(disk: Path, layer: Layer) -> None:
    kernel.mount("lrvmotion", str(disk), "tmpfs", options="mode=755,size=1g")
    for name in ("base", "up", "work", "root"):
        (disk / name).mkdir(mode=0o755)
    layer.write(disk / "base")
    kernel.mount(
        "overlay", str(disk / "root"), "overlay",
        options=f"lowerdir={disk}/base:/,upperdir={disk}/up,workdir={disk}/work,{boot.OVERLAY}",
    )  # fmt: skip


def _obey(order: Order, disk: Path) -> NoReturn:
    box = 0
    while True:
        number = signal.sigwait(_WATCHED)
        if number == signal.SIGTERM:
            if box:
                os.kill(box, signal.SIGKILL)
                os.waitpid(box, 0)
            os._exit(0)
        # Whoever powers on has seen the old init end; its waiter is at most about to.
        if box and os.waitpid(box, os.WNOHANG if number == signal.SIGCHLD else 0)[0]:
            box = 0
            _unplug()
            Path(order.folder, "init.json").unlink(missing_ok=True)
        if number != signal.SIGCHLD:
            box = _power_on(order, disk, systemd=number == signal.SIGUSR1)


def _power_on(order: Order, disk: Path, *, systemd: bool) -> int:
    """Start the box in namespaces of its own; return the pid of the process that waits for its init."""
    waiter = os.fork()
    if waiter:
        return waiter
    try:
        kernel.die_with_parent(signal.SIGKILL)
        kernel.unshare(kernel.NEWPID)
        init = os.fork()
        if init == 0:
            boot.boot(
                disk=disk,
                hostname=order.layer.hostname,
                cgroup=Path(order.cgroup) if order.cgroup else None,
                governor=order.governor,
                systemd=systemd,
            )
        _note(Path(order.folder) / "init.json", init)
        os.waitpid(init, 0)
    except BaseException:  # noqa: BLE001  # a forked child must never return into its parent's code
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def _unplug() -> None:
    """Take the links down: a machine without power answers nothing and forwards nothing."""
    for device in [name for _, name in socket.if_nameindex() if name != "lo"]:
        subprocess.run(["ip", "link", "set", device, "down"], check=False)


def _note(path: Path, pid: int) -> None:
    process = identify(pid)
    if process is not None:
        draft = path.with_suffix(".new")
        draft.write_text(json.dumps(asdict(process)))
        draft.replace(path)


if __name__ == "__main__":
    main()
