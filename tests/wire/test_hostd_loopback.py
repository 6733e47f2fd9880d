"""Simulated hosts without a network: real bytes over loopback, every one accounted for."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from lrvmotion.lab.hostd import loopback, protocol
from lrvmotion.lab.hostd.operations import Host
from lrvmotion.lab.rpc import RpcError

MIB = 1024 * 1024


def nic(device: str, address: str) -> dict[str, object]:
    mac = f"00:50:56:00:00:{int(device[3:]):02x}"
    return {
        "device": device,
        "mac": mac,
        "address": address,
        "prefix_length": 24,
        "mtu": 1500,
        "netstack": "defaultTcpipStack",
        "gateway": None,
    }


@pytest.fixture
def hosts(tmp_path: Path):
    made = []
    for site, lan, count in (("source", "10.88.0", 2), ("target", "10.99.0", 2)):
        (tmp_path / site).mkdir()
        host = Host(tmp_path, site, "h1", net=False)
        made.append(host)
        for number in range(count):
            host.vmknic_add(**nic(f"vmk{number}", f"{lan}.{10 + number}"))
    made[1].services(["vmk0", "vmk1"], [])
    yield tuple(made)
    for host in made:
        host.close()


def move(host: Host, identifier: str, **changes: object) -> None:
    arguments: dict[str, object] = {
        "sources": ["vmk0", "vmk1"],
        "targets": ["10.99.0.10", "10.99.0.11"],
        "streams": 5,
        "bind": True,
        "congestion_control": "newreno",
        "line_rate_bytes": 133_000_000,
        "memory_bytes": 32 * MIB,
        "disk_bytes": 32 * MIB,
        "dirty_bps": 0,
        "switchover_s": 1.0,
        "timeout_s": 5.0,
    }
    host.migrate(identifier, **{**arguments, **changes})


def finish(host: Host, identifier: str, seconds: float = 30.0) -> dict[str, object]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        progress = host.progress(identifier)
        if progress["phase"] in ("done", "failed", "cancelled"):
            return progress
        time.sleep(0.01)
    message = f"still {progress}"
    raise AssertionError(message)


@pytest.mark.parametrize("streams", [1, 5, 48])
def test_every_byte_of_a_move_arrives_and_is_counted_on_both_sides(hosts, streams) -> None:
    """A move is done when the target has counted every byte, over exactly the streams asked for."""
    source, target = hosts
    target.expect("m", 133_000_000, 20.0)
    move(source, "m", streams=streams)
    progress = finish(source, "m")
    assert progress["phase"] == "done", progress["error"]
    assert progress["bytes_total"] == progress["bytes_arrived"] == progress["bytes_sent"] == 64 * MIB
    assert progress["remaining_bytes"] == 0
    assert progress["streams_peak"] == streams
    assert target.received("m") == {
        "bytes": 64 * MIB,
        "streams_open": 0,
        "streams_peak": streams,
        "eof": streams,
        "resets": 0,
    }


def test_streams_are_spread_evenly_over_sources_and_targets(hosts) -> None:
    """48 streams over 2 source and 2 target vmknics are 12 for each pair."""
    source, target = hosts
    target.expect("m", 133_000_000, 20.0)
    move(source, "m", streams=48, memory_bytes=0, disk_bytes=MIB)
    assert {tuple(pair[:2]): pair[2] for pair in finish(source, "m")["pairs"]} == {
        (a, b): 12 for a in ("10.88.0.10", "10.88.0.11") for b in ("10.99.0.10", "10.99.0.11")
    }


def test_memory_written_meanwhile_is_sent_again_until_the_rest_fits(hosts) -> None:
    """Pre-copy sends what was dirtied, the total grows by it, and the stun is measured."""
    source, target = hosts
    target.expect("m", 133_000_000, 20.0)
    move(source, "m", memory_bytes=48 * MIB, dirty_bps=40 * MIB, switchover_s=0.02)
    progress = finish(source, "m")
    assert progress["phase"] == "done", progress["error"]
    assert progress["bytes_total"] > 80 * MIB
    assert progress["bytes_arrived"] == progress["bytes_total"] == target.received("m")["bytes"]
    assert progress["stun_s"] > 0


def test_a_migration_that_the_target_does_not_expect_is_reset(hosts) -> None:
    """Streams of an unknown migration are reset, and the move fails."""
    source, _ = hosts
    move(source, "stranger")
    progress = finish(source, "stranger")
    assert progress["phase"] == "failed"
    assert progress["reason"] == "connect"


def test_a_move_to_an_address_that_nobody_listens_on_fails(hosts) -> None:
    """No listener: the move fails at once, in phase connect."""
    source, _ = hosts
    move(source, "m", targets=["10.99.0.77"])
    assert finish(source, "m")["phase"] == "failed"


def test_a_reset_in_the_middle_fails_the_move(hosts) -> None:
    """A stream that the target resets is a failed move, never a short one."""
    source, target = hosts
    target.expect("m", 133_000_000, 20.0)
    move(source, "m", disk_bytes=1 << 40)
    while source.progress("m")["bytes_arrived"] < MIB:
        time.sleep(0.01)
    target.forget("m")
    progress = finish(source, "m")
    assert (progress["phase"], progress["reason"]) == ("failed", "reset")


def test_a_cancelled_move_ends_soon_and_the_target_sees_resets(hosts) -> None:
    """Cancel before switchover: no stream ends whole."""
    source, target = hosts
    target.expect("m", 133_000_000, 20.0)
    move(source, "m", disk_bytes=1 << 40)
    while source.progress("m")["bytes_arrived"] < MIB:
        time.sleep(0.01)
    source.cancel("m")
    assert finish(source, "m", 3.0)["phase"] == "cancelled"
    deadline = time.monotonic() + 3
    while target.received("m")["resets"] < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert target.received("m")["resets"] == 5
    assert target.received("m")["eof"] == 0
    with pytest.raises(RpcError, match="phase cancelled"):
        source.cancel("m")


def test_a_target_that_stops_reading_fails_the_move_after_the_time_out(hosts, tmp_path) -> None:
    """No progress for NetTimeout: the stream and the move fail, and say so."""
    source, _ = hosts
    with socket.create_server(("127.0.0.1", 0)) as listener:
        loopback.publish(tmp_path, "target", "mute", {"10.99.0.66:8000": listener.getsockname()[1]})
        move(source, "m", streams=1, targets=["10.99.0.66"], timeout_s=0.5, disk_bytes=1 << 40)
        accepted, _ = listener.accept()
        with accepted:
            accepted.sendall(protocol.COUNT.pack(0))
            progress = finish(source, "m", 5.0)
    assert (progress["phase"], progress["reason"]) == ("failed", "timeout")


def test_a_target_that_ends_early_fails_the_move(hosts, tmp_path) -> None:
    """An orderly end before every byte was counted is a failure too."""
    source, _ = hosts
    with socket.create_server(("127.0.0.1", 0)) as listener:
        loopback.publish(tmp_path, "target", "short", {"10.99.0.66:8000": listener.getsockname()[1]})
        move(source, "m", streams=1, targets=["10.99.0.66"], memory_bytes=0, disk_bytes=1000)
        accepted, _ = listener.accept()
        with accepted:
            accepted.sendall(protocol.COUNT.pack(0))
            accepted.sendall(protocol.COUNT.pack(999))
            while accepted.recv(65536):
                pass
        progress = finish(source, "m", 5.0)
    assert (progress["phase"], progress["reason"]) == ("failed", "short")


def test_ping_is_not_pretended_without_a_network(hosts) -> None:
    """No network: ping is refused as unsupported."""
    with pytest.raises(RpcError) as refused:
        hosts[0].ping("10.99.0.10")
    assert refused.value.kind == "unsupported"


def test_state_shows_what_was_asked_for_and_reset_empties_it(hosts) -> None:
    """The witness sees every vmknic and route; after a reboot none."""
    source, _ = hosts
    source.route_add("defaultTcpipStack", "10.99.0.0/24", "10.88.0.254")
    state = source.state()
    assert [item["device"] for item in state["vmknics"]] == ["vmk0", "vmk1"]
    assert state["routes"] == [["defaultTcpipStack", "10.99.0.0/24", "10.88.0.254"]]
    source.reset()
    assert source.state() == {"vmknics": [], "routes": [], "defaults": [], "rules": []}
