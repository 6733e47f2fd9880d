"""A one-armed relay host keeps the path only where it sends no ICMP redirects."""

from __future__ import annotations

import json
import subprocess

import pytest

from lrvmotion.lab.netns import box_namespace, host_namespace, prefix
from lrvmotion.lab.spec import WanSpec
from netns.lab_network import STACK, lab_network, requires_lab

pytestmark = requires_lab
TARGET = "10.99.0.11"


def inside(namespace: str, *argv: str) -> str:
    done = subprocess.run([*prefix(namespace), *argv], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def counted(lab, namespace: str, count: int) -> int:
    """Ping the target from the source host and return how many of the requests the box forwarded."""
    before = echoes(namespace)
    answer = lab.host("source", "ping", host=TARGET, interface="vmk1", netstack=STACK, count=count, interval=0.2)
    assert answer["received"] == count
    return echoes(namespace) - before


def echoes(namespace: str) -> int:
    listed = json.loads(inside(namespace, "nft", "-j", "list", "counters", "table", "ip", "seen"))
    return sum(item["counter"]["packets"] for item in listed["nftables"] if "counter" in item)


@pytest.mark.parametrize("redirects", [0, 1])
def test_the_source_goes_past_a_box_that_sends_redirects(redirects):
    """With send_redirects the source learns the router after two pings and bypasses the box; without, it never does."""
    with lab_network(WanSpec(profile="clean", delay_ms=5.0), box=True) as lab:
        lab.standard()
        box = box_namespace(lab.spec, "source", "relay1")
        inside(box, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        for scope in ("all", "lan0"):
            inside(box, "sysctl", "-qw", f"net.ipv4.conf.{scope}.send_redirects={redirects}")
        rules = (
            "table ip seen { counter echo {}; chain c { type filter hook prerouting priority 0; "
            f"ip daddr {TARGET} icmp type echo-request counter name echo\n}}\n}}\n"
        )
        inside(box, "nft", rules)
        # What ESXi does with a redirect is unconfirmed; a Linux source with the usual defaults takes it.
        source = host_namespace(lab.spec, "source", "h1")
        for name in ("all", "vmk1"):
            inside(source, "sysctl", "-qw", f"net.ipv4.conf.{name}.accept_redirects=1")
        lab.host("source", "route_add", netstack=STACK, prefix=f"{TARGET}/32", gateway="10.88.0.2")
        counted(lab, box, 5)
        assert counted(lab, box, 10) == (10 if redirects == 0 else 0)
