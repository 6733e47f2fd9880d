"""A namespace with an uplink and a neighbour on its LAN, for a box to be started in."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import paramiko
import pytest

from lrvmotion.lab.box import machine
from lrvmotion.lab.box.record import BoxRecord
from lrvmotion.lab.spec import BoxSpec

NUMBERS = count()
LAN_ADDRESS, NEIGHBOUR_ADDRESS = "10.88.0.1", "10.88.0.9"

needed = [tool for tool in ("ip", "nft", "nsenter", "ping") if shutil.which(tool) is None]
requires_box = [
    pytest.mark.netns,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(bool(needed), reason=f"missing here: {', '.join(needed)}"),
]


def shell(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


@dataclass
class World:
    name: str
    neighbour: str
    directory: Path
    records: list[BoxRecord] = field(default_factory=list)

    def start(self, *, systemd: bool = True, governor: bool = True) -> BoxRecord:
        record = machine.start(
            BoxSpec(name="relay1", address=LAN_ADDRESS, systemd=systemd),
            self.name, self.directory, self.name, 0, governor=governor,
        )  # fmt: skip
        self.records.append(record)
        return record


@contextmanager
def make_world(directory: Path) -> Iterator[World]:
    number = f"{os.getpid()}-{next(NUMBERS)}"
    world = World(name=f"tbox-{number}", neighbour=f"tboxn-{number}", directory=directory)
    made: list[str] = []
    try:
        for namespace in (world.name, world.neighbour):
            shell("ip", "netns", "add", namespace)
            made.append(namespace)
        peer = ("peer", "name", "lan0", "netns", world.neighbour)
        shell("ip", "-n", world.name, "link", "add", "lan0", "type", "veth", *peer)
        for namespace, address in ((world.name, LAN_ADDRESS), (world.neighbour, NEIGHBOUR_ADDRESS)):
            shell("ip", "-n", namespace, "address", "add", f"{address}/24", "dev", "lan0")
            shell("ip", "-n", namespace, "link", "set", "lan0", "up")
        shell("ip", "-n", world.name, "route", "add", "default", "via", "10.88.0.254")
        shell("ip", "-n", world.neighbour, "route", "add", "default", "via", LAN_ADDRESS)
        yield world
    finally:
        for record in world.records:
            machine.stop(record)
        for namespace in made:
            shell("ip", "netns", "delete", namespace)


def host_key(record: BoxRecord) -> paramiko.PKey:
    kind, text = record.host_key.split()
    return paramiko.PKey.from_type_string(kind, base64.b64decode(text))


def log_in(record: BoxRecord, user: str, command: str) -> tuple[int, str, str]:
    with paramiko.SSHClient() as client:
        client.get_host_keys().add(record.address, "ssh-ed25519", host_key(record))
        client.connect(
            record.address, port=record.port, username=user, key_filename=record.private_key,
            allow_agent=False, look_for_keys=False, timeout=10,
        )  # fmt: skip
        _, out, errors = client.exec_command(command)
        text = out.read().decode(), errors.read().decode()
        return (out.channel.recv_exit_status(), *text)
