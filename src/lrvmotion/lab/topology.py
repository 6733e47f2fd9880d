"""Build and remove a lab's network and the processes that make it move.

With a network: a router namespace for each site with the LAN as a bridge, a namespace for each host and box with one
uplink into it, the wire between the routers, a host process in each host's namespace. Without: the host processes
alone.
"""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from lrvmotion.lab import rpc
from lrvmotion.lab.box.process import Process, identify
from lrvmotion.lab.errors import LabError
from lrvmotion.lab.netns import box_namespace, entered, host_namespace, prefix, router_namespace
from lrvmotion.lab.spec import LabSpec, SiteName, SiteSpec

SITES: tuple[SiteName, SiteName] = ("source", "target")
RECORD = "network.json"
UPLINK, BOX_LINK, LAN, WAN = "uplink0", "lan0", "lan0", "wan0"
LAN_MTU, WAN_MTU = 9000, 1500
WAN_QUEUE = 2000  # frames that a TAP holds while the wire process is not looking
WAN_ADDRESSES = {"source": "169.254.55.1", "target": "169.254.55.2"}
READY_S = 20.0
_TCP = {
    "net/ipv4/tcp_rmem": "4096 131072 134217728",
    "net/ipv4/tcp_wmem": "4096 65536 134217728",
    "net/ipv4/tcp_no_metrics_save": "1",
}
_ROUTER = {
    "net/ipv4/ip_forward": "1",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/default/send_redirects": "0",
}


def check() -> None:
    """Raise LabError where this machine cannot carry a lab with a network."""
    if os.geteuid() != 0:
        message = "a lab with a network needs root: it makes network namespaces"
        raise LabError(message, "run it with sudo, or add --no-net for a lab without a network")
    missing = [tool for tool in ("ip", "nft", "ping") if shutil.which(tool) is None]
    if missing:
        message = f"missing on this machine: {', '.join(missing)}"
        raise LabError(message, "Debian and Ubuntu: apt-get install iproute2 nftables iputils-ping")
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError as error:
        message = f"/dev/net/tun cannot be opened: {error.strerror}"
        raise LabError(message, "load the tun module, or add --no-net for a lab without a network") from error


def namespaces(spec: LabSpec) -> list[str]:
    """Return every namespace of the lab."""
    found = []
    for site in SITES:
        there = spec.site(site)
        found.append(router_namespace(spec, site))
        found += [host_namespace(spec, site, host.name) for host in there.hosts]
        found += [box_namespace(spec, site, box.name) for box in there.boxes]
    return found


def build(spec: LabSpec, directory: Path) -> None:
    """Build what *spec* says, whose spec.json lies in *directory*; what stands already stays.

    Raises LabError; what was made by then is recorded in *directory* and goes with `remove`.
    """
    if spec.net:
        check()
        _claim(spec, directory)
        fresh = [name for name in namespaces(spec) if not Path("/run/netns", name).exists()]
        for site in SITES:
            _site(spec, spec.site(site), fresh)
        if _start(directory, "wire", [], directory / "wire.sock"):
            for site in SITES:
                _wan(spec, site)
    for site in SITES:
        (directory / site).mkdir(exist_ok=True)
        for host in spec.site(site).hosts:
            before = prefix(host_namespace(spec, site, host.name)) if spec.net else []
            _start(
                directory, "hostd", before, directory / site / f"{host.name}.sock",
                "--site", site, "--host", host.name,
            )  # fmt: skip


def remove(spec: LabSpec, directory: Path) -> None:
    """End the lab's processes and delete its namespaces, as far as they are there; never those of another lab."""
    record = _read(directory)
    for entry in record["processes"]:
        Process(**entry).end(signal.SIGTERM, 0.1)
    for entry in record["processes"]:
        process = Process(**entry)
        if not process.end(signal.SIGTERM, 3.0):
            process.end(signal.SIGKILL, 3.0)
    for name in record["namespaces"]:
        if Path("/run/netns", name).exists():
            for pid in _words("ip", "netns", "pids", name):
                process_or_none = identify(int(pid))
                if process_or_none is not None and pid in _words("ip", "netns", "pids", name):
                    process_or_none.end(signal.SIGKILL, 3.0)
            _ip(f"netns del {name}")
    for site in SITES:
        for host in spec.site(site).hosts:
            (directory / site / f"{host.name}.sock").unlink(missing_ok=True)
            (directory / site / f"{host.name}.listen.json").unlink(missing_ok=True)
    (directory / "wire.sock").unlink(missing_ok=True)
    (directory / RECORD).unlink(missing_ok=True)


def _claim(spec: LabSpec, directory: Path) -> None:
    """Record the namespaces before the first is made; refuse where another folder's lab has them."""
    record = _read(directory)
    if record["namespaces"]:
        return
    taken = [name for name in namespaces(spec) if Path("/run/netns", name).exists()]
    if taken:
        message = f"another lab called {spec.name!r} is up: namespace {taken[0]} exists"
        raise LabError(message, "take that one down, or choose another --name")
    record["namespaces"] = namespaces(spec)
    _write(directory, record)


def _site(spec: LabSpec, site: SiteSpec, fresh: list[str]) -> None:
    router = router_namespace(spec, site.name)
    length = ipaddress.ip_network(site.lan).prefixlen
    if router in fresh:
        _ip(f"netns add {router}")
        _sysctl(router, _ROUTER)
        _ip(
            f"-n {router} link set lo up",
            f"-n {router} link add {LAN} type bridge stp_state 0 mcast_snooping 0",
            f"-n {router} link set {LAN} mtu {WAN_MTU} up",
            f"-n {router} addr add {site.router}/{length} dev {LAN}",
            *(f"-n {router} addr add {network[-2]}/{network.prefixlen} dev {LAN}" for network in management(site)),
        )
    ends = [(host_namespace(spec, site.name, host.name), UPLINK) for host in site.hosts]
    ends += [(box_namespace(spec, site.name, box.name), BOX_LINK) for box in site.boxes]
    for port, (namespace, device) in enumerate(ends):
        if namespace not in fresh:
            continue
        _ip(
            f"netns add {namespace}",
            f"-n {namespace} link set lo up",
            f"-n {router} link add port{port} mtu {LAN_MTU} type veth peer name {device} netns {namespace}",
            f"-n {router} link set port{port} master {LAN} up",
        )
        if device == UPLINK:
            _sysctl(namespace, _TCP)
            _ip(f"-n {namespace} link set {UPLINK} mtu {LAN_MTU} addrgenmode none up")
    for box in site.boxes:
        namespace = box_namespace(spec, site.name, box.name)
        if namespace in fresh:
            _ip(
                f"-n {namespace} link set {BOX_LINK} mtu {WAN_MTU} up",
                f"-n {namespace} addr add {box.address}/{length} dev {BOX_LINK}",
                f"-n {namespace} route add default via {site.router}",
            )


def management(site: SiteSpec) -> list[ipaddress.IPv4Network]:
    """Return the networks of the management vmknics; NFC goes over these, their router has the last address."""
    nics = [nic for host in site.hosts for nic in host.vmknics if "management" in nic.services]
    return sorted({ipaddress.IPv4Interface(f"{nic.address}/{nic.prefix_length}").network for nic in nics})


def _wan(spec: LabSpec, site: SiteName) -> None:
    router, other = router_namespace(spec, site), spec.target if site == "source" else spec.source
    _ip(
        f"-n {router} link set {WAN} mtu {WAN_MTU} txqueuelen {WAN_QUEUE} addrgenmode none up",
        f"-n {router} addr replace {WAN_ADDRESSES[site]} peer {WAN_ADDRESSES[other.name]} dev {WAN}",
        *(
            f"-n {router} route replace {network} via {WAN_ADDRESSES[other.name]} dev {WAN}"
            for network in (other.lan, *management(other))
        ),
    )


def _start(directory: Path, module: str, before: list[str], socket: Path, *arguments: str) -> bool:
    """Start a process of the lab unless it answers at *socket* already; return whether it was started."""
    if rpc.wait(socket, timeout=0.05, alive=socket.exists):
        return False
    log = socket.with_suffix(".log")
    with log.open("ab") as output:
        child = subprocess.Popen(
            [*before, sys.executable, "-m", f"lrvmotion.lab.{module}", "--lab", str(directory), *arguments],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    process = identify(child.pid)
    if process is not None:
        record = _read(directory)
        record["processes"].append({"pid": process.pid, "start": process.start})
        _write(directory, record)
    if not rpc.wait(socket, timeout=READY_S, alive=lambda: child.poll() is None):
        said = log.read_text(errors="replace").strip().splitlines()[-1:]
        message = f"{module} did not start: {' '.join(said) or 'it says nothing'}"
        raise LabError(message, f"see {log}")
    child.returncode = 0  # it outlives us on purpose: no warning that it still runs
    return True


def _read(directory: Path) -> dict[str, Any]:
    try:
        return json.loads((directory / RECORD).read_text())  # type: ignore[no-any-return]
    except (FileNotFoundError, ValueError):
        return {"namespaces": [], "processes": []}


def _write(directory: Path, record: dict[str, Any]) -> None:
    fresh = directory / f"{RECORD}.new"
    fresh.write_text(json.dumps(record, indent=1))
    fresh.replace(directory / RECORD)


def _sysctl(namespace: str, values: dict[str, str]) -> None:
    with entered(namespace):
        for name, value in values.items():
            Path("/proc/sys", name).write_text(value)


def _ip(*lines: str) -> None:
    """Run each line as an `ip` command of its own: a batch cannot change the namespace. Raises LabError."""
    for line in lines:
        done = subprocess.run(["ip", *line.split()], capture_output=True, text=True, check=False)
        if done.returncode:
            message = f"ip {line}: {done.stderr.strip()}"
            raise LabError(message, "'lrvmotion lab down' removes what was built so far")


def _words(*argv: str) -> list[str]:
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.split()
