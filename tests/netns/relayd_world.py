"""Namespaces with a source, a relay host, a target and, one-armed, a router between; sockets inside them."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Literal

import pytest

from lrvmotion.relay import relayd
from lrvmotion.relay.redirect.render import Redirect

MIB = 1024 * 1024
PORT, LISTEN = 8000, 9000
NUMBERS = count()
CLONE_NEWNET = 0x40000000
Layout = Literal["inline", "one-armed"]
Family = Literal["ip", "ip6"]

needed = [tool for tool in ("ip", "nft", "ping") if shutil.which(tool) is None]
requires_netns = [
    pytest.mark.netns,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(bool(needed), reason=f"missing here: {', '.join(needed)}"),
]


def run(*words: str, text: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0 or not check, f"{' '.join(words)}: {done.stderr}"
    return done


def eventually(is_true: Callable[[], object], *, seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end, "did not come true"
        time.sleep(0.05)


@dataclass(slots=True, kw_only=True)
class World:
    """The namespaces, by role, and the addresses of each role in both families."""

    names: dict[str, str]
    layout: Layout
    folder: Path
    addresses: dict[str, dict[Family, str]]
    lan: str = "lan0"
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def inside(self, role: str, *words: str, text: str | None = None, check: bool = True) -> str:
        return run("ip", "netns", "exec", self.names[role], *words, text=text, check=check).stdout

    def socket(self, role: str, family: Family = "ip") -> socket.socket:
        """Make a TCP socket that lives in a namespace for ever."""
        made: list[socket.socket] = []

        def make() -> None:
            libc = ctypes.CDLL(None, use_errno=True)
            with Path(f"/run/netns/{self.names[role]}").open() as namespace:
                assert libc.setns(namespace.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
            made.append(socket.socket(socket.AF_INET if family == "ip" else socket.AF_INET6))

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        made[0].settimeout(10)
        return made[0]

    def listen(self, role: str = "target", family: Family = "ip", port: int = PORT) -> socket.socket:
        listener = self.socket(role, family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.addresses[role][family], port))
        listener.listen(600)
        return listener

    def connect(
        self, family: Family = "ip", *, role: str = "source", to: str = "target", port: int = PORT
    ) -> socket.socket:
        client = self.socket(role, family)
        try:
            client.connect((self.addresses[to][family], port))
        except OSError:
            client.close()
            raise
        return client

    def touch(self, *, role: str = "source", to: str = "target", port: int = PORT) -> None:
        """Connect and read: a reset may come at either."""
        with self.connect(role=role, to=to, port=port) as client:
            client.recv(1)

    def redirect(self, family: Family = "ip", **changes: Any) -> Redirect:
        return Redirect(
            **{
                "table": "lrvmotion_test",
                "sources": (self.addresses["source"][family],),
                "targets": (self.addresses["target"][family],),
                "port": PORT,
                "listen_port": LISTEN,
                "family": family,
                "interface": self.lan,
                **changes,
            }
        )

    def config(self, role: str = "box", **changes: Any) -> Path:
        document = {
            "schema": 1,
            "listen": [[self.addresses[role]["ip"], LISTEN], [self.addresses[role]["ip6"], LISTEN]],
            "port": PORT,
            "sources": list(self.addresses["source"].values()),
            "targets": list(self.addresses["target"].values()),
            "control": str(self.folder / f"{role}.sock"),
            "drain_s": 0,
            **changes,
        }
        path = self.folder / f"{role}.json"
        path.write_text(json.dumps(document))
        return path

    @contextmanager
    def relaying(
        self, role: str = "box", *, words: tuple[str, ...] = (), user: str | None = None, **changes: Any
    ) -> Iterator[subprocess.Popen[str]]:
        """Run relayd in the box until the block ends."""
        path = self.config(role, **changes)
        script = Path(relayd.__file__)
        command = ["ip", "netns", "exec", self.names[role]]
        if user is not None:
            shutil.copy(script, self.folder / "relayd.py")
            script = self.folder / "relayd.py"
            command += ["setpriv", f"--reuid={user}", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"]
        command += ["/usr/bin/python3" if user else sys.executable, str(script), "--config", str(path), *words]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            seen: list[str] = []
            assert process.stderr is not None
            for line in process.stderr:
                seen.append(line)
                if "listening" in line:
                    break
            assert process.poll() is None, "".join(seen)
            threading.Thread(target=process.stderr.read, daemon=True).start()
            eventually((self.folder / f"{role}.sock").exists)
            yield process
        finally:
            process.terminate()
            process.communicate()

    def ask(self, role: str = "box", **request: Any) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(str(self.folder / f"{role}.sock"))
            client.sendall(json.dumps(request or {"op": "status"}).encode() + b"\n")
            with client.makefile() as lines:
                return dict(json.loads(lines.readline()))


@contextmanager
def world(folder: Path, layout: Layout) -> Iterator[World]:
    """Build the namespaces; take them away at the end.

    inline: source - box - target. one-armed: source, box and router on one bridge; router - target.
    """
    tag = f"rl{os.getpid()}x{next(NUMBERS)}"
    roles = ["source", "box", "target"] + (["router"] if layout == "one-armed" else [])
    names = {role: f"{tag}-{role}" for role in roles}
    addresses: dict[str, dict[Family, str]] = {
        "source": {"ip": "10.88.0.9", "ip6": "fd88::9"},
        "box": {"ip": "10.88.0.1", "ip6": "fd88::1"},
        "target": {"ip": "10.99.0.9", "ip6": "fd99::9"},
        "router": {"ip": "10.88.0.254", "ip6": "fd88::fe"},
        "wan": {"ip": "10.99.0.1", "ip6": "fd99::1"},
    }
    made = World(names=names, layout=layout, folder=folder, addresses=addresses)

    def link(one: str, one_name: str, two: str, two_name: str) -> None:
        run("ip", "-n", names[one], "link", "add", one_name, "type", "veth", "peer", two_name, "netns", names[two])
        for role, name in ((one, one_name), (two, two_name)):
            run("ip", "-n", names[role], "link", "set", name, "up")

    def address(role: str, device: str, who: str) -> None:
        run("ip", "-n", names[role], "address", "add", addresses[who]["ip"] + "/24", "dev", device)
        run("ip", "-n", names[role], "address", "add", addresses[who]["ip6"] + "/64", "dev", device, "nodad")

    def route(role: str, networks: tuple[str, str], via: str) -> None:
        for flag, network, family in (("-4", networks[0], "ip"), ("-6", networks[1], "ip6")):
            run("ip", flag, "-n", names[role], "route", "add", network, "via", addresses[via][family])  # type: ignore[index]

    far, near = ("10.99.0.0/24", "fd99::/64"), ("10.88.0.0/24", "fd88::/64")
    try:
        for name in names.values():
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        for role in roles:
            settings = ["net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.all.send_redirects=0"]
            if role in ("box", "router"):
                settings += ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"]
                settings += ["net.ipv4.conf.default.send_redirects=0"]
            made.inside(role, "sysctl", "-qw", *settings)
        if layout == "inline":
            link("source", "lan0", "box", "lan0")
            link("box", "wan0", "target", "wan0")
            address("box", "wan0", "wan")
        else:
            run("ip", "-n", names["router"], "link", "add", "lan0", "type", "bridge")
            run("ip", "-n", names["router"], "link", "set", "lan0", "up")
            for role in ("source", "box"):
                link(role, "lan0", "router", f"to-{role}")
                run("ip", "-n", names["router"], "link", "set", f"to-{role}", "master", "lan0")
            link("router", "wan0", "target", "wan0")
            address("router", "lan0", "router")
            address("router", "wan0", "wan")
        address("source", "lan0", "source")
        address("box", "lan0", "box")
        address("target", "wan0", "target")
        route("source", far, "box")
        if layout == "one-armed":
            route("box", far, "router")
        route("target", near, "wan")
        run("ip", "netns", "exec", names["source"], "ping", "-c1", "-W5", addresses["target"]["ip"])
        yield made
    finally:
        for name in names.values():
            run("ip", "netns", "del", name, check=False)


def read_all(connection: socket.socket) -> bytes:
    data = bytearray()
    while more := connection.recv(MIB):
        data += more
    return bytes(data)


def read_some(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        assert more, "ended early"
        data += more
    return data
