"""The relay host's own packet filter: found before anything is written, opened where wanted, as before after."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lrvmotion.checks.relay_hosts import packet_filter
from lrvmotion.findings import Severity
from lrvmotion.lab.box.state import state
from lrvmotion.model.relay.relay_spec import RelaySpec
from lrvmotion.model.setting import ABSENT, string
from lrvmotion.relay.facts import facts
from lrvmotion.relay.packet_filter import rules as firewall
from netns.box_packages import add, add_iptables, run
from netns.box_world import requires_box
from netns.relaybox_site import NEAR_ADDRESS, RUN, SOURCE, TARGET, Site, make_site

pytestmark = requires_box

NFT = """nft -f - <<'RULES'
table inet filter {
  set admins { type ipv4_addr; elements = { 192.0.2.7 } }
  chain input {
    type filter hook input priority 0; policy drop;
    ct state vmap { established : accept, related : accept, invalid : drop }
    iifname "lo" accept
    iifname "lan0" tcp dport 22 ip saddr @admins accept
    iifname "mgmt0" accept
    meta l4proto icmp accept
  }
  chain forward { type filter hook forward priority 0; policy drop; }
}
RULES
"""
# What firewalld 1.3 makes of the zone public (nft list table inet firewalld, shortened to one interface).
FIREWALLD = """nft -f - <<'RULES'
table inet firewalld {
  chain filter_INPUT {
    type filter hook input priority filter + 10; policy accept;
    ct state { established, related } accept
    ct status dnat accept
    iifname "lo" accept
    ct state invalid drop
    jump filter_INPUT_ZONES
    reject with icmpx admin-prohibited
  }
  chain filter_FORWARD {
    type filter hook forward priority filter + 10; policy accept;
    ct state { established, related } accept
    ct status dnat accept
    iifname "lo" accept
    ct state invalid drop
    reject with icmpx admin-prohibited
  }
  chain filter_INPUT_ZONES {
    iifname "mgmt0" accept
    goto filter_IN_public
  }
  chain filter_IN_public {
    tcp dport 22 accept
    meta l4proto { icmp, ipv6-icmp } accept
    reject with icmpx admin-prohibited
  }
}
RULES
"""
INPUT = """iptables -P INPUT DROP
iptables -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
iptables -A INPUT -i mgmt0 -j ACCEPT
iptables -A INPUT -p tcp -m multiport --dports 22,80 -m comment --comment "a 'b' c" -j ACCEPT
"""
REJECT = """iptables -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
iptables -A INPUT -i mgmt0 -j ACCEPT
iptables -A INPUT -p icmp -j ACCEPT
iptables -A INPUT -j REJECT --reject-with icmp-host-prohibited
iptables -A FORWARD -j REJECT --reject-with icmp-host-prohibited
"""
# What Docker 20 to 27 makes at its start (iptables-save of a fresh installation).
DOCKER = """iptables-restore <<'RULES'
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A DOCKER -i docker0 -j RETURN
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
-A DOCKER-USER -j RETURN
COMMIT
RULES
"""

# Rules, the iptables that they need, what is shut (finding and the rule that does it), and the cure that is named.
NOTHING_OUT = """nft -f - <<'RULES'
table inet own {
  chain out {
    type filter hook output priority 0; policy drop;
    ct state established,related accept
    oifname "mgmt0" accept
  }
}
RULES
"""
CASES = {
    "nothing leaves": (
        NOTHING_OUT, None, {"relay-output": "policy drop"},
        "nft insert rule inet own out ip daddr 10.99.0.9 tcp dport 8000",
    ),
    "no vMotion leaves": (
        "iptables -A OUTPUT -p tcp --dport 8000 -j REJECT", "nft", {"relay-output": "--dport 8000 -j REJECT"},
        "iptables -I OUTPUT -d 10.99.0.9",
    ),
    "nft": (NFT, None,
            {"relay-input": "inet filter input: policy drop", "relay-forward": "filter forward: policy drop"},
            'nft insert rule inet filter input iifname "lan0" ip saddr 10.88.0.0/24 tcp dport 9000 accept'),
    "firewalld's table": (FIREWALLD, None, {"relay-forward": "reject with icmpx admin-prohibited"},
                          'nft insert rule inet firewalld filter_FORWARD iifname "lan0" oifname "lan0"'),
    "iptables-nft": (INPUT, "nft", {"relay-input": "INPUT: policy DROP"},
                     "iptables -I INPUT -s 10.88.0.0/24 -i lan0 -p tcp -m tcp --dport 9000 -j ACCEPT"),
    "iptables-legacy": (INPUT, "legacy", {"relay-input": "INPUT: policy DROP"},
                        "iptables -I INPUT -s 10.88.0.0/24 -i lan0 -p tcp -m tcp --dport 9000 -j ACCEPT"),
    "reject": (REJECT, "nft", {"relay-input": "-j REJECT", "relay-forward": "-j REJECT"},
               "iptables -I FORWARD -s 10.88.0.0/24 -i lan0 -o lan0 -j ACCEPT"),
    "docker": (DOCKER, "nft", {"relay-forward": "FORWARD: policy DROP"},
               "iptables -I DOCKER-USER -s 10.88.0.0/24 -i lan0 -o lan0 -j ACCEPT"),
    "docker, legacy": (DOCKER, "legacy", {"relay-forward": "FORWARD: policy DROP"},
                       "iptables -I DOCKER-USER -s 10.88.0.0/24 -i lan0 -o lan0 -j ACCEPT"),
    "iptables raw": ("iptables -t raw -A PREROUTING -i lan0 -s 10.88.0.0/24 -j DROP\n", "nft",
                     {"relay-forward": "iptables, raw PREROUTING: -s 10.88.0.0/24 -i lan0 -j DROP"},
                     "iptables -t raw -I PREROUTING -s 10.88.0.0/24 -i lan0 -j ACCEPT"),
    "docker and nft": (DOCKER + NFT, "nft",
                       {"relay-forward": "policy", "relay-input": "inet filter input: policy drop"},
                       "iptables -I DOCKER-USER -s 10.88.0.0/24 -i lan0 -o lan0 -j ACCEPT"),
}  # fmt: skip


# As the packages' own installation scripts do.
UFW = """cp /usr/share/ufw/iptables/*.rules /usr/share/ufw/ufw.conf /etc/ufw/
chmod 640 /etc/ufw/*.rules
ufw allow in on mgmt0
ufw allow 22/tcp
ufw --force enable
"""
FIREWALLD_START = """cd /usr/share/polkit-1/actions
ln -s org.fedoraproject.FirewallD1.server.policy.choice org.fedoraproject.FirewallD1.policy
systemctl daemon-reload
systemctl start dbus
systemctl reload dbus
systemctl start firewalld
firewall-cmd --zone=trusted --add-interface=mgmt0
firewall-cmd --zone=public --remove-service=dhcpv6-client
"""
PYTHON = "/usr/lib/python3/dist-packages"
FIREWALLD_NEEDS = {
    "python3-nftables": f"{PYTHON}/nftables/nftables.py", "python3-dbus": f"{PYTHON}/dbus/__init__.py",
    "python3-gi": f"{PYTHON}/gi/__init__.py", "python3-firewall": f"{PYTHON}/firewall/__init__.py",
    "gir1.2-glib-2.0": "/usr/lib/x86_64-linux-gnu/girepository-1.0/GLib-2.0.typelib",
    "firewalld": "/usr/sbin/firewalld",
}  # fmt: skip


@pytest.fixture
def site(tmp_path):
    with make_site(tmp_path, systemd=False) as made:
        yield made


def judged(site, seen, view) -> list:
    """Return the findings about the packet filter as it was seen."""
    commands = firewall.commands(view, seen, site.spec)
    return list(packet_filter(view, site.spec, commands, opened=False))


def looked(site: Site):
    seen = facts(site.shell)
    return seen, firewall.look(site.shell, seen, site.spec)


def arrives(site: Site, port: int = 8000) -> str | None:
    """Connect as a host does; return who the target sees, None where nobody comes."""
    with site.world.listen(port=port) as listener, site.world.socket("source") as client:
        client.settimeout(3)
        try:
            client.connect((TARGET, port))
            connection, peer = listener.accept()
        except OSError:
            return None
        connection.close()
        return str(peer[0])


def forwarded(site: Site) -> bool:
    """Whether a connection that is not redirected comes through."""
    return arrives(site, 8001) == SOURCE


def carried_past(site: Site) -> bool:
    """Whether a connection that is not redirected carries data, not only its first packet."""
    with site.world.listen(port=8001) as listener, site.world.socket("source") as client:
        client.settimeout(3)
        listener.settimeout(3)
        try:
            client.connect((TARGET, 8001))
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(3)
                client.sendall(b"past")
                return connection.recv(4) == b"past"
        except OSError:
            return False


@pytest.mark.parametrize("case", CASES)
def test_firewall_is_named_opened_and_as_before(site, case):
    """What shuts vMotion out is named with its rule and its cure; open_firewall lets it in, restore takes that back."""
    rules, kind, shut, cure = CASES[case]
    if kind is not None:
        add_iptables(site.record, kind)
    run(site.record, rules)
    goes_round(site, shut, cure)


EARLY = {
    "at the interface": 'netdev early seen { type filter hook ingress device "lan0" priority 0; }',
    "before routing": "ip early seen { type filter hook prerouting priority -350; }",
}


@pytest.mark.parametrize("place", EARLY)
def test_rule_before_the_redirect_is_named_opened_and_as_before(site, place):
    """It drops by the service's port, in chains that know no interface to leave by: one rule lets all of it in."""
    family, table, chain, hook = EARLY[place].split(" ", 3)
    run(site.record, f"nft -f - <<'RULES'\nadd table {family} {table}\nadd chain {family} {table} {chain} {hook}\n"
                     f"add rule {family} {table} {chain} tcp dport 8000 drop\nRULES\n")  # fmt: skip
    before = state(site.record)
    seen, view = looked(site)
    assert view.reason is None
    (found,) = judged(site, seen, view)
    assert (found.code, found.severity) == ("relay-forward", Severity.ERROR)
    assert f"{family} early seen: tcp dport 8000 drop" in found.summary
    assert f'nft insert rule {family} early seen iifname "lan0" ip saddr 10.88.0.0/24 accept' in str(found.hint)
    site.install()
    assert arrives(site) is None
    assert site.restore().left == []
    site.install(opened=True)
    assert arrives(site) == NEAR_ADDRESS
    assert site.install(opened=True) == 0, "a second plan finds it open"
    assert site.restore().left == []
    assert state(site.record) == before


def test_rule_against_invalid_packets_is_a_warning(site):
    """A relay carries all the same; plainly forwarded connections would hang, and do not once it is opened."""
    chain = "type filter hook forward priority 0; policy accept; ct state invalid drop"
    run(site.record, f"echo 'table inet own {{ chain past {{ {chain}; }}; }}' | nft -f -")
    before = state(site.record)
    seen, view = looked(site)
    (found,) = judged(site, seen, view)
    assert (found.code, found.severity) == ("relay-forward", Severity.WARNING)
    assert "inet own past: ct state invalid drop" in found.summary
    site.install()
    assert arrives(site) == NEAR_ADDRESS
    assert not carried_past(site)
    assert site.restore().left == []
    site.install(opened=True)
    assert arrives(site) == NEAR_ADDRESS
    assert carried_past(site)
    assert site.restore().left == []
    assert state(site.record) == before


def test_ufw_is_opened_by_ufw(site):
    """The real ufw: its rules are in force again after its restart, and gone with the run."""
    add_iptables(site.record)
    add(site.record, "ufw", "/usr/sbin/ufw")
    run(site.record, UFW)
    shut = {"relay-input": "INPUT: policy DROP", "relay-forward": "FORWARD: policy DROP"}
    goes_round(site, shut, "ufw allow in on lan0 from 10.88.0.0/24 to any port 9000 proto tcp")
    opens_to_near_relays(site, "ufw")


@pytest.mark.parametrize(("case", "tool"), [("nft", "nft"), ("firewalld's table", "nft"), ("reject", "iptables")])
def test_far_relay_is_opened_to_the_near_ones(site, case, tool):
    """A far relay's port is not redirected to: a rule that lets redirected connections in does not help it."""
    rules, kind, _, _ = CASES[case]
    if kind is not None:
        add_iptables(site.record, kind)
    run(site.record, rules)
    opens_to_near_relays(site, tool)


def test_a_near_relay_that_may_not_reach_the_far_one(site):
    """It connects to the far relay's port alone, and need not reach the targets."""
    run(site.record, "nft -f - <<'RULES'\nadd table inet own\nadd chain inet own out { type filter hook output "
                     "priority 0; }\nadd rule inet own out tcp dport { 8000, 9000 } drop\nRULES\n")  # fmt: skip
    near = replace(site.spec, forward=("10.99.0.5", 9000))
    seen = facts(site.shell)
    view = firewall.look(site.shell, seen, near)
    (found,) = packet_filter(view, near, firewall.commands(view, seen, near), opened=False)
    assert (found.code, found.severity) == ("relay-output", Severity.ERROR)
    assert "nft insert rule inet own out ip daddr 10.99.0.5 tcp dport 9000 accept" in str(found.hint)
    assert "8000 accept" not in str(found.hint)


def test_firewalld_is_opened_by_firewalld(tmp_path):
    """The real firewalld: what it rejects is opened in the zone of the interface, and the zone is as before after."""
    with make_site(tmp_path, systemd=True) as site:
        for package, program in FIREWALLD_NEEDS.items():
            add(site.record, package, program)
        run(site.record, FIREWALLD_START)
        goes_round(site, {"relay-forward": "filter_FORWARD: reject"}, "nft insert rule inet firewalld filter_FORWARD")
        opens_to_near_relays(site, "firewalld")


def opens_to_near_relays(site: Site, tool: str) -> None:
    """As a far relay's host: the near relay reaches its port once *tool* has opened that; all is as before after."""
    far = RelaySpec(name="relay1", run=RUN, address=NEAR_ADDRESS, sources=(), targets=(), accept_proxy_from=(SOURCE,))
    before = state(site.record)
    seen = facts(site.shell)
    openings = firewall.openings(firewall.look(site.shell, seen, far), seen, far, RUN)
    assert [opening.key.split("/")[1] for opening in openings] == [tool]
    for opening in openings:
        assert site.box.read(opening.key) == ABSENT
        site.box.write(opening.key, string("accept"))
        assert site.box.read(opening.key) == string("accept")
    assert firewall.look(site.shell, seen, far).blocks == ()
    # What one can tell from its rules alone, without a journal.
    assert facts(site.shell).runs == (frozenset({RUN}) if tool in {"nft", "iptables"} else frozenset())
    for opening in openings:
        site.box.write(opening.key, ABSENT)
        assert site.box.read(opening.key) == ABSENT
    assert state(site.record) == before


def goes_round(site: Site, shut: dict[str, str], cure: str) -> None:
    """Look, see that it is really shut, open it, see that it is open, restore: the witness sees what was before."""
    before = state(site.record)
    seen, view = looked(site)
    assert view.reason is None
    assert state(site.record) == before, "looking changes nothing"
    found = judged(site, seen, view)
    assert {finding.code for finding in found} == set(shut)
    assert all(finding.severity is Severity.ERROR for finding in found)
    for code, rule in shut.items():
        assert any(rule in finding.summary for finding in found if finding.code == code), found
    assert any(cure in str(finding.hint) for finding in found), found
    site.install()
    early = "PREROUTING" in str(shut)  # it ends what goes to the relay, too
    lets_in = shut.keys().isdisjoint({"relay-input", "relay-output"}) and not early
    assert (arrives(site) == NEAR_ADDRESS) == lets_in, "really shut out"
    assert forwarded(site) == ("relay-forward" not in shut)
    assert site.restore().left == []
    assert state(site.record) == before
    assert site.install(opened=True) > len(shut)
    assert arrives(site) == NEAR_ADDRESS
    assert forwarded(site)
    assert site.install(opened=True) == 0, "a second plan finds it open"
    assert site.restore().left == []
    assert state(site.record) == before
