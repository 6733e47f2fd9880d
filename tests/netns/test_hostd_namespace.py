"""A simulated host's network is real: what the API adds, the kernel has."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from lrvmotion.lab.netns import box_namespace, entered, host_namespace, prefix
from lrvmotion.lab.rpc import Json, RpcError
from lrvmotion.lab.spec import WanSpec
from netns.lab_network import STACK, Lab, lab_network, requires_lab

pytestmark = requires_lab
MIB = 1024 * 1024
BOX = "10.88.0.2"


@pytest.fixture(scope="module")
def network():
    with lab_network(WanSpec(profile="clean", delay_ms=2.0), box=True) as made:
        with entered(box_namespace(made.spec, "source", "relay1")):
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
            for name in ("all", "lan0"):
                Path(f"/proc/sys/net/ipv4/conf/{name}/send_redirects").write_text("0")
        yield made


@pytest.fixture
def lab(network: Lab):
    yield network
    for site in ("source", "target"):
        network.host(site, "reset")


def forwarded(lab: Lab) -> int:
    """How many packets the box has forwarded."""
    with entered(box_namespace(lab.spec, "source", "relay1")):
        lines = [line.split() for line in Path("/proc/net/snmp").read_text().splitlines() if line.startswith("Ip:")]
    return int(dict(zip(*lines, strict=True))["ForwDatagrams"])


def through_box(lab: Lab, **arguments: Json) -> bool:
    before = forwarded(lab)
    found = lab.host("source", "ping", host="10.99.0.11", count=2, interval=0.05, **arguments)
    assert found["received"] == 2
    return forwarded(lab) - before >= 2


def move(lab: Lab, name: str, **changes: Json) -> dict[str, Json]:
    lab.host("target", "expect", id=name, receive_buffer_bytes=133_000_000, idle_timeout_s=20)
    arguments = {
        "sources": ["vmk1"], "targets": ["10.99.0.11"], "streams": 1, "bind": True, "congestion_control": "newreno",
        "line_rate_bytes": 133_000_000, "memory_bytes": 4 * MIB, "disk_bytes": 4 * MIB, "dirty_bps": 0,
        "switchover_s": 1.0, "timeout_s": 5.0,
    }  # fmt: skip
    lab.host("source", "migrate", id=name, **{**arguments, **changes})
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        progress = lab.host("source", "progress", id=name)
        if progress["phase"] in ("done", "failed", "cancelled"):
            return progress
        time.sleep(0.05)
    message = f"still {progress}"
    raise AssertionError(message)


def test_a_gateway_override_serves_bound_traffic_only(lab: Lab) -> None:
    """Through the box goes what is bound to the vmknic; unbound traffic takes the netstack's own gateway."""
    lab.standard()
    nic = {"device": "vmk1", "address": "10.88.0.11", "prefix_length": 24, "mtu": 1500, "netstack": STACK}
    assert not through_box(lab, interface="vmk1")
    lab.host("source", "vmknic_update", **nic, mac="00:50:56:01:00:01", gateway=BOX)
    assert through_box(lab, interface="vmk1")
    assert not through_box(lab)
    before = forwarded(lab)
    assert move(lab, "unbound", bind=False)["phase"] == "done"
    assert forwarded(lab) - before < 5
    assert move(lab, "bound", bind=True)["phase"] == "done"
    assert forwarded(lab) - before > 50
    lab.host("source", "vmknic_update", **nic, mac="00:50:56:01:00:01", gateway=None)
    assert not through_box(lab, interface="vmk1")


def test_a_static_route_serves_bound_and_unbound_traffic(lab: Lab) -> None:
    """One /32 through the box: all traffic to that target, and back when it is removed."""
    lab.standard()
    route = {"netstack": STACK, "prefix": "10.99.0.11/32", "gateway": BOX}
    lab.host("source", "route_add", **route)
    assert through_box(lab)
    assert through_box(lab, interface="vmk1")
    with pytest.raises(RpcError, match="has a route"):
        lab.host("source", "route_add", **route)
    lab.host("source", "route_remove", **route)
    assert not through_box(lab)
    assert not through_box(lab, interface="vmk1")


def test_a_netstack_has_its_own_gateway(lab: Lab) -> None:
    """The vMotion netstack goes its own way, bound or not; the default one knows nothing of it."""
    lab.standard()
    lab.add("source", "vmk2", "10.88.0.12", netstack="vmotion")
    with pytest.raises(RpcError, match="No route to host"):
        lab.host("source", "ping", host="10.99.0.11", netstack="vmotion", count=1)
    lab.host("source", "default_gateway", netstack="vmotion", gateway=BOX)
    assert through_box(lab, netstack="vmotion")
    assert through_box(lab, interface="vmk2", netstack="vmotion")
    assert not through_box(lab, interface="vmk1")
    before = forwarded(lab)
    assert move(lab, "stack", sources=["vmk2"], bind=False)["phase"] == "done"
    assert forwarded(lab) - before > 50


def test_streams_leave_by_their_own_vmknic_and_the_wire_sees_each(lab: Lab) -> None:
    """48 streams over 5 x 2 vmknics: even pairs, every vmknic carries its share, the wire counts 48 at once."""
    lab.standard(sources=5, targets=2)
    lab.wire("reset")
    progress = move(
        lab, "spread", sources=[f"vmk{n}" for n in range(1, 6)], targets=["10.99.0.11", "10.99.0.12"], streams=48,
        disk_bytes=44 * MIB,
    )  # fmt: skip
    assert progress["phase"] == "done"
    assert len(progress["pairs"]) == 10
    assert {pair[2] for pair in progress["pairs"]} == {4, 5}
    seen = lab.wire()["vmotion"]
    assert (seen["connections"], seen["connections_peak"], seen["connections_open"]) == (48, 48, 0)
    assert seen["bytes"] > 48 * MIB
    names = ",".join(f"vmk{n}" for n in range(1, 6))
    namespace = host_namespace(lab.spec, "source", "h1")
    sent = []
    for name in names.split(","):
        command = [*prefix(namespace), "cat", f"/sys/class/net/{name}/statistics/tx_bytes"]
        sent.append(int(subprocess.run(command, check=True, capture_output=True).stdout))
    assert min(sent) > 4 * MIB


def test_congestion_control_is_what_the_netstack_says_or_the_move_fails(lab: Lab) -> None:
    """newreno and cubic run as reno and cubic, whatever the machine's default; anything else fails by name."""
    lab.standard()
    for name, kernel in (("newreno", "reno"), ("cubic", "cubic")):
        lab.host("target", "expect", id=name, receive_buffer_bytes=133_000_000, idle_timeout_s=20)
        lab.host(
            "source", "migrate", id=name, sources=["vmk1"], targets=["10.99.0.11"], streams=2, bind=True,
            congestion_control=name, line_rate_bytes=133_000_000, memory_bytes=0, disk_bytes=1 << 40, dirty_bps=0,
            switchover_s=1.0, timeout_s=5.0,
        )  # fmt: skip
        while lab.host("source", "progress", id=name)["bytes_arrived"] < MIB:
            time.sleep(0.05)
        command = [*prefix(host_namespace(lab.spec, "source", "h1")), "ss", "-tniH", "dport = :8000"]
        shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        lab.host("source", "cancel", id=name)
        assert shown.count(f" {kernel} ") == 2, shown
    progress = move(lab, "bbr", congestion_control="bbr")
    assert (progress["phase"], progress["reason"]) == ("failed", "congestion-control")


def test_a_ping_too_large_for_the_path_is_refused_by_the_device(lab: Lab) -> None:
    """df with 1473 bytes at MTU 1500 fails with ESXi's words; 1472 passes."""
    lab.standard()
    assert lab.host("source", "ping", host="10.99.0.11", interface="vmk1", count=1, size=1472, df=True)["received"]
    with pytest.raises(RpcError, match="Message too long"):
        lab.host("source", "ping", host="10.99.0.11", interface="vmk1", count=1, size=1473, df=True)


def test_state_is_what_the_kernel_has_and_comes_back_after_a_change(lab: Lab) -> None:
    """What is added shows, and taking it away gives the very state from before."""
    lab.standard()
    before = lab.host("source", "state")
    lab.add("source", "vmk2", "10.88.0.12", gateway=BOX)
    lab.host("source", "route_add", netstack=STACK, prefix="10.99.0.11/32", gateway=BOX)
    during = lab.host("source", "state")
    assert [nic["device"] for nic in during["vmknics"]] == ["vmk1", "vmk2"]
    assert during != before
    lab.host("source", "route_remove", netstack=STACK, prefix="10.99.0.11/32", gateway=BOX)
    lab.host("source", "vmknic_remove", device="vmk2")
    assert lab.host("source", "state") == before
    lab.host("source", "reset")
    assert lab.host("source", "state")["vmknics"] == []


def test_vmotion_is_listened_on_exactly_the_vmknics_chosen(lab: Lab) -> None:
    """A vmknic without the service refuses; with it, it accepts; deselected, it refuses again."""
    lab.standard()
    lab.add("target", "vmk2", "10.99.0.12")
    assert move(lab, "no", targets=["10.99.0.12"])["reason"] == "connect"
    lab.host("target", "services", vmotion=["vmk1", "vmk2"], nfc=[])
    assert move(lab, "yes", targets=["10.99.0.12"])["phase"] == "done"
    lab.host("target", "services", vmotion=["vmk1"], nfc=[])
    assert move(lab, "again", targets=["10.99.0.12"])["reason"] == "connect"


def test_a_vmknic_that_the_kernel_refuses_changes_nothing(lab: Lab) -> None:
    """A duplicate MAC fails, and the host is as before."""
    lab.standard()
    before = lab.host("source", "state")
    with pytest.raises(RpcError):
        lab.host(
            "source", "vmknic_add", device="vmk9", mac="00:50:56:01:00:01", address="10.88.0.19", prefix_length=24,
            mtu=1500, netstack=STACK, gateway=None,
        )  # fmt: skip
    assert lab.host("source", "state") == before
    assert move(lab, "still")["phase"] == "done"


def test_a_vmknic_with_another_mac_is_listened_on_again(lab: Lab) -> None:
    """A changed MAC makes the interface again; vMotion is still answered there."""
    lab.standard()
    time.sleep(1.1)  # neighbours take no second word on an address within a second (arp locktime)
    lab.host(
        "target", "vmknic_update", device="vmk1", mac="00:50:56:02:00:77", address="10.99.0.11", prefix_length=24,
        mtu=1500, netstack=STACK, gateway=None,
    )  # fmt: skip
    assert move(lab, "mac")["phase"] == "done"
