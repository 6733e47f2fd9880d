"""`lrvmotion check` in a lab with a circuit and two boxes: all is measured, nothing is written, broken ways show."""

from __future__ import annotations

import re

import pytest

from lab_client import Lab
from lrvmotion.checks import relay_hosts
from lrvmotion.config.schema import load
from lrvmotion.lab import witness
from lrvmotion.model.target_id import TargetId
from lrvmotion.relay import neighbours as looking
from lrvmotion.run.credentials import Credentials
from lrvmotion.workflows import connections
from lrvmotion.workflows.connections import Connections

pytestmark = pytest.mark.netns
SITES = ("source", "target")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab")) as up:
        yield up


@pytest.fixture(scope="module")
def shell(lab):
    config = load(lab.config)
    with Connections(connections.records(config), Credentials({}, None), lambda _: None) as world:
        yield world.shell(TargetId.relay("relay-a"))


def codes(document: dict) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for finding in document["findings"]:
        found.setdefault(finding["code"], []).append(finding["subject"])
    return found


def test_a_good_lab_is_measured_and_nothing_is_written(lab):
    """Exit 0, all pairs measured with their interval; not a byte or a call that changes anything."""
    before = lab.state()
    counts = [lab.control(site, "calls")["writes"] for site in SITES]
    seen = lab.json("check", "--probes", "20")
    assert [lab.control(site, "calls")["writes"] for site in SITES] == counts
    assert witness.differences(before, lab.state()) == []
    assert not any(finding["severity"] == "error" for finding in seen["findings"])
    assert codes(seen)["path-idle-only"] == ["path"]
    assert [one["source"] for one in seen["path"]] == ["source/esx-a1 10.88.0.9", "source/esx-a2 10.88.0.10"]
    for pair in seen["path"]:
        assert (pair["sent"], pair["reason"]) == (20, None)
        assert 54 < pair["rtt_ms"] < 200
        assert pair["loss_95"][0] <= pair["loss"] <= pair["loss_95"][1]
    assert len(seen["frames"]) == 4
    assert {(one["full"], one["jumbo"]) for one in seen["frames"]} == {("passed", "too-long")}
    near, far = seen["relay_hosts"]
    assert (near["relay_host"], far["relay_host"]) == ("relay/relay-a", "relay/relay-b")
    assert near["ports"] == far["ports"] == {"10.99.0.9": "open", "10.99.0.10": "open"}
    assert near["connect_ms"]["10.99.0.9"] > 50 > far["connect_ms"]["10.99.0.9"]
    assert set(near["arp"]) == {"10.88.0.9", "10.88.0.10"}
    assert all(mac.startswith("00:50:56:") for mac in [*near["arp"].values(), *far["arp"].values()])


def test_a_neighbour_that_is_not_there_and_a_port_that_nobody_listens_on(shell):
    """No ARP answer, and a refused connection, which is not the vMotion service."""
    view = looking.look(shell, "python3", ["10.88.0.9", "10.88.0.77"], ["10.99.0.9"], port=8001)
    assert view.reason is None
    assert view.arp["10.88.0.77"] is None
    assert view.ports == {"10.99.0.9": "refused"}
    found = {finding.code: finding for finding in relay_hosts.neighbours("relay-a", view, {}, port=8001)}
    assert set(found) == {"relay-arp", "relay-target"}
    assert "10.88.0.77" in found["relay-arp"].summary
    assert "refused at 10.99.0.9" in found["relay-target"].summary


def test_somebody_else_at_a_neighbours_address(shell):
    """The MAC that answers is not the vmknic's own."""
    view = looking.look(shell, "python3", ["10.88.0.9"], [])
    (finding,) = relay_hosts.neighbours("relay-a", view, {"10.88.0.9": "00:50:56:60:ff:ff"})
    assert finding.code == "relay-arp-other"
    assert list(relay_hosts.neighbours("relay-a", view, {"10.88.0.9": str(view.arp["10.88.0.9"]).upper()})) == []


def test_a_far_relay_is_tried_from_the_near_one(lab):
    """With forward, the near relay host must get through to the far one's port; here it does: nothing listens yet."""
    path = lab.folder / "forward.toml"
    path.write_text(lab.config.read_text().replace("forward = false", "forward = true"))
    other = Lab(lab.folder, name=lab.name)
    other.config = path
    before = lab.state()
    found = codes(other.json("check", "--probes", "5"))
    assert not [code for code in found if code.startswith("far-")]
    assert lab.state() == before


def test_broken_boxes_are_findings(lab):
    """A box that does not answer, and one whose address is another: errors of these boxes, and the rest is measured."""
    text = lab.config.read_text()
    head, mark, tail = text.partition("[relay.target]")
    near = re.sub(r'^address = "10.88.0.1"$', 'address = "10.88.0.3"', head, flags=re.MULTILINE)
    far = re.sub(r"^port = 22$", "port = 1", tail, count=1, flags=re.MULTILINE)
    path = lab.folder / "broken.toml"
    path.write_text(near + mark + far)
    broken = Lab(lab.folder, name=lab.name)
    broken.config = path
    seen = broken.json("check", "--probes", "5", status=3)
    found = codes(seen)
    assert found["relay-away"] == ["relay/relay-b"]
    assert found["relay-address"] == ["relay/relay-a"]
    assert len(seen["path"]) == 2
