"""What is recognised as ours where no journal tells of it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

from lrvmotion.commands import restore
from lrvmotion.config import schema
from lrvmotion.relay import status
from worlds import TARGET, source

SITE = {"vcenter": "v", "username": "u"}
RELAYS = {
    "source": [{"name": "near", "host": "h1", "address": "10.88.0.1"}],
    "target": {"name": "far", "host": "h2", "address": "10.99.0.1"},
}


def test_near_and_far_relay_hosts_are_looked_at(monkeypatch):
    """Whoever comes without the journal learns of both."""
    monkeypatch.setattr(status, "list_leftovers", lambda shell: [f"unit of {shell}"])
    there = SimpleNamespace(inventory={"source": source(), "target": TARGET}.__getitem__)
    there.shell = str
    config = schema.parse({"source": SITE, "target": SITE, "relay": RELAYS})
    assert restore._recognised(there, config) == ["relay/near: unit of relay/near", "relay/far: unit of relay/far"]


def test_a_route_or_gateway_that_leads_to_a_relay_host_is_named(monkeypatch):
    """It has no mark, and with the relay gone it cuts vMotion off; what leads elsewhere is the administrator's own."""
    monkeypatch.setattr(status, "list_leftovers", lambda shell: [])
    here = source()
    nic = replace(here.hosts[0].vmknics[0], gateway="10.88.0.1")
    routes = {"vmotion/10.99.0.9/32": "10.88.0.1", "vmotion/10.77.0.0/24": "10.88.0.254"}
    hosts = (replace(here.hosts[0], routes=routes, vmknics=(nic,)), *here.hosts[1:])
    there = SimpleNamespace(inventory={"source": replace(here, hosts=hosts), "target": TARGET}.__getitem__, shell=str)
    config = schema.parse({"source": SITE, "target": SITE, "relay": RELAYS})
    name = here.hosts[0].name
    assert restore._recognised(there, config) == [
        f"source/{name}: route 10.99.0.9/32 (vmotion) to 10.88.0.1",
        f"source/{name}: gateway of {nic.address} to 10.88.0.1",
    ]
