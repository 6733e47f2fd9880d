"""A relay host whose packet filter shuts vMotion out, with the whole program: found, opened, and as before after."""

from __future__ import annotations

import pytest

from lab_client import Lab
from lrvmotion.config.schema import load
from lrvmotion.errors import RefusedError
from lrvmotion.events import Proven
from lrvmotion.lab import witness
from lrvmotion.lab.box.record import read, record_path
from lrvmotion.plan.plan import Path, Plan
from lrvmotion.run.credentials import Credentials
from lrvmotion.workflows import connections, relay_survey
from lrvmotion.workflows.connections import Connections
from netns.box_packages import run

pytestmark = pytest.mark.netns

SHUT = """nft -f - <<'RULES'
table inet filter {
  chain input {
    type filter hook input priority 0; policy accept;
    iifname "lan0" ct state established,related accept
    iifname "lan0" meta l4proto icmp accept
    iifname "lan0" reject with icmpx admin-prohibited
  }
}
RULES
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab")) as up:
        yield up


@pytest.fixture
def relay(lab):
    record = read(record_path(lab.directory, "relay-a"))
    run(record, SHUT)
    yield record
    run(record, "nft delete table inet filter")


def opening(lab: Lab) -> Lab:
    """Return the lab with open_firewall in its configuration."""
    path = lab.folder / "opening.toml"
    path.write_text(lab.config.read_text().replace("[[relay.source]]\n", "[[relay.source]]\nopen_firewall = true\n"))
    other = Lab(lab.folder, name=lab.name)
    other.config = path
    return other


def test_filter_that_rejects_is_found_before_anything_is_changed(lab, relay):
    """check and plan name rule and cure, migrate is refused (exit 3), and nothing was written anywhere."""
    before = lab.state()
    seen = lab.json("check", "--probes", "5", status=3)
    (found,) = (finding for finding in seen["findings"] if finding["code"] == "relay-input")
    assert (found["subject"], found["severity"]) == ("relay/relay-a", "error")
    assert "inet filter input" in found["summary"]
    assert "reject with icmpx admin-prohibited" in found["summary"]
    assert 'nft insert rule inet filter input iifname "lan0" ip saddr 10.88.0.0/24 tcp dport 9000' in found["hint"]
    done = lab.run("migrate", "--mode", "proxy", "--yes", "vm1")
    assert done.returncode == 3
    assert "admin-prohibited" in done.stderr
    assert witness.differences(before, lab.state()) == []


def test_filter_is_opened_for_a_run_and_shut_again_after_it(lab, relay):
    """With open_firewall the VM moves through the relay; restore-defaults takes the rule away."""
    before = lab.state()
    done = opening(lab).json("migrate", "--mode", "proxy", "--yes", "vm1")
    assert done["moves"]["vm1"]["state"] == "success"
    assert witness.differences(before, lab.state()) != []
    assert lab.json("restore-defaults")["left"] == []
    assert witness.differences(before, lab.state()) == []


def test_filter_that_shuts_after_the_plan_is_found_before_the_first_move(lab, relay):
    """The proof tries the filter as it is then: a rule that came since is named, one that went is none."""
    config = load(lab.config)
    path = Path(
        source_host="esx-a1", source_address="10.88.0.9", netstack="vmotion", target_host="esx-b1",
        target_address="10.99.0.9",
    )  # fmt: skip
    plan = Plan(
        run="tst123",
        owner_id="tst123",
        mode="proxy",
        relays=("relay-a",),
        relay_by_host=(("esx-a1", "relay-a"),),
        proof_paths=(path,),
    )
    told = []
    with Connections(connections.records(config), Credentials({}, None), lambda _: None) as world:
        with pytest.raises(RefusedError, match=r"relay-a.*9000.*admin-prohibited") as caught:
            relay_survey.admitted(config, world, plan, told.append)
        assert "nft insert rule" in str(caught.value.hint)
        assert told == []
        run(relay, "nft flush chain inet filter input")
        relay_survey.admitted(config, world, plan, told.append)
    assert [(type(event), event.ok) for event in told] == [(Proven, True)]
