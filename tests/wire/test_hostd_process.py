"""The host process: one JSON line a request, over a Unix socket."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lrvmotion.lab.rpc import Client, RpcError, call, wait
from lrvmotion.lab.spec import HostSpec, LabSpec, SiteSpec, VmknicSpec


def lab_spec(name: str = "t", *, net: bool = False) -> LabSpec:
    def site(name: str, lan: str) -> SiteSpec:
        nic = VmknicSpec(device="vmk0", address=f"{lan}.9")
        return SiteSpec(
            name=name,
            lan=f"{lan}.0/24",
            router=f"{lan}.254",
            vcenter=name,
            username="u",
            password="p",
            hosts=(HostSpec(name="h1", vmknics=(nic,)),),
        )

    return LabSpec(name=name, net=net, source=site("source", "10.88.0"), target=site("target", "10.99.0"))


@pytest.fixture
def host(tmp_path: Path):
    lab_spec().write(tmp_path / "spec.json")
    command = [sys.executable, "-m", "lrvmotion.lab.hostd", "--lab", str(tmp_path), "--site", "source", "--host", "h1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        path = tmp_path / "source" / "h1.sock"
        assert wait(path, timeout=20, alive=lambda: process.poll() is None)
        yield path
        process.terminate()
        assert process.communicate(timeout=10)[1] == ""
        assert process.returncode == 0
        assert not path.exists()


def test_requests_are_answered_in_order_and_refusals_have_a_kind(host: Path) -> None:
    """Each mistake is answered by its kind, and the connection stays usable."""
    route = {"netstack": "defaultTcpipStack", "prefix": "10.99.0.9/32", "gateway": "10.77.0.1"}
    with Client(host) as client:
        assert client.call("state")["vmknics"] == []
        nic = {"device": "vmk0", "address": "10.88.0.9", "prefix_length": 24, "mtu": 1500}
        rest = {"mac": "00:50:56:00:00:01", "netstack": "defaultTcpipStack", "gateway": None}
        assert client.call("vmknic_add", **nic, **rest) == {}
        for op, arguments, kind in (
            ("vmknic_add", {**nic, **rest}, "exists"),
            ("vmknic_add", nic, "invalid"),
            ("vmknic_add", {**nic, **rest, "device": "vmk1", "address": "10.88.0.300"}, "invalid"),
            ("vmknic_remove", {"device": "vmk7"}, "missing"),
            ("route_add", route, "invalid"),
            ("nonsense", {}, "invalid"),
            ("progress", {"id": "none"}, "missing"),
        ):
            with pytest.raises(RpcError) as refused:
                client.call(op, **arguments)
            assert refused.value.kind == kind, op
        assert client.call("state")["vmknics"][0]["addresses"] == ["10.88.0.9/24"]
    assert call(host, "reset") == {}
