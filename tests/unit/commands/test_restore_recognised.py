"""What is recognised as ours where no journal tells of it."""

from __future__ import annotations

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
