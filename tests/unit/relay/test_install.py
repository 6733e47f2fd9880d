"""What a relay host is asked to become: pure, from a spec and facts."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from lrvmotion.checks.relay_hosts import usable
from lrvmotion.errors import RefusedError
from lrvmotion.findings import Severity
from lrvmotion.model.relay.relay_host import Address, BoxFacts, runs_in
from lrvmotion.model.relay.relay_spec import RelaySpec
from lrvmotion.relay import relayd
from lrvmotion.relay.facts import parse
from lrvmotion.relay.install import desired
from lrvmotion.relay.names import Names
from lrvmotion.relay.redirect import parse as rules
from lrvmotion.relay.redirect.render import Redirect
from lrvmotion.relay.status import parse_status

PRINTED = """\
kernel=6.1.0-18-amd64
available=reno cubic bbr
allowed=reno cubic
bbr_module=yes
tool=nft /usr/sbin/nft nftables v1.0.6 (Lester Gooch #5)
tool=iptables /usr/sbin/iptables iptables v1.8.9 (nf_tables)
systemd=systemd 252 (252.22-1~deb12u1)
python=/usr/bin/python3 3.11.2 splice
cores=4
governor=/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor powersave
governor=/sys/devices/system/cpu/cpu1/cpufreq/scaling_governor powersave
governors=performance powersave
address=1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever
address=2: eth0.88    inet 10.88.0.2/24 brd 10.88.0.255 scope global eth0.88\\       valid_lft forever
address=2: eth0.88    inet6 fe80::1/64 scope link \\       valid_lft forever preferred_lft forever
link=eth0.88 9000 10000
link=veth0 1500 -1
listen=00000000:0016
listen=0258580A:1F90
sysctl=/proc/sys/net/ipv4/ip_forward rw 0
sysctl=/proc/sys/net/ipv4/tcp_rmem rw 4096\t131072\t134217728
sysctl=/proc/sys/net/ipv4/tcp_wmem rw 4096\t16384\t4194304
sysctl=/proc/sys/net/ipv4/tcp_mtu_probing rw 0
sysctl=/proc/sys/net/ipv4/tcp_slow_start_after_idle rw 1
sysctl=/proc/sys/net/ipv4/tcp_no_metrics_save ro 0
sysctl=/proc/sys/net/ipv4/conf/all/send_redirects rw 1
sysctl=/proc/sys/net/ipv4/conf/eth0.88/send_redirects rw 1
sysctl=/proc/sys/net/ipv4/conf/all/accept_redirects rw 1
sysctl=/proc/sys/net/ipv4/conf/default/accept_redirects rw 1
memory_total=4000000
memory_free=3000000
end=yes
"""

SPEC = RelaySpec(
    name="relay-a", run="abc123", address="10.88.0.2", sources=("10.88.0.9", "10.88.0.8"), targets=("10.99.0.9",)
)


@pytest.fixture
def seen() -> BoxFacts:
    return parse(PRINTED)


def codes(found, severity):
    return [finding.code for finding in found if finding.severity is severity]


def test_box_facts_are_read(seen):
    """What the box prints is read, tabs and VLAN names included."""
    assert seen.python == "/usr/bin/python3"
    assert seen.python_version == (3, 11, 2)
    assert seen.splice
    assert seen.bbr
    assert seen.owner_tables
    assert seen.systemd
    assert seen.interface_of("10.88.0.2") == "eth0.88"
    assert [entry.address for entry in seen.addresses] == ["127.0.0.1", "10.88.0.2"]
    assert seen.links == (("eth0.88", 9000, 10000), ("veth0", 1500, None))
    assert seen.listening == {22, 8080}
    assert seen.sysctl("net.ipv4.conf.eth0/88.send_redirects") == "1"
    assert seen.sysctl("net.ipv4.tcp_wmem") == "4096 16384 4194304"
    assert seen.governors == (("cpu0", "powersave"), ("cpu1", "powersave"))


@pytest.mark.parametrize("cut", range(0, len(PRINTED), 97))
def test_box_facts_that_break_off_are_still_read(cut):
    """Whatever is missing stays unknown; nothing is guessed, nothing raises."""
    parse(PRINTED[:cut])


def test_box_that_fits_has_no_error(seen):
    """A good box gives no error; what cannot be written is a warning, not a failure."""
    found = usable(seen, SPEC)
    assert codes(found, Severity.ERROR) == []
    assert codes(found, Severity.WARNING) == ["relay-sysctl"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"python": "", "pythons": ("/usr/bin/python3 3.6.8",)}, "relay-python"),
        ({"splice": False}, "relay-splice"),
        ({"tools": ()}, "relay-firewall"),
        ({"addresses": ()}, "relay-address"),
        ({"listening": frozenset({9000})}, "relay-port"),
        ({"marks": ("table ip lrvmotion_other1", "/run/lrvmotion-other1")}, "relay-locked"),
    ],
)
def test_box_that_does_not_fit_is_an_error(seen, changes, code):
    """What a relay cannot do without is an error that names the box."""
    found = usable(replace(seen, **changes), SPEC)
    assert codes(found, Severity.ERROR) == [code]
    assert all(finding.subject == "relay/relay-a" for finding in found)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"available": frozenset({"reno", "cubic"}), "bbr_module": False}, "relay-bbr"),
        ({"systemd": False}, "relay-systemd"),
        ({"memory_free_kib": 100_000}, "relay-memory"),
    ],
)
def test_box_with_a_lack_is_a_warning(seen, changes, code):
    """What a relay can live without is said."""
    assert code in codes(usable(replace(seen, **changes), SPEC), Severity.WARNING)


ZONES = """\
zone=table ip zones {
zone=	chain pre {
zone=		type filter hook prerouting priority raw; policy accept;
zone=		iifname "%s" ct zone set 5
zone=	chain out {
zone=		type filter hook output priority raw; policy accept;
zone=		oifname "eth0.88" ct zone set 5
"""


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (ZONES % "eth0.88", 'table ip zones, chain pre: iifname "eth0.88" ct zone set 5'),
        (ZONES % "eth0*", "eth0*"),
        (ZONES % "eth1", None),
        ("zone=table inet a {\nzone=chain jumped {\nzone=ct zone set 7\n", "table inet a, chain jumped: ct zone set 7"),
        ("zone=table inet all {\nzone=chain pre {\nzone=ct zone set 0\n", None),
        ('zone=table ip t {\nzone=chain p {\nzone=iifname { "eth1", "eth0.88" } ct original zone set 5\n', "eth0.88"),
        ("zone=-A PREROUTING -i eth0.88 -j CT --zone 5\n", "iptables -t raw -A PREROUTING -i eth0.88 -j CT --zone 5"),
        ("zone=-A PREROUTING -i eth1 -j CT --zone 5\n", None),
        ("zone=-A OUTPUT -j CT --zone 5\n", None),
        ("zone=-A PREROUTING -j CT --zone-orig 5\n", "--zone-orig 5"),
        ("zone=\nzone=table\nzone=chain\nzone=type\n", None),
    ],
)  # fmt: skip
def test_box_whose_rules_set_a_conntrack_zone_is_refused(lines, told):
    """The relay would refuse every connection there: the rule is named, if it is one for what comes in by the LAN."""
    found = [entry for entry in usable(parse(PRINTED + lines), SPEC) if entry.code == "relay-conntrack-zone"]
    assert [entry.severity for entry in found] == [Severity.ERROR] * (told is not None)
    assert all(told in entry.summary for entry in found)
    assert [e for e in usable(parse(PRINTED + lines), FAR) if e.code == "relay-conntrack-zone"] == []


def test_box_of_another_run_names_the_run(seen):
    """A box that another run holds is refused by that run's name; our own runs' marks do not lock us out."""
    marked = replace(seen, marks=("table ip lrvmotion_xyz789",), listening=frozenset({9000}))
    found = [finding for finding in usable(marked, SPEC, ["old"]) if finding.code == "relay-locked"]
    assert "xyz789" in found[0].summary
    assert codes(usable(marked, SPEC, ["xyz789"]), Severity.ERROR) == []


def test_box_order_is_safe(seen):
    """No ICMP redirects before forwarding; files before the unit; the relay before the redirect; the governor last."""
    keys = [key for key, _, _ in desired(SPEC, seen)]
    kinds = [key.partition("/")[0] for key in keys]
    assert keys[:2] == ["sysctl/net.ipv4.conf.all.send_redirects", "sysctl/net.ipv4.conf.eth0/88.send_redirects"]
    forward = keys.index("sysctl/net.ipv4.ip_forward")
    assert keys.index("sysctl/net.ipv4.conf.all.accept_redirects") < forward
    assert kinds[-3:] == ["unit", "redirect", "governor"]
    assert kinds == sorted(kinds, key=["sysctl", "file", "unit", "redirect", "governor"].index)
    assert len(set(keys)) == len(keys)
    assert "sysctl/net.ipv4.tcp_no_metrics_save" not in keys, "it cannot be written here"


def test_box_every_name_carries_the_run(seen):
    """All that is made carries the run's id, so that another run can tell."""
    for key, _, _ in desired(SPEC, seen):
        if not key.startswith(("sysctl/", "governor")):
            assert set(runs_in((key,))) == {"abc123"}, key


def test_box_larger_windows_are_kept(seen):
    """An existing larger maximum is never lowered; a smaller one is raised, its minimum and default kept."""
    values = {key: value.data for key, value, _ in desired(SPEC, seen)}
    assert values["sysctl/net.ipv4.tcp_rmem"] == "4096 131072 134217728"
    assert values["sysctl/net.ipv4.tcp_wmem"] == "4096 16384 67108864"


def test_box_settings_outlast_a_reboot(seen):
    """The file for the next boot says what is set now."""
    wanted = {key: value for key, value, _ in desired(SPEC, seen)}
    text = wanted[f"file/{Names('abc123').sysctl_file}"].as_document()["content"]
    lines = dict(line.split(" = ") for line in text.splitlines() if not line.startswith("#"))
    assert lines == {key.removeprefix("sysctl/"): v.data for key, v in wanted.items() if key.startswith("sysctl/")}


def test_box_configuration_is_one_that_the_relay_takes(seen):
    """relayd reads the configuration that is written for it, and listens on the LAN only."""
    files = {key: value.as_document() for key, value, _ in desired(SPEC, seen) if key.startswith("file/")}
    (text,) = [content["content"] for key, content in files.items() if key.endswith(".json")]
    config = relayd.parse_config(text)
    assert config.listen == (("10.88.0.2", 9000),)
    assert [str(network) for network in config.targets] == ["10.99.0.9/32"]
    assert files["file/" + Names("abc123").relayd]["content"].startswith("#!/usr/bin/python3\n")
    assert files["file/" + Names("abc123").relayd]["mode"] == "0755"


def test_box_changed_configuration_changes_what_the_unit_runs(seen):
    """Other targets mean another configuration file, so that a running relay shows that it must be restarted."""
    one = {key: value for key, value, _ in desired(SPEC, seen)}
    two = {key: value for key, value, _ in desired(replace(SPEC, targets=("10.99.0.8",)), seen)}
    key = "unit/" + Names("abc123").unit
    assert one[key] != two[key]
    assert one[key] == {k: v for k, v, _ in desired(SPEC, seen)}[key]


def test_box_without_systemd_supervises_a_process(seen):
    """Without systemd there is no unit; the relay holds its table, where kernel and nft can do that."""
    values = {key: value for key, value, _ in desired(SPEC, replace(seen, systemd=False))}
    assert not any(key.startswith("unit/") or "/systemd/" in key for key in values)
    process = values["process/abc123"].as_document()
    assert process["holds"] == Names("abc123").script("lrvmotion_abc123")
    held = values["file/" + process["holds"]].as_document()["content"]
    assert "flags owner" in held
    assert len([line for line in held.splitlines() if not line.startswith("#")]) == 1, "one line, one transaction"
    assert held.startswith(rules.header(REDIRECT)), "what is withdrawn is known"
    old = {k: v for k, v, _ in desired(SPEC, replace(seen, systemd=False, kernel="5.4.0-1"))}
    assert old["process/abc123"].as_document()["holds"] is None


def test_box_without_nft_uses_iptables(seen):
    """Without nft the same unit loads a script for iptables."""
    tools = tuple(tool for tool in seen.tools if tool[0] != "nft")
    values = {key: value for key, value, _ in desired(SPEC, replace(seen, tools=tools))}
    unit = values["file/" + Names("abc123").unit_file].as_document()["content"]
    script = Names("abc123").script("lrvmotion_abc123")
    assert f"ExecStartPost=+/bin/sh {script} load" in unit
    assert "iptables-restore" in values[f"file/{script}"].as_document()["content"]


def test_box_without_governor_has_none_set(seen):
    """A box without frequency scaling, as most VMs, is left alone."""
    assert "governor" not in [key for key, _, _ in desired(SPEC, replace(seen, governors=()))]


def test_box_that_cannot_carry_a_relay_is_refused(seen):
    """No plan is made for a box that the findings rule out."""
    for changes in ({"python": ""}, {"addresses": ()}, {"tools": ()}):
        with pytest.raises(RefusedError):
            desired(SPEC, replace(seen, **changes))
    with pytest.raises(RefusedError, match="address family"):
        desired(replace(SPEC, targets=("fd00::1",)), seen)


@pytest.mark.parametrize("run", ["", "a b", "../x", "A", "a-b", "x" * 17])
def test_box_run_ids_that_fit_no_name_are_refused(run):
    """A run's id becomes part of paths and rules: nothing but small letters and digits."""
    with pytest.raises(ValueError):
        Names(run)


REDIRECT = Redirect(
    table="lrvmotion_abc123", sources=("10.88.0.8/31",), targets=("10.99.0.9",), port=8000, listen_port=9000,
    interface="eth0.88",
)  # fmt: skip


def test_box_redirect_as_a_value_comes_back():
    """A redirect survives the journal."""
    assert rules.from_value(REDIRECT.table, rules.value(REDIRECT)) == REDIRECT


def nft_listing(catch):
    listed = [
        {"metainfo": {"version": "1.0.6"}},
        {"table": {"family": "ip", "name": REDIRECT.table, "handle": 1}},
        {"set": {"name": "sources", "elem": [{"range": ["10.88.0.8", "10.88.0.9"]}]}},
        {"set": {"name": "targets", "elem": ["10.99.0.9"]}},
        {
            "rule": {
                "chain": "fence",
                "expr": [
                    {"match": {"left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 9000}},
                    {"drop": None},
                ],
            }
        },
        *catch,
    ]
    return json.dumps({"nftables": listed})


CATCH = {
    "rule": {
        "chain": "catch",
        "expr": [
            {"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "eth0.88"}},
            {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 8000}},
            {"counter": "hits"},
            {"redirect": {"port": 9000}},
        ],
    }
}


def test_box_redirect_is_read_from_what_nft_lists():
    """The form in which nft lists a rule does not matter: a range is the network that was written."""
    assert rules.nft_observed(nft_listing([CATCH]), "") == rules.value(REDIRECT)


def test_box_withdrawn_redirect_is_still_ours():
    """A redirect that the relay withdrew reads as what was loaded, so that it can be restored."""
    loaded = rules.header(REDIRECT) + "whatever"
    assert rules.nft_observed(nft_listing([]), loaded) == rules.value(REDIRECT)


@pytest.mark.parametrize("count", [0, 2])
def test_box_redirect_changed_by_others_is_another(count):
    """Rules that somebody else put into our chain, or a script that is not ours, make another value."""
    assert rules.nft_observed(nft_listing([CATCH] * count), "") != rules.value(REDIRECT)


SAVED = """\
*mangle
:LRVM_abc123 - [0:0]
-A PREROUTING -j LRVM_abc123
-A LRVM_abc123 -s 10.88.0.8/31 -d 10.99.0.9/32 -p icmp -m icmp --icmp-type 8 -j RETURN
COMMIT
*nat
:LRVM_abc123 - [0:0]
[3:180] -A LRVM_abc123 -s 10.88.0.8/31 -d 10.99.0.9/32 -i eth0.88 -p tcp -m tcp --dport 8000 \
--tcp-flags FIN,SYN,RST,ACK SYN -j REDIRECT --to-ports 9000
COMMIT
*filter
:LRVM_abc123 - [0:0]
-A LRVM_abc123 -p tcp -m tcp --dport 9000 -j DROP
COMMIT
"""


def test_box_redirect_is_read_from_what_iptables_saves():
    """The same of iptables, whatever order its tables come in, withdrawn or not."""
    assert rules.iptables_observed("ip", "LRVM_abc123", SAVED, "") == rules.value(REDIRECT)
    withdrawn = "".join(line for line in SAVED.splitlines(keepends=True) if "REDIRECT" not in line)
    assert rules.iptables_observed("ip", "LRVM_abc123", withdrawn, rules.header(REDIRECT)) == rules.value(REDIRECT)
    assert rules.iptables_observed("ip", "LRVM_other", SAVED, "") is None


def test_box_addresses_are_joined_and_sorted():
    """Order and overlap of what was asked do not change the value."""
    assert rules.canonical(["10.0.0.3", "10.0.0.2", "10.0.0.2/32", "10.0.0.9"]) == ("10.0.0.2/31", "10.0.0.9")


def status(streams):
    return {
        "live": len(streams), "peak": 5, "accepted": 9, "rate_bps": 10, "sentence": "fine", "bytes_to_target": 7,
        "limit_bps": None, "congestion_control": "bbr", "uptime_s": 1.5, "refused": {"source": 2}, "streams": streams,
    }  # fmt: skip


def test_box_status_weighs_streams_by_what_they_carry():
    """An idle stream's RTT does not hide a busy one's; without streams there is none."""
    one = {"rtt_us": 10_000, "rate_bps": 0, "retransmit_ratio": 0.0, "bytes_to_target": 0}
    two = {"rtt_us": 60_000, "rate_bps": 9, "retransmit_ratio": 0.02, "bytes_to_target": 8}
    found = parse_status(status([one, two]))
    assert (found.rtt_ms, found.retransmits, found.streams, found.refused) == (60.0, 0.02, 2, 2)
    assert parse_status(status([one])).rtt_ms == 10.0
    assert parse_status(status([])).rtt_ms is None


def test_a_far_relay_is_fenced_and_nothing_is_redirected_to_it(seen: BoxFacts) -> None:
    """Near relays alone reach it; it takes the true target from their header; it is no router."""
    spec = replace(SPEC, accept_proxy_from=("10.88.0.1",))
    wanted = {key: value for key, value, _ in desired(spec, seen)}
    assert not any(key.startswith("redirect/") for key in wanted)
    assert "sysctl/net.ipv4.ip_forward" not in wanted
    (config,) = (value.as_document()["content"] for key, value in wanted.items() if key.endswith(".json"))
    parsed = relayd.parse_config(config)
    assert [str(network) for network in parsed.accept_proxy_from] == ["10.88.0.1/32"]
    (fence,) = (value.as_document()["content"] for key, value in wanted.items() if key.endswith(".rules"))
    assert "10.88.0.1" in fence
    (unit,) = (
        value.as_document()["content"]
        for key, value in wanted.items()
        if key.endswith("/system/" + Names("abc123").unit)
    )
    assert "nft -f" in unit


def test_a_near_relay_sends_through_the_far_one(seen: BoxFacts) -> None:
    """The far relay's address and port are in its configuration; the redirect is as ever."""
    wanted = {key: value for key, value, _ in desired(replace(SPEC, forward=("10.99.0.1", 9000)), seen)}
    (config,) = (value.as_document()["content"] for key, value in wanted.items() if key.endswith(".json"))
    assert relayd.parse_config(config).forward == ("10.99.0.1", 9000)
    assert any(key.startswith("redirect/") for key in wanted)


FAR = replace(SPEC, name="relay-b", accept_proxy_from=("10.88.0.1", "fd88::1"))
IPTABLES = (("iptables", "/usr/sbin/iptables", "iptables v1.8.9"),)


def rules_of(wanted):
    return [value.as_document()["content"] for key, value, _ in wanted if key.endswith(".rules")]


def test_a_far_relay_is_fenced_whatever_the_box_has(seen: BoxFacts) -> None:
    """nft or iptables, systemd or none: peers of the listening address's family, every other is dropped."""
    (nft,) = rules_of(desired(FAR, seen))
    assert "ip saddr != @peers" in nft
    assert "fd88" not in nft
    wanted = desired(FAR, replace(seen, tools=IPTABLES))
    (script,) = rules_of(wanted)
    assert "-s 10.88.0.1 -j RETURN" in script
    assert "--dport 9000 -j DROP" in script
    (unit,) = (v.as_document()["content"] for k, v, _ in wanted if k.startswith("file/") and k.endswith(".service"))
    assert "ExecStartPost=+/bin/sh" in unit
    assert "ExecStop=" not in unit
    (held,) = rules_of(desired(FAR, replace(seen, systemd=False)))
    assert held.startswith("add table ip lrvmotion_abc123 { flags owner; ")
    assert len(held.splitlines()) == 1
    assert held.count("{") == held.count("}")
    assert rules_of(desired(FAR, replace(seen, systemd=False, kernel="5.4.0-1"))) == [], "the relay itself refuses"


def test_a_far_relay_listens_in_its_near_relays_family(seen: BoxFacts) -> None:
    """A fence that could let nobody in is refused; an IPv6 far relay is fenced for IPv6."""
    with pytest.raises(RefusedError, match="address family"):
        desired(replace(FAR, accept_proxy_from=("fd88::1",)), seen)
    six = replace(seen, addresses=(Address(interface="eth0", address="fd99::1", length=64),))
    (fence,) = rules_of(desired(replace(FAR, address="fd99::1"), six))
    assert "table ip6 lrvmotion_abc123_v6 {" in fence
    assert "ip6 saddr != @peers" in fence
    assert "10.88.0.1" not in fence


def test_a_box_that_forwards_ipv6_keeps_its_own_default_route(seen: BoxFacts) -> None:
    """Interfaces that learn from router advertisements go on doing so, set before forwarding; others are left alone."""
    now = (("all", "1"), ("mgmt0", "1"), ("x", "0"))
    learns = [(f"net.ipv6.conf.{name}.accept_ra", value, True) for name, value in now]
    six = replace(
        seen,
        sysctls=(*seen.sysctls, *learns, ("net.ipv6.conf.all.forwarding", "0", True)),
        addresses=(*seen.addresses, Address(interface="eth0.88", address="fd88::2", length=64)),
    )
    wanted = [key for key, _, _ in desired(replace(SPEC, sources=("fd88::9",), targets=("fd99::9",)), six)]
    ra = [key for key in wanted if key.endswith("accept_ra")]
    assert ra == ["sysctl/net.ipv6.conf.mgmt0.accept_ra"]
    assert wanted.index(ra[0]) < wanted.index("sysctl/net.ipv6.conf.all.forwarding")
    assert not any(key.endswith("accept_ra") for key, _, _ in desired(SPEC, six))


def test_findings_of_a_far_box_name_its_own_section(seen: BoxFacts) -> None:
    """What to correct is under [relay.target]; a stream may hold more there."""
    found = usable(replace(seen, addresses=(), listening=frozenset({9000}), memory_free_kib=100_000), FAR)
    hints = {finding.code: finding.hint for finding in found}
    assert "[relay.target]" in hints["relay-address"]
    assert "[relay.target]" in hints["relay-port"]
    assert "up to 128 MiB" in next(finding.summary for finding in found if finding.code == "relay-memory")


def test_a_box_that_cannot_tie_a_table_to_a_process_says_what_that_means(seen: BoxFacts) -> None:
    """Without systemd and such a table a dead relay is not forwarded past."""
    old = replace(seen, systemd=False, kernel="5.4.0-1")
    for box, told in ((old, True), (replace(seen, systemd=False), False)):
        (summary,) = (finding.summary for finding in usable(box, SPEC) if finding.code == "relay-systemd")
        assert ("new connections are refused" in summary) is told


@pytest.mark.parametrize(
    ("version", "root"),
    [("iptables v1.8.9 (nf_tables)", False), ("iptables v1.8.9 (legacy)", True), ("iptables v1.6.1", True)],
)
def test_a_relay_beside_the_older_iptables_is_root_in_its_sandbox(seen: BoxFacts, version: str, root: bool) -> None:
    """Only the older one wants a raw socket and root's lock; its rights are those two all the same."""
    wanted = desired(SPEC, replace(seen, tools=(("iptables", "/usr/sbin/iptables", version),)))
    (unit,) = (v.as_document()["content"] for k, v, _ in wanted if k.startswith("file/") and k.endswith(".service"))
    assert ("User=root" in unit) is root
    assert ("DynamicUser=yes" in unit) is not root
    assert f"CapabilityBoundingSet=CAP_NET_ADMIN{' CAP_NET_RAW' if root else ''}\n" in unit
    assert ("xtables.lock" in unit) is root


def test_an_owned_table_is_held_by_the_relay_under_systemd_too(seen: BoxFacts) -> None:
    """Where kernel and nft can, nobody else's flush takes the table away; else the unit loads it, the relay again."""
    for box, owned in ((seen, True), (replace(seen, kernel="5.4.0-1"), False)):
        values = {key: value for key, value, _ in desired(SPEC, box)}
        unit = values["file/" + Names("abc123").unit_file].as_document()["content"]
        script = Names("abc123").script("lrvmotion_abc123")
        assert (f"--hold-redirect {script}" in unit) is owned
        assert ("ExecStartPost=" in unit) is not owned
        (config,) = (v.as_document()["content"] for k, v in values.items() if k.endswith(".json"))
        assert [redirect.script for redirect in relayd.parse_config(config).redirects] == [script]
