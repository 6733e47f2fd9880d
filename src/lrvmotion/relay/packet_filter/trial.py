#!/usr/bin/env python3
"""Try on a relay host whether its packet filter lets vMotion through: its rules, in a network namespace of their own.

    python3 - JSON     what is tried, as relay/packet_filter/rules.py asks it

Standard library only; Python 3.9 or newer, Linux. Reading rules leaves the judgement to the reader; here the kernel
judges. The rules are copied into a network namespace that is connected to nothing and ends with this process. There the
packets that hosts will send come in by an interface of the right name: pings and connections to be forwarded,
connections to be redirected to the relay's port, or those of a near relay to a far one; and a relay's own connections
go out. What is not let through is traced
to its rule, a rule that admits it is put before that one, and it is tried again until it passes: so everything
that stands in the way is found at once. Nothing of the host itself is changed.

Prints one JSON object: {"blocks": [{"what", "source", "program", "family", "table", "chain", "hook", "rule"}],
"firewalld":
{"zone", "bound": the interface is in it by name, "forwards", "owned": nobody else may change its table} or null, "ufw":
bool, "docker": bool, "out": interfaces to the targets, "reason": why it is not known, or null}.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Collection, Dict, List, Optional, Set, Tuple

CLONE_NEWNET = 0x40000000
ETH_P_IP = 0x0800
PACKET_OUTGOING = 4  # linux/if_packet.h: what we sent ourselves
SYN, ACK = 0x02, 0x10
HOST_MAC, ROUTER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
ANSWER_S = 1.0  # a packet passes at once; that one does not is believed once its rule is seen
TRACE_S = 10.0
STARTS = {"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}  # what the kernel calls of iptables
MOST = 8  # rules in the way of one packet
IPV4 = Path("/proc/sys/net/ipv4")

Asked = Dict[str, Any]


class TrialError(Exception):
    """The rules cannot be tried here."""


def call(*argv: str, text: Optional[str] = None, must: bool = True) -> str:
    """Return what *argv* prints; TrialError where it fails, or nothing where it need not succeed."""
    environment = dict(os.environ, LC_ALL="C")
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False, env=environment)
    if done.returncode == 0:
        return done.stdout
    if must:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        message = f"{' '.join(argv[:3])}: {said[0]}"
        raise TrialError(message)
    return ""


class Host:
    """What is copied: rules, interfaces, and which way packets take; read while we are still in the host's network."""

    def __init__(self, asked: Asked) -> None:
        self.nft = shutil.which("nft") is not None
        self.lan = asked["interface"]
        self.saved: Dict[str, str] = {}  # program -> what its -save prints
        managed: Set[str] = set()
        variants: Set[str] = set()
        for program in ("iptables", "iptables-legacy"):
            if shutil.which(program) is None:
                continue
            variant = "nf_tables" if "nf_tables" in call(program, "--version", must=False) else "legacy"
            if variant not in variants:
                variants.add(variant)
                saved = call(program + "-save", must=False)
                managed |= set(re.findall(r"^\*(\S+)", saved, re.MULTILINE)) if variant == "nf_tables" else set()
                # Not the redirect's own chains, nor what leads into them.
                self.saved[program] = "".join(line for line in saved.splitlines(True) if "LRVM_" not in line)
        self.ruleset = "".join(self._tables(managed)) if self.nft else ""
        self.links = [folder.name for folder in Path("/sys/class/net").iterdir() if folder.name != "lo"]
        self.out: Dict[str, str] = {}
        for target in asked["targets"]:
            self.out[target] = _device(target) or asked["interface"]
        self.dials = {address: _device(address) or asked["interface"] for address, _ in asked["dials"]}
        self.reverse: Dict[str, str] = {}
        for name in ("all", asked["interface"]):
            with contextlib.suppress(OSError):
                self.reverse[name] = (IPV4 / "conf" / name / "rp_filter").read_text()
        self.docker = any(":DOCKER-USER " in saved for saved in self.saved.values())
        self.ufw = shutil.which("ufw") is not None and "Status: active" in call("ufw", "status", must=False)
        self.firewalld: Optional[Dict[str, Any]] = None
        if shutil.which("firewall-cmd") and call("firewall-cmd", "--state", must=False).strip() == "running":
            own = call("firewall-cmd", f"--get-zone-of-interface={asked['interface']}", must=False).strip()
            zone = own or call("firewall-cmd", "--get-default-zone").strip()
            forwards = call("firewall-cmd", f"--zone={zone}", "--query-forward", must=False).strip() == "yes"
            owned = "owner" in call("nft", "list", "table", "inet", "firewalld", must=False).partition("chain")[0]
            self.firewalld = {"zone": zone, "bound": bool(own), "forwards": forwards, "owned": owned}

    @staticmethod
    def _tables(managed: Set[str]) -> List[str]:
        found = []
        for line in call("nft", "list", "tables").splitlines():
            _, family, name = line.split()
            ours = name.startswith("lrvmotion_") or (family == "ip" and name in managed)
            if family in {"ip", "inet", "netdev"} and not ours:
                listed = call("nft", "-s", "list", "table", family, name)
                # A table that belongs to a process would end with the nft that loads it.
                found.append(re.sub(r"^\s*flags [^\n]*owner[^\n]*$", "", listed, flags=re.MULTILINE))
        return found


def build(asked: Asked, host: Host) -> Dict[str, str]:
    """Go into a network namespace with interfaces of the host's names; return the far ends of those that are used."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        message = f"no network namespace of its own: {os.strerror(ctypes.get_errno())}"
        raise TrialError(message)
    lan = asked["interface"]
    used = sorted({lan, *host.out.values(), *host.dials.values()})
    ends = {name: f"lrvmotion{number}" for number, name in enumerate(used)}
    call("ip", "link", "set", "lo", "up")
    for number, name in enumerate(used):
        mac = f"02:00:00:00:01:{number:02x}"
        call("ip", "link", "add", name, "address", mac, "type", "veth", "peer", "name", ends[name])
        for one in (name, ends[name]):
            call("ip", "link", "set", one, "up")
    for name in set(host.links) - set(used):  # only so that rules may name them
        call("ip", "link", "add", name, "type", "dummy", must=False)
    for name, address in asked["addresses"]:
        if name in used:
            call("ip", "address", "add", address, "dev", name)
    for address in asked["sources"]:
        _reach(address, lan, HOST_MAC)
    for address, device in {**host.out, **host.dials}.items():
        _reach(address, device, ROUTER_MAC)
    for name, value in host.reverse.items():
        (IPV4 / "conf" / name / "rp_filter").write_text(value)
    (IPV4 / "ip_forward").write_text("1")
    return ends


def _device(address: str) -> Optional[str]:
    """Return by which interface packets to *address* leave, None where none leads there."""
    found = re.search(r" dev (\S+)", call("ip", "-o", "route", "get", address, must=False))
    return found.group(1) if found else None


def _reach(address: str, device: str, mac: str) -> None:
    call("ip", "route", "replace", f"{address}/32", "dev", device)
    call("ip", "neighbour", "replace", address, "lladdr", mac, "dev", device, "nud", "permanent")


def load(host: Host) -> None:
    """Load the host's rules here, their counters at nothing."""
    for program, saved in host.saved.items():
        if saved.strip():
            call(program + "-restore", text=saved)
    if host.ruleset:
        call("nft", "-f", "-", text=host.ruleset)


def redirect(asked: Asked, host: Host) -> None:
    """Bring new connections to the relay's port, as our own redirect does."""
    port, listen = asked["port"], asked["listen_port"]
    if host.nft:
        text = (
            "table ip lrvmotion_trial { chain catch { type nat hook prerouting priority -100; policy accept; "
            f"ip daddr {{ {', '.join(asked['targets'])} }} tcp dport {port} redirect to :{listen}; }}; }}\n"
        )
        call("nft", "-f", "-", text=text)
        return
    for target in asked["targets"]:
        match = ("-p", "tcp", "-d", target, "--dport", str(port))
        to = ("-j", "REDIRECT", "--to-ports", str(listen))
        call(next(iter(host.saved)), "-t", "nat", "-I", "PREROUTING", *match, *to)


# --- packets ----------------------------------------------------------------------------------------------------


def checksum(data: bytes) -> int:
    """Return the Internet checksum of *data*, which has an even length."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def packet(source: str, target: str, protocol: int, payload: bytes) -> bytes:
    """Return an IPv4 packet."""
    ends = socket.inet_aton(source) + socket.inet_aton(target)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0) + ends
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def echo(source: str, target: str, number: int) -> bytes:
    """Return a ping request."""
    body = struct.pack("!BBHHH", 8, 0, 0, number, 1) + b"lrvmotion!"
    return packet(source, target, 1, body[:2] + struct.pack("!H", checksum(body)) + body[4:])


def syn(source: str, target: str, port: int, number: int) -> bytes:
    """Return the first packet of a connection, from port 40000 + *number*."""
    return segment(source, target, port, number, (number, 0, SYN))


def segment(source: str, target: str, port: int, number: int, what: Tuple[int, int, int]) -> bytes:
    """Return a packet of that connection; *what*: sequence number, acknowledged number, flags."""
    seq, ack, flags = what
    head = struct.pack("!HHIIBBHHH", 40000 + number, port, seq, ack, 0x50, flags, 64240, 0, 0)
    pseudo = socket.inet_aton(source) + socket.inet_aton(target) + struct.pack("!BBH", 0, 6, len(head))
    return packet(source, target, 6, head[:16] + struct.pack("!H", checksum(pseudo + head)) + head[18:])


class Trial:
    """A packet that a host will send: where it comes in, and how one sees that it got through."""

    def __init__(
        self, what: str, source: str, data: bytes, ends: Tuple[str, ...], sign: Callable[[bytes], bool]
    ) -> None:
        self.what, self.source, self.data, self.ends, self.sign = what, source, data, ends, sign

    def passes(self, seconds: float = ANSWER_S) -> bool:
        """Send it until it, or the answer to it, is seen at the other side."""
        with contextlib.ExitStack() as stack:
            sockets = [socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_IP)) for _ in self.ends]
            for end, one in zip(self.ends, sockets):
                stack.enter_context(one)
                one.bind((end, ETH_P_IP))
            into, out = sockets
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                into.send(self.data)
                while select.select([out], [], [], 0.3)[0]:
                    data, address = out.recvfrom(2048)
                    if address[2] != PACKET_OUTGOING and self.sign(data[14:]):
                        return True
        return False


class Outgoing(Trial):
    """The first packet of a connection that a relay itself makes to *target*."""

    def __init__(self, target: str, port: int, end: str) -> None:
        super().__init__("output", target, b"", (end,), _went(target, 6))
        self.port = port

    def passes(self, seconds: float = ANSWER_S) -> bool:
        """Connect until the first packet is seen at the other side; nobody answers it."""
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_IP)) as out:
            out.bind((self.ends[0], ETH_P_IP))
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                with socket.socket() as relay:
                    relay.setblocking(False)
                    relay.connect_ex((self.source, self.port))
                    while select.select([out], [], [], 0.3)[0]:
                        data, address = out.recvfrom(2048)
                        if address[2] != PACKET_OUTGOING and self.sign(data[14:]):
                            return True
        return False


def trials(asked: Asked, ends: Dict[str, str], host: Host) -> Tuple[List[Trial], List[Trial]]:
    """Return those to be forwarded, then those that arrive at the relay, of every source, and that it sends itself."""
    lan, port = asked["interface"], asked["port"]
    own = call("ip", "-o", "link", "show", lan).partition("link/ether ")[2].split()[0]
    head = bytes.fromhex((own + HOST_MAC).replace(":", "")) + struct.pack("!H", ETH_P_IP)
    near = (ends[lan], ends[lan])
    forwarded, arriving = [], []
    for number, source in enumerate(asked["sources"]):
        if not asked["redirected"]:
            data = syn(source, asked["address"], asked["listen_port"], number)
            arriving.append(Trial("input", source, head + data, near, _answered(source, number)))
            continue
        target = asked["targets"][number % len(asked["targets"])]
        through = (ends[lan], ends[host.out[target]])
        for data, protocol in ((echo(source, target, number), 1), (syn(source, target, port, number), 6)):
            forwarded.append(Trial("forward", source, head + data, through, _went(target, protocol)))
        if host.out[target] == lan:
            # With one arm the answers do not come this way: connection tracking calls all but the first packet invalid.
            data = segment(source, target, port, number, (number + 1, 1, ACK))
            forwarded.append(Trial("later", source, head + data, through, _went(target, 6)))
        data = syn(source, target, port, 1000 + number)
        arriving.append(Trial("input", source, head + data, near, _answered(source, 1000 + number)))
    arriving += [Outgoing(address, port, ends[host.dials[address]]) for address, port in asked["dials"]]
    return forwarded, arriving


def _went(target: str, protocol: int) -> Callable[[bytes], bool]:
    return lambda data: data[16:20] == socket.inet_aton(target) and data[9] == protocol


def _answered(source: str, number: int) -> Callable[[bytes], bool]:
    """Tell a SYN-ACK."""
    ends = socket.inet_aton(source), struct.pack("!H", 40000 + number)
    return lambda data: data[9] == 6 and (data[16:20], data[22:24]) == ends and data[33] & (SYN | ACK) == SYN | ACK


# --- which rule -------------------------------------------------------------------------------------------------


def blamed(trial: Trial, host: Host) -> Optional[Dict[str, str]]:
    """Return what ends *trial*, an entry of "blocks", None where it passes now; TrialError where no rule is seen."""
    before = _counted(host)
    if trial.passes(0.6):
        return None
    for (program, table, chain, text), count in _counted(host).items():
        if count > before.get((program, table, chain, text), 0):
            usual = {"input": "INPUT", "output": "OUTPUT"}.get(trial.what, "FORWARD")
            start = called_first(call(program + "-save", "-t", table, must=False), chain, usual)
            rule = text if chain == start else f"-A {chain} {text}"
            ends = {"program": program, "family": "ip", "table": table, "chain": start, "hook": start.lower()}
            return dict(ends, rule=rule)
    found = _traced(trial, host.lan) if host.nft else None
    if found is None:
        sent = f"to {trial.source}" if trial.what == "output" else f"what {trial.source} sends"
        message = f"{sent} ({trial.what}) does not get through, and no rule is seen that ends it"
        raise TrialError(message)
    return dict(zip(("family", "table", "chain", "rule", "hook"), found), program="nft")


def called_first(saved: str, chain: str, usual: str) -> str:
    """Return the chain that the kernel calls, and that leads to *chain* in *saved*, one table as iptables-save has it.

    Where several do, *usual* is preferred. raw and mangle have chains before the way is chosen: PREROUTING.
    """
    jumps = re.findall(r"^-A (\S+) .*-[jg] (\S+)", saved, re.MULTILINE)
    found, seen = [chain], {chain}
    for at in found:
        callers = [caller for caller, called in jumps if called == at and caller not in seen]
        seen.update(callers)
        found += callers
    starts = [name for name in found if name in STARTS]
    return usual if usual in starts or not starts else starts[0]


def _counted(host: Host) -> Dict[Tuple[str, str, str, str], int]:
    """Return each dropping rule or policy of iptables with its packets: (program, table, chain, text) -> packets."""
    found = {}
    for program in host.saved:
        table = ""
        for line in call(program + "-save", "-c", must=False).splitlines():
            if line.startswith("*"):
                table = line[1:]
            policy = re.match(r":(\S+) DROP \[(\d+):", line)
            rule = re.match(r"\[(\d+):\d+\] -A (\S+) (.*)", line)
            if policy:
                found[program, table, policy.group(1), "policy DROP"] = int(policy.group(2))
            elif rule and re.search(r"-j (DROP|REJECT|NFQUEUE)\b", rule.group(3)):
                found[program, table, rule.group(2), rule.group(3)] = int(rule.group(1))
    return found


def _traced(trial: Trial, lan: str) -> Optional[Tuple[str, str, str, str, str]]:
    """Return (family, table, base chain, text, hook) of the nft rule that ends *trial*, None where none is seen."""
    family = "ip" if trial.what == "output" else "netdev"
    if trial.what == "output":
        seen, match = "hook output", f"ip daddr {trial.source}"
    else:
        seen, match = f'hook ingress device "{lan}"', f"ip saddr {trial.source}"
    text = (
        f"table {family} lrvmotion_trace {{ chain seen {{ type filter {seen} priority -10000; "
        f"policy accept; {match} meta nftrace set 1; }}; }}\n"
    )
    call("nft", "-f", "-", text=text)
    listed = json.loads(call("nft", "-j", "list", "chains"))["nftables"]
    chains = [entry["chain"] for entry in listed if "chain" in entry]
    base = {(chain["family"], chain["table"], chain["name"]): chain["hook"] for chain in chains if "hook" in chain}
    master, slave = os.openpty()  # to a pipe nft keeps back what it prints
    watching = subprocess.Popen(["nft", "monitor", "trace"], stdout=slave, stderr=subprocess.DEVNULL)
    os.close(slave)
    printed, found = b"", None
    try:
        deadline = time.monotonic() + TRACE_S
        while found is None and time.monotonic() < deadline and watching.poll() is None:
            trial.passes(0.2)
            while select.select([master], [], [], 0.2)[0]:
                printed += os.read(master, 65536)
            found = ended(printed.decode(errors="replace"), base)
    finally:
        watching.send_signal(signal.SIGINT)
        watching.wait()
        os.close(master)
        call("nft", "delete", "table", family, "lrvmotion_trace")
    return None if found is None else (*found, base.get(found[:3], ""))


def ended(printed: str, base: Collection[Tuple[str, str, str]]) -> Optional[Tuple[str, str, str, str]]:
    """Read what `nft monitor trace` printed: the first rule or policy that drops, the *base* chain that led there."""
    entered: Dict[Tuple[str, str, str], str] = {}
    for line in printed.splitlines():
        words = re.match(r"trace id (\S+) (\S+) (\S+) (\S+) (.*)", line.strip())
        if words is None:
            continue
        number, family, table, chain, rest = words.groups()
        if (family, table, chain) in base:
            entered[number, family, table] = chain
        dropped = re.match(r"rule (.*) \(verdict drop\)|(policy drop)", rest)
        if dropped:
            start = entered.get((number, family, table), chain)
            text = (dropped.group(1) or dropped.group(2)).strip()
            return family, table, start, text if chain == start else f"{text}, in chain {chain}"
    return None


def admit(block: Dict[str, str], asked: Asked, *, leaving: bool) -> None:
    """Let packets of the sources, or a relay's own, *leaving*, pass where *block* ends one, in the namespace."""
    program, table, chain = block["program"], block["table"], block["chain"]
    for address in [one for one, _ in asked["dials"]] if leaving else asked["sources"]:
        if program == "nft":
            match = ("ip", "daddr" if leaving else "saddr", address)
            call("nft", "insert", "rule", block["family"], table, chain, *match, "accept")
        else:
            call(program, "-t", table, "-I", chain, "1", "-d" if leaving else "-s", address, "-j", "ACCEPT")


def tried(asked: Asked, host: Host) -> List[Dict[str, str]]:
    """Return everything that stands in the way."""
    ends = build(asked, host)
    load(host)
    forwarded, arriving = trials(asked, ends, host)
    blocks = []
    with socket.create_server(("0.0.0.0", asked["listen_port"]), backlog=64):
        for group in (forwarded, arriving):
            if group is arriving and asked["redirected"]:
                redirect(asked, host)
            for trial in group:
                for _ in range(MOST):
                    if trial.passes():
                        break
                    block = blamed(trial, host)
                    if block is not None:
                        blocks.append(dict(block, what=trial.what, source=trial.source))
                        admit(block, asked, leaving=trial.what == "output")
    return blocks


def main() -> None:
    """Try, and print what was found."""
    asked = json.loads(sys.argv[1])
    answer: Dict[str, Any] = {
        "blocks": [], "firewalld": None, "ufw": False, "docker": False, "out": [], "reason": None,
    }  # fmt: skip
    try:
        host = Host(asked)
        answer.update(firewalld=host.firewalld, ufw=host.ufw, docker=host.docker, out=sorted(set(host.out.values())))
        answer["blocks"] = tried(asked, host)
    except (TrialError, OSError, ValueError, KeyError, IndexError) as error:
        answer["reason"] = str(error)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
