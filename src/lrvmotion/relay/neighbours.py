"""What `check` sees from a box: its neighbours' ARP entries, TCP to the targets, and what its facts are good for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lrvmotion.findings import Finding, Severity
from lrvmotion.ports.shell import Completed, Shell
from lrvmotion.relay import answers
from lrvmotion.relay.facts import BoxFacts

CORES = 2  # the relay has a thread for each direction of a stream, and the kernel's network work beside them
FAST_GOVERNORS = frozenset({"performance", "schedutil"})
SLOW_MBPS = 10_000

# From standard input, so that nothing is left on the box. A datagram to a neighbour makes the kernel ask who has the
# address, which needs neither ping nor root; the answer is in /proc/net/arp. Any other failure is said in words.
_LOOK = """
import json, socket, sys, time
from concurrent.futures import ThreadPoolExecutor

asked = json.loads(sys.argv[1])

def knock(address):
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))
            probe.send(b"")
            return probe.getsockname()[0]
    except OSError as error:
        return "!" + (error.strerror or str(error))

def neighbours():
    found = {}
    with open("/proc/net/arp") as table:
        next(table)
        for line in table:
            address, _, flags, mac, _, device = line.split()
            if int(flags, 16) & 2:
                found[address] = [mac.lower(), device]
    return found

def reach(address):
    begun = time.monotonic()
    try:
        with socket.create_connection((address, asked["port"]), timeout=5):
            return "open", time.monotonic() - begun
    except ConnectionRefusedError:
        return "refused", time.monotonic() - begun
    except (socket.timeout, TimeoutError):
        return "no answer within 5 s", None
    except OSError as error:
        return error.strerror or str(error), None

near = asked["near"]
from_ = {address: knock(address) for address in near}
with ThreadPoolExecutor(max_workers=16) as pool:
    ports = dict(zip(asked["far"], pool.map(reach, asked["far"])))
known = {}
for _ in range(20):
    known = neighbours()
    if all(address in known or from_[address].startswith("!") for address in near):
        break
    time.sleep(0.1)
print(json.dumps({"from": from_, "arp": {a: known[a] for a in near if a in known}, "ports": ports}))
"""


_SEEN = {"from": {"*": str}, "arp": {"*": [str]}, "ports": {"*": [(str, float, None)]}}


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayView:
    """What a box sees: *arp* maps each neighbour to its MAC, *ports* each address to "open", "refused" or what failed.

    *connect_ms* is how long a connection took that was open. *reason* says why nothing was looked at.
    """

    arp: Mapping[str, str | None]
    ports: Mapping[str, str]
    connect_ms: Mapping[str, float]
    reason: str | None = None


def look(shell: Shell, python: str, near: Sequence[str], far: Sequence[str], port: int = 8000) -> RelayView:
    """Ask the box behind *shell*: who has the addresses *near*, and does *port* of the addresses *far* answer?

    Only neighbours' IPv4 entries are read. *python* is the box's, "" where it has none.
    """
    nothing = RelayView(arp={}, ports={}, connect_ms={}, reason="the relay host has no Python to test with")
    if not python:
        return nothing
    asked = json.dumps({"near": [a for a in near if ":" not in a], "far": list(far), "port": port})
    done = shell.run([python, "-", asked], stdin=_LOOK.encode(), timeout_s=30 + 5 * (len(far) / 16 + 1))
    try:
        found = answers.read(done.stdout, _SEEN, "what the relay host sees")
        with answers.understood("what the relay host sees", done.stdout):
            reached = {address: (outcome, took) for address, (outcome, took) in found["ports"].items()}
    except answers.GarbledError as error:
        return RelayView(arp={}, ports={}, connect_ms={}, reason=error.message if done.ok else _said(done))
    return RelayView(
        arp={address: next(iter(found["arp"].get(address, ())), None) for address in found["from"]},
        ports={address: str(outcome) for address, (outcome, _) in reached.items()},
        connect_ms={a: took * 1000 for a, (_, took) in reached.items() if isinstance(took, int | float)},
    )


def view_findings(name: str, view: RelayView, macs: Mapping[str, str], port: int = 8000) -> Iterator[Finding]:
    """Judge what box *name* sees; *macs* are the neighbours' own by address, as their vCenter tells them."""
    subject = f"box/{name}"
    if view.reason is not None:
        summary = f"neighbours and port {port} of the targets not measured: {view.reason}"
        yield _finding(Severity.WARNING, "box-not-measured", subject, summary)
    silent = sorted(address for address, mac in view.arp.items() if mac is None)
    if silent:
        summary = f"no ARP answer from the vMotion vmknic {', '.join(silent)}"
        hint = "put the relay host into the VLAN of these vmknics: a relay is their gateway"
        yield _finding(Severity.ERROR, "box-arp", subject, summary, hint)
    for address, mac in sorted(view.arp.items()):
        own = macs.get(address, "").lower()
        if mac and own and mac != own:
            summary = f"{address} answers with the MAC {mac}, and the vmknic has {own}"
            hint = "find out who else has the address, or answers for it (proxy ARP)"
            yield _finding(Severity.ERROR, "box-arp-other", subject, summary, hint)
    for outcome in sorted(set(view.ports.values()) - {"open"}):
        where = ", ".join(sorted(address for address, said in view.ports.items() if said == outcome))
        if outcome == "refused":  # ESXi listens on 8000 at every vMotion vmknic (vsphere.md 6), so that nobody's is not
            summary = f"TCP {port} is refused at {where}"
            hint = (
                "enable the vMotion service there, and allow the relay host's address in the firewall ruleset vMotion"
            )
        else:
            summary = f"no way to TCP {port} of {where}: {outcome}"
            hint = f"let TCP {port} through from the relay host to the target's vMotion vmknics"
        yield _finding(Severity.ERROR, "box-target", subject, summary, hint)


def _said(done: Completed) -> str:
    return done.stderr.strip().rpartition("\n")[2] or f"exit status {done.status}"


def capacity(name: str, seen: BoxFacts, address: str, lan_mtu: int = 1500) -> Iterator[Finding]:
    """What bounds the rate of a relay on this box; *lan_mtu* is the largest of the vmknics beside it."""
    subject = f"box/{name}"
    if 0 < seen.cores < CORES:
        summary = "it has one CPU core for the relay's threads and the kernel's network work"
        yield _finding(Severity.WARNING, "box-cores", subject, summary, f"give it {CORES} or more")
    slow = sorted({governor for _, governor in seen.governors} - FAST_GOVERNORS)
    if slow:
        summary = f"its CPU governor is {', '.join(slow)}, which keeps the clock low between packets"
        hint = "while a relay runs on it, it is set to performance, and restored afterwards"
        able = "performance" in seen.available_governors
        yield _finding(Severity.INFO, "box-governor", subject, summary, hint if able else None)
    device = seen.interface_of(address)
    mtu, speed = next(((mtu, speed) for link, mtu, speed in seen.links if link == device), (None, None))
    if mtu is not None and 0 < mtu < lan_mtu:
        summary = f"{device} has MTU {mtu}, and the vmknics beside it {lan_mtu}: what it only forwards may be lost"
        yield _finding(Severity.WARNING, "box-mtu", subject, summary, f"give {device} MTU {lan_mtu}")
    if speed is not None and speed < SLOW_MBPS:
        summary = f"{device} runs at {speed} Mbit/s, and a relay receives and sends everything on it"
        yield _finding(Severity.INFO, "box-link", subject, summary)


def document(name: str, seen: BoxFacts, address: str, view: RelayView) -> dict[str, Any]:
    """Return a box and what it sees as a JSON object."""
    device = seen.interface_of(address)
    mtu, speed = next(((mtu, speed) for link, mtu, speed in seen.links if link == device), (None, None))
    return {
        "box": name, "reachable": True, "kernel": seen.kernel, "python": ".".join(map(str, seen.python_version)),
        "bbr": seen.bbr, "splice": seen.splice, "filter": "nft" if seen.nft else "iptables" if seen.iptables else None,
        "systemd": seen.systemd, "cores": seen.cores, "governors": sorted({one for _, one in seen.governors}),
        "interface": device, "mtu": mtu, "speed_mbps": speed, "memory_free_mib": seen.memory_free_kib // 1024,
        "arp": dict(view.arp), "ports": dict(view.ports),
        "connect_ms": {where: round(took, 1) for where, took in view.connect_ms.items()},
    }  # fmt: skip


def _finding(severity: Severity, code: str, subject: str, summary: str, hint: str | None = None) -> Finding:
    return Finding(severity=severity, code=code, subject=subject, summary=summary, hint=hint)
