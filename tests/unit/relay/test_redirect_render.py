"""Rules as text: what must be in them, what may not, and the counters read back. Loading them is tests/netns's job."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from lrvmotion.relay import relayd
from lrvmotion.relay.redirect import render as rules
from lrvmotion.relay.redirect.render import Redirect
from lrvmotion.relay.unit import Unit, nft_commands, unit_text


def document(**changes: Any) -> Redirect:
    return Redirect(
        **{
            "table": "lrvmotion_r1",
            "sources": ("10.88.0.9", "10.88.0.10"),
            "targets": ("10.99.0.0/24",),
            "port": 8000,
            "listen_port": 9000,
            **changes,
        }
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"table": "a b"},
        {"table": "x; flush ruleset"},
        {"table": ""},
        {"interface": 'eth0" drop; "'},
        {"interface": "a" * 16},
        {"port": 0},
        {"listen_port": 65536},
        {"sources": ()},
        {"targets": ()},
        {"sources": ("fd00::1",)},
        {"targets": ("10.0.0.1/24",)},
        {"sources": ("host.example",)},
    ],
)
def test_what_could_not_be_a_rule_is_refused(changes: dict[str, Any]) -> None:
    """A name, port, address or family that does not fit raises before any text is written."""
    with pytest.raises(ValueError):
        document(**changes)


def test_the_table_is_made_anew_in_one_transaction() -> None:
    """Loading twice is loading once: add, delete, add, in one script."""
    lines = rules.nft_install(document()).splitlines()
    assert lines[:3] == ["table ip lrvmotion_r1", "delete table ip lrvmotion_r1", "table ip lrvmotion_r1 {"]


def test_only_new_connections_between_the_listed_are_caught() -> None:
    """The catching rule asks for interface, source, target, port and a bare SYN, counts, and redirects."""
    text = rules.nft_install(document(interface="vmo0"))
    [rule] = [line.strip() for line in text.splitlines() if "redirect to" in line]
    assert rule == (
        'iifname "vmo0" ip saddr @sources ip daddr @targets tcp dport 8000 '
        "tcp flags & (fin | syn | rst | ack) == syn counter name hits redirect to :9000;"
    )


def test_connection_tracking_outlives_the_catching_rule() -> None:
    """Withdrawing flushes one chain; the rule that keeps connection tracking loaded is in another."""
    text = rules.nft_install(document())
    assert "ct state established" in text.split("chain keepct")[1].split("}")[0]
    assert rules.nft_withdraw(document()) == "flush chain ip lrvmotion_r1 catch\n"


def test_overlapping_addresses_become_one_element() -> None:
    """nft refuses overlaps in an interval set: they are merged."""
    text = rules.nft_install(document(sources=("10.88.0.0/25", "10.88.0.9", "10.88.0.128/25", "10.7.0.1")))
    assert "elements = { 10.7.0.1, 10.88.0.0/24 }" in text


def test_the_owned_table_is_one_line() -> None:
    """Each line that `nft -i` reads is a transaction: the whole table must be one."""
    text = rules.nft_owned(document())
    assert text.count("\n") == 1
    assert "flags owner;" in text


@pytest.mark.parametrize("family", ["ip", "ip6"])
def test_the_relay_withdraws_by_the_same_names(family: rules.Family) -> None:
    """relayd.py, which may not import this package, speaks of the tables, chains and counters that we write."""
    sources, targets = (("10.88.0.9",), ("10.99.0.9",)) if family == "ip" else (("fd00::1",), ("fd01::1",))
    caught = document(family=family, sources=sources, targets=targets)
    guard = relayd.Redirect(**caught.guard)
    assert "nft " + rules.nft_withdraw(caught).strip() == " ".join(guard.withdraw_command())
    assert guard.list_command() == [word for word in rules.nft_list(caught) if word != "-j"]
    tables = relayd.Redirect(**caught.iptables_guard)
    assert tables.withdraw_command() == rules.iptables_withdraw(caught)
    assert tables.list_command() == rules.iptables_save(caught)


def test_counters_are_read_from_nft() -> None:
    """Packets by counter; a table without ours is an error."""
    entries: list[dict[str, Any]] = [{"metainfo": {"version": "1.0.6"}}, {"table": {"name": "lrvmotion_r1"}}]
    for name, packets in (("hits", 3), ("echo", 20), ("fenced", 1)):
        entries.append({"counter": {"family": "ip", "name": name, "packets": packets, "bytes": 9}})
    found = rules.parse_counters(json.dumps({"nftables": entries}))
    assert found == rules.Counters(hits=3, echo=20, fenced=1)
    with pytest.raises(ValueError, match="echo, fenced"):
        rules.parse_counters(json.dumps({"nftables": entries[:3]}))


def test_our_tables_are_recognised_by_name() -> None:
    """What another run left is found without a journal."""
    entries = [{"metainfo": {}}, *({"table": {"family": "ip", "name": n}} for n in ("filter", "lrvmotion_a"))]
    assert rules.tables(json.dumps({"nftables": entries})) == (("ip", "lrvmotion_a"),)


def test_iptables_counters_are_summed_over_the_pairs() -> None:
    """One rule a pair of source and target: the counters are their sums."""
    caught = document()
    printed = (
        "*filter\n:LRVM_r1 - [0:0]\n[5:300] -A LRVM_r1 -m conntrack --ctstate ESTABLISHED -j RETURN\n"
        "[2:80] -A LRVM_r1 -p tcp -m tcp --dport 9000 -j DROP\nCOMMIT\n"
        "*nat\n[1:60] -A LRVM_r1 -s 10.88.0.9/32 -p tcp -j REDIRECT --to-ports 9000\n"
        "[2:120] -A LRVM_r1 -s 10.88.0.10/32 -p tcp -j REDIRECT --to-ports 9000\n"
        "[7:1] -A OTHER -p tcp -j REDIRECT --to-ports 1\nCOMMIT\n"
        "*mangle\n[4:336] -A LRVM_r1 -p icmp -m icmp --icmp-type 8 -j RETURN\n"
    )
    assert rules.parse_iptables_counters(caught, printed) == rules.Counters(hits=3, echo=4, fenced=2)
    with pytest.raises(ValueError, match="LRVM_r1"):
        rules.parse_iptables_counters(caught, "*nat\nCOMMIT\n")


def test_iptables_catches_last() -> None:
    """Tables are loaded one after another: the fence is there before anything is redirected."""
    text = rules.iptables_install(document())
    assert re.findall(r"^\*(\w+)$", text, re.MULTILINE) == ["filter", "mangle", "nat"]
    assert text.count("--syn -j REDIRECT") == 2


def test_the_unit_listens_before_it_catches_and_releases_before_it_stops() -> None:
    """ExecStartPost loads, ExecStop withdraws, ExecStopPost removes, all as root; the relay itself is not root."""
    commands = nft_commands("/usr/sbin/nft", "/etc/lrvmotion/r1.nft", "ip", "lrvmotion_r1")
    unit = Unit(
        run="r1", python="/usr/bin/python3", relayd="/opt/relayd.py", config="/etc/lrvmotion/r1.json", **commands
    )
    lines = unit_text(unit).splitlines()
    keys = [line.partition("=")[0] for line in lines]
    assert "ExecStartPost=+/usr/sbin/nft -f /etc/lrvmotion/r1.nft" in lines
    assert "ExecStop=-+/usr/sbin/nft flush chain ip lrvmotion_r1 catch" in lines
    assert "ExecStopPost=-+/usr/sbin/nft delete table ip lrvmotion_r1" in lines
    assert keys.index("ExecStart") < keys.index("ExecStartPost")
    assert {"Type=notify", "DynamicUser=yes", "Restart=always", "WantedBy=multi-user.target"} <= set(lines)
    with pytest.raises(ValueError, match="relayd"):
        Unit(run="r1", python="/usr/bin/python3", relayd="relayd.py", config="/etc/x.json")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("run", "r1\nExecStartPre=/bin/sh"),
        ("run", "r1\r"),
        ("run", "%n"),
        ("run", ""),
        ("runtime", "lrvmotion\nUser=root"),
        ("runtime", "../etc"),
        ("runtime", "a/b"),
        ("user", "nobody\nUser=root"),
        ("load", ("/bin/true\nUser=root",)),
        ("withdraw", ("true",)),
        ("remove", ("/bin/true\x85",)),
        ("holds", ("/a\nUser=root",)),
        ("config", "/a b"),
    ],
)
def test_the_unit_takes_no_value_that_could_be_a_directive(name: str, value: object) -> None:
    """A newline begins another directive, a % a specifier, a blank another argument: refused by the value's name."""
    good = {"run": "r1", "python": "/usr/bin/python3", "relayd": "/opt/relayd.py", "config": "/etc/x.json"}
    Unit(**good)
    with pytest.raises(ValueError, match=name):
        Unit(**{**good, name: value})
