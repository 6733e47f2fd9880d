"""A source, a relay host that is a machine of its own, a target; where wanted, a far relay host beside the target."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lrvmotion.checks.relay_hosts import usable
from lrvmotion.errors import UnreachableError
from lrvmotion.events import Changed, Event
from lrvmotion.findings import errors
from lrvmotion.journal.journal import Journal
from lrvmotion.lab.box import machine, state
from lrvmotion.lab.box.record import BoxRecord
from lrvmotion.lab.spec import BoxSpec
from lrvmotion.model.target_id import TargetId
from lrvmotion.plan.plan import diff
from lrvmotion.relay.box import RelayBox, RelaySpec, desired, health
from lrvmotion.relay.facts import facts
from lrvmotion.relay.packet_filter import rules
from lrvmotion.run.apply import Restored, apply, revert
from lrvmotion.ssh import SshShell
from netns.iptables_kinds import Kind
from netns.relayd_world import World, run, world

RUN = "tst123"
NAME, FAR = TargetId.relay("relay1"), TargetId.relay("relay2")
NEAR_ADDRESS, FAR_ADDRESS, SOURCE, TARGET = "10.88.0.1", "10.99.0.5", "10.88.0.9", "10.99.0.9"


@dataclass
class Box:
    """A machine of the lab, and the shell that the product has on it."""

    name: TargetId
    record: BoxRecord
    shell: SshShell
    journal: Journal

    @property
    def target(self) -> RelayBox:
        return RelayBox(self.name, self.shell, drain_s=5.0)

    def install(self, spec: RelaySpec, *, opened: bool = False) -> int:
        seen = facts(self.shell)
        assert errors(usable(seen, spec, [RUN])) == []
        openings = rules.openings(rules.look(self.shell, seen, spec), seen, spec, RUN) if opened else []
        wanted = desired(spec, seen, opened=openings)
        changes = diff(self.name, {key: self.target.read(key) for key, _, _ in wanted}, wanted)
        return apply(changes, {self.name: self.target}, self.journal, RUN, lambda _: None)


@dataclass
class Site:
    """Near is the relay host on the source's LAN; `far` is there where it was asked for."""

    world: World
    near: Box
    boxes: dict[str, Box] = field(default_factory=dict)
    restored: list[str] = field(default_factory=list)  # targets, in the order in which they were restored

    @property
    def record(self) -> BoxRecord:
        return self.near.record

    @property
    def shell(self) -> SshShell:
        return self.near.shell

    @property
    def journal(self) -> Journal:
        return self.near.journal

    @property
    def box(self) -> RelayBox:
        return self.near.target

    @property
    def far(self) -> Box:
        return self.boxes[FAR]

    @property
    def spec(self) -> RelaySpec:
        return RelaySpec(name="relay1", run=RUN, address=NEAR_ADDRESS, sources=(SOURCE,), targets=(TARGET,))

    def install(self, spec: RelaySpec | None = None, *, opened: bool = False) -> int:
        return self.near.install(spec or self.spec, opened=opened)

    def restore(self) -> Restored:
        def told(event: Event) -> None:
            if isinstance(event, Changed) and event.target not in self.restored:
                self.restored.append(event.target)

        return revert(self.journal, lambda name: self.boxes[name].target, told, run="rst001")

    def carry(self, size: int = 3_000_000) -> str:
        """Send *size* bytes from source to target; return the address that the target saw."""
        blob = os.urandom(size)
        got: list[bytes] = []
        with self.world.listen() as listener:
            seen: list[str] = []

            def serve() -> None:
                connection, peer = listener.accept()
                seen.append(peer[0])
                with connection:
                    connection.settimeout(10)
                    while chunk := connection.recv(65536):
                        got.append(chunk)
                    connection.sendall(b"done")

            thread = threading.Thread(target=serve)
            thread.start()
            with self.world.connect() as client:
                client.sendall(blob)
                client.shutdown(socket.SHUT_WR)
                assert client.recv(16) == b"done"
            thread.join()
        assert hashlib.sha256(b"".join(got)).digest() == hashlib.sha256(blob).digest()
        return seen[0]


def as_delivered(made: World, role: str) -> None:
    """Make a box what one is before anybody worked on it: it neither forwards nor keeps its redirects to itself."""
    for key, value in (("ip_forward", "0"), ("conf.all.send_redirects", "1"), ("conf.lan0.send_redirects", "1")):
        made.inside(role, "sysctl", "-q", "-w", f"net.ipv4.{key}={value}")
    # The lab's own power cycle knows IPv4 only.
    made.inside(role, "ip", "-6", "address", "flush", "dev", "lan0", "scope", "global")


def add_far(made: World) -> None:
    """Put a namespace beside the target, on a bridge that the router's far side becomes."""
    router, far = made.names["router"], made.names["router"].replace("-router", "-far")
    run("ip", "netns", "add", far)
    made.names["far"] = far
    run("ip", "-n", far, "link", "set", "lo", "up")
    run("ip", "-n", router, "link", "add", "lan1", "type", "bridge")
    run("ip", "-n", router, "link", "add", "to-far", "type", "veth", "peer", "lan0", "netns", far)
    run("ip", "-n", router, "address", "flush", "dev", "wan0")
    for device in ("wan0", "to-far"):
        run("ip", "-n", router, "link", "set", device, "master", "lan1", "up")
    run("ip", "-n", router, "link", "set", "lan1", "up")
    run("ip", "-n", router, "address", "add", "10.99.0.1/24", "dev", "lan1")
    run("ip", "-n", far, "link", "set", "lan0", "up")
    run("ip", "-n", far, "address", "add", f"{FAR_ADDRESS}/24", "dev", "lan0")
    run("ip", "-n", far, "route", "add", "10.88.0.0/24", "via", "10.99.0.1")


@contextlib.contextmanager
def start_box(
    made: World, folder: Path, role: str, spec: BoxSpec, journal: Journal, index: int, *, user: str = "root"
) -> Iterator[Box]:
    namespace = made.names[role]
    record = machine.start(spec, namespace, folder / "lab", made.names["box"], index)
    try:
        if spec.systemd and not record.systemd:
            pytest.skip(f"systemd does not run in a box here: {record.why_no_systemd}")
        if user not in record.users:
            pytest.skip(f"the box has no user {user}")
        name = TargetId.relay(spec.name)
        shell = SshShell.open(
            name, record.address, record.port, user, key_file=Path(record.private_key), password=None,
            host_key=record.host_key, known_hosts=(),
        )  # fmt: skip
        with contextlib.closing(shell):
            shell.check_login()
            yield Box(name, record, shell, journal)
    finally:
        machine.stop(record)


@contextlib.contextmanager
def make_site(
    folder: Path,
    *,
    systemd: bool,
    user: str = "root",
    far: bool = False,
    far_systemd: bool = True,
    iptables: Kind | None = None,
) -> Iterator[Site]:
    (folder / "lab").mkdir()
    with contextlib.ExitStack() as stack:
        made = stack.enter_context(world(folder, "one-armed"))
        as_delivered(made, "box")
        made.inside("source", "ip", "route", "replace", f"{TARGET}/32", "via", NEAR_ADDRESS)
        journal = stack.enter_context(Journal(folder / "state", lambda: "2026-01-01T00:00:00Z"))
        spec = BoxSpec(name="relay1", address=NEAR_ADDRESS, systemd=systemd, iptables=iptables)
        near = stack.enter_context(start_box(made, folder, "box", spec, journal, 0, user=user))
        site = Site(world=made, near=near, boxes={NAME: near})
        if far:
            add_far(made)
            as_delivered(made, "far")
            spec = BoxSpec(name="relay2", address=FAR_ADDRESS, systemd=far_systemd, iptables=iptables)
            site.boxes[FAR] = stack.enter_context(start_box(made, folder, "far", spec, journal, 1))
        yield site


def eventually(is_true: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end, "did not come true"
        time.sleep(0.2)


def processes(record: BoxRecord) -> list[str]:
    """Return what runs in a box but for the shells of commands that have been answered and are about to end."""
    return [line for line in state.processes(record) if "printf \\047[lrvmotion " not in line]


def answers(box: Box, redirect: str = "installed") -> bool:
    try:
        return health(box.shell, RUN).redirect == redirect
    except UnreachableError:
        return False
