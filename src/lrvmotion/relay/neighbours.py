"""What `check` sees from a relay host: its neighbours' ARP entries, and TCP to the targets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from lrvmotion.model.relay.relay_host import BoxFacts, RelayView
from lrvmotion.ports.shell import Completed, Shell
from lrvmotion.relay import answers

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


def _said(done: Completed) -> str:
    return done.stderr.strip().rpartition("\n")[2] or f"exit status {done.status}"


def document(name: str, seen: BoxFacts, address: str, view: RelayView) -> dict[str, Any]:
    """Return a relay host and what it sees as a JSON object."""
    device = seen.interface_of(address)
    mtu, speed = next(((mtu, speed) for link, mtu, speed in seen.links if link == device), (None, None))
    return {
        "relay_host": name, "reachable": True, "kernel": seen.kernel, "python": ".".join(map(str, seen.python_version)),
        "bbr": seen.bbr, "splice": seen.splice, "filter": "nft" if seen.nft else "iptables" if seen.iptables else None,
        "systemd": seen.systemd, "cores": seen.cores, "governors": sorted({one for _, one in seen.governors}),
        "interface": device, "mtu": mtu, "speed_mbps": speed, "memory_free_mib": seen.memory_free_kib // 1024,
        "arp": dict(view.arp), "ports": dict(view.ports),
        "connect_ms": {where: round(took, 1) for where, took in view.connect_ms.items()},
    }  # fmt: skip
