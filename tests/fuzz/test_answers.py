"""What vCenters, hosts and relay hosts answer: each is read, or is one error that names who said it."""

from __future__ import annotations

import json
from contextlib import suppress

from rich.console import Console

from fuzzing import bytes_of, dumped, json_of, subject, text_of
from lrvmotion.checks import relay_hosts
from lrvmotion.errors import LrvmotionError
from lrvmotion.model.setting import SettingKey, Value
from lrvmotion.model.target_id import TargetId
from lrvmotion.ports.shell import Completed
from lrvmotion.relay import facts, link, load_test_runner, neighbours
from lrvmotion.relay.box import RelayBox
from lrvmotion.relay.redirect import parse, render
from lrvmotion.relay.redirect.render import Redirect
from lrvmotion.relay.status import counters, health, parse_status
from lrvmotion.views import relays
from lrvmotion.vsphere.host import esxcli

NAME = TargetId.relay("relay-a")


class Box:
    """A Shell whose box answers everything with the same."""

    name = NAME

    def __init__(self, stdout: str, content: bytes | None = b"", status: int = 0) -> None:
        self.stdout, self.content, self.status = stdout, content, status

    def run(self, argv, *, stdin=None, timeout_s=30.0) -> Completed:
        return Completed(argv=tuple(argv), status=self.status, stdout=self.stdout, stderr="")

    def read(self, path: str) -> bytes | None:
        return self.content

    def put(self, path: str, content: bytes, *, mode: int) -> None:
        raise AssertionError(path)

    def remove(self, path: str) -> None:
        raise AssertionError(path)

    def close(self) -> None:
        return


STREAM = {
    "source": "10.88.0.9:52014", "target": "10.99.0.9:8000", "bytes_to_target": 7, "rate_bps": 8, "rtt_us": 55000,
    "min_rtt_us": None, "retransmit_ratio": 0.01, "shares": {"congestion": 0.9}, "verdict": "congestion", "cwnd": 9,
}  # fmt: skip
STATUS = {
    "schema": 1, "live": 1, "peak": 5, "accepted": 9, "rate_bps": 10, "sentence": "fine", "bytes_to_target": 7,
    "limit_bps": None, "congestion_control": "bbr", "uptime_s": 1.5, "refused": {"source": 2}, "streams": [STREAM],
    "redirect": {"state": "installed", "hits": 1, "reason": None}, "finished": [],
}  # fmt: skip
WITHDRAWN = {**STATUS, "redirect": {"state": "withdrawn", "reason": "a firewall"}}


def asked(printed: str) -> None:
    """Ask a relay that answers *printed* all that commands ask it, and show it."""
    from lrvmotion.relay.status import ask

    box = Box(printed)
    to = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    with to.file:
        relays.relays(to, {"relay/relay-a": ask(box, "abc123")})
        assert "\x1b[2J" not in to.export_text()
    health(box, "abc123")


@subject(text_of(json.dumps(STATUS), json.dumps(WITHDRAWN)))
def test_relay_status(printed):
    """The relay's status, cut off or harmed."""
    asked(printed)


@subject(json_of(STATUS, WITHDRAWN))
def test_relay_status_of_another_shape(content):
    """The same as whole JSON."""
    if isinstance(content, dict):
        parse_status(content)
    asked(dumped(content))


TABLE = {"table": {"family": "ip", "name": "lrvmotion_abc123"}}
COUNTERS = [
    {"counter": {"family": "ip", "table": "lrvmotion_abc123", "name": name, "packets": 3}}
    for name in ("hits", "echo", "fenced")
]
DPORT = {"payload": {"protocol": "tcp", "field": "dport"}}
PAIR = [
    {"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "eth0"}},
    {"match": {"op": "==", "left": DPORT, "right": 8000}},
    {"redirect": {"port": 9000}},
]
LISTED = {
    "nftables": [
        {"metainfo": {"version": "1.0.6"}}, TABLE, *COUNTERS,
        {"set": {"name": "sources", "elem": ["10.88.0.9", {"prefix": {"addr": "10.88.1.0", "len": 24}}]}},
        {"set": {"name": "targets", "elem": [{"range": ["10.99.0.1", "10.99.0.9"]}]}},
        {"chain": {"name": "catch"}},
        {"rule": {"chain": "fence", "expr": [{"match": {"left": DPORT, "right": 9000}}]}},
        {"rule": {"chain": "catch", "expr": PAIR}},
    ]
}  # fmt: skip
NAMED = Redirect(
    table="lrvmotion_abc123", sources=("10.88.0.9",), targets=("10.99.0.0/24",), port=8000, listen_port=9000
)
HEADER = parse.header(NAMED)
CHAIN = NAMED.iptables_guard["name"]
IPTABLES = (
    f"iptables\n*nat\n:{CHAIN} - [0:0]\n[3:180] -A {CHAIN} -s 10.88.0.8/31 -d 10.99.0.9/32 -i eth0.88 -p tcp -m tcp "
    "--dport 8000 --tcp-flags FIN,SYN,RST,ACK SYN -j REDIRECT --to-ports 9000\nCOMMIT\n*mangle\n"
    f":{CHAIN} - [0:0]\n[4:1] -A {CHAIN} -s 10.88.0.8/31 -d 10.99.0.9/32 -p icmp -m icmp --icmp-type 8 -j RETURN\n"
    "COMMIT\n"
    f"*filter\n:{CHAIN} - [0:0]\n[0:0] -A {CHAIN} -p tcp -m tcp --dport 9000 -j DROP\nCOMMIT\n\nip6tables\n\n"
)


def listed(printed: str) -> None:
    """Read counters and redirect of a box whose packet filter lists *printed*."""
    for read in (
        lambda: counters(Box(printed), "abc123"),
        lambda: RelayBox(NAME, Box(f"{printed}\n\n\001{HEADER}")).read(SettingKey("redirect/lrvmotion_abc123")),
        lambda: render.tables(printed),
        lambda: render.parse_counters(printed),
        lambda: parse.nft_observed(printed, HEADER),
        lambda: parse.iptables_observed("ip", CHAIN, printed, HEADER),
    ):
        with suppress(LrvmotionError):
            read()


@subject(text_of(json.dumps(LISTED), IPTABLES))
def test_packet_filter_lists(printed):
    """What nft and iptables list, cut off or harmed."""
    listed(printed)


@subject(json_of(LISTED))
def test_nft_lists_of_another_shape(content):
    """The same as whole JSON."""
    listed(dumped(content))


FACTS = r"""kernel=6.1.0-13-amd64
available=reno cubic bbr
allowed=reno cubic
bbr_module=yes
tool=nft /usr/sbin/nft nftables v1.0.6 (Lester Gooch #5)
systemd=systemd 252 (252.17-1~deb12u1)
python=/usr/bin/python3 3.11.2 splice
cores=4
governor=/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor powersave
governors=performance powersave
address=2: eth0    inet 10.88.0.1/24 brd 10.88.0.255 scope global eth0\       valid_lft forever preferred_lft forever
link=eth0 1500 10000
listen=00000000:0016
sysctl=/proc/sys/net/ipv4/ip_forward rw 0
table=table ip lrvmotion_abc123
chain=:LRVM_abc123 - [0:0]
mark=/etc/systemd/system/lrvmotion-relay-abc123.service
memory_total=4028440
memory_free=3028440
end=yes
"""


@subject(text_of(FACTS))
def test_facts_of_a_relay_host(printed):
    """What the script that asks everything printed."""
    facts.parse(printed)
    facts.facts(Box(printed))


KEYS = (
    "sysctl/net.ipv4.ip_forward", "file//etc/x", "unit/lrvmotion-relay-abc123.service", "process/abc123",
    "redirect/lrvmotion_abc123", "governor", "firewall/nft/inet filter input tcp dport 9000 accept",
    "firewall/ufw/allow 9000/tcp", "firewall/firewalld/public port 9000/tcp",
)  # fmt: skip
UNIT = (
    "LoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=enabled\nMainPID=7\n"
    "ExecStart={ path=/x ; argv[]=/x --config /a.json }\n"
)
RUNNING = "Running=/usr/bin/python3 /x/relayd.py --supervise --config /x/a.json --hold-redirect /x/table \n"
GOVERNORS = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor powersave\n"


@subject(text_of(UNIT, RUNNING, UNIT + RUNNING, GOVERNORS, "644\n"), bytes_of("0\n", "4096 131072 6291456\n"))
def test_settings_of_a_relay_host(printed, content):
    """Every setting that is read before it is changed, and after."""
    for key in KEYS:
        with suppress(LrvmotionError):
            assert isinstance(RelayBox(NAME, Box(printed, content)).read(SettingKey(key)), Value)


SEEN = {
    "from": {"10.88.0.9": "10.88.0.1"},
    "arp": {"10.88.0.9": ["00:50:56:00:00:01", "eth0"]},
    "ports": {"10.99.0.9": ["open", 0.05]},
}


@subject(json_of(SEEN), text_of(json.dumps(SEEN)))
def test_what_a_relay_host_sees(content, printed):
    """Neighbours and ports."""
    for answer in (dumped(content), printed):
        view = neighbours.look(Box(answer), "python3", ["10.88.0.9"], ["10.99.0.9"])
        list(relay_hosts.neighbours("relay-a", view, {"10.88.0.9": "00:50:56:00:00:01"}))


SENT = {"mss": 1448, "retransmit_ratio": 0.01, "rtt_ms": 55.0, "min_rtt_ms": 54.0, "window_limited": 0.0}
RECEIVED = {"seconds": 6.0, "bytes": [1000, 1000]}


@subject(json_of({**SENT, **RECEIVED}), text_of(json.dumps({**SENT, **RECEIVED})))
def test_what_a_load_probe_counted(content, printed):
    """Both ends answer with it."""
    for answer in (dumped(content), printed):
        ends = [
            load_test_runner.End(name=name, address="10.0.0.1", python="python3", shell=Box(answer))
            for name in ("a", "b")
        ]
        load_test_runner.load(
            ends[0], ends[1], lambda *_: None, clock=lambda: "2026-01-01T00:00:00Z", runs=(("bbr", 2),)
        )


@subject(text_of("lrvmotion-link lan0 up 1 12 34\n", "lrvmotion-silent 10.0.0.1\n"))
def test_the_interface_of_a_relay(printed):
    """Asked while a run goes on."""
    link.link(Box(printed), "10.88.0.1")
    link.silent(Box(printed), ["10.88.0.9"])


PING = (
    "<obj><Summary><DataObject><Duplicated>0</Duplicated><HostAddr>10.99.0.9</HostAddr><PacketLost>33</PacketLost>"
    "<Recieved>2</Recieved><RoundtripAvgMS>55210</RoundtripAvgMS><RoundtripMinMS>55020</RoundtripMinMS>"
    "<Transmitted>3</Transmitted></DataObject></Summary><Trace><DataObject><ICMPSeq>0</ICMPSeq>"
    "<RoundtripTimeMS>55020</RoundtripTimeMS></DataObject></Trace></obj>"
)
ROUTES = (
    '<obj xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="ArrayOfDataObject"><DataObject>'
    "<Gateway>10.88.0.1</Gateway><Interface>vmk1</Interface><Netmask>255.255.255.255</Netmask>"
    "<Network>10.99.0.9</Network></DataObject></obj>"
)


@subject(text_of(PING))
def test_ping(printed):
    """esxcli network diag ping."""
    esxcli.parse_ping(printed)


@subject(text_of(ROUTES))
def test_routes(printed):
    """esxcli network ip route ipv4 list."""
    for route in esxcli.parse_routes(printed):
        assert isinstance(route.gateway, str)
