"""What opens a relay host's packet filter: the rule for each kind of it, and what a trace of nft says."""

from __future__ import annotations

import pytest

from lrvmotion.checks import relay_hosts
from lrvmotion.findings import Severity
from lrvmotion.model.relay.relay_host import Address, Block, BoxFacts, FirewallView
from lrvmotion.model.relay.relay_spec import RelaySpec
from lrvmotion.relay.packet_filter import rules, trial

SEEN = BoxFacts(python="/usr/bin/python3", addresses=(Address(interface="lan0", address="10.88.0.1", length=24),))
NEAR = RelaySpec(name="a", run="abc123", address="10.88.0.1", sources=("10.88.0.9",), targets=("10.99.0.9",))
FAR = RelaySpec(
    name="b", run="abc123", address="10.88.0.1", sources=(), targets=(), accept_proxy_from=("10.77.0.1", "10.77.0.2")
)


def block(**changes: str) -> Block:
    fields = {"what": "input", "program": "iptables", "family": "ip", "table": "filter", "chain": "INPUT", "rule": "r"}
    return Block(**{**fields, **changes})  # type: ignore[arg-type]


FORWARD = {"what": "forward", "chain": "FORWARD"}


@pytest.mark.parametrize(
    ("found", "view", "keys"),
    [
        (block(), {}, ["iptables/INPUT -s 10.88.0.0/24 -i lan0 -p tcp -m tcp --dport 9000 MARK -j ACCEPT"]),
        (block(program="iptables-legacy", **FORWARD), {},
         ["iptables-legacy/FORWARD -s 10.88.0.0/24 -i lan0 -o wan0 MARK -j ACCEPT"]),
        (block(**FORWARD), {"docker": True}, ["iptables/DOCKER-USER -s 10.88.0.0/24 -i lan0 -o wan0 MARK -j ACCEPT"]),
        (block(), {"docker": True},
         ["iptables/INPUT -s 10.88.0.0/24 -i lan0 -p tcp -m tcp --dport 9000 MARK -j ACCEPT"]),
        (block(), {"ufw": True}, ["ufw/allow in on lan0 from 10.88.0.0/24 to any port 9000 proto tcp QUOTED"]),
        (block(**FORWARD), {"ufw": True}, ["ufw/route allow in on lan0 out on wan0 from 10.88.0.0/24 QUOTED"]),
        (block(), {"zone": "public"},
         ['firewalld/public rule family="ipv4" source address="10.88.0.0/24" port port="9000" protocol="tcp" accept']),
        (block(program="nft", family="inet", table="firewalld", chain="filter_FORWARD", what="forward"),
         {"zone": "public", "owned": True}, ["firewalld/public interface=lan0", "firewalld/public forward"]),
        (block(program="nft", family="inet", table="firewalld", chain="filter_FORWARD", what="forward"),
         {"zone": "public"},
         ['nft/inet firewalld filter_FORWARD iifname "lan0" oifname "wan0" ip saddr 10.88.0.0/24 accept NOTE']),
        (block(program="nft", family="inet", table="firewalld", chain="filter_FORWARD", what="forward"),
         {"zone": "public", "bound": True, "owned": True}, ["firewalld/public forward"]),
        (block(program="nft", family="inet", table="own", chain="in"), {"zone": "public", "ufw": True, "docker": True},
         ['nft/inet own in iifname "lan0" ip saddr 10.88.0.0/24 tcp dport 9000 accept comment "lrvmotion-abc123"']),
        (block(table="raw", chain="PREROUTING", hook="prerouting"), {"ufw": True, "docker": True, "zone": "public"},
         ["iptables/-t raw PREROUTING -s 10.88.0.0/24 -i lan0 MARK -j ACCEPT"]),
        (block(table="mangle", **FORWARD), {"docker": True},
         ["iptables/-t mangle FORWARD -s 10.88.0.0/24 -i lan0 -o wan0 MARK -j ACCEPT"]),
    ],
)  # fmt: skip
def test_opening_is_by_the_tool_that_shuts(found, view, keys):
    """Each filter is opened by its own tool, for the vMotion network and port alone, with the run's mark."""
    seen = FirewallView(blocks=(found,), out=("wan0",), **view)
    made = [opening.key for opening in rules.openings(seen, SEEN, NEAR, "abc123")]
    owner_id = "-m comment --comment lrvmotion-abc123"
    quoted, note = "comment 'lrvmotion-abc123'", 'comment "lrvmotion-abc123"'
    assert made == [
        f"firewall/{key.replace('MARK', owner_id).replace('QUOTED', quoted).replace('NOTE', note)}" for key in keys
    ]


def test_opening_of_a_far_relay_is_for_the_near_ones():
    """A far relay's port is opened to each near relay, and to nobody else."""
    made = rules.openings(FirewallView(blocks=(block(),)), SEEN, FAR, "abc123")
    assert [opening.key.split(" -i")[0] for opening in made] == [
        "firewall/iptables/INPUT -s 10.77.0.1", "firewall/iptables/INPUT -s 10.77.0.2",
    ]  # fmt: skip


def judged(view: FirewallView, *, opened: bool):
    return relay_hosts.packet_filter(view, NEAR, rules.commands(view, SEEN, NEAR), opened=opened)


def test_firewall_that_is_opened_is_information_and_one_that_is_not_an_error():
    """Without open_firewall the rule is an error with its cure; with it, it is said what the run will do."""
    view = FirewallView(blocks=(block(rule="policy DROP"),))
    (shut,) = judged(view, opened=False)
    assert (shut.severity, shut.code) == (Severity.ERROR, "relay-input")
    assert "iptables, INPUT: policy DROP" in shut.summary
    assert shut.hint == (
        "iptables -I INPUT -s 10.88.0.0/24 -i lan0 -p tcp -m tcp --dport 9000 -j ACCEPT; "
        "or open_firewall = true in [[relay.source]]"
    )
    (opened,) = judged(view, opened=True)
    assert (opened.severity, opened.code) == (Severity.INFO, "relay-input")


def test_firewall_that_drops_what_is_invalid_is_a_warning():
    """Only a dead relay makes it matter: it refuses no run, and open_firewall opens it all the same."""
    view = FirewallView(blocks=(block(what="later", chain="FORWARD"),), out=("lan0",))
    (shut,) = judged(view, opened=False)
    assert (shut.severity, shut.code) == (Severity.WARNING, "relay-forward")
    assert len(rules.openings(view, SEEN, NEAR, "abc123")) == 1


def test_firewall_that_could_not_be_tried_is_said():
    """What is not known is a warning with its reason, never taken for open."""
    (found,) = judged(FirewallView(reason="no nft"), opened=True)
    assert (found.severity, found.code) == (Severity.WARNING, "relay-filter-unknown")
    assert "no nft" in found.summary


@pytest.mark.parametrize("answer", [{}, {"blocks": [{}]}, {"blocks": None}, [], None, {"blocks": [1]}])
def test_firewall_answer_that_is_not_whole_is_refused(answer):
    """An answer of another shape is an error that look() turns into a reason."""
    with pytest.raises((ValueError, KeyError, TypeError)):
        rules.parse(answer)


BASE = {("inet", "filter", "input"), ("ip", "other", "in")}
PACKET = 'trace id 7eb9a8a5 {} packet: iif "lan0" ip saddr 10.88.0.9 tcp dport 9000'


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([PACKET.format("ip other in"), "trace id 7eb9a8a5 ip other in rule accept (verdict accept)"], None),
        ([PACKET.format("inet filter input"), "trace id 7eb9a8a5 inet filter input policy drop"],
         ("inet", "filter", "input", "policy drop")),
        ([PACKET.format("inet filter input"), "trace id 7eb9a8a5 inet filter input rule jump deny (verdict jump deny)",
          "trace id 7eb9a8a5 inet filter deny rule reject with icmpx admin-prohibited (verdict drop)"],
         ("inet", "filter", "input", "reject with icmpx admin-prohibited, in chain deny")),
        (["no trace", "trace id"], None),
    ],
)  # fmt: skip
def test_trace_names_rule_and_base_chain(lines, found):
    """The rule that drops is named, and the chain at whose head another one is seen first."""
    assert trial.ended("\r\n".join(lines), BASE) == found


def test_packets_are_whole():
    """Checksums of the head and of what it carries come out as nothing."""
    data = trial.syn("10.88.0.9", "10.99.0.9", 8000, 7)
    assert trial.checksum(data[:20]) == 0
    assert trial.checksum(data[12:20] + b"\0\x06\0\x14" + data[20:]) == 0
    assert trial.checksum(trial.echo("10.88.0.9", "10.99.0.9", 7)[20:]) == 0


SAVED = """*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:early - [0:0]
:own - [0:0]
-A PREROUTING -i lan0 -j early
-A early -s 10.88.0.0/24 -g own
-A own -j DROP
-A OUTPUT -j own
COMMIT
"""


@pytest.mark.parametrize(
    ("chain", "usual", "first"),
    [
        ("PREROUTING", "FORWARD", "PREROUTING"),
        ("own", "FORWARD", "PREROUTING"),
        ("own", "OUTPUT", "OUTPUT"),
        ("nobodys", "INPUT", "INPUT"),
    ],
)
def test_a_dropping_rule_of_iptables_is_told_with_the_chain_that_the_kernel_calls(chain, usual, first):
    """raw and mangle drop in PREROUTING: a rule in FORWARD would come too late."""
    saved = SAVED.replace("-A OUTPUT -j own\n", "") if usual == "FORWARD" else SAVED
    assert trial.called_first(saved, chain, usual) == first
