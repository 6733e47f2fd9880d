"""What the lab itself sees: the state of every host and box, and what is left on the machine."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from lrvmotion.lab.box import record as records
from lrvmotion.lab.box.management import device_name
from lrvmotion.lab.box.state import state as box_state
from lrvmotion.lab.client import ask
from lrvmotion.lab.spec import LabSpec, SiteName
from lrvmotion.lab.world import ROOT_HOME

SITES: tuple[SiteName, SiteName] = ("source", "target")
# What lies in the machine's own tables for every lab: a namespace's mount, a box's device with its address and route.
_NAMESPACE = re.compile(r"/run/netns/(?P<name>\S+)")
_DEVICE = re.compile(r"\b(?P<name>lrvbox\w+)")
# The first `ip netns add` on a machine mounts this folder, for every namespace to come, and nobody takes it away.
NETNS = "/run/netns"
_BOXES = 8  # more than any lab has


def state(spec: LabSpec, directory: Path) -> dict[str, Any]:
    """Return every host's options, port groups, vmknics, routes, and every box's sysctls, files, units and rules.

    Where a VM is does not belong to it: a move is what the program is for.
    """
    found: dict[str, Any] = {}
    for name in SITES:
        site = spec.site(name)
        told = ask(directory / name / "control.sock", "state")["hosts"]
        hosts = {host.get("process", called): host for called, host in told.items()}
        for host in site.hosts:
            kernel = ask(directory / name / f"{host.name}.sock", "state") if spec.net else {}
            found[f"{name}/{host.name}"] = {"vcenter": hosts[host.name], "kernel": kernel}
        for box in site.boxes:
            found[f"box/{box.name}"] = box_state(records.read(records.record_path(directory, box.name)))
    return found


def digest(found: dict[str, Any]) -> str:
    """Return the SHA-256 of a state."""
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


def differences(before: Any, after: Any, where: str = "") -> list[str]:  # noqa: ANN401 - any JSON
    """Return one line for every value that differs between two states."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = sorted(before.keys() | after.keys())
        return [
            line
            for key in keys
            for line in differences(before.get(key, "(absent)"), after.get(key, "(absent)"), f"{where}/{key}")
        ]
    return [] if before == after else [f"{where}: {before!r} -> {after!r}"]


def machine(lab_id: str, directory: Path) -> dict[str, list[str]]:
    """Return what a lab could leave on the machine: namespaces, devices, rules, mounts, files, units, processes.

    What another lab, or anybody's other namespace, has there meanwhile is not this lab's and is left out.
    """
    found = {
        "namespaces": [name for name in _lines("ip", "netns", "list") if name.startswith(f"lrv-{lab_id}")],
        "devices": [line.split(":")[1].strip() for line in _lines("ip", "-o", "link")],
        "addresses": [" ".join(line.split()[1:4]) for line in _lines("ip", "-o", "address")],
        "routes": _lines("ip", "route"),
        "nft": _lines("nft", "--stateless", "list", "ruleset"),
        "iptables": [line for name in ("iptables-save", "ip6tables-save") for line in _rules(name)],
        "mounts": [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()],
        "runtime": sorted(str(path) for path in Path("/run").glob("*lrvmotion*") if path != ROOT_HOME),
        "units": sorted(str(path) for path in Path("/etc/systemd/system").glob("*lrvmotion*")),
        "sysctl files": sorted(str(path) for path in Path("/etc/sysctl.d").glob("*lrvmotion*")),
        "sysctls": _sysctls(),
        "processes": _processes(directory),
        "files": [str(directory)] if directory.exists() else [],
    }
    own = {device_name(lab_id, index) for index in range(_BOXES)}
    return {area: [item for item in items if not _foreign(item, lab_id, own)] for area, items in found.items()}


def _foreign(item: str, lab_id: str, devices: set[str]) -> bool:
    """Return whether *item* names a namespace or a box's device of another lab, or what iproute2 makes once."""
    if item == NETNS:
        return True
    namespace, device = _NAMESPACE.search(item), _DEVICE.search(item)
    if namespace is not None and not namespace["name"].startswith(f"lrv-{lab_id}"):
        return True
    return device is not None and device["name"] not in devices


def left_behind(before: dict[str, list[str]], after: dict[str, list[str]]) -> list[str]:
    """Return what is there now and was not before, and what was and is not, one line each."""
    return [
        f"{area}: {sign}{item}"
        for area in sorted(before)
        for sign, items in (
            ("+", sorted(set(after[area]) - set(before[area]))),
            ("-", sorted(set(before[area]) - set(after[area]))),
        )
        for item in items
    ]


def _lines(*argv: str) -> list[str]:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return sorted(line.strip() for line in done.stdout.splitlines() if line.strip())


def _rules(program: str) -> list[str]:
    """Return the rules that *program* prints, without counters; none where it is not installed."""
    if shutil.which(program) is None:
        return []
    lines = (re.sub(r"\[\d+:\d+\]", "", line).strip() for line in _lines(program) if not line.startswith("#"))
    return [f"{program}: {line}" for line in lines]


def _sysctls() -> list[str]:
    wanted = ("net/ipv4/ip_forward", "net/ipv4/tcp_congestion_control", "net/ipv4/tcp_rmem", "net/ipv4/tcp_wmem",
              "net/ipv4/conf/all/send_redirects", "net/ipv4/conf/all/rp_filter", "net/core/rmem_max")  # fmt: skip
    return [f"{name}={path.read_text().strip()}" for name in wanted if (path := Path("/proc/sys") / name).exists()]


def _processes(directory: Path) -> list[str]:
    """Return the processes whose command line names the lab's folder."""
    found, wanted = [], str(directory).encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if any(word == wanted or wanted + b"/" in word for word in words):
            found.append(f"{folder.name} {b' '.join(words).decode(errors='replace')[:120]}")
    return found
