"""What the witness sees of a box: everything that work on it may change, and nothing that changes by itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from lrvmotion.lab.box import sysctl
from lrvmotion.lab.box.baseline import Baseline, added_routes
from lrvmotion.lab.box.disk import files
from lrvmotion.lab.box.enter import run
from lrvmotion.lab.box.netns import command, ip_json
from lrvmotion.lab.box.record import BoxError, BoxRecord

# What belongs to every box: its init, its SSH server and sessions, what systemd starts on demand.
_OWN_PROGRAMS = re.compile(r"^(systemd.*|\(sd-.*|sshd.*|dbus-daemon|polkitd|agetty)$")


def state(record: BoxRecord) -> dict[str, Any]:
    """Return the box's state as a document of plain values; equal states give equal documents.

    sysctls (those that existed when the box was made), files (path -> mode, owner, hash, of what differs from that
    day), runtime (what is below /run), units (enabled, active), firewall, network, governors. BoxError if the box is
    not running.
    """
    init = record.init
    outer = record.outer
    if init is None or outer is None:
        message = f"the box {record.name} is not running"
        raise BoxError(message)
    known = Baseline.read(record.folder / "baseline.json").sysctls
    settings = sysctl.read(record.namespace)
    disk = Path(f"/proc/{outer.pid}/root{record.folder}/disk")
    root = Path(f"/proc/{init.pid}/root")
    cpus = root / "sys/devices/system/cpu"
    return {
        "sysctls": {name: settings[name] for name in sorted(known) if name in settings},
        "files": files.changed(disk),
        "runtime": files.runtime(root),
        "units": _units(record, root) if record.systemd else {},
        "firewall": _firewall(record.namespace),
        "network": _network(record.namespace),
        "governors": {
            path.parent.parent.name: path.read_text().strip()
            for path in sorted(cpus.glob("cpu[0-9]*/cpufreq/scaling_governor"))
        },
    }


def processes(record: BoxRecord) -> list[str]:
    """Return the command lines of what runs in the box besides its init, SSH server and systemd's services."""
    init = record.init
    if init is None:
        return []
    own = Path(f"/proc/{init.pid}/ns/pid").readlink()
    found: list[str] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if int(folder.name) == init.pid or (folder / "ns/pid").readlink() != own:
                continue
            name = (folder / "comm").read_text().strip()
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended meanwhile
        if words[0] and not _OWN_PROGRAMS.match(name):
            found.append(b" ".join(words).decode(errors="replace").strip())
    return sorted(found)


def _units(record: BoxRecord, root: Path) -> dict[str, list[str]]:
    """Return what systemd starts at boot and which services are active now."""
    # What `systemctl enable` makes; `systemctl list-unit-files` says the same, but takes 0.6 s.
    enabled = {
        f"{link.parent.name}/{link.name}"
        for place in ("etc/systemd/system", "run/systemd/system")
        for kind in ("wants", "requires", "upholds")
        for link in (root / place).glob(f"*.{kind}/*")
    }
    shown = run(
        record,
        ["systemctl", "show", "--type=service", "--state=active", "--property=Id,BusName", "*"],
    )
    active: list[str] = []
    for block in shown.stdout.split("\n\n"):
        fields = dict(line.partition("=")[::2] for line in block.splitlines())
        # A service with a bus name comes when called and goes when idle.
        if "Id" in fields and "@" not in fields["Id"] and not fields.get("BusName"):
            active.append(fields["Id"])
    return {"enabled": sorted(enabled), "active": sorted(active)}


def _firewall(namespace: str) -> dict[str, list[str]]:
    """Return every packet filter rule, without counters."""
    rules = {"nft": command(namespace, "nft", "--stateless", "list", "ruleset").stdout.splitlines()}
    for name in ("iptables-save", "ip6tables-save", "iptables-legacy-save", "ip6tables-legacy-save"):
        family = "ip6" if name.startswith("ip6") else "ip"
        if "legacy" in name and not Path(f"/proc/net/{family}_tables_names").exists():
            continue
        lines = _output(namespace, name).splitlines()
        rules[name] = [re.sub(r"\[\d+:\d+\]", "", line) for line in lines if not line.startswith("#")]
    return rules


def _output(namespace: str, program: str) -> str:
    done = command(namespace, program)
    return done.stdout if done.returncode == 0 else ""


def _network(namespace: str) -> dict[str, Any]:
    devices = {
        device["ifname"]: {
            "mtu": device["mtu"],
            "qdisc": device["qdisc"],
            "up": "UP" in device["flags"],
            "addresses": sorted(
                f"{address['local']}/{address['prefixlen']}"
                for address in device["addr_info"]
                # Link-local ones come and go with the link.
                if address["family"] == "inet" or address["scope"] != "link"
            ),
        }
        for device in ip_json(namespace, "address", "show")
    }
    routes = [{key: value for key, value in route.items() if key != "flags"} for route in added_routes(namespace)]
    return {
        "devices": devices,
        "routes": sorted(routes, key=repr),
        "rules": ip_json(namespace, "-4", "rule", "show"),
    }
