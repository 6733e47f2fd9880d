"""Namespaces source - box - target for a benchmark: made with names of our own, always taken away again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SOURCE, TARGET, BOX_LAN, BOX_WAN = "10.88.0.9", "10.99.0.9", "10.88.0.1", "10.99.0.1"
PORT, RELAYD_PORT = 8000, 9000
LAN = "lan0"
# The field report's settings of the box, for every contender alike. Those under net.core belong to the whole machine,
# not to a namespace, and stay as they are.
BOX_SYSCTLS = (
    "net.ipv4.ip_forward=1",
    "net.ipv4.tcp_rmem=4096 87380 67108864",
    "net.ipv4.tcp_wmem=4096 65536 67108864",
    "net.ipv4.tcp_mtu_probing=1",
)
EVERY_SYSCTLS = (
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.all.send_redirects=0",
    "net.ipv4.tcp_no_metrics_save=1",
)


class BenchError(Exception):
    """The benchmark cannot go on; the message says why in one line."""


def run(*words: str, text: str | None = None) -> str:
    """Run a command. Returns what it printed; raises BenchError where it fails."""
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        message = f"{' '.join(words)}: {done.stderr.strip()}"
        raise BenchError(message)
    return done.stdout


@dataclass(frozen=True, slots=True, kw_only=True)
class Lanes:
    """The namespaces by role: source, box, target."""

    names: dict[str, str]

    def inside(self, role: str, *words: str) -> list[str]:
        """Return the command that runs *words* in a namespace; `ip` becomes the program, the pid stays."""
        return ["ip", "netns", "exec", self.names[role], *words]

    def nft(self, script: str) -> None:
        """Load a script for `nft -f` in the box."""
        run(*self.inside("box", "nft", "-f", "-"), text=script)

    @contextmanager
    def running(
        self, role: str, *words: str, env: dict[str, str] | None = None, log: Path | None = None
    ) -> Iterator[subprocess.Popen[str]]:
        """Run a program in a session of its own until the block ends; its children end with it.

        Standard output is a pipe, or with *log* a file, as is standard error then.
        """
        with contextlib.ExitStack() as files:
            output = subprocess.PIPE if log is None else files.enter_context(log.open("wb")).fileno()
            process = subprocess.Popen(
                self.inside(role, *words),
                stdin=subprocess.DEVNULL, stdout=output, stderr=None if log is None else subprocess.STDOUT,
                text=True, env={**os.environ, **(env or {})}, start_new_session=True,
            )  # fmt: skip
            try:
                yield process
            finally:
                _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    """End the process group that we made for *process*."""
    for number, seconds in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            break
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.stdout is not None:
        process.stdout.close()


def wait_for_listener(process: subprocess.Popen[str], port: int, log: Path | None = None) -> None:
    """Return once something listens on *port* in the namespace of *process*; BenchError after 10 s, or if it ends."""
    end = time.monotonic() + 10
    while True:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{process.pid}/net/tcp").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                    return
        if process.poll() is not None or time.monotonic() > end:
            said = log.read_text(errors="replace").strip()[-400:] if log is not None else ""
            message = f"nothing listens on port {port}; exit status {process.poll()}: {said}"
            raise BenchError(message)
        time.sleep(0.02)


@contextmanager
def lanes(congestion: str = "bbr") -> Iterator[Lanes]:
    """Build the namespaces with two veth pairs, MTU 1500; take them away at the end.

    *congestion* is the box's default: what sockets have that ask for nothing, so every peer's. bbr, as in the field
    report; reno or whatever else net.ipv4.tcp_allowed_congestion_control of the machine has.
    """
    names = {role: f"bench{os.getpid()}-{role}" for role in ("source", "box", "target")}
    made = Lanes(names=names)
    try:
        for role, name in names.items():
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
            of_box = (*BOX_SYSCTLS, f"net.ipv4.tcp_congestion_control={congestion}") if role == "box" else ()
            run(*made.inside(role, "sysctl", "-qw", *EVERY_SYSCTLS, *of_box))
        for role, device, address, box_address in (
            ("source", LAN, SOURCE, BOX_LAN),
            ("target", "wan0", TARGET, BOX_WAN),
        ):
            link = ("link", "add", device, "mtu", "1500", "type", "veth")
            run("ip", "-n", names[role], *link, "peer", device, "netns", names["box"])
            for where, what in ((role, address), ("box", box_address)):
                run("ip", "-n", names[where], "address", "add", f"{what}/24", "dev", device)
                run("ip", "-n", names[where], "link", "set", device, "mtu", "1500", "up")
            run("ip", "-n", names[role], "route", "add", "default", "via", box_address)
        run(*made.inside("source", "ping", "-c1", "-W5", TARGET))
        yield made
    finally:
        for name in names.values():
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
