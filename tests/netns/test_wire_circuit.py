"""The circuit carries what it should, loses what it says, and leaves nothing behind."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest

from lrvmotion.lab import topology
from lrvmotion.lab.errors import LabError
from lrvmotion.lab.netns import entered, host_namespace
from lrvmotion.lab.rpc import RpcError
from lrvmotion.lab.spec import WanSpec
from netns.lab_network import Lab, lab_network, lab_spec, requires_lab

pytestmark = requires_lab
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def lab():
    with lab_network(WanSpec(profile="clean")) as made:
        made.standard()
        yield made


def transfer(lab: Lab, size: int) -> tuple[str, str]:
    """Send *size* random bytes from the source host to port 8000 + 1 of the target's; return both hashes."""
    with entered(host_namespace(lab.spec, "target", "h1")):
        listener = socket.create_server(("10.99.0.11", 8001))
    with entered(host_namespace(lab.spec, "source", "h1")):
        client = socket.socket()
    got = hashlib.sha256()

    def receive() -> None:
        accepted, _ = listener.accept()
        with accepted:
            while data := accepted.recv(MIB):
                got.update(data)

    receiver = threading.Thread(target=receive)
    receiver.start()
    sent = hashlib.sha256()
    with listener, client:
        client.settimeout(60)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
        client.connect(("10.99.0.11", 8001))
        for _ in range(size // MIB):
            data = os.urandom(MIB)
            sent.update(data)
            client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        receiver.join(60)
    return sent.hexdigest(), got.hexdigest()


def test_the_round_trip_is_the_delay_there_and_back(lab: Lab) -> None:
    """27.5 ms each way: an idle round trip of 55 ms."""
    lab.wire("set", profile="clean", delay_ms=27.5)
    lab.host("source", "ping", host="10.99.0.11", count=1)  # ARP takes its own time
    found = lab.host("source", "ping", host="10.99.0.11", interface="vmk1", count=10, interval=0.1)
    assert found["received"] == found["transmitted"] == 10
    assert 55_000 <= found["rtt_min_us"] < 57_000
    assert found["rtt_avg_us"] < 65_000


@pytest.mark.parametrize(
    ("profile", "ratio", "size"), [("uniform", 0.005, 64 * MIB), ("bursty", 0.01, 16 * MIB), ("clean", 0.0, 16 * MIB)]
)
def test_bytes_arrive_whole_through_a_lossy_circuit_that_loses_what_it_says(lab: Lab, profile, ratio, size) -> None:
    """TCP's bytes are the same on both sides although super-packets were cut, and the ratio lost is the one set."""
    lab.wire("set", profile=profile, loss=ratio, delay_ms=0.3, rate_bps=0)
    lab.wire("reset")
    sent, got = transfer(lab, size)
    assert sent == got
    report = lab.wire()
    there, back = (report["directions"][name] for name in ("source_to_target", "target_to_source"))
    assert there["write_errors"] == back["write_errors"] == there["tap_drops"] == back["tap_drops"] == 0
    assert there["segments"] >= size // 1448
    assert there["bytes_offered"] >= size
    sigma = (ratio * (20 if profile == "bursty" else 1) / there["segments"]) ** 0.5
    assert there["loss_ratio"] == pytest.approx(ratio, abs=4 * sigma + 1e-9)
    assert bool(there["splits"]) == bool(ratio)
    assert report["vmotion"]["frames"] == 0


def test_a_limited_rate_is_kept(lab: Lab) -> None:
    """100 Mbit/s on the wire: 94.15 of TCP payload, never more."""
    lab.wire("set", profile="clean", delay_ms=1.0, rate_bps=100_000_000, buffer_bytes=MIB)
    start = time.monotonic()
    sent, got = transfer(lab, 16 * MIB)
    rate = 16 * MIB * 8 / (time.monotonic() - start) / 1e6
    assert sent == got
    assert 70 < rate < 95


def test_settings_that_make_no_sense_are_refused_and_change_nothing(lab: Lab) -> None:
    """An unknown name, or a loss above 1: refused, the circuit stays as it was."""
    before = lab.wire()["wan"]
    for change in ({"profile": "uniform", "loss": 2.0}, {"speed": 3}):
        with pytest.raises(RpcError) as refused:
            lab.wire("set", **change)
        assert refused.value.kind == "invalid"
    assert lab.wire()["wan"] == before


def lab_pids(directory: Path) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if str(directory).encode() in (folder / "cmdline").read_bytes():
                found.append(folder.name)
        except OSError:
            continue
    return found


@pytest.mark.parametrize("forgotten", [False, True])
def test_remove_leaves_nothing_even_when_the_builder_died_before_it_noted_the_processes(forgotten) -> None:
    """After remove: no namespace, process, device or socket of the lab; a second remove does nothing."""
    links = subprocess.run(["ip", "-o", "link"], check=True, capture_output=True).stdout.count(b"\n")
    with lab_network(WanSpec(), box=True) as made:
        names = topology.namespaces(made.spec)
        assert len(names) == 5
        assert all(Path("/run/netns", name).exists() for name in names)
        assert len(lab_pids(made.directory)) == 3
        topology.build(made.spec, made.directory)
        assert len(lab_pids(made.directory)) == 3
        if forgotten:
            record = made.directory / topology.RECORD
            text = record.read_text()
            record.write_text(text[: text.index('"processes"')] + '"processes": []}')
        topology.remove(made.spec, made.directory)
        assert not [name for name in names if Path("/run/netns", name).exists()]
        deadline = time.monotonic() + 5
        while lab_pids(made.directory) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert lab_pids(made.directory) == []
        assert sorted(path.suffix for path in made.directory.rglob("*.sock")) == []
        topology.remove(made.spec, made.directory)
    assert subprocess.run(["ip", "-o", "link"], check=True, capture_output=True).stdout.count(b"\n") >= links - 8


def test_a_second_lab_of_the_same_name_is_refused_and_the_first_stays() -> None:
    """Another folder, same name: a plain sentence, and remove there does not touch the first."""
    with lab_network(WanSpec(profile="clean")) as first:
        other = Path(tempfile.mkdtemp(prefix="lrv-"))
        spec = lab_spec(WanSpec(), first.spec.name)
        spec.write(other / "spec.json")
        with pytest.raises(LabError, match="is up"):
            topology.build(spec, other)
        topology.remove(spec, other)
        shutil.rmtree(other)
        assert first.wire()["wan"]["profile"] == "clean"
        assert all(Path("/run/netns", name).exists() for name in topology.namespaces(first.spec))
